//! The local log.

use std::io::ErrorKind;
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;
use std::time::Duration;

use headrace_core::log::{self, LogOptions, RecordKind};
use headrace_core::{Error, model::Millis};
use pyo3::exceptions::{PyAttributeError, PyBlockingIOError, PyValueError};
use pyo3::prelude::*;

use super::Files;
use crate::errors::{detached, to_py};
use crate::wire::{SplitBatch, Splitter};

/// Copying a body of this size takes as long as giving the GIL away.
const LONG_COPY_BYTES: usize = 1 << 20;

/// A day: nobody waits longer, and clocks do not overflow.
pub const MAX_WAIT_MS: u64 = 86_400_000;

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
    fn now_ms(&self) -> Millis {
        self.record.now_ms
    }

    #[getter]
    fn kind(&self) -> &'static str {
        match self.record.kind {
            RecordKind::Write { .. } => "write",
            RecordKind::Seal { .. } => "seal",
        }
    }

    #[getter]
    fn batches(&self) -> PyResult<Vec<SplitBatch>> {
        match &self.record.kind {
            RecordKind::Write { batches } => Ok(batches.iter().cloned().map(SplitBatch).collect()),
            RecordKind::Seal { .. } => Err(self.lacks("is a seal; only a write has batches")),
        }
    }

    #[getter]
    fn partition(&self) -> PyResult<u16> {
        match &self.record.kind {
            RecordKind::Seal { partition, .. } => Ok(*partition),
            RecordKind::Write { .. } => Err(self.lacks("is a write; only a seal names a partition")),
        }
    }

    #[getter]
    fn held_bytes(&self) -> usize {
        self.record.kind.held_bytes()
    }

    #[getter]
    fn windows(&self) -> PyResult<Vec<Millis>> {
        match &self.record.kind {
            RecordKind::Seal { windows, .. } => Ok(windows.clone()),
            RecordKind::Write { .. } => Err(self.lacks("is a write; only a seal names windows")),
        }
    }
}

impl LogRecord {
    fn lacks(&self, why: &str) -> PyErr {
        PyAttributeError::new_err(format!("record {} {why}", self.record.offset))
    }
}

#[pyclass(frozen, module = "shared._native")]
#[derive(Debug)]
pub struct LocalLog(log::LocalLog);

#[pymethods]
impl LocalLog {
    #[staticmethod]
    #[pyo3(signature = (files, folder, *, splitter, segment_bytes = 64 << 20, queue_bytes = 64 << 20, tail_bytes = 16 << 20))]
    fn open(
        py: Python<'_>,
        files: &Files,
        folder: &str,
        splitter: &Splitter,
        segment_bytes: u64,
        queue_bytes: usize,
        tail_bytes: usize,
    ) -> PyResult<Self> {
        let options = LogOptions {
            segment_bytes,
            queue_bytes,
            tail_bytes,
        };
        let splitter = splitter.0.clone();
        let layer = files.layer.clone();
        let opened = detached(py, || {
            let replay =
                Box::new(move |body: &[u8], form, uid, shards| splitter.replay(body, form, uid, shards));
            log::LocalLog::open(layer, Path::new(folder), options, replay)
        })?;
        Ok(Self(opened))
    }

    #[pyo3(signature = (batch, *, now_ms))]
    fn append(&self, py: Python<'_>, batch: &SplitBatch, now_ms: Millis) -> PyResult<u64> {
        let append = || self.0.append(batch.0.clone(), now_ms);
        let appended = if batch.0.body.len() > LONG_COPY_BYTES {
            py.detach(append)
        } else {
            append()
        };
        appended.map_err(full_or)
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "a sequence from Python becomes a vector"
    )]
    fn append_seal(&self, partition: u16, windows: Vec<Millis>) -> PyResult<u64> {
        self.0.append_seal(partition, &windows).map_err(full_or)
    }

    #[getter]
    fn committed(&self) -> u64 {
        self.0.committed()
    }

    #[getter]
    fn first(&self) -> u64 {
        self.0.first()
    }

    fn fileno(&self) -> RawFd {
        self.0.wake_fd().as_raw_fd()
    }

    #[getter]
    fn failure(&self) -> Option<String> {
        self.0.failure().map(|failure| failure.why)
    }

    #[getter]
    fn must_restart(&self) -> bool {
        self.0.failure().is_some_and(|failure| failure.is_final)
    }

    fn resume(&self) {
        self.0.resume();
    }

    #[pyo3(signature = (offset, *, max_records, timeout_ms))]
    fn read(
        &self,
        py: Python<'_>,
        offset: u64,
        max_records: usize,
        timeout_ms: u64,
    ) -> PyResult<Vec<LogRecord>> {
        let timeout = wait_of(max_records, timeout_ms)?;
        let records = detached(py, || self.0.read(offset, max_records, timeout))?;
        Ok(records.into_iter().map(|record| LogRecord { record }).collect())
    }

    fn reader(&self) -> LocalLogReader {
        LocalLogReader(self.0.reader())
    }

    fn trim(&self, py: Python<'_>, offset: u64) -> PyResult<()> {
        detached(py, || self.0.trim(offset))
    }

    #[getter]
    fn bytes(&self) -> u64 {
        self.0.bytes()
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.0.close());
    }
}

#[pyclass(frozen, module = "shared._native")]
#[derive(Debug)]
pub struct LocalLogReader(log::LogReader);

#[pymethods]
impl LocalLogReader {
    #[pyo3(signature = (offset, *, max_records, timeout_ms))]
    fn read(
        &self,
        py: Python<'_>,
        offset: u64,
        max_records: usize,
        timeout_ms: u64,
    ) -> PyResult<Vec<LogRecord>> {
        let timeout = wait_of(max_records, timeout_ms)?;
        let records = detached(py, || self.0.read(offset, max_records, timeout))?;
        Ok(records.into_iter().map(|record| LogRecord { record }).collect())
    }

    fn wake(&self, py: Python<'_>) {
        py.detach(|| self.0.wake());
    }
}

fn wait_of(max_records: usize, timeout_ms: u64) -> PyResult<Duration> {
    if max_records == 0 {
        return Err(PyValueError::new_err("max_records must be 1 or more"));
    }
    Ok(Duration::from_millis(timeout_ms.min(MAX_WAIT_MS)))
}

/// A full queue is Python's `BlockingIOError`.
pub fn full_or(error: Error) -> PyErr {
    match &error {
        Error::Io { context, source } if source.kind() == ErrorKind::WouldBlock => {
            PyBlockingIOError::new_err(context.clone())
        }
        _ => to_py(error),
    }
}
