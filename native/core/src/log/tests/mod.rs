//! The log on a simulated disk. Commits happen where a test says so; only `thread` runs the committing thread.

mod basics;
mod handover;
mod power;
mod thread;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::engine::Engine;
use super::*;
use crate::fs::SimulatedFiles;
use crate::model::Uid;
use crate::wire::{Form, SplitBatch};
use crate::{Error, Result};

pub const SMALL: LogOptions = LogOptions {
    segment_bytes: 4096,
    queue_bytes: 1 << 20,
    tail_bytes: 1 << 20,
};

/// A batch whose body is a number and some filling, and whose only sample is the number.
pub fn batch(number: u64, filling: usize) -> Arc<SplitBatch> {
    let mut body = number.to_le_bytes().to_vec();
    body.resize(8 + filling, 0xee);
    let mut batch = replay(&body, Form::V1, Uid([7; 16]), 2).unwrap();
    batch.body = body;
    Arc::new(batch)
}

pub fn replay(body: &[u8], form: Form, uid: Uid, shards: u16) -> Result<SplitBatch> {
    let number = body
        .first_chunk()
        .ok_or_else(|| Error::BadData("too short".to_owned()))?;
    Ok(SplitBatch {
        uid: Some(uid),
        shards,
        times: vec![i64::from_le_bytes(*number)],
        values: vec![0.0],
        form,
        ..SplitBatch::default()
    })
}

pub fn open(files: &SimulatedFiles, options: LogOptions) -> Result<Engine> {
    Engine::open(
        Arc::new(files.clone()),
        Path::new("log"),
        options,
        Box::new(replay),
    )
}

/// Everything from `offset` to the end, without waiting.
pub fn read_all(log: &Engine, mut offset: u64) -> Result<Vec<LogRecord>> {
    let mut records = Vec::new();
    while offset < log.committed() {
        let read = log.read(offset, 7, Duration::ZERO)?;
        assert!(!read.is_empty(), "nothing at {offset} below {}", log.committed());
        offset += read.len() as u64;
        records.extend(read);
    }
    Ok(records)
}

/// The number that a write was made of; `None` for a seal.
pub fn number_of(record: &LogRecord) -> Option<u64> {
    match &record.kind {
        RecordKind::Write { batches } => Some(batches[0].times[0] as u64),
        RecordKind::Seal { .. } => None,
    }
}
