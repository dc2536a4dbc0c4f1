//! The journal and the packs.

use std::path::Path;

use headrace_core::store;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyMapping};

use super::Files;
use crate::errors::{detached, to_py};

#[pyclass(frozen, module = "shared._native")]
#[derive(Debug)]
pub struct Journal(store::Journal);

#[pymethods]
impl Journal {
    #[staticmethod]
    fn open(py: Python<'_>, files: &Files, path: &str) -> PyResult<Self> {
        let layer = files.layer.clone();
        Ok(Self(detached(py, || {
            store::Journal::open(layer, Path::new(path))
        })?))
    }

    fn get<'py>(&self, py: Python<'py>, key: &str) -> Option<Bound<'py, PyBytes>> {
        self.0.get(key).map(|value| PyBytes::new(py, &value))
    }

    fn scan<'py>(&self, py: Python<'py>, prefix: &str) -> Vec<(String, Bound<'py, PyBytes>)> {
        let pairs = self.0.scan(prefix).into_iter();
        pairs
            .map(|(key, value)| (key, PyBytes::new(py, &value)))
            .collect()
    }

    #[pyo3(signature = (puts, deletes = Vec::new(), *, expect = None))]
    fn commit(
        &self,
        py: Python<'_>,
        puts: &Bound<'_, PyMapping>,
        deletes: Vec<String>,
        expect: Option<&Bound<'_, PyMapping>>,
    ) -> PyResult<bool> {
        let puts = puts.items()?.extract()?;
        let expect: Vec<_> = expect.map_or_else(|| Ok(Vec::new()), |e| e.items()?.extract())?;
        let transaction = store::Transaction { deletes, puts };
        detached(py, || self.0.commit(transaction, &expect))
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.0.close());
    }
}

#[pyclass(frozen, module = "shared._native")]
#[derive(Debug)]
pub struct Packs(store::Packs);

#[pymethods]
impl Packs {
    #[staticmethod]
    fn open(py: Python<'_>, files: &Files, folder: &str) -> PyResult<Self> {
        let layer = files.layer.clone();
        Ok(Self(detached(py, || {
            store::Packs::open(layer, Path::new(folder))
        })?))
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "a sequence from Python becomes a vector"
    )]
    fn write(&self, py: Python<'_>, name: &str, values: Vec<PyBackedBytes>) -> PyResult<Vec<store::Span>> {
        detached(py, || self.0.write(name, &values))
    }

    fn read<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        spans: Vec<store::Span>,
    ) -> PyResult<Vec<Bound<'py, PyBytes>>> {
        let pack = detached(py, || self.0.pack(name))?;
        let read = |(position, length): store::Span| {
            pack.check((position, length)).map_err(to_py)?;
            // The bytes object is nobody else's until it is full.
            PyBytes::new_with(py, length as usize, |value| {
                detached(py, || pack.read(position, value))
            })
        };
        spans.into_iter().map(read).collect()
    }

    fn remove(&self, py: Python<'_>, name: &str) -> PyResult<()> {
        detached(py, || self.0.remove(name))
    }

    fn names(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        detached(py, || self.0.names())
    }

    fn size(&self, py: Python<'_>, name: &str) -> PyResult<u64> {
        detached(py, || self.0.size(name))
    }
}
