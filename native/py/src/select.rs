//! Series found in heads and blocks: the door to `headrace_core::select`.

use std::sync::Arc;
use std::time::Duration;

use headrace_core::model::{self, MatchOp, Millis};
use headrace_core::select;
use parking_lot::Mutex;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use crate::block::BlockReader;
use crate::engine::{Fold, Query};
use crate::errors::{detached, to_py};
use crate::head::Head;
use crate::wire::uid_of;

#[pyclass(frozen, module = "shared._native")]
#[derive(Debug)]
pub struct Matcher(pub model::Matcher);

#[pymethods]
impl Matcher {
    #[getter]
    fn name(&self) -> &str {
        &self.0.name
    }

    #[getter]
    fn op(&self) -> &'static str {
        match self.0.op {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        }
    }

    #[getter]
    fn value(&self) -> &str {
        &self.0.value
    }

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

pub fn sets_of(sets: &[Vec<PyRef<'_, Matcher>>]) -> Vec<Vec<model::Matcher>> {
    sets.iter().map(|matchers| matchers_of(matchers)).collect()
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

    fn supply(&self, py: Python<'_>, pages: Vec<PyBackedBytes>) -> PyResult<()> {
        self.with(py, |selection| selection.supply(pages))
    }

    fn add_part(&self, py: Python<'_>, part: &HeadPart) -> PyResult<()> {
        let part = part.0.lock().take().ok_or_else(added)?;
        self.with(py, |selection| selection.add_part(*part))
    }

    fn add_whole(&self, py: Python<'_>, part: &HeadPart) -> PyResult<()> {
        let part = part.0.lock().take().ok_or_else(added)?;
        self.with(py, |selection| selection.add_whole(*part))
    }

    fn add_folded(&self, py: Python<'_>, part: &FoldedPart) -> PyResult<()> {
        let part = part.0.lock().take().ok_or_else(added)?;
        self.with(py, |selection| selection.add_folded(part))
    }

    fn close(&self, py: Python<'_>, end: usize) -> PyResult<()> {
        self.with(py, |selection| selection.close(end))
    }

    fn close_split(&self, py: Python<'_>, part: &HeadPart, first: usize) -> PyResult<()> {
        let part = part.0.lock().take().ok_or_else(added)?;
        self.with(py, |selection| selection.close_split(*part, first))
    }

    fn close_folded(&self, py: Python<'_>, part: &FoldedPart, first: usize) -> PyResult<()> {
        let part = part.0.lock().take().ok_or_else(added)?;
        self.with(py, |selection| selection.close_folded(part, first))
    }

    fn finish(&self, py: Python<'_>) -> PyResult<SeriesSet> {
        let set = detached(py, || {
            self.0.lock().take().map(select::Selection::finish).transpose()
        })?;
        set.map(|inner| SeriesSet { inner }).ok_or_else(finished)
    }
}

/// One selector as heads are asked for it.
#[pyclass(frozen, module = "shared._native")]
#[derive(Debug)]
pub struct HeadSearch(select::HeadSearch);

#[pymethods]
impl HeadSearch {
    #[expect(
        clippy::needless_pass_by_value,
        reason = "that is how PyO3 hands collections over"
    )]
    #[new]
    #[pyo3(signature = (query, uid, matchers, min_time, max_time, fold=None))]
    fn new(
        query: &Query,
        uid: &[u8],
        matchers: Vec<PyRef<'_, Matcher>>,
        min_time: Millis,
        max_time: Millis,
        fold: Option<&Fold>,
    ) -> PyResult<Self> {
        Ok(Self(select::HeadSearch {
            context: Arc::clone(&query.context),
            uid: uid_of(uid)?,
            matchers: matchers_of(&matchers),
            range: (min_time, max_time),
            fold: fold.map(|fold| Arc::clone(&fold.0)),
        }))
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "that is how PyO3 hands collections over"
    )]
    #[pyo3(signature = (heads, patience_s=None))]
    fn parts(
        &self,
        py: Python<'_>,
        heads: Vec<Py<Head>>,
        patience_s: Option<f64>,
    ) -> PyResult<Vec<Option<HeadPart>>> {
        let parts = each(py, &heads, patience_s, |heads, patience| {
            self.0.parts(heads, patience)
        })?;
        Ok(parts
            .into_iter()
            .map(|part| part.map(|part| HeadPart(Mutex::new(Some(part)))))
            .collect())
    }
}

