//! What a record holds of one instance: series column by column, and what there is besides as a message.

use crate::model::{Millis, Uid};
use crate::wire::encode::{MAX_VARINT, Rows, put_varint};
use crate::wire::front::{FRONT_OVERHEAD, FrontReader, FrontWriter};
use crate::wire::proto::Reader;
use crate::wire::{BatchHistogram, BatchSeries, SplitBatch, Splitter};
use crate::{Error, Result};

/// Instance, shards; series, bytes of labels and of rows, floats, bytes of the message.
pub const SECTION_BYTES: usize = 16 + 2 + 5 * 4;

/// What a series takes at most beside its labels and samples: the numbers of its labels and of its samples, by kind.
pub const SERIES_OVERHEAD: usize = FRONT_OVERHEAD + 2 * MAX_VARINT;

/// Value and time of a float, and the start of its counter.
const MAX_FLOAT: usize = 8 + 2 * MAX_VARINT;

const HAS_STARTS: u64 = 1;
const HAS_HISTOGRAMS: u64 = 2;
const KINDS: u32 = 2;

/// Whose a section is: the instance, and the shards it used.
pub type Owner = (Uid, u16);

/// A section in the making.
#[derive(Debug, Default)]
pub struct Columns {
    series: u32,
    labels: Vec<u8>,
    front: FrontWriter,
    /// Of each series how many samples it has, then their times, starts and histograms.
    rows: Vec<u8>,
    values: Vec<u8>,
    /// Those of the float before.
    time: Millis,
    start: Millis,
    /// A `WriteRequest` without samples.
    pub rest: Vec<u8>,
}

impl Columns {
    pub fn add_series(&mut self, labels: &[u8], rows: &Rows<'_>) {
        self.series += 1;
        self.front.put(&mut self.labels, labels);
        let starts = rows.starts.iter().any(|&start| start != 0);
        let kinds = u64::from(starts) * HAS_STARTS + u64::from(!rows.histograms.is_empty()) * HAS_HISTOGRAMS;
        put_varint(&mut self.rows, (rows.times.len() as u64) << KINDS | kinds);
        for &time in rows.times {
            put_change(&mut self.rows, &mut self.time, time);
        }
        if starts {
            for &start in rows.starts {
                put_change(&mut self.rows, &mut self.start, start);
            }
        }
        if !rows.histograms.is_empty() {
            put_varint(&mut self.rows, rows.histograms.len() as u64);
            for histogram in rows.histograms {
                let message = histogram.message(rows.bytes);
                put_varint(&mut self.rows, message.len() as u64);
                self.rows.extend_from_slice(message);
            }
        }
        for value in rows.values {
            self.values.extend_from_slice(&value.to_le_bytes());
        }
    }

    /// Bytes of the section, without its head.
    pub fn len(&self) -> usize {
        self.labels.len() + self.rows.len() + self.values.len() + self.rest.len()
    }

    pub fn write(&self, (uid, shards): Owner, out: &mut Vec<u8>) {
        out.extend_from_slice(&uid.0);
        out.extend_from_slice(&shards.to_le_bytes());
        let (labels, rows) = (self.labels.len(), self.rows.len());
        let (floats, rest) = (self.values.len() / 8, self.rest.len());
        for number in [self.series as usize, labels, rows, floats, rest] {
            out.extend_from_slice(&(number as u32).to_le_bytes());
        }
        for column in [&self.labels, &self.rows, &self.values, &self.rest] {
            out.extend_from_slice(column);
        }
    }

    /// Empty, with its buffers.
    pub fn clear(&mut self) {
        for column in [&mut self.labels, &mut self.rows, &mut self.values, &mut self.rest] {
            column.clear();
        }
        self.front.begin_anew();
        (self.series, self.time, self.start) = (0, 0, 0);
    }

    /// Bytes of its buffers.
    pub fn capacity(&self) -> usize {
        let columns = [&self.labels, &self.rows, &self.values, &self.rest];
        self.front.capacity() + columns.into_iter().map(Vec::capacity).sum::<usize>()
    }
}

/// The most bytes that the samples of a series take.
pub fn max_len(rows: &Rows<'_>) -> usize {
    let histograms = rows.histograms.iter().map(BatchHistogram::field_len);
    rows.times.len() * MAX_FLOAT + histograms.sum::<usize>()
}

/// How many floats of a series have room in so many bytes.
pub const fn floats_in(room: usize) -> usize {
    room / MAX_FLOAT
}

/// A section as it lies in a payload.
#[derive(Debug)]
pub struct Section<'a> {
    owner: Owner,
    series: usize,
    labels: &'a [u8],
    rows: &'a [u8],
    values: &'a [[u8; 8]],
    rest: &'a [u8],
}

