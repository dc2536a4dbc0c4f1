//! The door to `headrace_core::select`.

use headrace_core::select;
use pyo3::prelude::*;

/// Rows of labels with a way to read their samples.
#[pyclass(frozen, module = "shared._native")]
pub struct SeriesSet {
    pub inner: select::SeriesSet,
}

#[pymethods]
impl SeriesSet {
    fn __len__(&self) -> usize {
        self.inner.len()
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<SeriesSet>()
}
