//! Aggregations over frames.

mod count_values;
mod limit;
mod quantile;
mod topk;
mod variance;

use std::sync::Arc;

pub use variance::variance_select;

use super::cells::{Cells, HISTOGRAM};
use super::context::QueryContext;
use super::convert::broadcast;
use super::fold::{FoldOp, fold};
use super::fold_state::STATE_BYTES;
use super::frame::Frame;
use super::labels::{Groups, Selector};
use crate::model::Symbols;
use crate::{Error, Result};

/// What an aggregation needs besides its vector.
#[derive(Debug, Clone, Copy)]
pub struct Aggregation<'a> {
    pub op: &'a str,
    pub without: bool,
    pub labels: &'a [String],
    /// k, φ or the ratio.
    pub param: Option<&'a Frame>,
    /// The label of `count_values`.
    pub text: Option<&'a str>,
}

/// Groups are in order of their first row; topk and its kin keep rows.
pub fn aggregate(
    context: &Arc<QueryContext>,
    frame: &Arc<Frame>,
    aggregation: Aggregation<'_>,
) -> Result<Frame> {
    let Aggregation {
        op,
        without,
        labels,
        param,
        text,
    } = aggregation;
    let selector = Selector::of_grouping(context, without, labels);
    if let Some(op) = FoldOp::named(op) {
        return fold_frame(context, frame, op, &selector);
    }
    if op == "count_values" {
        let label = text.ok_or_else(|| Error::BadData("count_values needs the name of a label".into()))?;
        return count_values::count_values(context, frame, aggregation, label);
    }
    if matches!(op, "stddev" | "stdvar") {
        return variance::variance(context, frame, &selector, op == "stddev");
    }
    let param = param.ok_or_else(|| Error::BadData(format!("{op} needs a parameter")))?;
    param.required_scalar()?;
    let frame = &if param.steps > 1 {
        broadcast(frame, param.steps)?
    } else {
        Arc::clone(frame)
    };
    match op {
        "quantile" => quantile::quantile(context, frame, &selector, param),
        "topk" | "bottomk" => topk::topk(context, frame, &selector, &limit::counts(param)?, op == "topk"),
        "limitk" => limit::limitk(context, frame, &selector, &limit::counts(param)?),
        "limit_ratio" => limit::limit_ratio(context, frame, param),
        _ => Err(Error::BadData(format!("no aggregation is called {op:?}"))),
    }
}

/// Notes that an aggregation leaves out histograms, if there are any.
fn note_ignored(context: &QueryContext, frame: &Frame, op: &'static str) {
    if frame.has_histograms() && frame.cells.kind.contains(&HISTOGRAM) {
        context.note("ignored_in_aggregation", op);
    }
}

fn fold_frame(context: &Arc<QueryContext>, frame: &Frame, op: FoldOp, selector: &Selector) -> Result<Frame> {
    let groups = Groups::new(&frame.table, selector);
    let cells = groups.len() * frame.steps;
    let _state_charge = context.charge(0, cells.saturating_mul(STATE_BYTES))?;
    let sums = fold(
        op,
        &groups,
        frame.steps,
        frame.cells.kind.len(),
        (),
        |rows, partial| {
            for row in rows {
                context.check()?;
                let cells = frame.view(row);
                let name = if cells.has_histograms() {
                    frame.table.value(row, Symbols::NAME)
                } else {
                    Symbols::EMPTY
                };
                partial.add(row, name, cells);
            }
            Ok(())
        },
        |(), ()| (),
    )?;
    let mut cells = sums.state.into_cells();
    sums.histograms.finish(context, &mut cells);
    let cells = Cells::of_buf(context, cells)?;
    Frame::new(context, groups.table, frame.steps, cells)
}
