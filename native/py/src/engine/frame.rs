use std::sync::Arc;

use headrace_core::engine;
use pyo3::prelude::*;

/// Rows × steps of cells with one label set per row.
#[pyclass(frozen, module = "shared._native")]
#[derive(Debug)]
pub struct Frame {
    pub inner: Arc<engine::Frame>,
}

#[pymethods]
impl Frame {
    #[getter]
    fn rows(&self) -> usize {
        self.inner.rows()
    }

    #[getter]
    fn steps(&self) -> usize {
        self.inner.steps
    }
}
