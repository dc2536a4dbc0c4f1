//! Pages: `[crc32c u32 of the rest][version u8][kind u8]`, then frames of value runs, timestamp columns, chunks of
//! histograms or start timestamps.

use std::fmt::Debug;

use super::histograms::{ChunkEntry, read_chunks};
use super::reader::BlockReader;
use crate::codec::bytes::{Input, put_varint};
use crate::model::Millis;
use crate::{Error, Result};

pub const PAGE_VERSION: u8 = 1;
pub const PAGE_HEADER: usize = 6;

/// A page is closed before it would pass this. Redis's allocator rounds up to powers of two, and headers come on top.
pub const PAGE_BYTES: usize = 65_500;
/// A page that holds one frame may be this large.
pub const PAGE_LIMIT: usize = 131_000;

/// Adds the header to a page's content.
fn seal_page(kind: PageKind, content: &[u8]) -> Vec<u8> {
    let mut page = Vec::with_capacity(PAGE_HEADER + content.len());
    page.extend_from_slice(&[0; 4]);
    page.extend_from_slice(&[PAGE_VERSION, kind as u8]);
    page.extend_from_slice(content);
    let crc = crc32c::crc32c(&page[4..]);
    page[..4].copy_from_slice(&crc.to_le_bytes());
    page
}

fn crc_of(page: &[u8]) -> u32 {
    page.first_chunk().map_or(0, |crc| u32::from_le_bytes(*crc))
}

/// Frames, chunks or rows of starts that gather for one page.
#[derive(Debug, Default)]
pub struct OpenPage {
    /// An entry for each of them.
    pub directory: Vec<u8>,
    /// What they hold, one behind the other.
    pub stored: Vec<u8>,
    count: u64,
    first: u32,
    last: u32,
    min: Millis,
    max: Millis,
}

impl OpenPage {
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether it has to be closed before `more` bytes are added.
    pub fn is_full(&self, more: usize) -> bool {
        !self.is_empty() && PAGE_HEADER + self.directory.len() + self.stored.len() + more > PAGE_BYTES
    }

    /// Counts one more, of rows `first..=last` with samples in `min..=max`. Rows ascend.
    pub fn count(&mut self, (first, last): (u32, u32), (min, max): (Millis, Millis)) {
        if self.is_empty() {
            (self.first, self.min, self.max) = (first, min, max);
        }
        (self.last, self.min, self.max) = (last, self.min.min(min), self.max.max(max));
        self.count += 1;
    }

    /// Rows and times of what it holds.
    pub fn extent(&self) -> Extent {
        Extent {
            rows: (self.first, self.last),
            span: (self.min, self.max),
        }
    }

    /// What [`Pages::push`] takes.
    pub fn content(&self) -> Vec<u8> {
        let mut content = Vec::with_capacity(self.directory.len() + self.stored.len() + 10);
        put_varint(&mut content, self.count);
        content.extend_from_slice(&self.directory);
        content.extend_from_slice(&self.stored);
        content
    }
}

/// What a page holds. They lie in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum PageKind {
    /// Runs of values.
    Values,
    /// Columns of timestamps.
    Times,
    Histograms,
    /// Start timestamps.
    Starts,
}

impl PageKind {
    pub fn of(number: u8) -> Option<Self> {
        [Self::Values, Self::Times, Self::Histograms, Self::Starts]
            .get(usize::from(number))
            .copied()
    }
}

/// Rows `rows.0..=rows.1` of which a page holds something (others may hold more of the same rows), with samples in
/// `span.0..=span.1`. A page of timestamps has none of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Extent {
    pub rows: (u32, u32),
    pub span: (Millis, Millis),
}

impl Extent {
    pub fn overlaps(&self, (min, max): (Millis, Millis)) -> bool {
        self.span.0 <= max && self.span.1 >= min
    }
}

/// What the root says about a page.
#[derive(Debug, Clone, Copy)]
pub struct PageEntry {
    pub len: u32,
    pub crc: u32,
    pub kind: PageKind,
    pub extent: Extent,
}

