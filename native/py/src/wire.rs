//! Bodies in, batches out.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use headrace_core::model::{Millis, Uid};
use headrace_core::wire;
use headrace_core::wire::known::keys_of;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors::{detached, to_py};
use crate::push::Push;

/// A uid from Python: exactly 16 bytes.
pub fn uid_of(bytes: &[u8]) -> PyResult<Uid> {
    let uid = bytes
        .try_into()
        .map_err(|_| PyValueError::new_err(format!("a uid has 16 bytes, not {}", bytes.len())))?;
    Ok(Uid(uid))
}

#[pyclass(frozen, module = "shared._native")]
#[derive(Debug)]
pub struct WriteLimits(wire::WriteLimits);

#[pymethods]
impl WriteLimits {
    #[new]
    #[pyo3(signature = (
        *,
        max_body_bytes = 32 << 20,
        max_decoded_bytes = 32 << 20,
        max_labels = 64,
        max_name_bytes = 1024,
        max_value_bytes = 4096,
        max_age_ms = None,
        max_future_ms = Some(600_000),
    ))]
    fn new(
        max_body_bytes: usize,
        max_decoded_bytes: usize,
        max_labels: usize,
        max_name_bytes: usize,
        max_value_bytes: usize,
        max_age_ms: Option<Millis>,
        max_future_ms: Option<Millis>,
    ) -> Self {
        Self(wire::WriteLimits {
            max_body_bytes,
            max_decoded_bytes,
            max_labels,
            max_name_bytes,
            max_value_bytes,
            max_age_ms,
            max_future_ms,
        })
    }
}

/// Shared with the log and the heads, never copied.
#[pyclass(frozen, module = "shared._native")]
#[derive(Debug)]
pub struct SplitBatch(pub Arc<wire::SplitBatch>);

#[pymethods]
impl SplitBatch {
    #[getter]
    fn samples(&self) -> usize {
        self.0.times.len() + self.0.histograms.len()
    }

    #[getter]
    fn histograms(&self) -> usize {
        self.0.histograms.len()
    }

    #[getter]
    fn series(&self) -> usize {
        self.0.series.len()
    }

    #[getter]
    fn exemplars(&self) -> usize {
        self.0.exemplars.len()
    }

    #[getter]
    fn metadata(&self) -> usize {
        self.0.metadata.len()
    }

    #[getter]
    fn pushes(&self) -> usize {
        self.0.pushes.len()
    }

    #[getter]
    fn partitions(&self) -> Vec<u16> {
        self.0.partitions()
    }

    #[getter]
    fn refused(&self) -> Vec<(&'static str, u64, &str)> {
        self.0
            .refused
            .iter()
            .map(|r| (r.reason.name(), r.samples, r.message.as_str()))
            .collect()
    }

    fn metrics(&self, py: Python<'_>, keys: &[u8]) -> Vec<String> {
        py.detach(|| {
            let wanted: HashSet<u128> = keys_of(keys).collect();
            self.0.metrics(|series| wanted.contains(&series.key))
        })
    }

    #[pyo3(signature = (new, *, active, by_metric, max_series, max_series_per_metric))]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "that is how PyO3 hands collections over"
    )]
    fn admit<'py>(
        &self,
        py: Python<'py>,
        new: &[u8],
        active: usize,
        by_metric: HashMap<String, usize>,
        max_series: usize,
        max_series_per_metric: usize,
    ) -> PyResult<(Self, Bound<'py, PyBytes>)> {
        let limits = wire::SeriesLimits {
            max_series,
            max_series_per_metric,
        };
        let admitted = detached(py, || {
            let new: HashSet<u128> = keys_of(new).collect();
            let of_metric = |metric: &str| by_metric.get(metric).copied().unwrap_or_default();
            self.0
                .admit(|_, series| new.contains(&series.key), limits, active, of_metric)
        })?;
        let keys: Vec<u8> = admitted.new.iter().flat_map(|key| key.to_le_bytes()).collect();
        let rest = admitted.rest.map_or_else(|| Arc::clone(&self.0), Arc::new);
        Ok((Self(rest), PyBytes::new(py, &keys)))
    }

    #[getter]
    fn body<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.body)
    }
}

