//! One column of irregular timestamps: strictly ascending milliseconds. (Regular ones need no bytes: see the block's directory.)

use super::bytes::{Input, put_signed};
use crate::model::Millis;
use crate::{Error, Result};

/// Appends the column after its first timestamp.
pub fn encode(times: &[Millis], out: &mut Vec<u8>) {
    let mut last_step = 0i64;
    for pair in times.windows(2) {
        let step = pair[1].wrapping_sub(pair[0]);
        put_signed(out, step.wrapping_sub(last_step));
        last_step = step;
    }
}

/// Appends the `len` timestamps of a column to `out`.
pub fn decode(bytes: &[u8], first: Millis, len: usize, out: &mut Vec<Millis>) -> Result<()> {
    let mut input = Input::new(bytes);
    if len == 0 || len - 1 > bytes.len() {
        return Err(Error::Corrupt(format!("{} bytes cannot hold a column of {len} timestamps", bytes.len())));
    }
    let (mut time, mut step) = (first, 0i64);
    out.push(time);
    for row in 1..len {
        step = step.wrapping_add(input.signed()?);
        time = match time.checked_add(step) {
            Some(next) if step > 0 => next,
            _ => return Err(Error::Corrupt(format!("timestamp {row} of {len} does not ascend"))),
        };
        out.push(time);
    }
    input.end("timestamp column")
}
