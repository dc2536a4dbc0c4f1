//! What a query takes from a head: a copy, so that nothing is locked while it is read.
//!
//! Encoded blocks that overlap the query are copied as they are, columns once each. That moves a few hundred bytes per series, about what
//! counting references would cost in cache misses, and leaves lanes without shared parts.

use std::ops::Range;
use std::sync::Arc;

use crate::codec::histograms::HistogramDecoder;
use crate::model::{
    Histogram, Merge, Millis, SampleBuf, SampleReader, SampleSource, Samples, SeriesTable, TimesKeys,
};
use crate::{Error, Result};

use super::chunks::{self, Decoder};
use super::histograms::{Chunk, Timed};
use super::starts::{Change, StartLists, starts_at};

/// The rows a selection found in a head, with ids of the query's symbols.
#[derive(Debug)]
pub struct HeadRows {
    pub table: SeriesTable,
    pub samples: HeadSnapshot,
}

/// Samples of the rows found in one head.
#[derive(Debug, Default)]
pub struct HeadSnapshot {
    /// Row `r` is `pieces[ends[r - 1]..ends[r]]`.
    pub(super) ends: Vec<u32>,
    /// Of a row in log order: at equal times an earlier piece counts.
    pub(super) pieces: Vec<Piece>,
    pub(super) axes: Axes,
    pub(super) encoded: Vec<u8>,
    pub(super) plain: Vec<f64>,
    /// By row, and then in the order of the log.
    pub(super) histograms: Vec<HistogramPiece>,
    pub(super) starts: StartLists,
}

/// Native histograms of a row.
#[derive(Debug)]
pub(super) struct HistogramPiece {
    pub row: u32,
    /// How many of the row's pieces of floats come before it in the log.
    pub behind: u32,
    /// The list of its starts.
    pub starts: u32,
    /// What their times count from.
    pub window: Millis,
    pub held: Held,
}

#[derive(Debug)]
pub(super) enum Held {
    Encoded(Arc<Chunk>),
    Plain(Vec<Timed>),
}

impl HistogramPiece {
    fn bytes(&self) -> usize {
        let plain = |(_, histogram): &Timed| size_of::<Timed>() + histogram.bytes();
        size_of::<Self>()
            + match &self.held {
                Held::Encoded(chunk) => chunk.memory_bytes(),
                Held::Plain(histograms) => histograms.iter().map(plain).sum(),
            }
    }

    /// Replaces `column` by those with `min <= time <= max`.
    fn read(
        &self,
        (min, max): (Millis, Millis),
        decoder: &mut HistogramDecoder,
        scratch: &mut Vec<Arc<Histogram>>,
        starts: &[Change<Millis>],
        column: &mut SampleBuf,
    ) -> Result<()> {
        column.clear();
        let mut push = |offset: u32, histogram: Arc<Histogram>| {
            let time = self.window + Millis::from(offset);
            if min <= time && time <= max {
                column.push_histogram(time, histogram);
            }
        };
        match &self.held {
            Held::Plain(histograms) => {
                for (offset, histogram) in histograms {
                    push(*offset, Arc::clone(histogram));
                }
            }
            Held::Encoded(chunk) => {
                scratch.clear();
                decoder.decode(&chunk.bytes, scratch)?;
                if scratch.len() != chunk.times.len() {
                    return Err(broken());
                }
                for (&offset, histogram) in chunk.times.iter().zip(scratch.drain(..)) {
                    push(offset, histogram);
                }
            }
        }
        if !starts.is_empty() {
            column
                .starts
                .extend(starts_at(starts, column.times.iter().copied()));
        }
        Ok(())
    }
}

/// Columns of times that pieces share, one behind the other.
#[derive(Debug, Default)]
pub(super) struct Axes {
    times: Vec<Millis>,
    ends: Vec<u32>,
}

impl Axes {
    /// Adds an axis and returns its number.
    pub fn push(&mut self, times: impl Iterator<Item = Millis>) -> u32 {
        self.times.extend(times);
        self.ends.push(self.times.len() as u32);
        self.ends.len() as u32 - 1
    }

    pub fn get(&self, axis: u32) -> &[Millis] {
        let axis = axis as usize;
        let start = if axis == 0 { 0 } else { self.ends[axis - 1] };
        &self.times[start as usize..self.ends[axis] as usize]
    }

    pub fn with_capacity(axes: usize, times: usize) -> Result<Self> {
        let mut made = Self::default();
        let room = made
            .times
            .try_reserve_exact(times)
            .and_then(|()| made.ends.try_reserve_exact(axes));
        room.map_err(|_| Error::Execution(format!("no memory for the {times} times of a head part")))?;
        Ok(made)
    }

