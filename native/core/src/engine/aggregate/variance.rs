//! `stddev` and `stdvar`: population variance by Welford's method, in row order.

use std::sync::Arc;

use super::super::cells::{ABSENT, Cells, FLOAT};
use super::super::context::QueryContext;
use super::super::frame::Frame;
use super::super::labels::{Groups, Selector};
use super::note_ignored;
use crate::Result;

/// Any infinite or NaN value makes its group NaN, by the arithmetic itself.
#[derive(Debug, Clone, Copy, Default)]
struct Welford {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Welford {
    fn add(&mut self, x: f64) {
        self.count += 1.0;
        let delta = x - self.mean;
        self.mean += delta / self.count;
        self.squares += delta * (x - self.mean);
    }
}

pub fn variance(
    context: &Arc<QueryContext>,
    frame: &Frame,
    selector: &Selector,
    is_deviation: bool,
) -> Result<Frame> {
    note_ignored(context, frame, if is_deviation { "stddev" } else { "stdvar" });
    let groups = Groups::new(&frame.table, selector);
    let steps = frame.steps;
    let cells = groups.len() * steps;
    let _charge = context.charge(0, cells.saturating_mul(size_of::<Welford>()))?;
    let mut state = vec![Welford::default(); cells];
    for (row, &group) in groups.of_row.iter().enumerate() {
        context.check()?;
        let (kind, value) = frame.row(row);
        let state = &mut state[group as usize * steps..(group as usize + 1) * steps];
        for ((state, &kind), &x) in state.iter_mut().zip(kind).zip(value) {
            if kind == FLOAT {
                state.add(x);
            }
        }
    }
    let (kind, value) = state
        .into_iter()
        .map(|Welford { count, squares, .. }| {
            let variance = squares / count;
            match (count > 0.0, is_deviation) {
                (false, _) => (ABSENT, 0.0),
                (true, false) => (FLOAT, variance),
                (true, true) => (FLOAT, variance.sqrt()),
            }
        })
        .unzip();
    Frame::new(context, groups.table, steps, Cells::of(context, kind, value)?)
}
