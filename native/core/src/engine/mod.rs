//! Columnar PromQL operators. The evaluator (Python) walks the syntax tree and calls one function per operator;
//! each takes frames (rows × steps of cells) and returns a new one.

mod context;
mod convert;
mod fold;
mod frame;
pub mod json;
mod labels;
mod memory;
pub mod number;
mod parallel;
mod select;

pub use context::{Charge, Limits, QueryContext};
pub use convert::{absent, broadcast, sort, to_scalar, to_vector};
pub use fold::FoldOp;
pub use frame::{ABSENT, Cells, FLOAT, Frame, Grid};
pub use labels::{Selector, drop_names};
pub use memory::{MemorySeries, frame_as_series, series_from_samples};
pub use select::{RowPlan, aggregate_select, select};
