//! An opened root: everything about a block but its samples.

use std::ops::Range;

use super::labels::Labels;
use super::page::{Extent, PAGE_HEADER, PAGE_LIMIT, PageEntry, PageKind};
use super::select::{Postings, select};
use super::times::{Column, ColumnBytes, Times};
use super::writer::{ROOT_HEADER, ROOT_MAGIC, ROOT_VERSION};
use crate::codec::bytes::Input;
use crate::codec::squeeze::Unsqueezer;
use crate::model::{Matcher, Millis, Uid};
use crate::{Error, Result};

/// No section of a root is larger.
const SECTION_LIMIT: usize = 1 << 30;

/// Compressed bytes of a block by part.
#[derive(Debug, Default, Clone, Copy)]
pub struct Sizes {
    pub symbols: usize,
    pub rows: usize,
    /// Directory of columns and slices, and timestamp pages.
    pub times: usize,
    /// Directory of pages, and value pages.
    pub values: usize,
}

/// The index of one block. Immutable; opened from the root's bytes, which are not kept.
#[derive(Debug)]
pub struct BlockReader {
    uid: Uid,
    digest: u128,
    samples: u64,
    span: (Millis, Millis),
    labels: Labels,
    postings: Postings,
    times: Times,
    pages: Vec<PageEntry>,
    inline: Vec<Vec<u8>>,
    sizes: Sizes,
}

impl BlockReader {
    pub fn open(root: &[u8]) -> Result<Self> {
        let mut input = Input::new(root);
        let magic: [u8; 3] = input.array()?;
        let version = input.u8()?;
        if magic != ROOT_MAGIC {
            return Err(Error::Corrupt(format!(
                "{} bytes that are not a block's root",
                root.len()
            )));
        }
        if version == 0 || version > ROOT_VERSION {
            return Err(Error::Unsupported(format!(
                "the root of a block has format {version}, this build reads {ROOT_VERSION}"
            )));
        }
        let (said, is) = (input.u32()?, crc32c::crc32c(&root[ROOT_HEADER..]));
        if said != is {
            return Err(Error::Corrupt(format!(
                "the {} bytes of a root have checksum {is:08x}, not {said:08x}",
                root.len()
            )));
        }
        let uid = Uid(input.array()?);
        let digest = u128::from_le_bytes(input.array()?);
        let series = input.bounded(1 << 30, "series count")?;
        let samples = input.varint()?;
        let span = (input.signed()?, input.signed()?);
        let mut unsqueezer = Unsqueezer::default();
        let mut sizes = Sizes::default();
        let mut section = |size: &mut usize| -> Result<Vec<u8>> {
            *size = input.bounded(root.len(), "length of a section")?;
            let mut raw = Vec::new();
            unsqueezer.take(input.take(*size)?, SECTION_LIMIT, &mut raw)?;
            Ok(raw)
        };
        let labels = {
            let (symbols, rows) = (section(&mut sizes.symbols)?, section(&mut sizes.rows)?);
            Labels::read(&symbols, &rows, series)?
        };
        let times = Times::read(&section(&mut sizes.times)?, series)?;
        let pages = read_pages(&section(&mut sizes.values)?, series)?;
        for page in &pages {
            let size = if page.kind == PageKind::Times {
                &mut sizes.times
            } else {
                &mut sizes.values
            };
            *size += page.len as usize;
        }
        let mut inline = Vec::new();
        if input.u8()? == 1 {
            for page in &pages {
                inline.push(input.take(page.len as usize)?.to_vec());
            }
        }
        input.end("root")?;
        let counted: u64 = (0..series as u32)
            .map(|row| u64::from(times.samples_of(row)))
            .sum();
        if counted != samples {
            return Err(Error::Corrupt(format!(
                "{counted} samples in the index, {samples} announced"
            )));
        }
        let time_pages = pages.iter().filter(|page| page.kind == PageKind::Times).count();
        if times.timestamp_pages() > time_pages {
            return Err(Error::Corrupt(format!(
                "columns lie in {} timestamp pages of {time_pages}",
                times.timestamp_pages()
            )));
        }
        let postings = Postings::of(&labels);
        Ok(Self {
            uid,
            digest,
            samples,
            span,
            labels,
            postings,
            times,
            pages,
            inline,
            sizes,
        })
    }

    pub fn uid(&self) -> Uid {
        self.uid
    }

