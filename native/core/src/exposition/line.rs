//! One line of an exposition in text. Errors are worded as by the parser of the client libraries, which users know.

use std::borrow::Cow;

use super::number;
use crate::model::Millis;

/// How strictly a line is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// As Prometheus's scraper reads the text format.
    Scraper,
    /// As the client libraries, hence the Pushgateway, read the text format.
    Library,
    OpenMetrics,
}

/// A name or value without its escapes.
pub type Text<'a> = Cow<'a, [u8]>;

/// What a sample's line holds besides its labels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point<'a> {
    pub value: f64,
    pub time: Option<Millis>,
    /// What follows ` # `: `{labels} value [timestamp]`.
    pub exemplar: Option<&'a [u8]>,
}

/// The words of a comment line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comment<'a> {
    Help(Text<'a>, Text<'a>),
    Type(Text<'a>, &'a [u8]),
    Unit(Text<'a>, &'a [u8]),
    Eof,
    Other,
}

/// Reads the series at the begin of a line into `name` and `labels`; returns its length in bytes, up to the blank before the value.
pub fn series<'a>(
    line: &'a [u8],
    dialect: Dialect,
    name: &mut Text<'a>,
    labels: &mut Vec<(Text<'a>, Text<'a>)>,
) -> Result<usize, String> {
    labels.clear();
    let mut at = Cursor { line, at: 0, dialect };
    let bare = at.word(is_metric_byte);
    *name = Cow::Borrowed(bare);
    if bare.first().is_some_and(u8::is_ascii_digit) || (bare.is_empty() && at.peek() != Some(b'{')) {
        return Err("invalid metric name".to_owned());
    }
    let end = at.at;
    at.blanks();
    if at.peek() != Some(b'{') {
        return Ok(end);
    }
    at.at += 1;
    at.braces(name, labels)?;
    if name.is_empty() {
        return Err("invalid metric name".to_owned());
    }
    Ok(at.at)
}

/// What follows a series on its line.
pub fn point(rest: &[u8], dialect: Dialect) -> Result<Point<'_>, String> {
    let mut at = Cursor {
        line: rest,
        at: 0,
        dialect,
    };
    if dialect == Dialect::OpenMetrics {
        return at.open_metrics_point();
    }
    at.blanks();
    let token = at.token();
    let value =
        number::float(token).ok_or_else(|| format!("expected float as value, got {}", quoted(token)))?;
    let mut point = Point {
        value,
        time: None,
        exemplar: None,
    };
    if at.peek().is_none() {
        return Ok(point);
    }
    at.blanks();
    if at.peek().is_none() && dialect == Dialect::Scraper {
        return Ok(point);
    }
    let token = at.token();
    point.time = Some(
        number::millis(token)
            .ok_or_else(|| format!("expected integer as timestamp, got {}", quoted(token)))?,
    );
    let spurious = at.rest();
    let is_blank = spurious.iter().all(|byte| is_blank(*byte));
    if spurious.is_empty() || (is_blank && dialect == Dialect::Scraper) {
        return Ok(point);
    }
    Err(format!("spurious string after timestamp: {}", quoted(spurious)))
}

/// An exemplar's labels, value and time.
pub fn exemplar<'a>(
    text: &'a [u8],
    labels: &mut Vec<(Text<'a>, Text<'a>)>,
) -> Result<(f64, Option<Millis>), String> {
    labels.clear();
    let mut at = Cursor {
        line: text,
        at: 0,
        dialect: Dialect::OpenMetrics,
    };
    if at.peek() != Some(b'{') {
        return Err(format!(
            "expected the labels of an exemplar, got {}",
            quoted(at.token())
        ));
    }
    at.at += 1;
    let mut name = Cow::Borrowed(&b"an exemplar"[..]);
    at.braces(&mut name, labels)?;
    at.space()?;
    let value = at.float("expected a value after exemplar labels")?;
    let time = if at.peek().is_none() {
        None
    } else {
        at.space()?;
        Some(at.seconds("invalid exemplar timestamp")?)
    };
    match at.rest() {
        b"" => Ok((value, time)),
        rest => Err(format!("unexpected {} after an exemplar", quoted(rest))),
    }
}

