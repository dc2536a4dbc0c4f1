//! `stddev` and `stdvar`: population variance by Welford's method, in row order.

use std::sync::Arc;

use hashbrown::HashMap;

use super::super::cells::{ABSENT, Cells, FLOAT, HISTOGRAM, RowView};
use super::super::context::{Charge, QueryContext};
use super::super::frame::Frame;
use super::super::labels::{Groups, Selector};
use super::super::parallel::fold_chunks;
use super::super::select::{RowPlan, note, run_rows};
use super::note_ignored;
use crate::Result;
use crate::model::SeriesTable;
use crate::select::SeriesSet;

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

    /// Adds what later values came to, by the method of Chan, Golub and LeVeque.
    fn merge(&mut self, later: Self) {
        if self.count == 0.0 || later.count == 0.0 {
            if self.count == 0.0 {
                *self = later;
            }
            return;
        }
        let count = self.count + later.count;
        let delta = later.mean - self.mean;
        self.mean += delta * (later.count / count);
        self.squares += later.squares + delta * delta * (self.count * later.count / count);
        self.count = count;
    }
}

/// The groups that a chunk of rows meets, groups × steps.
struct Partial<'a> {
    steps: usize,
    group_of_row: &'a [u32],
    state: Vec<Welford>,
    /// Global group of each local one.
    groups: Vec<u32>,
    local: HashMap<u32, usize>,
    has_histograms: bool,
    charge: Charge,
}

impl Partial<'_> {
    fn add(&mut self, row: usize, cells: RowView<'_>) -> Result<()> {
        let group = self.group_of_row[row];
        let fresh = self.groups.len();
        let local = *self.local.entry(group).or_insert(fresh);
        if local == fresh {
            self.charge.grow(0, self.steps * size_of::<Welford>())?;
            self.groups.push(group);
            self.state.resize((fresh + 1) * self.steps, Welford::default());
        }
        self.has_histograms |= cells.has_histograms() && cells.kind.contains(&HISTOGRAM);
        let state = &mut self.state[local * self.steps..(local + 1) * self.steps];
        add_row(state, cells.kind, cells.value);
        Ok(())
    }
}

fn add_row(state: &mut [Welford], kind: &[u8], value: &[f64]) {
    for ((state, &kind), &x) in state.iter_mut().zip(kind).zip(value) {
        if kind == FLOAT {
            state.add(x);
        }
    }
}

/// The same straight over series, without the cells of all of them: chunks of rows meet in row order.
pub fn variance_select(
    context: &Arc<QueryContext>,
    series: &SeriesSet,
    plan: &RowPlan,
    selector: &Selector,
    is_deviation: bool,
) -> Result<Frame> {
    series.check_at_hand()?;
    let groups = Groups::new(&series.table, selector);
    let steps = plan.steps();
    let cells = groups.len() * steps;
    let _charge = context.charge(0, cells.saturating_mul(size_of::<Welford>()))?;
    let state = fold_chunks(
        series.len(),
        plan.cost(series.len()),
        vec![Welford::default(); cells],
        |chunk| {
            let mut partial = Partial {
                steps,
                group_of_row: &groups.of_row,
                state: Vec::new(),
                groups: Vec::new(),
                local: HashMap::new(),
                has_histograms: false,
                charge: context.charge(0, 0)?,
            };
            let mut outcome = Ok(());
            let observed = run_rows(
                context,
                &series.table,
                &*series.source,
                plan,
                chunk,
                |row, cells| {
                    if outcome.is_ok() {
                        outcome = partial.add(row, cells);
                    }
                },
            )?;
            outcome?;
            Ok((partial, observed))
        },
        |state, (partial, observed)| {
            note(context, plan, &observed);
            if partial.has_histograms {
                context.note("ignored_in_aggregation", name_of(is_deviation));
            }
            for (&group, later) in partial.groups.iter().zip(partial.state.chunks(steps)) {
                let at = group as usize * steps;
                for (state, &later) in state[at..at + steps].iter_mut().zip(later) {
                    state.merge(later);
                }
            }
            Ok(())
        },
    )?;
    finish(context, groups.table, steps, state, is_deviation)
}

fn name_of(is_deviation: bool) -> &'static str {
    if is_deviation { "stddev" } else { "stdvar" }
}

pub fn variance(
    context: &Arc<QueryContext>,
    frame: &Frame,
    selector: &Selector,
    is_deviation: bool,
) -> Result<Frame> {
    note_ignored(context, frame, name_of(is_deviation));
    let groups = Groups::new(&frame.table, selector);
    let steps = frame.steps;
    let cells = groups.len() * steps;
    let _charge = context.charge(0, cells.saturating_mul(size_of::<Welford>()))?;
    let mut state = vec![Welford::default(); cells];
    for (row, &group) in groups.of_row.iter().enumerate() {
        context.check()?;
        let (kind, value) = frame.row(row);
        let state = &mut state[group as usize * steps..(group as usize + 1) * steps];
        add_row(state, kind, value);
    }
    finish(context, groups.table, steps, state, is_deviation)
}

fn finish(
    context: &Arc<QueryContext>,
    groups: SeriesTable,
    steps: usize,
    state: Vec<Welford>,
    is_deviation: bool,
) -> Result<Frame> {
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
    Frame::new(context, groups, steps, Cells::of(context, kind, value)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[f64]) -> Welford {
        let mut state = Welford::default();
        for &x in values {
            state.add(x);
        }
        state
    }

    proptest! {
        #[test]
        fn parts_meet_as_if_they_were_one(
            values in prop::collection::vec(-1e6..1e6_f64, 0..60), cut in 0_usize..60,
        ) {
            let (early, late) = values.split_at(cut.min(values.len()));
            let mut merged = of(early);
            merged.merge(of(late));
            let whole = of(&values);
            prop_assert_eq!(merged.count, whole.count);
            prop_assert!((merged.mean - whole.mean).abs() <= 1e-9 * 1e6);
            prop_assert!((merged.squares - whole.squares).abs() <= 1e-9 * (1.0 + whole.squares));
        }
    }

    #[test]
    fn what_is_not_finite_stays_so() {
        for odd in [f64::NAN, f64::INFINITY] {
            for (early, late) in [(&[1.0, odd][..], &[2.0][..]), (&[2.0][..], &[odd, 1.0][..])] {
                let mut merged = of(early);
                merged.merge(of(late));
                assert!(merged.squares.is_nan());
            }
        }
    }
}
