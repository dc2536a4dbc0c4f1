//! Exposition formats in.

use std::sync::{Mutex, PoisonError};

use headrace_core::exposition::encoding::{self, Encoding};
use headrace_core::exposition::import;
use headrace_core::exposition::line::Dialect;
use headrace_core::model::Millis;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors::detached;

#[pyclass(frozen, module = "shared._native")]
#[derive(Debug)]
pub struct Import(Mutex<import::Import>);

#[pymethods]
impl Import {
    #[new]
    #[pyo3(signature = (body, *, open_metrics, now_ms))]
    fn new(body: Vec<u8>, open_metrics: bool, now_ms: Millis) -> Self {
        let dialect = if open_metrics {
            Dialect::OpenMetrics
        } else {
            Dialect::Scraper
        };
        Self(Mutex::new(import::Import::new(body, dialect, now_ms)))
    }

    fn next_piece<'py>(&self, py: Python<'py>, max_bytes: usize) -> Option<Bound<'py, PyBytes>> {
        let piece = py.detach(|| {
            let mut import = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            import.next_piece(max_bytes)
        });
        piece.map(|piece| PyBytes::new(py, &piece))
    }

    #[getter]
    fn bad(&self) -> Vec<(u64, String)> {
        let import = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        import
            .bad()
            .iter()
            .map(|bad| (bad.line, bad.why.clone()))
            .collect()
    }

    #[getter]
    fn bad_lines(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).bad_lines()
    }
}

#[pyfunction]
#[pyo3(signature = (body, encoding, *, limit))]
fn decompress<'py>(
    py: Python<'py>,
    body: &[u8],
    encoding: &str,
    limit: usize,
) -> PyResult<Bound<'py, PyBytes>> {
    let encoding = match encoding {
        "snappy" => Encoding::SnappyFrames,
        "zstd" => Encoding::Zstd,
        _ => return Err(PyValueError::new_err(format!("no encoding {encoding}"))),
    };
    let plain = detached(py, || encoding::decompress(body, encoding, limit))?;
    Ok(PyBytes::new(py, &plain))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Import>()?;
    module.add_function(wrap_pyfunction!(decompress, module)?)?;
    Ok(())
}
