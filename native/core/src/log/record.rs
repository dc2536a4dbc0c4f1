//! What a reader of the log gets, and how it lies in a frame.

use std::sync::Arc;

use crate::fs::{FRAME_BYTES, Frame, begin_frame, end_frame};
use crate::model::{Millis, Uid};
use crate::wire::{Form, SplitBatch};
use crate::{Error, Result};

/// One durable record. Offsets ascend: in segment files by one from record to record, over all partitions.
#[derive(Debug, Clone)]
pub struct LogRecord {
    pub offset: u64,
    /// Of a write: the clock by which it was validated; of several requests the oldest. Of a seal: 0.
    pub now_ms: Millis,
    pub kind: RecordKind,
}

#[derive(Debug, Clone)]
pub enum RecordKind {
    /// What was accepted, in this order: in segment files one request, in records of one partition a batch for each section. Columns
    /// taken from the live tail and columns decoded from disk are equal, but for metadata of remote write 2.0 that had been passed on
    /// before.
    Write { batches: Vec<Arc<SplitBatch>> },
    /// A seal marker: the generation of each named window of the partition ends at exactly this record's offset.
    Seal { partition: u16, windows: Vec<Millis> },
}

impl RecordKind {
    /// One request.
    pub fn write(batch: Arc<SplitBatch>) -> Self {
        Self::Write { batches: vec![batch] }
    }

    /// Heap bytes that it keeps alive.
    pub fn held_bytes(&self) -> usize {
        match self {
            Self::Write { batches } => batches.iter().map(|batch| batch.held_bytes()).sum(),
            Self::Seal { windows, .. } => windows.len() * 8,
        }
    }
}

/// Decodes a stored body: (the sender's compressed body, which message it holds, its instance, the shards it was split by).
pub type Replay = dyn Fn(&[u8], Form, Uid, u16) -> Result<SplitBatch> + Send + Sync;

const WRITE: u8 = 1;
const SEAL: u8 = 2;
const WRITE_V2: u8 = 3;
const UID_BYTES: usize = 16;

/// Bodies are bounded far below this at the door; it keeps frame lengths within their 32 bits.
const MAX_BODY_BYTES: usize = 1 << 30;

/// Appends the frame of a record: of a write the instance and the body as it came, already compressed.
pub(super) fn encode(buffer: &mut Vec<u8>, record: &LogRecord) -> Result<()> {
    let LogRecord { offset, now_ms, kind } = record;
    let start = match kind {
        RecordKind::Write { batches } => {
            let [batch] = batches.as_slice() else {
                let batches = batches.len();
                return Err(Error::BadData(format!(
                    "{batches} requests in one record; a segment file takes one"
                )));
            };
            let Some(uid) = batch.uid else {
                return Err(Error::BadData(
                    "a batch without an instance cannot be logged".to_owned(),
                ));
            };
            let bytes = batch.body.len();
            if bytes > MAX_BODY_BYTES {
                return Err(Error::TooLarge(format!(
                    "a body of {bytes} bytes; the log takes up to {MAX_BODY_BYTES}"
                )));
            }
            let kind = match batch.form {
                Form::V1 => WRITE,
                Form::V2 => WRITE_V2,
            };
            let start = begin_frame(buffer, kind, batch.shards, *offset, *now_ms);
            buffer.extend_from_slice(&uid.0);
            buffer.extend_from_slice(&batch.body);
            start
        }
        RecordKind::Seal { partition, windows } => {
            let start = begin_frame(buffer, SEAL, *partition, *offset, *now_ms);
            for window in windows {
                buffer.extend_from_slice(&window.to_le_bytes());
            }
            start
        }
    };
    end_frame(buffer, start);
    Ok(())
}

/// Checks what a valid frame cannot promise by its checksum: that this build knows its kind.
pub(super) fn check(frame: &Frame, payload: &[u8]) -> Result<()> {
    let offset = frame.number;
    match frame.kind {
        WRITE | WRITE_V2 if payload.len() < UID_BYTES => Err(Error::Corrupt(format!(
            "record {offset} of the log has {} bytes, no room for an instance",
            payload.len()
        ))),
        SEAL if !payload.len().is_multiple_of(8) => Err(Error::Corrupt(format!(
            "record {offset} of the log, a seal, has {} bytes, not a multiple of 8",
            payload.len()
        ))),
        WRITE | WRITE_V2 | SEAL => Ok(()),
        kind => Err(Error::Unsupported(format!(
            "record {offset} of the log has kind {kind}, which a newer build wrote; run that build, or a newer one"
        ))),
    }
}

/// Decodes a frame.
pub(super) fn decode(frame: &Frame, payload: &[u8], replay: &Replay) -> Result<LogRecord> {
    check(frame, payload)?;
    let form = match frame.kind {
        WRITE => Some(Form::V1),
        WRITE_V2 => Some(Form::V2),
        _ => None,
    };
    let kind = match (form, payload.split_first_chunk::<UID_BYTES>()) {
        (Some(form), Some((uid, body))) => {
            let batch = replay(body, form, Uid(*uid), frame.tag).map_err(|e| {
                Error::Corrupt(format!(
                    "record {} of the log cannot be decoded: {e}",
                    frame.number
                ))
            })?;
            RecordKind::write(Arc::new(batch))
        }
        _ => RecordKind::Seal {
            partition: frame.tag,
            windows: payload
                .as_chunks()
                .0
                .iter()
                .map(|w| Millis::from_le_bytes(*w))
                .collect(),
        },
    };
    Ok(LogRecord {
        offset: frame.number,
        now_ms: frame.time,
        kind,
    })
}

/// Bytes that a record's frame will have.
pub(super) fn written_bytes(kind: &RecordKind) -> usize {
    FRAME_BYTES
        + match kind {
            RecordKind::Write { batches } => batches.iter().map(|batch| UID_BYTES + batch.body.len()).sum(),
            RecordKind::Seal { windows, .. } => windows.len() * 8,
        }
}
