//! Rows × steps of cells, and the times of the steps.

use std::sync::Arc;

use super::context::{Charge, QueryContext};
use crate::model::{Millis, SeriesTable};
use crate::{Error, Result};

/// Cell kinds. A kind 2 is kept for native histograms.
pub const ABSENT: u8 = 0;
pub const FLOAT: u8 = 1;

/// The evaluation times of a query: `start + i * step` for `i < steps`. An instant query has one step.
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
        if steps == 0 || (steps > 1 && step <= 0) || last.is_none() {
            return Err(Error::BadData(format!(
                "a grid needs a positive step and at least one step that fits in milliseconds: {grid:?}"
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

    pub fn times(self) -> impl Iterator<Item = Millis> {
        (0..self.steps).map(move |i| self.time(i))
    }
}

/// Cells in row-major order, one label set per row. A frame of one step serves any number of steps.
#[derive(Debug)]
pub struct Frame {
    pub table: Arc<SeriesTable>,
    pub steps: usize,
    /// u8[rows × steps]: [`ABSENT`] or [`FLOAT`].
    pub kind: Vec<u8>,
    /// f64[rows × steps]; 0 where absent.
    pub value: Vec<f64>,
    /// Rows are in an order the query asked for (sort, topk), to be kept by the writer of an instant vector.
    pub ordered: bool,
    #[expect(dead_code, reason = "held so that its drop gives the memory back")]
    charge: Option<Charge>,
}

impl Frame {
    /// All cells absent.
    pub fn absent(context: &Arc<QueryContext>, table: Arc<SeriesTable>, steps: usize) -> Result<Self> {
        let cells = table.len().saturating_mul(steps);
        let charge = context.charge(cells, cells.saturating_mul(9).saturating_add(table.bytes()))?;
        Ok(Self {
            table,
            steps,
            kind: vec![ABSENT; cells],
            value: vec![0.0; cells],
            ordered: false,
            charge: Some(charge),
        })
    }

    /// A scalar: one row without labels, all cells present.
    pub fn scalar(values: Vec<f64>) -> Self {
        let mut table = SeriesTable::new();
        table.push([]);
        Self {
            table: Arc::new(table),
            steps: values.len(),
            kind: vec![FLOAT; values.len()],
            value: values,
            ordered: false,
            charge: None,
        }
    }

    /// A frame over cells that exist already.
    pub fn of_cells(
        context: &Arc<QueryContext>,
        table: Arc<SeriesTable>,
        steps: usize,
        kind: Vec<u8>,
        value: Vec<f64>,
    ) -> Result<Self> {
        let charge = context.charge(kind.len(), kind.len() * 9 + table.bytes())?;
        Ok(Self {
            table,
            steps,
            kind,
            value,
            ordered: false,
            charge: Some(charge),
        })
    }

    pub fn rows(&self) -> usize {
        self.table.len()
    }

    /// The kinds and values of a row.
    pub fn row(&self, row: usize) -> (&[u8], &[f64]) {
        let cells = row * self.steps..(row + 1) * self.steps;
        (&self.kind[cells.clone()], &self.value[cells])
    }

    pub fn row_mut(&mut self, row: usize) -> (&mut [u8], &mut [f64]) {
        let cells = row * self.steps..(row + 1) * self.steps;
        (&mut self.kind[cells.clone()], &mut self.value[cells])
    }

    /// The value of a scalar at a step.
    pub fn at(&self, step: usize) -> f64 {
        self.value[if self.steps == 1 { 0 } else { step }]
    }
}
