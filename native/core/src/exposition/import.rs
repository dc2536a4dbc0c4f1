//! Back-fill: an exposition in text, with timestamps, as pieces of a remote-write request.

use std::borrow::Cow;
use std::ops::Range;

use super::line::{self, Comment, Dialect, Text, quoted};
use super::number;
use crate::model::Millis;
use crate::wire::encode::{put_label, put_metadata, put_series};
use crate::wire::exemplar::put_exemplar;

/// Errors that are told one by one; the others are counted.
const MAX_TOLD: usize = 10;

/// Points of one series in one message: more begin another one.
const MAX_POINTS: usize = 10_000;

/// A line that could not be used. `line` counts from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    pub line: u64,
    pub why: String,
}

/// Reads a body piece by piece. A line that makes no sense costs only itself.
#[derive(Debug)]
pub struct Import {
    body: Vec<u8>,
    dialect: Dialect,
    /// Time of samples that have none.
    now: Millis,
    at: usize,
    line: u64,
    ended: bool,
    family: Family,
    bad: Vec<BadLine>,
    bad_lines: u64,
}

/// What the comments before a sample said.
#[derive(Debug, Default)]
struct Family {
    name: Vec<u8>,
    kind: u8,
    help: String,
    unit: String,
}

/// Consecutive points of one series.
#[derive(Debug, Default)]
struct Run {
    /// How the series is written in the body.
    text: Range<usize>,
    labels: Vec<u8>,
    times: Vec<Millis>,
    values: Vec<f64>,
    /// As a remote-write message has them.
    exemplars: Vec<u8>,
}

impl Run {
    fn flush(&mut self, out: &mut Vec<u8>) {
        if !self.times.is_empty() {
            put_series(out, &self.labels, &self.times, &self.values);
            out.append(&mut self.exemplars);
            self.times.clear();
            self.values.clear();
        }
    }

    /// Takes what follows a point of that time: the exemplar's own, if it has none.
    fn exemplar(&mut self, text: &[u8], time: Millis) -> Result<(), String> {
        let mut labels = Vec::new();
        let (value, own_time) = line::exemplar(text, &mut labels)?;
        let mut bytes = Vec::new();
        for (name, value) in &labels {
            put_label(&mut bytes, name, value);
        }
        put_exemplar(
            &mut self.exemplars,
            &self.labels,
            &bytes,
            own_time.unwrap_or(time),
            value,
        );
        Ok(())
    }
}

impl Import {
    /// `dialect` is the scraper's or OpenMetrics'.
    pub fn new(body: Vec<u8>, dialect: Dialect, now: Millis) -> Self {
        Self {
            body,
            dialect,
            now,
            at: 0,
            line: 0,
            ended: false,
            family: Family::default(),
            bad: Vec::new(),
            bad_lines: 0,
        }
    }

    /// The first lines that could not be used.
    pub fn bad(&self) -> &[BadLine] {
        &self.bad
    }

    /// How many lines could not be used.
    pub fn bad_lines(&self) -> u64 {
        self.bad_lines
    }

    /// The next piece of a remote-write request, of `bytes` and what one line more makes of it; `None` at the end.
    pub fn next_piece(&mut self, bytes: usize) -> Option<Vec<u8>> {
        if self.at >= self.body.len() {
            return None;
        }
        let body = std::mem::take(&mut self.body);
        let mut out = Vec::with_capacity(bytes.min(2 * body.len()) + 1024);
        let (mut run, mut name, mut labels) = (Run::default(), Cow::Borrowed(&b""[..]), Vec::new());
        while self.at < body.len() && out.len() < bytes {
            let start = self.at;
            let rest = &body[start..];
            let len = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            self.at = start + len + 1;
            self.line += 1;
            let read = self.line(
                &body,
                start..start + len,
                &mut run,
                &mut name,
                &mut labels,
                &mut out,
            );
            if let Err(why) = read {
                self.refuse(why);
            }
        }
        run.flush(&mut out);
        if self.at >= body.len() {
            self.family.flush(&mut out);
            if self.dialect == Dialect::OpenMetrics && !self.ended {
                self.refuse("data does not end with # EOF".to_owned());
            }
        }
        self.body = body;
        Some(out)
    }

    fn refuse(&mut self, why: String) {
        self.bad_lines += 1;
        if self.bad.len() < MAX_TOLD {
            let line = self.line;
            self.bad.push(BadLine { line, why });
        }
    }

