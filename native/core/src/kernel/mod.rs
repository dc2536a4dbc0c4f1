//! Functions over the samples of one series: what a selector or a range function yields at each step.
//!
//! A kernel is made once per operator (and per thread), then run for every row. It keeps the window edges of the
//! last row, because the series of one scrape share their timestamps ([`Samples::times_key`]).
//!
//! [`Samples::times_key`]: crate::model::Samples

mod extended;
mod histograms;
mod instant;
mod neumaier;
mod order;
mod range;
mod rate;
mod reduce;
mod regression;
mod starts;
mod window;

#[cfg(test)]
mod naive;

pub use extended::{Edges, ExtendedKernel, ExtendedRanges, Pinned, SmoothedKernel};
pub use histograms::{RowNote, RowNotes, Split};
pub use instant::{Instant, InstantKernel, Shown};
pub use neumaier::{Mean, Sum, Variance};
pub use order::{nan_first, quantile};
pub use range::{RangeFunction, RangeKernel, Ranges};
