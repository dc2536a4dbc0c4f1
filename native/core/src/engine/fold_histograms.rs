//! Histograms in aggregations that fold: few cells have any, so those that do are kept aside.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::cells::{ABSENT, CellBuf};
use super::context::QueryContext;
use super::fold::FoldOp;
use crate::model::histogram::{Added, HistogramMean, HistogramTotal, Incompatible};
use crate::model::{Histogram, ResetHint};

/// The histograms of each cell, and what a reader should know of them.
#[derive(Debug)]
pub struct HistogramCells {
    op: FoldOp,
    cells: BTreeMap<usize, Folded>,
    /// Names of metrics at which exponential and custom buckets met.
    clashes: Vec<u32>,
    bounds_differ: bool,
    is_ignored: bool,
}

#[derive(Debug)]
struct Folded {
    state: FoldState,
    /// The metric that the first of them belongs to.
    name: u32,
    saw_reset: bool,
    saw_no_reset: bool,
}

#[derive(Debug)]
enum FoldState {
    Sum(HistogramTotal),
    Avg(HistogramMean),
    /// Exponential and custom buckets met, and nothing comes of it.
    Clash,
}

impl FoldState {
    fn add(&mut self, histogram: &Histogram) -> Result<Added, Incompatible> {
        match self {
            Self::Sum(sum) => sum.add(histogram),
            Self::Avg(mean) => mean.add(histogram),
            Self::Clash => Ok(Added::default()),
        }
    }

    fn merge(&mut self, other: &Self) -> Result<Added, Incompatible> {
        match (self, other) {
            (Self::Sum(sum), Self::Sum(other)) => sum.merge(other),
            (Self::Avg(mean), Self::Avg(other)) => mean.merge(other),
            (state, Self::Clash) => {
                *state = Self::Clash;
                Ok(Added::default())
            }
            _ => Ok(Added::default()),
        }
    }
}

impl HistogramCells {
    pub fn new(op: FoldOp) -> Self {
        Self {
            op,
            cells: BTreeMap::new(),
            clashes: Vec::new(),
            bounds_differ: false,
            is_ignored: false,
        }
    }

    /// Whether no histogram was met.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty() && !self.is_ignored
    }

    /// Adds a histogram of a metric to a cell.
    pub fn add(&mut self, cell: usize, name: u32, histogram: &Arc<Histogram>) {
        if !matches!(self.op, FoldOp::Sum | FoldOp::Avg) {
            self.is_ignored = true;
            return;
        }
        let (saw_reset, saw_no_reset) = (
            histogram.hint == ResetHint::Reset,
            histogram.hint == ResetHint::NotReset,
        );
        if let Some(held) = self.cells.get_mut(&cell) {
            held.saw_reset |= saw_reset;
            held.saw_no_reset |= saw_no_reset;
            let added = held.state.add(histogram);
            self.settle(cell, name, added);
            return;
        }
        let first = Histogram::clone(histogram);
        let state = if self.op == FoldOp::Sum {
            FoldState::Sum(HistogramTotal::new(first))
        } else {
            FoldState::Avg(HistogramMean::new(first))
        };
        let folded = Folded {
            state,
            name,
            saw_reset,
            saw_no_reset,
        };
        self.cells.insert(cell, folded);
    }

    fn settle(&mut self, cell: usize, name: u32, added: Result<Added, Incompatible>) {
        if let Ok(Added { bounds_differ, .. }) = added {
            self.bounds_differ |= bounds_differ;
            return;
        }
        if let Some(held) = self.cells.get_mut(&cell) {
            held.state = FoldState::Clash;
        }
        if !self.clashes.contains(&name) {
            self.clashes.push(name);
        }
    }

    /// Adds the cells of a later part, which are others here.
    pub fn merge(&mut self, later: Self, place: impl Fn(usize) -> usize) {
        self.bounds_differ |= later.bounds_differ;
        self.is_ignored |= later.is_ignored;
        self.clashes.extend(later.clashes);
        for (cell, folded) in later.cells {
            let cell = place(cell);
            if let Some(held) = self.cells.get_mut(&cell) {
                held.saw_reset |= folded.saw_reset;
                held.saw_no_reset |= folded.saw_no_reset;
                let added = held.state.merge(&folded.state);
                self.settle(cell, folded.name, added);
            } else {
                self.cells.insert(cell, folded);
            }
        }
    }

    /// Puts the histograms where only such were met. Where floats were met as well, nothing is left.
    pub fn finish(self, context: &QueryContext, cells: &mut CellBuf) {
        if self.is_ignored {
            context.note("ignored_in_aggregation", self.op.name());
        }
        if self.bounds_differ {
            context.note("bounds_in_aggregation", "");
        }
        for &name in &self.clashes {
            let name = context.symbols().get(name).to_owned();
            context.note_of("layouts_in_aggregation", "", &name);
        }
        for (cell, folded) in self.cells {
            if cells.kind[cell] != ABSENT {
                cells.clear(cell);
                context.note("mixed_in_aggregation", "");
                continue;
            }
            let value = match folded.state {
                FoldState::Sum(sum) => sum.value(),
                FoldState::Avg(mean) => mean.value(),
                FoldState::Clash => continue,
            };
            cells.put_new(cell, value.compacted());
            if folded.saw_reset && folded.saw_no_reset {
                context.note("hints_in_aggregation", "");
            }
        }
    }
}
