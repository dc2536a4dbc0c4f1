//! Headers of framed files: log segments and journals. `docs/formats.md` draws them byte by byte; all numbers are little-endian.

use std::hash::{BuildHasher, RandomState};
use std::path::Path;

use crate::model::Millis;
use crate::{Error, Result};

/// Bytes of a file's header.
pub const HEADER_BYTES: usize = 40;

/// Bytes of a frame in front of its payload.
pub const FRAME_BYTES: usize = 40;

/// What tells one kind of framed file from another.
#[derive(Debug, Clone, Copy)]
pub struct Format {
    pub magic: [u8; 4],
    /// The newest version this build reads, and the one it writes.
    pub version: u8,
    /// How messages call it.
    pub name: &'static str,
    /// What a person does about a damaged file.
    pub advice: &'static str,
}

impl Format {
    pub(super) fn corrupt(&self, path: &Path, what: &str) -> Error {
        Error::Corrupt(format!(
            "{} {}: {what}; {}",
            self.name,
            path.display(),
            self.advice
        ))
    }
}

/// A random number per file, mixed into the checksum of every frame header: neither old blocks of the disk nor bytes
/// that a sender made up can pass for a frame of this file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Salt {
    number: u64,
    checksum: u32,
}

impl Salt {
    pub fn random() -> Self {
        Self::from_number(RandomState::new().hash_one(0))
    }

    fn from_number(number: u64) -> Self {
        Self {
            number,
            checksum: crc32c::crc32c(&number.to_le_bytes()),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// The number of the first frame.
    pub first: u64,
    pub salt: Salt,
    /// Bytes of the file that were durable before it got its name: damage below is never a torn tail.
    pub settled: u64,
}

impl Header {
    pub fn encode(&self, format: &Format) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&format.magic);
        bytes[4] = format.version;
        bytes[8..16].copy_from_slice(&self.first.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.salt.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.settled.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[..36]);
        bytes[36..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub fn parse(bytes: &[u8], format: &Format, path: &Path) -> Result<Self> {
        let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(format.corrupt(
                path,
                &format!("the header ends after {} of {HEADER_BYTES} bytes", bytes.len()),
            ));
        };
        if bytes[..4] != format.magic {
            return Err(format.corrupt(path, "the magic number is wrong"));
        }
        if bytes[4] > format.version {
            return Err(Error::Unsupported(format!(
                "{} {} has format version {}, and this build reads versions up to {}; run the build that wrote it, or a newer one",
                format.name,
                path.display(),
                bytes[4],
                format.version
            )));
        }
        if crc32c::crc32c(&bytes[..36]) != u32_at(bytes, 36) || bytes[4] == 0 {
            return Err(format.corrupt(path, "the header does not match its checksum"));
        }
        Ok(Self {
            first: u64_at(bytes, 8),
            salt: Salt::from_number(u64_at(bytes, 16)),
            settled: u64_at(bytes, 24),
        })
    }
}

/// What stands in front of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    pub payload_checksum: u32,
    pub payload_bytes: u32,
    pub kind: u8,
    /// A small number whose meaning depends on the kind.
    pub tag: u16,
    /// Rises by one from frame to frame.
    pub number: u64,
    /// The number of the first frame that was written and synced together with this one. A commit starts only after the one before it
    /// was synced; that is how a torn tail is told from damage.
    pub commit: u64,
    pub time: Millis,
}

impl Frame {
    /// Reads a header; `None` if it does not match its checksum.
    pub fn parse(bytes: &[u8; FRAME_BYTES], salt: Salt) -> Option<Self> {
        if crc32c::crc32c_append(salt.checksum, &bytes[4..]) != u32_at(bytes, 0) {
            return None;
        }
        Some(Self {
            payload_checksum: u32_at(bytes, 4),
            payload_bytes: u32_at(bytes, 8),
            kind: bytes[12],
            tag: u16::from_le_bytes([bytes[14], bytes[15]]),
            number: u64_at(bytes, 16),
            commit: u64_at(bytes, 24),
            time: u64_at(bytes, 32) as i64,
        })
    }

    /// Reads `number` and `commit` of bytes that may or may not be a header.
    pub(super) fn claims(bytes: &[u8; FRAME_BYTES]) -> (u64, u64) {
        (u64_at(bytes, 16), u64_at(bytes, 24))
    }
}

/// Starts a frame at the end of `buffer` and returns where. The payload follows, then [`end_frame`].
pub fn begin_frame(buffer: &mut Vec<u8>, kind: u8, tag: u16, number: u64, time: Millis) -> usize {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; 12]);
    buffer.extend_from_slice(&[kind, 0]);
    buffer.extend_from_slice(&tag.to_le_bytes());
    buffer.extend_from_slice(&number.to_le_bytes());
    buffer.extend_from_slice(&[0; 8]);
    buffer.extend_from_slice(&time.to_le_bytes());
    start
}

/// Writes the length of the payload that follows the header at `start`. Payloads are below 4 GiB.
pub fn end_frame(buffer: &mut [u8], start: usize) {
    let payload = buffer.len() - start - FRAME_BYTES;
    debug_assert!(u32::try_from(payload).is_ok(), "the caller bounds payloads");
    buffer[start + 8..start + 12].copy_from_slice(&(payload as u32).to_le_bytes());
}

/// Fills in checksums and the commit of every frame in `buffer`, which holds whole frames only.
pub fn finish_frames(buffer: &mut [u8], salt: Salt, commit: u64) {
    let mut rest = buffer;
    while let Some((header, tail)) = rest.split_first_chunk_mut::<FRAME_BYTES>() {
        let (payload, next) = tail.split_at_mut(u32_at(header, 8) as usize);
        header[4..8].copy_from_slice(&crc32c::crc32c(payload).to_le_bytes());
        header[24..32].copy_from_slice(&commit.to_le_bytes());
        let checksum = crc32c::crc32c_append(salt.checksum, &header[4..]);
        header[..4].copy_from_slice(&checksum.to_le_bytes());
        rest = next;
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}