/// What is asked of heads for the metadata endpoints.
#[pyclass(frozen, module = "shared._native")]
#[derive(Debug)]
pub struct NamesSearch(select::NamesSearch);

#[pymethods]
impl NamesSearch {
    #[expect(
        clippy::needless_pass_by_value,
        reason = "that is how PyO3 hands collections over"
    )]
    #[new]
    fn new(
        query: &Query,
        uid: &[u8],
        matcher_sets: Vec<Vec<PyRef<'_, Matcher>>>,
        min_time: Millis,
        max_time: Millis,
    ) -> PyResult<Self> {
        Ok(Self(select::NamesSearch {
            context: Arc::clone(&query.context),
            uid: uid_of(uid)?,
            sets: sets_of(&matcher_sets),
            range: (min_time, max_time),
        }))
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "that is how PyO3 hands collections over"
    )]
    #[pyo3(signature = (heads, patience_s=None))]
    fn parts(
        &self,
        py: Python<'_>,
        heads: Vec<Py<Head>>,
        patience_s: Option<f64>,
    ) -> PyResult<Vec<Option<NamesPart>>> {
        let parts = each(py, &heads, patience_s, |heads, patience| {
            self.0.parts(heads, patience)
        })?;
        Ok(parts
            .into_iter()
            .map(|part| part.map(|part| NamesPart(Mutex::new(Some(part)))))
            .collect())
    }
}

fn each<T: Send>(
    py: Python<'_>,
    heads: &[Py<Head>],
    patience_s: Option<f64>,
    parts: impl FnOnce(&[&headrace_core::head::Head], Option<Duration>) -> headrace_core::Result<T> + Send,
) -> PyResult<T> {
    let patience = patience_s
        .map(Duration::try_from_secs_f64)
        .transpose()
        .map_err(|error| PyValueError::new_err(format!("patience_s: {error}")))?;
    let heads: Vec<_> = heads.iter().map(|head| &*head.get().0).collect();
    detached(py, || parts(&heads, patience))
}

/// Taken by `add_part`, `add_whole`, `close_split` or `encode`.
#[pyclass(frozen, module = "shared._native")]
#[derive(Debug)]
pub struct HeadPart(Mutex<Option<Box<select::HeadPart>>>);

#[pymethods]
impl HeadPart {
    /// (series, bytes); nothing once it was added or encoded.
    #[getter]
    fn size(&self) -> (usize, usize) {
        let part = self.0.lock();
        part.as_ref().map_or((0, 0), |part| (part.len(), part.bytes()))
    }

    #[getter]
    fn has_histograms(&self) -> bool {
        let part = self.0.lock();
        part.as_ref().is_some_and(|part| part.has_histograms())
    }

    /// The part stays as it is, unless there are steps before `first`.
    #[pyo3(signature = (fold, first=0))]
    fn fold(&self, py: Python<'_>, fold: &Fold, first: usize) -> PyResult<Option<FoldedPart>> {
        // The lock is taken without the GIL, so that whoever holds it can come to an end.
        let folded = py.detach(|| {
            self.0.lock().as_mut().map(|part| match first {
                0 => part.fold(&fold.0),
                first => part.fold_late(&fold.0, first),
            })
        });
        let folded = folded.ok_or_else(added)?.map_err(to_py)?;
        Ok(folded.map(|folded| FoldedPart(Mutex::new(Some(folded)))))
    }

    fn encode(&self, py: Python<'_>) -> PyResult<OutgoingPart> {
        let part = self.0.lock().take().ok_or_else(added)?;
        Ok(OutgoingPart(detached(py, || part.encode())?))
    }
}

/// Taken by `add_folded`, `close_folded` or `encode`.
#[pyclass(frozen, module = "shared._native")]
#[derive(Debug)]
pub struct FoldedPart(Mutex<Option<headrace_core::engine::Folded>>);

#[pymethods]
impl FoldedPart {
    /// (series, bytes); nothing once it was added or encoded.
    #[getter]
    fn size(&self) -> (usize, usize) {
        let part = self.0.lock();
        part.as_ref().map_or((0, 0), |part| (part.rows(), part.bytes()))
    }

    #[getter]
    fn steps(&self) -> usize {
        let part = self.0.lock();
        part.as_ref().map_or(0, headrace_core::engine::Folded::steps)
    }

    fn encode(&self, py: Python<'_>) -> PyResult<OutgoingPart> {
        let part = self.0.lock().take().ok_or_else(added)?;
        Ok(OutgoingPart(detached(py, || part.encode())?))
    }
}