    /// How many axes there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The times of all axes.
    pub fn times(&self) -> &[Millis] {
        &self.times
    }

    fn bytes(&self) -> usize {
        self.times.capacity() * 8 + self.ends.capacity() * 4
    }
}

/// One lane's samples in the range of the query.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Piece {
    pub axis: u32,
    /// Where its times lie on the axis.
    pub first: u32,
    pub count: u32,
    /// Values of the first chunk that come before the range.
    pub skipped: u32,
    /// How many of `count` are encoded; the rest is plain.
    pub encoded: u32,
    /// The list of its starts.
    pub starts: u32,
    pub encoded_at: usize,
    pub plain_at: usize,
}

impl Piece {
    fn rows(&self) -> Range<usize> {
        self.first as usize..(self.first + self.count) as usize
    }
}

impl HeadSnapshot {
    pub fn bytes(&self) -> usize {
        self.axes.bytes()
            + self.ends.capacity() * 4
            + self.pieces.capacity() * size_of::<Piece>()
            + self.encoded.capacity()
            + self.plain.capacity() * 8
            + self.histograms.iter().map(HistogramPiece::bytes).sum::<usize>()
            + self.starts.bytes()
    }

    fn row(&self, row: usize) -> &[Piece] {
        let start = if row == 0 {
            0
        } else {
            self.ends.get(row - 1).copied().unwrap_or(0)
        };
        let end = self.ends.get(row).copied().unwrap_or(start);
        &self.pieces[start as usize..end as usize]
    }

    /// The histograms of a row.
    fn histograms_of(&self, row: usize) -> &[HistogramPiece] {
        let row = row as u32;
        let start = self.histograms.partition_point(|piece| piece.row < row);
        let count = self.histograms[start..].partition_point(|piece| piece.row == row);
        &self.histograms[start..start + count]
    }

    /// Decodes the values of `part`, a range of the piece's samples.
    fn decode(
        &self,
        piece: &Piece,
        part: Range<usize>,
        decoder: &mut Decoder,
        out: &mut Vec<f64>,
    ) -> Result<()> {
        let encoded = piece.encoded as usize;
        if part.start < encoded {
            let mut at = piece.encoded_at;
            let mut from = piece.skipped as usize + part.start;
            loop {
                let (length, values) = chunks::extent(&self.encoded[at..]).ok_or_else(broken)?;
                if from < values {
                    break;
                }
                (at, from) = (at + length, from - values);
            }
            let mut left = part.end.min(encoded) - part.start;
            while left > 0 {
                let (values, length) = decoder.chunk(&self.encoded[at..]).ok_or_else(broken)?;
                let taken = left.min(values.len() - from);
                out.extend_from_slice(&values[from..from + taken]);
                (at, from, left) = (at + length, 0, left - taken);
            }
        }
        if part.end > encoded {
            let from = part.start.max(encoded) - encoded;
            out.extend_from_slice(&self.plain[piece.plain_at + from..piece.plain_at + part.end - encoded]);
        }
        Ok(())
    }
}

/// Of a snapshot that another process has sent: those made here hold whole blocks.
fn broken() -> Error {
    Error::Corrupt("encoded values of a head part end early".into())
}

impl SampleSource for HeadSnapshot {
    fn rows(&self) -> usize {
        self.ends.len()
    }

    fn reader(&self) -> Box<dyn SampleReader + '_> {
        Box::new(SnapshotReader {
            snapshot: self,
            edges: Edges {
                axis: u32::MAX,
                min: 0,
                max: 0,
                from: 0,
                to: 0,
            },
            decoder: Decoder::default(),
            values: Vec::new(),
            starts: Vec::new(),
            merged: Merge::default(),
            keys: TimesKeys::default(),
            origin: Vec::new(),
            histograms: HistogramReader::default(),
        })
    }
}

/// The part of an axis between two times, remembered because neighbours share axes.
#[derive(Debug, Clone, Copy)]
struct Edges {
    axis: u32,
    min: Millis,
    max: Millis,
    from: usize,
    to: usize,
}

#[derive(Debug)]
struct SnapshotReader<'a> {
    snapshot: &'a HeadSnapshot,
    edges: Edges,
    decoder: Decoder,
    values: Vec<f64>,
    starts: Vec<Millis>,
    merged: Merge,
    keys: TimesKeys,
    /// The times key of each piece of the row at hand.
    origin: Vec<(u32, u64)>,
    histograms: HistogramReader,
}

