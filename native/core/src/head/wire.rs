//! The samples of a head part between two processes, nearly as they are: encoded blocks are copied by the sender and borrowed by the
//! receiver. `docs/formats.md` describes the sections.

use std::sync::Arc;

use crate::codec::bytes::{Input, put_signed, put_varint};
use crate::codec::histograms::{CHUNK, HistogramEncoder};
use crate::model::Millis;
use crate::{Error, Result};

use super::histograms::{Chunk, chunks_of};
use super::runs::RUN;
use super::snapshot::{Axes, HeadSnapshot, Held, HistogramPiece, Piece};
use super::starts::StartLists;

/// Widest difference between two steps of an axis: its times are 32-bit offsets in a window.
const WIDEST: u32 = 32;

/// A piece of histograms takes at least so many bytes.
const PIECE_BYTES: usize = 6;

/// How much of each there is, so that memory is paid for before it is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SampleCounts {
    pub rows: usize,
    pieces: usize,
    axes: usize,
    times: usize,
}

impl SampleCounts {
    pub fn put(self, out: &mut Vec<u8>) {
        for count in [self.rows, self.pieces, self.axes, self.times] {
            put_varint(out, count as u64);
        }
    }

    /// `sections` bound what the counts may claim; times may be many in few bytes, and are left to the budget.
    pub fn take(input: &mut Input<'_>, sections: &SampleSections<'_>) -> Result<Self> {
        Ok(Self {
            rows: input.bounded(sections.pieces.len(), "the number of rows")?,
            pieces: input.bounded(sections.pieces.len(), "the number of pieces")?,
            axes: input.bounded(sections.axes.len(), "the number of axes")?,
            times: input.bounded(u32::MAX as usize, "the number of times")?,
        })
    }

    /// Memory of the snapshot without its encoded blocks.
    pub fn bytes(self, sections: &SampleSections<'_>) -> usize {
        (self.rows + self.axes) * 4 + self.pieces * size_of::<Piece>() + self.times * 8 + sections.plain.len()
    }
}

/// The sections of a snapshot but the encoded blocks.
#[derive(Debug)]
pub struct SampleSections<'a> {
    pub axes: &'a [u8],
    pub pieces: &'a [u8],
    pub plain: &'a [u8],
}

/// The same, to be written.
#[derive(Debug, Default)]
pub struct SampleBytes {
    pub counts: SampleCounts,
    pub axes: Vec<u8>,
    pub pieces: Vec<u8>,
    pub plain: Vec<u8>,
}

impl HeadSnapshot {
    /// Encoded blocks, for the sender to copy.
    pub fn encoded_blocks(&self) -> &[u8] {
        &self.encoded
    }

    pub fn put(&self) -> SampleBytes {
        let mut bytes = SampleBytes {
            counts: SampleCounts {
                rows: self.ends.len(),
                pieces: self.pieces.len(),
                axes: self.axes.len(),
                times: self.axes.times().len(),
            },
            ..SampleBytes::default()
        };
        let mut before = 0;
        for axis in 0..self.axes.len() {
            put_axis(self.axes.get(axis as u32), &mut before, &mut bytes.axes);
        }
        self.put_pieces(&mut bytes.pieces);
        bytes.plain.reserve_exact(self.plain.len() * 8);
        for value in &self.plain {
            bytes.plain.extend_from_slice(&value.to_bits().to_le_bytes());
        }
        bytes
    }

    fn put_pieces(&self, out: &mut Vec<u8>) {
        out.reserve(self.pieces.len() * 4);
        let mut before = Piece::default();
        let mut at = 0;
        let mut start = 0;
        for &end in &self.ends {
            put_varint(out, u64::from(end - start));
            start = end;
            while at < end as usize {
                let piece = self.pieces[at];
                at += 1;
                let is_like_before = (piece.axis, piece.first, piece.count, piece.skipped, piece.encoded)
                    == (
                        before.axis,
                        before.first,
                        before.count,
                        before.skipped,
                        before.encoded,
                    );
                out.push(u8::from(!is_like_before));
                if !is_like_before {
                    put_signed(out, i64::from(piece.axis) - i64::from(before.axis));
                    for number in [piece.first, piece.count, piece.encoded, piece.skipped] {
                        put_varint(out, u64::from(number));
                    }
                }
                if piece.encoded > 0 {
                    let blocks_end = self
                        .pieces
                        .get(at)
                        .map_or(self.encoded.len(), |next| next.encoded_at);
                    put_varint(out, (blocks_end - piece.encoded_at) as u64);
                }
                before = piece;
            }
        }
    }

