//! Aggregations that fold one row after the other into a state of groups × steps: sum avg count min max group.

use std::ops::Range;
use std::sync::Arc;

use hashbrown::HashMap;

use super::cells::{ABSENT, CellBuf, Cells, Element, FLOAT, HISTOGRAM, RowView};
use super::context::QueryContext;
use super::fold_histograms::HistogramCells;
use super::frame::Frame;
use super::labels::Groups;
use super::parallel::fold_chunks;
use crate::kernel::{Mean, Sum};
use crate::{Error, Result};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoldOp {
    Sum,
    Avg,
    Count,
    Min,
    Max,
    Group,
}

impl FoldOp {
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "sum" => Self::Sum,
            "avg" => Self::Avg,
            "count" => Self::Count,
            "min" => Self::Min,
            "max" => Self::Max,
            "group" => Self::Group,
            _ => return None,
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Count => "count",
            Self::Min => "min",
            Self::Max => "max",
            Self::Group => "group",
        }
    }

    pub fn required(name: &str) -> Result<Self> {
        Self::named(name).ok_or_else(|| {
            Error::BadData(format!(
                "{name:?} cannot be folded; use sum avg count min max group"
            ))
        })
    }
}

/// The state of some groups. Cells are indexed by group · steps + step.
#[derive(Debug)]
enum State {
    Sum {
        seen: Vec<u8>,
        sum: Vec<f64>,
        lost: Vec<f64>,
    },
    Avg(Vec<Mean>),
    Count(Vec<u32>),
    Least {
        seen: Vec<u8>,
        best: Vec<f64>,
        sign: f64,
    },
    Group(Vec<u8>),
}

impl State {
    fn new(op: FoldOp) -> Self {
        match op {
            FoldOp::Sum => Self::Sum {
                seen: Vec::new(),
                sum: Vec::new(),
                lost: Vec::new(),
            },
            FoldOp::Avg => Self::Avg(Vec::new()),
            FoldOp::Count => Self::Count(Vec::new()),
            FoldOp::Min => Self::Least {
                seen: Vec::new(),
                best: Vec::new(),
                sign: 1.0,
            },
            FoldOp::Max => Self::Least {
                seen: Vec::new(),
                best: Vec::new(),
                sign: -1.0,
            },
            FoldOp::Group => Self::Group(Vec::new()),
        }
    }

    fn resize(&mut self, cells: usize) {
        match self {
            Self::Sum { seen, sum, lost } => {
                seen.resize(cells, ABSENT);
                sum.resize(cells, 0.0);
                lost.resize(cells, 0.0);
            }
            Self::Avg(means) => means.resize(cells, Mean::default()),
            Self::Count(counts) => counts.resize(cells, 0),
            Self::Least { seen, best, .. } => {
                seen.resize(cells, ABSENT);
                best.resize(cells, f64::NAN);
            }
            Self::Group(seen) => seen.resize(cells, ABSENT),
        }
    }

    /// Folds a row into the cells of its group.
    fn add(&mut self, at: Range<usize>, kind: &[u8], value: &[f64]) {
        match self {
            Self::Sum { seen, sum, lost } => {
                // An absent cell's value is 0 and changes nothing, so this loop has no branch and vectorises.
                let state = sum[at.clone()].iter_mut().zip(&mut lost[at.clone()]);
                for ((sum, lost), &x) in state.zip(value) {
                    let mut total = Sum {
                        sum: *sum,
                        lost: *lost,
                    };
                    total.add(x);
                    (*sum, *lost) = (total.sum, total.lost);
                }
                mark(&mut seen[at], kind);
            }
            Self::Avg(means) => {
                for ((mean, &kind), &x) in means[at].iter_mut().zip(kind).zip(value) {
                    if kind != ABSENT {
                        mean.add(x);
                    }
                }
            }
            Self::Count(counts) => {
                for (count, &kind) in counts[at].iter_mut().zip(kind) {
                    *count += u32::from(kind != ABSENT);
                }
            }
            Self::Least { seen, best, sign } => {
                let sign = *sign;
                for ((best, &kind), &x) in best[at.clone()].iter_mut().zip(kind).zip(value) {
                    let better = x * sign < *best * sign || best.is_nan();
                    *best = if kind != ABSENT && better { x } else { *best };
                }
                mark(&mut seen[at], kind);
            }
            Self::Group(seen) => mark(&mut seen[at], kind),
        }
    }

