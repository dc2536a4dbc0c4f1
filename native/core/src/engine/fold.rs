//! Aggregations that fold one row after the other into a state of groups × steps: sum avg count min max group.

use std::ops::Range;

use hashbrown::HashMap;

use super::cells::{CellBuf, Element, HISTOGRAM, RowView};
use super::fold_histograms::HistogramCells;
use super::fold_state::State;
use super::labels::Groups;
use super::parallel::fold_chunks;
use crate::{Error, Result};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoldOp {
    Sum = 0,
    Avg,
    Count,
    Min,
    Max,
    Group,
}

impl FoldOp {
    /// By their numbers on the wire.
    pub const ALL: [Self; 6] = [
        Self::Sum,
        Self::Avg,
        Self::Count,
        Self::Min,
        Self::Max,
        Self::Group,
    ];

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

/// What rows came to. State and histograms are of groups × steps, `told` is what all chunks told.
#[derive(Debug)]
pub struct Sums<T> {
    pub state: State,
    pub histograms: HistogramCells,
    pub told: T,
}

/// Folds rows into groups. `feed` adds the rows of a chunk; what it returns is handed to `hear` in order of the chunks.
/// `cost` estimates the cells of all work. The caller pays for the state.
pub fn fold<E: Send, T: Send>(
    op: FoldOp,
    groups: &Groups,
    steps: usize,
    cost: usize,
    told: T,
    feed: impl Fn(Range<usize>, &mut Partial<'_>) -> Result<E> + Sync,
    hear: impl Fn(&mut T, E) + Sync,
) -> Result<Sums<T>> {
    let mut sums = Sums {
        state: State::new(op),
        histograms: HistogramCells::new(op),
        told,
    };
    let rows = groups.of_row.len();
    if rows > super::parallel::CHUNK_ROWS {
        sums.state.resize(groups.len() * steps);
    }
    fold_chunks(
        rows,
        cost,
        sums,
        |chunk| {
            let mut partial = Partial::new(op, steps, &groups.of_row);
            let extra = feed(chunk, &mut partial)?;
            Ok((partial, extra))
        },
        |sums, (partial, extra)| {
            hear(&mut sums.told, extra);
            if rows <= super::parallel::CHUNK_ROWS {
                // The only chunk: its groups are all groups, in the same order.
                (sums.state, sums.histograms) = (partial.state, partial.histograms);
                return Ok(());
            }
            sums.histograms.merge(partial.histograms, |cell| {
                partial.groups[cell / steps] as usize * steps + cell % steps
            });
            sums.state
                .merge_groups(&partial.state, steps, &partial.groups, |group| group * steps);
            Ok(())
        },
    )
}
