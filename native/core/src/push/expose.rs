//! Groups as one exposition: what a scrape of a Pushgateway gets of them.

use std::collections::BTreeMap;
use std::io::Write as _;

use super::book::Book;
use super::prepare::stamp;
use crate::Result;
use crate::engine::number::g_value;
use crate::exposition::family::{Family, Kind, Label, Metric, Value};
use crate::exposition::protobuf;
use crate::model::{Millis, Uid};

/// How an exposition is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposition {
    /// The text format, 0.0.4, in which native histograms have no buckets.
    Text,
    /// Delimited `io.prometheus.client.MetricFamily` messages.
    Protobuf,
}

impl Book {
    /// The families of the groups that an instance has at a time, stamps among them: delimited messages, of which those of one name may
    /// be many.
    pub fn families(&self, uid: Uid, now: Millis) -> Vec<u8> {
        let state = self.state();
        let owner = state.owners.get(&uid);
        let groups = owner.into_iter().flat_map(|owner| owner.groups.values());
        let mut out = Vec::new();
        for group in groups.filter(|group| group.lives(now)) {
            for held in group.families.values() {
                out.extend_from_slice(&held.bytes);
            }
            for (which, time) in [group.pushed, group.failed].into_iter().enumerate() {
                protobuf::put(&mut out, &stamp(which, &group.labels, time));
            }
        }
        out
    }
}

/// One exposition of what several books have given: families by name, their metrics by labels, without times. A metric without an
/// `instance` says that it has none, so that no scraper adds its own.
pub fn expose<'p>(pieces: impl IntoIterator<Item = &'p [u8]>, form: Exposition) -> Result<Vec<u8>> {
    let mut names: BTreeMap<String, BTreeMap<u8, Family>> = BTreeMap::new();
    for piece in pieces {
        for mut family in protobuf::messages(piece)? {
            family
                .metrics
                .iter_mut()
                .for_each(|metric| name_instance(&mut metric.labels));
            let kinds = names.entry(family.name.clone()).or_default();
            match kinds.entry(family.kind as u8) {
                std::collections::btree_map::Entry::Vacant(place) => drop(place.insert(family)),
                std::collections::btree_map::Entry::Occupied(mut known) => {
                    let known = known.get_mut();
                    if known.help.is_empty() {
                        known.help = family.help;
                    }
                    known.metrics.append(&mut family.metrics);
                }
            }
        }
    }
    let mut out = Vec::new();
    for kinds in names.values_mut() {
        for family in kinds.values_mut() {
            family.metrics.sort_by(|a, b| a.labels.cmp(&b.labels));
        }
        match form {
            Exposition::Protobuf => kinds.values().for_each(|family| protobuf::put(&mut out, family)),
            Exposition::Text => write_text(kinds.values(), &mut out),
        }
    }
    Ok(out)
}

fn name_instance(labels: &mut Vec<Label>) {
    if let Err(place) = labels.binary_search_by(|(name, _)| name.as_str().cmp("instance")) {
        labels.insert(place, ("instance".to_owned(), String::new()));
    }
}

/// Families of one name, which have more than one type if groups do not agree.
fn write_text<'f>(families: impl ExactSizeIterator<Item = &'f Family> + Clone, out: &mut Vec<u8>) {
    let Some(first) = families.clone().next() else {
        return;
    };
    let name = &first.name;
    if let Some(help) = families
        .clone()
        .map(|family| &family.help)
        .find(|help| !help.is_empty())
    {
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = writeln!(out, "# HELP {name} {help}");
    }
    let kind = match first.kind {
        _ if families.len() > 1 => "untyped".to_owned(),
        Kind::GaugeHistogram => "histogram".to_owned(),
        kind => kind.name().to_ascii_lowercase(),
    };
    let _ = writeln!(out, "# TYPE {name} {kind}");
    for metric in families.flat_map(|family| &family.metrics) {
        write_metric(name, metric, out);
    }
}

