//! Reads samples of a block's rows from supplied pages.

use hashbrown::HashMap;

use super::digest::{Digest, series_key};
use super::histograms::HistogramCursor;
use super::page::{Frame, PageSet};
use super::reader::BlockReader;
use super::starts::StartCursor;
use super::times::{Column, ColumnBytes};
use crate::codec::bytes::Input;
use crate::codec::squeeze::Unsqueezer;
use crate::codec::{RUN, times, values};
use crate::model::{Millis, Samples};
use crate::{Error, Result};

/// More than one frame of incompressible values can hold.
const FRAME_LIMIT: usize = 256 << 10;
/// Timestamps kept for rows to come; beyond it the cache starts afresh.
const KEPT_TIMES: usize = 2 << 20;

/// Decodes rows; ascending rows with unchanged times are the fast way. Holds the frames of one group of rows and the timestamps met.
#[derive(Debug)]
pub struct BlockCursor<'a> {
    reader: &'a BlockReader,
    pages: &'a PageSet,
    window: (Millis, Millis),
    cuts: HashMap<u32, Cut>,
    kept_times: usize,
    next_key: u64,
    frames: Vec<LoadedFrame>,
    spare: Vec<LoadedFrame>,
    unsqueezer: Unsqueezer,
    numbers: Vec<i64>,
    values: Vec<f64>,
    histograms: HistogramCursor,
    /// Of a cursor that reads them.
    starts: Option<StartCursor>,
}

/// The part of a slice that lies in the cursor's window.
#[derive(Debug)]
struct Cut {
    /// Samples of the slice before `times[0]`.
    skipped: usize,
    times: Vec<Millis>,
    key: u64,
}

#[derive(Debug)]
struct LoadedFrame {
    frame: Frame,
    raw: Vec<u8>,
    /// Ends of the runs in `raw`, by row and run; a run that a shorter row lacks has no bytes.
    ends: Vec<u32>,
    body: usize,
    /// By run: the row decoded last, and its integers, on which the next row may lean.
    last: Vec<(u32, Vec<i64>)>,
}

impl<'a> BlockCursor<'a> {
    pub fn new(reader: &'a BlockReader, pages: &'a PageSet) -> Result<Self> {
        Ok(Self {
            reader,
            pages,
            window: (0, -1),
            cuts: HashMap::new(),
            kept_times: 0,
            next_key: 1,
            frames: Vec::new(),
            spare: Vec::new(),
            unsqueezer: Unsqueezer::default(),
            numbers: Vec::new(),
            values: Vec::new(),
            histograms: HistogramCursor::default(),
            starts: Some(StartCursor::default()),
        })
    }

    /// One that reads no start timestamps, and needs no pages of them.
    #[must_use]
    pub fn without_starts(self) -> Self {
        Self { starts: None, ..self }
    }

