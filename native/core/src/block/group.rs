//! The writer's side of values: rows gather in a group, a group is cut into frames, frames fill pages.

use super::page::{Extent, FRAME_RUNS, OpenPage, PAGE_BYTES, PAGE_HEADER, PageKind, Pages, put_frame};
use super::slices::ColumnSink;
use crate::Result;
use crate::codec::RUN;
use crate::codec::bytes::put_varint;
use crate::codec::squeeze::Squeezer;
use crate::codec::values::{RunEncoder, RunInts};
use crate::model::Millis;

/// Rows of a group; a reader of one row decompresses the frames of its whole group.
const GROUP_ROWS: usize = 64;
/// Samples of a group, unless a single row has more.
const GROUP_SAMPLES: usize = 256 << 10;
/// zstd level of frames: they are cut once and read often.
const FRAME_LEVEL: i32 = 3;
/// Compressed only if that saves at least a sixteenth: decompression costs more than the fetch of what it saves.
const FRAME_GAIN: usize = 16;

#[derive(Debug)]
struct Run {
    start: usize,
    end: usize,
    min: Millis,
    max: Millis,
}

/// Turns rows into value pages.
#[derive(Debug)]
pub struct ValuePages {
    encoder: RunEncoder,
    squeezer: Squeezer,
    /// Encoded runs of the open group, and where they lie, by row.
    bytes: Vec<u8>,
    rows: Vec<Vec<Run>>,
    /// The integers of the last row's runs.
    above: Vec<RunInts>,
    first_row: u32,
    samples: usize,
    page: OpenPage,
    pub pages: Pages,
}

impl ValuePages {
    pub fn new() -> Result<Self> {
        Ok(Self {
            encoder: RunEncoder::default(),
            squeezer: Squeezer::new(FRAME_LEVEL)?,
            bytes: Vec::new(),
            rows: Vec::new(),
            above: Vec::new(),
            first_row: 0,
            samples: 0,
            page: OpenPage::default(),
            pages: Pages::default(),
        })
    }

    /// Adds a row; `same_times` says that the row above has the very same timestamps.
    pub fn add(&mut self, times: &[Millis], values: &[f64], same_times: bool) -> Result<()> {
        if self.rows.len() == GROUP_ROWS
            || (!self.rows.is_empty() && self.samples + times.len() > GROUP_SAMPLES)
        {
            self.flush_group()?;
        }
        let mut runs = Vec::with_capacity(times.len().div_ceil(RUN));
        let comparable = same_times && !self.rows.is_empty();
        self.above
            .resize_with(times.len().div_ceil(RUN), RunInts::default);
        for ((times, values), above) in times.chunks(RUN).zip(values.chunks(RUN)).zip(&mut self.above) {
            let start = self.bytes.len();
            self.encoder.encode(values, above, comparable, &mut self.bytes);
            runs.push(Run {
                start,
                end: self.bytes.len(),
                min: times[0],
                max: times[times.len() - 1],
            });
        }
        self.rows.push(runs);
        self.samples += times.len();
        Ok(())
    }

    fn flush_group(&mut self) -> Result<()> {
        let longest = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let step = (FRAME_RUNS / self.rows.len().max(1)).max(1);
        let (mut raw, mut packed) = (Vec::new(), Vec::new());
        for first_run in (0..longest).step_by(step) {
            let of_row = |row: &'_ Vec<Run>| first_run.min(row.len())..(first_run + step).min(row.len());
            raw.clear();
            packed.clear();
            let (mut min, mut max) = (Millis::MAX, Millis::MIN);
            for row in &self.rows {
                for run in &row[of_row(row)] {
                    put_varint(&mut raw, (run.end - run.start) as u64);
                    (min, max) = (min.min(run.min), max.max(run.max));
                }
            }
            for row in &self.rows {
                for run in &row[of_row(row)] {
                    raw.extend_from_slice(&self.bytes[run.start..run.end]);
                }
            }
            self.squeezer.put(&mut packed, &raw, FRAME_GAIN)?;
            if self.page.is_full(packed.len() + 32) {
                self.pages.close(PageKind::Values, &mut self.page);
            }
            let page = &mut self.page;
            let last = self.first_row + self.rows.len() as u32 - 1;
            page.count((self.first_row, last), (min, max));
            let runs = step.min(longest - first_run) as u32;
            let rows = self.rows.len() as u32;
            put_frame(
                &mut page.directory,
                self.first_row,
                rows,
                first_run as u32,
                runs,
                packed.len(),
            );
            page.stored.extend_from_slice(&packed);
        }
        self.first_row += self.rows.len() as u32;
        self.rows.clear();
        self.bytes.clear();
        self.samples = 0;
        Ok(())
    }

    /// Closes the open group and page.
    pub fn finish(&mut self) -> Result<()> {
        if !self.rows.is_empty() {
            self.flush_group()?;
        }
        self.pages.close(PageKind::Values, &mut self.page);
        Ok(())
    }

    /// Appends timestamp pages. Value pages must be finished.
    pub fn push_times(&mut self, columns: ColumnPages) {
        for content in columns.pages {
            self.pages.push(PageKind::Times, Extent::default(), &content);
        }
    }
}

/// Timestamp columns on their way into pages.
#[derive(Debug, Default)]
pub struct ColumnPages {
    pages: Vec<Vec<u8>>,
}

impl ColumnSink for ColumnPages {
    fn store(&mut self, bytes: &[u8]) -> (usize, usize) {
        match self.pages.last_mut() {
            Some(page) if page.len() + bytes.len() + PAGE_HEADER <= PAGE_BYTES => {
                page.extend_from_slice(bytes);
            }
            _ => self.pages.push(bytes.to_vec()),
        }
        let page = self.pages.len() - 1;
        (page, self.pages[page].len() - bytes.len())
    }
}
