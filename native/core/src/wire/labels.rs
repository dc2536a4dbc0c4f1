//! The label rules, and label bytes as text.
//!
//! A series needs a metric name; label names are non-empty; names and values are UTF-8 of any kind, as in Prometheus 3; a name
//! occurs once. Labels need not be sorted, and one with an empty value counts as absent.

use std::fmt::Write as _;

use super::encode::put_label;
use super::keys::InstanceKeys;
use super::limits::WriteLimits;
use super::proto::{BYTES, Reader, expect_wire};
use super::refusal::Reason;
use crate::Result;

const METRIC_NAME: &[u8] = b"__name__";

/// Prometheus reads 1024 bytes of an error, and an example should not fill them alone.
const TEXT_BYTES: usize = 400;
const TEXT_VALUE_CHARS: usize = 80;

/// What the rules say of one series' label bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// `shard_hash` is of the sorted labels, so that each encoding of a label set gives the same. `rewritten` holds the label bytes in
    /// plain form (in the sender's order) if they came in another, or with empty values.
    Valid {
        shard_hash: u16,
        rewritten: Option<Vec<u8>>,
    },
    /// `why` is a phrase that the series' text follows.
    Refused { reason: Reason, why: String },
}

/// Applies the rules to the `Label` fields of one series, which lie in `bytes` back to back. Fails if they cannot be decoded.
pub fn check(bytes: &[u8], keys: &InstanceKeys, limits: &WriteLimits) -> Result<Verdict> {
    let mut pairs = decode(bytes)?;
    if let Some((reason, why)) = broken_rule(&pairs, limits) {
        return Ok(Verdict::Refused { reason, why });
    }
    pairs.retain(|(_, value)| !value.is_empty());
    let plain = encode(&pairs);
    let sorted = if pairs.is_sorted() {
        None
    } else {
        pairs.sort_unstable();
        Some(encode(&pairs))
    };
    let shard_hash = keys.hash(sorted.as_ref().unwrap_or(&plain)) as u16;
    Ok(Verdict::Valid {
        shard_hash,
        rewritten: (plain != bytes).then_some(plain),
    })
}

fn broken_rule(pairs: &[(&[u8], &[u8])], limits: &WriteLimits) -> Option<(Reason, String)> {
    let present = pairs.iter().filter(|(_, value)| !value.is_empty()).count();
    if present > limits.max_labels {
        let why = format!(
            "{present} labels are more than the limit of {}",
            limits.max_labels
        );
        return Some((Reason::TooManyLabels, why));
    }
    for (name, value) in pairs {
        if name.is_empty() {
            return Some((Reason::EmptyLabelName, "a label has no name".into()));
        }
        if std::str::from_utf8(name).is_err() || std::str::from_utf8(value).is_err() {
            let why = format!(
                "label {:?} is not valid UTF-8",
                clip(&String::from_utf8_lossy(name))
            );
            return Some((Reason::InvalidUtf8, why));
        }
        if name.len() > limits.max_name_bytes {
            let why = format!(
                "a label name of {} bytes is over the limit of {}",
                name.len(),
                limits.max_name_bytes
            );
            return Some((Reason::LabelNameTooLong, why));
        }
        if value.len() > limits.max_value_bytes {
            let name = clip(&String::from_utf8_lossy(name));
            let why = format!(
                "the value of label {name:?} has {} bytes, the limit is {}",
                value.len(),
                limits.max_value_bytes
            );
            return Some((Reason::LabelValueTooLong, why));
        }
    }
    if !pairs
        .iter()
        .any(|(name, value)| *name == METRIC_NAME && !value.is_empty())
    {
        return Some((
            Reason::MissingName,
            "a series has no metric name (label __name__)".into(),
        ));
    }
    let mut names: Vec<&[u8]> = pairs.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    let twice = names.windows(2).find(|pair| pair[0] == pair[1])?;
    Some((
        Reason::DuplicateLabel,
        format!(
            "label {:?} occurs twice",
            clip(&String::from_utf8_lossy(twice[0]))
        ),
    ))
}

/// The (name, value) pairs of `Label` fields, in any encoding that protobuf allows.
fn decode(bytes: &[u8]) -> Result<Vec<(&[u8], &[u8])>> {
    let mut reader = Reader::new(bytes);
    let mut pairs = Vec::with_capacity(16);
    while !reader.is_empty() {
        reader.tag()?;
        let mut label = Reader::new(reader.bytes()?);
        let (mut name, mut value) = (&[][..], &[][..]);
        while !label.is_empty() {
            let (field, wire) = label.tag()?;
            match field {
                1 | 2 => {
                    expect_wire(wire, BYTES, "a label's name or value", label.position())?;
                    *(if field == 1 { &mut name } else { &mut value }) = label.bytes()?;
                }
                _ => label.skip(wire)?,
            }
        }
        pairs.push((name, value));
    }
    Ok(pairs)
}

fn encode(pairs: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut out = Vec::with_capacity(
        pairs
            .iter()
            .map(|(name, value)| name.len() + value.len() + 6)
            .sum(),
    );
    for (name, value) in pairs {
        put_label(&mut out, name, value);
    }
    out
}

/// The series as PromQL writes it, on one line, shortened where it is long: `up{job="a"}`. Works for refused labels too.
pub fn series_text(bytes: &[u8]) -> String {
    let pairs = decode(bytes).unwrap_or_default();
    let metric = pairs
        .iter()
        .find(|(name, _)| *name == METRIC_NAME)
        .map_or(&[][..], |(_, value)| *value);
    let metric = String::from_utf8_lossy(metric);
    let mut text = String::new();
    let mut separator = "{";
    if is_identifier(&metric, true) {
        text.push_str(&clip(&metric));
    } else if !metric.is_empty() {
        let _ = write!(text, "{{{}", quoted(&metric));
        separator = ", ";
    }
    for (name, value) in pairs.iter().filter(|(name, _)| *name != METRIC_NAME) {
        text.push_str(separator);
        separator = ", ";
        if text.len() > TEXT_BYTES {
            text.push('…');
            break;
        }
        let name = String::from_utf8_lossy(name);
        let name = if is_identifier(&name, false) {
            clip(&name)
        } else {
            quoted(&name)
        };
        let _ = write!(text, "{name}={}", quoted(&String::from_utf8_lossy(value)));
    }
    if text.contains('{') {
        text.push('}');
    } else if text.is_empty() {
        text.push_str("{}");
    }
    text
}

/// Whether a name needs no quotes in PromQL; metric names may hold colons.
fn is_identifier(name: &str, metric: bool) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || (metric && byte == b':');
    name.bytes().all(word) && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in clip(text).chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn clip(text: &str) -> String {
    match text.char_indices().nth(TEXT_VALUE_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
