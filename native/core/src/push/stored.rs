//! Groups as the store keeps them: a value for each, and one for what else an instance has.

use std::sync::Arc;

use super::book::{Book, Owner, Vanished};
use super::group::{Group, Held};
use super::operation::{Kind, Operation, decompressed};
use crate::exposition::protobuf;
use crate::model::{Millis, Uid};
use crate::wire::Splitter;
use crate::wire::encode::{put_bytes, put_varint};
use crate::wire::proto::{BYTES, Reader, VARINT};
use crate::{Error, Result};

const FORMAT: u8 = 1;
const LEVEL: i32 = 1;
const UID_BYTES: usize = 16;

/// Key and value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// What changed since the store was told: the state as of an offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// The store has what changed before.
    pub since: u64,
    /// Everything below was applied, and nothing else.
    pub offset: u64,
    /// By key; `None`: the value goes.
    pub entries: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Book {
    /// What the store lacks, which may be nothing but the offset; `None`: there has never been anything.
    pub fn changes(&self) -> Result<Option<Changes>> {
        let state = self.state();
        let stored = state.stored;
        let mut entries = Vec::new();
        for (uid, owner) in &state.owners {
            let own_key = uid.0.to_vec();
            for (key, offset) in &owner.gone {
                if *offset >= stored && !owner.groups.contains_key(key) {
                    entries.push(([&own_key, key.as_slice()].concat(), None));
                }
            }
            for (key, group) in owner.groups.iter().filter(|(_, group)| group.changed >= stored) {
                entries.push(([&own_key, key.as_slice()].concat(), Some(encode_group(group)?)));
            }
            if owner.changed >= stored {
                let value = if owner.is_empty() {
                    None
                } else {
                    Some(encode_owner(owner)?)
                };
                entries.push((own_key, value));
            }
        }
        let offset = state.applied;
        let since = stored;
        Ok((!entries.is_empty() || stored > 0).then_some(Changes {
            since,
            offset,
            entries,
        }))
    }

    /// All that the store should have, by key, as of an offset.
    pub fn everything(&self) -> Result<(u64, Vec<Entry>)> {
        let state = self.state();
        let mut entries = Vec::new();
        for (uid, owner) in state.owners.iter().filter(|(_, owner)| !owner.is_empty()) {
            entries.push((uid.0.to_vec(), encode_owner(owner)?));
            for (key, group) in &owner.groups {
                entries.push(([&uid.0, key.as_slice()].concat(), encode_group(group)?));
            }
        }
        Ok((state.applied, entries))
    }

    /// The store has every change below `offset`.
    pub fn stored(&self, offset: u64) {
        let mut state = self.state();
        state.stored = state.stored.max(offset);
        let stored = state.stored;
        for owner in state.owners.values_mut() {
            owner.gone.retain(|(_, offset)| *offset >= stored);
        }
        state
            .owners
            .retain(|_, owner| !owner.is_empty() || owner.changed >= stored || !owner.gone.is_empty());
    }

    /// A book as it was stored as of `offset`: what lies below is not applied again. Corrupt, or Unsupported where a later build wrote
    /// it.
    pub fn restore(partition: u16, splitter: Arc<Splitter>, offset: u64, entries: &[Entry]) -> Result<Self> {
        let book = Self::new(partition, splitter);
        {
            let mut state = book.state();
            state.applied = offset;
            state.restored = offset;
            state.stored = offset;
            for (key, value) in entries {
                let Some((uid, key)) = key.split_first_chunk::<UID_BYTES>() else {
                    return Err(Error::Corrupt(
                        "the key of a stored group is too short".to_owned(),
                    ));
                };
                let plain = opened(value)?;
                let owner = state
                    .owners
                    .entry(Uid(*uid))
                    .or_insert_with(|| Owner::new(&book.splitter, Uid(*uid)));
                let read = if key.is_empty() {
                    decode_owner(&plain, owner)
                } else {
                    decode_group(&plain, owner).map(|group| {
                        owner.groups.insert(key.to_vec(), group);
                    })
                };
                read.map_err(|error| Error::Corrupt(format!("a stored group cannot be read: {error}")))?;
            }
        }
        Ok(book)
    }
}

fn sealed(plain: &[u8]) -> Result<Vec<u8>> {
    let mut out = vec![FORMAT];
    out.extend(zstd::bulk::compress(plain, LEVEL).map_err(|e| Error::io("zstd compression", e))?);
    Ok(out)
}

fn opened(value: &[u8]) -> Result<Vec<u8>> {
    match value {
        [FORMAT, packed @ ..] => decompressed(packed).map_err(|e| Error::Corrupt(e.to_string())),
        [format, ..] => Err(Error::Unsupported(format!(
            "a stored group has format {format}, this build reads {FORMAT}: start the release that wrote it"
        ))),
        [] => Err(Error::Corrupt("a stored group is empty".to_owned())),
    }
}

