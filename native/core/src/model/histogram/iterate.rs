//! Buckets with their bounds, in the order of values.

use super::{Buckets, Histogram, bounds};

/// One bucket. Empty ones are buckets too.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Bucket {
    pub lower: f64,
    pub upper: f64,
    pub count: f64,
    pub lower_inclusive: bool,
    pub upper_inclusive: bool,
}

impl Bucket {
    /// Which bounds belong to it, as the query API numbers the cases.
    pub const fn rule(&self) -> u8 {
        match (self.lower_inclusive, self.upper_inclusive) {
            (false, true) => 0,
            (true, false) => 1,
            (false, false) => 2,
            (true, true) => 3,
        }
    }

    /// How much of the bucket's width lies below a value inside it, bounds being finite: of the width itself, or of that
    /// of the logarithms.
    pub fn part_below(&self, value: f64, is_linear: bool) -> f64 {
        if is_linear {
            return (value - self.lower) / (self.upper - self.lower);
        }
        let [lower, upper, at] = [self.lower, self.upper, value].map(|bound| bound.abs().log2());
        if value > 0.0 {
            (at - lower) / (upper - lower)
        } else {
            1.0 - (at - upper) / (lower - upper)
        }
    }

    /// Whether it reaches from below 0 to above it, or touches it.
    pub fn holds_zero(&self) -> bool {
        self.lower <= 0.0 && self.upper >= 0.0
    }
}

impl Histogram {
    /// The upper bound of a bucket of positive values.
    fn bound(&self, index: i32) -> f64 {
        if self.is_custom() {
            bounds::custom(index, &self.custom)
        } else {
            bounds::exponential(index, self.schema)
        }
    }

    pub(super) fn positive_bucket(&self, index: i32, count: f64) -> Bucket {
        let (lower, upper) = (self.bound(index.wrapping_sub(1)), self.bound(index));
        Bucket {
            lower,
            upper,
            count,
            lower_inclusive: if self.is_custom() { index == 0 } else { lower < 0.0 },
            upper_inclusive: self.is_custom() || upper > 0.0,
        }
    }

    pub(super) fn negative_bucket(&self, index: i32, count: f64) -> Bucket {
        let (lower, upper) = (-self.bound(index), -self.bound(index.wrapping_sub(1)));
        Bucket {
            lower,
            upper,
            count,
            lower_inclusive: lower < 0.0,
            upper_inclusive: upper > 0.0,
        }
    }

    /// The positive buckets, away from 0.
    pub fn positive_buckets(&self) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
        self.positive
            .iter()
            .map(|(index, count)| self.positive_bucket(index, count))
    }

    /// The negative buckets, away from 0.
    pub fn negative_buckets(&self) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
        self.negative
            .iter()
            .map(|(index, count)| self.negative_bucket(index, count))
    }

    pub fn zero_bucket(&self) -> Bucket {
        Bucket {
            lower: -self.zero_threshold,
            upper: self.zero_threshold,
            count: self.zero_count,
            lower_inclusive: true,
            upper_inclusive: true,
        }
    }

    /// All buckets by ascending values, the zero bucket if anything is in it. Buckets that the zero bucket covers in part
    /// begin where that ends.
    pub fn all_buckets(&self) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
        let edge = self.zero_threshold;
        let negative = self.negative_buckets().rev().map(move |mut bucket| {
            if bucket.upper < 0.0 && bucket.upper > -edge {
                bucket.upper = -edge;
            }
            bucket
        });
        let positive = self.positive_buckets().map(move |mut bucket| {
            if bucket.lower > 0.0 && bucket.lower < edge {
                bucket.lower = edge;
            }
            bucket
        });
        let zero = (self.zero_count > 0.0).then(|| self.zero_bucket());
        negative.chain(zero).chain(positive)
    }

    /// The zero bucket's bounds as far as they can hold anything: a histogram with buckets of one sign only has no
    /// observations of the other. `bucket` is any that holds 0.
    pub(super) fn one_sided(&self, mut bucket: Bucket) -> Bucket {
        if self.negative.is_empty() && !self.positive.is_empty() {
            bucket.lower = 0.0;
        } else if self.positive.is_empty() && !self.negative.is_empty() {
            bucket.upper = 0.0;
        }
        bucket
    }
}

/// How many of the first buckets end at or below a threshold.
pub fn within(buckets: &Buckets, schema: i8, threshold: f64) -> usize {
    buckets
        .indexes()
        .iter()
        .take_while(|&&index| bounds::exponential(index, schema) <= threshold)
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_buckets_ascend_around_zero() {
        let histogram = Histogram {
            zero_threshold: 0.7,
            zero_count: 1.0,
            positive: Buckets::of([(0, 2.0), (1, 3.0)]),
            negative: Buckets::of([(1, 4.0)]),
            ..Histogram::default()
        };
        let seen: Vec<_> = histogram
            .all_buckets()
            .map(|b| (b.lower, b.upper, b.count))
            .collect();
        assert_eq!(
            seen,
            [
                (-2.0, -1.0, 4.0),
                (-0.7, 0.7, 1.0),
                (0.7, 1.0, 2.0),
                (1.0, 2.0, 3.0)
            ]
        );
        let mut back: Vec<_> = histogram
            .all_buckets()
            .rev()
            .map(|b| (b.lower, b.upper, b.count))
            .collect();
        back.reverse();
        assert_eq!(seen, back);
    }

    #[test]
    fn custom_buckets_include_their_upper_bounds() {
        let histogram = Histogram {
            schema: bounds::CUSTOM,
            custom: [1.0, 2.0].into(),
            positive: Buckets::of([(0, 1.0), (2, 1.0)]),
            ..Histogram::default()
        };
        let inclusive: Vec<_> = histogram
            .all_buckets()
            .map(|b| (b.lower_inclusive, b.upper_inclusive))
            .collect();
        assert_eq!(inclusive, [(true, true), (false, true)]);
        let ends: Vec<_> = histogram.all_buckets().map(|b| (b.lower, b.upper)).collect();
        assert_eq!(ends, [(f64::NEG_INFINITY, 1.0), (2.0, f64::INFINITY)]);
    }
}
