//! `sort_by_label` and `sort_by_label_desc`: rows in the natural order of their labels' values.

use std::cmp::Ordering;
use std::sync::Arc;

use super::context::QueryContext;
use super::convert::pick_rows;
use super::frame::Frame;
use super::json::sort_by_labels;
use crate::Result;

/// The elements of an instant vector by the named labels, then by all labels. A range result keeps its order.
pub fn sort_by_label(
    context: &Arc<QueryContext>,
    frame: &Arc<Frame>,
    labels: &[String],
    descending: bool,
) -> Result<Arc<Frame>> {
    if frame.steps != 1 {
        return Ok(Arc::clone(frame));
    }
    let mut rows: Vec<u32> = (0..frame.rows() as u32)
        .filter(|&row| frame.has(row as usize, 0))
        .collect();
    {
        let mut symbols = context.symbols();
        let names: Vec<u32> = labels.iter().map(|label| symbols.intern(label)).collect();
        let value = |row: u32, name: u32| symbols.get(frame.table.value(row as usize, name));
        // The second sort is stable, so that elements alike in the named labels stay in the order of the first.
        sort_by_labels(&symbols, &frame.table, &mut rows);
        if descending {
            rows.reverse();
        }
        rows.sort_by(|&a, &b| {
            let (a, b) = if descending { (b, a) } else { (a, b) };
            names
                .iter()
                .map(|&name| compare(value(a, name), value(b, name)))
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal)
        });
    }
    Ok(Arc::new(pick_rows(context, frame, &rows)?.in_order(true)))
}

/// Runs of digits compare as numbers, everything between them bytewise.
fn compare(mut left: &str, mut right: &str) -> Ordering {
    loop {
        let (a, rest_left) = chunk(left);
        let (b, rest_right) = chunk(right);
        let order = match (number(a), number(b)) {
            (Some(a), Some(b)) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
            _ => a.cmp(b),
        };
        if order.is_ne() || (rest_left.is_empty() && rest_right.is_empty()) {
            return order;
        }
        (left, right) = (rest_left, rest_right);
    }
}

/// The longest start of digits only or of no digits, and what follows it.
fn chunk(text: &str) -> (&str, &str) {
    let is_number = text.starts_with(|c: char| c.is_ascii_digit());
    let end = text
        .find(|c: char| c.is_ascii_digit() != is_number)
        .unwrap_or(text.len());
    text.split_at(end)
}

/// The digits of a number without leading zeros.
fn number(chunk: &str) -> Option<&str> {
    chunk
        .starts_with(|c: char| c.is_ascii_digit())
        .then(|| chunk.trim_start_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_compare_as_numbers() {
        assert_eq!(compare("4m5", "4m600"), Ordering::Less);
        assert_eq!(compare("4m1000", "4m600"), Ordering::Greater);
        assert_eq!(compare("1.2.3", "1.11.3"), Ordering::Less);
        assert_eq!(compare("a", "1"), Ordering::Greater);
        assert_eq!(compare("", "1"), Ordering::Less);
        assert_eq!(compare("x", "x1"), Ordering::Less);
        assert_eq!(compare("a007", "a7"), Ordering::Equal);
        assert_eq!(compare("18446744073709551616", "2"), Ordering::Greater);
    }
}