fn put_number(out: &mut Vec<u8>, tag: u8, number: u64) {
    out.push(tag);
    put_varint(out, number);
}

fn encode_group(group: &Group) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    // The labels as an operation has them.
    put_bytes(
        &mut out,
        0x0a,
        &Operation::new(Kind::Delete, &group.labels, 0).encode()?,
    );
    for (tag, number) in [
        (0x10, group.pushed as u64),
        (0x18, group.failed as u64),
        (0x28, group.interval as u64),
        (0x30, group.changed),
        (0x38, group.since as u64),
    ] {
        put_number(&mut out, tag, number);
    }
    for (tag, time) in [(0x20, group.expires), (0x40, group.late)] {
        if let Some(time) = time {
            put_number(&mut out, tag, time as u64);
        }
    }
    for held in group.families.values() {
        let mut family = Vec::with_capacity(held.bytes.len() + 16);
        put_number(&mut family, 0x08, held.pushed as u64);
        put_bytes(&mut family, 0x12, &held.bytes);
        put_bytes(&mut out, 0x4a, &family);
    }
    sealed(&out)
}

fn decode_group(plain: &[u8], owner: &Owner) -> Result<Group> {
    let hash = |labels: &[u8]| owner.keys.hash(labels);
    let mut group = Group::new(Vec::new());
    let mut reader = Reader::new(plain);
    while !reader.is_empty() {
        match reader.tag()? {
            (1, BYTES) => group.labels = Operation::decode(reader.bytes()?)?.group,
            (9, BYTES) => {
                let (pushed, bytes) = decode_held(reader.bytes()?)?;
                for family in protobuf::read(bytes)? {
                    let held = Held::of(&family, pushed, &hash);
                    group.families.insert(family.name, held);
                }
            }
            (field @ 2..=8, VARINT) => {
                let number = reader.varint()?;
                match field {
                    2 => group.pushed = number as Millis,
                    3 => group.failed = number as Millis,
                    4 => group.expires = Some(number as Millis),
                    5 => group.interval = number as Millis,
                    6 => group.changed = number,
                    7 => group.since = number as Millis,
                    _ => group.late = Some(number as Millis),
                }
            }
            (_, wire) => reader.skip(wire)?,
        }
    }
    group.restamp(&hash);
    Ok(group)
}

/// When it was pushed, and the family's message.
fn decode_held(bytes: &[u8]) -> Result<(Millis, &[u8])> {
    let mut reader = Reader::new(bytes);
    let (mut pushed, mut family) = (0, &[][..]);
    while !reader.is_empty() {
        match reader.tag()? {
            (1, VARINT) => pushed = reader.varint()? as Millis,
            (2, BYTES) => family = reader.bytes()?,
            (_, wire) => reader.skip(wire)?,
        }
    }
    Ok((pushed, family))
}

fn encode_owner(owner: &Owner) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    put_number(&mut out, 0x08, owner.emitted as u64);
    put_number(&mut out, 0x10, owner.changed);
    for vanished in &owner.vanished {
        let mut entry = Vec::with_capacity(vanished.labels.len() + 24);
        put_number(&mut entry, 0x08, vanished.offset);
        put_number(&mut entry, 0x10, vanished.time as u64);
        put_bytes(&mut entry, 0x1a, &vanished.labels);
        put_bytes(&mut out, 0x1a, &entry);
    }
    sealed(&out)
}

fn decode_owner(plain: &[u8], owner: &mut Owner) -> Result<()> {
    let mut reader = Reader::new(plain);
    while !reader.is_empty() {
        match reader.tag()? {
            (1, VARINT) => owner.emitted = reader.varint()? as Millis,
            (2, VARINT) => owner.changed = reader.varint()?,
            (3, BYTES) => owner.vanished.push(decode_vanished(reader.bytes()?)?),
            (_, wire) => reader.skip(wire)?,
        }
    }
    Ok(())
}

fn decode_vanished(bytes: &[u8]) -> Result<Vanished> {
    let mut reader = Reader::new(bytes);
    let mut vanished = Vanished {
        offset: 0,
        time: 0,
        labels: Box::default(),
    };
    while !reader.is_empty() {
        match reader.tag()? {
            (1, VARINT) => vanished.offset = reader.varint()?,
            (2, VARINT) => vanished.time = reader.varint()? as Millis,
            (3, BYTES) => vanished.labels = reader.bytes()?.into(),
            (_, wire) => reader.skip(wire)?,
        }
    }
    Ok(vanished)
}