/// Pages that are finished, and what the root will say about them.
#[derive(Debug, Default)]
pub struct Pages {
    pub entries: Vec<PageEntry>,
    pub bytes: Vec<Vec<u8>>,
}

impl Pages {
    pub fn push(&mut self, kind: PageKind, extent: Extent, content: &[u8]) {
        let page = seal_page(kind, content);
        debug_assert!(page.len() <= PAGE_LIMIT, "a page of {} bytes", page.len());
        self.entries.push(PageEntry {
            len: page.len() as u32,
            crc: crc_of(&page),
            kind,
            extent,
        });
        self.bytes.push(page);
    }

    /// Closes a page, unless it is empty.
    pub fn close(&mut self, kind: PageKind, page: &mut OpenPage) {
        let page = std::mem::take(page);
        if !page.is_empty() {
            self.push(kind, page.extent(), &page.content());
        }
    }

    /// Adds pages of a later kind.
    pub fn append(&mut self, mut later: Self) {
        self.entries.append(&mut later.entries);
        self.bytes.append(&mut later.bytes);
    }
}

/// Runs of `rows` consecutive rows from `first_row`, of each the runs `first_run..first_run + runs` as far as it has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    pub first_row: u32,
    pub rows: u32,
    pub first_run: u32,
    pub runs: u32,
    /// Where the compressed bytes lie in the page.
    pub start: u32,
    pub end: u32,
}

/// The most runs in a frame, so that one frame of incompressible values fits a page.
pub const FRAME_RUNS: usize = 64;

/// Appends a frame's directory entry.
pub fn put_frame(out: &mut Vec<u8>, first_row: u32, rows: u32, first_run: u32, runs: u32, stored: usize) {
    for number in [
        u64::from(first_row),
        u64::from(rows),
        u64::from(first_run),
        u64::from(runs),
        stored as u64,
    ] {
        put_varint(out, number);
    }
}

fn read_frames(page: &[u8]) -> Result<Vec<Frame>> {
    let mut input = Input::new(&page[PAGE_HEADER..]);
    let count = input.bounded(page.len() / 5, "frame count")?;
    let mut frames = Vec::with_capacity(count);
    let mut end = 0;
    for _ in 0..count {
        let first_row = input.bounded(u32::MAX as usize / 2, "first row of a frame")? as u32;
        let rows = input.bounded(FRAME_RUNS, "rows of a frame")? as u32;
        let first_run = input.bounded(u32::MAX as usize / 2, "first run of a frame")? as u32;
        let runs = input.bounded(FRAME_RUNS, "runs of a frame")? as u32;
        let start = end;
        end += input.bounded(page.len(), "stored length of a frame")? as u32;
        if rows == 0 || runs == 0 || (rows * runs) as usize > FRAME_RUNS {
            return Err(Error::Corrupt(format!("a frame of {rows} rows with {runs} runs")));
        }
        frames.push(Frame {
            first_row,
            rows,
            first_run,
            runs,
            start,
            end,
        });
    }
    let base = PAGE_HEADER + input.position();
    if base + end as usize != page.len() {
        return Err(Error::Corrupt(format!(
            "frames end at byte {} of a page of {}",
            base + end as usize,
            page.len()
        )));
    }
    for frame in &mut frames {
        frame.start += base as u32;
        frame.end += base as u32;
    }
    Ok(frames)
}

/// The bytes of a page, in whatever holds them, so that nothing is copied.
pub trait PageBytes: AsRef<[u8]> + Debug + Send + Sync + 'static {}

impl<T: AsRef<[u8]> + Debug + Send + Sync + 'static> PageBytes for T {}

#[derive(Debug)]
struct Supplied {
    bytes: Box<dyn PageBytes>,
    frames: Vec<Frame>,
    chunks: Vec<ChunkEntry>,
}

/// The pages of one block that a query was supplied with, each checked against the root.
#[derive(Debug, Default)]
pub struct PageSet {
    pages: Vec<Option<Supplied>>,
}