    /// Reads what [`Self::put`] wrote. The encoded blocks, of which there are `blocks` bytes, follow by [`Self::borrow_blocks`].
    pub fn take(counts: SampleCounts, sections: &SampleSections<'_>, blocks: usize) -> Result<Self> {
        let axes = take_axes(counts, sections.axes)?;
        let (plain, rest) = sections.plain.as_chunks::<8>();
        if !rest.is_empty() {
            return Err(Error::Corrupt("the plain values end within a value".into()));
        }
        let plain: Vec<f64> = plain
            .iter()
            .map(|bits| f64::from_bits(u64::from_le_bytes(*bits)))
            .collect();
        let mut pieces = PieceReader {
            input: Input::new(sections.pieces),
            axes: &axes,
            before: Piece::default(),
            encoded_at: 0,
            encoded_end: blocks,
            plain_at: 0,
            plain_end: plain.len(),
        };
        let mut ends = Vec::with_capacity(counts.rows);
        let mut held = Vec::with_capacity(counts.pieces);
        for _ in 0..counts.rows {
            let more = pieces
                .input
                .bounded(counts.pieces - held.len(), "pieces of a row")?;
            for _ in 0..more {
                held.push(pieces.next()?);
            }
            ends.push(held.len() as u32);
        }
        pieces.input.end("pieces")?;
        if held.len() != counts.pieces || pieces.plain_at != plain.len() || pieces.encoded_at != blocks {
            return Err(Error::Corrupt(
                "the pieces of a head part do not use up its values".into(),
            ));
        }
        Ok(Self {
            ends,
            pieces: held,
            axes,
            encoded: Vec::new(),
            plain,
            histograms: Vec::new(),
            starts: StartLists::default(),
        })
    }

    pub fn has_histograms(&self) -> bool {
        !self.histograms.is_empty()
    }

    /// The native histograms: their number of pieces, then each. Returns for each piece the list of its starts.
    pub fn put_histograms(&self, out: &mut Vec<u8>) -> Vec<u32> {
        let mut encoder = HistogramEncoder::default();
        let mut chunks: Vec<(&HistogramPiece, Arc<Chunk>)> = Vec::new();
        for piece in &self.histograms {
            match &piece.held {
                Held::Encoded(chunk) => chunks.push((piece, Arc::clone(chunk))),
                Held::Plain(histograms) => {
                    let encoded = chunks_of(histograms, &mut encoder);
                    chunks.extend(encoded.into_iter().map(|chunk| (piece, chunk)));
                }
            }
        }
        put_varint(out, chunks.len() as u64);
        let mut row = 0;
        let mut starts = Vec::with_capacity(chunks.len());
        for (piece, chunk) in chunks {
            starts.push(piece.starts);
            put_varint(out, u64::from(piece.row - row));
            row = piece.row;
            put_varint(out, u64::from(piece.behind));
            put_signed(out, piece.window);
            put_varint(out, chunk.times.len() as u64);
            let mut before = 0;
            for &time in &chunk.times {
                put_varint(out, u64::from(time - before));
                before = time;
            }
            put_varint(out, chunk.bytes.len() as u64);
            out.extend_from_slice(&chunk.bytes);
        }
        starts
    }

    pub fn has_starts(&self) -> bool {
        self.starts.len() > 0
    }

    /// The starts: the lists, then which of them the pieces of floats have, and `of_histograms`, which those of histograms
    /// have.
    pub fn put_starts(&self, of_histograms: &[u32], out: &mut Vec<u8>) {
        put_varint(out, self.starts.len() as u64);
        let mut before = (0, 0);
        for list in 1..=self.starts.len() {
            let changes = self.starts.get(list as u32);
            put_varint(out, changes.len() as u64);
            for &(time, start) in changes {
                put_signed(out, time.wrapping_sub(before.0));
                put_signed(out, start.wrapping_sub(before.1));
                before = (time, start);
            }
        }
        let of_floats: Vec<u32> = self.pieces.iter().map(|piece| piece.starts).collect();
        for lists in [&of_floats[..], of_histograms] {
            for run in lists.chunk_by(|a, b| a == b) {
                put_varint(out, run.len() as u64);
                put_varint(out, u64::from(run[0]));
            }
        }
    }

    /// What [`Self::take_starts`] takes of memory for a section: a change has two bytes at least.
    pub fn start_memory(section: &[u8]) -> usize {
        section.len() / 2 * size_of::<(Millis, Millis)>() + section.len() * 4
    }

