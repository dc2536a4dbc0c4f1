//! Sums and differences of histograms, and their products with numbers.

use std::sync::Arc;

use super::{Buckets, Histogram, ResetHint, bounds, iterate::within};
use crate::kernel::Sum;

/// Exponential buckets do not meet custom ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incompatible;

/// What a reader should know of a sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Added {
    /// One counter started again and the other went on, by their hints.
    pub hints_collide: bool,
    /// Custom bounds differed, and only those in common are left.
    pub bounds_differ: bool,
}

impl ResetHint {
    /// The hint of a sum, and whether the hints contradict each other.
    pub fn combine(self, other: Self) -> (Self, bool) {
        match (self, other) {
            (a, b) if a == b => (a, false),
            (Self::Gauge, _) | (_, Self::Gauge) => (Self::Gauge, false),
            (Self::Unknown, _) | (_, Self::Unknown) => (Self::Unknown, false),
            _ => (Self::Unknown, true),
        }
    }
}

impl Histogram {
    /// Adds another, at the coarser of both resolutions. Buckets may be left empty.
    pub fn add(&mut self, other: &Self) -> Result<Added, Incompatible> {
        self.combine(other, 1.0)
    }

    /// Subtracts another, with the hint of a sum.
    pub fn subtract(&mut self, other: &Self) -> Result<Added, Incompatible> {
        self.combine(other, -1.0)
    }

    fn combine(&mut self, other: &Self, sign: f64) -> Result<Added, Incompatible> {
        if self.is_custom() != other.is_custom() {
            return Err(Incompatible);
        }
        let (hint, hints_collide) = self.hint.combine(other.hint);
        self.hint = hint;
        self.count += sign * other.count;
        self.sum += sign * other.sum;
        let mut bounds_differ = false;
        if self.is_custom() {
            if self.has_bounds_of(other) {
                self.positive.add(&other.positive, sign);
            } else {
                bounds_differ = true;
                self.add_under_common_bounds(other, sign);
            }
        } else {
            self.add_exponential(other, sign);
        }
        Ok(Added {
            hints_collide,
            bounds_differ,
        })
    }

    fn add_exponential(&mut self, other: &Self, sign: f64) {
        let others_zero = self.meet_zero(other);
        self.zero_count += sign * others_zero;
        let schema = self.schema.min(other.schema);
        if schema < self.schema {
            *self = self.coarsened(schema);
        }
        if schema == other.schema && other.first_outside_zero(self.zero_threshold) == (0, 0) {
            self.positive.add(&other.positive, sign);
            self.negative.add(&other.negative, sign);
            return;
        }
        // What lies inside the zero bucket is counted there. It has to go before buckets are merged with others that
        // reach beyond.
        let others = other.outside_zero(self.zero_threshold).coarsened(schema);
        self.positive.add(&others.positive, sign);
        self.negative.add(&others.negative, sign);
    }

    /// How many of the first positive and negative buckets end inside a zero bucket of that threshold.
    pub(super) fn first_outside_zero(&self, threshold: f64) -> (usize, usize) {
        (
            within(&self.positive, self.schema, threshold),
            within(&self.negative, self.schema, threshold),
        )
    }

    /// Without the buckets that end inside a zero bucket of that threshold.
    fn outside_zero(&self, threshold: f64) -> Self {
        let (positive, negative) = self.first_outside_zero(threshold);
        let mut outside = self.clone();
        outside.positive.drop_first(positive);
        outside.negative.drop_first(negative);
        outside
    }

    /// Widens the zero bucket until it is one of the other's, too; the other's count in it.
    fn meet_zero(&mut self, other: &Self) -> f64 {
        let (mut threshold, mut count) = (other.zero_threshold, other.zero_count);
        while threshold != self.zero_threshold {
            if self.zero_threshold > threshold {
                let widened = other.widened_zero(self.zero_threshold, None);
                (threshold, count) = (widened.threshold, widened.count.sum);
            }
            if threshold > self.zero_threshold {
                let widened = self.widened_zero(threshold, None);
                (self.zero_threshold, self.zero_count) = (widened.threshold, widened.count.sum);
                let (positive, negative) = self.buckets_in_zero();
                self.positive.drop_first(positive);
                self.negative.drop_first(negative);
            }
        }
        count
    }

