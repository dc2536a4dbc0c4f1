//! Pack files for payload and a journal for metadata: the block store of a standalone server.

mod journal;
mod packs;
mod transaction;

pub use journal::Journal;
pub use packs::{Pack, Packs, Span};
pub use transaction::Transaction;

#[cfg(test)]
mod tests;
