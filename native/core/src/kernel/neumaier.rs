//! Sums that keep what addition rounds away (Kahan's idea in Neumaier's form), as Prometheus adds.

/// A running sum; its value is `sum + lost`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum {
    pub sum: f64,
    pub lost: f64,
}

impl Sum {
    #[inline]
    pub fn add(&mut self, x: f64) {
        let total = self.sum + x;
        // Of the two, the larger in magnitude survives the addition intact; the difference tells what the other lost.
        let (large, small) = if self.sum.abs() >= x.abs() {
            (self.sum, x)
        } else {
            (x, self.sum)
        };
        let lost = self.lost + ((large - total) + small);
        self.lost = if total.is_infinite() { 0.0 } else { lost };
        self.sum = total;
    }

    #[inline]
    pub fn value(self) -> f64 {
        self.sum + self.lost
    }

    /// Adds a partial sum; the order of merging is part of the result.
    #[inline]
    pub fn merge(&mut self, other: Self) {
        self.add(other.sum);
        if !self.sum.is_infinite() {
            self.lost += other.lost;
        }
    }
}

/// A running mean: sum and count while the sum is finite, an incremental mean after it overflowed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mean {
    pub count: f64,
    /// The sum, or the mean once `incremental`.
    pub total: Sum,
    pub incremental: bool,
}

impl Mean {
    #[inline]
    pub fn add(&mut self, x: f64) {
        self.count += 1.0;
        if self.count == 1.0 {
            self.total = Sum { sum: x, lost: 0.0 };
            return;
        }
        if !self.incremental {
            let mut next = self.total;
            next.add(x);
            if !next.sum.is_infinite() {
                self.total = next;
                return;
            }
            self.switch_to_incremental(self.count - 1.0);
        }
        self.weigh((self.count - 1.0) / self.count, x / self.count);
    }

    fn switch_to_incremental(&mut self, count: f64) {
        self.incremental = true;
        self.total.sum /= count;
        self.total.lost /= count;
    }

    /// mean = mean · share + part, in compensated arithmetic.
    fn weigh(&mut self, share: f64, part: f64) {
        let mut scaled = Sum {
            sum: share * self.total.sum,
            lost: share * self.total.lost,
        };
        scaled.add(part);
        self.total = scaled;
    }

    pub fn value(self) -> f64 {
        if self.incremental {
            self.total.value()
        } else {
            self.total.sum / self.count + self.total.lost / self.count
        }
    }

    /// Adds a partial mean; the order of merging is part of the result.
    pub fn merge(&mut self, mut other: Self) {
        if other.count == 0.0 {
            return;
        }
        if self.count == 0.0 {
            *self = other;
            return;
        }
        let count = self.count + other.count;
        if !self.incremental && !other.incremental {
            let mut next = self.total;
            next.merge(other.total);
            if !next.sum.is_infinite() {
                *self = Self {
                    count,
                    total: next,
                    incremental: false,
                };
                return;
            }
        }
        if !self.incremental {
            self.switch_to_incremental(self.count);
        }
        if !other.incremental {
            other.switch_to_incremental(other.count);
        }
        self.weigh(self.count / count, other.value() * (other.count / count));
        self.count = count;
    }
}

/// Population variance by Welford's method with compensated sums, as Prometheus has it for `stddev_over_time`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Variance {
    count: f64,
    mean: Sum,
    squares: Sum,
}

impl Variance {
    #[inline]
    pub fn add(&mut self, x: f64) {
        self.count += 1.0;
        let delta = x - self.mean.value();
        self.mean.add(delta / self.count);
        self.squares.add(delta * (x - self.mean.value()));
    }

    pub fn value(self) -> f64 {
        self.squares.value() / self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(values: &[f64]) -> f64 {
        let mut sum = Sum::default();
        for &x in values {
            sum.add(x);
        }
        sum.value()
    }

    fn mean(values: &[f64]) -> f64 {
        let mut mean = Mean::default();
        for &x in values {
            mean.add(x);
        }
        mean.value()
    }

    #[test]
    fn what_cancels_leaves_the_small_ones() {
        assert_eq!(sum(&[2.0, 8.0, 1e100, -1e100]), 10.0);
        assert_eq!(sum(&[1e100, 2.0, -1e100, 8.0]), 10.0);
        assert_eq!(mean(&[5.0, 1e100, 1.0, -1e100]), 1.5);
    }

    #[test]
    fn infinities_win_over_the_correction() {
        assert_eq!(sum(&[1.0, f64::INFINITY, 5.0]), f64::INFINITY);
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
        assert_eq!(mean(&[f64::INFINITY, 1.0]), f64::INFINITY);
        assert_eq!(mean(&[1.0, f64::NEG_INFINITY]), f64::NEG_INFINITY);
    }

    #[test]
    fn a_mean_survives_an_overflowing_sum() {
        let is_largest = |x: f64| (x / f64::MAX - 1.0).abs() < 1e-15;
        assert!(is_largest(mean(&[f64::MAX, f64::MAX, f64::MAX])));
        let mut left = Mean::default();
        let mut right = Mean::default();
        for x in [f64::MAX; 2] {
            left.add(x);
        }
        for x in [f64::MAX; 2] {
            right.add(x);
        }
        left.merge(right);
        assert!(is_largest(left.value()));
    }

    #[test]
    fn merged_partials_keep_the_correction() {
        let mut left = Sum::default();
        for x in [2.0, 1e100] {
            left.add(x);
        }
        let mut right = Sum::default();
        for x in [8.0, -1e100] {
            right.add(x);
        }
        left.merge(right);
        assert_eq!(left.value(), 10.0);
    }
}
