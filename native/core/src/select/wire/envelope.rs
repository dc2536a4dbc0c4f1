//! Magic, version, checksum and sections.

use std::ops::Range;

use crate::codec::bytes::{Input, put_varint};
use crate::{Error, Result};

const MAGIC: [u8; 3] = *b"HRP";
const VERSION: u8 = 1;

/// Magic, version and checksum; what follows is checked by it.
const HEAD_BYTES: usize = 8;

/// What a part holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Samples = 0,
    Names = 1,
    Folded = 2,
    /// Samples of which some are native histograms, in a section more.
    Histograms = 3,
    /// As of `Histograms`, even if there are none, with start timestamps in a section more.
    Starts = 4,
}

/// Whether the part says that it is of this kind; [`open`] checks whether it is.
pub fn is_kind(kind: Kind, bytes: &[u8]) -> bool {
    bytes.get(HEAD_BYTES) == Some(&(kind as u8))
}

/// Sections under one checksum.
pub fn seal<const N: usize>(kind: Kind, sections: [&[u8]; N]) -> Vec<u8> {
    let bodies: usize = sections.iter().map(|section| section.len()).sum();
    let mut out = Vec::with_capacity(HEAD_BYTES + 1 + N * 5 + bodies);
    out.extend(MAGIC);
    out.push(VERSION);
    out.extend([0; 4]);
    out.push(kind as u8);
    for section in sections {
        put_varint(&mut out, section.len() as u64);
    }
    for section in sections {
        out.extend_from_slice(section);
    }
    let checksum = crc32c::crc32c(&out[HEAD_BYTES..]);
    out[4..HEAD_BYTES].copy_from_slice(&checksum.to_le_bytes());
    out
}

/// Where the sections lie.
pub fn open<const N: usize>(kind: Kind, bytes: &[u8]) -> Result<[Range<usize>; N]> {
    let mut input = Input::new(bytes);
    if input.array::<3>()? != MAGIC {
        return Err(Error::Corrupt("no head part: its first bytes are others".into()));
    }
    let version = input.u8()?;
    if version != VERSION {
        return Err(Error::Unsupported(format!(
            "a head part of version {version}, this build reads version {VERSION}: run releases that are neighbours"
        )));
    }
    if input.u32()? != crc32c::crc32c(input.rest()) {
        return Err(Error::Corrupt("a head part does not match its checksum".into()));
    }
    if input.u8()? != kind as u8 {
        return Err(Error::Corrupt(format!("a head part is not of kind {kind:?}")));
    }
    let mut lengths = [0; N];
    for length in &mut lengths {
        *length = input.bounded(bytes.len(), "the length of a section")?;
    }
    let mut at = input.position();
    let ranges = lengths.map(|length| {
        let start = at;
        at = at.saturating_add(length);
        start..at
    });
    if at == bytes.len() {
        return Ok(ranges);
    }
    Err(Error::Corrupt(format!(
        "the sections of a head part end at byte {at} of {}",
        bytes.len()
    )))
}
