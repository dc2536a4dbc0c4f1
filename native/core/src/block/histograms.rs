//! Native histograms of a block: chunks in pages of their own, beside the floats. In the columns of values a zero stands in their place.

use std::sync::Arc;

use super::page::{OpenPage, PAGE_HEADER, PageKind, PageSet, Pages};
use super::reader::BlockReader;
use crate::codec::bytes::{Input, put_varint};
use crate::codec::histograms::{CHUNK, HistogramDecoder, HistogramEncoder, chunk_len};
use crate::codec::squeeze::{Squeezer, Unsqueezer};
use crate::model::{Histogram, Millis, Samples};
use crate::{Error, Result};

/// zstd level of chunks: they are cut once and read often.
const LEVEL: i32 = 3;
/// Compressed only if that saves at least a sixteenth.
const GAIN: usize = 16;
/// More than a chunk takes before it is compressed.
const RAW_LIMIT: usize = 256 << 10;

/// Turns the histograms of rows into pages.
#[derive(Debug)]
pub struct HistogramPages {
    encoder: HistogramEncoder,
    squeezer: Squeezer,
    page: OpenPage,
    /// Of the last row added.
    last: u32,
    pages: Pages,
}

impl HistogramPages {
    pub fn new() -> Result<Self> {
        Ok(Self {
            encoder: HistogramEncoder::default(),
            squeezer: Squeezer::new(LEVEL)?,
            page: OpenPage::default(),
            last: 0,
            pages: Pages::default(),
        })
    }

    /// Adds the histograms among a row's samples; rows ascend.
    pub fn add(&mut self, row: u32, samples: Samples<'_>) -> Result<()> {
        let held: Vec<(u32, &Histogram)> = (0..)
            .zip(samples.histograms)
            .filter_map(|(place, histogram)| Some((place, &**histogram.as_ref()?)))
            .collect();
        let mut rest = held.as_slice();
        let (mut raw, mut packed) = (Vec::new(), Vec::new());
        while !rest.is_empty() {
            let (len, _) = chunk_len(rest.iter().map(|(_, histogram)| *histogram));
            let (these, more) = rest.split_at(len);
            let (places, histograms): (Vec<u32>, Vec<&Histogram>) = these.iter().copied().unzip();
            raw.clear();
            packed.clear();
            self.encoder.encode(&histograms, &mut raw);
            self.squeezer.put(&mut packed, &raw, GAIN)?;
            let time = |place: Option<&u32>| place.map_or(0, |&place| samples.times[place as usize]);
            let span = (time(places.first()), time(places.last()));
            self.put(row, &places, span, &packed);
            rest = more;
        }
        Ok(())
    }

    fn put(&mut self, row: u32, places: &[u32], span: (Millis, Millis), packed: &[u8]) {
        if self.page.is_full(packed.len() + (places.len() + 4) * 5) {
            self.pages.close(PageKind::Histograms, &mut self.page);
        }
        let page = &mut self.page;
        let above = if page.is_empty() { row } else { self.last };
        self.last = row;
        page.count((row, row), span);
        let out = &mut page.directory;
        put_varint(out, u64::from(row - above));
        put_varint(out, places.len() as u64);
        let mut before = 0;
        for &place in places {
            put_varint(out, u64::from(place - before));
            before = place;
        }
        put_varint(out, packed.len() as u64);
        page.stored.extend_from_slice(packed);
    }

    /// Closes the open page.
    pub fn finish(mut self) -> Pages {
        self.pages.close(PageKind::Histograms, &mut self.page);
        self.pages
    }
}

/// Where a chunk lies in its page, and which samples of its row it holds.
#[derive(Debug)]
pub struct ChunkEntry {
    pub row: u32,
    /// Ascending; at least one.
    places: Box<[u32]>,
    start: u32,
    end: u32,
}

impl ChunkEntry {
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.places)
    }
}

