//! The label rules, and label bytes as text.
//!
//! A series needs a metric name; label names are non-empty; names and values are UTF-8 of any kind, as in Prometheus 3; a name
//! occurs once. Labels need not be sorted, and one with an empty value counts as absent.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::encode::put_label;
use super::keys::InstanceKeys;
use super::limits::WriteLimits;
use super::proto::{BYTES, Reader, expect_wire};
use super::refusal::Reason;
use crate::Result;

pub const METRIC_NAME: &[u8] = b"__name__";

/// Prometheus reads 1024 bytes of an error, and an example should not fill them alone.
const TEXT_BYTES: usize = 400;
const TEXT_VALUE_CHARS: usize = 80;

/// Name and value as they came.
type Pair<'a> = (&'a [u8], &'a [u8]);

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

fn broken_rule(pairs: &[Pair<'_>], limits: &WriteLimits) -> Option<(Reason, String)> {
    let present = pairs.iter().filter(|(_, value)| !value.is_empty()).count();
    if present > limits.max_labels {
        let why = format!(
            "{present} labels are more than the limit max_labels of {}",
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
                "a label name of {} bytes is over the limit max_name_bytes of {}",
                name.len(),
                limits.max_name_bytes
            );
            return Some((Reason::LabelNameTooLong, why));
        }
        if value.len() > limits.max_value_bytes {
            let name = clip(&String::from_utf8_lossy(name));
            let why = format!(
                "the value of label {name:?} has {} bytes, the limit max_value_bytes is {}",
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

/// The name and value of a `Label`; what is missing is empty, of what is repeated the last counts.
pub fn read_label(mut label: Reader<'_>) -> Result<Pair<'_>> {
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
    Ok((name, value))
}

/// The (name, value) pairs of `Label` fields, in any encoding that protobuf allows.
fn decode(bytes: &[u8]) -> Result<Vec<Pair<'_>>> {
    let mut reader = Reader::new(bytes);
    let mut pairs = Vec::with_capacity(16);
    while !reader.is_empty() {
        reader.tag()?;
        pairs.push(read_label(Reader::new(reader.bytes()?))?);
    }
    Ok(pairs)
}

/// The pairs of label bytes, sorted by name.
pub fn pairs_of(bytes: &[u8]) -> Result<Vec<(String, String)>> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut pairs: Vec<_> = decode(bytes)?
        .into_iter()
        .map(|(name, value)| (text(name), text(value)))
        .collect();
    pairs.sort_unstable();
    Ok(pairs)
}

fn encode(pairs: &[Pair<'_>]) -> Vec<u8> {
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

/// The metric name in label bytes; empty if there is none.
pub fn metric_of(bytes: &[u8]) -> Cow<'_, str> {
    let pairs = decode(bytes).unwrap_or_default();
    let metric = pairs.iter().rfind(|(name, _)| *name == METRIC_NAME);
    metric.map_or(Cow::Borrowed(""), |(_, value)| String::from_utf8_lossy(value))
}

/// The metric name as PromQL writes it, shortened where it is long.
pub fn metric_text(bytes: &[u8]) -> String {
    let metric = metric_of(bytes);
    if is_identifier(&metric, true) {
        clip(&metric)
    } else {
        quoted(&metric)
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Uid;
    use crate::wire::encode::put_bytes;

    fn bytes(pairs: &[Pair]) -> Vec<u8> {
        encode(pairs)
    }

    fn verdict(bytes: &[u8], limits: &WriteLimits) -> Verdict {
        check(bytes, &InstanceKeys::new(b"secret", Uid([1; 16])), limits).unwrap()
    }

    fn refusal(pairs: &[Pair], limits: &WriteLimits) -> (Reason, String) {
        match verdict(&bytes(pairs), limits) {
            Verdict::Refused { reason, why } => (reason, why),
            valid @ Verdict::Valid { .. } => panic!("{pairs:?} passed: {valid:?}"),
        }
    }

    fn valid(bytes: &[u8]) -> (u16, Option<Vec<u8>>) {
        match verdict(bytes, &WriteLimits::default()) {
            Verdict::Valid {
                shard_hash,
                rewritten,
            } => (shard_hash, rewritten),
            Verdict::Refused { why, .. } => panic!("refused: {why}"),
        }
    }

    #[test]
    fn each_rule_has_its_reason() {
        let limits = WriteLimits {
            max_labels: 3,
            max_name_bytes: 8,
            max_value_bytes: 5,
            ..WriteLimits::default()
        };
        let name: Pair = (b"__name__", b"up");
        let cases: [(&[Pair], Reason, &str); 9] = [
            (&[], Reason::MissingName, "no metric name"),
            (&[(b"__name__", b"")], Reason::MissingName, "no metric name"),
            (&[name, (b"", b"x")], Reason::EmptyLabelName, "no name"),
            (&[name, (b"a\xff", b"x")], Reason::InvalidUtf8, "not valid UTF-8"),
            (&[name, (b"a", b"\xc3")], Reason::InvalidUtf8, "label \"a\""),
            (
                &[name, (b"a", b"1"), (b"a", b"2")],
                Reason::DuplicateLabel,
                "\"a\" occurs twice",
            ),
            (
                &[name, (b"a", b"1"), (b"b", b"1"), (b"c", b"1")],
                Reason::TooManyLabels,
                "4 labels are more than the limit max_labels of 3",
            ),
            (
                &[name, (b"ninebytes", b"1")],
                Reason::LabelNameTooLong,
                "of 9 bytes is over the limit max_name_bytes of 8",
            ),
            (
                &[name, (b"a", b"123456")],
                Reason::LabelValueTooLong,
                "has 6 bytes, the limit max_value_bytes is 5",
            ),
        ];
        for (pairs, reason, text) in cases {
            let (found, why) = refusal(pairs, &limits);
            assert_eq!(found, reason, "{pairs:?}");
            assert!(why.contains(text), "{why}");
        }
    }

    #[test]
    fn any_utf8_is_a_name() {
        for name in ["up", "http.server.duration", "温度", "with space", "9lives"] {
            valid(&bytes(&[(b"__name__", name.as_bytes()), (name.as_bytes(), b"x")]));
        }
    }

    #[test]
    fn order_and_empty_values_do_not_change_the_shard() {
        let sorted = bytes(&[(b"__name__", b"up"), (b"a", b"1"), (b"b", b"2")]);
        let (shard_hash, rewritten) = valid(&sorted);
        assert_eq!(rewritten, None);
        let unsorted = bytes(&[(b"b", b"2"), (b"__name__", b"up"), (b"a", b"1")]);
        assert_eq!(valid(&unsorted), (shard_hash, None));
        let with_empty = bytes(&[(b"__name__", b"up"), (b"Z", b""), (b"a", b"1"), (b"b", b"2")]);
        assert_eq!(valid(&with_empty), (shard_hash, Some(sorted)));
    }

    #[test]
    fn an_odd_encoding_is_written_plainly() {
        let plain = bytes(&[(b"__name__", b"up")]);
        // Value before name, an unknown field, a name twice of which the last counts, and a tag of two bytes.
        let mut label = Vec::new();
        put_bytes(&mut label, 0x12, b"up");
        label.extend_from_slice(&[0x18, 5]);
        put_bytes(&mut label, 0x0a, b"other");
        put_bytes(&mut label, 0x0a, b"__name__");
        let mut odd = vec![0x8a, 0x00, label.len() as u8];
        odd.extend_from_slice(&label);
        assert_eq!(valid(&odd), (valid(&plain).0, Some(plain)));
    }

    #[test]
    fn damage_inside_of_a_label_is_an_error() {
        let keys = InstanceKeys::new(b"secret", Uid([1; 16]));
        for damaged in [&[0x0a, 2, 0x0a, 9][..], &[0x0a, 2, 0x08, 1], &[0x0a, 1, 0x0b]] {
            assert!(
                check(damaged, &keys, &WriteLimits::default()).is_err(),
                "{damaged:?}"
            );
        }
    }

    #[test]
    fn series_text_is_what_promql_would_show() {
        let cases: [(&[Pair], &str); 6] = [
            (&[(b"__name__", b"up")], "up"),
            (
                &[(b"__name__", b"up"), (b"job", b"a"), (b"le", b"\"1\"")],
                r#"up{job="a", le="\"1\""}"#,
            ),
            (
                &[(b"__name__", b"http.requests"), (b"job.name", b"a")],
                r#"{"http.requests", "job.name"="a"}"#,
            ),
            (&[(b"job", b"two\nlines")], r#"{job="two\nlines"}"#),
            (&[(b"a", b"\xff")], "{a=\"\u{fffd}\"}"),
            (&[], "{}"),
        ];
        for (pairs, text) in cases {
            assert_eq!(series_text(&bytes(pairs)), text);
        }
    }

    #[test]
    fn series_text_is_short_whatever_the_series() {
        let long = "ü".repeat(5000);
        let names: Vec<String> = (0..1000).map(|i| format!("label_{i}")).collect();
        let mut pairs: Vec<Pair> = vec![(b"__name__", long.as_bytes())];
        pairs.extend(names.iter().map(|name| (name.as_bytes(), long.as_bytes())));
        let text = series_text(&bytes(&pairs));
        assert!(text.len() < 1000, "{} bytes", text.len());
        assert!(text.ends_with("…}"), "{text}");
    }
}
