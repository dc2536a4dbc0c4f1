//! Metric families: what a text or a protobuf exposition says, and the series that a scrape makes of it.

use super::native::Native;
use super::number::{PLAIN_NAN, canonical};
use crate::model::Millis;
use crate::wire::encode::put_label;

/// The numbers of `io.prometheus.client.MetricType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter = 0,
    Gauge = 1,
    Summary = 2,
    Untyped = 3,
    Histogram = 4,
    GaugeHistogram = 5,
}

impl Kind {
    pub const ALL: [Self; 6] = [
        Self::Counter,
        Self::Gauge,
        Self::Summary,
        Self::Untyped,
        Self::Histogram,
        Self::GaugeHistogram,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "COUNTER",
            Self::Gauge => "GAUGE",
            Self::Summary => "SUMMARY",
            Self::Untyped => "UNTYPED",
            Self::Histogram => "HISTOGRAM",
            Self::GaugeHistogram => "GAUGE_HISTOGRAM",
        }
    }

    /// As the client libraries' parser reads it: in any case.
    pub fn of_text(word: &[u8]) -> Option<Self> {
        let known = Self::ALL
            .into_iter()
            .find(|kind| word.eq_ignore_ascii_case(kind.name().as_bytes()));
        known.or_else(|| {
            word.eq_ignore_ascii_case(b"GAUGEHISTOGRAM")
                .then_some(Self::GaugeHistogram)
        })
    }

    pub fn of_number(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u64 == number)
    }

    /// The number of remote write's `MetricMetadata.MetricType`.
    pub fn of_metadata(self) -> u8 {
        match self {
            Self::Untyped => 0,
            Self::Counter => 1,
            Self::Gauge => 2,
            Self::Histogram => 3,
            Self::GaugeHistogram => 4,
            Self::Summary => 5,
        }
    }
}

/// Name and value.
pub type Label = (String, String);

#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    pub name: String,
    pub help: String,
    pub kind: Kind,
    pub metrics: Vec<Metric>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Without `le` of a histogram and `quantile` of a summary.
    pub labels: Vec<Label>,
    pub value: Value,
    /// Those of its series. They belong to the push that brought them, not to its group.
    pub exemplars: Vec<Exemplar>,
    pub has_time: bool,
}

/// An exemplar of one of the series of a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// What the series has behind the family's name.
    pub suffix: &'static str,
    /// Its `le`, or its `quantile` where it has no suffix.
    pub boundary: Option<f64>,
    pub labels: Vec<Label>,
    pub value: f64,
    /// `None`: that of the sample.
    pub time: Option<Millis>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Plain(f64),
    Summary {
        count: f64,
        sum: f64,
        /// Quantile and value.
        quantiles: Vec<(f64, f64)>,
    },
    Histogram {
        count: f64,
        sum: f64,
        /// Upper bound and cumulative count. Without any a histogram that has a native form has no other.
        buckets: Vec<(f64, f64)>,
        native: Option<Box<Native>>,
    },
}

impl Family {
    /// Calls `put` with the labels, as a remote-write message has them and sorted by name, and the value of each series that a scrape
    /// makes of the family, native histograms aside. Labels with empty values are absent.
    pub fn each_series(&self, mut put: impl FnMut(&[u8], f64)) {
        let mut out = Vec::with_capacity(256);
        let mut names = Names::new(&self.name);
        for metric in &self.metrics {
            match &metric.value {
                Value::Plain(value) => {
                    series(&mut out, &self.name, &metric.labels, None);
                    put(&out, plain(*value));
                }
                Value::Summary {
                    count,
                    sum,
                    quantiles,
                } => {
                    for &(quantile, value) in quantiles {
                        series(
                            &mut out,
                            &self.name,
                            &metric.labels,
                            Some(("quantile", &canonical(quantile))),
                        );
                        put(&out, plain(value));
                    }
                    put_sum_and_count(&mut out, &mut names, metric, *sum, *count, &mut put);
                }
                Value::Histogram {
                    buckets,
                    native: Some(_),
                    ..
                } if buckets.is_empty() => {}
                Value::Histogram {
                    count, sum, buckets, ..
                } => {
                    let has_infinite = buckets.iter().any(|(bound, _)| *bound == f64::INFINITY);
                    let last = (!has_infinite).then_some((f64::INFINITY, *count));
                    for (bound, cumulative) in buckets.iter().copied().chain(last) {
                        let name = names.with("_bucket");
                        series(&mut out, name, &metric.labels, Some(("le", &canonical(bound))));
                        put(&out, plain(cumulative));
                    }
                    put_sum_and_count(&mut out, &mut names, metric, *sum, *count, &mut put);
                }
            }
        }
    }

    /// Likewise of its native histograms.
    pub fn each_native(&self, mut put: impl FnMut(&[u8], &Native)) {
        let mut out = Vec::new();
        for metric in &self.metrics {
            if let Value::Histogram {
                native: Some(native), ..
            } = &metric.value
            {
                series(&mut out, &self.name, &metric.labels, None);
                put(&out, native);
            }
        }
    }