    /// Adds the cells `from` of a later partial state to the cells `at`.
    fn merge(&mut self, at: Range<usize>, later: &Self, from: Range<usize>) {
        match (self, later) {
            (
                Self::Sum { seen, sum, lost },
                Self::Sum {
                    seen: seen2,
                    sum: sum2,
                    lost: lost2,
                },
            ) => {
                mark(&mut seen[at.clone()], &seen2[from.clone()]);
                for (to, from) in at.zip(from) {
                    let mut total = Sum {
                        sum: sum[to],
                        lost: lost[to],
                    };
                    total.merge(Sum {
                        sum: sum2[from],
                        lost: lost2[from],
                    });
                    (sum[to], lost[to]) = (total.sum, total.lost);
                }
            }
            (Self::Avg(means), Self::Avg(means2)) => {
                for (mean, later) in means[at].iter_mut().zip(&means2[from]) {
                    mean.merge(*later);
                }
            }
            (Self::Count(counts), Self::Count(counts2)) => {
                for (count, later) in counts[at].iter_mut().zip(&counts2[from]) {
                    *count += later;
                }
            }
            (
                state @ Self::Least { .. },
                Self::Least {
                    seen: seen2,
                    best: best2,
                    ..
                },
            ) => {
                state.add(at, &seen2[from.clone()], &best2[from]);
            }
            (Self::Group(seen), Self::Group(seen2)) => mark(&mut seen[at], &seen2[from]),
            _ => debug_assert!(false, "partial states of one fold have one operator"),
        }
    }

    fn into_cells(self) -> CellBuf {
        let (kind, value): (Vec<u8>, Vec<f64>) = match self {
            Self::Sum { seen, sum, lost } => {
                let value = sum.iter().zip(&lost).map(|(sum, lost)| sum + lost).collect();
                (seen, value)
            }
            Self::Avg(means) => means
                .into_iter()
                .map(|mean| {
                    if mean.count > 0.0 {
                        (FLOAT, mean.value())
                    } else {
                        (ABSENT, 0.0)
                    }
                })
                .unzip(),
            Self::Count(counts) => counts
                .into_iter()
                .map(|count| (u8::from(count > 0) * FLOAT, f64::from(count)))
                .unzip(),
            Self::Least { seen, best, .. } => {
                let value = seen
                    .iter()
                    .zip(best)
                    .map(|(&seen, x)| if seen == ABSENT { 0.0 } else { x })
                    .collect();
                (seen, value)
            }
            Self::Group(seen) => {
                let value = seen.iter().map(|&seen| f64::from(seen)).collect();
                (seen, value)
            }
        };
        CellBuf {
            kind,
            value,
            histograms: Vec::new(),
        }
    }
}

/// A cell is present once any row was.
fn mark(seen: &mut [u8], kind: &[u8]) {
    for (seen, &kind) in seen.iter_mut().zip(kind) {
        *seen |= u8::from(kind != ABSENT) * FLOAT;
    }
}

/// The state of the groups that a chunk of rows meets.
#[derive(Debug)]
pub struct Partial<'a> {
    op: FoldOp,
    group_of_row: &'a [u32],
    steps: usize,
    state: State,
    /// Where histograms were met; its cells are those of the state.
    histograms: HistogramCells,
    /// Of a row with histograms the floats alone.
    floats: CellBuf,
    /// Global group of each local one, in order of first sight.
    groups: Vec<u32>,
    local: HashMap<u32, u32>,
    last: Option<(u32, u32)>,
}

