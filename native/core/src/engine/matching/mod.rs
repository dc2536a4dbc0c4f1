//! Vector matching: which elements of two vectors meet, and under which labels.
//!
//! A signature (the labels that must agree) becomes a number shared by both sides. The "one" side tells for each
//! signature and step which of its rows is present; the rows of the "many" side then look up their partner.

mod mixed;
mod partners;
mod results;
mod sets;

use std::sync::Arc;

use super::cells::Cells;
use super::context::QueryContext;
use super::frame::{Frame, common_steps};
use super::labels::{Interner, Selector, numbers, relabeled, text_of};
use super::operator::{Answer, BinaryOp, Combine, Consumer, dispatch};
use crate::model::SeriesTable;
use crate::{Error, Result};
use partners::Partners;
use results::{ResultLabels, ResultRows};

pub use sets::{SetOp, set_operator};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cardinality {
    OneToOne,
    /// `group_left`.
    ManyToOne,
    /// `group_right`.
    OneToMany,
}

impl Cardinality {
    pub fn named(name: &str) -> Result<Self> {
        match name {
            "one-to-one" => Ok(Self::OneToOne),
            "many-to-one" => Ok(Self::ManyToOne),
            "one-to-many" => Ok(Self::OneToMany),
            _ => Err(Error::BadData(format!("no cardinality is called {name:?}"))),
        }
    }
}

/// How two vectors meet. In one-to-one the left side plays the "many".
#[derive(Debug, Clone)]
pub struct Matching {
    pub cardinality: Cardinality,
    /// Whether `labels` are those of `on(…)`; else of `ignoring(…)`.
    pub on: bool,
    pub labels: Vec<String>,
    /// Labels taken from the "one" side.
    pub include: Vec<String>,
    pub return_bool: bool,
    /// `fill_left`: stands in for a missing element of the "many" side, with `group_right` too, as in Prometheus.
    pub fill_many: Option<f64>,
    /// `fill_right`: stands in for a missing element of the "one" side.
    pub fill_one: Option<f64>,
}

/// No row.
const NONE: u32 = u32::MAX;

/// `left op right`, with result labels as the language defines them. Rows follow the "many" side.
pub fn binary(
    context: &Arc<QueryContext>,
    op: BinaryOp,
    left: &Frame,
    right: &Frame,
    matching: &Matching,
) -> Result<Frame> {
    let steps = common_steps(&[left, right])?;
    let swapped = matching.cardinality == Cardinality::OneToMany;
    let (many, one) = if swapped { (right, left) } else { (left, right) };
    if !matching.fills() && (many.rows() == 0 || one.rows() == 0) {
        return Ok(Frame::empty(steps));
    }
    let selector = if matching.on {
        Selector::only(context, &matching.labels)
    } else {
        Selector::all_but(context, &matching.labels)
    };
    let mut signatures = Interner::with_capacity(one.rows());
    let one_signature = numbers(&one.table, &selector, &mut signatures);
    let many_signature = numbers(&many.table, &selector, &mut signatures);
    let join = Join {
        context,
        matching,
        labels: ResultLabels::new(context, op, matching),
        many,
        one,
        swapped,
        steps,
        signatures: signatures.table,
        one_signature,
        many_signature,
    };
    let answer = if matching.return_bool {
        Answer::Bool
    } else {
        Answer::KeepLeft
    };
    let Joined {
        table,
        cells,
        is_unique,
    } = if op.is_trimmer() || left.has_histograms() || right.has_histograms() {
        join.elements(op, answer)?
    } else {
        dispatch(op, answer, join)?
    };
    if is_unique {
        Frame::new(context, table, steps, cells)
    } else {
        relabeled(context, table, steps, cells)
    }
}

impl Matching {
    fn fills(&self) -> bool {
        self.fill_many.is_some() || self.fill_one.is_some()
    }
}

fn many_to_one() -> Error {
    Error::Execution(
        "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)".into(),
    )
}

struct Joined {
    table: SeriesTable,
    cells: Arc<Cells>,
    /// No two rows can have the same labels.
    is_unique: bool,
}

struct Join<'a> {
    context: &'a Arc<QueryContext>,
    matching: &'a Matching,
    labels: ResultLabels,
    many: &'a Frame,
    one: &'a Frame,
    swapped: bool,
    steps: usize,
    signatures: SeriesTable,
    one_signature: Vec<u32>,
    many_signature: Vec<u32>,
}

impl Consumer for Join<'_> {
    type Output = Result<Joined>;

    fn consume(self, combine: impl Combine) -> Self::Output {
        let partners = Partners::new(&self)?;
        let one_to_one = self.matching.cardinality == Cardinality::OneToOne;
        let repeats = self.many_repeats();
        if one_to_one && repeats {
            self.check_one_to_one(&partners)?;
        }
        let mut rows = ResultRows::new(&self)?;
        for row in 0..self.many.rows() {
            self.context.check()?;
            self.join_row(row, &partners, &combine, &mut rows)?;
        }
        if let Some(fill) = self.matching.fill_many {
            self.fill_unmatched(fill, &combine, &mut rows)?;
        }
        if !one_to_one {
            rows.check_unique(self.context)?;
        }
        // One-to-one, the labels of a result hold its signature, and each signature has one row.
        let is_unique = one_to_one && !repeats && !self.matching.fills();
        rows.into_joined(is_unique)
    }
}

