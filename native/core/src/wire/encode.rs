//! Remote-write 1.0 messages written: what is left of a request of which something was refused, and requests that came
//! in another form.

use super::batch::BatchHistogram;
use crate::model::Millis;

/// The largest varint is this long.
pub const MAX_VARINT: usize = 10;

/// The longest `Sample` field: tag and length, tag and value, tag and timestamp.
const MAX_SAMPLE: usize = 2 + 9 + 1 + MAX_VARINT;

/// The longest start timestamp of a `Sample`: tag and number.
const MAX_START: usize = START_TAG.len() + MAX_VARINT;

/// A field of ours in a `Sample`: its start timestamp, which remote write 1.0 does not have.
pub const START_FIELD: u32 = 100;
const START_TAG: [u8; 2] = [0xa0, 0x06];

/// Field 4 of a `TimeSeries`.
const HISTOGRAM_TAG: u8 = 0x22;

/// The samples of a `TimeSeries`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rows<'a> {
    pub times: &'a [Millis],
    /// As many.
    pub values: &'a [f64],
    /// When each sample's counter began, 0 where that is not known; empty if it is known of none.
    pub starts: &'a [Millis],
    pub histograms: &'a [BatchHistogram],
    /// What the histograms lie in.
    pub bytes: &'a [u8],
}

impl<'a> Rows<'a> {
    pub const fn floats(times: &'a [Millis], values: &'a [f64]) -> Self {
        Self {
            times,
            values,
            starts: &[],
            histograms: &[],
            bytes: &[],
        }
    }

    /// What lies at some of the floats, and none of the histograms.
    #[must_use]
    pub fn some_floats(&self, places: std::ops::Range<usize>) -> Self {
        Self {
            times: &self.times[places.clone()],
            values: &self.values[places.clone()],
            starts: self.starts.get(places).unwrap_or_default(),
            histograms: &[],
            bytes: &[],
        }
    }

    /// Some of the histograms, and none of the floats.
    #[must_use]
    pub const fn only(&self, histograms: &'a [BatchHistogram]) -> Self {
        Self {
            times: &[],
            values: &[],
            starts: &[],
            histograms,
            bytes: self.bytes,
        }
    }

    fn len(&self) -> usize {
        let samples = self.times.iter().zip(self.values).enumerate();
        let floats =
            samples.map(|(at, (&time, value))| 2 + sample_len(time as u64, value.to_bits(), self.start(at)));
        floats.sum::<usize>()
            + self
                .histograms
                .iter()
                .map(BatchHistogram::field_len)
                .sum::<usize>()
    }

    #[inline]
    fn start(&self, at: usize) -> u64 {
        self.starts.get(at).map_or(0, |&start| start as u64)
    }
}

impl BatchHistogram {
    /// Bytes of its field.
    pub fn field_len(&self) -> usize {
        let len = self.bytes.1;
        1 + varint_len(len.into()) + len as usize
    }
}

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

/// One `TimeSeries` field of a `WriteRequest` that holds floats only; `labels` are its `Label` fields, `times` and `values` equally long.
///
/// As proto3 has it, zeros are left out, so that nothing written again is larger than it came.
pub fn put_series(out: &mut Vec<u8>, labels: &[u8], times: &[Millis], values: &[f64]) {
    put_rows(out, labels, &Rows::floats(times, values));
}

/// One `TimeSeries` field of a `WriteRequest`. Histograms are copied as they came.
pub fn put_rows(out: &mut Vec<u8>, labels: &[u8], rows: &Rows<'_>) {
    let len = labels.len() + rows.len();
    out.reserve(1 + MAX_VARINT + len);
    out.push(0x0a);
    put_varint(out, len as u64);
    out.extend_from_slice(labels);
    for (at, (&time, value)) in rows.times.iter().zip(rows.values).enumerate() {
        put_sample(out, time as u64, value.to_bits(), rows.start(at));
    }
    for histogram in rows.histograms {
        put_bytes(out, HISTOGRAM_TAG, histogram.message(rows.bytes));
    }
}

/// Put together aside and appended in one piece: one check of the room instead of one a byte.
#[inline]
fn put_sample(out: &mut Vec<u8>, time: u64, bits: u64, start: u64) {
    let mut field = [0; MAX_SAMPLE + MAX_START];
    let mut len = 2;
    field[0] = 0x12;
    if bits != 0 {
        field[2] = 0x09;
        field[3..11].copy_from_slice(&bits.to_le_bytes());
        len = 11;
    }
    if time != 0 {
        field[len] = 0x10;
        len = varint_at(&mut field, len + 1, time);
    }
    if start != 0 {
        field[len..len + START_TAG.len()].copy_from_slice(&START_TAG);
        len = varint_at(&mut field, len + START_TAG.len(), start);
    }
    field[1] = (len - 2) as u8;
    out.extend_from_slice(&field[..len]);
}

