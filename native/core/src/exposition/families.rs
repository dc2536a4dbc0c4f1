//! A whole exposition in text as metric families, all or nothing: what a push holds.

use std::borrow::Cow;

use hashbrown::HashMap;

use super::family::{Exemplar, Family, Kind, Label, Metric, Value};
use super::line::{self, Comment, Dialect, Point, Text, is_legacy_label, is_legacy_metric, quoted};
use super::number;
use crate::{Error, Result};

/// Reads a body in the text format, as the client libraries do, or in OpenMetrics. BadData, with the line, for what is neither.
pub fn of_text(body: &[u8], dialect: Dialect) -> Result<Vec<Family>> {
    let mut reading = Reading {
        dialect,
        families: Vec::new(),
        by_name: HashMap::new(),
        ended: false,
    };
    let mut lines = 0;
    let mut rest = body;
    while !rest.is_empty() {
        lines += 1;
        let read = match rest.iter().position(|byte| *byte == b'\n') {
            Some(end) => {
                let line = &rest[..end];
                rest = &rest[end + 1..];
                reading.line(line)
            }
            None if dialect == Dialect::OpenMetrics => reading.line(std::mem::take(&mut rest)),
            None => Err("unexpected end of input stream".to_owned()),
        };
        read.map_err(|why| bad(lines, &why))?;
    }
    if dialect == Dialect::OpenMetrics && !reading.ended {
        return Err(bad(lines, "data does not end with # EOF"));
    }
    Ok(reading.finish())
}

fn bad(line: u64, why: &str) -> Error {
    Error::BadData(format!("text format parsing error in line {line}: {why}"))
}

struct Reading<'a> {
    dialect: Dialect,
    families: Vec<Open<'a>>,
    by_name: HashMap<Cow<'a, str>, usize>,
    ended: bool,
}

/// A family as far as it was read.
struct Open<'a> {
    name: Cow<'a, str>,
    help: Option<String>,
    kind: Option<Kind>,
    metrics: Vec<Metric>,
    /// Of a histogram or summary: labels → number of the metric.
    by_labels: HashMap<Vec<Label>, usize>,
}

/// What a line is to its family.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Whole,
    Sum,
    Count,
    Bucket,
}

impl Role {
    const fn suffix(self) -> &'static str {
        match self {
            Self::Whole => "",
            Self::Sum => "_sum",
            Self::Count => "_count",
            Self::Bucket => "_bucket",
        }
    }
}

impl<'a> Reading<'a> {
    fn line(&mut self, line: &'a [u8]) -> Result<(), String> {
        if self.ended {
            return Err("unexpected data after # EOF".to_owned());
        }
        let is_open = self.dialect == Dialect::OpenMetrics;
        let blanks = line
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t'))
            .count();
        let line = if is_open { line } else { &line[blanks..] };
        match line.first() {
            None if is_open => Err("an empty line".to_owned()),
            None => Ok(()),
            Some(b'#') => self.comment(line),
            Some(_) => self.sample(line),
        }
    }

    fn comment(&mut self, line: &'a [u8]) -> Result<(), String> {
        match line::comment(line, self.dialect)? {
            Comment::Other | Comment::Unit(..) => {}
            Comment::Eof => self.ended = true,
            Comment::Help(name, text) => {
                let name = metric_name(name)?;
                let family = self.family(name);
                if family.help.is_some() {
                    return Err(format!("second HELP line for metric name {:?}", family.name));
                }
                family.help = Some(String::from_utf8_lossy(&text).into_owned());
            }
            Comment::Type(name, word) => {
                let name = metric_name(name)?;
                let kind = if self.dialect == Dialect::OpenMetrics {
                    open_kind(word)
                } else {
                    Kind::of_text(word)
                };
                let family = self.family(name);
                if family.kind.is_some() {
                    return Err(format!(
                        "second TYPE line for metric name {:?}, or TYPE reported after samples",
                        family.name
                    ));
                }
                family.kind = Some(kind.ok_or_else(|| format!("unknown metric type {}", quoted(word)))?);
            }
        }
        Ok(())
    }

    fn sample(&mut self, line: &'a [u8]) -> Result<(), String> {
        let (mut name, mut pairs) = (Cow::Borrowed(&b""[..]), Vec::new());
        let len = line::series(line, self.dialect, &mut name, &mut pairs)?;
        let name = metric_name(name)?;
        let (number, role) = self.find(&name);
        let number = number.unwrap_or_else(|| self.begin(name, self.dialect));
        let family = &mut self.families[number];
        let kind = *family.kind.get_or_insert(Kind::Untyped);
        let (labels, boundary) = labels(pairs, kind)?;
        let point = line::point(&line[len..], self.dialect)?;
        let exemplar = point.exemplar.map(exemplar).transpose()?;
        family.add(kind, role, labels, boundary, &point, exemplar)
    }