/// The chunks of a page, whose first row the root names.
pub fn read_chunks(page: &[u8], first: u32) -> Result<Vec<ChunkEntry>> {
    let mut input = Input::new(&page[PAGE_HEADER..]);
    let count = input.bounded(page.len() / 4, "chunk count")?;
    let mut chunks = Vec::with_capacity(count);
    let (mut row, mut end) = (first, 0);
    for _ in 0..count {
        row += input.bounded((u32::MAX / 2 - row) as usize, "row of a chunk")? as u32;
        let len = input.bounded(CHUNK.min(input.remaining()), "histograms of a chunk")?;
        let mut places = Vec::with_capacity(len);
        let mut place = 0;
        for at in 0..len {
            let step = input.bounded((u32::MAX / 2 - place) as usize, "place of a histogram")? as u32;
            place += step;
            if at > 0 && step == 0 {
                return Err(Error::Corrupt(format!(
                    "two histograms at place {place} of row {row}"
                )));
            }
            places.push(place);
        }
        let start = end;
        end += input.bounded(page.len(), "stored length of a chunk")? as u32;
        if len == 0 || end as usize > page.len() {
            return Err(Error::Corrupt(format!(
                "a chunk of {len} histograms of row {row}"
            )));
        }
        chunks.push(ChunkEntry {
            row,
            places: places.into(),
            start,
            end,
        });
    }
    let base = PAGE_HEADER + input.position();
    if base + end as usize != page.len() {
        return Err(Error::Corrupt(format!(
            "chunks end at byte {} of a page of {}",
            base + end as usize,
            page.len()
        )));
    }
    for chunk in &mut chunks {
        chunk.start += base as u32;
        chunk.end += base as u32;
    }
    Ok(chunks)
}

/// Reads the histograms of rows.
#[derive(Debug, Default)]
pub struct HistogramCursor {
    unsqueezer: Unsqueezer,
    decoder: HistogramDecoder,
    raw: Vec<u8>,
    decoded: Vec<Arc<Histogram>>,
    /// Of the samples asked for last; empty if none of them is one.
    pub found: Vec<Option<Arc<Histogram>>>,
}

impl HistogramCursor {
    /// Finds those among `len` samples of a row behind the first `skipped`, which lie in this span of time.
    pub fn read(
        &mut self,
        reader: &BlockReader,
        pages: &PageSet,
        row: u32,
        (skipped, len): (usize, usize),
        window: (Millis, Millis),
    ) -> Result<()> {
        self.found.clear();
        if len == 0 {
            return Ok(());
        }
        for (number, extent) in reader.pages_of(PageKind::Histograms, row) {
            if !extent.overlaps(window) {
                continue;
            }
            let chunks = pages.chunks(number)?;
            let first = chunks.partition_point(|chunk| chunk.row < row);
            for chunk in chunks[first..].iter().take_while(|chunk| chunk.row == row) {
                self.read_chunk(
                    pages.chunk_bytes(number, chunk.start, chunk.end)?,
                    chunk,
                    skipped,
                    len,
                )?;
            }
        }
        Ok(())
    }