    /// The [`super::Digest`] of all samples.
    pub fn digest(&self) -> u128 {
        self.digest
    }

    pub fn series(&self) -> usize {
        self.labels.rows()
    }

    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// Times of the first and the last sample of the block.
    pub fn time_span(&self) -> (Millis, Millis) {
        self.span
    }

    /// Distinct strings; ids are dense and ascend with the text.
    pub fn symbols(&self) -> usize {
        self.labels.symbols()
    }

    pub fn symbol(&self, id: u32) -> &str {
        self.labels.symbol(id)
    }

    pub fn find_symbol(&self, text: &str) -> Option<u32> {
        self.labels.find_symbol(text)
    }

    /// The distinct (name symbol, value symbol) pairs of the block, ascending by name, then value. A pair's number is its place here.
    pub fn pairs(&self) -> &[(u32, u32)] {
        self.labels.pairs()
    }

    /// The numbers of the pairs of one label name.
    pub fn pairs_of(&self, name: u32) -> Range<u32> {
        self.labels.pairs_of(name)
    }

    /// The pair numbers of a row, sorted by label name: one look-up per label for a caller that maps pairs to its own ids.
    pub fn row_pairs(&self, row: u32) -> &[u32] {
        self.labels.row(row)
    }

    /// (name symbol, value symbol) of a row, sorted by label name.
    pub fn labels(&self, row: u32) -> impl ExactSizeIterator<Item = (u32, u32)> + '_ {
        self.labels
            .row(row)
            .iter()
            .map(|&pair| self.labels.pairs()[pair as usize])
    }

    /// Ascending rows that satisfy every matcher.
    pub fn select(&self, matchers: &[Matcher]) -> Vec<u32> {
        select(&self.labels, &self.postings, matchers)
    }

    /// A time range that holds all samples of a row, exact unless the row left out the ends of its column.
    pub fn span(&self, row: u32) -> (Millis, Millis) {
        self.times.span_of(row)
    }

    /// Samples of a row.
    pub fn samples_of(&self, row: u32) -> u32 {
        self.times.samples_of(row)
    }

    /// The pages a cursor needs to read these rows (ascending) within a window, both ends included; none if the root holds
    /// them all. `with_starts`: as a cursor that reads start timestamps needs them.
    pub fn pages_for(&self, rows: &[u32], window: (Millis, Millis), with_starts: bool) -> Vec<u32> {
        if !self.inline.is_empty() {
            return Vec::new();
        }
        let mut wanted = vec![false; self.pages.len()];
        let values = self.value_pages();
        let beside: &[PageKind] = if with_starts {
            &[PageKind::Histograms, PageKind::Starts]
        } else {
            &[PageKind::Histograms]
        };
        let mut start = 0;
        for &row in rows {
            let (first, last) = self.span(row);
            if first > window.1 || last < window.0 {
                continue;
            }
            if let Some(page) = self.times.timestamp_page(row) {
                wanted[values + page as usize] = true;
            }
            for (number, extent) in beside.iter().flat_map(|&kind| self.pages_of(kind, row)) {
                wanted[number as usize] |= extent.overlaps(window);
            }
            start = self.first_page_of(row, start);
            for (page, wanted) in self.pages[start..values].iter().zip(&mut wanted[start..]) {
                if page.extent.rows.0 > row {
                    break;
                }
                *wanted |= page.extent.overlaps(window);
            }
        }
        (0..self.pages.len() as u32)
            .filter(|&page| wanted[page as usize])
            .collect()
    }

    /// The first page of values at or after `start` whose rows reach `row`.
    pub(super) fn first_page_of(&self, row: u32, start: usize) -> usize {
        let pages = &self.pages[start..self.value_pages()];
        start + pages.partition_point(|page| page.extent.rows.1 < row)
    }

    /// The pages of a kind that may hold something of a row, by number.
    pub(super) fn pages_of(&self, kind: PageKind, row: u32) -> impl Iterator<Item = (u32, Extent)> {
        let first = self
            .pages
            .partition_point(|page| page.kind < kind || (page.kind == kind && page.extent.rows.1 < row));
        (first as u32..)
            .zip(&self.pages[first..])
            .take_while(move |(_, page)| page.kind == kind && page.extent.rows.0 <= row)
            .map(|(number, page)| (number, page.extent))
    }

    /// Pages that hold values; timestamp pages come after them.
    pub(super) fn value_pages(&self) -> usize {
        self.pages.partition_point(|page| page.kind == PageKind::Values)
    }

    pub(super) fn times(&self) -> &Times {
        &self.times
    }

    pub(super) fn page_entries(&self) -> &[PageEntry] {
        &self.pages
    }

    pub(super) fn inline_pages(&self) -> &[Vec<u8>] {
        &self.inline
    }

    /// Makes a page's checksum the right one, and forgets the pages that the root holds.
    #[cfg(test)]
    pub(super) fn trust(&mut self, page: usize, crc: u32) {
        self.pages[page].crc = crc;
        self.inline.clear();
    }

    /// Compressed bytes by part.
    pub fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// Pages to be stored beside the root.
    pub fn pages(&self) -> usize {
        if self.inline.is_empty() {
            self.pages.len()
        } else {
            0
        }
    }

    /// Heap bytes held.
    pub fn memory_bytes(&self) -> usize {
        self.labels.memory_bytes()
            + self.postings.memory_bytes()
            + self.times.memory_bytes()
            + self.pages.capacity() * size_of::<PageEntry>()
            + self.inline.iter().map(Vec::capacity).sum::<usize>()
    }
}