fn write_metric(name: &str, metric: &Metric, out: &mut Vec<u8>) {
    let mut line = |suffix: &str, extra: Option<(&str, f64)>, value: String| {
        let _ = write!(out, "{name}{suffix}");
        let mut separator = '{';
        for (label, value) in &metric.labels {
            let value = value
                .replace('\\', "\\\\")
                .replace('\n', "\\n")
                .replace('"', "\\\"");
            let _ = write!(out, "{separator}{label}=\"{value}\"");
            separator = ',';
        }
        if let Some((label, boundary)) = extra {
            let _ = write!(out, "{separator}{label}=\"{}\"", g_value(boundary));
        }
        let _ = writeln!(out, "}} {value}");
    };
    match &metric.value {
        Value::Plain(value) => line("", None, g_value(*value)),
        Value::Summary {
            count,
            sum,
            quantiles,
        } => {
            for &(quantile, value) in quantiles {
                line("", Some(("quantile", quantile)), g_value(value));
            }
            line("_sum", None, g_value(*sum));
            line("_count", None, g_value(*count));
        }
        Value::Histogram {
            count, sum, buckets, ..
        } => {
            let has_infinite = buckets.iter().any(|(bound, _)| *bound == f64::INFINITY);
            let last = (!has_infinite).then_some((f64::INFINITY, *count));
            for (bound, cumulative) in buckets.iter().copied().chain(last) {
                line("_bucket", Some(("le", bound)), g_value(cumulative));
            }
            line("_sum", None, g_value(*sum));
            line("_count", None, g_value(*count));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::families::of_text;
    use crate::exposition::line::Dialect;

    fn piece(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        for family in of_text(text.as_bytes(), Dialect::Library).unwrap() {
            protobuf::put(&mut out, &family);
        }
        out
    }

    fn exposed(texts: &[&str]) -> String {
        let pieces: Vec<_> = texts.iter().map(|text| piece(text)).collect();
        let text = expose(pieces.iter().map(Vec::as_slice), Exposition::Text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn families_of_many_groups_are_one() {
        let text = exposed(&[
            "# HELP g A \\\\ and \\n.\n# TYPE g gauge\ng{job=\"b\",instance=\"i\"} 1e6\n# TYPE c counter\nc{job=\"b\"} 2\n",
            "# TYPE g gauge\ng{job=\"a\\\\b\\\"\\n\"} NaN\n",
        ]);
        let expected = "# TYPE c counter\nc{instance=\"\",job=\"b\"} 2\n# HELP g A \\\\ and \\n.\n# TYPE g gauge\n\
                        g{instance=\"\",job=\"a\\\\b\\\"\\n\"} NaN\ng{instance=\"i\",job=\"b\"} 1e+06\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn groups_that_do_not_agree_about_a_type_make_it_untyped() {
        let text = exposed(&[
            "# TYPE x gauge\nx{job=\"a\"} 1\n",
            "# TYPE x summary\nx_sum{job=\"b\"} 2\nx_count{job=\"b\"} 3\n",
        ]);
        let expected = "# TYPE x untyped\nx{instance=\"\",job=\"a\"} 1\nx_sum{instance=\"\",job=\"b\"} 2\n\
                        x_count{instance=\"\",job=\"b\"} 3\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn distributions_are_written_as_libraries_do() {
        let text = exposed(&[
            "# TYPE h histogram\nh_bucket{le=\"1\"} 2000000\nh_sum 4.5\nh_count 3000000\n# TYPE s summary\ns{quantile=\"0.5\"} 1\n\
             s_sum 2\ns_count 3\n",
        ]);
        let expected = "# TYPE h histogram\nh_bucket{instance=\"\",le=\"1\"} 2e+06\nh_bucket{instance=\"\",le=\"+Inf\"} 3e+06\n\
                        h_sum{instance=\"\"} 4.5\nh_count{instance=\"\"} 3e+06\n# TYPE s summary\n\
                        s{instance=\"\",quantile=\"0.5\"} 1\ns_sum{instance=\"\"} 2\ns_count{instance=\"\"} 3\n";
        assert_eq!(text, expected);
        let families = of_text(text.as_bytes(), Dialect::Library).unwrap();
        assert_eq!(families.len(), 2);
    }

    #[test]
    fn protobuf_says_the_same() {
        let pieces = [
            piece("# TYPE g gauge\ng 1\n"),
            piece("# TYPE g gauge\ng{job=\"a\"} 1\n"),
        ];
        let body = expose(pieces.iter().map(Vec::as_slice), Exposition::Protobuf).unwrap();
        let families = protobuf::read(&body).unwrap();
        assert_eq!((families.len(), families[0].metrics.len()), (1, 2));
        assert!(expose([&b"\x05"[..]], Exposition::Text).is_err());
    }
}
