//! Series found in heads and blocks: the door to `headrace_core::select`.

use std::sync::Arc;

use headrace_core::model::{self, MatchOp, Millis};
use headrace_core::select;
use parking_lot::Mutex;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;

use crate::block::BlockReader;
use crate::engine::Query;
use crate::errors::{detached, to_py};
use crate::head::Head;
use crate::wire::uid_of;

#[pyclass(frozen, module = "shared._native")]
#[derive(Debug)]
pub struct Matcher(model::Matcher);

#[pymethods]
impl Matcher {
    #[new]
    fn new(name: &str, op: &str, value: &str) -> PyResult<Self> {
        let op = match op {
            "=" => MatchOp::Equal,
            "!=" => MatchOp::NotEqual,
            "=~" => MatchOp::Regex,
            "!~" => MatchOp::NotRegex,
            _ => {
                return Err(PyValueError::new_err(format!(
                    "matcher operator {op:?} is none of = != =~ !~"
                )));
            }
        };
        Ok(Self(model::Matcher::new(name, op, value).map_err(to_py)?))
    }

    fn matches(&self, value: &str) -> bool {
        self.0.matches(value)
    }
}

fn matchers_of(matchers: &[PyRef<'_, Matcher>]) -> Vec<model::Matcher> {
    matchers.iter().map(|matcher| matcher.0.clone()).collect()
}

/// Taken by `finish`.
#[pyclass(frozen, module = "shared._native")]
#[derive(Debug)]
pub struct Selection(Mutex<Option<select::Selection>>);

impl Selection {
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        call: impl FnOnce(&mut select::Selection) -> headrace_core::Result<T> + Send,
    ) -> PyResult<T> {
        // The lock is taken without the GIL, so that whoever holds it can come to an end.
        let result = py.detach(|| self.0.lock().as_mut().map(call));
        result.ok_or_else(finished)?.map_err(to_py)
    }
}

fn finished() -> PyErr {
    PyRuntimeError::new_err("the selection was finished; make a new one")
}

#[pymethods]
impl Selection {
    #[new]
    fn new(
        query: &Query,
        matchers: Vec<PyRef<'_, Matcher>>,
        min_time: Millis,
        max_time: Millis,
    ) -> PyResult<Self> {
        let context = Arc::clone(&query.context);
        let selection = select::Selection::new(context, matchers_of(&matchers), min_time, max_time);
        Ok(Self(Mutex::new(Some(selection.map_err(to_py)?))))
    }

    fn add_block(&self, py: Python<'_>, reader: &BlockReader) -> PyResult<Vec<u32>> {
        self.with(py, |selection| selection.add_block(&reader.0))
    }

    fn supply(&self, py: Python<'_>, pages: Vec<PyBackedBytes>) -> PyResult<()> {
        self.with(py, |selection| {
            selection.supply(pages.iter().map(|page| page.to_vec()).collect())
        })
    }

    fn add_head(&self, py: Python<'_>, head: &Head, uid: &[u8]) -> PyResult<()> {
        let uid = uid_of(uid)?;
        self.with(py, |selection| selection.add_head(&head.0, uid))
    }

    fn finish(&self, py: Python<'_>) -> PyResult<SeriesSet> {
        let set = detached(py, || {
            self.0.lock().take().map(select::Selection::finish).transpose()
        })?;
        set.map(|inner| SeriesSet { inner }).ok_or_else(finished)
    }
}

/// Rows of labels with a way to read their samples.
#[pyclass(frozen, module = "shared._native")]
#[derive(Debug)]
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
    module.add_class::<Matcher>()?;
    module.add_class::<Selection>()?;
    module.add_class::<SeriesSet>()
}