    /// At a schema no finer than its own, which is not the custom one.
    #[must_use]
    pub fn coarsened(&self, schema: i8) -> Self {
        debug_assert!(schema <= self.schema && !self.is_custom());
        let steps = (self.schema - schema).unsigned_abs().into();
        Self {
            schema,
            positive: self.positive.coarsened(steps, |into, more| *into += more),
            negative: self.negative.coarsened(steps, |into, more| *into += more),
            custom: Arc::clone(&self.custom),
            ..*self
        }
    }

    /// The sum where bounds differ: each bucket goes to the one that ends at the next bound that both have.
    fn add_under_common_bounds(&mut self, other: &Self, sign: f64) {
        let common = common_bounds(&self.custom, &other.custom);
        let mut counts = vec![Sum::default(); common.len() + 1];
        rebin(self, &common, |place, _, count| counts[place].add(count));
        rebin(other, &common, |place, _, count| counts[place].add(sign * count));
        self.positive = Buckets::of(
            (0..)
                .zip(&counts)
                .filter(|(_, count)| count.sum != 0.0 || count.lost != 0.0)
                .map(|(index, count)| (index, count.sum)),
        );
        self.custom = common;
    }

    /// Scales all counts. A negative factor makes a gauge.
    pub fn multiply(&mut self, factor: f64) {
        self.map_counts(|count| count * factor);
        if factor < 0.0 {
            self.hint = ResetHint::Gauge;
        }
    }

    /// Divides all counts. Dividing by 0 leaves no buckets; a negative divisor makes a gauge.
    pub fn divide(&mut self, divisor: f64) {
        if divisor == 0.0 {
            self.positive = Buckets::default();
            self.negative = Buckets::default();
        }
        self.map_counts(|count| count / divisor);
        if divisor < 0.0 {
            self.hint = ResetHint::Gauge;
        }
    }

    fn map_counts(&mut self, map: impl Fn(f64) -> f64) {
        for count in [&mut self.count, &mut self.sum, &mut self.zero_count] {
            *count = map(*count);
        }
        for buckets in [&mut self.positive, &mut self.negative] {
            for count in buckets.counts_mut() {
                *count = map(*count);
            }
        }
    }

    /// No count of a sum of histograms is larger than the sum of these, however their buckets merge.
    pub(super) fn magnitude(&self) -> f64 {
        let counts = self.positive.counts().iter().chain(self.negative.counts());
        [self.count, self.sum, self.zero_count]
            .iter()
            .chain(counts)
            .map(|count| count.abs())
            .sum()
    }

    /// Whether any count, or the sum, is infinite.
    pub fn overflows(&self) -> bool {
        let counts = self.positive.counts().iter().chain(self.negative.counts());
        [self.count, self.sum, self.zero_count]
            .iter()
            .chain(counts)
            .any(|count| count.is_infinite())
    }
}

/// Bounds that are in both lists.
pub fn common_bounds(left: &[f64], right: &[f64]) -> Arc<[f64]> {
    let mut rest = right;
    left.iter()
        .copied()
        .filter(|bound| {
            rest = &rest[rest.partition_point(|other| other < bound)..];
            rest.first() == Some(bound)
        })
        .collect()
}

/// For each custom bucket the place among `common` bounds that it falls to, its own place, and its count.
pub fn rebin(histogram: &Histogram, common: &[f64], mut put: impl FnMut(usize, usize, f64)) {
    for (at, (index, count)) in histogram.positive.iter().enumerate() {
        let bound = bounds::custom(index, &histogram.custom);
        put(common.partition_point(|&other| other < bound), at, count);
    }
}
