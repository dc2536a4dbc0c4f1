//! `label_replace` and `label_join`.

use std::sync::Arc;

use hashbrown::HashMap;
use regex::Regex;

use super::context::QueryContext;
use super::frame::Frame;
use super::labels::{Pairs, map_rows, relabeled};
use crate::model::{SeriesTable, Symbols, compile_anchored};
use crate::{Error, Result};

/// Bytes that a label value made here may have. Calls nest, and each may double what it is given.
const MAX_VALUE_BYTES: usize = 64 << 10;

/// Where `src` matches the anchored regex, `dst` becomes the expanded replacement. Evaluated once per distinct value.
pub fn label_replace(
    context: &Arc<QueryContext>,
    frame: &Frame,
    dst: &str,
    replacement: &str,
    src: &str,
    regex: &str,
) -> Result<Frame> {
    let compiled = compile_anchored(regex)
        .map_err(|_| Error::Execution(format!("invalid regular expression in label_replace(): {regex}")))?;
    check_destination("label_replace", dst)?;
    let template = Template::new(replacement, &compiled);
    let mut symbols = context.symbols();
    let (src, dst) = (symbols.intern(src), symbols.intern(dst));
    // Source value to new value; none where it does not match.
    let mut outcomes: HashMap<u32, Option<u32>> = HashMap::new();
    for row in 0..frame.rows() {
        let value = frame.table.value(row, src);
        if outcomes.contains_key(&value) {
            continue;
        }
        context.check()?;
        let captures = compiled.captures(symbols.get(value));
        let text = captures.map(|captures| template.expand(&captures));
        check_value("label_replace", text.as_deref().unwrap_or_default())?;
        outcomes.insert(value, text.map(|text| symbols.intern(&text)));
    }
    let table = map_rows(&frame.table, |row, out| {
        let value = row
            .iter()
            .find(|pair| pair.0 == src)
            .map_or(Symbols::EMPTY, |pair| pair.1);
        match outcomes.get(&value) {
            Some(Some(new)) => set_label(&symbols, row, (dst, *new), out),
            _ => out.extend_from_slice(row),
        }
    });
    drop(symbols);
    let table = if dst == Symbols::NAME && table.has_unnamed() {
        // A name that was set anew stays.
        named_anew(
            &frame.table,
            table,
            |value| matches!(outcomes.get(&value), Some(Some(_))),
            src,
        )
    } else {
        table
    };
    finish(context, frame, table)
}

/// Rows whose source value was replaced keep the name that they got.
fn named_anew(
    before: &SeriesTable,
    mut after: SeriesTable,
    is_replaced: impl Fn(u32) -> bool,
    src: u32,
) -> SeriesTable {
    after.mark_all(false);
    for row in (0..before.len()).filter(|&row| before.is_unnamed(row)) {
        if !is_replaced(before.value(row, src)) {
            after.mark_unnamed(row);
        }
    }
    after
}

/// `dst` becomes the values of `sources`, joined.
pub fn label_join(
    context: &Arc<QueryContext>,
    frame: &Frame,
    dst: &str,
    separator: &str,
    sources: &[String],
) -> Result<Frame> {
    check_destination("label_join", dst)?;
    if let Some(name) = sources.iter().find(|name| name.is_empty()) {
        return Err(Error::Execution(format!(
            "invalid source label name in label_join(): {name}"
        )));
    }
    let mut symbols = context.symbols();
    let dst = symbols.intern(dst);
    let sources: Vec<u32> = sources.iter().map(|name| symbols.intern(name)).collect();
    let mut table = SeriesTable::with_capacity(frame.rows(), frame.table.pairs());
    let (mut text, mut pairs) = (String::new(), Vec::new());
    for row in 0..frame.rows() {
        context.check()?;
        text.clear();
        for (i, &source) in sources.iter().enumerate() {
            if i > 0 {
                text.push_str(separator);
            }
            text.push_str(symbols.get(frame.table.value(row, source)));
            check_value("label_join", &text)?;
        }
        let value = symbols.intern(&text);
        pairs.clear();
        set_label(&symbols, frame.table.row(row), (dst, value), &mut pairs);
        table.push(pairs.iter().copied());
        if dst != Symbols::NAME && frame.table.is_unnamed(row) {
            table.mark_unnamed(row);
        }
    }
    drop(symbols);
    finish(context, frame, table)
}