    /// The samples of `row` with `min <= time <= max`. `times_key` counts up from 1; each stands for one list of times.
    pub fn read(&mut self, row: u32, min: Millis, max: Millis) -> Result<Samples<'_>> {
        if row as usize >= self.reader.series() {
            return Err(Error::BadData(format!(
                "row {row} of a block of {}",
                self.reader.series()
            )));
        }
        if self.window != (min, max) || self.kept_times > KEPT_TIMES {
            self.cuts.clear();
            (self.window, self.kept_times) = ((min, max), 0);
        }
        let slice = self.reader.times().slice_of(row);
        if !self.cuts.contains_key(&slice) {
            let (skipped, times) = cut(self.reader, self.pages, slice, (min, max))?;
            self.kept_times += times.len();
            self.cuts.insert(
                slice,
                Cut {
                    skipped,
                    times,
                    key: self.next_key,
                },
            );
            self.next_key += 1;
        }
        let (skipped, len) = match self.cuts.get(&slice) {
            Some(cut) => (cut.skipped, cut.times.len()),
            None => (0, 0),
        };
        self.values.clear();
        let total = self.reader.samples_of(row) as usize;
        let first_run = skipped / RUN;
        if len > 0 {
            for run in first_run..=(skipped + len - 1) / RUN {
                let in_run = RUN.min(total - run * RUN);
                self.decode(row, run as u32, in_run)?;
            }
        }
        let start = if len == 0 { 0 } else { skipped - first_run * RUN };
        self.histograms
            .read(self.reader, self.pages, row, (skipped, len), (min, max))?;
        let mut starts: &[Millis] = &[];
        if let Some(cursor) = &mut self.starts {
            starts = cursor.read(self.reader, self.pages, row, (skipped, len), (min, max))?;
        }
        match (self.cuts.get(&slice), self.values.get(start..start + len)) {
            (Some(cut), Some(values)) => Ok(Samples {
                histograms: &self.histograms.found,
                starts,
                ..Samples::floats(&cut.times, values, cut.key)
            }),
            _ => Err(Error::Corrupt(format!("row {row} has fewer values than times"))),
        }
    }

    /// Decodes every row and returns the digest; fails if it is not the one the root names.
    pub fn verify(&mut self) -> Result<u128> {
        let reader = self.reader;
        let mut digest = Digest::default();
        for row in 0..reader.series() as u32 {
            let labels = reader
                .labels(row)
                .map(|(name, value)| (reader.symbol(name), reader.symbol(value)));
            let key = series_key(reader.uid(), labels);
            let samples = self.read(row, Millis::MIN, Millis::MAX)?;
            digest.add(key, samples);
        }
        if digest.value() != reader.digest() {
            return Err(Error::Corrupt(format!(
                "the {} samples of a block have digest {:032x}, not {:032x}",
                reader.samples(),
                digest.value(),
                reader.digest()
            )));
        }
        Ok(digest.value())
    }

    fn decode(&mut self, row: u32, run: u32, len: usize) -> Result<()> {
        let found = match self
            .frames
            .iter()
            .position(|loaded| holds(&loaded.frame, row, run))
        {
            Some(found) => found,
            None => self.load(row, run)?,
        };
        let loaded = &mut self.frames[found];
        let column = (run - loaded.frame.first_run) as usize;
        // Back to a row that stands alone or follows the one decoded last.
        let mut from = row;
        while values::needs_reference(loaded.run(from, column))
            && loaded.last[column].0 != from.wrapping_sub(1)
            && from > loaded.frame.first_row
        {
            from -= 1;
        }
        let start = self.values.len();
        for row in from..=row {
            self.values.truncate(start);
            let (_, above) = &loaded.last[column];
            values::decode(
                loaded.run(row, column),
                len,
                Some(above),
                &mut self.numbers,
                &mut self.values,
            )?;
            let (last, above) = &mut loaded.last[column];
            std::mem::swap(above, &mut self.numbers);
            *last = row;
        }
        Ok(())
    }

    /// Finds and decompresses the frame that holds a run; returns its place in `frames`.
    fn load(&mut self, row: u32, run: u32) -> Result<usize> {
        let mut number = self.reader.first_page_of(row, 0);
        let (number, frame) = loop {
            if number >= self.reader.value_pages() {
                return Err(Error::Corrupt(format!(
                    "run {run} of row {row} is in no page supplied"
                )));
            }
            if let Ok(frames) = self.pages.frames(number as u32) {
                let from = frames.partition_point(|frame| frame.first_row + frame.rows <= row);
                if let Some(frame) = frames[from..].iter().find(|frame| holds(frame, row, run)) {
                    break (number as u32, *frame);
                }
            }
            number += 1;
        };
        if self
            .frames
            .first()
            .is_some_and(|loaded| loaded.frame.first_row != frame.first_row)
        {
            self.spare.append(&mut self.frames);
        }
        let mut loaded = self.spare.pop().unwrap_or_else(|| LoadedFrame {
            frame,
            raw: Vec::new(),
            ends: Vec::new(),
            body: 0,
            last: Vec::new(),
        });
        loaded.frame = frame;
        self.unsqueezer.take(
            self.pages.frame_bytes(number, &frame)?,
            FRAME_LIMIT,
            &mut loaded.raw,
        )?;
        loaded.index(self.reader)?;
        self.frames.push(loaded);
        Ok(self.frames.len() - 1)
    }
}

