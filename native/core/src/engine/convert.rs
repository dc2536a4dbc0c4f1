//! Between scalars and vectors, and the order of rows.

use std::cmp::Ordering;
use std::sync::Arc;

use super::cells::{ABSENT, Cells, FLOAT};
use super::context::QueryContext;
use super::frame::Frame;
use crate::model::SeriesTable;
use crate::{Error, Result};

/// A frame of one step repeated over `steps`.
pub fn broadcast(frame: &Arc<Frame>, steps: usize) -> Result<Arc<Frame>> {
    if frame.steps == steps {
        return Ok(Arc::clone(frame));
    }
    if frame.steps != 1 {
        let from = frame.steps;
        return Err(Error::BadData(format!(
            "only a frame of one step can serve {steps} steps, not one of {from}"
        )));
    }
    let Some(context) = frame.context() else {
        return Ok(Arc::new(Frame::scalar(vec![frame.at(0); steps])));
    };
    let mut cells = Cells::with_capacity(context, frame.rows().saturating_mul(steps))?;
    cells.take_histograms(&frame.cells.histograms);
    for (&kind, &value) in frame.cells.kind.iter().zip(&frame.cells.value) {
        cells.push_shifted(&vec![kind; steps], &vec![value; steps], 0.0);
        context.check()?;
    }
    Ok(Arc::new(Frame::new(
        context,
        Arc::clone(&frame.table),
        steps,
        cells.seal()?,
    )?))
}

/// `scalar()`: the value of the only float present, else NaN.
pub fn to_scalar(frame: &Frame) -> Frame {
    let mut values = vec![f64::NAN; frame.steps];
    let mut counts = vec![0_u32; frame.steps];
    for row in 0..frame.rows() {
        let (kind, value) = frame.row(row);
        for (step, (&kind, &value)) in kind.iter().zip(value).enumerate() {
            if kind == FLOAT {
                counts[step] += 1;
                values[step] = if counts[step] == 1 { value } else { f64::NAN };
            }
        }
    }
    Frame::scalar(values)
}

/// `vector()`: one element without labels, which is what a scalar is made of.
pub fn to_vector(scalar: &Arc<Frame>) -> Result<Arc<Frame>> {
    scalar.required_scalar()?;
    Ok(Arc::clone(scalar))
}

/// `absent()`: 1 at the steps where no row is present, under the given labels.
pub fn absent(context: &Arc<QueryContext>, frame: &Frame, labels: &[(String, String)]) -> Result<Frame> {
    let mut kind = vec![FLOAT; frame.steps];
    for row in 0..frame.rows() {
        for (absent, &kind) in kind.iter_mut().zip(frame.row(row).0) {
            if kind != ABSENT {
                *absent = ABSENT;
            }
        }
        context.check()?;
    }
    let value = kind.iter().map(|&kind| f64::from(kind)).collect();
    let mut sorted: Vec<_> = labels.iter().filter(|(_, value)| !value.is_empty()).collect();
    sorted.sort();
    let mut symbols = context.symbols();
    let pairs: Vec<_> = sorted
        .into_iter()
        .map(|(name, value)| (symbols.intern(name), symbols.intern(value)))
        .collect();
    drop(symbols);
    let mut table = SeriesTable::new();
    table.push(pairs);
    Frame::new(context, table, frame.steps, Cells::of(context, kind, value)?)
}

/// `sort()` and `sort_desc()` of an instant vector: by value, NaN last in both. Histograms are left out. A range result
/// keeps its order.
pub fn sort(context: &Arc<QueryContext>, frame: &Arc<Frame>, descending: bool) -> Result<Arc<Frame>> {
    if frame.steps != 1 {
        return Ok(Arc::clone(frame));
    }
    let value = |row: u32| frame.cells.value[row as usize];
    let mut rows: Vec<u32> = (0..frame.rows() as u32)
        .filter(|&row| frame.float(row as usize, 0).is_some())
        .collect();
    rows.sort_by(|&a, &b| best_first(descending, value(a), value(b)));
    Ok(Arc::new(pick_rows(context, frame, &rows)?.in_order(true)))
}

/// Ascending or descending, NaN last.
pub fn best_first(descending: bool, a: f64, b: f64) -> Ordering {
    let order = if descending {
        b.partial_cmp(&a)
    } else {
        a.partial_cmp(&b)
    };
    order.unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// Some rows of a frame, in the order given.
pub fn pick_rows(context: &Arc<QueryContext>, frame: &Frame, rows: &[u32]) -> Result<Frame> {
    let mut table = SeriesTable::with_capacity(rows.len(), 0);
    let mut cells = Cells::with_capacity(context, rows.len() * frame.steps)?;
    cells.take_histograms(&frame.cells.histograms);
    for &row in rows {
        table.push_from(&frame.table, row as usize);
        let (kind, value) = frame.row(row as usize);
        cells.push_shifted(kind, value, 0.0);
    }
    Frame::new(context, table, frame.steps, cells.seal()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_sorts_last_in_both_directions() {
        let mut values = [2.0, f64::NAN, 1.0, 3.0];
        values.sort_by(|&a, &b| best_first(false, a, b));
        assert_eq!(values[..3], [1.0, 2.0, 3.0]);
        values.sort_by(|&a, &b| best_first(true, a, b));
        assert_eq!(values[..3], [3.0, 2.0, 1.0]);
    }
}
