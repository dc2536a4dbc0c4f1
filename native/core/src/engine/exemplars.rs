//! Exemplars of many heads as Prometheus's API has them.

use std::collections::{BTreeMap, BTreeSet};

use super::json::{write_labels, write_seconds};
use super::number::write_plain;
use crate::Result;
use crate::model::Millis;
use crate::wire::exemplar::read_exemplars;
use crate::wire::labels::pairs_of;

/// Label pairs, sorted by name.
type Labels = Vec<(String, String)>;

fn texts(labels: &Labels) -> impl Iterator<Item = (&str, &str)> {
    labels.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}

/// Sorted by time, then by label set and value; equal ones are one.
type Listed = BTreeSet<(Millis, Labels, u64)>;

/// A JSON list of series with their exemplars, from requests as [`read_exemplars`] takes them: sorted by label set, and by time.
pub fn exemplars(parts: &[&[u8]]) -> Result<Vec<u8>> {
    let mut found: BTreeMap<Labels, Listed> = BTreeMap::new();
    for part in parts {
        for exemplar in read_exemplars(part)? {
            let listed = found.entry(pairs_of(&exemplar.series)?).or_default();
            listed.insert((
                exemplar.time,
                pairs_of(&exemplar.labels)?,
                exemplar.value.to_bits(),
            ));
        }
    }
    let mut out = vec![b'['];
    for (number, (series, listed)) in found.iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"seriesLabels\":");
        write_labels(texts(series), &mut out);
        out.extend_from_slice(b",\"exemplars\":[");
        for (number, (time, labels, bits)) in listed.iter().enumerate() {
            if number > 0 {
                out.push(b',');
            }
            out.extend_from_slice(b"{\"labels\":");
            write_labels(texts(labels), &mut out);
            out.extend_from_slice(b",\"value\":\"");
            write_plain(f64::from_bits(*bits), &mut out);
            out.extend_from_slice(b"\",\"timestamp\":");
            write_seconds(*time, &mut out);
            out.push(b'}');
        }
        out.extend_from_slice(b"]}");
    }
    out.push(b']');
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::encode::put_label;
    use crate::wire::exemplar::put_exemplar;

    #[test]
    fn parts_are_merged_and_sorted() {
        let labels = |pairs: &[(&str, &str)]| {
            let mut bytes = Vec::new();
            for (name, value) in pairs {
                put_label(&mut bytes, name.as_bytes(), value.as_bytes());
            }
            bytes
        };
        let up = labels(&[("job", "a"), ("__name__", "up")]);
        let sorted = labels(&[("__name__", "up"), ("job", "a")]);
        let down = labels(&[("__name__", "down")]);
        let trace = labels(&[("trace_id", "\"x\"")]);
        let (mut one, mut two) = (Vec::new(), Vec::new());
        put_exemplar(&mut one, &up, &trace, 1500, 6.0);
        put_exemplar(&mut one, &up, b"", -1, f64::INFINITY);
        put_exemplar(&mut two, &sorted, &trace, 1500, 6.0);
        put_exemplar(&mut two, &down, b"", 1_600_096_945_479, 0.25);
        let text = String::from_utf8(exemplars(&[&one, &two]).unwrap()).unwrap();
        let expected = concat!(
            r#"[{"seriesLabels":{"__name__":"down"},"exemplars":[{"labels":{},"value":"0.25","timestamp":1600096945.479}]},"#,
            r#"{"seriesLabels":{"__name__":"up","job":"a"},"exemplars":[{"labels":{},"value":"+Inf","timestamp":-0.001},"#,
            r#"{"labels":{"trace_id":"\"x\""},"value":"6","timestamp":1.500}]}]"#,
        );
        assert_eq!(text, expected);
        assert_eq!(exemplars(&[]).unwrap(), b"[]");
        assert!(exemplars(&[b"\x0a\x05x"]).is_err());
    }
}
