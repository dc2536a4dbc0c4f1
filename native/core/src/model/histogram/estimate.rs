//! Quantiles, fractions and the variance, from what is known of where observations lie inside their buckets.

use super::{Bucket, Histogram};
use crate::kernel::Sum;

/// A number, and how observations of NaN bear on it: they are counted, but in no bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    pub value: f64,
    pub nan: NanEffect,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NanEffect {
    None,
    /// The result is NaN for them.
    Result,
    /// They take part as if they were very large.
    Skew,
    /// They are outside.
    Excluded,
}

const fn plain(value: f64) -> Estimate {
    Estimate {
        value,
        nan: NanEffect::None,
    }
}

impl Histogram {
    /// The φ-quantile. Inside a bucket observations are taken to lie evenly, by their logarithms if it is exponential.
    pub fn quantile(&self, phi: f64) -> Estimate {
        if phi < 0.0 {
            return plain(f64::NEG_INFINITY);
        }
        if phi > 1.0 {
            return plain(f64::INFINITY);
        }
        if self.count == 0.0 || phi.is_nan() {
            return plain(f64::NAN);
        }
        // From the nearer end; NaNs, which are in no bucket, are taken to lie above all others.
        let upward = self.sum.is_nan() || phi < 0.5;
        let rank = if upward { phi } else { 1.0 - phi } * self.count;
        let mut buckets = self.all_buckets();
        let (bucket, reached) = if upward {
            holder(&mut buckets, rank)
        } else {
            holder(&mut buckets.by_ref().rev(), rank)
        };
        let mut bucket = bucket;
        if self.is_custom() {
            if bucket.lower == f64::NEG_INFINITY {
                if bucket.upper <= 0.0 {
                    return plain(bucket.upper);
                }
                bucket.lower = 0.0;
            } else if bucket.upper == f64::INFINITY {
                return plain(bucket.lower);
            }
        } else if bucket.lower < 0.0 && bucket.upper > 0.0 {
            bucket = self.one_sided(bucket);
        }
        let reached = reached.min(self.count);
        if reached < rank {
            return if self.sum.is_nan() {
                Estimate {
                    value: f64::NAN,
                    nan: NanEffect::Result,
                }
            } else {
                plain(bucket.upper)
            };
        }
        let inside = if upward {
            rank - (reached - bucket.count)
        } else {
            reached - rank
        };
        let nan = if self.sum.is_nan() && buckets.fold(reached, |all, bucket| all + bucket.count) < self.count
        {
            NanEffect::Skew
        } else {
            NanEffect::None
        };
        let part = inside / bucket.count;
        let value = if self.is_custom() || bucket.holds_zero() {
            bucket.lower + (bucket.upper - bucket.lower) * part
        } else {
            let (lower, upper) = (bucket.lower.abs().log2(), bucket.upper.abs().log2());
            if bucket.lower > 0.0 {
                (lower + (upper - lower) * part).exp2()
            } else {
                -(upper + (lower - upper) * (1.0 - part)).exp2()
            }
        };
        Estimate { value, nan }
    }

    /// The part of all observations between two values.
    pub fn fraction(&self, lower: f64, upper: f64) -> Estimate {
        if self.count == 0.0 || lower.is_nan() || upper.is_nan() {
            return plain(f64::NAN);
        }
        if lower >= upper {
            return plain(0.0);
        }
        let (mut count, mut nan) = (self.count, NanEffect::None);
        if self.sum.is_nan() {
            count = self.all_buckets().map(|bucket| bucket.count).sum();
            if count < self.count {
                nan = NanEffect::Excluded;
            }
        }
        let value = (self.rank_of(upper).min(count) - self.rank_of(lower).min(count)) / self.count;
        Estimate { value, nan }
    }

    /// How many observations lie below a value; infinity if that is above all of them.
    fn rank_of(&self, value: f64) -> f64 {
        let mut rank = 0.0;
        for mut bucket in self.all_buckets() {
            let holds_zero = bucket.holds_zero();
            if holds_zero {
                bucket = self.one_sided(bucket);
            }
            if bucket.lower >= value {
                return rank;
            }
            if bucket.upper > value {
                // A bucket without a lower end gives all it has, one without an upper end nothing.
                return if bucket.lower == f64::NEG_INFINITY && (self.is_custom() || holds_zero) {
                    bucket.count
                } else {
                    rank + bucket.count * bucket.part_below(value, self.is_custom() || holds_zero)
                };
            }
            rank += bucket.count;
        }
        f64::INFINITY
    }

    /// The population variance, each bucket's observations taken to be at its middle.
    pub fn variance(&self) -> f64 {
        let mean = self.sum / self.count;
        let mut squares = Sum::default();
        for bucket in self.all_buckets().filter(|bucket| bucket.count != 0.0) {
            let delta = self.middle(&bucket) - mean;
            squares.add(bucket.count * delta * delta);
        }
        squares.value() / self.count
    }

    fn middle(&self, bucket: &Bucket) -> f64 {
        if self.is_custom() {
            return f64::midpoint(bucket.lower, bucket.upper);
        }
        if bucket.holds_zero() {
            return 0.0;
        }
        let middle = (bucket.upper * bucket.lower).sqrt();
        if bucket.upper < 0.0 { -middle } else { middle }
    }
}

/// The first filled bucket at which `rank` observations are reached, else the last of all, and how many were met.
fn holder(buckets: &mut dyn Iterator<Item = Bucket>, rank: f64) -> (Bucket, f64) {
    let (mut last, mut met) = (Bucket::default(), 0.0);
    for bucket in buckets {
        last = bucket;
        if bucket.count == 0.0 {
            continue;
        }
        met += bucket.count;
        if met >= rank {
            break;
        }
    }
    (last, met)
}
