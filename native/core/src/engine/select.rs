//! Selectors: samples of series become cells, row after row.

use std::ops::Range;
use std::sync::Arc;

use super::cells::{ABSENT, CellBuf, Cells, FLOAT, HISTOGRAM, RowView};
use super::context::QueryContext;
use super::frame::Frame;
use super::labels::text_of;
use super::number::g_value;
use super::parallel::fold_chunks;
use crate::kernel::{
    ExtendedKernel, ExtendedRanges, Instant, InstantKernel, RangeFunction, RangeKernel, Ranges, RowNote,
    RowNotes, Shown, SmoothedKernel,
};
use crate::model::{Millis, SampleSource, Samples, SeriesTable, Symbols};
use crate::select::SeriesSet;
use crate::{Error, Result};

/// What a selector computes from the samples of each row.
#[derive(Debug, Clone)]
pub enum RowPlan {
    Instant(Instant),
    Range {
        function: RangeFunction,
        ranges: Ranges,
        /// Each parameter's value at each step, or one for all.
        params: Vec<Vec<f64>>,
    },
    /// A range function of an `anchored` or `smoothed` selector.
    Extended {
        function: RangeFunction,
        extended: ExtendedRanges,
    },
    /// A `smoothed` instant selector; its range is 0.
    Smoothed(ExtendedRanges),
}

impl RowPlan {
    /// A range function with scalar frames as parameters.
    pub fn range(function: &str, ranges: Ranges, params: &[&Frame]) -> Result<Self> {
        let function = RangeFunction::named(function)?;
        let steps = ranges.grid.steps;
        let params = params
            .iter()
            .map(|frame| {
                if frame.is_scalar() && (frame.steps == 1 || frame.steps == steps) {
                    Ok(frame.cells.value.clone())
                } else {
                    Err(Error::BadData(format!(
                        "a parameter must be a scalar of 1 or {steps} steps"
                    )))
                }
            })
            .collect::<Result<_>>()?;
        Ok(Self::Range {
            function,
            ranges,
            params,
        })
    }

    /// A range function of an `anchored` or `smoothed` selector.
    pub fn extended(function: &str, extended: ExtendedRanges) -> Result<Self> {
        let function = RangeFunction::named(function)?;
        ExtendedKernel::new(function, extended)?;
        Ok(Self::Extended { function, extended })
    }

    pub fn steps(&self) -> usize {
        match self {
            Self::Instant(instant) => instant.grid.steps,
            Self::Range { ranges, .. } => ranges.grid.steps,
            Self::Extended { extended, .. } | Self::Smoothed(extended) => extended.ranges.grid.steps,
        }
    }

    /// The same at some of the steps, at least one.
    #[must_use]
    pub fn part(&self, steps: &Range<usize>) -> Self {
        let mut part = self.clone();
        match &mut part {
            Self::Instant(instant) => instant.grid = instant.grid.part(steps),
            Self::Range { ranges, params, .. } => {
                ranges.grid = ranges.grid.part(steps);
                for param in params.iter_mut().filter(|param| param.len() > 1) {
                    *param = param[steps.clone()].to_vec();
                }
            }
            Self::Extended { extended, .. } | Self::Smoothed(extended) => {
                extended.ranges.grid = extended.ranges.grid.part(steps);
            }
        }
        part
    }

    /// The first and last time that can matter.
    pub fn bounds(&self) -> (Millis, Millis) {
        match self {
            Self::Instant(instant) => instant.bounds(),
            Self::Range { ranges, .. } => ranges.bounds(),
            Self::Extended { extended, .. } | Self::Smoothed(extended) => extended.bounds(),
        }
    }

    pub fn has_params(&self) -> bool {
        matches!(self, Self::Range { params, .. } if !params.is_empty())
    }

