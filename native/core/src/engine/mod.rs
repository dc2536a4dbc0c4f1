//! Columnar PromQL operators. The evaluator (Python) walks the syntax tree and calls one function per operator;
//! each takes frames (rows × steps of cells) and returns a new one.

mod context;
mod frame;

pub use context::{Charge, Limits, QueryContext};
pub use frame::{ABSENT, FLOAT, Frame, Grid};