impl PageSet {
    /// `supplied` pairs page numbers with their bytes. Pages inlined in the root need not be supplied.
    pub fn new<B: PageBytes>(
        reader: &BlockReader,
        supplied: impl IntoIterator<Item = (u32, B)>,
    ) -> Result<Self> {
        let mut set = Self { pages: Vec::new() };
        set.pages.resize_with(reader.page_entries().len(), || None);
        for (number, page) in reader.inline_pages().iter().enumerate() {
            set.put(reader, number as u32, Box::new(page.clone()))?;
        }
        for (number, page) in supplied {
            set.put(reader, number, Box::new(page))?;
        }
        Ok(set)
    }

    fn put(&mut self, reader: &BlockReader, number: u32, held: Box<dyn PageBytes>) -> Result<()> {
        let bytes = (*held).as_ref();
        let Some(entry) = reader.page_entries().get(number as usize) else {
            return Err(Error::Corrupt(format!(
                "page {number} of a block of {}",
                reader.page_entries().len()
            )));
        };
        if bytes.len() != entry.len as usize || bytes.len() < PAGE_HEADER {
            return Err(Error::Corrupt(format!(
                "page {number} has {} bytes, not {}",
                bytes.len(),
                entry.len
            )));
        }
        let crc = crc32c::crc32c(&bytes[4..]);
        if crc != entry.crc || crc_of(bytes) != crc {
            return Err(Error::Corrupt(format!(
                "page {number} of {} bytes has checksum {crc:08x}, the block says {:08x}",
                bytes.len(),
                entry.crc
            )));
        }
        if bytes[4] != PAGE_VERSION {
            return Err(Error::Unsupported(format!(
                "page {number} has format {}, this build reads {PAGE_VERSION}",
                bytes[4]
            )));
        }
        if bytes[5] != entry.kind as u8 {
            return Err(Error::Corrupt(format!(
                "page {number} is of kind {}, not {}",
                bytes[5], entry.kind as u8
            )));
        }
        let (mut frames, mut chunks) = (Vec::new(), Vec::new());
        match entry.kind {
            PageKind::Values => frames = read_frames(bytes)?,
            PageKind::Histograms => chunks = read_chunks(bytes, entry.extent.rows.0)?,
            PageKind::Times | PageKind::Starts => {}
        }
        self.pages[number as usize] = Some(Supplied {
            bytes: held,
            frames,
            chunks,
        });
        Ok(())
    }

    fn page(&self, number: u32) -> Result<&Supplied> {
        let page = self.pages.get(number as usize).and_then(Option::as_ref);
        page.ok_or_else(|| Error::Corrupt(format!("page {number} was not supplied")))
    }

    fn bytes(&self, number: u32) -> Result<&[u8]> {
        Ok((*self.page(number)?.bytes).as_ref())
    }

    pub(super) fn frames(&self, number: u32) -> Result<&[Frame]> {
        Ok(&self.page(number)?.frames)
    }

    pub(super) fn frame_bytes(&self, number: u32, frame: &Frame) -> Result<&[u8]> {
        Ok(&self.bytes(number)?[frame.start as usize..frame.end as usize])
    }

    pub(super) fn chunks(&self, number: u32) -> Result<&[ChunkEntry]> {
        Ok(&self.page(number)?.chunks)
    }

    pub(super) fn chunk_bytes(&self, number: u32, start: u32, end: u32) -> Result<&[u8]> {
        Ok(&self.bytes(number)?[start as usize..end as usize])
    }

    /// The content of a page of timestamps or starts.
    pub(super) fn content(&self, number: u32) -> Result<&[u8]> {
        Ok(&self.bytes(number)?[PAGE_HEADER..])
    }

    /// Bytes held.
    pub fn memory_bytes(&self) -> usize {
        let held = |page: &Supplied| {
            let chunks = page.chunks.iter().map(ChunkEntry::memory_bytes);
            (*page.bytes).as_ref().len() + page.frames.capacity() * size_of::<Frame>() + chunks.sum::<usize>()
        };
        self.pages.iter().flatten().map(held).sum()
    }
}