    fn kernel(&self) -> Result<RowKernel<'_>> {
        Ok(match self {
            Self::Instant(instant) => RowKernel::Instant(InstantKernel::new(*instant)),
            Self::Range {
                function,
                ranges,
                params,
            } => RowKernel::Range(RangeKernel::new(*function, *ranges, params)?),
            Self::Extended { function, extended } => {
                RowKernel::Extended(ExtendedKernel::new(*function, *extended)?)
            }
            Self::Smoothed(extended) => RowKernel::Smoothed(SmoothedKernel::new(*extended)),
        })
    }

    /// Whether only floats may be met.
    fn refuses_histograms(&self) -> bool {
        matches!(self, Self::Instant(instant) if instant.shows == Shown::TimeOfFloat)
    }

    /// Whether results still carry the name of the metric.
    pub fn keeps_name(&self) -> bool {
        match self {
            Self::Instant(_) | Self::Smoothed(_) => true,
            Self::Range { function, .. } => matches!(function, RangeFunction::First | RangeFunction::Last),
            Self::Extended { .. } => false,
        }
    }

    /// rate and increase ask for the name of a counter.
    fn wants_counter(&self) -> bool {
        matches!(
            self,
            Self::Range {
                function: RangeFunction::Rate | RangeFunction::Increase,
                ..
            } | Self::Extended {
                function: RangeFunction::Rate | RangeFunction::Increase,
                ..
            }
        )
    }

    /// The φ at each step if some lie outside [0, 1].
    fn bad_quantiles(&self) -> Option<&[f64]> {
        match self {
            Self::Range {
                function: RangeFunction::Quantile,
                params,
                ..
            } if params.iter().flatten().any(|phi| !(0.0..=1.0).contains(phi)) => {
                params.first().map(Vec::as_slice)
            }
            _ => None,
        }
    }

    /// A guess of the work, in cells: a row's samples are about as many as its steps and a few per window.
    pub fn cost(&self, rows: usize) -> usize {
        let (min, max) = self.bounds();
        // Series are mostly sampled every 15 s.
        let samples = (max.saturating_sub(min) / 15_000).max(0) as usize;
        rows.saturating_mul(self.steps().saturating_add(samples))
    }
}

#[derive(Debug)]
enum RowKernel<'a> {
    Instant(InstantKernel),
    Range(RangeKernel<'a>),
    Extended(ExtendedKernel),
    Smoothed(SmoothedKernel),
}

impl RowKernel<'_> {
    /// Fills one row of cells. Returns the most samples that one window held.
    fn run(
        &mut self,
        context: &QueryContext,
        samples: Samples<'_>,
        cells: &mut CellBuf,
        notes: &mut RowNotes,
    ) -> Result<usize> {
        cells.histograms.clear();
        match self {
            Self::Instant(kernel) => {
                kernel.run(samples, cells);
                Ok(1)
            }
            Self::Range(kernel) => kernel.run(samples, cells, notes, || context.check()),
            Self::Extended(kernel) => kernel.run(samples, cells, notes, || context.check()),
            Self::Smoothed(kernel) => {
                kernel.run(samples, cells, notes);
                Ok(1)
            }
        }
    }
}

/// What rows tell the reader of the answer, and what reading them took.
#[derive(Debug, Default)]
pub struct Observed {
    /// Value ids of names and types of rows with results, for functions that want counters. A type is looked at only if
    /// types tell what is a counter.
    pub names: Vec<(u32, u32)>,
    /// Steps with results, for functions with a parameter that is out of range at some.
    steps: Vec<bool>,
    /// Notes of rows, by the value id of the name.
    notes: Vec<(u32, RowNotes)>,
    pub samples_read: u64,
    /// The most samples that one window held.
    pub widest: u64,
}

impl Observed {
    /// What was read elsewhere.
    pub fn of_read(names: Vec<(u32, u32)>, samples_read: u64, widest: u64) -> Self {
        Self {
            names,
            samples_read,
            widest,
            ..Self::default()
        }
    }

    /// Whether nothing was noted but names and what reading took.
    pub fn is_plain(&self) -> bool {
        self.notes.is_empty() && self.steps.is_empty()
    }

    /// Adds what later rows tell.
    pub fn merge(&mut self, later: &Self) {
        for &name in &later.names {
            if !self.names.contains(&name) {
                self.names.push(name);
            }
        }
        self.steps.resize(self.steps.len().max(later.steps.len()), false);
        for (seen, &later) in self.steps.iter_mut().zip(&later.steps) {
            *seen |= later;
        }
        for &(name, notes) in &later.notes {
            self.add_notes(name, notes);
        }
        self.samples_read += later.samples_read;
        self.widest = self.widest.max(later.widest);
    }

    fn add_notes(&mut self, name: u32, fresh: RowNotes) {
        match self.notes.iter_mut().find(|(other, _)| *other == name) {
            Some((_, notes)) => notes.merge(fresh),
            None => self.notes.push((name, fresh)),
        }
    }
}

