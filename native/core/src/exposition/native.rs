//! Native histograms of `io.prometheus.client.Histogram`, turned into those of remote write.

use super::number::PLAIN_NAN;
use crate::Result;
use crate::model::{Histogram, Millis};
use crate::wire::SentHistogram;
use crate::wire::encode::put_varint;
use crate::wire::proto::{BYTES, FIXED64, Reader, VARINT};

/// Fields of a client's message.
const COUNT: u32 = 1;
const SUM: u32 = 2;
const COUNT_FLOAT: u32 = 4;
const ZERO_THRESHOLD: u32 = 6;
const ZERO_COUNT: u32 = 7;
const ZERO_COUNT_FLOAT: u32 = 8;
const NEGATIVE_SPAN: u32 = 9;
const POSITIVE_SPAN: u32 = 12;
const LAST: u32 = 14;

/// A native histogram as a client pushed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Native {
    fields: Vec<u8>,
    message: Vec<u8>,
    is_float: bool,
}

impl Native {
    /// That of a client's `Histogram` message; `None` if it is a classic one only. It is native, as scrapers see it, with spans, a zero
    /// threshold or a zero count. BadData for damage.
    pub fn of(message: &[u8], is_gauge: bool) -> Result<Option<Self>> {
        let (mut is_native, mut is_float) = (false, false);
        let mut fields = Vec::new();
        each_field(message, |field, wire, payload| {
            match (field, wire) {
                (NEGATIVE_SPAN | POSITIVE_SPAN, BYTES) => is_native = true,
                (ZERO_THRESHOLD, FIXED64) => is_native |= double(payload) > 0.0,
                (ZERO_COUNT, VARINT) => is_native |= payload.iter().any(|byte| byte & 0x7f != 0),
                (COUNT_FLOAT | ZERO_COUNT_FLOAT, FIXED64) => is_float |= double(payload) > 0.0,
                _ => {}
            }
            if is_kept(field) {
                fields.push((field as u8) << 3 | wire);
                fields.extend_from_slice(payload);
            }
        })?;
        if !is_native {
            return Ok(None);
        }
        let message = remote_write(&fields, is_float, is_gauge)?;
        SentHistogram::decode(&message, 0..message.len())?;
        Ok(Some(Self {
            fields,
            message,
            is_float,
        }))
    }

    /// The fields of a client's message that make it, count and sum among them.
    pub fn fields(&self) -> &[u8] {
        &self.fields
    }

    /// As a `Histogram` message of remote write without a time, which [`put_time`] adds.
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// Whether it counts in fractions.
    pub fn is_float(&self) -> bool {
        self.is_float
    }

    /// What it says; `None` if it breaks a rule of histograms, for which it is not stored.
    pub fn histogram(&self) -> Option<Histogram> {
        let sent = SentHistogram::decode(&self.message, 0..self.message.len()).ok()?;
        sent.histogram().ok()
    }
}

/// Ends a message that has no time yet.
pub fn put_time(message: &mut Vec<u8>, time: Millis) {
    message.push(0x78);
    put_varint(message, time as u64);
}

fn is_kept(field: u32) -> bool {
    matches!(field, COUNT | SUM) || (COUNT_FLOAT..=LAST).contains(&field)
}

/// Integer and float histograms have fields of their own for what they count. Buckets and spans have the numbers of remote write, less
/// one.
fn remote_write(fields: &[u8], is_float: bool, is_gauge: bool) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(fields.len() + 16);
    each_field(fields, |field, wire, payload| {
        let number = match field {
            COUNT if !is_float => 1,
            COUNT_FLOAT if is_float => 2,
            SUM => 3,
            ZERO_COUNT if is_float => return,
            ZERO_COUNT_FLOAT if !is_float => return,
            COUNT | COUNT_FLOAT => return,
            _ => field - 1,
        };
        out.push((number as u8) << 3 | wire);
        if field == SUM && wire == FIXED64 && double(payload).is_nan() {
            // No NaN of a push is a stale marker.
            out.extend_from_slice(&PLAIN_NAN.to_le_bytes());
        } else {
            out.extend_from_slice(payload);
        }
    })?;
    if is_gauge {
        out.extend_from_slice(&[0x70, 3]);
    }
    Ok(out)
}

