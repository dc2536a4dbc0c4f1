//! Remote-write 1.0 messages written: what is left of a request of which something was refused, and requests that came
//! in another form.

use crate::model::Millis;

/// The largest varint is this long.
const MAX_VARINT: usize = 10;

/// The longest `Sample` field: tag and length, tag and value, tag and timestamp.
pub const MAX_SAMPLE: usize = 2 + 9 + 1 + MAX_VARINT;

pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A length-delimited field.
pub fn put_bytes(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// One `Label` field of a `TimeSeries`.
pub fn put_label(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let len = 2 + varint_len(name.len() as u64) + name.len() + varint_len(value.len() as u64) + value.len();
    out.push(0x0a);
    put_varint(out, len as u64);
    put_bytes(out, 0x0a, name);
    put_bytes(out, 0x12, value);
}

/// One `TimeSeries` field of a `WriteRequest`; `labels` are its `Label` fields, `times` and `values` equally long.
///
/// As proto3 has it, zeros are left out, so that nothing written again is larger than it came.
pub fn put_series(out: &mut Vec<u8>, labels: &[u8], times: &[Millis], values: &[f64]) {
    let len = content_len(labels, times, values);
    out.reserve(1 + MAX_VARINT + len);
    out.push(0x0a);
    put_varint(out, len as u64);
    out.extend_from_slice(labels);
    for (&time, value) in times.iter().zip(values) {
        put_sample(out, time as u64, value.to_bits());
    }
}

/// Bytes that [`put_series`] appends.
pub fn series_len(labels: &[u8], times: &[Millis], values: &[f64]) -> usize {
    let len = content_len(labels, times, values);
    1 + varint_len(len as u64) + len
}

fn content_len(labels: &[u8], times: &[Millis], values: &[f64]) -> usize {
    let samples = times.iter().zip(values);
    let samples = samples.map(|(&time, value)| 2 + sample_len(time as u64, value.to_bits()));
    labels.len() + samples.sum::<usize>()
}

/// Put together aside and appended in one piece: one check of the room instead of one a byte.
#[inline]
fn put_sample(out: &mut Vec<u8>, time: u64, bits: u64) {
    let mut field = [0; MAX_SAMPLE];
    let mut len = 2;
    field[0] = 0x12;
    if bits != 0 {
        field[2] = 0x09;
        field[3..11].copy_from_slice(&bits.to_le_bytes());
        len = 11;
    }
    if time != 0 {
        field[len] = 0x10;
        len += 1;
        let mut rest = time;
        while rest >= 0x80 {
            field[len] = rest as u8 | 0x80;
            rest >>= 7;
            len += 1;
        }
        field[len] = rest as u8;
        len += 1;
    }
    field[1] = (len - 2) as u8;
    out.extend_from_slice(&field[..len]);
}

/// The most that [`put_metadata`] appends.
pub fn max_metadata_len(family: &str, help: &str, unit: &str) -> usize {
    5 * (1 + MAX_VARINT) + family.len() + help.len() + unit.len()
}

/// One `MetricMetadata` field of a `WriteRequest`.
pub fn put_metadata(out: &mut Vec<u8>, kind: u8, family: &str, help: &str, unit: &str) {
    let mut entry = Vec::with_capacity(4 * (1 + MAX_VARINT) + family.len() + help.len() + unit.len());
    if kind != 0 {
        entry.push(0x08);
        put_varint(&mut entry, u64::from(kind));
    }
    for (tag, text) in [(0x12, family), (0x22, help), (0x2a, unit)] {
        if !text.is_empty() {
            put_bytes(&mut entry, tag, text.as_bytes());
        }
    }
    put_bytes(out, 0x1a, &entry);
}

fn sample_len(time: u64, bits: u64) -> usize {
    (if bits == 0 { 0 } else { 9 }) + (if time == 0 { 0 } else { 1 + varint_len(time) })
}

fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The 32 bytes of `up` with value 1 at 1000 ms, written down by hand.
    #[test]
    fn a_request_byte_by_byte() {
        let mut labels = Vec::new();
        put_label(&mut labels, b"__name__", b"up");
        let mut out = Vec::new();
        put_series(&mut out, &labels, &[1000], &[1.0]);
        let expected = [
            &[0x0a, 0x1e, 0x0a, 0x0e, 0x0a, 0x08][..],
            b"__name__",
            &[0x12, 0x02],
            b"up",
            &[0x12, 0x0c, 0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0x10, 0xe8, 0x07],
        ];
        assert_eq!(out, expected.concat());
    }

    #[test]
    fn lengths_are_known_before_writing() {
        let times = [0, 1, -1, 1_700_000_000_000, i64::MAX];
        let values = [0.0, -0.0, 1.5, f64::NAN, 0.0];
        for rows in 0..=times.len() {
            for labels in [&b""[..], b"some labels", &[0; 200]] {
                let (times, values) = (&times[..rows], &values[..rows]);
                let mut out = Vec::new();
                put_series(&mut out, labels, times, values);
                assert_eq!(out.len(), series_len(labels, times, values));
                assert!(out.len() <= 1 + 2 + labels.len() + rows * MAX_SAMPLE);
            }
        }
        let mut out = Vec::new();
        put_metadata(&mut out, 7, "family", &"h".repeat(300), "unit");
        assert!(out.len() <= max_metadata_len("family", &"h".repeat(300), "unit"));
    }

    #[test]
    fn varint_lengths_are_those_written() {
        for value in [
            0,
            1,
            127,
            128,
            16_383,
            16_384,
            u64::from(u32::MAX),
            1 << 62,
            u64::MAX,
        ] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(out.len(), varint_len(value), "{value}");
        }
    }
}
