//! Builds a block from sorted series.

use std::cmp::Ordering;

use super::group::{ColumnPages, ValuePages};
use super::histograms::HistogramPages;
use super::labels::LabelsBuilder;
use super::page::{Extent, PageEntry, PageKind};
use super::slices::SliceTable;
use super::starts::StartPages;
use super::summary::{BlockSummary, Summing};
use crate::codec::bytes::{put_signed, put_varint};
use crate::codec::squeeze::Squeezer;
use crate::model::{Millis, Samples, Uid};
use crate::{Error, Result};

pub const ROOT_MAGIC: [u8; 3] = *b"HRB";
/// A block has the first version that has all that is in it.
pub const ROOT_VERSION: u8 = STARTS_VERSION;
const FLOATS_VERSION: u8 = 1;
const HISTOGRAMS_VERSION: u8 = 2;
const STARTS_VERSION: u8 = 3;
/// Magic, version, checksum.
pub const ROOT_HEADER: usize = 8;
/// A block whose pages take no more than this together with its root is one value.
pub const INLINE_BYTES: usize = 32 << 10;
/// zstd level of the root's sections.
const ROOT_LEVEL: i32 = 9;

/// An encoded block: one instance's part of one generation.
#[derive(Debug, Clone)]
pub struct BlockParts {
    pub uid: Uid,
    pub root: Vec<u8>,
    /// Empty where the root holds them.
    pub pages: Vec<Vec<u8>>,
    pub series: usize,
    pub samples: u64,
    /// Of the first and the last sample; 0 and -1 for a block without samples.
    pub min_time: Millis,
    pub max_time: Millis,
    pub digest: u128,
}

/// Takes series in the order of (metric name, then labels) and encodes as it goes; holds compressed pages, labels and distinct timestamps.
#[derive(Debug)]
pub struct BlockWriter {
    sums: Summing,
    labels: LabelsBuilder,
    slices: SliceTable,
    row_slices: Vec<u32>,
    values: ValuePages,
    histograms: HistogramPages,
    starts: StartPages,
}

impl BlockWriter {
    pub fn new(uid: Uid) -> Result<Self> {
        Ok(Self {
            sums: Summing::new(uid),
            labels: LabelsBuilder::default(),
            slices: SliceTable::default(),
            row_slices: Vec::new(),
            values: ValuePages::new()?,
            histograms: HistogramPages::new()?,
            starts: StartPages::new()?,
        })
    }

    /// Adds one series. `labels` sorted by name, unique, without empty values; at least one sample.
    pub fn add(&mut self, labels: &[(&str, &str)], samples: Samples<'_>) -> Result<()> {
        self.check(labels)?;
        let row = self.sums.series() as u32;
        self.sums.add(labels.iter().copied(), samples)?;
        let Samples { times, values, .. } = samples;
        self.labels.push(labels);
        let above = self.row_slices.last().copied();
        let slice = self.slices.intern(times, above);
        self.row_slices.push(slice);
        self.values.add(times, values, above == Some(slice))?;
        if samples.has_histograms() {
            self.histograms.add(row, samples)?;
        }
        if samples.has_starts() {
            self.starts.add(row, samples)?;
        }
        Ok(())
    }

    fn check(&self, labels: &[(&str, &str)]) -> Result<()> {
        if labels.windows(2).any(|pair| pair[0].0 >= pair[1].0) {
            return Err(Error::BadData(format!(
                "labels must be sorted by name: {labels:?}"
            )));
        }
        if let Some(last) = self.labels.last()
            && row_order(last.clone(), labels.iter().copied()) != Ordering::Less
        {
            let last: Vec<_> = last.collect();
            return Err(Error::BadData(format!(
                "series must be sorted and unique: {labels:?} came after {last:?}"
            )));
        }
        Ok(())
    }

    pub fn finish(mut self) -> Result<BlockParts> {
        self.values.finish()?;
        let mut columns = ColumnPages::default();
        let times = self.slices.finish(&self.row_slices, &mut columns);
        self.values.push_times(columns);
        let mut pages = self.values.pages;
        pages.append(self.histograms.finish());
        pages.append(self.starts.finish()?);
        let version = match pages.entries.last().map(|last| last.kind) {
            Some(PageKind::Starts) => STARTS_VERSION,
            Some(PageKind::Histograms) => HISTOGRAMS_VERSION,
            _ => FLOATS_VERSION,
        };
        let (symbols, rows) = self.labels.finish();
        let BlockSummary {
            uid,
            series,
            samples,
            min_time,
            max_time,
            digest,
        } = self.sums.summary();
        let mut body = Vec::new();
        body.extend_from_slice(&uid.0);
        body.extend_from_slice(&digest.to_le_bytes());
        put_varint(&mut body, series as u64);
        put_varint(&mut body, samples);
        put_signed(&mut body, min_time);
        put_signed(&mut body, max_time);
        let mut squeezer = Squeezer::new(ROOT_LEVEL)?;
        let directory = write_pages(&pages.entries);
        let mut packed = Vec::new();
        for section in [&symbols, &rows, &times, &directory] {
            packed.clear();
            squeezer.put(&mut packed, section, 64)?;
            put_varint(&mut body, packed.len() as u64);
            body.extend_from_slice(&packed);
        }
        let mut pages = pages.bytes;
        let held: usize = pages.iter().map(Vec::len).sum();
        let inline = ROOT_HEADER + body.len() + held + 5 * pages.len() <= INLINE_BYTES;
        body.push(u8::from(inline));
        if inline {
            pages.drain(..).for_each(|page| body.extend_from_slice(&page));
        }
        let mut root = Vec::with_capacity(ROOT_HEADER + body.len());
        root.extend_from_slice(&ROOT_MAGIC);
        root.push(version);
        root.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
        root.extend_from_slice(&body);
        Ok(BlockParts {
            uid,
            root,
            pages,
            series,
            samples,
            min_time,
            max_time,
            digest,
        })
    }
}

fn write_pages(entries: &[PageEntry]) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, entries.len() as u64);
    let mut before = None;
    for entry in entries {
        put_varint(&mut out, u64::from(entry.len));
        out.extend_from_slice(&entry.crc.to_le_bytes());
        out.push(entry.kind as u8);
        if entry.kind == PageKind::Times {
            continue;
        }
        let like = match before {
            Some((kind, extent)) if kind == entry.kind => extent,
            _ => Extent::default(),
        };
        let ((first, last), (min, max)) = (entry.extent.rows, entry.extent.span);
        put_varint(&mut out, u64::from(first - like.rows.0));
        put_varint(&mut out, u64::from(last - first));
        put_signed(&mut out, min.wrapping_sub(like.span.0));
        put_varint(&mut out, max.wrapping_sub(min) as u64);
        before = Some((entry.kind, entry.extent));
    }
    out
}

/// The order of rows: metric name first, so that a metric's series lie together, then all labels.
pub fn row_order<'a>(
    a: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    b: impl Iterator<Item = (&'a str, &'a str)> + Clone,
) -> Ordering {
    metric_name(a.clone())
        .cmp(metric_name(b.clone()))
        .then_with(|| a.cmp(b))
}

fn metric_name<'a>(mut labels: impl Iterator<Item = (&'a str, &'a str)>) -> &'a str {
    labels
        .find(|label| label.0 == "__name__")
        .map_or("", |label| label.1)
}