    /// The family that a sample belongs to, if it was met before.
    fn find(&self, name: &str) -> (Option<usize>, Role) {
        if let Some(&number) = self.by_name.get(name) {
            return (Some(number), Role::Whole);
        }
        for (suffix, role) in [
            ("_count", Role::Count),
            ("_sum", Role::Sum),
            ("_bucket", Role::Bucket),
        ] {
            let Some(number) = name.strip_suffix(suffix).and_then(|base| self.by_name.get(base)) else {
                continue;
            };
            let is_part = match self.families[*number].kind {
                Some(Kind::Summary) => role != Role::Bucket,
                Some(Kind::Histogram | Kind::GaugeHistogram) => true,
                _ => false,
            };
            if is_part {
                return (Some(*number), role);
            }
        }
        (None, Role::Whole)
    }

    fn family(&mut self, name: Cow<'a, str>) -> &mut Open<'a> {
        let known = self.by_name.get(&name).copied();
        let number = known.unwrap_or_else(|| self.begin(name, Dialect::Library));
        &mut self.families[number]
    }

    /// A new family. That of an OpenMetrics sample has the sample's name, and the type that its suffix has in the family it was
    /// declared for: a counter is scraped under its sample's name.
    fn begin(&mut self, name: Cow<'a, str>, dialect: Dialect) -> usize {
        let mut family = Open {
            name: name.clone(),
            help: None,
            kind: None,
            metrics: Vec::new(),
            by_labels: HashMap::new(),
        };
        if dialect == Dialect::OpenMetrics {
            for (suffix, kind) in [
                ("_total", Some(Kind::Counter)),
                ("_info", Some(Kind::Gauge)),
                ("_created", Some(Kind::Gauge)),
            ] {
                let base = name.strip_suffix(suffix).and_then(|base| self.by_name.get(base));
                if let Some(declared) = base {
                    family.kind = kind;
                    family.help.clone_from(&self.families[*declared].help);
                }
            }
        }
        self.by_name.insert(name, self.families.len());
        self.families.push(family);
        self.families.len() - 1
    }

    /// Those that have samples.
    fn finish(self) -> Vec<Family> {
        let families = self
            .families
            .into_iter()
            .filter(|family| !family.metrics.is_empty());
        families
            .map(|family| Family {
                name: family.name.into_owned(),
                help: family.help.unwrap_or_default(),
                kind: family.kind.unwrap_or(Kind::Untyped),
                metrics: family.metrics,
            })
            .collect()
    }
}

impl Open<'_> {
    fn add(
        &mut self,
        kind: Kind,
        role: Role,
        labels: Vec<Label>,
        boundary: Option<f64>,
        point: &Point<'_>,
        exemplar: Option<Exemplar>,
    ) -> Result<(), String> {
        let (value, has_time) = (point.value, point.time.is_some());
        let exemplar = exemplar.map(|exemplar| Exemplar {
            suffix: role.suffix(),
            boundary,
            ..exemplar
        });
        let empty = match kind {
            Kind::Counter | Kind::Gauge | Kind::Untyped => {
                self.metrics.push(Metric {
                    labels,
                    value: Value::Plain(value),
                    exemplars: exemplar.into_iter().collect(),
                    has_time,
                });
                return Ok(());
            }
            Kind::Summary => Value::Summary {
                count: 0.0,
                sum: 0.0,
                quantiles: Vec::new(),
            },
            Kind::Histogram | Kind::GaugeHistogram => Value::Histogram {
                count: 0.0,
                sum: 0.0,
                buckets: Vec::new(),
                native: None,
            },
        };
        let known = self.by_labels.get(&labels).copied();
        let number = known.unwrap_or_else(|| {
            self.by_labels.insert(labels.clone(), self.metrics.len());
            self.metrics.push(Metric {
                labels,
                value: empty,
                exemplars: Vec::new(),
                has_time,
            });
            self.metrics.len() - 1
        });
        let metric = &mut self.metrics[number];
        metric.has_time |= has_time;
        metric.exemplars.extend(exemplar);
        match (&mut metric.value, role, boundary) {
            (Value::Summary { sum, .. } | Value::Histogram { sum, .. }, Role::Sum, _) => *sum = value,
            (Value::Summary { count, .. }, Role::Count, _) => *count = (value as u64) as f64,
            (Value::Summary { quantiles, .. }, Role::Whole, Some(quantile)) => {
                quantiles.push((quantile, value));
            }
            (Value::Histogram { count, .. }, Role::Count, _) => {
                if value < 0.0 {
                    return Err(format!("negative count for histogram {:?}", self.name));
                }
                *count = value;
            }
            (Value::Histogram { buckets, .. }, Role::Bucket, Some(bound)) => {
                if value < 0.0 {
                    return Err(format!(
                        "negative bucket population for histogram {:?}",
                        self.name
                    ));
                }
                buckets.push((bound, value));
            }
            // As the client libraries: such a line means nothing.
            _ => {}
        }
        Ok(())
    }
}