/// What reading histograms needs.
#[derive(Debug, Default)]
struct HistogramReader {
    decoder: HistogramDecoder,
    decoded: Vec<Arc<Histogram>>,
    column: SampleBuf,
}

impl SnapshotReader<'_> {
    /// The part of a piece between two times, as rows of its axis.
    fn part(&mut self, piece: &Piece, min: Millis, max: Millis) -> Range<usize> {
        let edges = self.edges;
        if edges.axis != piece.axis || edges.min != min || edges.max != max {
            let times = self.snapshot.axes.get(piece.axis);
            let from = times.partition_point(|&t| t < min);
            let to = from + times[from..].partition_point(|&t| t <= max);
            self.edges = Edges {
                axis: piece.axis,
                min,
                max,
                from,
                to,
            };
        }
        let rows = piece.rows();
        let from = self.edges.from.max(rows.start).min(rows.end);
        from..self.edges.to.clamp(from, rows.end)
    }

    fn add_histograms(&mut self, piece: &HistogramPiece, min: Millis, max: Millis) -> Result<()> {
        let HistogramReader {
            decoder,
            decoded,
            column,
        } = &mut self.histograms;
        let starts = self.snapshot.starts.get(piece.starts);
        piece.read((min, max), decoder, decoded, starts, column)?;
        self.merged.add(column.as_samples());
        Ok(())
    }

    /// Whether the row at hand has histograms, whose times have no axis.
    fn is_mixed(&self) -> bool {
        self.merged.samples().has_histograms()
    }

    fn read_one(&mut self, piece: &Piece, min: Millis, max: Millis) -> Result<Samples<'_>> {
        let part = self.part(piece, min, max);
        let first = piece.first as usize;
        let snapshot = self.snapshot;
        let times = &snapshot.axes.get(piece.axis)[part.clone()];
        let local = part.start - first..part.end - first;
        let encoded = piece.encoded as usize;
        let values = if local.start >= encoded {
            &snapshot.plain[piece.plain_at + local.start - encoded..piece.plain_at + local.end - encoded]
        } else {
            self.values.clear();
            snapshot.decode(piece, local, &mut self.decoder, &mut self.values)?;
            &self.values[..]
        };
        Ok(Samples {
            starts: fill(snapshot.starts.get(piece.starts), times, &mut self.starts),
            ..Samples::floats(times, values, times_key(piece.axis, &part))
        })
    }
}

/// The starts at these times; none if none is known.
fn fill<'s>(changes: &[Change<Millis>], times: &[Millis], starts: &'s mut Vec<Millis>) -> &'s [Millis] {
    starts.clear();
    if !changes.is_empty() {
        starts.extend(starts_at(changes, times.iter().copied()));
    }
    starts
}

/// Names a slice of an axis. 0, which says nothing, where the numbers do not fit.
fn times_key(axis: u32, part: &Range<usize>) -> u64 {
    const SIDE: usize = 1 << 20;
    if part.end >= SIDE || axis >= (1 << 24) - 1 {
        return 0;
    }
    u64::from(axis + 1) << 40 | (part.start as u64) << 20 | part.end as u64
}

impl SampleReader for SnapshotReader<'_> {
    fn read(&mut self, row: usize, min: Millis, max: Millis) -> Result<Samples<'_>> {
        let snapshot = self.snapshot;
        let pieces = snapshot.row(row);
        let histograms = snapshot.histograms_of(row);
        if let ([piece], []) = (pieces, histograms) {
            return self.read_one(piece, min, max);
        }
        self.merged.clear();
        self.origin.clear();
        let mut histograms = histograms.iter().peekable();
        for (place, piece) in (0..).zip(pieces) {
            while let Some(piece) = histograms.next_if(|piece| piece.behind <= place) {
                self.add_histograms(piece, min, max)?;
            }
            let part = self.part(piece, min, max);
            if part.is_empty() {
                continue;
            }
            self.origin.push((0, times_key(piece.axis, &part)));
            let first = piece.first as usize;
            self.values.clear();
            let places = part.start - first..part.end - first;
            snapshot.decode(piece, places, &mut self.decoder, &mut self.values)?;
            let times = &snapshot.axes.get(piece.axis)[part];
            self.merged.add(Samples {
                starts: fill(snapshot.starts.get(piece.starts), times, &mut self.starts),
                ..Samples::floats(times, &self.values, 0)
            });
        }
        for piece in histograms {
            self.add_histograms(piece, min, max)?;
        }
        // Keys of one piece are above 2^40, those of several count from 1.
        let times_key = if self.is_mixed() {
            0
        } else {
            self.keys.of(&self.origin)
        };
        Ok(Samples {
            times_key,
            ..self.merged.samples()
        })
    }
}
