//! Records as readers of the log see them.

use std::sync::Arc;

use parking_lot::Mutex;

use super::format::{HEADER_BYTES, Header, MAX_READABLE_BYTES, SEAL, Unpacker, WHOLE_MESSAGES};
use super::section::Section;
use crate::log::{LogRecord, RecordKind};
use crate::model::{Millis, Uid};
use crate::wire::{SplitBatch, Splitter};
use crate::{Error, Result};

/// Reads records. Shared between threads, which take turns at decompressing.
#[derive(Debug)]
pub struct Decoder {
    splitter: Arc<Splitter>,
    unpacker: Mutex<(Unpacker, Vec<u8>)>,
}

impl Decoder {
    pub fn new(splitter: Arc<Splitter>) -> Result<Self> {
        Ok(Self {
            splitter,
            unpacker: Mutex::new((Unpacker::new()?, Vec::new())),
        })
    }

    /// The record that lies at `offset` of a partition. Corrupt: not what was written there. Unsupported: a later build wrote it.
    pub fn decode(&self, partition: u16, offset: u64, value: &[u8]) -> Result<LogRecord> {
        let (header, kind) = self.kind(partition, value).map_err(|error| {
            let why = format!("record {offset} of partition {partition} cannot be read: {error}");
            match error {
                Error::Unsupported(_) => Error::Unsupported(why),
                _ => Error::Corrupt(why),
            }
        })?;
        Ok(LogRecord {
            offset,
            now_ms: header.time,
            kind,
        })
    }

    fn kind(&self, partition: u16, value: &[u8]) -> Result<(Header, RecordKind)> {
        let mut unpacker = self.unpacker.lock();
        let (unpacker, plain) = &mut *unpacker;
        let header = unpacker.open(value, plain)?;
        if header.partition != partition {
            return Err(Error::Corrupt(format!(
                "it was written for partition {}",
                header.partition
            )));
        }
        let kind = if header.kind == SEAL {
            RecordKind::Seal {
                partition,
                windows: windows(plain)?,
            }
        } else {
            let batches = if header.version == WHOLE_MESSAGES {
                self.messages(partition, plain)
            } else {
                self.sections(partition, plain)
            };
            RecordKind::Write { batches: batches? }
        };
        Ok((header, kind))
    }

    fn sections(&self, partition: u16, mut plain: &[u8]) -> Result<Vec<Arc<SplitBatch>>> {
        let mut batches = Vec::new();
        let mut room = MAX_READABLE_BYTES;
        while !plain.is_empty() {
            let (section, rest) = Section::first(plain)?;
            let batch = section.batch(&self.splitter, partition, &mut room)?;
            batches.push(Arc::new(batch));
            plain = rest;
        }
        Ok(batches)
    }

    /// The sections of the first format.
    fn messages(&self, partition: u16, mut plain: &[u8]) -> Result<Vec<Arc<SplitBatch>>> {
        let mut batches = Vec::new();
        while !plain.is_empty() {
            let (message, rest) = message(plain)?;
            let bytes = message.bytes.to_vec();
            let batch = self
                .splitter
                .replay_part(bytes, message.uid, message.shards, partition)?;
            batches.push(Arc::new(batch));
            plain = rest;
        }
        Ok(batches)
    }
}

/// Instance, shards, length.
const MESSAGE_HEAD_BYTES: usize = 16 + 2 + 4;

/// What the first format has of an instance.
struct Message<'a> {
    uid: Uid,
    shards: u16,
    /// A `WriteRequest`.
    bytes: &'a [u8],
}

/// The first section of a payload of the first format, and what follows it.
fn message(plain: &[u8]) -> Result<(Message<'_>, &[u8])> {
    let Some((head, rest)) = plain.split_first_chunk::<MESSAGE_HEAD_BYTES>() else {
        return Err(Error::Corrupt(format!(
            "{} bytes are left for a section",
            plain.len()
        )));
    };
    let [uid @ .., s0, s1, l0, l1, l2, l3] = *head;
    let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    match rest.split_at_checked(len) {
        Some((bytes, rest)) if len > 0 => {
            let shards = u16::from_le_bytes([s0, s1]);
            let uid = Uid(uid);
            Ok((Message { uid, shards, bytes }, rest))
        }
        _ => Err(Error::Corrupt(format!(
            "a section of {len} bytes with {} left",
            rest.len()
        ))),
    }
}

fn windows(plain: &[u8]) -> Result<Vec<Millis>> {
    let (windows, rest) = plain.as_chunks();
    if !rest.is_empty() {
        return Err(Error::Corrupt(format!(
            "a seal marker of {} bytes behind the {HEADER_BYTES} of its header, not a multiple of 8",
            plain.len()
        )));
    }
    Ok(windows
        .iter()
        .map(|window| Millis::from_le_bytes(*window))
        .collect())
}