/// A line that begins with `#`.
pub fn comment(line: &[u8], dialect: Dialect) -> Result<Comment<'_>, String> {
    let mut at = Cursor { line, at: 1, dialect };
    let is_strict = dialect == Dialect::OpenMetrics;
    if is_strict && line == b"# EOF" {
        return Ok(Comment::Eof);
    }
    if is_strict {
        at.space()?;
    } else if !at.peek().is_some_and(is_blank) {
        return Ok(Comment::Other);
    }
    at.blanks();
    let kind = at.token();
    if !(matches!(kind, b"HELP" | b"TYPE") || kind == b"UNIT" && is_strict) {
        if is_strict {
            return Err(format!("expected TYPE, UNIT, HELP or EOF, got {}", quoted(kind)));
        }
        return Ok(Comment::Other);
    }
    if is_strict {
        at.space()?;
    }
    at.blanks();
    if at.peek().is_none() && !is_strict {
        return Ok(Comment::Other);
    }
    let name = at.metric_name()?;
    if at.peek().is_some_and(|byte| !is_blank(byte)) || name.is_empty() {
        return Err("invalid metric name in comment".to_owned());
    }
    if is_strict && at.peek().is_some() {
        at.space()?;
    } else {
        at.blanks();
    }
    let text = at.rest();
    Ok(match kind {
        b"HELP" => Comment::Help(name, help(text)),
        b"TYPE" => Comment::Type(name, text),
        _ => Comment::Unit(name, text),
    })
}

/// `\\`, `\n` and `\"` stand for what they say; other escapes stay as they are.
fn help(text: &[u8]) -> Text<'_> {
    if !text.contains(&b'\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match (byte, bytes.peek()) {
            (b'\\', Some(b'n')) => plain.push(b'\n'),
            (b'\\', Some(&escaped @ (b'\\' | b'"'))) => plain.push(escaped),
            _ => {
                plain.push(byte);
                continue;
            }
        }
        bytes.next();
    }
    Cow::Owned(plain)
}

/// As Go's `%q`, shortened where it is long.
pub fn quoted(text: &[u8]) -> String {
    const MOST: usize = 80;
    let text = String::from_utf8_lossy(text);
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// Whether a metric name is one without quotes.
pub fn is_legacy_metric(name: &[u8]) -> bool {
    !name.is_empty() && !name[0].is_ascii_digit() && name.iter().all(|byte| is_metric_byte(*byte))
}

/// Likewise of a label.
pub fn is_legacy_label(name: &[u8]) -> bool {
    is_legacy_metric(name) && !name.contains(&b':')
}

#[inline]
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

#[inline]
fn is_metric_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':')
}

#[inline]
fn is_label_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

struct Cursor<'a> {
    line: &'a [u8],
    at: usize,
    dialect: Dialect,
}

impl<'a> Cursor<'a> {
    #[inline]
    fn peek(&self) -> Option<u8> {
        self.line.get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        &self.line[self.at..]
    }

    /// Steps over blanks, of which OpenMetrics knows none but those that it asks for.
    #[inline]
    fn blanks(&mut self) {
        if self.dialect != Dialect::OpenMetrics {
            while self.peek().is_some_and(is_blank) {
                self.at += 1;
            }
        }
    }

