//! What was written lately: the door to `headrace_core::head`.

use std::collections::HashMap;
use std::sync::Arc;

use headrace_core::block::BlockSummary;
use headrace_core::head;
use headrace_core::model::{Millis, Uid};
use headrace_core::wire::known::keys_of;
use headrace_core::wire::{MetadataEntry, SeriesLimits};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::block::BlockParts;
use crate::errors::{detached, to_py};
use crate::files::LogRecord;
use crate::select::{Matcher, sets_of};
use crate::wire::{SplitBatch, uid_of};

/// (family, type number, help, unit), as Python has it.
type MetadataTuple = (String, u8, String, String);

/// (uid, samples, digest, time of the last sample)
type Summary<'py> = (Bound<'py, PyBytes>, u64, Bound<'py, PyBytes>, Millis);

#[pyclass(frozen, get_all, module = "shared._native")]
#[derive(Debug)]
pub struct WindowInfo {
    window: Millis,
    first_offset: u64,
    sealed: Option<u64>,
    samples: u64,
    bytes: usize,
}

#[pyclass(frozen, module = "shared._native")]
#[derive(Debug)]
pub struct Head(pub Arc<head::Head>);

#[pymethods]
impl Head {
    #[new]
    #[pyo3(signature = (partition, *, window_ms, only = None))]
    fn new(partition: u16, window_ms: Millis, only: Option<Millis>) -> PyResult<Self> {
        let head = match only {
            None => head::Head::new(partition, window_ms),
            Some(window) => head::Head::of_window(partition, window_ms, window),
        };
        Ok(Self(Arc::new(head.map_err(to_py)?)))
    }