impl Times {
    fn span_of(&self, row: u32) -> (Millis, Millis) {
        let slice = self.slice(self.slice_of(row));
        let column = self.column_of(slice);
        match column.bytes {
            ColumnBytes::Regular { step } => {
                let rows = i64::from(slice.first) + i64::from(slice.len) - 1 + self.gaps(slice).len() as i64;
                (
                    column.first + step * i64::from(slice.first),
                    column.first + step * rows,
                )
            }
            ColumnBytes::Stored { .. } => (column.first, column.last),
        }
    }

    fn timestamp_pages(&self) -> usize {
        let page = |column: &Column| match column.bytes {
            ColumnBytes::Stored { page, .. } => page as usize + 1,
            ColumnBytes::Regular { .. } => 0,
        };
        self.columns().iter().map(page).max().unwrap_or(0)
    }

    fn timestamp_page(&self, row: u32) -> Option<u32> {
        match self.column_of(self.slice(self.slice_of(row))).bytes {
            ColumnBytes::Stored { page, .. } => Some(page),
            ColumnBytes::Regular { .. } => None,
        }
    }
}

fn read_pages(bytes: &[u8], series: usize) -> Result<Vec<PageEntry>> {
    let mut input = Input::new(bytes);
    let count = input.bounded(bytes.len() / 6, "page count")?;
    let mut pages: Vec<PageEntry> = Vec::with_capacity(count);
    for number in 0..count {
        let len = input.bounded(PAGE_LIMIT, "length of a page")?;
        let crc = input.u32()?;
        let tag = input.u8()?;
        let before = pages.last();
        let kind = PageKind::of(tag).filter(|&kind| before.is_none_or(|before| before.kind <= kind));
        let Some(kind) = kind else {
            return Err(Error::Corrupt(format!("page {number} is of kind {tag}")));
        };
        let like = before.filter(|before| before.kind == kind);
        let like = like.map_or(Extent::default(), |before| before.extent);
        let extent = if kind == PageKind::Times {
            Extent::default()
        } else {
            read_extent(&mut input, like, number, series)?
        };
        if len < PAGE_HEADER {
            return Err(Error::Corrupt(format!("page {number} of {len} bytes")));
        }
        pages.push(PageEntry {
            len: len as u32,
            crc,
            kind,
            extent,
        });
    }
    input.end("page directory")?;
    Ok(pages)
}

/// Reads the rows and times of a page from those of the page before it, which is of the same kind.
fn read_extent(input: &mut Input<'_>, like: Extent, number: usize, series: usize) -> Result<Extent> {
    let first = like.rows.0 as usize + input.bounded(series, "first row of a page")?;
    let last = first + input.bounded(series, "rows of a page")?;
    let min = like.span.0.wrapping_add(input.signed()?);
    match min.checked_add_unsigned(input.varint()?) {
        Some(max) if last < series && last >= like.rows.1 as usize => Ok(Extent {
            rows: (first as u32, last as u32),
            span: (min, max),
        }),
        _ => Err(Error::Corrupt(format!(
            "page {number} claims rows {first}..={last} of {series}"
        ))),
    }
}
