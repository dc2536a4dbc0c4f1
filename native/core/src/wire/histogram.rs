//! `Histogram` messages, which are the same in remote write 1.0 and 2.0; the latter has start timestamps.

use std::ops::Range;
use std::sync::Arc;

use super::proto::{BYTES, FIXED64, Reader, VARINT, expect_wire};
use crate::Result;
use crate::model::histogram::{Buckets, InvalidHistogram, MAX_BUCKETS, bounds};
use crate::model::{Histogram, Millis, ResetHint, is_stale};

/// The largest message that is taken: a thousand times what clients send, and a fraction of a record of the log.
pub const MAX_HISTOGRAM_BYTES: usize = 128 << 10;

/// Schemas finer than ours are taken at our finest, as Prometheus does.
const FINEST_SENT: i32 = 52;

const MAX_COARSENING: i8 = 31;

const GAUGE: u64 = 3;

/// A message as it came: nothing is checked yet but its protobuf.
#[derive(Debug, Default)]
pub struct SentHistogram {
    pub time: Millis,
    /// When it began to count; 0 if that is not said.
    pub start: Millis,
    count: Count,
    zero_count: Count,
    sum: f64,
    schema: i32,
    zero_threshold: f64,
    positive: Side,
    negative: Side,
    custom: Vec<f64>,
    is_gauge: bool,
}

/// One of two forms; the last one sent counts.
#[derive(Debug, Clone, Copy)]
enum Count {
    Integer(u64),
    Float(f64),
}

impl Default for Count {
    fn default() -> Self {
        Self::Integer(0)
    }
}

impl Count {
    const fn integer(self) -> u64 {
        match self {
            Self::Integer(count) => count,
            Self::Float(_) => 0,
        }
    }

    const fn float(self) -> f64 {
        match self {
            Self::Integer(_) => 0.0,
            Self::Float(count) => count,
        }
    }
}

/// The buckets of one sign.
#[derive(Debug, Default)]
struct Side {
    spans: Vec<(i32, u32)>,
    /// Of integer histograms: the first count, then differences.
    deltas: Vec<i64>,
    /// Of float histograms.
    counts: Vec<f64>,
}

impl SentHistogram {
    /// Reads the message at `extent` of `buf`. What is missing is zero; of what is repeated and singular the last counts.
    pub fn decode(buf: &[u8], extent: Range<usize>) -> Result<Self> {
        let mut reader = Reader::over(buf, extent);
        let mut sent = Self::default();
        while !reader.is_empty() {
            let at = reader.position();
            let (field, wire) = reader.tag()?;
            match field {
                1 => sent.count = Count::Integer(integer(&mut reader, wire, "a histogram's count", at)?),
                2 => sent.count = Count::Float(double(&mut reader, wire, "a histogram's count", at)?),
                3 => sent.sum = double(&mut reader, wire, "a histogram's sum", at)?,
                4 => {
                    sent.schema =
                        unzigzag(integer(&mut reader, wire, "a histogram's schema", at)? & 0xffff_ffff)
                            as i32;
                }
                5 => sent.zero_threshold = double(&mut reader, wire, "a histogram's zero threshold", at)?,
                6 => {
                    sent.zero_count =
                        Count::Integer(integer(&mut reader, wire, "a histogram's zero count", at)?);
                }
                7 => {
                    sent.zero_count =
                        Count::Float(double(&mut reader, wire, "a histogram's zero count", at)?);
                }
                8..=13 => {
                    let side = if field < 11 {
                        &mut sent.negative
                    } else {
                        &mut sent.positive
                    };
                    side.field((field - 8) % 3, &mut reader, wire, buf, at)?;
                }
                14 => sent.is_gauge = integer(&mut reader, wire, "a histogram's reset hint", at)? == GAUGE,
                15 => sent.time = integer(&mut reader, wire, "a histogram's timestamp", at)? as Millis,
                16 => doubles(&mut reader, wire, buf, at, &mut sent.custom)?,
                17 => sent.start = integer(&mut reader, wire, "a histogram's start timestamp", at)? as Millis,
                _ => reader.skip(wire)?,
            }
        }
        Ok(sent)
    }

    /// Whether it only says that its series ended.
    pub fn is_stale(&self) -> bool {
        is_stale(self.sum)
    }

    /// As it is stored and computed with, under no hint but that of a gauge: what is known of resets is found when it is read, from the
    /// one before it.
    pub fn histogram(&self) -> Result<Histogram, InvalidHistogram> {
        let schema = i8::try_from(self.schema)
            .ok()
            .filter(|&schema| {
                schema == bounds::CUSTOM
                    || (i32::from(*bounds::SCHEMAS.start())..=FINEST_SENT).contains(&i32::from(schema))
            })
            .ok_or(InvalidHistogram::Schema)?;
        let is_float = matches!(self.count, Count::Float(_));
        let (positive, negative) = (self.positive.counts(is_float)?, self.negative.counts(is_float)?);
        let mut histogram = Histogram {
            hint: if self.is_gauge {
                ResetHint::Gauge
            } else {
                ResetHint::Unknown
            },
            schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count.float(),
            count: self.count.float(),
            sum: self.sum,
            positive: Buckets::of_spans(self.positive.spans.iter().copied(), positive)?,
            negative: Buckets::of_spans(self.negative.spans.iter().copied(), negative)?,
            custom: Arc::from(self.custom.as_slice()),
        };
        if !is_float {
            (histogram.count, histogram.zero_count) = self.integer_counts()?;
        }
        while histogram.schema > *bounds::SCHEMAS.end() {
            // In steps that an index can be shifted by.
            let next = (histogram.schema - MAX_COARSENING).max(*bounds::SCHEMAS.end());
            histogram = histogram.coarsened(next);
        }
        if histogram.positive.len() + histogram.negative.len() > MAX_BUCKETS
            || histogram.custom.len() > MAX_BUCKETS
        {
            return Err(InvalidHistogram::TooManyBuckets);
        }
        histogram.check()?;
        Ok(histogram)
    }