    #[staticmethod]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "that is how PyO3 hands collections over"
    )]
    fn apply(py: Python<'_>, heads: HashMap<u16, Py<Self>>, records: Vec<Py<LogRecord>>) -> PyResult<u64> {
        let heads: Vec<&head::Head> = heads.values().map(|head| &*head.get().0).collect();
        let records: Vec<_> = records.iter().map(|record| &record.get().record).collect();
        let next = py.detach(|| head::Head::apply(&heads, records.iter().copied()));
        next.ok_or_else(|| pyo3::exceptions::PyValueError::new_err("apply takes at least one record"))
    }

    #[getter]
    fn window_ms(&self) -> Millis {
        self.0.window_width()
    }

    fn set_through(&self, py: Python<'_>, through: HashMap<Millis, u64>) {
        py.detach(|| self.0.set_through(through));
    }

    fn windows(&self, py: Python<'_>) -> Vec<WindowInfo> {
        let windows = py.detach(|| self.0.windows());
        windows
            .into_iter()
            .map(|w| WindowInfo {
                window: w.window,
                first_offset: w.first_offset,
                sealed: w.sealed,
                samples: w.samples,
                bytes: w.bytes,
            })
            .collect()
    }

    fn cut(&self, py: Python<'_>, window: Millis, sealed: u64) -> PyResult<Vec<BlockParts>> {
        let blocks = detached(py, || self.0.cut(window, sealed))?;
        Ok(blocks.into_iter().map(BlockParts::from).collect())
    }

    fn summary<'py>(&self, py: Python<'py>, window: Millis, sealed: u64) -> PyResult<Vec<Summary<'py>>> {
        let blocks = detached(py, || self.0.summary(window, sealed))?;
        let summary = |b: BlockSummary| {
            let digest = PyBytes::new(py, &b.digest.to_be_bytes());
            (PyBytes::new(py, &b.uid.0), b.samples, digest, b.max_time)
        };
        Ok(blocks.into_iter().map(summary).collect())
    }

    fn release(&self, py: Python<'_>, window: Millis, sealed: u64) {
        py.detach(|| self.0.release(window, sealed));
    }

    fn active_series(&self, uid: &[u8]) -> PyResult<usize> {
        Ok(self.0.active_series(uid_of(uid)?))
    }

    fn holds<'py>(&self, py: Python<'py>, uid: &[u8], keys: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let uid = uid_of(uid)?;
        let held = py.detach(|| self.0.holds(uid, keys_of(keys)));
        let flags: Vec<u8> = held.into_iter().map(u8::from).collect();
        Ok(PyBytes::new(py, &flags))
    }

    #[staticmethod]
    #[pyo3(signature = (heads, batch, *, max_series, max_series_per_metric))]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "that is how PyO3 hands collections over"
    )]
    fn admit(
        py: Python<'_>,
        heads: Vec<Py<Self>>,
        batch: &SplitBatch,
        max_series: usize,
        max_series_per_metric: usize,
    ) -> PyResult<SplitBatch> {
        let heads: Vec<&head::Head> = heads.iter().map(|head| &*head.get().0).collect();
        let limits = SeriesLimits {
            max_series,
            max_series_per_metric,
        };
        let admitted = detached(py, || head::Head::admit(&heads, &batch.0, limits))?;
        Ok(SplitBatch(
            admitted.rest.map_or_else(|| Arc::clone(&batch.0), Arc::new),
        ))
    }

    fn largest_metric(&self, uid: &[u8]) -> PyResult<usize> {
        Ok(self.0.largest_metric(uid_of(uid)?))
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "that is how PyO3 hands collections over"
    )]
    fn metric_series(&self, uid: &[u8], metrics: Vec<String>) -> PyResult<Vec<usize>> {
        let uid = uid_of(uid)?;
        Ok(metrics
            .iter()
            .map(|metric| self.0.metric_series(uid, metric))
            .collect())
    }

    fn samples_per_second(&self, uid: &[u8], now_ms: Millis) -> PyResult<f64> {
        Ok(self.0.samples_per_second(uid_of(uid)?, now_ms))
    }

    fn forget(&self, py: Python<'_>, uid: &[u8]) -> PyResult<()> {
        let uid = uid_of(uid)?;
        py.detach(|| self.0.forget(uid));
        Ok(())
    }

    fn metadata(&self, py: Python<'_>, uid: &[u8]) -> PyResult<Vec<MetadataTuple>> {
        let uid = uid_of(uid)?;
        let entries = py.detach(|| self.0.metadata(uid));
        Ok(entries
            .into_iter()
            .map(|e| (e.family, e.kind, e.help, e.unit))
            .collect())
    }

    fn restore_metadata(&self, py: Python<'_>, uid: &[u8], entries: Vec<MetadataTuple>) -> PyResult<()> {
        let uid: Uid = uid_of(uid)?;
        let partition = self.0.partition();
        let entry = |(family, kind, help, unit)| MetadataEntry {
            partition,
            family,
            kind,
            help,
            unit,
        };
        py.detach(|| {
            let entries: Vec<MetadataEntry> = entries.into_iter().map(entry).collect();
            self.0.restore_metadata(uid, &entries);
        });
        Ok(())
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "that is how PyO3 hands collections over"
    )]
    fn exemplars<'py>(
        &self,
        py: Python<'py>,
        uid: &[u8],
        matcher_sets: Vec<Vec<PyRef<'_, Matcher>>>,
        min_ms: Millis,
        max_ms: Millis,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let (uid, sets) = (uid_of(uid)?, sets_of(&matcher_sets));
        let found = py.detach(|| self.0.exemplars(uid, &sets, (min_ms, max_ms)));
        Ok(PyBytes::new(py, &found))
    }

    fn exemplar_version(&self, uid: &[u8]) -> PyResult<u64> {
        Ok(self.0.exemplar_version(uid_of(uid)?))
    }

    fn exemplar_snapshot<'py>(&self, py: Python<'py>, uid: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let uid = uid_of(uid)?;
        let snapshot = detached(py, || self.0.exemplar_snapshot(uid))?;
        Ok(PyBytes::new(py, &snapshot))
    }

    fn restore_exemplars(&self, py: Python<'_>, uid: &[u8], snapshot: &[u8]) -> PyResult<()> {
        let uid = uid_of(uid)?;
        detached(py, || self.0.restore_exemplars(uid, snapshot))
    }

    #[getter]
    fn series(&self) -> usize {
        self.0.series()
    }

    #[getter]
    fn samples(&self) -> u64 {
        self.0.samples()
    }

    #[getter]
    fn conflicts(&self) -> u64 {
        self.0.conflicts()
    }

    #[getter]
    fn unreadable(&self) -> u64 {
        self.0.unreadable()
    }

    #[getter]
    fn memory_bytes(&self) -> usize {
        self.0.memory_bytes()
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<WindowInfo>()?;
    module.add_class::<Head>()
}
