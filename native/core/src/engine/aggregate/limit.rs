//! `limitk` and `limit_ratio`: some elements of each group, whatever their values; and how many k asks for.

use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use super::super::cells::{ABSENT, Cells};
use super::super::context::QueryContext;
use super::super::frame::Frame;
use super::super::labels::{Groups, Pairs, Selector};
use super::super::number::g_value;
use crate::model::Symbols;
use crate::{Error, Result};

/// k at each step.
#[derive(Debug)]
pub struct Counts(Vec<usize>);

impl Counts {
    pub fn at(&self, step: usize) -> usize {
        self.0[if self.0.len() == 1 { 0 } else { step }]
    }

    pub fn largest(&self) -> usize {
        self.0.iter().copied().max().unwrap_or(0)
    }
}

/// k as an integer, truncated; below 1 nothing is kept.
pub fn counts(param: &Frame) -> Result<Counts> {
    // The bounds of Go's int64.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    let values = &param.cells.value;
    if values.iter().any(|k| k.is_nan()) {
        return Err(Error::Execution("Parameter value is NaN".into()));
    }
    let smallest = values.iter().copied().fold(f64::INFINITY, f64::min);
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if smallest <= -LIMIT {
        let value = g_value(smallest);
        return Err(Error::Execution(format!("Scalar value {value} underflows int64")));
    }
    if largest >= LIMIT {
        let value = g_value(largest);
        return Err(Error::Execution(format!("Scalar value {value} overflows int64")));
    }
    Ok(Counts(values.iter().map(|&k| k.max(0.0) as usize).collect()))
}

/// The first k elements of each group, in row order.
pub fn limitk(
    context: &Arc<QueryContext>,
    frame: &Frame,
    selector: &Selector,
    counts: &Counts,
) -> Result<Frame> {
    let groups = Groups::new(&frame.table, selector);
    let taken_cells = groups.len() * frame.steps;
    let _charge = context.charge(0, taken_cells.saturating_mul(4))?;
    let mut taken = vec![0_u32; taken_cells];
    keep(context, frame, |row, step| {
        let taken = &mut taken[groups.of_row[row] as usize * frame.steps + step];
        *taken += 1;
        *taken as usize <= counts.at(step)
    })
}

/// The elements whose labels' hash, as a part of the whole range, lies below r; for r < 0 those at or above 1 + r.
pub fn limit_ratio(context: &Arc<QueryContext>, frame: &Frame, param: &Frame) -> Result<Frame> {
    let ratios = ratios(context, param)?;
    let shares: Vec<f64> = {
        let symbols = context.symbols();
        frame.table.rows().map(|row| share_of(&symbols, row)).collect()
    };
    keep(context, frame, |row, step| {
        let ratio = ratios[if ratios.len() == 1 { 0 } else { step }];
        if ratio >= 0.0 {
            shares[row] < ratio
        } else {
            shares[row] >= 1.0 + ratio
        }
    })
}

fn ratios(context: &QueryContext, param: &Frame) -> Result<Vec<f64>> {
    let ratios = &param.cells.value;
    if ratios.iter().any(|ratio| ratio.is_nan()) {
        return Err(Error::Execution("Ratio value is NaN".into()));
    }
    let largest = ratios.iter().copied().fold(1.0, f64::max);
    let smallest = ratios.iter().copied().fold(-1.0, f64::min);
    for (extreme, cap) in [(largest, 1.0), (smallest, -1.0)] {
        if extreme != cap {
            let (got, cap) = (g_value(extreme), g_value(cap));
            context.note("ratio_out_of_range", format!("{got}, capping to {cap}"));
        }
    }
    Ok(ratios.iter().map(|ratio| ratio.clamp(-1.0, 1.0)).collect())
}

/// A label set's place in [0, 1), the same in every query and process.
fn share_of(symbols: &Symbols, row: &Pairs) -> f64 {
    let mut hash = Xxh3::new();
    for text in row
        .iter()
        .flat_map(|&(name, value)| [name, value])
        .map(|id| symbols.get(id))
    {
        hash.update(text.as_bytes());
        // Not part of any UTF-8 text.
        hash.update(&[0xff]);
    }
    // 53 bits: a float between 0 and 1 that never rounds up to 1.
    (hash.digest() >> 11) as f64 / (1_u64 << 53) as f64
}

/// The frame without the cells that `choose` refuses. It is asked in row order, for present cells only.
fn keep(
    context: &Arc<QueryContext>,
    frame: &Frame,
    mut choose: impl FnMut(usize, usize) -> bool,
) -> Result<Frame> {
    let mut cells = Cells::absent(context, frame.cells.kind.len())?;
    cells.take_histograms(&frame.cells.histograms);
    for row in 0..frame.rows() {
        context.check()?;
        let (kind, value) = frame.row(row);
        let (to_kind, to_value) = cells.row_mut(row, frame.steps);
        for step in 0..frame.steps {
            if kind[step] != ABSENT && choose(row, step) {
                (to_kind[step], to_value[step]) = (kind[step], value[step]);
            }
        }
    }
    Frame::new(context, Arc::clone(&frame.table), frame.steps, cells.seal()?)
}
