//! General compression of byte strings: `[codec u8][raw length varint][stored bytes]`, zstd where it saves enough.

use std::cell::Cell;

use zstd::bulk::{Compressor, Decompressor};

use super::bytes::{Input, put_varint};
use crate::{Error, Result};

const STORED: u8 = 0;
const ZSTD: u8 = 1;

/// zstd's densest form: a 4-byte block that stands for 128 KiB of one byte. A larger claim is a lie.
const BEST_RATIO: usize = 40_000;

/// Compresses byte strings at one level.
pub struct Squeezer {
    zstd: Compressor<'static>,
}

impl std::fmt::Debug for Squeezer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Squeezer").finish_non_exhaustive()
    }
}

impl Squeezer {
    pub fn new(level: i32) -> Result<Self> {
        let zstd = Compressor::new(level).map_err(|e| Error::io("zstd compressor", e))?;
        Ok(Self { zstd })
    }

    /// Appends `raw`, compressed if that saves at least `1/min_gain` of it.
    pub fn put(&mut self, out: &mut Vec<u8>, raw: &[u8], min_gain: usize) -> Result<()> {
        let packed = self
            .zstd
            .compress(raw)
            .map_err(|e| Error::io("zstd compression", e))?;
        if packed.len() + raw.len() / min_gain < raw.len() {
            out.push(ZSTD);
            put_varint(out, raw.len() as u64);
            out.extend_from_slice(&packed);
        } else {
            out.push(STORED);
            put_varint(out, raw.len() as u64);
            out.extend_from_slice(raw);
        }
        Ok(())
    }
}

thread_local! {
    /// A decompressor that nobody uses now: making one (it is 95 KB) takes longer than decompressing a page with it.
    static SPARE: Cell<Option<Decompressor<'static>>> = const { Cell::new(None) };
}

/// Decompresses what a [`Squeezer`] wrote.
#[derive(Default)]
pub struct Unsqueezer {
    /// Taken with the first bytes.
    zstd: Option<Decompressor<'static>>,
}

impl Drop for Unsqueezer {
    fn drop(&mut self) {
        if let Some(zstd) = self.zstd.take() {
            // A thread that ends may have lost its spare place already.
            let _ = SPARE.try_with(|spare| spare.set(Some(zstd)));
        }
    }
}

impl std::fmt::Debug for Unsqueezer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unsqueezer").finish_non_exhaustive()
    }
}

impl Unsqueezer {
    /// Replaces `out` by the raw bytes; at most `limit` of them.
    pub fn take(&mut self, stored: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<()> {
        let mut input = Input::new(stored);
        let codec = input.u8()?;
        let raw_len = input.bounded(limit, "raw length")?;
        let stored = input.rest();
        out.clear();
        match codec {
            STORED if stored.len() == raw_len => out.extend_from_slice(stored),
            ZSTD if raw_len / BEST_RATIO <= stored.len() => {
                out.reserve_exact(raw_len);
                let zstd = match &mut self.zstd {
                    Some(zstd) => zstd,
                    slot => slot.insert(decompressor()?),
                };
                let len = zstd.decompress_to_buffer(stored, out).map_err(|e| {
                    Error::Corrupt(format!(
                        "{} zstd bytes that claim to hold {raw_len}: {e}",
                        stored.len()
                    ))
                })?;
                if len != raw_len {
                    return Err(Error::Corrupt(format!(
                        "zstd gave {len} bytes where {raw_len} were announced"
                    )));
                }
            }
            _ => {
                return Err(Error::Corrupt(format!(
                    "{} bytes stored by method {codec} cannot hold the {raw_len} announced",
                    stored.len()
                )));
            }
        }
        Ok(())
    }
}

/// The thread's spare one, or a new one.
fn decompressor() -> Result<Decompressor<'static>> {
    if let Ok(Some(spare)) = SPARE.try_with(Cell::take) {
        return Ok(spare);
    }
    Decompressor::new().map_err(|e| Error::io("zstd decompressor", e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn bytes_come_back(raw: Vec<u8>, repeat in 1usize..200) {
            let raw = raw.repeat(repeat);
            let mut packed = Vec::new();
            Squeezer::new(3).unwrap().put(&mut packed, &raw, 16).unwrap();
            let mut out = Vec::new();
            Unsqueezer::default().take(&packed, raw.len(), &mut out).unwrap();
            prop_assert_eq!(&out, &raw);
            if !raw.is_empty() {
                prop_assert!(Unsqueezer::default().take(&packed, raw.len() - 1, &mut out).is_err());
            }
        }

        #[test]
        fn any_bytes_are_safe(codec in 0u8..3, claim: u32, bytes: Vec<u8>) {
            let mut stored = vec![codec];
            put_varint(&mut stored, u64::from(claim));
            stored.extend(bytes);
            let mut out = Vec::new();
            if Unsqueezer::default().take(&stored, usize::MAX, &mut out).is_err() {
                prop_assert!(out.capacity() <= stored.len() * BEST_RATIO + BEST_RATIO);
            }
        }
    }
}