    fn line<'a>(
        &mut self,
        body: &'a [u8],
        extent: Range<usize>,
        run: &mut Run,
        name: &mut Text<'a>,
        labels: &mut Vec<(Text<'a>, Text<'a>)>,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        if self.ended {
            self.at = body.len();
            return Err("unexpected data after # EOF".to_owned());
        }
        let mut start = extent.start;
        if self.dialect == Dialect::Scraper {
            let rest = &body[extent.clone()];
            start += rest
                .iter()
                .take_while(|byte| matches!(byte, b' ' | b'\t'))
                .count();
        }
        let line = &body[start..extent.end];
        match line.first() {
            None if self.dialect == Dialect::OpenMetrics => return Err("an empty line".to_owned()),
            None => return Ok(()),
            Some(b'#') => return self.comment(line, out),
            Some(_) => {}
        }
        let known = &body[run.text.clone()];
        let is_known = !known.is_empty()
            && line.starts_with(known)
            && matches!(line.get(known.len()), Some(b' ' | b'\t'))
            && run.times.len() < MAX_POINTS;
        let len = if is_known {
            known.len()
        } else {
            run.flush(out);
            run.text = 0..0;
            let len = line::series(line, self.dialect, name, labels)?;
            labels.sort_unstable();
            self.put_labels(name, labels, &mut run.labels)?;
            run.text = start..start + len;
            len
        };
        let point = line::point(&line[len..], self.dialect)?;
        let time = point.time.unwrap_or(self.now);
        if let Some(text) = point.exemplar {
            run.exemplar(text, time)?;
        }
        run.times.push(time);
        run.values.push(point.value);
        Ok(())
    }

    /// The labels of a series as a remote-write message has them. `labels` are sorted, and so are those written.
    fn put_labels(
        &self,
        name: &[u8],
        labels: &[(Text<'_>, Text<'_>)],
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        if std::str::from_utf8(name).is_err() {
            return Err(format!("invalid metric name {}", quoted(name)));
        }
        out.clear();
        let boundary = self.family.boundary(name);
        let is_before = |(label, _): &(Text<'_>, Text<'_>)| label.as_ref() < b"__name__".as_slice();
        let (before, after) = labels.split_at(labels.partition_point(is_before));
        put_all(before, boundary, out);
        put_label(out, b"__name__", name);
        put_all(after, boundary, out);
        Ok(())
    }

    fn comment(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        match line::comment(line, self.dialect)? {
            Comment::Other => {}
            Comment::Eof => self.ended = true,
            Comment::Help(name, text) => {
                let Ok(text) = std::str::from_utf8(&text) else {
                    return Err(format!("help text {} is not a valid utf8 string", quoted(&text)));
                };
                text.clone_into(&mut self.family.turn(&name, out).help);
            }
            Comment::Type(name, word) => {
                let kind = kind(word, self.dialect)
                    .ok_or_else(|| format!("invalid metric type {}", quoted(word)))?;
                self.family.turn(&name, out).kind = kind;
            }
            Comment::Unit(name, unit) => {
                let suffix = [b"_", unit].concat();
                if !unit.is_empty() && !name.ends_with(&suffix) {
                    let (unit, name) = (quoted(unit), quoted(&name));
                    return Err(format!("unit {unit} not a suffix of metric {name}"));
                }
                self.family.turn(&name, out).unit = String::from_utf8_lossy(unit).into_owned();
            }
        }
        Ok(())
    }
}

/// With the value of `boundary` in canonical form.
fn put_all(labels: &[(Text<'_>, Text<'_>)], boundary: Option<&[u8]>, out: &mut Vec<u8>) {
    for (name, value) in labels {
        match (boundary == Some(name.as_ref()))
            .then(|| number::float(value))
            .flatten()
        {
            Some(number) => put_label(out, name, number::canonical(number).as_bytes()),
            None => put_label(out, name, value),
        }
    }
}

impl Family {
    /// Goes on with the family of a comment.
    fn turn(&mut self, name: &[u8], out: &mut Vec<u8>) -> &mut Self {
        if self.name != name {
            self.flush(out);
            name.clone_into(&mut self.name);
        }
        self
    }

    /// Writes what was said of the family.
    fn flush(&mut self, out: &mut Vec<u8>) {
        if let Ok(name) = std::str::from_utf8(&self.name)
            && !name.is_empty()
        {
            put_metadata(out, self.kind, name, &self.help, &self.unit);
        }
        *self = Self::default();
    }