#[pyclass(frozen, module = "shared._native")]
#[derive(Debug)]
pub struct Splitter(pub Arc<wire::Splitter>);

#[pymethods]
impl Splitter {
    #[new]
    #[pyo3(signature = (*, secret, partitions, cache_bytes = 64 << 20))]
    fn new(secret: &[u8], partitions: u16, cache_bytes: usize) -> PyResult<Self> {
        Ok(Self(Arc::new(
            wire::Splitter::new(secret, partitions, cache_bytes).map_err(to_py)?,
        )))
    }

    #[pyo3(signature = (body, *, uid, shards, limits, now_ms, version = 1))]
    #[expect(clippy::too_many_arguments, reason = "named in Python")]
    fn split(
        &self,
        py: Python<'_>,
        body: &[u8],
        uid: &[u8],
        shards: u16,
        limits: &WriteLimits,
        now_ms: Millis,
        version: u8,
    ) -> PyResult<SplitBatch> {
        let uid = uid_of(uid)?;
        let form = match version {
            1 => wire::Form::V1,
            2 => wire::Form::V2,
            _ => {
                return Err(PyValueError::new_err(format!(
                    "remote write has no version {version}"
                )));
            }
        };
        let batch = detached(py, || self.0.split(body, form, uid, shards, &limits.0, now_ms))?;
        Ok(SplitBatch(Arc::new(batch)))
    }

    #[pyo3(signature = (plain, *, uid, shards, limits, now_ms))]
    fn split_plain(
        &self,
        py: Python<'_>,
        plain: Vec<u8>,
        uid: &[u8],
        shards: u16,
        limits: &WriteLimits,
        now_ms: Millis,
    ) -> PyResult<SplitBatch> {
        let uid = uid_of(uid)?;
        let batch = detached(py, || self.0.split_plain(plain, uid, shards, &limits.0, now_ms))?;
        Ok(SplitBatch(Arc::new(batch)))
    }

    #[pyo3(signature = (push, *, uid, shards, limits, now_ms))]
    fn split_push(
        &self,
        py: Python<'_>,
        push: &Push,
        uid: &[u8],
        shards: u16,
        limits: &WriteLimits,
        now_ms: Millis,
    ) -> PyResult<SplitBatch> {
        let uid = uid_of(uid)?;
        let batch = detached(py, || self.0.split_push(&push.0, uid, shards, &limits.0, now_ms))?;
        Ok(SplitBatch(Arc::new(batch)))
    }

    fn partitions_of(&self, uid: &[u8], shards: u16) -> PyResult<Vec<u16>> {
        self.0.partitions_of(uid_of(uid)?, shards).map_err(to_py)
    }
}

#[pyclass(frozen, module = "shared._native")]
#[derive(Debug)]
pub struct KnownSeries(Mutex<wire::KnownSeries>);

impl KnownSeries {
    fn known(&self) -> MutexGuard<'_, wire::KnownSeries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl KnownSeries {
    #[new]
    fn new(capacity: usize) -> Self {
        Self(Mutex::new(wire::KnownSeries::new(capacity)))
    }

    fn unknown<'py>(&self, py: Python<'py>, batch: &SplitBatch) -> HashMap<u16, Bound<'py, PyBytes>> {
        let found = py.detach(|| self.known().unknown(&batch.0));
        found
            .into_iter()
            .map(|(partition, keys)| (partition, PyBytes::new(py, &keys)))
            .collect()
    }

    fn learn(&self, keys: &[u8]) {
        self.known().learn(keys_of(keys));
    }

    fn learn_held<'py>(&self, py: Python<'py>, keys: &[u8], held: &[u8]) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.known().learn_held(keys, held))
    }

    fn age(&self) {
        self.known().age();
    }

    fn __len__(&self) -> usize {
        self.known().len()
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<WriteLimits>()?;
    module.add_class::<SplitBatch>()?;
    module.add_class::<Splitter>()?;
    module.add_class::<KnownSeries>()?;
    Ok(())
}
