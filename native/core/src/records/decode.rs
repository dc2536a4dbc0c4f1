//! Records as readers of the log see them.

use std::sync::Arc;

use parking_lot::Mutex;

use super::draft::SECTION_BYTES;
use super::format::{HEADER_BYTES, Header, SEAL, Unpacker};
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
            let batches = self.batches(partition, plain)?;
            RecordKind::Write { batches }
        };
        Ok((header, kind))
    }

    fn batches(&self, partition: u16, mut plain: &[u8]) -> Result<Vec<Arc<SplitBatch>>> {
        let mut batches = Vec::new();
        while !plain.is_empty() {
            let (section, rest) = section(plain)?;
            let batch =
                self.splitter
                    .replay_part(section.bytes.to_vec(), section.uid, section.shards, partition)?;
            batches.push(Arc::new(batch));
            plain = rest;
        }
        Ok(batches)
    }
}

struct Section<'a> {
    uid: Uid,
    shards: u16,
    bytes: &'a [u8],
}

/// The first section of a payload, and what follows it.
fn section(plain: &[u8]) -> Result<(Section<'_>, &[u8])> {
    let Some((head, rest)) = plain.split_first_chunk::<SECTION_BYTES>() else {
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
            Ok((Section { uid, shards, bytes }, rest))
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