    /// The label of a sample that holds a boundary in a number.
    fn boundary(&self, sample: &[u8]) -> Option<&'static [u8]> {
        match self.kind {
            HISTOGRAM if sample.strip_prefix(self.name.as_slice()) == Some(b"_bucket") => Some(b"le"),
            SUMMARY if sample == self.name => Some(b"quantile"),
            _ => None,
        }
    }
}

const HISTOGRAM: u8 = 3;
const SUMMARY: u8 = 5;

/// The number of remote write's `MetricMetadata.MetricType`.
fn kind(word: &[u8], dialect: Dialect) -> Option<u8> {
    let is_open = dialect == Dialect::OpenMetrics;
    Some(match word {
        b"counter" => 1,
        b"gauge" => 2,
        b"histogram" => HISTOGRAM,
        b"gaugehistogram" if is_open => 4,
        b"summary" => SUMMARY,
        b"info" if is_open => 6,
        b"stateset" if is_open => 7,
        b"unknown" if is_open => 0,
        b"untyped" if !is_open => 0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::Uid;
    use crate::wire::{SplitBatch, Splitter, WriteLimits};

    const NOW: Millis = 1_700_000_000_000;

    fn split(plain: Vec<u8>) -> SplitBatch {
        let splitter = Splitter::new(b"secret", 4, 1 << 16).unwrap();
        splitter
            .split_plain(plain, Uid([1; 16]), 1, &WriteLimits::default(), NOW)
            .unwrap()
    }

    /// The series as text, with their points, and the errors with their lines.
    fn import(text: &str, dialect: Dialect, bytes: usize) -> (Vec<String>, Vec<(u64, String)>) {
        let mut import = Import::new(text.as_bytes().to_vec(), dialect, NOW);
        let mut found = Vec::new();
        while let Some(piece) = import.next_piece(bytes) {
            let batch = split(piece);
            assert_eq!(batch.refused, []);
            for series in &batch.series {
                let (times, values) = batch.samples_of(series);
                let points: Vec<_> = times
                    .iter()
                    .zip(values)
                    .map(|(t, v)| format!("{v}@{t}"))
                    .collect();
                let labels = crate::wire::labels::series_text(batch.label_sets().of(series));
                found.push(format!("{labels} {}", points.join(" ")));
            }
            for exemplar in &batch.exemplars {
                let (series, labels) = batch.exemplar_labels(exemplar);
                let [series, labels] = [series, labels].map(crate::wire::labels::series_text);
                found.push(format!(
                    "{series} # {labels} {}@{}",
                    exemplar.value, exemplar.time
                ));
            }
            for entry in &batch.metadata {
                found.push(format!(
                    "# {} {} {} {}",
                    entry.family, entry.kind, entry.help, entry.unit
                ));
            }
        }
        let bad = import
            .bad()
            .iter()
            .map(|bad| (bad.line, bad.why.clone()))
            .collect();
        assert!(import.bad().len() as u64 <= import.bad_lines());
        (found, bad)
    }

    #[test]
    fn good_lines_are_kept_and_bad_ones_are_named() {
        let text = "# HELP up Whether.\n# TYPE up gauge\nup{job=\"a\"} 1 1000\nup{job=\"a\"} 0 2000\n\nup{job=\"b\"} 1\nup{job=} 1\nup{job=\"b\"} x\nlast 7 9";
        let (found, bad) = import(text, Dialect::Scraper, 1 << 20);
        assert_eq!(
            found,
            [
                "up{job=\"a\"} 1@1000 0@2000".to_owned(),
                format!("up{{job=\"b\"}} 1@{NOW}"),
                "last 7@9".to_owned(),
                "# up 2 Whether. ".to_owned(),
            ]
        );
        assert_eq!(
            bad,
            [
                (7, "expected '\"' at start of label value, found '}'".to_owned()),
                (8, "expected float as value, got \"x\"".to_owned()),
            ]
        );
    }

    #[test]
    fn boundaries_become_canonical_in_their_families_only() {
        let text = "# TYPE h histogram\nh_bucket{le=\"1\"} 1 1\nh_bucket{le=\"+Inf\"} 1 1\nh_sum 1 1\nother_bucket{le=\"1\"} 1 1\n# TYPE s summary\ns{quantile=\"0.50\"} 1 1\ns{quantile=\"x\"} 1 1\n";
        let (found, bad) = import(text, Dialect::Scraper, 1 << 20);
        assert_eq!(bad, []);
        assert_eq!(
            found[..6],
            [
                "h_bucket{le=\"1.0\"} 1@1",
                "h_bucket{le=\"+Inf\"} 1@1",
                "h_sum 1@1",
                "other_bucket{le=\"1\"} 1@1",
                "s{quantile=\"0.5\"} 1@1",
                "s{quantile=\"x\"} 1@1",
            ]
        );
    }

    #[test]
    fn open_metrics_has_seconds_units_exemplars_and_an_end() {
        let text = "# TYPE a_seconds counter\n# UNIT a_seconds seconds\n# HELP a_seconds Time.\na_seconds_total 1 1.5 # {trace_id=\"x\"} 0.5 1.25\na_seconds_total 2 2.5 # {} 1\na_seconds_created 2\n# EOF\n";
        let (found, bad) = import(text, Dialect::OpenMetrics, 1 << 20);
        assert_eq!(bad, []);
        assert_eq!(
            found,
            [
                "a_seconds_total 1@1500 2@2500".to_owned(),
                format!("a_seconds_created 2@{NOW}"),
                "a_seconds_total # {trace_id=\"x\"} 0.5@1250".to_owned(),
                "a_seconds_total # {} 1@2500".to_owned(),
                "# a_seconds 1 Time. seconds".to_owned()
            ]
        );
        let why = |text: &str| import(text, Dialect::OpenMetrics, 1 << 20).1;
        assert_eq!(why("a 1\n"), [(1, "data does not end with # EOF".to_owned())]);
        assert_eq!(
            why("# EOF\na 1\nb 1\n"),
            [(2, "unexpected data after # EOF".to_owned())]
        );
        assert_eq!(why("# EOF"), []);
        assert_eq!(
            why("# UNIT a s\n# EOF\n"),
            [(1, "unit \"s\" not a suffix of metric \"a\"".to_owned())]
        );
        assert_eq!(why("\n# EOF\n"), [(1, "an empty line".to_owned())]);
        assert_eq!(why("a 1 # x\n# EOF\n").len(), 1);
    }

    #[test]
    fn names_in_utf_8_are_taken_and_other_bytes_are_not() {
        let (found, bad) = import("{\"a.b\",\"c d\"=\"é\"} 1 1\n", Dialect::Scraper, 1 << 20);
        assert_eq!(
            (found, bad),
            (vec!["{\"a.b\", \"c d\"=\"é\"} 1@1".to_owned()], vec![])
        );
        let mut import = Import::new(
            b"{\"\xff\"} 1\na{b=\"\xff\"} 1\n# HELP a \xff\n".to_vec(),
            Dialect::Scraper,
            1,
        );
        assert_eq!(import.next_piece(100), Some(Vec::new()));
        assert_eq!(import.bad_lines(), 3);
    }

    #[test]
    fn many_bad_lines_are_counted_and_few_are_told() {
        let mut import = Import::new("!\n".repeat(1000).into_bytes(), Dialect::Scraper, 1);
        while import.next_piece(100).is_some() {}
        assert_eq!((import.bad_lines(), import.bad().len()), (1000, MAX_TOLD));
    }

    proptest! {
        /// The size of the pieces decides nothing.
        #[test]
        fn pieces_add_up_to_the_whole(
            lines in proptest::collection::vec(("[ab]", 0..3_u8, 0..5_i64), 0..60),
            bytes in 1_usize..300,
        ) {
            let lines: Vec<String> = lines.iter().map(|(name, label, time)| format!("{name}{{l=\"{label}\"}} 1 {time}\n")).collect();
            let text = lines.concat();
            let points = |bytes| -> Vec<String> {
                let (found, _) = import(&text, Dialect::Scraper, bytes);
                found.iter().flat_map(|series| {
                    let (labels, points) = series.split_once(' ').unwrap();
                    points.split(' ').map(move |point| format!("{labels} {point}")).collect::<Vec<_>>()
                }).collect()
            };
            prop_assert_eq!(points(bytes), points(1 << 20));
        }

        #[test]
        fn any_bytes_are_read_or_refused(
            body in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'{'), Just(b'"'), Just(b'='), Just(b' '), Just(b'#'), Just(b'a'), Just(b'1'), any::<u8>()], 0..300),
            open: bool,
        ) {
            let dialect = if open { Dialect::OpenMetrics } else { Dialect::Scraper };
            let mut import = Import::new(body, dialect, NOW);
            while let Some(piece) = import.next_piece(64) {
                split(piece);
            }
        }
    }
}