fn metric_name(name: Text<'_>) -> Result<Cow<'_, str>, String> {
    if !is_legacy_metric(&name) {
        return Err(format!("invalid metric name {}", quoted(&name)));
    }
    utf8(name)
}

/// Labels sorted by name, and the boundary that was among them.
fn labels(pairs: Vec<(Text<'_>, Text<'_>)>, kind: Kind) -> Result<(Vec<Label>, Option<f64>), String> {
    let boundary_name = match kind {
        Kind::Summary => "quantile",
        Kind::Histogram | Kind::GaugeHistogram => "le",
        _ => "",
    };
    let mut boundary = None;
    let mut labels = Vec::with_capacity(pairs.len() + 4);
    for (name, value) in pairs {
        if !is_legacy_label(&name) {
            return Err(format!("invalid label name {}", quoted(&name)));
        }
        let (name, value) = (utf8(name)?, utf8(value)?);
        if name == boundary_name {
            boundary = Some(number::float(value.as_bytes()).ok_or_else(|| {
                let value = quoted(value.as_bytes());
                format!("expected float as value for '{name}' label, got {value}")
            })?);
        } else {
            labels.push((name.into_owned(), value.into_owned()));
        }
    }
    labels.sort_unstable();
    Ok((labels, boundary))
}

/// What follows a sample.
fn exemplar(text: &[u8]) -> Result<Exemplar, String> {
    let mut pairs = Vec::new();
    let (value, time) = line::exemplar(text, &mut pairs)?;
    let labels = pairs
        .into_iter()
        .map(|(name, value)| Ok((utf8(name)?.into_owned(), utf8(value)?.into_owned())))
        .collect::<Result<_, String>>()?;
    Ok(Exemplar {
        suffix: "",
        boundary: None,
        labels,
        value,
        time,
    })
}

fn utf8(text: Text<'_>) -> Result<Cow<'_, str>, String> {
    match text {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed).ok(),
        Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).ok(),
    }
    .ok_or_else(|| "a name or value is not valid UTF-8".to_owned())
}

