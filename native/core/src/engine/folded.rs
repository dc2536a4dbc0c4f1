//! Aggregations over the samples of rows, and what the rows of one source come to: partial results, which are merged in
//! the order of the sources, wherever they were made. So it is the same to the last bit who evaluates a source.

use std::ops::Range;
use std::sync::Arc;

use super::cells::Cells;
use super::context::{Charge, QueryContext};
use super::fold::{FoldOp, Sums, fold};
use super::fold_histograms::HistogramCells;
use super::fold_state::{STATE_BYTES, State};
use super::frame::Frame;
use super::labels::{Groups, Interner, Selector};
use super::select::{Observed, RowPlan, note, run_rows};
use crate::codec::bytes::Input;
use crate::model::{SampleSource, SeriesTable, Symbols};
use crate::select::{Apart, ApartRows, SeriesSet};
use crate::{Error, Result};

/// An aggregation of what a plan computes from the samples of each row.
#[derive(Debug)]
pub struct Fold {
    pub plan: RowPlan,
    pub op: FoldOp,
    pub selector: Selector,
}

/// What the rows of one source came to, in groups in order of their first row.
#[derive(Debug)]
pub struct Folded {
    op: FoldOp,
    steps: usize,
    groups: SeriesTable,
    state: State,
    observed: Observed,
    /// Rows that were read.
    rows: usize,
    charge: Charge,
}

impl Fold {
    /// The same at some of the steps, at least one.
    #[must_use]
    pub fn part(&self, steps: &Range<usize>) -> Self {
        Self {
            plan: self.plan.part(steps),
            op: self.op,
            selector: self.selector.clone(),
        }
    }

    /// Whether labels of that name matter: those of groups, and what says what a metric is.
    pub fn looks_at(&self, name: u32) -> bool {
        Symbols::is_metadata(name) || self.selector.keeps(name)
    }

    /// What rows come to. Their histograms stand beside it.
    fn of(
        &self,
        context: &Arc<QueryContext>,
        table: &SeriesTable,
        source: &dyn SampleSource,
        groups: Groups,
    ) -> Result<(Folded, HistogramCells)> {
        let (plan, steps) = (&self.plan, self.plan.steps());
        let charge = context.charge(0, groups.table.bytes() + state_bytes(groups.len(), steps))?;
        // What a function made has no name, unless names go at the end.
        let names = plan.keeps_name() || context.delays_names();
        let sums = fold(
            self.op,
            &groups,
            steps,
            plan.cost(table.len()),
            Observed::default(),
            |chunk, partial| {
                run_rows(context, table, source, plan, chunk, |row, cells| {
                    let name = if names && cells.has_histograms() {
                        table.value(row, Symbols::NAME)
                    } else {
                        Symbols::EMPTY
                    };
                    partial.add(row, name, cells);
                })
            },
            |told: &mut Observed, observed| told.merge(&observed),
        )?;
        let Sums {
            state,
            histograms,
            told,
        } = sums;
        let folded = Folded {
            op: self.op,
            steps,
            groups: groups.table,
            state,
            observed: told,
            rows: table.len(),
            charge,
        };
        Ok((folded, histograms))
    }

    /// What rows come to, if that is smaller than `most_bytes` and can leave the process: histograms cannot.
    pub fn folded(
        &self,
        context: &Arc<QueryContext>,
        table: &SeriesTable,
        source: &dyn SampleSource,
        most_bytes: usize,
    ) -> Result<Option<Folded>> {
        let groups = Groups::new(table, &self.selector);
        if groups.table.bytes() + state_bytes(groups.len(), self.plan.steps()) > most_bytes {
            return Ok(None);
        }
        let (folded, histograms) = self.of(context, table, source, groups)?;
        Ok((histograms.is_empty() && folded.observed.is_plain()).then_some(folded))
    }
}

fn state_bytes(groups: usize, steps: usize) -> usize {
    groups.saturating_mul(steps).saturating_mul(STATE_BYTES)
}

impl Folded {
    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn steps(&self) -> usize {
        self.steps
    }

    pub fn bytes(&self) -> usize {
        self.groups.bytes() + state_bytes(self.groups.len(), self.steps)
    }

    /// The query that pays.
    pub fn context(&self) -> &Arc<QueryContext> {
        self.charge.context()
    }

    /// Counts for the query what was counted elsewhere when the rows were read, but not the rows.
    pub fn count_reading(&self) -> Result<()> {
        let context = self.context();
        context.add_samples_read(self.observed.samples_read);
        context.check_samples(self.observed.widest)
    }

    /// Fails unless this is a part of such a fold.
    fn check(&self, op: FoldOp, steps: usize) -> Result<()> {
        if self.op == op && self.steps == steps {
            return Ok(());
        }
        let (mine, my_steps) = (self.op.name(), self.steps);
        Err(Error::BadData(format!(
            "a partial result of {mine} at {my_steps} steps is none of {} at {steps}",
            op.name()
        )))
    }
}

/// How a partial result travels: what belongs to it beside the labels of its groups.
impl Folded {
    /// Labels of the groups.
    pub fn groups(&self) -> &SeriesTable {
        &self.groups
    }

    /// Ids of names and types of metrics that have results, for functions that want counters.
    pub fn names(&self) -> &[(u32, u32)] {
        &self.observed.names
    }

    pub fn put_counts(&self, out: &mut Vec<u8>) {
        out.push(self.op as u8);
        for count in [
            self.steps as u64,
            self.rows as u64,
            self.observed.samples_read,
            self.observed.widest,
        ] {
            crate::codec::bytes::put_varint(out, count);
        }
    }

