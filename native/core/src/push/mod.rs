//! Pushed metrics: what a push is made of, and the groups that a partition keeps and goes on emitting.
//!
//! | module | what it does |
//! |---|---|
//! | [`check`] | grouping labels put in, and what makes a push inconsistent |
//! | [`operation`] | a change of a group, as the log holds it |
//! | [`prepare`] | from families to what goes into the log |
//! | [`group`] | one group, with its series ready to be emitted |
//! | [`book`] | all groups of a partition, rebuilt from its log |
//! | [`emission`] | the samples of groups that are due |
//! | [`stored`] | groups as the store keeps them |
//! | [`json`] | groups as the API shows them |
//! | [`expose`] | groups as one exposition, for scrapers |

pub mod book;
pub mod check;
mod emission;
pub mod expose;
mod group;
mod json;
pub mod operation;
pub mod prepare;
mod stored;

#[cfg(test)]
mod tests;

pub use book::Book;