    /// Reads what [`Self::put_starts`] wrote. The pieces are there.
    pub fn take_starts(&mut self, section: &[u8]) -> Result<()> {
        let mut input = Input::new(section);
        let lists = input.bounded(section.len() / 3, "the lists of starts")?;
        let mut before: (Millis, Millis) = (0, 0);
        let mut changes = Vec::new();
        for list in 1..=lists {
            changes.clear();
            for _ in 0..input.bounded(input.remaining() / 2, "the starts of a list")? {
                let time = before.0.wrapping_add(input.signed()?);
                before = (time, before.1.wrapping_add(input.signed()?));
                changes.push(before);
            }
            if !changes.is_sorted_by(|a, b| a.0 < b.0) || self.starts.push(changes.drain(..)) != list as u32 {
                return Err(Error::Corrupt(format!("list {list} of starts cannot be")));
            }
        }
        let of_floats = self.pieces.iter_mut().map(|piece| &mut piece.starts);
        let of_histograms = self.histograms.iter_mut().map(|piece| &mut piece.starts);
        take_runs(&mut input, lists, of_floats)?;
        take_runs(&mut input, lists, of_histograms)?;
        input.end("starts")
    }

    /// What [`Self::take_histograms`] takes of memory for a section.
    pub fn histogram_memory(section: &[u8]) -> Result<usize> {
        let pieces = Input::new(section).bounded(section.len() / PIECE_BYTES, "the pieces of histograms")?;
        // A time takes a byte at least, and four as an offset.
        Ok(pieces * (size_of::<HistogramPiece>() + size_of::<Chunk>()) + section.len() * 4)
    }

    /// Reads what [`Self::put_histograms`] wrote.
    pub fn take_histograms(&mut self, section: &[u8]) -> Result<()> {
        let mut input = Input::new(section);
        let pieces = input.bounded(section.len() / PIECE_BYTES, "the pieces of histograms")?;
        let mut row = 0;
        self.histograms.reserve_exact(pieces);
        for _ in 0..pieces {
            row += input.bounded(self.ends.len().saturating_sub(row + 1), "the row of histograms")?;
            let behind = input.bounded(u32::MAX as usize, "the pieces before histograms")? as u32;
            let window = input.signed()?;
            let len = input.bounded(CHUNK.min(input.remaining()), "the times of histograms")?;
            let mut times = Vec::with_capacity(len);
            let mut time = 0_u32;
            for at in 0..len {
                let step = input.bounded((u32::MAX - time) as usize, "the time of a histogram")? as u32;
                time += step;
                if at > 0 && step == 0 {
                    return Err(Error::Corrupt("two histograms of a head part at one time".into()));
                }
                times.push(time);
            }
            if len == 0 || window.checked_add(Millis::from(time)).is_none() {
                return Err(Error::Corrupt("histograms of a head part without times".into()));
            }
            let bytes = input.bounded(input.remaining(), "the bytes of histograms")?;
            let chunk = Chunk::new(times.into(), input.take(bytes)?.into());
            self.histograms.push(HistogramPiece {
                row: row as u32,
                behind,
                starts: 0,
                window,
                held: Held::Encoded(Arc::new(chunk)),
            });
        }
        input.end("histograms")
    }

    /// Takes the bytes in which the encoded blocks begin at `start` and go to the end.
    pub fn borrow_blocks(&mut self, bytes: Vec<u8>, start: usize) {
        self.encoded = bytes;
        for piece in &mut self.pieces {
            piece.encoded_at += start;
        }
    }
}

/// Gives each piece the number of its list.
fn take_runs<'p>(
    input: &mut Input<'_>,
    lists: usize,
    pieces: impl ExactSizeIterator<Item = &'p mut u32>,
) -> Result<()> {
    let (mut left, mut number) = (0, 0);
    let mut more = pieces.len();
    for starts in pieces {
        if left == 0 {
            left = input.bounded(more, "pieces with a list of starts")?;
            number = input.bounded(lists, "a list of starts")? as u32;
            if left == 0 {
                return Err(Error::Corrupt("a list of starts for no piece".into()));
            }
        }
        *starts = number;
        (left, more) = (left - 1, more - 1);
    }
    Ok(())
}

struct PieceReader<'a> {
    input: Input<'a>,
    axes: &'a Axes,
    before: Piece,
    encoded_at: usize,
    encoded_end: usize,
    plain_at: usize,
    plain_end: usize,
}

