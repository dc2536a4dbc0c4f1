//! The φ-quantile of each group's values at each step.

use std::sync::Arc;

use super::super::cells::{Cells, FLOAT};
use super::super::context::QueryContext;
use super::super::frame::Frame;
use super::super::labels::{Groups, Selector};
use super::super::select::note_bad_quantile;
use super::note_ignored;
use crate::Result;
use crate::kernel;

pub fn quantile(
    context: &Arc<QueryContext>,
    frame: &Frame,
    selector: &Selector,
    phi: &Frame,
) -> Result<Frame> {
    note_extremes(context, &phi.cells.value);
    note_ignored(context, frame, "quantile");
    let groups = Groups::new(&frame.table, selector);
    let steps = frame.steps;
    let mut cells = Cells::absent(context, groups.len() * steps)?;
    let mut values = Vec::new();
    for (group, rows) in groups.members().iter().enumerate() {
        let (kind, value) = cells.row_mut(group, steps);
        for step in 0..steps {
            context.check()?;
            values.clear();
            values.extend(rows.iter().filter_map(|&row| frame.float(row as usize, step)));
            if values.is_empty() {
                continue;
            }
            kind[step] = FLOAT;
            value[step] = kernel::quantile(phi.at(step), &mut values);
        }
    }
    Frame::new(context, groups.table, steps, cells.seal()?)
}

/// Of all φ outside [0, 1], NaN and the farthest on each side are noted.
fn note_extremes(context: &QueryContext, phis: &[f64]) {
    if phis.iter().any(|phi| phi.is_nan()) {
        note_bad_quantile(context, f64::NAN);
    }
    note_bad_quantile(context, phis.iter().copied().fold(1.0, f64::max));
    note_bad_quantile(context, phis.iter().copied().fold(0.0, f64::min));
}
