//! Series found in heads and blocks: the door to `headrace_core::select`.

use std::sync::Arc;

use headrace_core::model::{self, MatchOp, Millis};
use headrace_core::select;
use parking_lot::Mutex;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use crate::block::BlockReader;
use crate::engine::Query;
use crate::errors::{detached, to_py};
use crate::head::Head;
use crate::wire::uid_of;

#[pyclass(frozen, module = "shared._native")]
#[derive(Debug)]
pub struct Matcher(pub model::Matcher);

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

    #[getter]
    fn regex_bytes(&self) -> usize {
        self.0.regex_bytes()
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
    #[expect(
        clippy::needless_pass_by_value,
        reason = "that is how PyO3 hands collections over"
    )]
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

    #[expect(
        clippy::needless_pass_by_value,
        reason = "that is how PyO3 hands collections over"
    )]
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

#[pyclass(frozen, module = "shared._native")]
#[derive(Debug)]
pub struct Names(Mutex<select::Names>);

#[pymethods]
impl Names {
    #[expect(
        clippy::needless_pass_by_value,
        reason = "that is how PyO3 hands collections over"
    )]
    #[new]
    fn new(matcher_sets: Vec<Vec<PyRef<'_, Matcher>>>, min_time: Millis, max_time: Millis) -> Self {
        let sets = matcher_sets
            .iter()
            .map(|matchers| matchers_of(matchers))
            .collect();
        Self(Mutex::new(select::Names::new(sets, min_time, max_time)))
    }

    fn add_block(&self, py: Python<'_>, reader: &BlockReader) {
        py.detach(|| self.0.lock().add_block(&reader.0));
    }

    fn add_head(&self, py: Python<'_>, head: &Head, uid: &[u8]) -> PyResult<()> {
        let uid = uid_of(uid)?;
        detached(py, || self.0.lock().add_head(&head.0, uid))
    }

    fn label_names(&self, py: Python<'_>) -> Vec<String> {
        py.detach(|| self.0.lock().label_names())
    }

    fn label_values(&self, py: Python<'_>, name: &str) -> Vec<String> {
        py.detach(|| self.0.lock().label_values(name))
    }

    fn series_json<'py>(&self, py: Python<'py>, limit: usize) -> (Bound<'py, PyBytes>, bool) {
        let (json, is_cut) = py.detach(|| self.0.lock().series_json(limit));
        (PyBytes::new(py, &json), is_cut)
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
    module.add_class::<Names>()?;
    module.add_class::<SeriesSet>()
}
