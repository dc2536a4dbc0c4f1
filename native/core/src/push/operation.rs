//! A change of a group as the log holds it: an extension of a write request, drawn in `docs/formats.md`.

use std::io::Read;

use crate::exposition::family::Label;
use crate::model::Millis;
use crate::wire::encode::{put_bytes, put_varint};
use crate::wire::proto::{BYTES, Reader, VARINT, expect_wire};
use crate::{Error, Result};

/// Families of fewer bytes are not compressed.
const SMALL: usize = 1 << 10;

/// Families of one group, decompressed.
const MAX_FAMILIES: usize = 64 << 20;

const LEVEL: i32 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// PUT: the families are all that the group has.
    Replace = 1,
    /// POST: the families take the place of those of their names.
    Merge = 2,
    Delete = 3,
    /// A push that was refused: only the stamp of it.
    Fail = 4,
    /// Every group of the instance goes.
    Wipe = 5,
    /// What was due was written up to a time.
    Emitted = 6,
}

impl Kind {
    fn of(number: u64) -> Option<Self> {
        [
            Self::Replace,
            Self::Merge,
            Self::Delete,
            Self::Fail,
            Self::Wipe,
            Self::Emitted,
        ]
        .into_iter()
        .find(|kind| *kind as u64 == number)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    pub kind: Kind,
    /// The grouping labels, by name; none of [`Kind::Wipe`] and [`Kind::Emitted`].
    pub group: Vec<Label>,
    /// When it was pushed; of [`Kind::Emitted`] up to when samples were written.
    pub time: Millis,
    /// How long the group lives; 0: until it is deleted.
    pub ttl: Millis,
    /// From sample to sample.
    pub interval: Millis,
    /// Messages as `exposition::protobuf` writes them.
    pub families: Vec<u8>,
    /// Of [`Kind::Emitted`] the first offset that its samples do not tell of.
    pub through: u64,
}

impl Operation {
    pub fn new(kind: Kind, group: &[Label], time: Millis) -> Self {
        Self {
            kind,
            group: group.to_vec(),
            time,
            ttl: 0,
            interval: 0,
            families: Vec::new(),
            through: 0,
        }
    }

    /// All but the partition, which [`put_partition`] adds.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut out = vec![0x08, self.kind as u8];
        for (name, value) in &self.group {
            let mut label = Vec::with_capacity(name.len() + value.len() + 8);
            put_bytes(&mut label, 0x0a, name.as_bytes());
            put_bytes(&mut label, 0x12, value.as_bytes());
            put_bytes(&mut out, 0x1a, &label);
        }
        for (tag, number) in [
            (0x20, self.time as u64),
            (0x28, self.ttl as u64),
            (0x30, self.interval as u64),
            (0x50, self.through),
        ] {
            if number != 0 {
                out.push(tag);
                put_varint(&mut out, number);
            }
        }
        if self.families.len() < SMALL {
            put_bytes(&mut out, 0x3a, &self.families);
        } else {
            let packed =
                zstd::bulk::compress(&self.families, LEVEL).map_err(|e| Error::io("zstd compression", e))?;
            put_bytes(&mut out, 0x42, &packed);
        }
        Ok(out)
    }

    /// Fails for what no build wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut operation = Self::new(Kind::Emitted, &[], 0);
        let mut kind = 0;
        let mut reader = Reader::new(bytes);
        while !reader.is_empty() {
            let (field, wire) = reader.tag()?;
            match field {
                1 | 4 | 5 | 6 | 10 => {
                    expect_wire(wire, VARINT, "a number of an operation", reader.position())?;
                    let number = reader.varint()?;
                    match field {
                        1 => kind = number,
                        4 => operation.time = number as Millis,
                        5 => operation.ttl = number as Millis,
                        6 => operation.interval = number as Millis,
                        _ => operation.through = number,
                    }
                }
                3 => {
                    expect_wire(wire, BYTES, "a label of a group", reader.position())?;
                    operation.group.push(label(reader.bytes()?)?);
                }
                7 => operation.families = reader.bytes()?.to_vec(),
                8 => operation.families = decompressed(reader.bytes()?)?,
                _ => reader.skip(wire)?,
            }
        }
        operation.kind =
            Kind::of(kind).ok_or_else(|| Error::BadData(format!("this build knows no operation {kind}")))?;
        Ok(operation)
    }
}

/// Tells which partition keeps the group.
pub fn put_partition(operation: &mut Vec<u8>, partition: u16) {
    operation.push(0x10);
    put_varint(operation, u64::from(partition));
}

/// The partition of an operation.
pub fn partition(operation: &[u8]) -> Result<u16> {
    let mut reader = Reader::new(operation);
    let mut found = None;
    while !reader.is_empty() {
        let (field, wire) = reader.tag()?;
        if field == 2 && wire == VARINT {
            found = Some(reader.varint()?);
        } else {
            reader.skip(wire)?;
        }
    }
    found
        .and_then(|partition| u16::try_from(partition).ok())
        .ok_or_else(|| Error::BadData("an operation on a pushed group names no partition".to_owned()))
}

/// What tells groups apart: names and values, each closed by a byte that is in no text. `group` is sorted.
pub fn key(group: &[Label]) -> Vec<u8> {
    let mut key = Vec::with_capacity(
        group
            .iter()
            .map(|(name, value)| name.len() + value.len() + 2)
            .sum(),
    );
    for (name, value) in group {
        key.extend_from_slice(name.as_bytes());
        key.push(0xff);
        key.extend_from_slice(value.as_bytes());
        key.push(0xff);
    }
    key
}

fn label(bytes: &[u8]) -> Result<Label> {
    let mut reader = Reader::new(bytes);
    let mut label = Label::default();
    while !reader.is_empty() {
        let (field, wire) = reader.tag()?;
        if wire != BYTES || field > 2 {
            reader.skip(wire)?;
            continue;
        }
        let text = std::str::from_utf8(reader.bytes()?)
            .map_err(|_| Error::BadData("a label of a group is not valid UTF-8".to_owned()))?;
        let part = if field == 1 { &mut label.0 } else { &mut label.1 };
        text.clone_into(part);
    }
    Ok(label)
}

pub fn decompressed(packed: &[u8]) -> Result<Vec<u8>> {
    let damaged = |e| Error::BadData(format!("families of a group do not decompress: {e}"));
    let mut plain = Vec::new();
    zstd::Decoder::new(packed)
        .map_err(damaged)?
        .take(MAX_FAMILIES as u64 + 1)
        .read_to_end(&mut plain)
        .map_err(damaged)?;
    if plain.len() > MAX_FAMILIES {
        return Err(Error::TooLarge(format!(
            "the families of a group have more than {MAX_FAMILIES} bytes"
        )));
    }
    Ok(plain)
}