    #[inline]
    fn word(&mut self, is_part: fn(u8) -> bool) -> &'a [u8] {
        let start = self.at;
        while self.peek().is_some_and(is_part) {
            self.at += 1;
        }
        &self.line[start..self.at]
    }

    #[inline]
    fn token(&mut self) -> &'a [u8] {
        self.word(|byte| !is_blank(byte))
    }

    fn space(&mut self) -> Result<(), String> {
        match self.rest() {
            [b' ', rest @ ..] if !rest.first().is_none_or(|byte| is_blank(*byte)) => {
                self.at += 1;
                Ok(())
            }
            _ => Err(format!(
                "expected one space and no other blank at byte {}",
                self.at
            )),
        }
    }

    fn float(&mut self, expectation: &str) -> Result<f64, String> {
        let token = self.token();
        number::float(token).ok_or_else(|| format!("{expectation}, got {}", quoted(token)))
    }

    fn seconds(&mut self, expectation: &str) -> Result<Millis, String> {
        let token = self.token();
        number::seconds(token).ok_or_else(|| format!("{expectation} {}", String::from_utf8_lossy(token)))
    }

    fn metric_name(&mut self) -> Result<Text<'a>, String> {
        if self.peek() == Some(b'"') {
            return self.string("metric name");
        }
        let name = self.word(is_metric_byte);
        if name.first().is_some_and(u8::is_ascii_digit) {
            return Err("invalid metric name in comment".to_owned());
        }
        Ok(Cow::Borrowed(name))
    }

    fn open_metrics_point(&mut self) -> Result<Point<'a>, String> {
        self.space()?;
        let value = self.float("expected float as value")?;
        let mut point = Point {
            value,
            time: None,
            exemplar: None,
        };
        if self.peek().is_some() && !self.rest().starts_with(b" # ") {
            self.space()?;
            point.time = Some(self.seconds("invalid timestamp")?);
        }
        match self.rest() {
            b"" => Ok(point),
            [b' ', b'#', b' ', exemplar @ ..] => {
                point.exemplar = Some(exemplar);
                Ok(point)
            }
            rest => Err(format!(
                "expected a timestamp or an exemplar, got {}",
                quoted(rest)
            )),
        }
    }

    /// What stands between braces, after the first; a string by itself is the metric's name.
    fn braces(
        &mut self,
        metric: &mut Text<'a>,
        labels: &mut Vec<(Text<'a>, Text<'a>)>,
    ) -> Result<(), String> {
        loop {
            self.blanks();
            let name = match self.peek() {
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'"') => self.string("label name")?,
                _ => Cow::Borrowed(self.word(is_label_byte)),
            };
            let is_quoted = self.at > 0 && self.line[self.at - 1] == b'"';
            if name.is_empty() || (!is_quoted && name[0].is_ascii_digit()) {
                return Err(format!("invalid label name for metric {}", quoted(metric)));
            }
            self.blanks();
            if self.peek() == Some(b'=') {
                self.at += 1;
                self.label(metric, labels, name)?;
            } else if is_quoted && matches!(self.peek(), Some(b',' | b'}')) {
                if !metric.is_empty() {
                    return Err(format!("multiple metric names for metric {}", quoted(metric)));
                }
                *metric = name;
            } else {
                return Err(format!("expected '=' after label name, found {}", self.found()));
            }
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {}
                _ => {
                    let last = labels.last().map_or(&b""[..], |(_, value)| value);
                    return Err(format!("unexpected end of label value {}", quoted(last)));
                }
            }
        }
    }

    /// The value of a label, after the equals sign.
    fn label(
        &mut self,
        metric: &[u8],
        labels: &mut Vec<(Text<'a>, Text<'a>)>,
        name: Text<'a>,
    ) -> Result<(), String> {
        if name.as_ref() == b"__name__" {
            return Err("label name \"__name__\" is reserved".to_owned());
        }
        if labels.iter().any(|(known, _)| *known == name) {
            return Err(format!("duplicate label names for metric {}", quoted(metric)));
        }
        self.blanks();
        if self.peek() != Some(b'"') {
            return Err(format!(
                "expected '\"' at start of label value, found {}",
                self.found()
            ));
        }
        let value = self.string("label value")?;
        if std::str::from_utf8(&value).is_err() {
            return Err(format!("invalid label value {}", quoted(&value)));
        }
        labels.push((name, value));
        Ok(())
    }

    fn found(&self) -> String {
        match self.rest().utf8_chunks().next() {
            Some(chunk) => chunk
                .valid()
                .chars()
                .next()
                .map_or_else(|| "'\u{fffd}'".to_owned(), |found| format!("{found:?}")),
            None => "'\\n'".to_owned(),
        }
    }

    /// A string between quotes, of which the first is next.
    fn string(&mut self, what: &str) -> Result<Text<'a>, String> {
        let start = self.at + 1;
        let rest = &self.line[start..];
        let end = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'));
        match end {
            Some(end) if rest[end] == b'"' => {
                self.at = start + end + 1;
                Ok(Cow::Borrowed(&rest[..end]))
            }
            Some(_) => self.escaped(start, what),
            None => Err(format!("{what} {} contains unescaped new-line", quoted(rest))),
        }
    }

    fn escaped(&mut self, start: usize, what: &str) -> Result<Text<'a>, String> {
        let mut plain = Vec::new();
        let mut at = start;
        loop {
            match self.line[at..] {
                [b'"', ..] => {
                    self.at = at + 1;
                    return Ok(Cow::Owned(plain));
                }
                [b'\\', b'n', ..] => plain.push(b'\n'),
                [b'\\', escaped @ (b'"' | b'\\'), ..] => plain.push(escaped),
                [b'\\', other, ..] if self.dialect == Dialect::Scraper => plain.extend([b'\\', other]),
                [b'\\', ..] => {
                    let found = String::from_utf8_lossy(&self.line[at..]);
                    let other = found.chars().nth(1).unwrap_or('\n');
                    return Err(format!("invalid escape sequence '\\{other}'"));
                }
                [byte, ..] => {
                    plain.push(byte);
                    at += 1;
                    continue;
                }
                [] => return Err(format!("{what} {} contains unescaped new-line", quoted(&plain))),
            }
            at += 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Labels<'a> = Vec<(Text<'a>, Text<'a>)>;

    fn read(line: &str, dialect: Dialect) -> Result<String, String> {
        let (mut name, mut labels): (Text<'_>, Labels<'_>) = (Cow::Borrowed(b""), Vec::new());
        let line = line.as_bytes();
        let len = series(line, dialect, &mut name, &mut labels)?;
        let point = point(&line[len..], dialect)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let pairs: Vec<_> = labels
            .iter()
            .map(|(n, v)| format!("{}={}", text(n), text(v)))
            .collect();
        let time = point.time.map_or(String::new(), |time| format!(" @{time}"));
        Ok(format!(
            "{}{{{}}} {}{time}",
            text(&name),
            pairs.join(","),
            point.value
        ))
    }

    #[test]
    fn lines_that_both_parsers_of_the_text_format_take() {
        for (line, read_as) in [
            ("a 1", "a{} 1"),
            ("a\t1", "a{} 1"),
            ("a{b=\"c\",} 1", "a{b=c} 1"),
            ("a {b=\"c\"} 1", "a{b=c} 1"),
            ("a{ b = \"c\" } 1", "a{b=c} 1"),
            ("a{} 1 15", "a{} 1 @15"),
            ("a 1 -5", "a{} 1 @-5"),
            ("a{b=\"\\\\ \\\" \\n\"} 1", "a{b=\\ \" \n} 1"),
            ("{\"a.b\",\"c.d\"=\"e\"} 1", "a.b{c.d=e} 1"),
            ("{c=\"d\",\"a\"} 1", "a{c=d} 1"),
            ("a:b{c=\"d}e\"} +Inf", "a:b{c=d}e} inf"),
        ] {
            assert_eq!(read(line, Dialect::Scraper).as_deref(), Ok(read_as));
            assert_eq!(read(line, Dialect::Library).as_deref(), Ok(read_as));
        }
    }

    #[test]
    fn the_scraper_takes_more_than_the_library() {
        for (line, read_as, error) in [
            ("a 1 ", "a{} 1", "expected integer as timestamp, got \"\""),
            ("a 1 2 ", "a{} 1 @2", "spurious string after timestamp: \" \""),
            ("a{b=\"\\x\"} 1", "a{b=\\x} 1", "invalid escape sequence '\\x'"),
        ] {
            assert_eq!(read(line, Dialect::Scraper).as_deref(), Ok(read_as));
            assert_eq!(read(line, Dialect::Library).unwrap_err(), error);
        }
    }

    #[test]
    fn errors_are_worded_as_by_the_library() {
        for (line, error) in [
            ("a b 1", "expected float as value, got \"b\""),
            ("a 1 # {} 1", "expected integer as timestamp, got \"#\""),
            ("a 1 2.5", "expected integer as timestamp, got \"2.5\""),
            ("9a 1", "invalid metric name"),
            ("{a=\"b\"} 1", "invalid metric name"),
            ("-a 1", "invalid metric name"),
            ("a{__name__=\"b\"} 1", "label name \"__name__\" is reserved"),
            ("a{b=\"1\",b=\"2\"} 1", "duplicate label names for metric \"a\""),
            ("a{b,c=\"1\"} 1", "expected '=' after label name, found ','"),
            ("a{b=c} 1", "expected '\"' at start of label value, found 'c'"),
            ("a{b=\"c\" d=\"e\"} 1", "unexpected end of label value \"c\""),
            ("a{b=\"c} 1", "label value \"c} 1\" contains unescaped new-line"),
            ("a{=\"c\"} 1", "invalid label name for metric \"a\""),
            ("a{\"x\",\"y\"} 1", "multiple metric names for metric \"a\""),
            ("a", "expected float as value, got \"\""),
            ("a{b=\"c\"", "unexpected end of label value \"c\""),
            ("a 0x1p3", "expected float as value, got \"0x1p3\""),
        ] {
            assert_eq!(read(line, Dialect::Library).unwrap_err(), error, "{line}");
        }
    }

    #[test]
    fn open_metrics_knows_one_space_and_seconds() {
        for (line, read_as) in [
            ("a 1", "a{} 1"),
            ("a 1 1.5", "a{} 1 @1500"),
            ("a{b=\"c\",d=\"e\"} 1", "a{b=c,d=e} 1"),
            ("a_total 1 # {trace_id=\"x\"} 0.5 1.25", "a_total{} 1"),
        ] {
            assert_eq!(read(line, Dialect::OpenMetrics).as_deref(), Ok(read_as));
        }
        for line in [
            "a  1",
            "a\t1",
            " a 1",
            "a 1 ",
            "a 1 NaN",
            "a{b=\"c\", d=\"e\"} 1",
            "a{ b=\"c\"} 1",
            "a{b=\"\\x\"} 1",
            "a {b=\"c\"} 1",
        ] {
            assert!(read(line, Dialect::OpenMetrics).is_err(), "{line}");
        }
    }

    #[test]
    fn exemplars_have_labels_a_value_and_maybe_a_time() {
        let mut labels = Vec::new();
        assert_eq!(
            exemplar(b"{trace_id=\"x\"} 0.5 1.25", &mut labels),
            Ok((0.5, Some(1250)))
        );
        assert_eq!(labels.len(), 1);
        assert_eq!(exemplar(b"{} 1", &mut labels), Ok((1.0, None)));
        for bad in [
            "",
            "x",
            "{} ",
            "{}1",
            "{} x",
            "{} 1 +Inf",
            "{} 1 2 3",
            "{a=\"b\" 1",
        ] {
            assert!(exemplar(bad.as_bytes(), &mut labels).is_err(), "{bad}");
        }
    }

    #[test]
    fn comments_of_each_dialect() {
        let text = |bytes: &'static [u8]| Cow::Borrowed(bytes);
        for dialect in [Dialect::Scraper, Dialect::Library] {
            let read = |line: &'static str| comment(line.as_bytes(), dialect);
            assert_eq!(
                read("#  HELP a  A \\\\ text\\n"),
                Ok(Comment::Help(text(b"a"), text(b"A \\ text\n")))
            );
            assert_eq!(
                read("# TYPE a counter"),
                Ok(Comment::Type(text(b"a"), b"counter"))
            );
            assert_eq!(read("# HELP a"), Ok(Comment::Help(text(b"a"), text(b""))));
            for other in ["#HELP a b", "# a", "#", "# EOF", "# UNIT a s", "# HELPS a b"] {
                assert_eq!(read(other), Ok(Comment::Other), "{other}");
            }
            assert!(read("# TYPE 9a counter").is_err());
        }
        let read = |line: &'static str| comment(line.as_bytes(), Dialect::OpenMetrics);
        assert_eq!(read("# EOF"), Ok(Comment::Eof));
        assert_eq!(
            read("# UNIT a_seconds seconds"),
            Ok(Comment::Unit(text(b"a_seconds"), b"seconds"))
        );
        for bad in ["# a comment", "#", "#  TYPE a gauge", "# TYPE  a gauge", "# EOF "] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
