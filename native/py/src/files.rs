//! File layers, the local log, the journal and the packs.

mod log;
mod store;

use std::path::Path;
use std::sync::Arc;

use headrace_core::fs::{self, FileLayer, RealFiles, SimulatedFiles, SyncKind};
use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

pub use log::{LogRecord, MAX_WAIT_MS, full_or};

use crate::errors::detached;

#[pyclass(frozen, module = "shared._native")]
#[derive(Debug)]
pub struct Files {
    layer: Arc<dyn FileLayer>,
    /// The same layer, if it is a simulated one.
    simulated: Option<SimulatedFiles>,
}

impl Files {
    fn of(simulated: SimulatedFiles) -> Self {
        Self {
            layer: Arc::new(simulated.clone()),
            simulated: Some(simulated),
        }
    }

    fn simulated_only(&self, verb: &str) -> PyResult<&SimulatedFiles> {
        self.simulated
            .as_ref()
            .ok_or_else(|| PyValueError::new_err(format!("{verb} is for simulated files; these are real")))
    }
}

#[pymethods]
impl Files {
    #[staticmethod]
    fn real() -> Self {
        Self {
            layer: Arc::new(RealFiles),
            simulated: None,
        }
    }

    #[staticmethod]
    fn simulated(seed: u64) -> Self {
        Self::of(SimulatedFiles::new(seed))
    }

    fn power_cut(&self) -> PyResult<Self> {
        Ok(Self::of(self.simulated_only("power_cut")?.power_cut()))
    }

    fn set_room(&self, room_bytes: Option<usize>) -> PyResult<()> {
        self.simulated_only("set_room")?.set_room(room_bytes);
        Ok(())
    }

    #[pyo3(signature = (kind, nth = None))]
    fn ignore_sync(&self, kind: &str, nth: Option<u64>) -> PyResult<()> {
        let kind = match kind {
            "data" => SyncKind::Data,
            "directory" => SyncKind::Directory,
            other => {
                return Err(PyValueError::new_err(format!(
                    "a sync is of kind 'data' or 'directory', not '{other}'"
                )));
            }
        };
        if nth == Some(0) {
            return Err(PyValueError::new_err("nth counts from 1, the next sync"));
        }
        self.simulated_only("ignore_sync")?.ignore_sync(kind, nth);
        Ok(())
    }

    fn lock(&self, py: Python<'_>, folder: &str) -> PyResult<FolderLock> {
        let lock = detached(py, || self.layer.lock(Path::new(folder)))?;
        Ok(FolderLock(Mutex::new(Some(lock))))
    }
}

#[pyclass(frozen, module = "shared._native")]
#[derive(Debug)]
pub struct FolderLock(Mutex<Option<fs::FolderLock>>);

#[pymethods]
impl FolderLock {
    fn release(&self) {
        *self.0.lock() = None;
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Files>()?;
    module.add_class::<FolderLock>()?;
    module.add_class::<LogRecord>()?;
    module.add_class::<log::LocalLog>()?;
    module.add_class::<log::LocalLogReader>()?;
    module.add_class::<store::Journal>()?;
    module.add_class::<store::Packs>()?;
    Ok(())
}