    pub fn put_state(&self, out: &mut Vec<u8>) {
        self.state.put(out);
    }

    pub fn into_charge(self) -> Charge {
        self.charge
    }
}

/// What [`Folded::put_counts`] wrote.
#[derive(Debug, Clone, Copy)]
pub struct FoldedCounts {
    op: FoldOp,
    steps: usize,
    rows: usize,
    samples_read: u64,
    widest: u64,
}

impl FoldedCounts {
    pub fn take(input: &mut Input<'_>) -> Result<Self> {
        let op = input.bounded(FoldOp::ALL.len() - 1, "the number of an aggregation")?;
        Ok(Self {
            op: FoldOp::ALL[op],
            steps: input.bounded(u32::MAX as usize, "the number of steps")?,
            rows: input.bounded(u32::MAX as usize, "the number of rows")?,
            samples_read: input.varint()?,
            widest: input.varint()?,
        })
    }

    /// Memory of the partial result of so many groups, without their labels.
    pub fn bytes(self, groups: usize) -> usize {
        state_bytes(groups, self.steps)
    }

    /// The partial result. The charge, which pays for more until now, goes on to pay for it.
    pub fn folded(
        self,
        groups: SeriesTable,
        names: Vec<(u32, u32)>,
        state: &mut Input<'_>,
        mut charge: Charge,
    ) -> Result<Folded> {
        let cells = groups.len().saturating_mul(self.steps);
        charge.resize(groups.bytes() + self.bytes(groups.len()))?;
        Ok(Folded {
            op: self.op,
            steps: self.steps,
            state: State::take(self.op, cells, state)?,
            groups,
            observed: Observed::of_read(names, self.samples_read, self.widest),
            rows: self.rows,
            charge,
        })
    }
}

/// All rows of a set: those at hand as one source, and behind them what stands apart, in its order.
pub fn aggregate_select(
    context: &Arc<QueryContext>,
    series: &SeriesSet,
    plan: &RowPlan,
    op: FoldOp,
    selector: &Selector,
) -> Result<Frame> {
    let fold = Fold {
        plan: plan.clone(),
        op,
        selector: selector.clone(),
    };
    let of = |fold: &Fold, table: &SeriesTable, source: &dyn SampleSource| {
        fold.of(context, table, source, Groups::new(table, selector))
    };
    if series.apart.is_empty() {
        let (folded, histograms) = of(&fold, &series.table, &*series.source)?;
        return finish(context, plan, folded, histograms);
    }
    if plan.has_params() {
        return Err(Error::BadData(
            "a function with parameters is not evaluated by partitions".into(),
        ));
    }
    let mut total = Total::new(context, &fold)?;
    if !series.table.is_empty() {
        let (folded, histograms) = of(&fold, &series.table, &*series.source)?;
        total.add(0, &folded, histograms)?;
    }
    for Apart { steps, rows } in &series.apart {
        let steps = steps.start..steps.end.min(plan.steps());
        if steps.is_empty() {
            continue;
        }
        match rows {
            ApartRows::Read { table, source } => {
                let (folded, histograms) = of(&fold.part(&steps), table, &**source)?;
                total.add(steps.start, &folded, histograms)?;
            }
            ApartRows::Folded(folded) => {
                folded.check(op, steps.len())?;
                total.add(steps.start, folded, HistogramCells::new(op))?;
            }
        }
    }
    let (folded, histograms) = total.finish();
    finish(context, plan, folded, histograms)
}

fn finish(
    context: &Arc<QueryContext>,
    plan: &RowPlan,
    folded: Folded,
    histograms: HistogramCells,
) -> Result<Frame> {
    note(context, plan, &folded.observed);
    let mut cells = folded.state.into_cells();
    histograms.finish(context, &mut cells);
    let cells = Cells::of_buf(context, cells)?;
    Frame::new(context, folded.groups, folded.steps, cells)
}

/// Partial results, merged in the order in which they are added.
struct Total {
    groups: Interner,
    folded: Folded,
    histograms: HistogramCells,
}

impl Total {
    fn new(context: &Arc<QueryContext>, fold: &Fold) -> Result<Self> {
        Ok(Self {
            groups: Interner::with_capacity(0),
            folded: Folded {
                op: fold.op,
                steps: fold.plan.steps(),
                groups: SeriesTable::new(),
                state: State::new(fold.op),
                observed: Observed::default(),
                rows: 0,
                charge: context.charge(0, 0)?,
            },
            histograms: HistogramCells::new(fold.op),
        })
    }

    /// Adds what covers the steps from `first` on.
    fn add(&mut self, first: usize, later: &Folded, histograms: HistogramCells) -> Result<()> {
        let Self {
            groups,
            folded:
                Folded {
                    steps,
                    state,
                    observed,
                    rows,
                    charge,
                    ..
                },
            histograms: met,
        } = self;
        let steps = *steps;
        let cell_of = |group: usize| group * steps + first;
        let of_group: Vec<u32> = later.groups.rows().map(|pairs| groups.number(pairs)).collect();
        charge.resize(groups.table.bytes() + state_bytes(groups.len(), steps))?;
        state.resize(groups.len() * steps);
        met.merge(histograms, |cell| {
            cell_of(of_group[cell / later.steps] as usize) + cell % later.steps
        });
        state.merge_groups(&later.state, later.steps, &of_group, cell_of);
        observed.merge(&later.observed);
        *rows += later.rows;
        Ok(())
    }

    fn finish(self) -> (Folded, HistogramCells) {
        let folded = Folded {
            groups: self.groups.table,
            ..self.folded
        };
        (folded, self.histograms)
    }
}
