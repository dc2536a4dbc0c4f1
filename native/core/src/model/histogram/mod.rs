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

use xxhash_rust::xxh3::Xxh3;

pub use arithmetic::{Added, Incompatible};
pub use buckets::Buckets;
pub use check::InvalidHistogram;
pub use estimate::{Estimate, NanEffect};
pub use iterate::Bucket;
pub use total::{HistogramMean, HistogramTotal};

use super::is_stale;

/// The most buckets, of both signs, that are stored of one histogram: some twenty times what clients are limited to.
pub const MAX_BUCKETS: usize = 4096;

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

    /// Equal for histograms that are the same as data, and whether they are gauges; else it hardly ever is.
    pub fn fingerprint(&self) -> u64 {
        let mut hash = Xxh3::new();
        hash.update(&[u8::from(self.hint == ResetHint::Gauge), self.schema as u8]);
        for number in [self.zero_threshold, self.zero_count, self.count, self.sum] {
            hash.update(&number.to_bits().to_le_bytes());
        }
        for side in [&self.positive, &self.negative] {
            hash.update(&(side.len() as u64).to_le_bytes());
            for (index, count) in side.iter() {
                hash.update(&index.to_le_bytes());
                hash.update(&count.to_bits().to_le_bytes());
            }
        }
        for bound in &*self.custom {
            hash.update(&bound.to_bits().to_le_bytes());
        }
        hash.digest()
    }

    /// Whether both have the same buckets, whatever they count, and are of one kind.
    pub fn has_layout_of(&self, other: &Self) -> bool {
        (self.hint == ResetHint::Gauge) == (other.hint == ResetHint::Gauge)
            && self.schema == other.schema
            && self.zero_threshold.to_bits() == other.zero_threshold.to_bits()
            && self.positive.has_layout_of(&other.positive)
            && self.negative.has_layout_of(&other.negative)
            && (Arc::ptr_eq(&self.custom, &other.custom)
                || self
                    .custom
                    .iter()
                    .map(|bound| bound.to_bits())
                    .eq(other.custom.iter().map(|bound| bound.to_bits())))
    }

    /// Lets equal lists be one with those of another histogram, so that a series holds them once.
    pub fn share_layout(&mut self, with: &Self) {
        self.positive.share_layout(&with.positive);
        self.negative.share_layout(&with.negative);
        if self.has_bounds_of(with) && self.has_layout_of(with) {
            self.custom = Arc::clone(&with.custom);
        }
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
