//! Made-up traffic that can be computed again: what a load generator sends, and what an answer must therefore hold.
//!
//! | module | what it does |
//! |---|---|
//! | [`random`] | hashes instead of generators: every number is a function of its place |
//! | [`life`] | which incarnation of a target a step meets, and for how long its counters have run |
//! | [`family`] | the metrics of a target: labels and values of each of its series |
//! | [`model`] | targets, their times and bodies, and what is sent late, twice or altered |
//! | [`json`] | a bounded pull parser |
//! | [`check`] | an answer of raw samples compared with the model, bit for bit |

mod check;
mod family;
mod json;
mod life;
mod model;
mod random;

pub use check::{Checked, Page, check};
pub use model::{Model, Plan, Turn};
