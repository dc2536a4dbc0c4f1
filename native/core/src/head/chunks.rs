//! The encoded values of a lane as one sequence of chunks, as queries copy them: runs, and behind them blocks.
//!
//! ```text
//! chunk   a block (values), whose kinds are below 5, or: 0x50  length (2)  a run of RUN values (codec::values)
//! ```

use super::runs::RUN;
use super::values::{self, BLOCK};
use crate::codec;

const RUN_CHUNK: u8 = 5 << 4;

/// Appends a run.
pub fn put_run(run: &[u8], out: &mut Vec<u8>) {
    out.push(RUN_CHUNK);
    out.extend_from_slice(&(run.len() as u16).to_le_bytes());
    out.extend_from_slice(run);
}

fn run_of(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.strip_prefix(&[RUN_CHUNK])?.split_first_chunk::<2>()?;
    rest.get(..usize::from(u16::from_le_bytes(*length)))
}

/// Bytes and values of the chunk at the start of `bytes`; `None` if there is none.
pub fn extent(bytes: &[u8]) -> Option<(usize, usize)> {
    match run_of(bytes) {
        Some(run) => Some((3 + run.len(), RUN)),
        None => Some((values::skip(bytes)?, BLOCK)),
    }
}

/// The chunks at the start of `bytes` that hold the first `values` values, or all if there are fewer.
pub fn first_of(bytes: &[u8], values: usize) -> &[u8] {
    let (mut at, mut held) = (0, 0);
    while held < values
        && let Some((length, more)) = extent(&bytes[at..])
    {
        (at, held) = (at + length, held + more);
    }
    &bytes[..at]
}

/// Decodes chunks. Holds scratch memory.
#[derive(Debug, Default)]
pub struct Decoder {
    numbers: Vec<i64>,
    values: Vec<f64>,
}

impl Decoder {
    /// The values of the chunk at the start of `bytes`, and its length; `None` if there is none.
    pub fn chunk(&mut self, bytes: &[u8]) -> Option<(&[f64], usize)> {
        self.values.clear();
        if let Some(run) = run_of(bytes) {
            return Some((self.run(run)?, 3 + run.len()));
        }
        let mut block = [0.0; BLOCK];
        let length = values::decode(bytes, &mut block)?;
        self.values.extend_from_slice(&block);
        Some((&self.values, length))
    }

    /// The values of a run; `None` if it is none.
    pub fn run(&mut self, run: &[u8]) -> Option<&[f64]> {
        self.values.clear();
        codec::values::decode(run, RUN, None, &mut self.numbers, &mut self.values).ok()?;
        Some(&self.values)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::values::{RunEncoder, RunInts};

    #[test]
    fn a_sequence_of_runs_and_blocks_comes_back() {
        let all: Vec<f64> = (0..2 * RUN + BLOCK)
            .map(|i| (i * 7 % 16) as f64 / 100.0)
            .collect();
        let mut bytes = Vec::new();
        let mut encoder = RunEncoder::default();
        for run in all[..2 * RUN].chunks(RUN) {
            let mut encoded = Vec::new();
            encoder.encode(run, &mut RunInts::default(), false, &mut encoded);
            put_run(&encoded, &mut bytes);
        }
        values::encode(all[2 * RUN..].first_chunk().unwrap(), &mut 0, &mut bytes);
        let (mut decoder, mut at, mut back) = (Decoder::default(), 0, Vec::new());
        while let Some((values, length)) = decoder.chunk(&bytes[at..]) {
            assert_eq!(extent(&bytes[at..]), Some((length, values.len())));
            back.extend_from_slice(values);
            at += length;
        }
        assert_eq!((back, at), (all, bytes.len()));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), run: bool) {
            let bytes = if run { [&[RUN_CHUNK, 100, 0], bytes.as_slice()].concat() } else { bytes };
            let mut decoder = Decoder::default();
            let decoded = decoder.chunk(&bytes).map(|(values, length)| (length, values.len()));
            if let (Some(decoded), Some(extent)) = (decoded, extent(&bytes)) {
                prop_assert_eq!(decoded, extent);
            }
        }
    }
}
