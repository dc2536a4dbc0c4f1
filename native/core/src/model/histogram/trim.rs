//! `</` and `>/`: the observations below or above a value. The bucket that holds it gives a part.

use super::{Bucket, Buckets, Histogram};

/// What stays of a bucket, and where its observations are taken to be.
#[derive(Debug, Clone, Copy)]
struct Kept {
    count: f64,
    middle: f64,
}

impl Histogram {
    /// Keeps what lies below `edge`, or above it. Count and sum are estimated anew if anything went.
    pub fn trim(&mut self, edge: f64, keeps_below: bool) {
        let trim = Trim {
            edge,
            keeps_below,
            is_custom: self.is_custom(),
        };
        let positive: Vec<_> = self
            .positive_buckets()
            .map(|bucket| trim.side(&bucket, true))
            .collect();
        let negative: Vec<_> = self
            .negative_buckets()
            .map(|bucket| trim.side(&bucket, false))
            .collect();
        let is_filled = |buckets: &Buckets| buckets.counts().iter().any(|&count| count != 0.0);
        let zero = (self.zero_count > 0.0).then(|| {
            let (has_negative, has_positive) = (is_filled(&self.negative), is_filled(&self.positive));
            trim.zero(self.zero_bucket(), has_negative, has_positive)
        });

        let mut is_changed = false;
        let (mut count, mut sum) = (0.0, 0.0);
        for (buckets, kept) in [(&mut self.positive, positive), (&mut self.negative, negative)] {
            for (bucket, kept) in buckets
                .counts_mut()
                .iter_mut()
                .zip(kept)
                .filter(|(bucket, _)| **bucket != 0.0)
            {
                count += kept.count;
                sum += kept.count * kept.middle;
                is_changed |= *bucket != kept.count;
                *bucket = kept.count;
            }
        }
        if let Some(kept) = zero {
            count += kept.count;
            sum += kept.count * kept.middle;
            is_changed |= self.zero_count != kept.count;
            self.zero_count = kept.count;
        }
        if is_changed {
            (self.count, self.sum) = (count, sum);
            self.positive.compact();
            self.negative.compact();
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Trim {
    edge: f64,
    keeps_below: bool,
    is_custom: bool,
}

impl Trim {
    fn side(self, bucket: &Bucket, is_positive: bool) -> Kept {
        let Bucket {
            lower, upper, count, ..
        } = *bucket;
        let edge = self.edge;
        let (keeps_all, keeps_part) = if self.keeps_below {
            (upper <= edge, lower < edge)
        } else {
            (lower >= edge, upper > edge)
        };
        if keeps_all {
            return Kept {
                count,
                middle: middle(lower, upper, is_positive, self.is_custom),
            };
        }
        if !keeps_part {
            return Kept {
                count: 0.0,
                middle: 0.0,
            };
        }
        if lower == f64::NEG_INFINITY || upper == f64::INFINITY {
            return self.endless(bucket);
        }
        let below = count * bucket.part_below(edge, self.is_custom);
        if self.keeps_below {
            Kept {
                count: below,
                middle: middle(lower, edge, is_positive, self.is_custom),
            }
        } else {
            Kept {
                count: count - below,
                middle: middle(edge, upper, is_positive, self.is_custom),
            }
        }
    }

    /// A bucket without an end, with the edge inside: only if the other end is positive is it taken to begin at 0. Of
    /// the rest nobody knows where it lies, so it goes whole or stays whole.
    fn endless(self, bucket: &Bucket) -> Kept {
        let Bucket {
            lower, upper, count, ..
        } = *bucket;
        let edge = self.edge;
        let gone = |end: f64| Kept {
            count: 0.0,
            middle: if end.is_infinite() { 0.0 } else { end },
        };
        if lower != f64::NEG_INFINITY {
            return if self.keeps_below || edge < lower {
                gone(lower)
            } else {
                Kept { count, middle: edge }
            };
        }
        if self.keeps_below {
            if edge > 0.0 && upper > 0.0 && upper != f64::INFINITY {
                return Kept {
                    count: count * edge / upper,
                    middle: edge / 2.0,
                };
            }
            return if upper <= 0.0 {
                Kept { count, middle: edge }
            } else {
                gone(upper)
            };
        }
        if edge >= 0.0 && upper != f64::INFINITY {
            return Kept {
                count: count * (1.0 - edge / upper),
                middle: f64::midpoint(edge, upper),
            };
        }
        gone(upper)
    }

    /// The zero bucket is cut linearly. It ends at 0 if nothing is known to lie beyond.
    fn zero(self, bucket: Bucket, has_negative: bool, has_positive: bool) -> Kept {
        let edge = self.edge;
        let lower = if has_positive && !has_negative {
            0.0
        } else {
            bucket.lower
        };
        let upper = if has_negative && !has_positive {
            0.0
        } else {
            bucket.upper
        };
        if edge <= lower || edge >= upper {
            let keeps_all = if self.keeps_below {
                edge > lower
            } else {
                edge <= lower
            };
            return Kept {
                count: if keeps_all { bucket.count } else { 0.0 },
                middle: f64::midpoint(lower, upper),
            };
        }
        let (from, to) = if self.keeps_below {
            (lower, edge)
        } else {
            (edge, upper)
        };
        Kept {
            count: bucket.count * ((to - from) / (upper - lower)),
            middle: f64::midpoint(from, to),
        }
    }
}

/// Where the observations between two values are taken to be: the middle of listed buckets, the geometric mean of
/// exponential ones.
fn middle(lower: f64, upper: f64, is_positive: bool, is_linear: bool) -> f64 {
    match (lower.is_infinite(), upper.is_infinite()) {
        (true, true) => return 0.0,
        (true, false) => return if upper > 0.0 { upper / 2.0 } else { upper },
        (false, true) => return lower,
        (false, false) => {}
    }
    if is_linear {
        return f64::midpoint(lower, upper);
    }
    let mean = (lower * upper).abs().sqrt();
    if is_positive { mean } else { -mean }
}
