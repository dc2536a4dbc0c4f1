//! `and`, `or`, `unless`: whether an element stays depends on the other side having its signature at that step.

use std::sync::Arc;

use super::super::cells::{ABSENT, Cells};
use super::super::context::QueryContext;
use super::super::frame::{Frame, common_steps};
use super::super::labels::{Interner, Selector, numbers, relabeled};
use crate::model::SeriesTable;
use crate::{Error, Result};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetOp {
    And,
    Or,
    Unless,
}

impl SetOp {
    pub fn named(name: &str) -> Result<Self> {
        match name {
            "and" => Ok(Self::And),
            "or" => Ok(Self::Or),
            "unless" => Ok(Self::Unless),
            _ => Err(Error::BadData(format!("no set operator is called {name:?}"))),
        }
    }
}

/// Many-to-many; labels, names and values stay.
pub fn set_operator(
    context: &Arc<QueryContext>,
    op: SetOp,
    left: &Frame,
    right: &Frame,
    on: bool,
    labels: &[String],
) -> Result<Frame> {
    let steps = common_steps(&[left, right])?;
    let selector = if on {
        Selector::only(context, labels)
    } else {
        Selector::all_but(context, labels)
    };
    let mut signatures = Interner::with_capacity(left.rows().max(right.rows()));
    let left_signature = numbers(&left.table, &selector, &mut signatures);
    let right_signature = numbers(&right.table, &selector, &mut signatures);
    let sizes = Sizes {
        steps,
        signatures: signatures.len(),
    };
    match op {
        SetOp::And | SetOp::Unless => {
            let seen = Seen::new(context, right, &right_signature, sizes)?;
            let mut cells = Cells::with_capacity(context, left.rows().saturating_mul(steps))?;
            seen.push_where(context, left, &left_signature, op == SetOp::And, &mut cells)?;
            Ok(Frame::new(context, Arc::clone(&left.table), steps, cells.seal()?)?.in_order(left.ordered))
        }
        SetOp::Or => {
            let seen = Seen::new(context, left, &left_signature, sizes)?;
            let rows = left.rows() + right.rows();
            let mut cells = Cells::with_capacity(context, rows.saturating_mul(steps))?;
            let nothing = Seen::nothing(sizes);
            nothing.push_where(context, left, &left_signature, false, &mut cells)?;
            seen.push_where(context, right, &right_signature, false, &mut cells)?;
            let mut table = SeriesTable::with_capacity(rows, left.table.pairs() + right.table.pairs());
            for side in [left, right] {
                for row in 0..side.rows() {
                    table.push_from(&side.table, row);
                }
            }
            relabeled(context, table, steps, cells.seal()?)
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Sizes {
    steps: usize,
    signatures: usize,
}

/// Which signatures a side has at which steps.
struct Seen {
    steps: usize,
    /// bool[signatures × steps]; empty if there are none.
    cells: Vec<bool>,
}

impl Seen {
    fn nothing(sizes: Sizes) -> Self {
        Self {
            steps: sizes.steps,
            cells: Vec::new(),
        }
    }

    fn new(context: &Arc<QueryContext>, frame: &Frame, signature: &[u32], sizes: Sizes) -> Result<Self> {
        let Sizes { steps, signatures } = sizes;
        let _charge = context.charge(0, signatures.saturating_mul(steps))?;
        let mut cells = vec![false; signatures * steps];
        for (row, &signature) in signature.iter().enumerate() {
            context.check()?;
            let at = signature as usize * steps;
            for (step, seen) in cells[at..at + steps].iter_mut().enumerate() {
                *seen |= frame.has(row, step);
            }
        }
        Ok(Self { steps, cells })
    }

    /// Appends the cells of a frame, keeping those whose signature was (`wanted`) or was not seen at the step.
    fn push_where(
        &self,
        context: &Arc<QueryContext>,
        frame: &Frame,
        signature: &[u32],
        wanted: bool,
        out: &mut Cells,
    ) -> Result<()> {
        let shift = out.take_histograms(&frame.cells.histograms);
        let (mut kinds, mut values) = (vec![ABSENT; self.steps], vec![0.0; self.steps]);
        for (row, &signature) in signature.iter().enumerate() {
            context.check()?;
            let (kind, value) = frame.row(row);
            for step in 0..self.steps {
                let seen = self
                    .cells
                    .get(signature as usize * self.steps + step)
                    .copied()
                    .unwrap_or(false);
                let cell = if frame.steps == 1 { 0 } else { step };
                let (kind, value) = if seen == wanted {
                    (kind[cell], value[cell])
                } else {
                    (ABSENT, 0.0)
                };
                (kinds[step], values[step]) = (kind, value);
            }
            out.push_shifted(&kinds, &values, shift);
        }
        Ok(())
    }
}
