//! Binary operators: their names, what they make of two floats, and vectors with scalars.

use std::sync::Arc;

use super::cells::{Cells, Element, FLOAT};
use super::context::QueryContext;
use super::elements::{StepNotes, combine_elements};
use super::frame::{Frame, common_steps};
use crate::{Error, Result};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    /// `</`: of a histogram what lies below a number.
    TrimUpper,
    /// `>/`: of a histogram what lies above a number.
    TrimLower,
}

const TEXTS: [(&str, BinaryOp); 15] = [
    ("+", BinaryOp::Add),
    ("-", BinaryOp::Sub),
    ("*", BinaryOp::Mul),
    ("/", BinaryOp::Div),
    ("%", BinaryOp::Mod),
    ("^", BinaryOp::Pow),
    ("atan2", BinaryOp::Atan2),
    ("==", BinaryOp::Equal),
    ("!=", BinaryOp::NotEqual),
    ("<", BinaryOp::Less),
    ("<=", BinaryOp::LessEqual),
    (">", BinaryOp::Greater),
    (">=", BinaryOp::GreaterEqual),
    ("</", BinaryOp::TrimUpper),
    (">/", BinaryOp::TrimLower),
];

impl BinaryOp {
    /// By its PromQL text.
    pub fn named(text: &str) -> Result<Self> {
        TEXTS
            .iter()
            .find(|(other, _)| *other == text)
            .map(|(_, op)| *op)
            .ok_or_else(|| Error::BadData(format!("no binary operator of samples is written {text:?}")))
    }

    pub fn text(self) -> &'static str {
        TEXTS
            .iter()
            .find(|(_, op)| *op == self)
            .map_or("", |(text, _)| text)
    }

    pub fn is_trimmer(self) -> bool {
        matches!(self, Self::TrimUpper | Self::TrimLower)
    }

    /// Whether what it makes is no longer what its metric measures.
    pub fn is_arithmetic(self) -> bool {
        !self.is_comparison() && !self.is_trimmer()
    }

    pub fn is_comparison(self) -> bool {
        matches!(
            self,
            Self::Equal | Self::NotEqual | Self::Less | Self::LessEqual | Self::Greater | Self::GreaterEqual
        )
    }
}

/// What an operator makes of two floats; `None` filters the element out.
pub trait Combine {
    fn combine(&self, left: f64, right: f64) -> Option<f64>;
}

impl<F: Fn(f64, f64) -> Option<f64>> Combine for F {
    #[inline]
    fn combine(&self, left: f64, right: f64) -> Option<f64> {
        self(left, right)
    }
}

/// How a comparison answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// 1 or 0: `bool`.
    Bool,
    /// The left value where it holds, nothing where not.
    KeepLeft,
    /// The right value where it holds: a vector stands right of a scalar.
    KeepRight,
}

/// Calls a generic consumer with the operator as a closure, so that its loop is compiled once per operator.
pub trait Consumer {
    type Output;
    fn consume(self, combine: impl Combine) -> Self::Output;
}

pub fn dispatch<C: Consumer>(op: BinaryOp, answer: Answer, consumer: C) -> C::Output {
    macro_rules! arithmetic {
        ($f:expr) => {
            consumer.consume(|l: f64, r: f64| Some($f(l, r)))
        };
    }
    macro_rules! comparison {
        ($op:tt) => {
            match answer {
                Answer::Bool => consumer.consume(|l: f64, r: f64| Some(f64::from(u8::from(l $op r)))),
                Answer::KeepLeft => consumer.consume(|l: f64, r: f64| (l $op r).then_some(l)),
                Answer::KeepRight => consumer.consume(|l: f64, r: f64| (l $op r).then_some(r)),
            }
        };
    }
    match op {
        BinaryOp::Add => arithmetic!(|l: f64, r: f64| l + r),
        BinaryOp::Sub => arithmetic!(|l: f64, r: f64| l - r),
        BinaryOp::Mul => arithmetic!(|l: f64, r: f64| l * r),
        BinaryOp::Div => arithmetic!(|l: f64, r: f64| l / r),
        BinaryOp::Mod => arithmetic!(|l: f64, r: f64| l % r),
        BinaryOp::Pow => arithmetic!(f64::powf),
        BinaryOp::Atan2 => arithmetic!(f64::atan2),
        BinaryOp::Equal => comparison!(==),
        BinaryOp::NotEqual => comparison!(!=),
        BinaryOp::Less => comparison!(<),
        BinaryOp::LessEqual => comparison!(<=),
        BinaryOp::Greater => comparison!(>),
        BinaryOp::GreaterEqual => comparison!(>=),
        BinaryOp::TrimUpper | BinaryOp::TrimLower => consumer.consume(|_: f64, _: f64| None),
    }
}