impl PieceReader<'_> {
    fn next(&mut self) -> Result<Piece> {
        let mut piece = self.before;
        if self.input.bounded(1, "whether a piece is another one")? == 1 {
            let axis = i64::from(piece.axis).checked_add(self.input.signed()?);
            piece.axis = axis
                .and_then(|axis| u32::try_from(axis).ok())
                .ok_or_else(|| Error::Corrupt("a piece is of an axis that cannot be".into()))?;
            let limit = u32::MAX as usize;
            piece.first = self.input.bounded(limit, "the first place of a piece")? as u32;
            piece.count = self.input.bounded(limit, "the samples of a piece")? as u32;
            piece.encoded =
                self.input
                    .bounded(piece.count as usize, "the encoded samples of a piece")? as u32;
            piece.skipped = self.input.bounded(RUN - 1, "the values to skip")? as u32;
        }
        let times = if (piece.axis as usize) < self.axes.len() {
            self.axes.get(piece.axis).len()
        } else {
            0
        };
        if piece.count == 0 || piece.first as usize + piece.count as usize > times {
            return Err(Error::Corrupt(format!(
                "a piece of {} samples from place {} on does not fit an axis of {times}",
                piece.count, piece.first
            )));
        }
        (piece.encoded_at, piece.plain_at) = (self.encoded_at, self.plain_at);
        if piece.encoded > 0 {
            self.encoded_at += self
                .input
                .bounded(self.encoded_end - self.encoded_at, "the encoded bytes of a piece")?;
        }
        let plain = (piece.count - piece.encoded) as usize;
        if plain > self.plain_end - self.plain_at {
            return Err(Error::Corrupt(
                "a piece has more plain values than there are".into(),
            ));
        }
        self.plain_at += plain;
        self.before = piece;
        Ok(piece)
    }
}

/// `[length] [first, from the axis before] [least step] [width] [steps less the least, width bits each]`
fn put_axis(times: &[Millis], before: &mut Millis, out: &mut Vec<u8>) {
    put_varint(out, times.len() as u64);
    let Some(&first) = times.first() else { return };
    put_signed(out, first.wrapping_sub(*before));
    *before = first;
    let steps = || times.windows(2).map(|pair| pair[1].abs_diff(pair[0]));
    let Some(least) = steps().min() else { return };
    let most = steps().max().unwrap_or(least);
    let width = u64::BITS - (most - least).leading_zeros();
    debug_assert!(width <= WIDEST, "times of one window");
    put_varint(out, least);
    out.push(width as u8);
    let (mut bits, mut held) = (0_u64, 0);
    for step in steps() {
        bits |= (step - least) << held;
        held += width;
        while held >= 8 {
            out.push(bits as u8);
            bits >>= 8;
            held -= 8;
        }
    }
    if held > 0 {
        out.push(bits as u8);
    }
}

fn take_axes(counts: SampleCounts, section: &[u8]) -> Result<Axes> {
    let mut input = Input::new(section);
    let mut axes = Axes::with_capacity(counts.axes, counts.times)?;
    let mut before: Millis = 0;
    let mut left = counts.times;
    for _ in 0..counts.axes {
        let len = input.bounded(left, "the times of an axis")?;
        left -= len;
        if len == 0 {
            axes.push(std::iter::empty());
            continue;
        }
        before = before.wrapping_add(input.signed()?);
        if len == 1 {
            axes.push(std::iter::once(before));
            continue;
        }
        let least = input.bounded(i64::MAX as usize, "the least step of an axis")? as i64;
        let width = u32::from(input.u8()?);
        let steps = len - 1;
        // At least a millisecond each, so that times ascend; and none beyond the end of time.
        let longest = least.checked_add((1 << width.min(WIDEST)) - 1);
        let span = longest.and_then(|longest| longest.checked_mul(steps as i64));
        if least < 1 || width > WIDEST || span.and_then(|span| before.checked_add(span)).is_none() {
            return Err(Error::Corrupt(format!(
                "an axis of {len} times from {before} by {least} ms and {width} bits cannot be"
            )));
        }
        let packed = input.take((steps * width as usize).div_ceil(8))?;
        axes.push(Steps::new(before, least, width, packed, len));
    }
    input.end("axes")?;
    if left != 0 {
        return Err(Error::Corrupt(format!("{left} times are missing on the axes")));
    }
    Ok(axes)
}

/// The times of an axis.
struct Steps<'a> {
    time: Millis,
    least: i64,
    width: u32,
    packed: std::slice::Iter<'a, u8>,
    bits: u64,
    held: u32,
    left: usize,
}

impl<'a> Steps<'a> {
    fn new(first: Millis, least: i64, width: u32, packed: &'a [u8], len: usize) -> Self {
        Self {
            time: first,
            least,
            width,
            packed: packed.iter(),
            bits: 0,
            held: 0,
            left: len,
        }
    }
}

impl Iterator for Steps<'_> {
    type Item = Millis;

    #[inline]
    fn next(&mut self) -> Option<Millis> {
        let time = self.time;
        self.left = self.left.checked_sub(1)?;
        if self.left > 0 {
            while self.held < self.width {
                self.bits |= u64::from(*self.packed.next()?) << self.held;
                self.held += 8;
            }
            let extra = self.bits & ((1 << self.width) - 1);
            self.bits >>= self.width;
            self.held -= self.width;
            self.time += self.least + extra as i64;
        }
        Some(time)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}