    /// Likewise of its exemplars.
    pub fn each_exemplar(&self, mut put: impl FnMut(&[u8], &Exemplar)) {
        let mut out = Vec::new();
        let mut names = Names::new(&self.name);
        for metric in &self.metrics {
            for exemplar in &metric.exemplars {
                let label = if exemplar.suffix.is_empty() {
                    "quantile"
                } else {
                    "le"
                };
                let boundary = exemplar.boundary.map(canonical);
                let extra = boundary.as_deref().map(|boundary| (label, boundary));
                series(&mut out, names.with(exemplar.suffix), &metric.labels, extra);
                put(&out, exemplar);
            }
        }
    }

    /// The most series that a scrape makes of it.
    pub fn series(&self) -> usize {
        let of = |metric: &Metric| match &metric.value {
            Value::Plain(_) => 1,
            Value::Summary { quantiles, .. } => quantiles.len() + 2,
            Value::Histogram { buckets, .. } => buckets.len() + 3,
        };
        self.metrics.iter().map(of).sum()
    }
}

fn put_sum_and_count(
    out: &mut Vec<u8>,
    names: &mut Names,
    metric: &Metric,
    sum: f64,
    count: f64,
    put: &mut impl FnMut(&[u8], f64),
) {
    for (suffix, value) in [("_sum", sum), ("_count", count)] {
        series(out, names.with(suffix), &metric.labels, None);
        put(out, plain(value));
    }
}

impl Exemplar {
    /// Its labels as a remote-write message has them.
    pub fn label_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, value) in &self.labels {
            put_label(&mut out, name.as_bytes(), value.as_bytes());
        }
        out
    }
}

/// A family's name with a suffix, in one buffer.
struct Names {
    text: String,
    base: usize,
}

impl Names {
    fn new(base: &str) -> Self {
        Self {
            text: base.to_owned(),
            base: base.len(),
        }
    }

    fn with(&mut self, suffix: &str) -> &str {
        self.text.truncate(self.base);
        self.text.push_str(suffix);
        &self.text
    }
}

/// No NaN of a push is a stale marker.
fn plain(value: f64) -> f64 {
    if value.is_nan() {
        f64::from_bits(PLAIN_NAN)
    } else {
        value
    }
}

fn series(out: &mut Vec<u8>, name: &str, labels: &[Label], extra: Option<(&str, &str)>) {
    out.clear();
    let mut pairs: Vec<(&str, &str)> = Vec::with_capacity(labels.len() + 2);
    pairs.push(("__name__", name));
    pairs.extend(labels.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    pairs.extend(extra);
    pairs.retain(|(_, value)| !value.is_empty());
    pairs.sort_unstable();
    for (name, value) in pairs {
        put_label(out, name.as_bytes(), value.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::labels::series_text;

    fn rows(family: &Family) -> Vec<String> {
        let mut rows = Vec::new();
        family.each_series(|labels, value| rows.push(format!("{} {value}", series_text(labels))));
        assert_eq!(rows.len().min(family.series()), rows.len());
        rows
    }

    fn family(kind: Kind, value: Value) -> Family {
        Family {
            name: "x".into(),
            help: String::new(),
            kind,
            metrics: vec![Metric {
                labels: vec![
                    ("z".into(), "1".into()),
                    ("a".into(), "2".into()),
                    ("e".into(), String::new()),
                ],
                value,
                exemplars: Vec::new(),
                has_time: false,
            }],
        }
    }

    #[test]
    fn series_are_those_of_a_scrape() {
        assert_eq!(
            rows(&family(Kind::Gauge, Value::Plain(1.5))),
            ["x{a=\"2\", z=\"1\"} 1.5"]
        );
        let summary = Value::Summary {
            count: 3.0,
            sum: 4.5,
            quantiles: vec![(0.5, 1.0)],
        };
        assert_eq!(
            rows(&family(Kind::Summary, summary)),
            [
                "x{a=\"2\", quantile=\"0.5\", z=\"1\"} 1",
                "x_sum{a=\"2\", z=\"1\"} 4.5",
                "x_count{a=\"2\", z=\"1\"} 3"
            ]
        );
        let histogram = Value::Histogram {
            count: 3.0,
            sum: 4.5,
            buckets: vec![(1.0, 2.0)],
            native: None,
        };
        assert_eq!(
            rows(&family(Kind::Histogram, histogram)),
            [
                "x_bucket{a=\"2\", le=\"1.0\", z=\"1\"} 2",
                "x_bucket{a=\"2\", le=\"+Inf\", z=\"1\"} 3",
                "x_sum{a=\"2\", z=\"1\"} 4.5",
                "x_count{a=\"2\", z=\"1\"} 3"
            ]
        );
    }

    #[test]
    fn no_stale_marker_comes_from_a_push() {
        family(Kind::Gauge, Value::Plain(f64::from_bits(0x7ff0_0000_0000_0002)))
            .each_series(|_, value| assert_eq!(value.to_bits(), PLAIN_NAN));
    }

    #[test]
    fn kinds_are_read_in_any_case() {
        for (word, kind) in [
            ("counter", Some(Kind::Counter)),
            ("Gauge", Some(Kind::Gauge)),
            ("gaugehistogram", Some(Kind::GaugeHistogram)),
            ("gauge_histogram", Some(Kind::GaugeHistogram)),
            ("unknown", None),
        ] {
            assert_eq!(Kind::of_text(word.as_bytes()), kind);
        }
        for kind in Kind::ALL {
            assert_eq!(Kind::of_number(kind as u64), Some(kind));
        }
    }
}
