//! Records for a log that lies elsewhere.

use std::collections::HashMap;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use headrace_core::model::Millis;
use headrace_core::records::{self, OutboxOptions};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors::{detached, to_py};
use crate::files::{LogRecord, MAX_WAIT_MS, full_or};
use crate::wire::{SplitBatch, Splitter};

/// Sorting so many series by partition takes longer than giving the GIL away.
const MANY_SERIES: usize = 10_000;

/// (id, partition, value) of a record to send.
type Outgoing<'py> = (u64, u16, Bound<'py, PyBytes>);

/// A ticket, with the offset in each partition or what went wrong.
type Finished = (u64, Option<HashMap<u16, u64>>, Option<String>);

#[pyclass(frozen, module = "shared._native")]
#[derive(Debug)]
pub struct Outbox(records::Outbox);

#[pymethods]
impl Outbox {
    #[new]
    #[pyo3(signature = (*, queue_bytes, linger_ms, max_linger_ms, rest_ms, records_per_second, deadline_ms))]
    fn new(
        queue_bytes: usize,
        linger_ms: u64,
        max_linger_ms: u64,
        rest_ms: u64,
        records_per_second: u32,
        deadline_ms: u64,
    ) -> PyResult<Self> {
        let time = |ms: u64| Duration::from_millis(ms.min(MAX_WAIT_MS));
        let options = OutboxOptions {
            queue_bytes,
            linger: time(linger_ms),
            max_linger: time(max_linger_ms),
            rest: time(rest_ms),
            records_per_second,
            deadline: time(deadline_ms),
        };
        Ok(Self(records::Outbox::new(options).map_err(to_py)?))
    }

    #[pyo3(signature = (batch, *, now_ms))]
    fn add(&self, py: Python<'_>, batch: &SplitBatch, now_ms: Millis) -> PyResult<u64> {
        let add = || self.0.add(&batch.0, now_ms);
        let added = if batch.0.series.len() > MANY_SERIES {
            py.detach(add)
        } else {
            add()
        };
        added.map_err(full_or)
    }

    fn add_seal(&self, partition: u16, windows: Vec<Millis>) -> PyResult<u64> {
        self.0.add_seal(partition, windows).map_err(full_or)
    }

    #[pyo3(signature = (*, timeout_ms))]
    fn take<'py>(&self, py: Python<'py>, timeout_ms: u64) -> Option<Vec<Outgoing<'py>>> {
        let timeout = Duration::from_millis(timeout_ms.min(MAX_WAIT_MS));
        let taken = py.detach(|| self.0.take(timeout))?;
        let outgoing = taken
            .into_iter()
            .map(|record| (record.id, record.partition, PyBytes::new(py, &record.value)));
        Some(outgoing.collect())
    }

    fn acked(&self, record: u64, offset: u64) {
        self.0.acked(record, offset);
    }

    fn failed(&self, record: u64, why: &str) {
        self.0.failed(record, why);
    }

    fn expire(&self) {
        self.0.expire();
    }

    fn finished(&self) -> Vec<Finished> {
        let finished = self.0.finished().into_iter();
        let finished = finished.map(|finished| match finished.outcome {
            Ok(offsets) => (finished.ticket, Some(offsets.into_iter().collect()), None),
            Err(why) => (finished.ticket, None, Some(why)),
        });
        finished.collect()
    }

    fn fileno(&self) -> RawFd {
        self.0.wake_fd().as_raw_fd()
    }

    fn close(&self) {
        self.0.close();
    }

    #[getter]
    fn held_bytes(&self) -> usize {
        self.0.held_bytes()
    }

    #[getter]
    fn waiting(&self) -> usize {
        self.0.waiting()
    }
}

#[pyclass(frozen, module = "shared._native")]
#[derive(Debug)]
pub struct RecordDecoder(records::Decoder);

#[pymethods]
impl RecordDecoder {
    #[new]
    fn new(splitter: &Splitter) -> PyResult<Self> {
        let decoder = records::Decoder::new(splitter.0.clone()).map_err(to_py)?;
        Ok(Self(decoder))
    }

    fn decode(&self, py: Python<'_>, partition: u16, offset: u64, value: &[u8]) -> PyResult<LogRecord> {
        let record = detached(py, || self.0.decode(partition, offset, value))?;
        Ok(LogRecord { record })
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Outbox>()?;
    module.add_class::<RecordDecoder>()?;
    Ok(())
}