fn holds(frame: &Frame, row: u32, run: u32) -> bool {
    (frame.first_row..frame.first_row + frame.rows).contains(&row)
        && (frame.first_run..frame.first_run + frame.runs).contains(&run)
}

impl LoadedFrame {
    /// The bytes of the run in a column of the frame.
    fn run(&self, row: u32, column: usize) -> &[u8] {
        let place = (row - self.frame.first_row) as usize * self.frame.runs as usize + column;
        let start = if place == 0 { 0 } else { self.ends[place - 1] } as usize;
        &self.raw[self.body + start..self.body + self.ends[place] as usize]
    }

    /// Reads the lengths that precede the runs.
    fn index(&mut self, reader: &BlockReader) -> Result<()> {
        let frame = self.frame;
        if (frame.first_row + frame.rows) as usize > reader.series() {
            return Err(Error::Corrupt(format!(
                "a frame of rows beyond the {} of the block",
                reader.series()
            )));
        }
        let mut input = Input::new(&self.raw);
        let mut end = 0;
        self.ends.clear();
        for row in frame.first_row..frame.first_row + frame.rows {
            let has = (reader.samples_of(row) as usize).div_ceil(RUN) as u32;
            for run in frame.first_run..frame.first_run + frame.runs {
                if run < has {
                    end += input.bounded(self.raw.len(), "length of a run")?;
                }
                self.ends.push(end as u32);
            }
        }
        self.body = input.position();
        self.last.resize_with(frame.runs as usize, Default::default);
        for (row, _) in &mut self.last {
            *row = u32::MAX;
        }
        if end != input.remaining() {
            return Err(Error::Corrupt(format!(
                "{} bytes for runs of {end}",
                input.remaining()
            )));
        }
        Ok(())
    }
}

/// The times of a slice in `min..=max`, and how many precede them.
fn cut(
    reader: &BlockReader,
    pages: &PageSet,
    slice: u32,
    window: (Millis, Millis),
) -> Result<(usize, Vec<Millis>)> {
    let slice = reader.times().slice(slice);
    let gaps = reader.times().gaps(slice);
    let (skipped, mut times) = column_times(reader, pages, reader.times().column_of(slice), window)?;
    // From rows of the column to rows of the slice.
    let before = (slice.first as usize).saturating_sub(skipped).min(times.len());
    times.drain(..before);
    let start = (skipped + before).saturating_sub(slice.first as usize);
    times.truncate((slice.len as usize + gaps.len()).saturating_sub(start));
    let passed = gaps.partition_point(|&gap| (gap as usize) < start);
    let (mut gaps, mut row) = (gaps[passed..].iter().peekable(), start as u32);
    times.retain(|_| {
        let missing = gaps.next_if_eq(&&row).is_some();
        row += 1;
        !missing
    });
    Ok((start - passed, times))
}

/// The times of a column in `min..=max`, and how many precede them.
fn column_times(
    reader: &BlockReader,
    pages: &PageSet,
    column: &Column,
    (min, max): (Millis, Millis),
) -> Result<(usize, Vec<Millis>)> {
    let len = i128::from(column.len);
    match column.bytes {
        ColumnBytes::Regular { step } => {
            let (first, step) = (i128::from(column.first), i128::from(step));
            let start = (i128::from(min) - first + step - 1)
                .div_euclid(step)
                .clamp(0, len);
            let end = ((i128::from(max) - first).div_euclid(step) + 1).clamp(start, len);
            Ok((
                start as usize,
                (start..end).map(|row| (first + row * step) as Millis).collect(),
            ))
        }
        ColumnBytes::Stored {
            page,
            position,
            len: stored,
        } => {
            let content = pages.content(reader.value_pages() as u32 + page)?;
            let bytes = content
                .get(position as usize..)
                .and_then(|rest| rest.get(..stored as usize));
            let bytes = bytes.ok_or_else(|| {
                Error::Corrupt(format!(
                    "a column of {stored} bytes at {position} of {}",
                    content.len()
                ))
            })?;
            let mut times = Vec::new();
            let skipped = times::decode(bytes, column.first, column.len as usize, (min, max), &mut times)?;
            Ok((skipped, times))
        }
    }
}
