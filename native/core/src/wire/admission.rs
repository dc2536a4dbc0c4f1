//! Which new series of a batch its instance has room for.

use hashbrown::{HashMap, hash_map::Entry};

use super::batch::{BatchSeries, SplitBatch};
use super::labels::{metric_of, metric_text};
use super::refusal::Reason;
use crate::Result;

/// How many series an instance may have at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeriesLimits {
    pub max_series: usize,
    /// Of one metric name.
    pub max_series_per_metric: usize,
}

/// Why there is no room for a new series. Holds the limit and how many were active when it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surplus {
    Series { limit: usize, active: usize },
    OfMetric { limit: usize, active: usize },
}

impl Surplus {
    pub fn reason(self) -> Reason {
        match self {
            Self::Series { .. } => Reason::SeriesLimit,
            Self::OfMetric { .. } => Reason::MetricSeriesLimit,
        }
    }

    /// The message, up to the series' text.
    pub fn why(self, label_bytes: &[u8]) -> String {
        match self {
            Self::Series { limit, active } => format!(
                "the limit max_series is {limit}, and {active} series are active; one more is refused"
            ),
            Self::OfMetric { limit, active } => format!(
                "the limit max_series_per_metric is {limit}, and {active} series of {} are active; one more is refused",
                metric_text(label_bytes)
            ),
        }
    }
}

/// The batch without what there is no room for, and the keys of the new series that there is room for.
#[derive(Debug)]
pub struct Admitted {
    /// `None`: all of it.
    pub rest: Option<SplitBatch>,
    pub new: Vec<u128>,
}

impl SplitBatch {
    /// Refuses new series beyond the limits, the first ones stay. `active` are the series that the instance has, and `active_of` those of
    /// a metric, asked for once each. A new label set that comes in two encodings counts as two.
    pub fn admit(
        &self,
        is_new: impl Fn(usize, &BatchSeries) -> bool,
        limits: SeriesLimits,
        active: usize,
        mut active_of: impl FnMut(&str) -> usize,
    ) -> Result<Admitted> {
        let mut verdicts: HashMap<u128, Option<Surplus>> = HashMap::new();
        let mut by_metric: HashMap<String, usize> = HashMap::new();
        let mut new = Vec::new();
        let mut label_sets = self.label_sets();
        let mut is_whole = true;
        for (at, series) in self.series.iter().enumerate() {
            if !is_new(at, series) {
                continue;
            }
            let Entry::Vacant(verdict) = verdicts.entry(series.key) else {
                continue;
            };
            let metric = metric_of(label_sets.of(series));
            let of_metric = by_metric
                .entry_ref(&*metric)
                .or_insert_with(|| active_of(&metric));
            let surplus = limits.surplus(active + new.len(), *of_metric);
            if surplus.is_none() {
                *of_metric += 1;
                new.push(series.key);
            } else {
                is_whole = false;
            }
            verdict.insert(surplus);
        }
        let rest = if is_whole {
            None
        } else {
            Some(self.retain(|at| verdicts.get(&self.series[at].key).copied().flatten())?)
        };
        Ok(Admitted { rest, new })
    }

    /// The metric names of the series for which `is_wanted`, each once.
    pub fn metrics(&self, is_wanted: impl Fn(&BatchSeries) -> bool) -> Vec<String> {
        let mut seen: HashMap<String, ()> = HashMap::new();
        let mut label_sets = self.label_sets();
        for series in self.series.iter().filter(|series| is_wanted(series)) {
            seen.entry_ref(&*metric_of(label_sets.of(series))).or_insert(());
        }
        seen.into_keys().collect()
    }
}

impl SeriesLimits {
    fn surplus(self, active: usize, of_metric: usize) -> Option<Surplus> {
        if active >= self.max_series {
            return Some(Surplus::Series {
                limit: self.max_series,
                active,
            });
        }
        (of_metric >= self.max_series_per_metric).then_some(Surplus::OfMetric {
            limit: self.max_series_per_metric,
            active: of_metric,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Uid;
    use crate::wire::encode::{put_label, put_series};
    use crate::wire::{Form, Splitter, WriteLimits, snappy};

    fn batch(series: &[(&str, &str)]) -> SplitBatch {
        let mut plain = Vec::new();
        for (metric, pod) in series {
            let mut labels = Vec::new();
            put_label(&mut labels, b"__name__", metric.as_bytes());
            put_label(&mut labels, b"pod", pod.as_bytes());
            put_series(&mut plain, &labels, &[1], &[1.0]);
        }
        let splitter = Splitter::new(b"secret", 16, 1 << 16).unwrap();
        let body = snappy::compress(&plain).unwrap();
        splitter
            .split(&body, Form::V1, Uid([1; 16]), 4, &WriteLimits::default(), 1)
            .unwrap()
    }

    fn limits(max_series: usize, max_series_per_metric: usize) -> SeriesLimits {
        SeriesLimits {
            max_series,
            max_series_per_metric,
        }
    }

    fn refused(batch: &SplitBatch) -> Vec<(Reason, u64, &str)> {
        let entries = batch.refused.iter();
        entries
            .map(|r| (r.reason, r.samples, r.message.as_str()))
            .collect()
    }

    #[test]
    fn what_there_is_room_for_is_left_alone() {
        let batch = batch(&[("a", "1"), ("a", "2"), ("b", "1")]);
        let admitted = batch.admit(|_, _| true, limits(3, 2), 0, |_| 0).unwrap();
        assert!(admitted.rest.is_none());
        assert_eq!(admitted.new.len(), 3);
        let nothing_new = batch.admit(|_, _| false, limits(1, 1), 9, |_| 9).unwrap();
        assert!(nothing_new.rest.is_none() && nothing_new.new.is_empty());
    }

    #[test]
    fn a_metric_that_is_full_costs_no_other_one() {
        let batch = batch(&[
            ("a", "1"),
            ("a", "2"),
            ("b", "1"),
            ("a", "2"),
            ("b", "2"),
            ("a", "3"),
        ]);
        let admitted = batch
            .admit(
                |_, _| true,
                limits(100, 3),
                7,
                |metric| 2 * usize::from(metric == "a"),
            )
            .unwrap();
        let rest = admitted.rest.unwrap();
        assert_eq!(admitted.new.len(), 3);
        assert_eq!(rest.series.len(), 3);
        assert_eq!(
            refused(&rest),
            [(
                Reason::MetricSeriesLimit,
                3,
                "the limit max_series_per_metric is 3, and 3 series of a are active; one more is refused: a{pod=\"2\"}"
            )]
        );
    }

    #[test]
    fn of_both_limits_each_has_its_reason() {
        let batch = batch(&[("a", "1"), ("a", "2"), ("b", "1"), ("c", "1")]);
        let admitted = batch.admit(|_, _| true, limits(12, 1), 10, |_| 0).unwrap();
        let rest = admitted.rest.unwrap();
        let reasons: Vec<_> = rest.refused.iter().map(|r| (r.reason, r.samples)).collect();
        assert_eq!(
            reasons,
            [(Reason::MetricSeriesLimit, 1), (Reason::SeriesLimit, 1)]
        );
        assert!(
            rest.refused[1]
                .message
                .starts_with("the limit max_series is 12, and 12 series are active")
        );
    }

    #[test]
    fn metrics_are_named_once() {
        let batch = batch(&[("a", "1"), ("b", "1"), ("a", "2")]);
        let mut metrics = batch.metrics(|_| true);
        metrics.sort();
        assert_eq!(metrics, ["a", "b"]);
        let last = batch.series[2].key;
        assert_eq!(batch.metrics(|series| series.key == last), ["a"]);
    }
}
