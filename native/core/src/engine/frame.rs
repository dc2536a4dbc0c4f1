//! Rows × steps of cells, and the times of the steps.

use std::sync::Arc;

use super::context::{Charge, QueryContext};
use crate::model::{Millis, SeriesTable};
use crate::{Error, Result};

/// Cell kinds. A kind 2 is kept for native histograms.
pub const ABSENT: u8 = 0;
pub const FLOAT: u8 = 1;

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

    pub fn times(self) -> impl Iterator<Item = Millis> {
        (0..self.steps).map(move |i| self.time(i))
    }
}

/// Cells of rows × steps in row-major order. Frames that differ in labels only share them.
#[derive(Debug)]
pub struct Cells {
    /// u8[rows × steps]: [`ABSENT`] or [`FLOAT`].
    pub kind: Vec<u8>,
    /// f64[rows × steps]; +0 where absent, so that sums need not look at the kind.
    pub value: Vec<f64>,
    charge: Option<Charge>,
}

impl Cells {
    /// All absent, to be filled and then [sealed](Self::seal).
    pub fn absent(context: &Arc<QueryContext>, cells: usize) -> Result<Self> {
        let charge = context.charge(0, cells.saturating_mul(9))?;
        Ok(Self {
            kind: vec![ABSENT; cells],
            value: vec![0.0; cells],
            charge: Some(charge),
        })
    }

    /// None yet, with room for `cells`.
    pub fn with_capacity(context: &Arc<QueryContext>, cells: usize) -> Result<Self> {
        let charge = context.charge(0, cells.saturating_mul(9))?;
        Ok(Self {
            kind: Vec::with_capacity(cells),
            value: Vec::with_capacity(cells),
            charge: Some(charge),
        })
    }

    /// Cells that were made elsewhere.
    pub fn of(context: &Arc<QueryContext>, kind: Vec<u8>, value: Vec<f64>) -> Result<Arc<Self>> {
        let charge = context.charge(0, kind.len().saturating_mul(9))?;
        Self {
            kind,
            value,
            charge: Some(charge),
        }
        .seal()
    }

    pub fn push_rows(&mut self, kind: &[u8], value: &[f64]) {
        self.kind.extend_from_slice(kind);
        self.value.extend_from_slice(value);
    }

    /// Appends absent cells up to a total, which may pass what was asked for at first.
    pub fn grow_to(&mut self, cells: usize) -> Result<()> {
        if cells > self.kind.capacity()
            && let Some(charge) = &mut self.charge
        {
            charge.grow(
                0,
                self.kind
                    .capacity()
                    .max(cells - self.kind.capacity())
                    .saturating_mul(9),
            )?;
        }
        self.kind.resize(cells, ABSENT);
        self.value.resize(cells, 0.0);
        Ok(())
    }

    /// Appends cells of (kind, value).
    pub fn extend(&mut self, cells: impl Iterator<Item = (u8, f64)>) {
        for (kind, value) in cells {
            self.kind.push(kind);
            self.value.push(value);
        }
    }

    pub fn row_mut(&mut self, row: usize, steps: usize) -> (&mut [u8], &mut [f64]) {
        let cells = row * steps..(row + 1) * steps;
        (&mut self.kind[cells.clone()], &mut self.value[cells])
    }

    /// Counts the cells that are present as samples held by the query.
    pub fn seal(mut self) -> Result<Arc<Self>> {
        let present = self.kind.iter().map(|&kind| usize::from(kind != ABSENT)).sum();
        if let Some(charge) = &mut self.charge {
            charge.grow(present, 0)?;
        }
        Ok(Arc::new(self))
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
        let steps = values.len();
        let cells = Cells {
            kind: vec![FLOAT; steps],
            value: values,
            charge: None,
        };
        Self {
            table: Arc::new(table),
            steps,
            cells: Arc::new(cells),
            ordered: false,
            charge: None,
        }
    }

    /// No rows.
    pub fn empty(steps: usize) -> Self {
        let cells = Cells {
            kind: Vec::new(),
            value: Vec::new(),
            charge: None,
        };
        Self {
            table: Arc::new(SeriesTable::new()),
            steps,
            cells: Arc::new(cells),
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

    /// The kinds and values of a row.
    pub fn row(&self, row: usize) -> (&[u8], &[f64]) {
        let cells = row * self.steps..(row + 1) * self.steps;
        (&self.cells.kind[cells.clone()], &self.cells.value[cells])
    }

    /// A cell, if present; a frame of one step has the same at every step.
    pub fn get(&self, row: usize, step: usize) -> Option<f64> {
        let cell = row * self.steps + if self.steps == 1 { 0 } else { step };
        (self.cells.kind[cell] != ABSENT).then_some(self.cells.value[cell])
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

    /// Whether this can be read as a scalar: one row whose cells are all present.
    pub fn is_scalar(&self) -> bool {
        self.rows() == 1 && !self.cells.kind.contains(&ABSENT)
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
