//! A histogram as Prometheus prints it: `{count:3, sum:5, [-0.001,0.001]:1, (0.5,1]:2}`.

use std::fmt;

use super::{Bucket, Histogram};
use crate::engine::number::g_value;

impl fmt::Display for Histogram {
    /// Filled buckets only, by ascending values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{count:{}, sum:{}", g_value(self.count), g_value(self.sum))?;
        let zero = (self.zero_count != 0.0).then(|| self.zero_bucket());
        let buckets = self
            .negative_buckets()
            .rev()
            .chain(zero)
            .chain(self.positive_buckets());
        for bucket in buckets.filter(|bucket| bucket.count != 0.0) {
            write!(f, ", {bucket}")?;
        }
        f.write_str("}")
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = (
            if self.lower_inclusive { '[' } else { '(' },
            if self.upper_inclusive { ']' } else { ')' },
        );
        let [lower, upper, count] = [self.lower, self.upper, self.count].map(g_value);
        write!(f, "{open}{lower},{upper}{close}:{count}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Buckets, bounds};
    use super::*;

    #[test]
    fn filled_buckets_ascend() {
        let histogram = Histogram {
            count: 10.0,
            sum: -2.5,
            zero_threshold: 0.001,
            zero_count: 1.0,
            positive: Buckets::of([(0, 2.0), (1, 0.0), (2, 3.0)]),
            negative: Buckets::of([(0, 1.0), (1, 3.0)]),
            ..Histogram::default()
        };
        assert_eq!(
            histogram.to_string(),
            "{count:10, sum:-2.5, [-2,-1):3, [-1,-0.5):1, [-0.001,0.001]:1, (0.5,1]:2, (2,4]:3}"
        );
        let custom = Histogram {
            schema: bounds::CUSTOM,
            custom: [5.0].into(),
            positive: Buckets::of([(0, 1.0), (1, 2.0)]),
            ..Histogram::default()
        };
        assert_eq!(custom.to_string(), "{count:0, sum:0, [-Inf,5]:1, (5,+Inf]:2}");
    }
}
