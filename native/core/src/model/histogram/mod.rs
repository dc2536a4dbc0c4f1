//! Native histograms, as PromQL computes with them: every count is a float, whatever was sent.
//!
//! | module | what it does |
//! |---|---|
//! | `bounds` | where buckets begin and end |
//! | `buckets` | the buckets of one sign: which there are, and their counts |
//! | `iterate` | buckets with their bounds, in order |
//! | `arithmetic` | sum, difference, product, quotient; different layouts are brought together first |
//! | `zero` | zero buckets of different widths |
//! | `total` | compensated sums and means of many |
//! | `reset` | whether a counter started again |
//! | `estimate` | quantiles, fractions, variance |
//! | `trim` | what lies below or above a value |
//! | `check` | what a histogram from outside must satisfy |
//! | `text` | as Prometheus prints one |

mod arithmetic;
pub mod bounds;
mod buckets;
mod check;
mod estimate;
mod iterate;
#[cfg(test)]
mod naive;
mod reset;
mod text;
mod total;
mod trim;
mod zero;

use std::sync::Arc;

pub use arithmetic::{Added, Incompatible};
pub use buckets::Buckets;
pub use check::InvalidHistogram;
pub use estimate::{Estimate, NanEffect};
pub use iterate::Bucket;
pub use total::{HistogramMean, HistogramTotal};

use super::is_stale;

/// What is known of a histogram and the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ResetHint {
    #[default]
    Unknown,
    /// The counter started again.
    Reset,
    /// It went on.
    NotReset,
    /// Not a counter.
    Gauge,
}

/// A distribution of observations over buckets, besides their number and sum.
///
/// With an exponential schema there is a zero bucket [-threshold, threshold] and buckets of both signs; with the custom
/// one `positive` holds all buckets, and the zero bucket and `negative` are empty.
#[derive(Debug, Clone, Default)]
pub struct Histogram {
    pub hint: ResetHint,
    /// One of [`bounds::SCHEMAS`], or [`bounds::CUSTOM`].
    pub schema: i8,
    pub zero_threshold: f64,
    pub zero_count: f64,
    pub count: f64,
    /// NaN if a NaN was observed, or infinities of both signs; the stale marker if the series ended here.
    pub sum: f64,
    pub positive: Buckets,
    pub negative: Buckets,
    /// Upper bounds of custom buckets but the last one, ascending and finite.
    pub custom: Arc<[f64]>,
}

impl Histogram {
    pub fn is_custom(&self) -> bool {
        self.schema == bounds::CUSTOM
    }

    /// Whether this only says that its series ended.
    pub fn is_stale(&self) -> bool {
        is_stale(self.sum)
    }

    /// Equal as data: the same buckets, empty ones too, and the same bits. Hints do not count.
    pub fn is_same(&self, other: &Self) -> bool {
        self.schema == other.schema
            && self.count.to_bits() == other.count.to_bits()
            && self.sum.to_bits() == other.sum.to_bits()
            && self.zero_threshold == other.zero_threshold
            && self.zero_count.to_bits() == other.zero_count.to_bits()
            && self.has_bounds_of(other)
            && self.negative.is_same(&other.negative)
            && self.positive.is_same(&other.positive)
    }

    /// Whether the listed bounds agree; exponential schemas list none.
    fn has_bounds_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.custom, &other.custom) || self.custom == other.custom
    }

    /// Without the buckets that are empty.
    #[must_use]
    pub fn compacted(mut self) -> Self {
        self.positive.compact();
        self.negative.compact();
        self
    }

    /// Heap bytes, those shared with others included.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.positive.bytes() + self.negative.bytes() + self.custom.len() * 8
    }

    /// How many floats Prometheus takes it for, where it counts samples.
    pub fn sample_weight(&self) -> usize {
        let words = 21 + self.positive.words() + self.negative.words() + self.custom.len();
        words.div_ceil(2)
    }
}