/// What an operator makes of two floats, where it is not worth a loop of its own.
pub fn combine_floats(op: BinaryOp, answer: Answer, left: f64, right: f64) -> Option<f64> {
    struct Once(f64, f64);
    impl Consumer for Once {
        type Output = Option<f64>;
        fn consume(self, combine: impl Combine) -> Option<f64> {
            combine.combine(self.0, self.1)
        }
    }
    dispatch(op, answer, Once(left, right))
}

/// Two scalars; comparisons answer 1 or 0.
pub fn scalars(op: BinaryOp, left: &Frame, right: &Frame) -> Result<Frame> {
    struct Each<'a>(&'a Frame, &'a Frame, usize);
    impl Consumer for Each<'_> {
        type Output = Vec<f64>;
        fn consume(self, combine: impl Combine) -> Vec<f64> {
            let Self(left, right, steps) = self;
            (0..steps)
                .filter_map(|step| combine.combine(left.at(step), right.at(step)))
                .collect()
        }
    }
    left.required_scalar()?;
    right.required_scalar()?;
    let steps = common_steps(&[left, right])?;
    Ok(Frame::scalar(dispatch(
        op,
        Answer::Bool,
        Each(left, right, steps),
    )))
}

/// A vector and a scalar. A comparison without `bool` keeps the vector's value, on whichever side the scalar stands.
pub fn with_scalar(
    context: &Arc<QueryContext>,
    op: BinaryOp,
    frame: &Frame,
    scalar: &Frame,
    scalar_is_left: bool,
    return_bool: bool,
) -> Result<Frame> {
    scalar.required_scalar()?;
    let answer = match (return_bool, scalar_is_left) {
        (true, _) => Answer::Bool,
        (false, true) => Answer::KeepRight,
        (false, false) => Answer::KeepLeft,
    };
    let steps = common_steps(&[frame, scalar])?;
    let with_scalar = WithScalar {
        context,
        frame,
        scalar,
        scalar_is_left,
        steps,
    };
    let cells = if op.is_trimmer() || frame.has_histograms() {
        with_scalar.elements(op, answer)?
    } else {
        dispatch(op, answer, with_scalar)?
    };
    Ok(Frame::new(context, Arc::clone(&frame.table), steps, cells)?.in_order(frame.ordered))
}

struct WithScalar<'a> {
    context: &'a Arc<QueryContext>,
    frame: &'a Frame,
    scalar: &'a Frame,
    scalar_is_left: bool,
    steps: usize,
}

impl WithScalar<'_> {
    /// The slow way, for vectors with histograms.
    fn elements(&self, op: BinaryOp, answer: Answer) -> Result<Arc<Cells>> {
        let mut cells = Cells::absent(self.context, self.frame.rows().saturating_mul(self.steps))?;
        let mut notes = StepNotes::new(self.steps);
        for row in 0..self.frame.rows() {
            self.context.check()?;
            for step in 0..self.steps {
                let Some(element) = self.frame.get(row, step) else {
                    continue;
                };
                let number = Element::Float(self.scalar.at(step));
                let (left, right) = if self.scalar_is_left {
                    (number, element)
                } else {
                    (element, number)
                };
                let combined = combine_elements(op, answer, left, right);
                notes.add(step, combined.note);
                if let Some(value) = combined.value {
                    value.put(&mut cells, row * self.steps + step);
                }
            }
        }
        notes.tell(self.context, op);
        cells.seal()
    }
}

impl Consumer for WithScalar<'_> {
    type Output = Result<Arc<Cells>>;

    fn consume(self, combine: impl Combine) -> Self::Output {
        let Self {
            context,
            frame,
            scalar,
            scalar_is_left,
            steps,
        } = self;
        let numbers: Vec<f64> = (0..steps).map(|step| scalar.at(step)).collect();
        let mut cells = Cells::absent(context, frame.rows().saturating_mul(steps))?;
        for row in 0..frame.rows() {
            context.check()?;
            let (kinds, values) = frame.row(row);
            let (to_kind, to_value) = cells.row_mut(row, steps);
            for (step, &number) in numbers.iter().enumerate() {
                let cell = if frame.steps == 1 { 0 } else { step };
                let value = values[cell];
                let combined = if scalar_is_left {
                    combine.combine(number, value)
                } else {
                    combine.combine(value, number)
                };
                if kinds[cell] == FLOAT
                    && let Some(value) = combined
                {
                    to_kind[step] = FLOAT;
                    to_value[step] = value;
                }
            }
        }
        cells.seal()
    }
}