impl<'a> Partial<'a> {
    fn new(op: FoldOp, steps: usize, group_of_row: &'a [u32]) -> Self {
        let state = State::new(op);
        Self {
            op,
            group_of_row,
            steps,
            state,
            histograms: HistogramCells::new(op),
            floats: CellBuf::default(),
            groups: Vec::new(),
            local: HashMap::new(),
            last: None,
        }
    }

    fn local(&mut self, group: u32) -> usize {
        if let Some((last, local)) = self.last
            && last == group
        {
            return local as usize;
        }
        let fresh = self.groups.len() as u32;
        let local = *self.local.entry(group).or_insert(fresh);
        if local == fresh {
            self.groups.push(group);
            self.state.resize(self.groups.len() * self.steps);
        }
        self.last = Some((group, local));
        local as usize
    }

    /// Folds the cells of a row, which belongs to the metric of that name.
    #[inline]
    pub fn add(&mut self, row: usize, name: u32, cells: RowView<'_>) {
        let local = self.local(self.group_of_row[row]);
        let at = local * self.steps..(local + 1) * self.steps;
        if cells.has_histograms() && cells.kind.contains(&HISTOGRAM) {
            self.add_mixed(at, name, cells);
        } else {
            self.state.add(at, cells.kind, cells.value);
        }
    }

    fn add_mixed(&mut self, at: Range<usize>, name: u32, cells: RowView<'_>) {
        if matches!(self.op, FoldOp::Count | FoldOp::Group) {
            self.state.add(at, cells.kind, cells.value);
            return;
        }
        let floats = &mut self.floats;
        floats.kind.clear();
        floats.kind.extend_from_slice(cells.kind);
        floats.value.clear();
        floats.value.extend_from_slice(cells.value);
        for step in 0..self.steps {
            if let Some(Element::Histogram(histogram)) = cells.get(step) {
                floats.clear(step);
                self.histograms.add(at.start + step, name, histogram);
            }
        }
        self.state.add(at, &floats.kind, &floats.value);
    }
}

/// Folds rows into groups. `feed` adds the rows of a chunk; what it returns is handed to `note` in order of the chunks.
/// `cost` estimates the cells of all work.
pub fn fold<E: Send>(
    context: &Arc<QueryContext>,
    op: FoldOp,
    groups: &Groups,
    steps: usize,
    cost: usize,
    feed: impl Fn(Range<usize>, &mut Partial<'_>) -> Result<E> + Sync,
    note: impl Fn(E) + Sync,
) -> Result<Frame> {
    let cells = groups.len() * steps;
    // Sum, compensation and mark for each cell while folding.
    let _state_charge = context.charge(0, cells.saturating_mul(32))?;
    let mut state = State::new(op);
    let histograms = HistogramCells::new(op);
    let rows = groups.of_row.len();
    if rows > super::parallel::CHUNK_ROWS {
        state.resize(cells);
    }
    let (state, histograms) = fold_chunks(
        rows,
        cost,
        (state, histograms),
        |chunk| {
            let mut partial = Partial::new(op, steps, &groups.of_row);
            let extra = feed(chunk, &mut partial)?;
            Ok((partial, extra))
        },
        |(state, histograms), (partial, extra)| {
            note(extra);
            if rows <= super::parallel::CHUNK_ROWS {
                // The only chunk: its groups are all groups, in the same order.
                (*state, *histograms) = (partial.state, partial.histograms);
                return Ok(());
            }
            histograms.merge(partial.histograms, |cell| {
                partial.groups[cell / steps] as usize * steps + cell % steps
            });
            for (local, &group) in partial.groups.iter().enumerate() {
                let (at, from) = (group as usize * steps, local * steps);
                state.merge(at..at + steps, &partial.state, from..from + steps);
            }
            Ok(())
        },
    )?;
    let mut cells = state.into_cells();
    histograms.finish(context, &mut cells);
    let cells = Cells::of_buf(context, cells)?;
    Frame::new(context, groups.table.clone(), steps, cells)
}
