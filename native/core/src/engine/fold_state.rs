//! The state of aggregations that fold, and how partial ones meet and travel.

use std::ops::Range;

use super::cells::{ABSENT, CellBuf, FLOAT};
use super::fold::FoldOp;
use crate::codec::bytes::Input;
use crate::kernel::{Mean, Sum};
use crate::{Error, Result};

/// At most, of a cell: the largest state is that of means.
pub const STATE_BYTES: usize = size_of::<Mean>();

/// The state of some groups. Cells are indexed by group · steps + step.
#[derive(Debug)]
pub enum State {
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
    pub fn new(op: FoldOp) -> Self {
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

    pub fn resize(&mut self, cells: usize) {
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
    pub fn add(&mut self, at: Range<usize>, kind: &[u8], value: &[f64]) {
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

    /// Adds a later partial state of so many steps; `groups` are the numbers here of the groups there, and `cell_of` says where
    /// the steps of a group begin here.
    pub fn merge_groups(
        &mut self,
        later: &Self,
        steps: usize,
        groups: &[u32],
        cell_of: impl Fn(usize) -> usize,
    ) {
        for (local, &group) in groups.iter().enumerate() {
            let (at, from) = (cell_of(group as usize), local * steps);
            self.merge(at..at + steps, later, from..from + steps);
        }
    }

    pub fn into_cells(self) -> CellBuf {
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

/// How a column of the state travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    /// Every cell is the same, which comes once.
    Same = 0,
    /// A value for each cell.
    Each = 1,
}

impl State {
    /// Writes the columns one after the other: `docs/formats.md`.
    pub fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Sum { seen, sum, lost } => {
                put_column(out, seen, |&mark| [mark]);
                put_floats(out, sum);
                put_floats(out, lost);
            }
            Self::Avg(means) => {
                let column = |of: fn(&Mean) -> f64| means.iter().map(of).collect::<Vec<f64>>();
                put_floats(out, &column(|mean| mean.count));
                put_floats(out, &column(|mean| mean.total.sum));
                put_floats(out, &column(|mean| mean.total.lost));
                put_column(out, means, |mean| [u8::from(mean.incremental)]);
            }
            Self::Count(counts) => put_column(out, counts, |count| count.to_le_bytes()),
            Self::Least { seen, best, .. } => {
                put_column(out, seen, |&mark| [mark]);
                put_floats(out, best);
            }
            Self::Group(seen) => put_column(out, seen, |&mark| [mark]),
        }
    }

    /// Reads what [`Self::put`] wrote of so many cells. They are paid for.
    pub fn take(op: FoldOp, cells: usize, input: &mut Input<'_>) -> Result<Self> {
        let mut state = Self::new(op);
        match &mut state {
            Self::Sum { seen, sum, lost } => {
                *seen = take_marks(input, cells)?;
                *sum = take_floats(input, cells)?;
                *lost = take_floats(input, cells)?;
            }
            Self::Avg(means) => {
                let counts = take_floats(input, cells)?;
                let sums = take_floats(input, cells)?;
                let lost = take_floats(input, cells)?;
                let incremental = take_marks(input, cells)?;
                let totals = sums.into_iter().zip(lost).map(|(sum, lost)| Sum { sum, lost });
                *means = counts
                    .into_iter()
                    .zip(totals)
                    .zip(incremental)
                    .map(|((count, total), incremental)| Mean {
                        count,
                        total,
                        incremental: incremental != 0,
                    })
                    .collect();
            }
            Self::Count(counts) => *counts = take_column(input, cells, u32::from_le_bytes)?,
            Self::Least { seen, best, .. } => {
                *seen = take_marks(input, cells)?;
                *best = take_floats(input, cells)?;
            }
            Self::Group(seen) => *seen = take_marks(input, cells)?,
        }
        Ok(state)
    }
}

fn put_floats(out: &mut Vec<u8>, values: &[f64]) {
    put_column(out, values, |value| value.to_bits().to_le_bytes());
}

fn put_column<T, const N: usize>(out: &mut Vec<u8>, cells: &[T], bytes: impl Fn(&T) -> [u8; N]) {
    let first = cells.first().map(&bytes);
    if cells.iter().all(|cell| Some(bytes(cell)) == first) {
        out.push(Column::Same as u8);
        out.extend(first.unwrap_or([0; N]));
        return;
    }
    out.push(Column::Each as u8);
    out.reserve(cells.len() * N);
    for cell in cells {
        out.extend(bytes(cell));
    }
}

fn take_floats(input: &mut Input<'_>, cells: usize) -> Result<Vec<f64>> {
    take_column(input, cells, |bytes| f64::from_bits(u64::from_le_bytes(bytes)))
}

/// 0 or 1 each.
fn take_marks(input: &mut Input<'_>, cells: usize) -> Result<Vec<u8>> {
    let marks = take_column(input, cells, |[mark]: [u8; 1]| mark)?;
    if marks.iter().any(|&mark| mark > FLOAT) {
        return Err(Error::Corrupt(
            "a mark of a partial result is neither 0 nor 1".into(),
        ));
    }
    Ok(marks)
}

fn take_column<T: Clone, const N: usize>(
    input: &mut Input<'_>,
    cells: usize,
    value: impl Fn([u8; N]) -> T,
) -> Result<Vec<T>> {
    if input.bounded(Column::Each as usize, "the shape of a column")? == Column::Same as usize {
        return Ok(vec![value(input.array()?); cells]);
    }
    let bytes = cells
        .checked_mul(N)
        .ok_or_else(|| Error::Corrupt("a partial result has too many cells".into()))?;
    let (values, _) = input.take(bytes)?.as_chunks::<N>();
    Ok(values.iter().map(|&bytes| value(bytes)).collect())
}
