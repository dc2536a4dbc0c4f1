//! What waits to be written.

use std::io::{self, ErrorKind};

use super::record::{LogRecord, held_bytes, written_bytes};
use crate::fs::stopped;
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
    failure: Option<String>,
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

    /// Checks that the queue takes a record; an empty queue takes any.
    pub fn admit(&self, record: &LogRecord) -> Result<()> {
        if let Some(failure) = &self.failure {
            return Err(stopped(failure.clone()));
        }
        if self.ending.is_some() {
            return Err(Error::Canceled("the log is closed".to_owned()));
        }
        let wanted = self.held + held_bytes(&record.kind) + written_bytes(&record.kind);
        if self.held > 0 && wanted > self.limit {
            let context = format!(
                "the log's queue holds {} of {} bytes; try again when the disk has caught up",
                self.held, self.limit
            );
            return Err(Error::io(context, io::Error::from(ErrorKind::WouldBlock)));
        }
        Ok(())
    }

    /// Adds an admitted record; `write` appends its frame.
    pub fn push(&mut self, record: LogRecord, write: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<u64> {
        let before = self.group.frames.len();
        write(&mut self.group.frames)?;
        let bytes = held_bytes(&record.kind) + (self.group.frames.len() - before);
        self.group.held += bytes;
        self.held += bytes;
        self.group.records.push(record);
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

    pub fn fail(&mut self, why: String) {
        self.failure.get_or_insert(why);
        self.group = Group::default();
        self.held = 0;
    }

    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }
}

impl Group {
    pub fn held(&self) -> usize {
        self.held
    }
}
