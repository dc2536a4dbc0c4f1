//! Pushed groups.

use std::collections::HashMap;

use headrace_core::exposition::family::Label;
use headrace_core::model::{Millis, Uid};
use headrace_core::push;
use headrace_core::push::expose::{self, Exposition};
use headrace_core::push::operation::Kind;
use headrace_core::push::prepare::{self, Format, Prepared, Terms};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use crate::errors::{detached, to_py};
use crate::files::LogRecord;
use crate::wire::{SplitBatch, Splitter, uid_of};

/// Since when, as of what offset, and key and value of each entry; a value of `None` goes.
type Changes<'py> = (u64, u64, Vec<(Bound<'py, PyBytes>, Option<Bound<'py, PyBytes>>)>);

/// As of what offset, and key and value of each entry.
type Everything<'py> = (u64, Vec<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)>);

#[pyclass(frozen, module = "shared._native")]
#[derive(Debug)]
pub struct Push(pub Prepared);

#[pymethods]
impl Push {
    #[staticmethod]
    #[pyo3(signature = (body, form, group, *, merge, now_ms, ttl_ms, interval_ms))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn of_body(
        py: Python<'_>,
        body: &[u8],
        form: &str,
        group: Vec<Label>,
        merge: bool,
        now_ms: Millis,
        ttl_ms: Millis,
        interval_ms: Millis,
    ) -> PyResult<(Option<Self>, Option<String>)> {
        let format = match form {
            "text" => Format::Text,
            "openmetrics" => Format::OpenMetrics,
            "protobuf" => Format::Protobuf,
            _ => return Err(PyValueError::new_err(format!("no form {form}"))),
        };
        let kind = if merge { Kind::Merge } else { Kind::Replace };
        let terms = terms(group, now_ms, ttl_ms, interval_ms);
        let pushed = detached(py, || prepare::push(prepare::parse(body, format)?, kind, &terms))?;
        Ok(match pushed {
            Ok(prepared) => (Some(Self(prepared)), None),
            Err(why) => (None, Some(why)),
        })
    }

    #[staticmethod]
    #[pyo3(signature = (group, *, now_ms))]
    fn delete(group: Vec<Label>, now_ms: Millis) -> PyResult<Self> {
        changed(Kind::Delete, &terms(group, now_ms, 0, 0))
    }

    #[staticmethod]
    #[pyo3(signature = (group, *, now_ms, interval_ms))]
    fn fail(group: Vec<Label>, now_ms: Millis, interval_ms: Millis) -> PyResult<Self> {
        changed(Kind::Fail, &terms(group, now_ms, 0, interval_ms))
    }

    #[staticmethod]
    #[pyo3(signature = (*, now_ms))]
    fn wipe(now_ms: Millis) -> PyResult<Self> {
        changed(Kind::Wipe, &terms(Vec::new(), now_ms, 0, 0))
    }
}

fn changed(kind: Kind, terms: &Terms) -> PyResult<Push> {
    Ok(Push(prepare::change(kind, terms).map_err(to_py)?))
}

/// Grouping labels in order; of two with one name the later.
fn terms(group: Vec<Label>, now: Millis, ttl: Millis, interval: Millis) -> Terms {
    let by_name: std::collections::BTreeMap<String, String> = group.into_iter().collect();
    Terms {
        group: by_name.into_iter().collect(),
        now,
        ttl,
        interval,
    }
}

#[pyclass(frozen, module = "shared._native")]
#[derive(Debug)]
pub struct PushBook(push::Book);

#[pymethods]
impl PushBook {
    #[new]
    fn new(partition: u16, splitter: &Splitter) -> Self {
        Self(push::Book::new(partition, splitter.0.clone()))
    }

