//! Label matchers as PromQL defines them.

use std::sync::Arc;

use super::re2;
use crate::{Error, Result};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatchOp {
    Equal,
    NotEqual,
    Regex,
    NotRegex,
}

/// One `name op "value"`. Regexes are anchored at both ends and `.` matches a newline, as in Prometheus. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Matcher {
    pub name: Arc<str>,
    pub op: MatchOp,
    pub value: Arc<str>,
    regex: Option<regex::Regex>,
    regex_bytes: usize,
}

/// Compiled sizes that a regex may have, in steps, for its size itself cannot be asked for. Beyond the last one the
/// pattern is refused instead of eating memory.
const REGEX_BYTES: [usize; 3] = [16 << 10, 256 << 10, 4 << 20];

impl Matcher {
    pub fn new(name: &str, op: MatchOp, value: &str) -> Result<Self> {
        let (regex, regex_bytes) = match op {
            MatchOp::Equal | MatchOp::NotEqual => (None, 0),
            MatchOp::Regex | MatchOp::NotRegex => {
                let (regex, bytes) = compile_measured(value)?;
                (Some(regex), bytes)
            }
        };
        Ok(Self {
            name: name.into(),
            op,
            value: value.into(),
            regex,
            regex_bytes,
        })
    }

    /// An upper bound of the compiled regex's size, so that a query can bound the sum of its own; 0 without a regex.
    pub fn regex_bytes(&self) -> usize {
        self.regex_bytes
    }

    /// Whether a label value matches; a missing label is the empty string.
    pub fn matches(&self, value: &str) -> bool {
        match self.op {
            MatchOp::Equal => *value == *self.value,
            MatchOp::NotEqual => *value != *self.value,
            MatchOp::Regex => self.regex.as_ref().is_some_and(|r| r.is_match(value)),
            MatchOp::NotRegex => self.regex.as_ref().is_some_and(|r| !r.is_match(value)),
        }
    }

    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }
}

/// Compiles a pattern as Prometheus does: `^(?s:pattern)$`.
pub fn compile_anchored(pattern: &str) -> Result<regex::Regex> {
    compile_measured(pattern).map(|(regex, _)| regex)
}

/// The regex and the first of `REGEX_BYTES` that it fits in.
fn compile_measured(pattern: &str) -> Result<(regex::Regex, usize)> {
    let translated = re2::translate(pattern)
        .map_err(|why| Error::BadData(format!("error parsing regexp {pattern:?}: {why}")))?;
    let anchored = format!("^(?s:{translated})$");
    let mut outcome = Err(regex::Error::CompiledTooBig(0));
    for bytes in REGEX_BYTES {
        outcome = regex::RegexBuilder::new(&anchored)
            .size_limit(bytes)
            .build()
            .map(|regex| (regex, bytes));
        if !matches!(outcome, Err(regex::Error::CompiledTooBig(_))) {
            break;
        }
    }
    outcome.map_err(|e| Error::BadData(format!("error parsing regexp {pattern:?}: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(pattern: &str) -> usize {
        Matcher::new("l", MatchOp::Regex, pattern).unwrap().regex_bytes()
    }

    #[test]
    fn a_regex_is_measured_in_steps() {
        assert_eq!(bytes_of("node.*|job-[0-9]+"), REGEX_BYTES[0]);
        assert_eq!(bytes_of("a{1000}"), REGEX_BYTES[1]);
        assert_eq!(bytes_of(r"\pL{20}"), REGEX_BYTES[2]);
        let plain = Matcher::new("l", MatchOp::Equal, r"\pL{20}").unwrap();
        assert_eq!(plain.regex_bytes(), 0);
    }

    #[test]
    fn what_passes_every_step_is_refused() {
        let error = compile_anchored("(a{1000}){1000}").unwrap_err().to_string();
        assert!(error.contains("size limit"), "{error}");
        assert!(compile_anchored("(").is_err());
    }
}