    fn read_chunk(&mut self, bytes: &[u8], chunk: &ChunkEntry, skipped: usize, len: usize) -> Result<()> {
        let place_of = |place: u32| (place as usize).checked_sub(skipped).filter(|&place| place < len);
        let overlaps = match (chunk.places.first(), chunk.places.last()) {
            (Some(&first), Some(&last)) => (first as usize) < skipped + len && last as usize >= skipped,
            _ => false,
        };
        if !overlaps {
            return Ok(());
        }
        self.unsqueezer.take(bytes, RAW_LIMIT, &mut self.raw)?;
        self.decoded.clear();
        self.decoder.decode(&self.raw, &mut self.decoded)?;
        if self.decoded.len() != chunk.places.len() {
            return Err(Error::Corrupt(format!(
                "a chunk of {} histograms where {} were announced",
                self.decoded.len(),
                chunk.places.len()
            )));
        }
        self.found.resize(len, None);
        // A chunk does not tell what is before it.
        let first = chunk.places.first().and_then(|&first| place_of(first));
        if let Some(before) = first.and_then(|first| self.found.get(first.checked_sub(1)?)?.as_deref())
            && let Some(first) = self.decoded.first_mut().and_then(Arc::get_mut)
        {
            first.hint = first.hint_behind(Some(before));
        }
        for (&place, histogram) in chunk.places.iter().zip(self.decoded.drain(..)) {
            if let Some(place) = place_of(place) {
                self.found[place] = Some(histogram);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::page::PAGE_LIMIT;
    use super::super::tests::{all_pages, open_with};
    use super::super::{BlockCursor, BlockParts, BlockWriter, merge};
    use super::*;
    use crate::codec::histograms::tests::series;
    use crate::model::{ResetHint, SampleBuf, Uid};
    use proptest::prelude::*;

    const UID: Uid = Uid([5; 16]);

    /// By series, in the order of a block.
    type Model = BTreeMap<String, SampleBuf>;

    fn build(model: &Model) -> BlockParts {
        let mut writer = BlockWriter::new(UID).unwrap();
        for (name, samples) in model {
            writer.add(&[("__name__", name)], samples.as_samples()).unwrap();
        }
        writer.finish().unwrap()
    }

    /// Time, and the bits or the fingerprint.
    fn column(samples: Samples<'_>) -> Vec<(Millis, u64)> {
        let bits = |(place, value): (usize, &f64)| match samples.histograms.get(place) {
            Some(Some(histogram)) => histogram.fingerprint(),
            _ => value.to_bits(),
        };
        let bits = samples.values.iter().enumerate().map(bits);
        samples.times.iter().copied().zip(bits).collect()
    }

    /// Each series of floats, of histograms, or of both by turns.
    fn model() -> impl Strategy<Value = Model> {
        let steps = prop::collection::vec((1..40_i64, prop::option::of(any::<f64>())), 1..40);
        let one = (series(), steps, 0..3_u8).prop_map(|(series, steps, kind)| {
            let mut samples = SampleBuf::default();
            let mut time = 1000;
            for (place, (step, float)) in steps.into_iter().enumerate() {
                time += step;
                match float {
                    Some(value) if kind > 0 => samples.push_float(time, value),
                    _ if kind == 2 => samples.push_float(time, 1.0),
                    _ => samples.push_histogram(time, Arc::new(series[place % series.len()].clone())),
                }
            }
            samples
        });
        prop::collection::btree_map("[a-d]{1,2}", one, 1..6)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn rows_come_back_from_blocks_and_from_merged_ones(first in model(), second in model(), cut in (900..2500_i64, 0..1500_i64)) {
            let window = (cut.0, cut.0 + cut.1);
            let parts = [build(&first), build(&second)];
            for (model, parts) in [&first, &second].into_iter().zip(&parts) {
                let rows: Vec<u32> = (0..model.len() as u32).collect();
                let (reader, pages) = open_with(parts, |reader| reader.pages_for(&rows, window, true));
                let mut cursor = BlockCursor::new(&reader, &pages).unwrap();
                for (row, samples) in (0..).zip(model.values()) {
                    let mut expected = column(samples.as_samples());
                    expected.retain(|(time, _)| window.0 <= *time && *time <= window.1);
                    prop_assert_eq!(column(cursor.read(row, window.0, window.1).unwrap()), expected);
                }
                let (reader, pages) = open_with(parts, all_pages);
                BlockCursor::new(&reader, &pages).unwrap().verify().unwrap();
            }
            let opened = parts.each_ref().map(|parts| open_with(parts, all_pages));
            let merged = merge(UID, &opened.each_ref().map(|(reader, pages)| (reader, pages))).unwrap();
            let mut both: BTreeMap<&str, BTreeMap<Millis, u64>> = BTreeMap::new();
            for model in [&first, &second] {
                for (name, samples) in model {
                    let row = both.entry(name).or_default();
                    for (time, bits) in column(samples.as_samples()) {
                        row.entry(time).or_insert(bits);
                    }
                }
            }
            let (reader, pages) = open_with(&merged, all_pages);
            let mut cursor = BlockCursor::new(&reader, &pages).unwrap();
            for (row, expected) in (0..).zip(both.values()) {
                let found = column(cursor.read(row, Millis::MIN, Millis::MAX).unwrap());
                prop_assert!(found.iter().map(|(time, bits)| (time, bits)).eq(expected));
            }
            cursor.verify().unwrap();
        }
    }

    /// Many series with wild histograms, over several pages.
    fn large() -> Model {
        let noise = |n: u64| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as f64 / 7.0;
        let histogram = |n: u64| Histogram {
            count: noise(n),
            positive: crate::model::histogram::Buckets::of((0..60).map(|at| (at, noise(n * 64 + at as u64)))),
            ..Histogram::default()
        };
        let one = |series: u64| {
            let mut samples = SampleBuf::default();
            for at in 0..120 {
                samples.push_histogram(at as Millis * 15_000, Arc::new(histogram(series * 1000 + at)));
            }
            samples
        };
        (0..16)
            .map(|series| (format!("h{series:02}"), one(series)))
            .collect()
    }

    #[test]
    fn a_query_needs_the_pages_of_its_rows_and_times_and_says_so() {
        let model = large();
        let parts = build(&model);
        assert!(parts.pages.len() > 4, "{}", parts.pages.len());
        assert!(parts.pages.iter().all(|page| page.len() <= PAGE_LIMIT));
        let window = (0, 14_999);
        let (reader, pages) = open_with(&parts, |reader| {
            let wanted = reader.pages_for(&[2], window, true);
            assert!(wanted.len() < 4, "{wanted:?} of {}", parts.pages.len());
            wanted
        });
        let mut cursor = BlockCursor::new(&reader, &pages).unwrap();
        let found = column(cursor.read(2, window.0, window.1).unwrap());
        assert_eq!(found, column(model["h02"].as_samples())[..1]);
        let error = cursor.read(15, window.0, window.1).unwrap_err();
        assert!(error.to_string().contains("was not supplied"), "{error}");
    }

    #[test]
    fn chunks_are_no_boundaries_for_what_is_known_of_resets() {
        let mut samples = SampleBuf::default();
        for at in 0..150 {
            let count = if at == 100 { 0.0 } else { at as f64 };
            let histogram = Histogram {
                count,
                ..Histogram::default()
            };
            samples.push_histogram(at, Arc::new(histogram));
        }
        let (reader, pages) = open_with(&build(&[("h".to_owned(), samples)].into()), all_pages);
        let mut cursor = BlockCursor::new(&reader, &pages).unwrap();
        let found = cursor.read(0, Millis::MIN, Millis::MAX).unwrap();
        for (at, histogram) in found.histograms.iter().enumerate() {
            let is_known = histogram.as_ref().is_some_and(|h| h.hint == ResetHint::NotReset);
            assert_eq!(is_known, at != 0 && at != 100, "{at}");
        }
    }

    #[test]
    fn blocks_of_floats_are_of_the_version_before_there_were_histograms() {
        let mut floats = SampleBuf::default();
        floats.push_float(1, 1.0);
        assert_eq!(build(&[("a".to_owned(), floats)].into()).root[3], 1);
        assert_eq!(build(&large()).root[3], 2);
    }

    #[test]
    fn damaged_pages_never_panic() {
        let parts = build(&large());
        let page = parts.pages.last().unwrap();
        let noise = |n: usize| (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        for at in PAGE_HEADER..PAGE_HEADER + 300 {
            let mut damaged = page.clone();
            damaged[at] ^= noise(at) as u8 | 1;
            if let Ok(chunks) = read_chunks(&damaged, 0) {
                for chunk in chunks {
                    assert!(chunk.start <= chunk.end && chunk.end as usize <= damaged.len());
                    let mut raw = Vec::new();
                    let bytes = &damaged[chunk.start as usize..chunk.end as usize];
                    if Unsqueezer::default().take(bytes, RAW_LIMIT, &mut raw).is_ok() {
                        let _ = HistogramDecoder::default().decode(&raw, &mut Vec::new());
                    }
                }
            }
        }
    }
}
