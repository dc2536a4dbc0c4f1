//! Rows × steps of cells, and the times of the steps.

use std::ops::Range;
use std::sync::Arc;

use super::cells::{ABSENT, Cells, Element, FLOAT, RowView};
use super::context::{Charge, QueryContext};
use crate::model::{Millis, SeriesTable};
use crate::{Error, Result};

/// The evaluation times of a query: `start + i * step` for `i < steps`. An instant query has one step; a step of 0 ms
/// repeats one time, for a selector that `@` pinned under parameters that vary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    pub start: Millis,
    pub step: Millis,
    pub steps: usize,
}

impl Grid {
    pub fn new(start: Millis, step: Millis, steps: usize) -> Result<Self> {
        let grid = Self { start, step, steps };
        let last = (steps as i64)
            .checked_sub(1)
            .and_then(|n| n.checked_mul(step))
            .and_then(|d| d.checked_add(start));
        if steps == 0 || (steps > 1 && step < 0) || last.is_none() {
            return Err(Error::BadData(format!(
                "a grid needs a step that is not negative and at least one step that fits in milliseconds: {grid:?}"
            )));
        }
        Ok(grid)
    }

    pub fn time(&self, step: usize) -> Millis {
        self.start + step as i64 * self.step
    }

    pub fn last(&self) -> Millis {
        self.time(self.steps - 1)
    }

    /// Some of the steps, at least one.
    #[must_use]
    pub fn part(&self, steps: &Range<usize>) -> Self {
        debug_assert!(!steps.is_empty() && steps.end <= self.steps);
        Self {
            start: self.time(steps.start),
            step: self.step,
            steps: steps.len(),
        }
    }

    pub fn times(self) -> impl Iterator<Item = Millis> {
        (0..self.steps).map(move |i| self.time(i))
    }
}

/// Rows of cells, one label set per row. A frame of one step serves any number of steps.
#[derive(Debug)]
pub struct Frame {
    pub table: Arc<SeriesTable>,
    pub steps: usize,
    pub cells: Arc<Cells>,
    /// Rows are in an order the query asked for (sort, topk), to be kept by the writer of an instant vector.
    pub ordered: bool,
    charge: Option<Charge>,
}

impl Frame {
    pub fn new(
        context: &Arc<QueryContext>,
        table: impl Into<Arc<SeriesTable>>,
        steps: usize,
        cells: Arc<Cells>,
    ) -> Result<Self> {
        let table = table.into();
        debug_assert_eq!(cells.kind.len(), table.len() * steps);
        let charge = Some(context.charge(0, table.bytes())?);
        Ok(Self {
            table,
            steps,
            cells,
            ordered: false,
            charge,
        })
    }

    /// A scalar: one row without labels, all cells present. Not charged to any query.
    pub fn scalar(values: Vec<f64>) -> Self {
        let mut table = SeriesTable::new();
        table.push([]);
        Self {
            table: Arc::new(table),
            steps: values.len(),
            cells: Arc::new(Cells::free(values)),
            ordered: false,
            charge: None,
        }
    }

    /// No rows.
    pub fn empty(steps: usize) -> Self {
        Self {
            table: Arc::new(SeriesTable::new()),
            steps,
            cells: Arc::new(Cells::free(Vec::new())),
            ordered: false,
            charge: None,
        }
    }

    #[must_use]
    pub fn in_order(mut self, ordered: bool) -> Self {
        self.ordered = ordered;
        self
    }

    pub fn rows(&self) -> usize {
        self.table.len()
    }

    /// Of its cells and labels, which other frames may share.
    pub fn bytes(&self) -> usize {
        let histograms = self.cells.histograms.iter().map(|histogram| histogram.bytes());
        self.table.bytes() + self.cells.value.len() * 9 + histograms.sum::<usize>()
    }

    /// The kinds and values of a row.
    pub fn row(&self, row: usize) -> (&[u8], &[f64]) {
        let cells = row * self.steps..(row + 1) * self.steps;
        (&self.cells.kind[cells.clone()], &self.cells.value[cells])
    }

    /// The cells of a row with what histogram cells name.
    pub fn view(&self, row: usize) -> RowView<'_> {
        self.cells.view(row * self.steps..(row + 1) * self.steps)
    }

    /// Whether some cell may be a histogram.
    pub fn has_histograms(&self) -> bool {
        !self.cells.histograms.is_empty()
    }

    /// The number of a cell; a frame of one step has the same at every step.
    #[inline]
    fn cell(&self, row: usize, step: usize) -> usize {
        row * self.steps + if self.steps == 1 { 0 } else { step }
    }

    /// Whether anything stands in a cell.
    pub fn has(&self, row: usize, step: usize) -> bool {
        self.cells.kind[self.cell(row, step)] != ABSENT
    }

    /// The float in a cell, if that is what stands there.
    pub fn float(&self, row: usize, step: usize) -> Option<f64> {
        let cell = self.cell(row, step);
        (self.cells.kind[cell] == FLOAT).then_some(self.cells.value[cell])
    }

    /// What stands in a cell.
    pub fn get(&self, row: usize, step: usize) -> Option<Element<'_>> {
        let cell = self.cell(row, step);
        self.cells.view(cell..cell + 1).get(0)
    }

    /// The value of a scalar at a step.
    pub fn at(&self, step: usize) -> f64 {
        self.cells.value[if self.steps == 1 { 0 } else { step }]
    }

    /// The query that pays for this frame; a scalar belongs to none.
    pub fn context(&self) -> Option<&Arc<QueryContext>> {
        self.charge.as_ref().map(Charge::context)
    }

    /// Fails unless this is a scalar.
    pub fn required_scalar(&self) -> Result<()> {
        if self.is_scalar() {
            return Ok(());
        }
        let rows = self.rows();
        Err(Error::BadData(format!(
            "a scalar is one row present at every step, not {rows} rows"
        )))
    }

    /// The number a scalar of one step holds.
    pub fn as_number(&self) -> Result<f64> {
        self.required_scalar()?;
        Ok(self.at(0))
    }

    /// Whether this can be read as a scalar: one row whose cells are all floats.
    pub fn is_scalar(&self) -> bool {
        self.rows() == 1 && self.cells.kind.iter().all(|&kind| kind == FLOAT)
    }
}

/// The steps of an operator over several frames: those with one step serve the others.
pub fn common_steps(frames: &[&Frame]) -> Result<usize> {
    let mut steps = 1;
    for frame in frames {
        if frame.steps != 1 && steps != 1 && frame.steps != steps {
            let other = frame.steps;
            return Err(Error::BadData(format!(
                "frames of {steps} and of {other} steps do not meet"
            )));
        }
        steps = steps.max(frame.steps);
    }
    Ok(steps)
}
