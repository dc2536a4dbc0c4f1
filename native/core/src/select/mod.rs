//! Series found in heads and blocks, read as one column each.

mod set;

pub use set::SeriesSet;
