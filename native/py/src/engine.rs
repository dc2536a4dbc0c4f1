//! The engine's part of the door. Signatures and meaning: the engine section of `shared/_native.pyi`.

use pyo3::prelude::*;

mod frame;
mod query;

pub use frame::Frame;
pub use query::Query;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Query>()?;
    module.add_class::<Frame>()?;
    Ok(())
}