/// Taken by `add_part` or `encode`.
#[pyclass(frozen, module = "shared._native")]
#[derive(Debug)]
pub struct NamesPart(Mutex<Option<Box<select::NamesPart>>>);

#[pymethods]
impl NamesPart {
    fn encode(&self, py: Python<'_>) -> PyResult<OutgoingPart> {
        let part = self.0.lock().take().ok_or_else(added)?;
        Ok(OutgoingPart(detached(py, || part.encode())?))
    }
}

/// The bytes of a part for another process.
#[pyclass(frozen, module = "shared._native")]
#[derive(Debug)]
pub struct OutgoingPart(select::Outgoing);

#[pymethods]
impl OutgoingPart {
    fn __len__(&self) -> usize {
        self.0.bytes.len()
    }

    fn frame<'py>(&self, py: Python<'py>, start: usize, size: usize) -> Bound<'py, PyBytes> {
        let rest = self.0.bytes.get(start..).unwrap_or_default();
        PyBytes::new(py, &rest[..rest.len().min(size)])
    }
}

/// Taken by `head_part`, `folded_part` or `names_part`.
#[pyclass(frozen, module = "shared._native")]
#[derive(Debug)]
pub struct IncomingPart(Mutex<Option<select::Incoming>>);

impl IncomingPart {
    fn taken(&self) -> PyResult<select::Incoming> {
        self.0.lock().take().ok_or_else(decoded)
    }
}

fn decoded() -> PyErr {
    PyRuntimeError::new_err("the part was decoded already")
}

#[pymethods]
impl IncomingPart {
    #[new]
    fn new(query: &Query, announced: usize) -> PyResult<Self> {
        let incoming = select::Incoming::new(&query.context, announced).map_err(to_py)?;
        Ok(Self(Mutex::new(Some(incoming))))
    }

    fn add(&self, frame: &[u8]) -> PyResult<()> {
        let mut incoming = self.0.lock();
        incoming.as_mut().ok_or_else(decoded)?.add(frame).map_err(to_py)
    }

    #[getter]
    fn is_complete(&self) -> bool {
        self.0.lock().as_ref().is_none_or(select::Incoming::is_complete)
    }

    fn head_part(&self, py: Python<'_>) -> PyResult<HeadPart> {
        let incoming = self.taken()?;
        let part = detached(py, || incoming.head_part())?;
        Ok(HeadPart(Mutex::new(Some(Box::new(part)))))
    }

    fn folded_part(&self, py: Python<'_>) -> PyResult<FoldedPart> {
        let incoming = self.taken()?;
        let part = detached(py, || incoming.folded())?;
        Ok(FoldedPart(Mutex::new(Some(part))))
    }

    fn names_part(&self, py: Python<'_>) -> PyResult<NamesPart> {
        let incoming = self.taken()?;
        let part = detached(py, || incoming.names_part())?;
        Ok(NamesPart(Mutex::new(Some(Box::new(part)))))
    }
}

fn added() -> PyErr {
    PyRuntimeError::new_err("the part was added or encoded already")
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
    #[pyo3(signature = (query, matcher_sets, min_time, max_time, label=None))]
    fn new(
        query: &Query,
        matcher_sets: Vec<Vec<PyRef<'_, Matcher>>>,
        min_time: Millis,
        max_time: Millis,
        label: Option<String>,
    ) -> PyResult<Self> {
        let context = Arc::clone(&query.context);
        let names = select::Names::new(context, sets_of(&matcher_sets), min_time, max_time, label);
        Ok(Self(Mutex::new(names.map_err(to_py)?)))
    }

    fn add_block(&self, py: Python<'_>, reader: &BlockReader) -> PyResult<()> {
        detached(py, || self.0.lock().add_block(&reader.0))
    }

    fn add_part(&self, py: Python<'_>, part: &NamesPart) -> PyResult<()> {
        let part = part.0.lock().take().ok_or_else(added)?;
        detached(py, || self.0.lock().add_part(*part))
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
        self.inner.unread()
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Matcher>()?;
    module.add_class::<HeadSearch>()?;
    module.add_class::<HeadPart>()?;
    module.add_class::<FoldedPart>()?;
    module.add_class::<Selection>()?;
    module.add_class::<NamesSearch>()?;
    module.add_class::<NamesPart>()?;
    module.add_class::<OutgoingPart>()?;
    module.add_class::<IncomingPart>()?;
    module.add_class::<Names>()?;
    module.add_class::<SeriesSet>()
}
