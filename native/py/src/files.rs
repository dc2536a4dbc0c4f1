//! File layers, the local log, the journal and the packs.

use headrace_core::log;
use pyo3::prelude::*;

#[pyclass(frozen, module = "shared._native")]
#[derive(Debug)]
pub struct LogRecord {
    pub record: log::LogRecord,
}

#[pymethods]
impl LogRecord {
    #[getter]
    fn offset(&self) -> u64 {
        self.record.offset
    }

    #[getter]
    fn kind(&self) -> &'static str {
        match self.record.kind {
            log::RecordKind::Write { .. } => "write",
            log::RecordKind::Seal { .. } => "seal",
        }
    }

    #[getter]
    fn partition(&self) -> PyResult<u16> {
        match &self.record.kind {
            log::RecordKind::Seal { partition, .. } => Ok(*partition),
            log::RecordKind::Write { .. } => Err(not_a_seal(self.record.offset)),
        }
    }

    #[getter]
    fn windows(&self) -> PyResult<Vec<i64>> {
        match &self.record.kind {
            log::RecordKind::Seal { windows, .. } => Ok(windows.clone()),
            log::RecordKind::Write { .. } => Err(not_a_seal(self.record.offset)),
        }
    }
}

fn not_a_seal(offset: u64) -> PyErr {
    pyo3::exceptions::PyAttributeError::new_err(format!(
        "record {offset} is a write; only a seal names a partition and windows"
    ))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<LogRecord>()?;
    Ok(())
}