    /// Number of observations and those in the zero bucket, if they go with the buckets.
    fn integer_counts(&self) -> Result<(f64, f64), InvalidHistogram> {
        let (count, zero_count) = (self.count.integer(), self.zero_count.integer());
        let found = [self.positive.observations(), self.negative.observations()]
            .into_iter()
            .fold(u128::from(zero_count), |sum, observations| sum + observations);
        if self.sum.is_nan() {
            // A NaN that was observed is in no bucket.
            if u128::from(count) < found {
                return Err(InvalidHistogram::CountTooSmall);
            }
        } else if u128::from(count) != found {
            return Err(InvalidHistogram::CountMismatch);
        }
        Ok((count as f64, zero_count as f64))
    }

    /// What it looks like, for a message that says why it is refused.
    pub fn outline(&self) -> String {
        let count = match self.count {
            Count::Integer(count) => count.to_string(),
            Count::Float(count) => count.to_string(),
        };
        let buckets = |side: &Side| side.deltas.len().max(side.counts.len());
        format!(
            "schema {}, count {count}, {} positive and {} negative buckets",
            self.schema,
            buckets(&self.positive),
            buckets(&self.negative)
        )
    }
}

impl Side {
    /// One of the three fields of a side: spans, deltas, counts.
    fn field(&mut self, which: u32, reader: &mut Reader<'_>, wire: u8, buf: &[u8], at: usize) -> Result<()> {
        match which {
            0 => {
                expect_wire(wire, BYTES, "a bucket span", at)?;
                let extent = reader.extent()?;
                self.spans.push(span(Reader::over(buf, extent))?);
                Ok(())
            }
            1 if wire == BYTES => {
                let extent = reader.extent()?;
                let mut packed = Reader::over(buf, extent);
                while !packed.is_empty() {
                    self.deltas.push(unzigzag(packed.varint()?));
                }
                Ok(())
            }
            1 => {
                let delta = integer(reader, wire, "a histogram's bucket", at)?;
                self.deltas.push(unzigzag(delta));
                Ok(())
            }
            _ => doubles(reader, wire, buf, at, &mut self.counts),
        }
    }

    fn counts(&self, is_float: bool) -> Result<Vec<f64>, InvalidHistogram> {
        if is_float {
            return Ok(self.counts.clone());
        }
        let mut count = 0_i64;
        let counts = self.deltas.iter().map(|&delta| {
            count = count.checked_add(delta).filter(|&count| count >= 0)?;
            Some(count as f64)
        });
        counts
            .collect::<Option<_>>()
            .ok_or(InvalidHistogram::NegativeBucket)
    }

    /// Of an integer histogram with valid buckets.
    fn observations(&self) -> u128 {
        let mut count = 0_i64;
        self.deltas
            .iter()
            .map(|&delta| {
                count = count.wrapping_add(delta);
                u128::from(count.unsigned_abs())
            })
            .sum()
    }
}

fn span(mut reader: Reader<'_>) -> Result<(i32, u32)> {
    let (mut offset, mut length) = (0, 0);
    while !reader.is_empty() {
        let at = reader.position();
        let (field, wire) = reader.tag()?;
        match field {
            1 => offset = unzigzag(integer(&mut reader, wire, "a span's offset", at)? & 0xffff_ffff) as i32,
            2 => length = integer(&mut reader, wire, "a span's length", at)? as u32,
            _ => reader.skip(wire)?,
        }
    }
    Ok((offset, length))
}

fn integer(reader: &mut Reader<'_>, wire: u8, what: &str, at: usize) -> Result<u64> {
    expect_wire(wire, VARINT, what, at)?;
    reader.varint()
}

fn double(reader: &mut Reader<'_>, wire: u8, what: &str, at: usize) -> Result<f64> {
    expect_wire(wire, FIXED64, what, at)?;
    reader.fixed64().map(f64::from_bits)
}

/// Repeated doubles, packed or not.
fn doubles(reader: &mut Reader<'_>, wire: u8, buf: &[u8], at: usize, out: &mut Vec<f64>) -> Result<()> {
    if wire == BYTES {
        let extent = reader.extent()?;
        let mut packed = Reader::over(buf, extent);
        while !packed.is_empty() {
            out.push(f64::from_bits(packed.fixed64()?));
        }
        return Ok(());
    }
    out.push(double(reader, wire, "a histogram's bucket or bound", at)?);
    Ok(())
}

const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests;
