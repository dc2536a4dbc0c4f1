//! Reading back from disk.

use parking_lot::Mutex;

use super::record::{LogRecord, Replay, decode};
use super::segment::Segment;
use crate::fs::{FrameReader, Step};
use crate::{Error, Result};

/// Decoded bytes after which a read returns what it has; a record more may pass it.
const READ_BYTES: usize = 16 << 20;

/// Where the last read stopped, so that the next one goes on with what was read ahead.
#[derive(Debug, Default)]
pub struct ReplayCursor {
    at: Mutex<Option<Position>>,
}

#[derive(Debug)]
struct Position {
    segment: u64,
    next: u64,
    reader: FrameReader,
}

impl ReplayCursor {
    /// Records of one segment from `offset` on, at most `max_records` and below `until`.
    pub fn read(
        &self,
        segment: &Segment,
        offset: u64,
        until: u64,
        max_records: usize,
        replay: &Replay,
    ) -> Result<Vec<LogRecord>> {
        let mut at = self.at.lock();
        let mut position = match at.take() {
            Some(mut p) if p.segment == segment.framed.first && p.next == offset => {
                p.reader.extend(segment.framed.bytes);
                p
            }
            _ => {
                let (next, start) = segment.locate(offset);
                Position {
                    segment: segment.framed.first,
                    next,
                    reader: segment.framed.reader(start),
                }
            }
        };
        let until = until.min(segment.framed.next);
        let mut records = Vec::new();
        let mut bytes = 0;
        while position.next < until && records.len() < max_records && bytes < READ_BYTES {
            let (frame, payload) = match position.reader.step()? {
                Step::Frame(_, frame, payload) if frame.number == position.next => (frame, payload),
                other => return Err(vanished(segment, position.next, &other)),
            };
            if frame.number >= offset {
                match decode(&frame, payload, replay) {
                    Ok(record) => {
                        bytes += record.kind.held_bytes();
                        records.push(record);
                    }
                    // The records before it are good; the next read starts with the bad one and tells.
                    Err(_) if !records.is_empty() => return Ok(records),
                    Err(error) => return Err(error),
                }
            }
            position.next += 1;
        }
        if position.next < segment.framed.next {
            *at = Some(position);
        }
        Ok(records)
    }
}

/// The segment was whole when it was opened or written, and is not any more.
fn vanished(segment: &Segment, offset: u64, step: &Step<'_>) -> Error {
    let what = match step {
        Step::Damaged(position, damage) => format!("is damaged at byte {position} ({damage})"),
        Step::Frame(position, frame, _) => {
            format!("is not at byte {position}, where record {} lies", frame.number)
        }
        Step::End => "lies behind the end of the file".to_owned(),
    };
    Error::Corrupt(format!(
        "log segment {}: record {offset} {what}, though it was verified before; check the disk, and restore the file",
        segment.path().display()
    ))
}
