//! Groups as the API shows them: the Pushgateway's `/api/v1/metrics`.

use std::io::Write as _;

use super::book::Book;
use super::group::Group;
use super::prepare::stamp;
use crate::Result;
use crate::engine::calendar::Moment;
use crate::engine::json::{write_labels, write_string};
use crate::engine::number::{g_value, plain_value};
use crate::exposition::family::{Family, Kind, Label, Value};
use crate::exposition::native::Native;
use crate::model::{Millis, Uid};

impl Book {
    /// The groups that an instance has at a time, each an object, with commas between them.
    pub fn json(&self, uid: Uid, now: Millis) -> Result<Vec<u8>> {
        let groups: Vec<Group> = {
            let state = self.state();
            let owner = state.owners.get(&uid);
            let groups = owner.into_iter().flat_map(|owner| owner.groups.values());
            groups.filter(|group| group.lives(now)).cloned().collect()
        };
        let mut out = Vec::new();
        for (number, group) in groups.iter().enumerate() {
            if number > 0 {
                out.push(b',');
            }
            write_group(group, &mut out)?;
        }
        Ok(out)
    }
}

fn write_group(group: &Group, out: &mut Vec<u8>) -> Result<()> {
    out.extend_from_slice(b"{\"labels\":");
    put_labels(&group.labels, out);
    let succeeded = group.failed <= group.pushed;
    let _ = write!(out, ",\"last_push_successful\":{succeeded}");
    for held in group.families.values() {
        for family in held.families()? {
            write_family(&family, held.pushed, out);
        }
    }
    for (which, time) in [group.pushed, group.failed].into_iter().enumerate() {
        write_family(
            &stamp(which, &group.labels, time),
            group.pushed.max(group.failed),
            out,
        );
    }
    out.push(b'}');
    Ok(())
}

fn write_family(family: &Family, pushed: Millis, out: &mut Vec<u8>) {
    out.push(b',');
    write_string(&family.name, out);
    let time = timestamp(pushed);
    let _ = write!(
        out,
        ":{{\"time_stamp\":\"{time}\",\"type\":\"{}\"",
        family.kind.name()
    );
    if !family.help.is_empty() {
        out.extend_from_slice(b",\"help\":");
        write_string(&family.help, out);
    }
    out.extend_from_slice(b",\"metrics\":[");
    for (number, metric) in family.metrics.iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"labels\":");
        let mut labels = metric.labels.clone();
        if labels.iter().all(|(name, _)| name != "instance") {
            labels.push(("instance".to_owned(), String::new()));
        }
        labels.sort_unstable();
        put_labels(&labels, out);
        out.push(b',');
        write_value(family.kind, &metric.value, out);
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
}

fn write_value(kind: Kind, value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Plain(value) => {
            let _ = write!(out, "\"value\":\"{}\"", g_value(*value));
        }
        // The Pushgateway knows no better.
        _ if kind == Kind::GaugeHistogram => out.extend_from_slice(b"\"value\":\"0\""),
        Value::Summary {
            count,
            sum,
            quantiles,
        } => {
            write_pairs("quantiles", quantiles, g_value, out);
            write_totals(&plain_value(*count), *sum, out);
        }
        Value::Histogram {
            sum,
            native: Some(native),
            ..
        } => write_native(native, *sum, out),
        Value::Histogram {
            count, sum, buckets, ..
        } => {
            let counts = || buckets.iter().map(|(_, count)| count).chain([count]);
            let text = if counts().all(|count| count.fract() == 0.0) {
                plain_value
            } else {
                g_value
            };
            write_pairs("buckets", buckets, text, out);
            write_totals(&text(*count), *sum, out);
        }
    }
}

/// As the query API shows one: which bounds belong to a bucket, the bounds, the count.
fn write_native(native: &Native, sum: f64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"buckets\":[");
    let histogram = native.histogram().unwrap_or_default();
    let text = if native.is_float() { g_value } else { plain_value };
    let filled = histogram.all_buckets().filter(|bucket| bucket.count != 0.0);
    for (number, bucket) in filled.enumerate() {
        let comma = if number > 0 { "," } else { "" };
        let (lower, upper, count) = (g_value(bucket.lower), g_value(bucket.upper), text(bucket.count));
        let rule = bucket.rule();
        let _ = write!(out, "{comma}[{rule},\"{lower}\",\"{upper}\",\"{count}\"]");
    }
    out.push(b']');
    write_totals(&text(histogram.count), sum, out);
}

/// An object of numbers by numbers; `text` writes those that are counted.
fn write_pairs(name: &str, pairs: &[(f64, f64)], text: fn(f64) -> String, out: &mut Vec<u8>) {
    let _ = write!(out, "\"{name}\":{{");
    for (number, (bound, value)) in pairs.iter().enumerate() {
        let comma = if number > 0 { "," } else { "" };
        let _ = write!(out, "{comma}\"{}\":\"{}\"", g_value(*bound), text(*value));
    }
    out.push(b'}');
}

fn write_totals(count: &str, sum: f64, out: &mut Vec<u8>) {
    let _ = write!(out, ",\"count\":\"{count}\",\"sum\":\"{}\"", g_value(sum));
}

fn put_labels(labels: &[Label], out: &mut Vec<u8>) {
    write_labels(
        labels.iter().map(|(name, value)| (name.as_str(), value.as_str())),
        out,
    );
}

/// RFC 3339 in UTC.
fn timestamp(time: Millis) -> String {
    let seconds = time.div_euclid(1000);
    let moment = Moment::at(seconds as f64);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        moment.year,
        moment.month,
        moment.day,
        moment.hour(),
        moment.minute(),
        seconds.rem_euclid(60),
        time.rem_euclid(1000)
    )
}
