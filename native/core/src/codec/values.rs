//! One run of values: at most [`super::RUN`] float64, bit-exact.

use super::bytes::Input;
use crate::{Error, Result};

/// Encodes runs. Holds scratch memory.
#[derive(Debug, Default)]
pub struct RunEncoder {}

impl RunEncoder {
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends one run.
    pub fn encode(&mut self, values: &[f64], out: &mut Vec<u8>) {
        values.iter().for_each(|v| out.extend_from_slice(&v.to_bits().to_le_bytes()));
    }
}

/// Decodes runs. Holds scratch memory.
#[derive(Debug, Default)]
pub struct RunDecoder {}

impl RunDecoder {
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends the `len` values of a run.
    pub fn decode(&mut self, run: &[u8], len: usize, out: &mut Vec<f64>) -> Result<()> {
        let mut input = Input::new(run);
        if run.len() != len * 8 {
            return Err(Error::Corrupt(format!("{} bytes for {len} values", run.len())));
        }
        for _ in 0..len {
            out.push(f64::from_bits(input.u64()?));
        }
        Ok(())
    }
}
