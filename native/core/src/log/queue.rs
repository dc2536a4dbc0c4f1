//! What waits to be written.

use std::io::{self, ErrorKind};

use super::record::{LogRecord, RecordKind, encode, written_bytes};
use crate::fs::stopped;
use crate::model::Millis;
use crate::{Error, Result};

/// Buffers above this size are not kept for the next commit.
const SPARE_BYTES: usize = 8 << 20;

/// What the committing thread is asked to do once the queue is empty, or at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Commit what is queued, then stop.
    Flush,
    /// Stop; what is queued was never acknowledged.
    Abandon,
}

/// Why nothing is accepted.
#[derive(Debug, Clone)]
pub struct Failure {
    pub why: String,
    /// False: it may be over, and [`Queue::resume`] accepts records again.
    pub is_final: bool,
}

/// One commit: frames without checksums, and the records they hold.
#[derive(Debug, Default)]
pub struct Group {
    pub frames: Vec<u8>,
    pub records: Vec<LogRecord>,
    held: usize,
}

/// Records between `append` and the sync. Bounded by the bytes they keep alive: frames and decoded columns.
#[derive(Debug)]
pub struct Queue {
    pub next: u64,
    pub ending: Option<Ending>,
    failure: Option<Failure>,
    group: Group,
    spare: Vec<u8>,
    /// Bytes of the queued group and of the one being written.
    held: usize,
    limit: usize,
}

impl Queue {
    pub fn new(next: u64, limit: usize) -> Self {
        Self {
            next,
            ending: None,
            failure: None,
            group: Group::default(),
            spare: Vec::new(),
            held: 0,
            limit,
        }
    }

    /// Adds a record and returns its offset. An empty queue takes a record of any size.
    pub fn push(&mut self, now_ms: Millis, kind: RecordKind) -> Result<u64> {
        if let Some(failure) = &self.failure {
            return Err(stopped(failure.why.clone()));
        }
        if self.ending.is_some() {
            return Err(stopped("the log is closed"));
        }
        let bytes = kind.held_bytes() + written_bytes(&kind);
        if self.held > 0 && self.held + bytes > self.limit {
            let context = format!(
                "the log's queue holds {} of {} bytes; try again when the disk has caught up",
                self.held, self.limit
            );
            return Err(Error::io(context, io::Error::from(ErrorKind::WouldBlock)));
        }
        let record = LogRecord {
            offset: self.next,
            now_ms,
            kind,
        };
        encode(&mut self.group.frames, &record)?;
        self.group.records.push(record);
        self.group.held += bytes;
        self.held += bytes;
        self.next += 1;
        Ok(self.next - 1)
    }

    pub fn is_empty(&self) -> bool {
        self.group.records.is_empty()
    }

    /// Takes all that is queued.
    pub fn take(&mut self) -> Group {
        let frames = std::mem::take(&mut self.spare);
        std::mem::replace(
            &mut self.group,
            Group {
                frames,
                ..Group::default()
            },
        )
    }

    /// A group is written, and its buffer free again.
    pub fn done(&mut self, held: usize, mut frames: Vec<u8>) {
        self.held -= held;
        if frames.capacity() <= SPARE_BYTES {
            frames.clear();
            self.spare = frames;
        }
    }

    /// Drops all that waits and accepts nothing more. A final failure stays.
    pub fn fail(&mut self, failure: Failure) {
        if self.failure.as_ref().is_none_or(|f| !f.is_final) {
            self.failure = Some(failure);
        }
        self.group = Group::default();
        self.held = 0;
    }

    /// Accepts records again after a failure that was not final; they are numbered from `next` on, as those that were dropped. Whoever
    /// waits for one of those must know of the failure by now.
    pub fn resume(&mut self, next: u64) {
        if self.failure.as_ref().is_some_and(|f| !f.is_final) {
            self.failure = None;
            self.next = next;
        }
    }

    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }
}

impl Group {
    pub fn held(&self) -> usize {
        self.held
    }
}
