//! What a histogram from outside must satisfy. Prometheus refuses the same, in these words.

use super::{Buckets, Histogram, bounds};

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHistogram {
    #[error("the schema must be between -4 and 8 for exponential buckets, or -53 for custom buckets")]
    Schema,
    #[error("the spans specify a different number of buckets than provided")]
    Spans,
    #[error("a span has a negative offset, or buckets have no index")]
    Offset,
    #[error("a bucket has a negative observation count")]
    NegativeBucket,
    #[error("the observation count is negative")]
    NegativeCount,
    #[error("the observation count is less than the number of observations found in the buckets")]
    CountTooSmall,
    #[error("the observation count is not the number of observations found in the buckets")]
    CountMismatch,
    #[error("custom bounds must be finite, not NaN, and in strictly increasing order")]
    CustomBounds,
    #[error("the custom bounds are too few")]
    TooFewCustomBounds,
    #[error("with custom buckets there must be no zero bucket and no negative buckets")]
    NotCustom,
    #[error("there are more than {max} buckets", max = super::MAX_BUCKETS)]
    TooManyBuckets,
    #[error("with an exponential schema there must be no custom bounds")]
    NotExponential,
}

impl Histogram {
    /// Checks schema, counts and bounds. That all counts add up is not asked: floats round.
    pub fn check(&self) -> Result<(), InvalidHistogram> {
        if self.is_custom() {
            self.check_custom()?;
        } else {
            if !bounds::SCHEMAS.contains(&self.schema) {
                return Err(InvalidHistogram::Schema);
            }
            if !self.custom.is_empty() {
                return Err(InvalidHistogram::NotExponential);
            }
        }
        let is_negative = |buckets: &Buckets| buckets.counts().iter().any(|&count| count < 0.0);
        if is_negative(&self.positive) || is_negative(&self.negative) || self.zero_count < 0.0 {
            return Err(InvalidHistogram::NegativeBucket);
        }
        if self.count < 0.0 {
            return Err(InvalidHistogram::NegativeCount);
        }
        Ok(())
    }

    fn check_custom(&self) -> Result<(), InvalidHistogram> {
        let ascends = self.custom.windows(2).all(|pair| pair[0] < pair[1]);
        // The first may be -Inf, as in Prometheus.
        let are_numbers = self.custom.iter().all(|bound| !bound.is_nan());
        if !ascends || !are_numbers || self.custom.last() == Some(&f64::INFINITY) {
            return Err(InvalidHistogram::CustomBounds);
        }
        if self.zero_count != 0.0 || self.zero_threshold != 0.0 || !self.negative.is_empty() {
            return Err(InvalidHistogram::NotCustom);
        }
        let indexes = self.positive.indexes();
        if indexes.first().is_some_and(|&first| first < 0) {
            return Err(InvalidHistogram::Offset);
        }
        if indexes
            .last()
            .is_some_and(|&last| last as usize > self.custom.len())
        {
            return Err(InvalidHistogram::TooFewCustomBounds);
        }
        Ok(())
    }
}

impl Buckets {
    /// Of runs of neighbours as [`Buckets::spans`] gives them, with one count for each index.
    pub fn of_spans(
        spans: impl IntoIterator<Item = (i32, u32)>,
        counts: Vec<f64>,
    ) -> Result<Self, InvalidHistogram> {
        let mut indexes = Vec::with_capacity(counts.len());
        let mut next: i32 = 0;
        for (at, (offset, length)) in spans.into_iter().enumerate() {
            if at > 0 && offset < 0 {
                return Err(InvalidHistogram::Offset);
            }
            // Never more indexes than counts, whatever the spans say.
            if length as usize > counts.len() - indexes.len() {
                return Err(InvalidHistogram::Spans);
            }
            let start = next.checked_add(offset).ok_or(InvalidHistogram::Offset)?;
            next = i32::try_from(length)
                .ok()
                .and_then(|length| start.checked_add(length))
                .ok_or(InvalidHistogram::Offset)?;
            indexes.extend(start..next);
        }
        if indexes.len() != counts.len() {
            return Err(InvalidHistogram::Spans);
        }
        Ok(Self::new(indexes, counts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_must_fit_the_counts() {
        let of =
            |spans: &[(i32, u32)], counts: usize| Buckets::of_spans(spans.iter().copied(), vec![1.0; counts]);
        assert_eq!(of(&[(-2, 2), (1, 1)], 3).unwrap().indexes()[..], [-2, -1, 1]);
        assert_eq!(of(&[(0, 2), (0, 0), (0, 1)], 3).unwrap().indexes()[..], [0, 1, 2]);
        assert_eq!(of(&[(0, 2)], 3).unwrap_err(), InvalidHistogram::Spans);
        assert_eq!(of(&[(0, u32::MAX)], 3).unwrap_err(), InvalidHistogram::Spans);
        assert_eq!(of(&[(0, 1), (-1, 1)], 2).unwrap_err(), InvalidHistogram::Offset);
        assert_eq!(
            of(&[(i32::MAX, 1), (1, 1)], 2).unwrap_err(),
            InvalidHistogram::Offset
        );
    }

    #[test]
    fn each_rule_has_its_refusal() {
        let custom = |bounds: &[f64], index: i32| Histogram {
            schema: bounds::CUSTOM,
            custom: bounds.into(),
            positive: Buckets::of([(index, 1.0)]),
            ..Histogram::default()
        };
        let inf = f64::INFINITY;
        let refusals = [
            (
                Histogram {
                    schema: 9,
                    ..Histogram::default()
                },
                InvalidHistogram::Schema,
            ),
            (
                Histogram {
                    custom: [1.0].into(),
                    ..Histogram::default()
                },
                InvalidHistogram::NotExponential,
            ),
            (
                Histogram {
                    positive: Buckets::of([(0, -1.0)]),
                    ..Histogram::default()
                },
                InvalidHistogram::NegativeBucket,
            ),
            (
                Histogram {
                    zero_count: -1.0,
                    ..Histogram::default()
                },
                InvalidHistogram::NegativeBucket,
            ),
            (
                Histogram {
                    count: -1.0,
                    ..Histogram::default()
                },
                InvalidHistogram::NegativeCount,
            ),
            (custom(&[1.0, 1.0], 0), InvalidHistogram::CustomBounds),
            (custom(&[1.0, inf], 0), InvalidHistogram::CustomBounds),
            (custom(&[f64::NAN], 0), InvalidHistogram::CustomBounds),
            (custom(&[1.0], 2), InvalidHistogram::TooFewCustomBounds),
            (custom(&[1.0], -1), InvalidHistogram::Offset),
            (
                Histogram {
                    zero_threshold: 1.0,
                    ..custom(&[1.0], 0)
                },
                InvalidHistogram::NotCustom,
            ),
        ];
        for (histogram, refusal) in refusals {
            assert_eq!(histogram.check(), Err(refusal), "{histogram:?}");
        }
        assert_eq!(custom(&[-inf, 1.0], 2).check(), Ok(()));
        assert_eq!(Histogram::default().check(), Ok(()));
    }
}
