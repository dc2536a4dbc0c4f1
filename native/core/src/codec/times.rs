//! A column of irregular timestamps: strictly ascending milliseconds, in runs of [`RUN`]. (Regular ones need no bytes: see the block's directory.)
//!
//! Each run is `[length][integers]`, coded by [`super::ints`] relative to the column's first timestamp, so that a reader takes only the
//! runs it needs.

use super::RUN;
use super::bytes::{Input, put_varint};
use super::ints::{self, IntEncoder};
use crate::model::Millis;
use crate::{Error, Result};

/// Appends a column.
pub fn encode(times: &[Millis], out: &mut Vec<u8>) {
    let mut encoder = IntEncoder::default();
    let (mut run, mut relative) = (Vec::new(), Vec::new());
    for part in times.chunks(RUN) {
        relative.clear();
        relative.extend(part.iter().map(|time| time.wrapping_sub(times[0])));
        run.clear();
        encoder.encode(&relative, None, &mut run);
        put_varint(out, run.len() as u64);
        out.extend_from_slice(&run);
    }
}

/// Appends the timestamps of a column of `len` that lie in `min..=max`, decoding only the runs that can hold some; returns how many
/// precede them.
pub fn decode(
    bytes: &[u8],
    first: Millis,
    len: usize,
    (min, max): (Millis, Millis),
    out: &mut Vec<Millis>,
) -> Result<usize> {
    let mut input = Input::new(bytes);
    let mut ahead = take_run(&mut input)?;
    let mut skipped = 0;
    let mut last = None;
    for start in (0..len).step_by(RUN) {
        let run = ahead;
        let end = len.min(start + RUN);
        if end < len {
            ahead = take_run(&mut input)?;
            if first.wrapping_add(ints::first(ahead)?) <= min {
                skipped = end;
                continue;
            }
        }
        let mut times = [0i64; RUN];
        let times = &mut times[..end - start];
        let mut run = Input::new(run);
        ints::decode(&mut run, None, times)?;
        run.end("run of timestamps")?;
        for (row, time) in (start..).zip(times) {
            let time = first.wrapping_add(*time);
            if last.replace(time).is_some_and(|before| before >= time) {
                return Err(Error::Corrupt(format!(
                    "timestamp {row} of {len} does not ascend"
                )));
            }
            if time > max {
                return Ok(skipped);
            }
            if time < min {
                skipped = row + 1;
            } else {
                out.push(time);
            }
        }
    }
    Ok(skipped)
}

fn take_run<'a>(input: &mut Input<'a>) -> Result<&'a [u8]> {
    let stored = input.bounded(input.remaining(), "length of a run of timestamps")?;
    input.take(stored)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn times_come_back(start: i32, steps in prop::collection::vec(1i64..1000, 0..600), from in 0i64..600_000, width in 0i64..600_000) {
            let mut time = i64::from(start);
            let mut times = vec![time];
            times.extend(steps.iter().map(|step| { time += step; time }));
            let mut bytes = Vec::new();
            encode(&times, &mut bytes);
            let (min, max) = (times[0] + from - 1000, times[0] + from - 1000 + width);
            let mut out = Vec::new();
            let skipped = decode(&bytes, times[0], times.len(), (min, max), &mut out).unwrap();
            let wanted = times.partition_point(|&t| t < min)..times.partition_point(|&t| t <= max);
            prop_assert_eq!(&out[..], &times[wanted.clone()]);
            prop_assert!(out.is_empty() || skipped == wanted.start);
        }

        #[test]
        fn any_bytes_are_safe(bytes: Vec<u8>, first: i64, len in 1usize..100_000) {
            let mut out = Vec::new();
            let done = decode(&bytes, first, len, (0, Millis::MAX), &mut out);
            prop_assert!(done.is_err() || out.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }

    #[test]
    fn jitter_of_a_few_milliseconds_takes_half_a_byte() {
        let times: Vec<i64> = (0..240i64)
            .map(|i| 1_763_884_800_123 + i * 15_000 + (i * i * 7 % 11) % 7)
            .collect();
        let mut bytes = Vec::new();
        encode(&times, &mut bytes);
        assert!(bytes.len() < 140, "{}", bytes.len());
    }
}