impl Join<'_> {
    /// `left op right`, whichever side is which.
    fn combine(&self, combine: &dyn Combine, many: f64, one: f64) -> Option<f64> {
        if self.swapped {
            combine.combine(one, many)
        } else {
            combine.combine(many, one)
        }
    }

    /// Pairs one row of the many side with its partner at each step.
    fn join_row(
        &self,
        row: usize,
        partners: &Partners,
        combine: &dyn Combine,
        rows: &mut ResultRows,
    ) -> Result<()> {
        let signature = self.many_signature[row];
        if partners.never(signature) && self.matching.fill_one.is_none() {
            return Ok(());
        }
        rows.begin_row();
        for step in 0..self.steps {
            let Some(many) = self.many.float(row, step) else {
                continue;
            };
            let mut partner = partners.at(signature, step);
            let found = if partner == NONE {
                None
            } else {
                self.one.float(partner as usize, step)
            };
            if found.is_none() {
                // The labels are then those of a fill, not of an absent partner.
                partner = NONE;
            }
            let Some(one) = found.or(self.matching.fill_one) else {
                continue;
            };
            let target = rows.of_pair(self, row as u32, partner)?;
            rows.put(target, step, self.combine(combine, many, one));
        }
        Ok(())
    }

    /// Rows of the one side meet the fill value at steps where nothing of the other side has their signature.
    fn fill_unmatched(&self, fill: f64, combine: &dyn Combine, rows: &mut ResultRows) -> Result<()> {
        let met = self.presence_of_many()?;
        for (row, &signature) in self.one_signature.iter().enumerate() {
            self.context.check()?;
            rows.begin_row();
            for step in 0..self.steps {
                let Some(one) = self.one.float(row, step) else {
                    continue;
                };
                if met[signature as usize * self.steps + step] {
                    continue;
                }
                let target = rows.of_fill(self, signature, row as u32)?;
                rows.put(target, step, self.combine(combine, fill, one));
            }
        }
        Ok(())
    }

    /// Whether the many side has a signature at a step: bool[signatures × steps].
    fn presence_of_many(&self) -> Result<Vec<bool>> {
        let cells = self.signatures.len() * self.steps;
        let _charge = self.context.charge(0, cells)?;
        let mut met = vec![false; cells];
        for (row, &signature) in self.many_signature.iter().enumerate() {
            self.context.check()?;
            for step in 0..self.steps {
                met[signature as usize * self.steps + step] |= self.many.has(row, step);
            }
        }
        Ok(met)
    }

    /// Whether two rows of the many side have one signature.
    fn many_repeats(&self) -> bool {
        let mut seen = vec![false; self.signatures.len()];
        self.many_signature
            .iter()
            .any(|&signature| std::mem::replace(&mut seen[signature as usize], true))
    }

    /// No element of the right may meet two of the left. Elements that a comparison filters out count.
    fn check_one_to_one(&self, partners: &Partners) -> Result<()> {
        let cells = self.signatures.len() * self.steps;
        let _charge = self.context.charge(0, cells)?;
        let mut seen = vec![false; cells];
        for (row, &signature) in self.many_signature.iter().enumerate() {
            self.context.check()?;
            for step in 0..self.steps {
                if !self.many.has(row, step) {
                    continue;
                }
                let meets =
                    self.matching.fill_one.is_some() || self.has_one(partners.at(signature, step), step);
                let cell = signature as usize * self.steps + step;
                if meets && std::mem::replace(&mut seen[cell], true) {
                    return Err(many_to_one());
                }
            }
        }
        Ok(())
    }

    fn has_one(&self, row: u32, step: usize) -> bool {
        row != NONE && self.one.has(row as usize, step)
    }

    /// Steps at which elements of the one side may meet anything: those with an element of the many side, or all if
    /// something is filled.
    fn steps_of_many(&self) -> Vec<bool> {
        let mut steps = vec![self.matching.fills(); self.steps];
        for row in 0..self.many.rows() {
            for (step, present) in steps.iter_mut().enumerate() {
                *present |= self.many.has(row, step);
            }
        }
        steps
    }

    /// Two elements of the one side have one signature.
    fn duplicate(&self, signature: u32, first: u32, second: u32) -> Error {
        let symbols = self.context.symbols();
        let mut series = [first, second].map(|row| text_of(&symbols, self.one.table.row(row as usize)));
        series.sort();
        let [first, second] = series;
        let group = text_of(&symbols, self.signatures.row(signature as usize));
        let side = if self.swapped { "left" } else { "right" };
        Error::Execution(format!(
            "found duplicate series for the match group {group} on the {side} hand-side of the operation: \
             [{first}, {second}];many-to-many matching not allowed: matching labels must be unique on one side"
        ))
    }
}