/// Calls `take` with number, wire type and what follows the tag of each field.
fn each_field(message: &[u8], mut take: impl FnMut(u32, u8, &[u8])) -> Result<()> {
    let mut reader = Reader::new(message);
    while !reader.is_empty() {
        let (field, wire) = reader.tag()?;
        let start = reader.position();
        reader.skip(wire)?;
        take(field, wire, &message[start..reader.position()]);
    }
    Ok(())
}

fn double(payload: &[u8]) -> f64 {
    payload
        .first_chunk()
        .map_or(0.0, |bytes| f64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::encode::put_bytes;

    /// Observations: 2 in the zero bucket, 1 in (1, 2], 3 in (2, 4].
    fn integers() -> Vec<u8> {
        let mut message = vec![0x08, 6, 0x11];
        message.extend_from_slice(&9.5_f64.to_le_bytes());
        message.extend_from_slice(&[0x28, 0, 0x31]);
        message.extend_from_slice(&0.001_f64.to_le_bytes());
        message.extend_from_slice(&[0x38, 2]);
        put_bytes(&mut message, 0x62, &[0x08, 2, 0x10, 2]);
        // Not packed, as clients write them: 1, then 2 more.
        message.extend_from_slice(&[0x68, 2, 0x68, 4]);
        message
    }

    fn floats() -> Vec<u8> {
        let mut message = vec![0x21];
        message.extend_from_slice(&6.5_f64.to_le_bytes());
        message.extend_from_slice(&[0x11]);
        message.extend_from_slice(&f64::from_bits(crate::model::STALE_BITS).to_le_bytes());
        put_bytes(&mut message, 0x4a, &[0x08, 0, 0x10, 1]);
        message.extend_from_slice(&[0x59]);
        message.extend_from_slice(&6.5_f64.to_le_bytes());
        message
    }

    fn buckets(native: &Native) -> Vec<(f64, f64, f64)> {
        let histogram = native.histogram().unwrap();
        let all = histogram.all_buckets();
        all.map(|bucket| (bucket.lower, bucket.upper, bucket.count))
            .collect()
    }

    #[test]
    fn integers_and_floats_become_those_of_remote_write() {
        let native = Native::of(&integers(), false).unwrap().unwrap();
        assert_eq!(
            buckets(&native),
            [(-0.001, 0.001, 2.0), (1.0, 2.0, 1.0), (2.0, 4.0, 3.0)]
        );
        let histogram = native.histogram().unwrap();
        assert_eq!((histogram.count, histogram.sum), (6.0, 9.5));
        let native = Native::of(&floats(), true).unwrap().unwrap();
        assert_eq!(buckets(&native), [(-1.0, -0.5, 6.5)]);
        let histogram = native.histogram().unwrap();
        assert_eq!(histogram.hint, crate::model::ResetHint::Gauge);
        assert_eq!(
            histogram.sum.to_bits(),
            PLAIN_NAN,
            "no stale marker comes from a push"
        );
    }

    #[test]
    fn what_is_kept_says_the_same_again() {
        for message in [integers(), floats()] {
            let native = Native::of(&message, false).unwrap().unwrap();
            assert_eq!(Native::of(native.fields(), false).unwrap(), Some(native));
        }
    }

    #[test]
    fn one_without_spans_and_zero_bucket_is_classic() {
        assert_eq!(Native::of(&[0x08, 6], false).unwrap(), None);
        assert_eq!(Native::of(&[0x38, 0], false).unwrap(), None);
        // An empty one says what it is by a span of nothing.
        let empty = Native::of(&[0x62, 0], false).unwrap().unwrap();
        assert_eq!(empty.histogram().unwrap().count, 0.0);
        assert!(Native::of(&[0x62, 9], false).is_err());
        assert!(
            Native::of(&[0x62, 0, 0x2a, 0], false).is_err(),
            "a schema in bytes"
        );
    }
}
