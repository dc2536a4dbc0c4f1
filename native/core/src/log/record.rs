//! What a reader of the log gets.

use std::sync::Arc;

use crate::model::Millis;
use crate::wire::SplitBatch;

/// One durable record. Offsets ascend by one from record to record, over all partitions.
#[derive(Debug, Clone)]
pub struct LogRecord {
    pub offset: u64,
    /// When the record was accepted: the clock that validated a write, or that ordered a seal. A replay gets the same.
    pub now_ms: Millis,
    pub kind: RecordKind,
}

#[derive(Debug, Clone)]
pub enum RecordKind {
    /// The accepted part of one request. Columns taken from the live tail and columns decoded from disk are equal.
    Write { batch: Arc<SplitBatch> },
    /// A seal marker: the generation of each named window of the partition ends at exactly this record's offset.
    Seal { partition: u16, windows: Vec<Millis> },
}