/// Writes a varint at a place and returns the place behind it.
#[inline]
fn varint_at(field: &mut [u8], mut at: usize, mut rest: u64) -> usize {
    while rest >= 0x80 {
        field[at] = rest as u8 | 0x80;
        rest >>= 7;
        at += 1;
    }
    field[at] = rest as u8;
    at + 1
}

/// The field of a `WriteRequest` that holds an operation on a pushed group.
pub const PUSH_FIELD: u32 = 110;

/// Tag and length around an operation.
pub const PUSH_OVERHEAD: usize = 2 + MAX_VARINT;

/// One operation on a pushed group.
pub fn put_push(out: &mut Vec<u8>, operation: &[u8]) {
    put_varint(out, u64::from(PUSH_FIELD) << 3 | 2);
    put_varint(out, operation.len() as u64);
    out.extend_from_slice(operation);
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

fn sample_len(time: u64, bits: u64, start: u64) -> usize {
    (if bits == 0 { 0 } else { 9 })
        + (if time == 0 { 0 } else { 1 + varint_len(time) })
        + (if start == 0 {
            0
        } else {
            START_TAG.len() + varint_len(start)
        })
}

fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// A `Histogram` field of a `TimeSeries`, for tests.
#[cfg(test)]
pub fn put_histogram(
    out: &mut Vec<u8>,
    time: Millis,
    start: Millis,
    histogram: &crate::model::Histogram,
    is_float: bool,
) {
    put_bytes(
        out,
        HISTOGRAM_TAG,
        &histogram_message(time, start, histogram, is_float),
    );
}

/// What a `Histogram` field holds, for tests.
#[cfg(test)]
pub fn histogram_message(
    time: Millis,
    start: Millis,
    histogram: &crate::model::Histogram,
    is_float: bool,
) -> Vec<u8> {
    let zigzag = |value: i64| ((value << 1) ^ (value >> 63)) as u64;
    let mut message = Vec::new();
    let number = |message: &mut Vec<u8>, tags: [u8; 2], value: f64| {
        if is_float {
            message.push(tags[1]);
            message.extend_from_slice(&value.to_le_bytes());
        } else {
            message.push(tags[0]);
            put_varint(message, value as u64);
        }
    };
    number(&mut message, [0x08, 0x11], histogram.count);
    message.push(0x19);
    message.extend_from_slice(&histogram.sum.to_le_bytes());
    message.push(0x20);
    put_varint(&mut message, zigzag(histogram.schema.into()));
    message.push(0x29);
    message.extend_from_slice(&histogram.zero_threshold.to_le_bytes());
    number(&mut message, [0x30, 0x39], histogram.zero_count);
    for (side, tags) in [
        (&histogram.negative, [0x42, 0x4a, 0x52]),
        (&histogram.positive, [0x5a, 0x62, 0x6a]),
    ] {
        for (offset, length) in side.spans() {
            let mut span = vec![0x08];
            put_varint(&mut span, zigzag(offset.into()));
            span.push(0x10);
            put_varint(&mut span, length.into());
            put_bytes(&mut message, tags[0], &span);
        }
        let mut packed = Vec::new();
        let mut before = 0;
        for &count in side.counts() {
            if is_float {
                packed.extend_from_slice(&count.to_le_bytes());
            } else {
                put_varint(&mut packed, zigzag(count as i64 - before));
                before = count as i64;
            }
        }
        put_bytes(&mut message, tags[if is_float { 2 } else { 1 }], &packed);
    }
    if histogram.hint == crate::model::ResetHint::Gauge {
        message.extend_from_slice(&[0x70, 3]);
    }
    message.push(0x78);
    put_varint(&mut message, time as u64);
    let bounds: Vec<u8> = histogram
        .custom
        .iter()
        .flat_map(|bound| bound.to_le_bytes())
        .collect();
    message.extend_from_slice(&[0x82, 0x01]);
    put_varint(&mut message, bounds.len() as u64);
    message.extend_from_slice(&bounds);
    message.extend_from_slice(&[0x88, 0x01]);
    put_varint(&mut message, start as u64);
    message
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
        let starts = [-1, 0, 1, 1_700_000_000_000, i64::MIN];
        let bytes = [7; 300];
        let histograms = [(0, 0), (3, 100), (0, 300)].map(|bytes| BatchHistogram { time: 1, bytes });
        for count in 0..=times.len() {
            for labels in [&b""[..], b"some labels", &[0; 200]] {
                for starts in [&[][..], &starts[..count]] {
                    let rows = Rows {
                        times: &times[..count],
                        values: &values[..count],
                        starts,
                        histograms: &histograms[..count.min(3)],
                        bytes: &bytes,
                    };
                    let mut out = Vec::new();
                    put_rows(&mut out, labels, &rows);
                    let len = labels.len() + rows.len();
                    assert_eq!(out.len(), 1 + varint_len(len as u64) + len);
                }
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
