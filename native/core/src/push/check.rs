//! Grouping labels put into a push, and what makes it inconsistent. Texts are those of the Pushgateway.

use std::fmt::Write as _;

use hashbrown::{HashMap, HashSet};

use crate::engine::number::g_value;
use crate::exposition::family::{Family, Kind, Label, Metric, Value};
use crate::exposition::line::{is_legacy_label, is_legacy_metric};

/// Families that the receiver writes itself: pushed ones of these names are left out.
pub const STAMPS: [(&str, &str); 2] = [
    (
        "push_time_seconds",
        "Last Unix time when changing this group in the Pushgateway succeeded.",
    ),
    (
        "push_failure_time_seconds",
        "Last Unix time when changing this group in the Pushgateway failed.",
    ),
];

const PREFIX: &str = "pushed metrics are invalid or inconsistent with existing metrics: ";

/// Longest text of a metric in an error.
const TEXT_CHARS: usize = 300;

/// Puts the grouping labels into every metric, over its own of these names, and drops the receiver's own families.
pub fn sanitise(families: &mut Vec<Family>, group: &[Label]) {
    families.retain(|family| STAMPS.iter().all(|(name, _)| family.name != *name));
    for metric in families.iter_mut().flat_map(|family| &mut family.metrics) {
        metric
            .labels
            .retain(|(name, _)| group.iter().all(|(own, _)| own != name));
        metric.labels.extend_from_slice(group);
        metric.labels.sort_unstable();
    }
}

/// What is wrong with a sanitised push, as one line; all that is wrong with it if that is more.
pub fn check(families: &[Family]) -> Result<(), String> {
    let mut metrics = families.iter().flat_map(|family| &family.metrics);
    if metrics.any(|metric| metric.has_time) {
        return Err(format!("{PREFIX}pushed metrics must not have timestamps"));
    }
    let mut errors = Vec::new();
    let names: HashMap<&str, Kind> = families.iter().map(|f| (f.name.as_str(), f.kind)).collect();
    for family in families {
        if !is_legacy_metric(family.name.as_bytes()) {
            errors.push(format!("invalid metric name {:?}", family.name));
        }
        errors.extend(collision(family, &names));
        let mut met = HashSet::new();
        for metric in &family.metrics {
            if let Some(why) = broken_label(family, metric) {
                errors.push(format!("collected metric {} {why}", text(family, metric)));
            } else if !met.insert(&metric.labels) {
                errors.push(format!(
                    "collected metric {} was collected before with the same name and label values",
                    text(family, metric)
                ));
            }
        }
    }
    match errors.as_slice() {
        [] => Ok(()),
        [error] => Err(format!("{PREFIX}{error}")),
        _ => {
            const SHOWN: usize = 10;
            let mut all = format!("{PREFIX}{} error(s) occurred:", errors.len());
            for error in errors.iter().take(SHOWN) {
                let _ = write!(all, "\n* {error}");
            }
            Err(all)
        }
    }
}

fn broken_label(family: &Family, metric: &Metric) -> Option<String> {
    let mut before = None;
    for (name, _) in &metric.labels {
        if !is_legacy_label(name.as_bytes()) || name == "__name__" {
            return Some(format!("has a label with an invalid name: {name}"));
        }
        if before == Some(name) {
            return Some(format!("has two or more labels with the same name: {name}"));
        }
        if name == "quantile" && family.kind == Kind::Summary {
            return Some("must not have an explicit \"quantile\" label".to_owned());
        }
        before = Some(name);
    }
    None
}

/// Whether series of the family would have the name of another one's.
fn collision(family: &Family, names: &HashMap<&str, Kind>) -> Option<String> {
    let parts: &[&str] = match family.kind {
        Kind::Summary => &["_count", "_sum"],
        Kind::Histogram | Kind::GaugeHistogram => &["_count", "_sum", "_bucket"],
        _ => return None,
    };
    let kind = if family.kind == Kind::Summary {
        "summary"
    } else {
        "histogram"
    };
    parts
        .iter()
        .map(|part| format!("{}{part}", family.name))
        .find(|part| names.contains_key(part.as_str()))
        .map(|part| {
            let name = &family.name;
            format!(
                "collected metric named {part:?} collides with previously collected {kind} named {name:?}"
            )
        })
}

/// As the text form of the protobuf message.
fn text(family: &Family, metric: &Metric) -> String {
    let mut out = format!("{:?} {{ ", family.name);
    for (name, value) in &metric.labels {
        let _ = write!(out, "label:{{name:{name:?} value:{value:?}}} ");
    }
    let kind = family.kind.name().to_ascii_lowercase();
    let _ = match &metric.value {
        Value::Plain(value) => write!(out, "{kind}:{{value:{}}}}}", g_value(*value)),
        Value::Summary { count, sum, .. } | Value::Histogram { count, sum, .. } => write!(
            out,
            "{kind}:{{sample_count:{} sample_sum:{}}}}}",
            g_value(*count),
            g_value(*sum)
        ),
    };
    match out.char_indices().nth(TEXT_CHARS) {
        Some((end, _)) => format!("{}…", &out[..end]),
        None => out,
    }
}
