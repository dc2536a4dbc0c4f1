//! What binary operators make of two elements of which at least one is a histogram.

use std::sync::Arc;

use super::cells::{CellBuf, Element};
use super::context::QueryContext;
use super::operator::{Answer, BinaryOp, combine_floats};
use crate::model::histogram::{Added, Incompatible};
use crate::model::{Histogram, ResetHint};

/// A result of its own.
#[derive(Debug)]
pub enum Value {
    Float(f64),
    Shared(Arc<Histogram>),
    New(Histogram),
}

impl Value {
    pub fn put(self, cells: &mut CellBuf, cell: usize) {
        match self {
            Self::Float(value) => cells.put(cell, Element::Float(value)),
            Self::Shared(histogram) => cells.put(cell, Element::Histogram(&histogram)),
            Self::New(histogram) => cells.put_new(cell, histogram),
        }
    }
}

/// What a reader should know of a pair of elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PairNote {
    /// The operator does not go with these kinds: whether left and right are histograms.
    Types(bool, bool),
    /// Exponential and custom buckets.
    Layouts,
    /// One counter started again and the other went on.
    HintsCollide,
    BoundsReconciled,
}

/// The outcome for a pair. A refused pair counts as if it had never met.
#[derive(Debug)]
pub struct Combined {
    pub value: Option<Value>,
    pub note: Option<PairNote>,
    pub is_refused: bool,
}

const fn refused(note: PairNote) -> Combined {
    Combined {
        value: None,
        note: Some(note),
        is_refused: true,
    }
}

const fn made(value: Option<Value>) -> Combined {
    Combined {
        value,
        note: None,
        is_refused: false,
    }
}

/// `left op right`.
pub fn combine_elements(op: BinaryOp, answer: Answer, left: Element<'_>, right: Element<'_>) -> Combined {
    let combined = match (left, right) {
        (Element::Float(_), Element::Float(_)) if op.is_trimmer() => refused(PairNote::Types(false, false)),
        (Element::Float(left), Element::Float(right)) => {
            return made(combine_floats(op, answer, left, right).map(Value::Float));
        }
        (Element::Histogram(histogram), Element::Float(number)) => with_number(op, histogram, number),
        (Element::Float(number), Element::Histogram(histogram)) => match op {
            BinaryOp::Mul => with_number(op, histogram, number),
            _ => refused(PairNote::Types(false, true)),
        },
        (Element::Histogram(left), Element::Histogram(right)) => of_histograms(op, left, right),
    };
    match answer {
        Answer::Bool if !combined.is_refused => Combined {
            value: Some(Value::Float(f64::from(u8::from(combined.value.is_some())))),
            ..combined
        },
        _ => combined,
    }
}

fn with_number(op: BinaryOp, histogram: &Histogram, number: f64) -> Combined {
    let mut result = histogram.clone();
    match op {
        BinaryOp::Mul => result.multiply(number),
        BinaryOp::Div => result.divide(number),
        BinaryOp::TrimUpper => result.trim(number, true),
        BinaryOp::TrimLower => result.trim(number, false),
        _ => return refused(PairNote::Types(true, false)),
    }
    let is_trimmed = op.is_trimmer();
    made(Some(Value::New(if is_trimmed {
        result
    } else {
        result.compacted()
    })))
}

fn of_histograms(op: BinaryOp, left: &Arc<Histogram>, right: &Histogram) -> Combined {
    let kept = |holds: bool| made(holds.then(|| Value::Shared(Arc::clone(left))));
    match op {
        BinaryOp::Equal => kept(left.is_same(right)),
        BinaryOp::NotEqual => kept(!left.is_same(right)),
        BinaryOp::Add | BinaryOp::Sub => {
            let mut result = Histogram::clone(left);
            let added = if op == BinaryOp::Add {
                result.add(right)
            } else {
                result.subtract(right)
            };
            match added {
                Err(Incompatible) => refused(PairNote::Layouts),
                // That nothing comes of it but the warning is what Prometheus does.
                Ok(Added {
                    hints_collide: true, ..
                }) => refused(PairNote::HintsCollide),
                Ok(Added { bounds_differ, .. }) => {
                    if op == BinaryOp::Sub {
                        result.hint = ResetHint::Gauge;
                    }
                    Combined {
                        note: bounds_differ.then_some(PairNote::BoundsReconciled),
                        ..made(Some(Value::New(result.compacted())))
                    }
                }
            }
        }
        _ => refused(PairNote::Types(true, true)),
    }
}

/// The last note of each step, which is the one that is told.
#[derive(Debug)]
pub struct StepNotes(Vec<Option<PairNote>>);

impl StepNotes {
    pub fn new(steps: usize) -> Self {
        Self(vec![None; steps])
    }

    pub fn add(&mut self, step: usize, note: Option<PairNote>) {
        if note.is_some() {
            self.0[step] = note;
        }
    }

    pub fn tell(self, context: &QueryContext, op: BinaryOp) {
        let text = op.text();
        let operation = if op == BinaryOp::Add {
            "addition"
        } else {
            "subtraction"
        };
        let kind = |is_histogram: bool| if is_histogram { "histogram" } else { "float" };
        for note in self.0.into_iter().flatten() {
            match note {
                PairNote::Types(left, right) => {
                    let (left, right) = (kind(left), kind(right));
                    context.note("incompatible_types", format!("\"{text}\": {left} {text} {right}"));
                }
                PairNote::Layouts => context.note("incompatible_layouts", text),
                PairNote::HintsCollide => context.note("hints_collide", operation),
                PairNote::BoundsReconciled => context.note("bounds_reconciled", operation),
            }
        }
    }
}