    #[staticmethod]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a sequence from Python becomes a vector"
    )]
    fn restore(
        py: Python<'_>,
        partition: u16,
        splitter: &Splitter,
        offset: u64,
        entries: Vec<(Vec<u8>, Vec<u8>)>,
    ) -> PyResult<Self> {
        let splitter = splitter.0.clone();
        let book = detached(py, || push::Book::restore(partition, splitter, offset, &entries))?;
        Ok(Self(book))
    }

    #[staticmethod]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a sequence from Python becomes a vector"
    )]
    fn apply(
        py: Python<'_>,
        books: HashMap<u16, PyRef<'_, Self>>,
        records: Vec<PyRef<'_, LogRecord>>,
        end: u64,
    ) -> PyResult<()> {
        for (partition, book) in &books {
            if book.0.partition() != *partition {
                let own = book.0.partition();
                return Err(PyValueError::new_err(format!(
                    "the book of partition {own} was given for {partition}"
                )));
            }
        }
        let books: Vec<&push::Book> = books.values().map(|book| &book.0).collect();
        let records: Vec<_> = records.iter().map(|record| &record.record).collect();
        py.detach(|| push::Book::apply(&books, records, end));
        Ok(())
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "a mapping from Python becomes a map"
    )]
    fn due(
        &self,
        py: Python<'_>,
        now_ms: Millis,
        shards: HashMap<Vec<u8>, u16>,
        max_samples: usize,
    ) -> PyResult<Vec<SplitBatch>> {
        let shards = shards
            .iter()
            .map(|(uid, shards)| Ok((uid_of(uid)?, *shards)))
            .collect::<PyResult<_>>()?;
        let batches = detached(py, || self.0.due(now_ms, &shards, max_samples))?;
        Ok(batches
            .into_iter()
            .map(|batch| SplitBatch(std::sync::Arc::new(batch)))
            .collect())
    }

    fn not_sent(&self) {
        self.0.not_sent();
    }

    fn changes<'py>(&self, py: Python<'py>) -> PyResult<Option<Changes<'py>>> {
        let changes = detached(py, || self.0.changes())?;
        Ok(changes.map(|changes| {
            let entries = changes.entries.into_iter().map(|(key, value)| {
                let value = value.map(|value| PyBytes::new(py, &value));
                (PyBytes::new(py, &key), value)
            });
            (changes.since, changes.offset, entries.collect())
        }))
    }

    fn everything<'py>(&self, py: Python<'py>) -> PyResult<Everything<'py>> {
        let (offset, entries) = detached(py, || self.0.everything())?;
        let entries = entries
            .iter()
            .map(|(key, value)| (PyBytes::new(py, key), PyBytes::new(py, value)));
        Ok((offset, entries.collect()))
    }

    fn stored(&self, offset: u64) {
        self.0.stored(offset);
    }

    fn json<'py>(&self, py: Python<'py>, uid: &[u8], now_ms: Millis) -> PyResult<Bound<'py, PyBytes>> {
        let uid: Uid = uid_of(uid)?;
        let json = detached(py, || self.0.json(uid, now_ms))?;
        Ok(PyBytes::new(py, &json))
    }

    fn families<'py>(&self, py: Python<'py>, uid: &[u8], now_ms: Millis) -> PyResult<Bound<'py, PyBytes>> {
        let uid: Uid = uid_of(uid)?;
        let families = py.detach(|| self.0.families(uid, now_ms));
        Ok(PyBytes::new(py, &families))
    }

    fn forget(&self, uid: &[u8]) -> PyResult<()> {
        self.0.forget(uid_of(uid)?);
        Ok(())
    }

    fn groups(&self, uid: &[u8], now_ms: Millis) -> PyResult<usize> {
        Ok(self.0.groups(uid_of(uid)?, now_ms))
    }

    #[getter]
    fn size(&self) -> (usize, usize) {
        self.0.size()
    }

    #[getter]
    fn unreadable(&self) -> u64 {
        self.0.unreadable()
    }

    fn lag_ms(&self, now_ms: Millis) -> Millis {
        self.0.lag(now_ms)
    }
}

#[pyfunction]
#[pyo3(signature = (pieces, *, as_text))]
#[expect(
    clippy::needless_pass_by_value,
    reason = "a sequence from Python becomes a vector"
)]
fn expose_pushed(py: Python<'_>, pieces: Vec<PyBackedBytes>, as_text: bool) -> PyResult<Bound<'_, PyBytes>> {
    let form = if as_text {
        Exposition::Text
    } else {
        Exposition::Protobuf
    };
    let body = detached(py, || expose::expose(pieces.iter().map(|piece| &**piece), form))?;
    Ok(PyBytes::new(py, &body))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Push>()?;
    module.add_class::<PushBook>()?;
    module.add_function(wrap_pyfunction!(expose_pushed, module)?)?;
    Ok(())
}
