//! Zero buckets of different widths: the narrower one widens until both agree and cut no bucket that holds anything.

use super::{Buckets, Histogram, bounds};
use crate::kernel::Sum;

/// What widening would make of a zero bucket.
#[derive(Debug, Clone, Copy)]
pub struct Widened {
    pub threshold: f64,
    pub count: Sum,
}

/// What addition lost in the buckets of both signs, one a bucket.
pub type LostInBuckets<'a> = (&'a [f64], &'a [f64]);

impl Histogram {
    /// The zero bucket with a threshold at least as large as `threshold`, which is not smaller than its own: larger
    /// where it would cut a bucket that holds something. `lost` is what earlier additions rounded away.
    pub(super) fn widened_zero(&self, threshold: f64, lost: Option<(f64, LostInBuckets<'_>)>) -> Widened {
        let (lost_in_zero, (lost_positive, lost_negative)) = lost.unwrap_or((0.0, (&[], &[])));
        let start = Sum {
            sum: self.zero_count,
            lost: lost_in_zero,
        };
        let mut threshold = threshold;
        if threshold == self.zero_threshold {
            return Widened {
                threshold,
                count: start,
            };
        }
        loop {
            let mut count = start;
            threshold = swallow(&self.positive, self.schema, lost_positive, threshold, &mut count);
            let wider = swallow(&self.negative, self.schema, lost_negative, threshold, &mut count);
            if wider == threshold {
                return Widened { threshold, count };
            }
            // The positive buckets have to be looked at again.
            threshold = wider;
        }
    }

    /// How many of the first positive and negative buckets begin inside the zero bucket.
    pub(super) fn buckets_in_zero(&self) -> (usize, usize) {
        let inside = |buckets: &Buckets| {
            buckets
                .indexes()
                .iter()
                .take_while(|&&index| {
                    bounds::exponential(index.wrapping_sub(1), self.schema) < self.zero_threshold
                })
                .count()
        };
        (inside(&self.positive), inside(&self.negative))
    }
}

/// Adds the buckets that begin below the threshold; the threshold, or the end of a filled bucket that it cuts.
fn swallow(buckets: &Buckets, schema: i8, lost: &[f64], threshold: f64, count: &mut Sum) -> f64 {
    for (at, (index, in_bucket)) in buckets.iter().enumerate() {
        if bounds::exponential(index.wrapping_sub(1), schema) >= threshold {
            break;
        }
        count.add(in_bucket);
        if let Some(&lost) = lost.get(at) {
            count.add(lost);
        }
        let upper = bounds::exponential(index, schema);
        if upper > threshold {
            return if in_bucket == 0.0 { threshold } else { upper };
        }
    }
    threshold
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_bucket_widens_the_zero_bucket_to_its_end() {
        let histogram = Histogram {
            zero_threshold: 0.1,
            zero_count: 1.0,
            positive: Buckets::of([(0, 2.0), (1, 4.0)]),
            negative: Buckets::of([(1, 8.0), (3, 16.0)]),
            ..Histogram::default()
        };
        let widened = histogram.widened_zero(0.75, None);
        assert_eq!((widened.threshold, widened.count.value()), (1.0, 3.0));
        let widened = histogram.widened_zero(1.5, None);
        assert_eq!((widened.threshold, widened.count.value()), (2.0, 15.0));
        let kept = histogram.widened_zero(0.1, None);
        assert_eq!((kept.threshold, kept.count.value()), (0.1, 1.0));
    }

    #[test]
    fn a_negative_bucket_that_is_cut_takes_positive_ones_along() {
        let histogram = Histogram {
            positive: Buckets::of([(2, 1.0)]),
            negative: Buckets::of([(2, 1.0)]),
            ..Histogram::default()
        };
        let widened = histogram.widened_zero(3.0, None);
        assert_eq!((widened.threshold, widened.count.value()), (4.0, 2.0));
    }
}