/// Evaluates rows one after the other; `sink` takes the cells of each.
pub fn run_rows(
    context: &QueryContext,
    table: &SeriesTable,
    source: &dyn SampleSource,
    plan: &RowPlan,
    rows: Range<usize>,
    mut sink: impl FnMut(usize, RowView<'_>),
) -> Result<Observed> {
    let (min, max) = plan.bounds();
    let mut reader = source.reader();
    let mut kernel = plan.kernel()?;
    let mut cells = CellBuf::absent(plan.steps());
    let mut observed = Observed::default();
    let (wants_counter, wants_steps) = (plan.wants_counter(), plan.bad_quantiles().is_some());
    if wants_steps {
        observed.steps.resize(plan.steps(), false);
    }
    let type_label = context.uses_types().then(|| context.symbols().intern("__type__"));
    for row in rows {
        context.check()?;
        let mut samples = reader.read(row, min, max)?;
        if !context.uses_starts() {
            samples.starts = &[];
        }
        observed.samples_read += samples.times.len() as u64;
        let mut notes = RowNotes::default();
        let widest = kernel.run(context, samples, &mut cells, &mut notes)?;
        context.check_samples(widest as u64)?;
        observed.widest = observed.widest.max(widest as u64);
        if plan.refuses_histograms() && cells.kind.contains(&HISTOGRAM) {
            let series = text_of(&context.symbols(), table.row(row));
            return Err(Error::Execution(format!(
                "this should be an info metric, with float samples: {series}"
            )));
        }
        if !notes.is_empty() {
            observed.add_notes(table.value(row, Symbols::NAME), notes);
        }
        if wants_counter && cells.kind.contains(&FLOAT) {
            let name = table.value(row, Symbols::NAME);
            let kind = type_label.map_or(Symbols::EMPTY, |label| table.value(row, label));
            if name != Symbols::EMPTY && !observed.names.contains(&(name, kind)) {
                observed.names.push((name, kind));
            }
        }
        for (seen, &kind) in observed.steps.iter_mut().zip(&cells.kind) {
            *seen |= kind != ABSENT;
        }
        sink(row, cells.all());
    }
    context.add_samples_read(observed.samples_read);
    Ok(observed)
}

/// Turns what was observed into notes.
pub fn note(context: &QueryContext, plan: &RowPlan, observed: &Observed) {
    let symbols = context.symbols();
    for &(name, kind) in &observed.names {
        let (name, kind) = (symbols.get(name), symbols.get(kind));
        if context.uses_types() {
            if !["counter", "histogram"].contains(&kind) {
                context.note_of("not_typed_a_counter", kind, name);
            }
        } else if !["_total", "_sum", "_count", "_bucket"]
            .iter()
            .any(|suffix| name.ends_with(suffix))
        {
            context.note_of("not_a_counter", "", name);
        }
    }
    for &(name, notes) in &observed.notes {
        let name = symbols.get(name);
        for note in RowNote::ALL.into_iter().filter(|&note| notes.has(note)) {
            let (kind, detail) = match note {
                RowNote::MixedKinds => ("mixed_kinds", ""),
                RowNote::MixedLayouts => ("mixed_layouts", ""),
                RowNote::NotACounter => ("histogram_not_a_counter", ""),
                RowNote::NotAGauge => ("histogram_not_a_gauge", ""),
                RowNote::IgnoredHistograms => ("ignored_histograms", ""),
                RowNote::StartsOverlap => {
                    context.count_of("starts_overlap", notes.overlaps, name);
                    continue;
                }
                RowNote::ReconciledByAddition => ("bounds_reconciled", "addition"),
                RowNote::ReconciledBySubtraction => ("bounds_reconciled", "subtraction"),
                RowNote::ReconciledByAggregation => ("bounds_reconciled", "aggregation"),
                RowNote::HintsCollide => ("hints_collide", "aggregation"),
            };
            context.note_of(kind, detail, if note.names_metric() { name } else { "" });
        }
    }
    drop(symbols);
    if let Some(phis) = plan.bad_quantiles() {
        for (step, _) in observed.steps.iter().enumerate().filter(|(_, seen)| **seen) {
            let phi = phis[if phis.len() == 1 { 0 } else { step }];
            note_bad_quantile(context, phi);
        }
    }
}

/// Notes a φ outside [0, 1].
pub fn note_bad_quantile(context: &QueryContext, phi: f64) {
    if !(0.0..=1.0).contains(&phi) {
        context.note("quantile_out_of_range", g_value(phi));
    }
}

/// One row of cells per series.
pub fn select(context: &Arc<QueryContext>, series: &SeriesSet, plan: &RowPlan) -> Result<Frame> {
    series.check_at_hand()?;
    let (rows, steps) = (series.len(), plan.steps());
    let cells = Cells::with_capacity(context, rows * steps)?;
    // What is too much is refused when it is met, not when all is read.
    let held = context.charge(0, 0)?;
    let (cells, held) = fold_chunks(
        rows,
        plan.cost(rows),
        (cells, held),
        |chunk| {
            let charge = context.charge(0, (chunk.len() * steps).saturating_mul(9))?;
            let mut chunk_cells = CellBuf::with_capacity(chunk.len() * steps);
            let observed = run_rows(context, &series.table, &*series.source, plan, chunk, |_, row| {
                chunk_cells.push(row);
            })?;
            Ok((chunk_cells, observed, charge))
        },
        |(cells, held), (chunk_cells, observed, _)| {
            held.grow(chunk_cells.present(), 0)?;
            cells.push(chunk_cells.all());
            note(context, plan, &observed);
            Ok(())
        },
    )?;
    drop(held);
    Frame::new(context, Arc::clone(&series.table), steps, cells.seal()?)
}
