//! Columnar PromQL operators. The evaluator (Python) walks the syntax tree and calls one function per operator;
//! each takes frames (rows × steps of cells) and returns a new one.

mod aggregate;
mod calendar;
mod context;
mod convert;
mod fold;
mod frame;
mod functions;
mod histogram;
mod info;
pub mod json;
mod labels;
mod matching;
mod memory;
mod natural;
pub mod number;
mod operator;
mod parallel;
mod relabel;
mod select;

pub use aggregate::{Aggregation, aggregate};
pub use context::{Charge, Limits, QueryContext};
pub use convert::{absent, broadcast, sort, to_scalar, to_vector};
pub use fold::FoldOp;
pub use frame::{ABSENT, Cells, FLOAT, Frame, Grid};
pub use functions::apply;
pub use histogram::{histogram_fraction, histogram_quantile};
pub use info::{InfoJoin, info};
pub use labels::{Selector, drop_names};
pub use matching::{Cardinality, Matching, SetOp, binary, set_operator};
pub use memory::{MemorySeries, frame_as_series, series_from_samples};
pub use natural::sort_by_label;
pub use operator::{BinaryOp, scalars, with_scalar};
pub use relabel::{label_join, label_replace};
pub use select::{RowPlan, aggregate_select, select};
