//! `count_values`: how many elements of a group have a value, which becomes a label.

use std::sync::Arc;

use hashbrown::HashMap;

use super::super::cells::{Cells, Element, FLOAT};
use super::super::context::QueryContext;
use super::super::frame::Frame;
use super::super::labels::{Interner, Selector, numbers};
use super::super::number::plain_value;
use super::Aggregation;
use crate::model::Symbols;
use crate::{Error, Result};

/// The label replaces one of the same name; `without` of that name removes it again.
pub fn count_values(
    context: &Arc<QueryContext>,
    frame: &Frame,
    aggregation: Aggregation<'_>,
    label: &str,
) -> Result<Frame> {
    if label.is_empty() {
        return Err(Error::Execution(format!("invalid label name {label:?}")));
    }
    let Aggregation { without, labels, .. } = aggregation;
    // Group by the other labels first; the value's label is put in per value.
    let is_kept = !without || !labels.iter().any(|name| name == label);
    let mut others: Vec<String> = labels.to_vec();
    if without {
        others.push(label.to_owned());
    } else {
        others.retain(|name| name != label);
    }
    let mut interner = Interner::with_capacity(0);
    let of_row = numbers(
        &frame.table,
        &Selector::of_grouping(context, without, &others),
        &mut interner,
    );
    let groups = interner.table;
    let name = context.symbols().intern(label);

    let mut results = Interner::with_capacity(0);
    let mut result_of: HashMap<(u32, Value), u32> = HashMap::new();
    let mut counts: Vec<u32> = Vec::new();
    let mut charge = context.charge(0, 0)?;
    let mut pairs = Vec::new();
    for (row, &group) in of_row.iter().enumerate() {
        context.check()?;
        for step in 0..frame.steps {
            let Some(element) = frame.get(row, step) else {
                continue;
            };
            let value = Value::of(context, element);
            let result = if let Some(&result) = result_of.get(&(group, value)) {
                result
            } else {
                pairs.clear();
                pairs.extend_from_slice(groups.row(group as usize));
                if is_kept {
                    let mut symbols = context.symbols();
                    let text = match value {
                        Value::Float(bits) => symbols.intern(&plain_value(f64::from_bits(bits))),
                        Value::Histogram(text) => text,
                    };
                    insert(&symbols, &mut pairs, (name, text));
                }
                let result = results.number(&pairs);
                result_of.insert((group, value), result);
                charge.grow(0, frame.steps * 4 + 64)?;
                counts.resize(results.len() * frame.steps, 0);
                result
            };
            counts[result as usize * frame.steps + step] += 1;
        }
    }
    let (kind, value) = counts
        .into_iter()
        .map(|count| (u8::from(count > 0) * FLOAT, f64::from(count)))
        .unzip();
    Frame::new(
        context,
        results.table,
        frame.steps,
        Cells::of(context, kind, value)?,
    )
}

/// What makes two elements count as equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Value {
    /// The bits. All NaNs are one value; 0 and -0 are two.
    Float(u64),
    /// The text, interned.
    Histogram(u32),
}

impl Value {
    fn of(context: &QueryContext, element: Element<'_>) -> Self {
        match element {
            Element::Float(value) if value.is_nan() => Self::Float(f64::NAN.to_bits()),
            Element::Float(value) => Self::Float(value.to_bits()),
            Element::Histogram(histogram) => {
                Self::Histogram(context.symbols().intern(&histogram.to_string()))
            }
        }
    }
}

/// Puts a label where its name belongs.
fn insert(symbols: &Symbols, pairs: &mut Vec<(u32, u32)>, pair: (u32, u32)) {
    let name = symbols.get(pair.0);
    let at = pairs.partition_point(|other| symbols.get(other.0) < name);
    pairs.insert(at, pair);
}