/// OpenMetrics' types. What the client model has no type for is pushed series by series.
fn open_kind(word: &[u8]) -> Option<Kind> {
    Some(match word {
        b"counter" => Kind::Counter,
        b"gauge" | b"stateset" | b"info" => Kind::Gauge,
        b"histogram" => Kind::Histogram,
        b"summary" => Kind::Summary,
        b"gaugehistogram" | b"unknown" => Kind::Untyped,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::labels::series_text;

    fn rows(text: &str, dialect: Dialect) -> Result<Vec<String>, String> {
        let families = of_text(text.as_bytes(), dialect).map_err(|error| error.to_string())?;
        let mut rows = Vec::new();
        for family in &families {
            rows.push(format!(
                "# {} {} {}",
                family.name,
                family.kind.name(),
                family.help
            ));
            family.each_series(|labels, value| rows.push(format!("{} {value}", series_text(labels))));
        }
        Ok(rows)
    }

    fn error(text: &str) -> String {
        rows(text, Dialect::Library).unwrap_err()
    }

    #[test]
    fn families_gather_what_belongs_to_them() {
        let text = "# HELP h Help.\n# TYPE h histogram\nh_bucket{le=\"1\",a=\"b\"} 1\nh_bucket{a=\"b\",le=\"+Inf\"} 2\nh_sum{a=\"b\"} 3\nh_count{a=\"b\"} 2\n\n# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 2\ns_count 3.9\n # a comment\ng 5\ng{a=\"b\"} 6\n# TYPE empty gauge\n# TYPE c counter\nc 1\nc_sum 2\n";
        assert_eq!(
            rows(text, Dialect::Library).unwrap(),
            [
                "# h HISTOGRAM Help.",
                "h_bucket{a=\"b\", le=\"1.0\"} 1",
                "h_bucket{a=\"b\", le=\"+Inf\"} 2",
                "h_sum{a=\"b\"} 3",
                "h_count{a=\"b\"} 2",
                "# s SUMMARY ",
                "s{quantile=\"0.5\"} 1",
                "s_sum 2",
                "s_count 3",
                "# g UNTYPED ",
                "g 5",
                "g{a=\"b\"} 6",
                "# c COUNTER ",
                "c 1",
                "# c_sum UNTYPED ",
                "c_sum 2",
            ]
        );
        assert_eq!(rows("", Dialect::Library).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn errors_name_the_line() {
        for (text, expected) in [
            ("a 1", "line 1: unexpected end of input stream"),
            ("a 1\n# EOF", "line 2: unexpected end of input stream"),
            ("a b 1\n", "line 1: expected float as value, got \"b\""),
            ("# TYPE a unknown\n", "line 1: unknown metric type \"unknown\""),
            (
                "a 1 # {b=\"c\"} 1\n",
                "line 1: expected integer as timestamp, got \"#\"",
            ),
            ("9a 1\n", "line 1: invalid metric name"),
            (
                "a{__name__=\"b\"} 1\n",
                "line 1: label name \"__name__\" is reserved",
            ),
            (
                "a{b=\"1\",b=\"2\"} 1\n",
                "line 1: duplicate label names for metric \"a\"",
            ),
            ("\n{\"a.b\"} 1\n", "line 2: invalid metric name \"a.b\""),
            ("a{\"b.c\"=\"d\"} 1\n", "line 1: invalid label name \"b.c\""),
            (
                "# HELP a b\n# HELP a b\n",
                "line 2: second HELP line for metric name \"a\"",
            ),
            (
                "a 1\n# TYPE a gauge\n",
                "line 2: second TYPE line for metric name \"a\", or TYPE reported after samples",
            ),
            (
                "# TYPE a histogram\na_bucket{le=\"x\"} 1\n",
                "line 2: expected float as value for 'le' label, got \"x\"",
            ),
            (
                "# TYPE a histogram\na_bucket{le=\"1\"} -1\n",
                "line 2: negative bucket population for histogram \"a\"",
            ),
            (
                "# TYPE a histogram\na_count -1\n",
                "line 2: negative count for histogram \"a\"",
            ),
            (
                "# TYPE a summary\na{quantile=\"x\"} 1\n",
                "line 2: expected float as value for 'quantile' label, got \"x\"",
            ),
            ("a{b=\"\u{e9}\\x\"} 1\n", "line 1: invalid escape sequence '\\x'"),
        ] {
            assert_eq!(
                error(text),
                format!("text format parsing error in {expected}"),
                "{text}"
            );
        }
    }

    #[test]
    fn timestamps_are_seen() {
        let families = of_text(b"a 1 5\nb 1\n", Dialect::Library).unwrap();
        assert_eq!(
            families.iter().map(|f| f.metrics[0].has_time).collect::<Vec<_>>(),
            [true, false]
        );
    }

    #[test]
    fn open_metrics_is_scraped_under_the_names_of_its_samples() {
        let text = "# TYPE a counter\n# HELP a Help.\na_total 1 # {t=\"x\"} 1\na_created 5\n# TYPE b info\nb_info{v=\"1\"} 1\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_count 1\nh_sum 2\n# TYPE u unknown\nu 1\n# EOF\n";
        assert_eq!(
            rows(text, Dialect::OpenMetrics).unwrap(),
            [
                "# h HISTOGRAM ",
                "h_bucket{le=\"+Inf\"} 1",
                "h_sum 2",
                "h_count 1",
                "# u UNTYPED ",
                "u 1",
            ]
            .iter()
            .fold(
                vec![
                    "# a_total COUNTER Help.".to_owned(),
                    "a_total 1".to_owned(),
                    "# a_created GAUGE Help.".to_owned(),
                    "a_created 5".to_owned(),
                    "# b_info GAUGE ".to_owned(),
                    "b_info{v=\"1\"} 1".to_owned(),
                ],
                |mut rows, row| {
                    rows.push((*row).to_owned());
                    rows
                }
            )
        );
        assert!(rows("a 1\n", Dialect::OpenMetrics).unwrap_err().contains("# EOF"));
        assert!(
            rows("# EOF\n\n", Dialect::OpenMetrics)
                .unwrap_err()
                .contains("line 2")
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(
            body in proptest::collection::vec(prop_oneof![
                Just(b"# TYPE a histogram\n".to_vec()), Just(b"a_bucket{le=\"".to_vec()), Just(b"\"} 1\n".to_vec()),
                Just(b"a".to_vec()), Just(b" 1\n".to_vec()), proptest::collection::vec(any::<u8>(), 0..4)
            ], 0..40),
        ) {
            let body = body.concat();
            for dialect in [Dialect::Library, Dialect::OpenMetrics] {
                let _ = of_text(&body, dialect);
            }
        }
    }
}