fn check_destination(function: &str, dst: &str) -> Result<()> {
    if dst.is_empty() {
        return Err(Error::Execution(format!(
            "invalid destination label name in {function}(): {dst}"
        )));
    }
    Ok(())
}

fn check_value(function: &str, value: &str) -> Result<()> {
    if value.len() > MAX_VALUE_BYTES {
        return Err(Error::Execution(format!(
            "{function}() makes a label value longer than {MAX_VALUE_BYTES} bytes"
        )));
    }
    Ok(())
}

fn finish(context: &Arc<QueryContext>, frame: &Frame, table: SeriesTable) -> Result<Frame> {
    Ok(relabeled(context, table, frame.steps, Arc::clone(&frame.cells))?.in_order(frame.ordered))
}

/// The row with a label set, or removed if the value is empty.
fn set_label(symbols: &Symbols, row: &Pairs, (name, value): (u32, u32), out: &mut Vec<(u32, u32)>) {
    out.extend(row.iter().copied().filter(|pair| pair.0 != name));
    if value != Symbols::EMPTY {
        let text = symbols.get(name);
        let at = out.partition_point(|pair| symbols.get(pair.0) < text);
        out.insert(at, (name, value));
    }
}

/// A replacement with `$1`, `${1}`, `$name` and `$$`, read by the rules of Go's regexp package.
#[derive(Debug)]
struct Template(Vec<Part>);

#[derive(Debug)]
enum Part {
    Text(String),
    Group(usize),
}

impl Template {
    fn new(replacement: &str, regex: &Regex) -> Self {
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut rest = replacement;
        while let Some(at) = rest.find('$') {
            text.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                text.push('$');
                rest = after;
                continue;
            }
            let Some((name, after)) = reference(rest) else {
                // Not a reference: the dollar stands for itself.
                text.push('$');
                continue;
            };
            rest = after;
            if let Some(group) = group_of(name, regex) {
                parts.push(Part::Text(std::mem::take(&mut text)));
                parts.push(Part::Group(group));
            }
        }
        text.push_str(rest);
        parts.push(Part::Text(text));
        Self(parts)
    }

    /// Stops once the text is too long to be a value.
    fn expand(&self, captures: &regex::Captures<'_>) -> String {
        let mut text = String::new();
        for part in &self.0 {
            text.push_str(match part {
                Part::Text(text) => text,
                Part::Group(group) => captures.get(*group).map_or("", |found| found.as_str()),
            });
            if text.len() > MAX_VALUE_BYTES {
                break;
            }
        }
        text
    }
}

/// The name after a dollar, braced or as long as it goes, and what follows it.
fn reference(text: &str) -> Option<(&str, &str)> {
    let (braced, text) = match text.strip_prefix('{') {
        Some(inner) => (true, inner),
        None => (false, text),
    };
    let end = text
        .find(|c: char| !(c.is_alphanumeric() || c == '_'))
        .unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() {
        return None;
    }
    if braced {
        Some((name, rest.strip_prefix('}')?))
    } else {
        Some((name, rest))
    }
}

/// A number without leading zeros is a group's index, anything else a name.
fn group_of(name: &str, regex: &Regex) -> Option<usize> {
    let is_number = name.bytes().all(|b| b.is_ascii_digit()) && (name == "0" || !name.starts_with('0'));
    if is_number {
        return name.parse().ok().filter(|&group| group < regex.captures_len());
    }
    regex.capture_names().position(|group| group == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacements_expand_as_in_go() {
        let regex = compile_anchored("(?P<first>[a-z]+)-([0-9]+)(x)?").unwrap();
        let expand =
            |template: &str| Template::new(template, &regex).expand(&regex.captures("abc-12").unwrap());
        for (template, expected) in [
            ("$1", "abc"),
            ("${1}x", "abcx"),
            ("$1x", ""),
            ("$2/$first", "12/abc"),
            ("$0", "abc-12"),
            ("$$1", "$1"),
            ("$3", ""),
            ("$9", ""),
            ("$01", ""),
            ("a$", "a$"),
            ("$-", "$-"),
            ("${first", "${first"),
            ("${}", "${}"),
            ("$nope!", "!"),
        ] {
            assert_eq!(expand(template), expected, "{template}");
        }
    }
}
