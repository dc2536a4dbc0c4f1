//! The engine's part of the door. Signatures and meaning: the engine section of `shared/_native.pyi`.

#![expect(clippy::needless_pass_by_value, reason = "PyO3 hands over what it extracted")]

use headrace_core::engine;
use pyo3::prelude::*;

mod extended;
mod frame;
mod histogram;
mod operators;
mod query;
mod selectors;
mod writers;

pub use frame::Frame;
pub use query::Query;
pub use selectors::Fold;

use crate::errors::to_py;

/// (start_ms, step_ms, steps).
type GridTuple = (i64, i64, usize);

fn grid_of((start, step, steps): GridTuple) -> PyResult<engine::Grid> {
    engine::Grid::new(start, step, steps).map_err(to_py)
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Query>()?;
    module.add_class::<Frame>()?;
    histogram::register(module)?;
    extended::register(module)?;
    operators::register(module)?;
    selectors::register(module)?;
    writers::register(module)?;
    frame::register(module)
}