impl<'a> Section<'a> {
    /// The first section of a payload, and what follows it.
    pub fn first(plain: &'a [u8]) -> Result<(Self, &'a [u8])> {
        let Some((head, mut after)) = plain.split_first_chunk::<SECTION_BYTES>() else {
            return Err(Error::Corrupt(format!(
                "{} bytes are left for a section",
                plain.len()
            )));
        };
        let [uid @ .., s0, s1] = *head.first_chunk::<18>().unwrap_or(&[0; 18]);
        let mut numbers = [0; 5];
        for (number, bytes) in numbers.iter_mut().zip(head[18..].as_chunks::<4>().0) {
            *number = u32::from_le_bytes(*bytes) as usize;
        }
        let [series, labels, rows, floats, rest] = numbers;
        let mut column = |len: usize| -> Result<&'a [u8]> {
            let Some((column, more)) = after.split_at_checked(len) else {
                let left = after.len();
                return Err(Error::Corrupt(format!(
                    "a section has a column of {len} bytes with {left} left"
                )));
            };
            after = more;
            Ok(column)
        };
        let section = Self {
            owner: (Uid(uid), u16::from_le_bytes([s0, s1])),
            series,
            labels: column(labels)?,
            rows: column(rows)?,
            values: column(floats * 8)?.as_chunks().0,
            rest: column(rest)?,
        };
        Ok((section, after))
    }

    /// What it holds. `room`: how many bytes its labels may have, put together; what they have is taken from it.
    pub fn batch(&self, splitter: &Splitter, partition: u16, room: &mut usize) -> Result<SplitBatch> {
        let (uid, shards) = self.owner;
        let mut batch = splitter.replay_part(self.rest.to_vec(), uid, shards, partition)?;
        if !batch.times.is_empty() || !batch.histograms.is_empty() {
            return Err(Error::Corrupt(
                "samples beside the columns of a section".to_owned(),
            ));
        }
        // A series takes at least a byte of its rows, whatever the head says.
        if self.series > self.rows.len() {
            return Err(self.mismatch());
        }
        let keys = splitter.keys(uid);
        let mut labels = FrontReader::new(self.labels);
        let mut rows = RowReader::new(self.rows);
        batch.series.reserve_exact(self.series);
        batch.times.reserve_exact(self.values.len());
        let mut label_bytes = 0;
        for _ in 0..self.series {
            let (key, len) = {
                let labels = labels.read()?;
                (keys.hash(labels), labels.len())
            };
            if len > *room {
                return Err(Error::Unsupported(
                    "the labels of its series have more bytes than this build reads".to_owned(),
                ));
            }
            *room -= len;
            let (first_float, first_histogram) = (batch.times.len(), batch.histograms.len());
            rows.read(&mut batch, self.values.len())?;
            let (floats, histograms) = (
                batch.times.len() - first_float,
                batch.histograms.len() - first_histogram,
            );
            if floats + histograms == 0 {
                return Err(Error::Corrupt("a series without samples".to_owned()));
            }
            batch.series.push(BatchSeries {
                partition,
                key,
                labels: (label_bytes as u32, len as u32),
                samples: (first_float as u32, floats as u32),
                histograms: (first_histogram as u32, histograms as u32),
            });
            label_bytes += len;
        }
        if !labels.is_empty() || !rows.reader.is_empty() || batch.times.len() != self.values.len() {
            return Err(self.mismatch());
        }
        if !batch.starts.is_empty() {
            batch.starts.resize(batch.times.len(), 0);
        }
        batch.values = self
            .values
            .iter()
            .map(|bytes| f64::from_le_bytes(*bytes))
            .collect();
        batch.front = Some(self.labels.to_vec());
        Ok(batch)
    }

    fn mismatch(&self) -> Error {
        Error::Corrupt(format!(
            "the columns of a section do not hold {} series with {} floats",
            self.series,
            self.values.len()
        ))
    }
}

/// Reads how many samples series have, and when.
#[derive(Debug)]
struct RowReader<'a> {
    bytes: &'a [u8],
    reader: Reader<'a>,
    time: Millis,
    start: Millis,
}

impl<'a> RowReader<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            reader: Reader::new(bytes),
            time: 0,
            start: 0,
        }
    }

    /// Those of the next series, with which there are at most so many floats in all. Starts may end early: the rest is not known.
    #[inline]
    fn read(&mut self, batch: &mut SplitBatch, most: usize) -> Result<()> {
        let head = self.reader.varint()?;
        let (floats, first) = (head >> KINDS, batch.times.len());
        if floats > (most - first) as u64 {
            return Err(Error::Corrupt(format!(
                "a series of {floats} floats where {} are left",
                most - first
            )));
        }
        for _ in 0..floats {
            batch.times.push(change(&mut self.reader, &mut self.time)?);
        }
        if head & HAS_STARTS != 0 {
            batch.starts.resize(first, 0);
            for _ in 0..floats {
                batch.starts.push(change(&mut self.reader, &mut self.start)?);
            }
        }
        if head & HAS_HISTOGRAMS != 0 {
            self.histograms(batch)?;
        }
        Ok(())
    }

    #[cold]
    fn histograms(&mut self, batch: &mut SplitBatch) -> Result<()> {
        for _ in 0..self.reader.varint()? {
            let message = self.reader.extent()?;
            batch.add_histogram(&self.bytes[message])?;
        }
        Ok(())
    }
}

/// Writes by how much a time differs from the one before, the sign in the lowest bit.
#[inline]
fn put_change(out: &mut Vec<u8>, before: &mut Millis, time: Millis) {
    let change = time.wrapping_sub(*before);
    *before = time;
    put_varint(out, ((change << 1) ^ (change >> 63)) as u64);
}

#[inline]
fn change(reader: &mut Reader<'_>, before: &mut Millis) -> Result<Millis> {
    let change = reader.varint()?;
    *before = before.wrapping_add((change >> 1) as i64 ^ -((change & 1) as i64));
    Ok(*before)
}
