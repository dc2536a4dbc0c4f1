//! What is committed: the segments, and the newest records with their decoded columns.

use std::collections::VecDeque;

use super::record::LogRecord;
use super::segment::Segment;

/// Everything that readers see. Offsets below `committed` are durable.
#[derive(Debug)]
pub struct Tail {
    /// Ascending and without gaps; the last one is active. Never empty.
    pub segments: Vec<Segment>,
    pub committed: u64,
    pub closed: bool,
    /// Committed records that nobody has read yet, ascending. Those that were committed while too many bytes were held are left out.
    live: VecDeque<LogRecord>,
    held: usize,
    limit: usize,
}

impl Tail {
    pub fn new(segments: Vec<Segment>, committed: u64, limit: usize) -> Self {
        Self {
            segments,
            committed,
            closed: false,
            live: VecDeque::new(),
            held: 0,
            limit,
        }
    }

    pub fn first(&self) -> u64 {
        self.segments.first().map_or(self.committed, |s| s.framed.first)
    }

    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|s| s.framed.bytes).sum()
    }

    /// Publishes a commit. A record that would pass the limit is dropped here and read back from disk later: a reader that lags gets
    /// the oldest from memory, and memory stays bounded.
    pub fn publish(&mut self, records: Vec<LogRecord>) {
        for record in records {
            self.committed = record.offset + 1;
            let bytes = record.kind.held_bytes();
            if self.held == 0 || self.held + bytes <= self.limit {
                self.held += bytes;
                self.live.push_back(record);
            }
        }
    }

    /// Takes consecutive live records from `offset` on, and forgets those below it.
    pub fn take(&mut self, offset: u64, max_records: usize) -> Vec<LogRecord> {
        while self.live.front().is_some_and(|r| r.offset < offset) {
            self.pop();
        }
        let mut taken = Vec::new();
        while taken.len() < max_records
            && self
                .live
                .front()
                .is_some_and(|r| r.offset == offset + taken.len() as u64)
        {
            taken.extend(self.pop());
        }
        taken
    }

    /// The first offset that need not be read from disk.
    pub fn live_from(&self) -> u64 {
        self.live.front().map_or(self.committed, |r| r.offset)
    }

    /// The segment that holds a committed offset.
    pub fn segment_of(&self, offset: u64) -> Option<&Segment> {
        let after = self.segments.partition_point(|s| s.framed.first <= offset);
        self.segments.get(after.checked_sub(1)?)
    }

    #[cfg(test)]
    pub fn live_bytes(&self) -> usize {
        self.held
    }

    /// Forgets the segments that hold only records below `offset`, and returns them, oldest first. The active one stays.
    pub fn remove_below(&mut self, offset: u64) -> Vec<Segment> {
        let last = self.segments.len().saturating_sub(1);
        let count = self.segments[..last]
            .iter()
            .take_while(|s| s.framed.next <= offset)
            .count();
        self.segments.drain(..count).collect()
    }

    fn pop(&mut self) -> Option<LogRecord> {
        let record = self.live.pop_front()?;
        self.held -= record.kind.held_bytes();
        Some(record)
    }
}
