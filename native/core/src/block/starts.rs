//! Start timestamps of a block, in pages of their own. Mostly one start holds for a long run of samples, so they are kept as
//! changes: from which of the row's samples on which start counts.

use super::page::{OpenPage, PageKind, PageSet, Pages};
use super::reader::BlockReader;
use crate::codec::bytes::{Input, put_signed, put_varint};
use crate::codec::squeeze::{Squeezer, Unsqueezer};
use crate::model::{Millis, Samples};
use crate::{Error, Result};

/// zstd level of pages: they are cut once and read often.
const LEVEL: i32 = 3;
/// Compressed only if that saves at least a sixteenth.
const GAIN: usize = 16;
/// Changes of one entry; a row with more has several.
const ENTRY: usize = 1024;
/// A change takes at most so many bytes, and so does the head of an entry.
const CHANGE_BYTES: usize = 15;
/// More than a page takes before it is compressed.
const RAW_LIMIT: usize = 128 << 10;

/// Turns the start timestamps of rows into pages.
#[derive(Debug)]
pub struct StartPages {
    squeezer: Squeezer,
    page: OpenPage,
    /// Row and first start of the last entry in the page.
    last: (u32, Millis),
    pages: Pages,
}

impl StartPages {
    pub fn new() -> Result<Self> {
        Ok(Self {
            squeezer: Squeezer::new(LEVEL)?,
            page: OpenPage::default(),
            last: (0, 0),
            pages: Pages::default(),
        })
    }

    /// Adds the starts of a row's samples; rows ascend.
    pub fn add(&mut self, row: u32, samples: Samples<'_>) -> Result<()> {
        let mut before = 0;
        let changes: Vec<(u32, Millis)> = (0..)
            .zip(samples.starts.iter().copied())
            .filter(|&(_, start)| std::mem::replace(&mut before, start) != start)
            .collect();
        let mut rest = changes.as_slice();
        while !rest.is_empty() {
            let (these, more) = rest.split_at(rest.len().min(ENTRY));
            let end = more.first().map_or(samples.times.len(), |next| next.0 as usize);
            let span = (samples.times[these[0].0 as usize], samples.times[end - 1]);
            self.put(row, these, span)?;
            rest = more;
        }
        Ok(())
    }

    fn put(&mut self, row: u32, changes: &[(u32, Millis)], span: (Millis, Millis)) -> Result<()> {
        if self.page.is_full((changes.len() + 1) * CHANGE_BYTES) {
            self.close()?;
        }
        if self.page.is_empty() {
            self.last = (row, 0);
        }
        let page = &mut self.page;
        page.count((row, row), span);
        let out = &mut page.stored;
        put_varint(out, u64::from(row - self.last.0));
        put_varint(out, changes.len() as u64);
        // Series that are scraped together often began together.
        let mut before = (0, self.last.1);
        for &(place, start) in changes {
            put_varint(out, u64::from(place - before.0));
            put_signed(out, start.wrapping_sub(before.1));
            before = (place, start);
        }
        self.last = (row, changes[0].1);
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        let page = std::mem::take(&mut self.page);
        if !page.is_empty() {
            let mut packed = Vec::new();
            self.squeezer.put(&mut packed, &page.content(), GAIN)?;
            self.pages.push(PageKind::Starts, page.extent(), &packed);
        }
        Ok(())
    }

    /// Closes the open page.
    pub fn finish(mut self) -> Result<Pages> {
        self.close()?;
        Ok(self.pages)
    }
}

/// Changes of one row in a page.
#[derive(Debug)]
struct Entry {
    row: u32,
    /// Where its changes end; they begin where those of the entry before end.
    end: usize,
}

/// Reads the start timestamps of rows; keeps the page that it read last.
#[derive(Debug, Default)]
pub struct StartCursor {
    unsqueezer: Unsqueezer,
    raw: Vec<u8>,
    page: Option<u32>,
    entries: Vec<Entry>,
    /// Of the page: place among the row's samples, and start.
    changes: Vec<(u32, Millis)>,
    /// Of the samples asked for last; empty if none is known.
    found: Vec<Millis>,
}

impl StartCursor {
    /// Those of `len` samples of a row behind the first `skipped`, which lie in this span of time; none if they are not known.
    pub fn read(
        &mut self,
        reader: &BlockReader,
        pages: &PageSet,
        row: u32,
        (skipped, len): (usize, usize),
        window: (Millis, Millis),
    ) -> Result<&[Millis]> {
        self.found.clear();
        if len == 0 {
            return Ok(&[]);
        }
        for (number, extent) in reader.pages_of(PageKind::Starts, row) {
            if !extent.overlaps(window) {
                continue;
            }
            if self.page != Some(number) {
                self.page = None;
                self.load(pages, number, extent.rows)?;
                self.page = Some(number);
            }
            let first = self.entries.partition_point(|entry| entry.row < row);
            let mut begin = first.checked_sub(1).map_or(0, |before| self.entries[before].end);
            for entry in self.entries[first..].iter().take_while(|entry| entry.row == row) {
                fill(&self.changes[begin..entry.end], skipped, len, &mut self.found);
                begin = entry.end;
            }
        }
        Ok(&self.found)
    }

    fn load(&mut self, pages: &PageSet, number: u32, rows: (u32, u32)) -> Result<()> {
        let mut raw = std::mem::take(&mut self.raw);
        self.unsqueezer
            .take(pages.content(number)?, RAW_LIMIT, &mut raw)?;
        self.take(&raw, rows)?;
        self.raw = raw;
        Ok(())
    }

    /// Reads the entries of a page of these rows.
    fn take(&mut self, raw: &[u8], (first, last): (u32, u32)) -> Result<()> {
        self.entries.clear();
        self.changes.clear();
        let mut input = Input::new(raw);
        let count = input.bounded(raw.len() / 4, "entries of starts")?;
        let mut like: (u32, Millis) = (first, 0);
        for _ in 0..count {
            let row = like.0 + input.bounded((last - like.0) as usize, "row of starts")? as u32;
            let len = input.bounded(ENTRY.min(input.remaining() / 2), "changes of starts")?;
            let begin = self.changes.len();
            let mut before = (0_u32, like.1);
            for at in 0..len {
                let limit = (u32::MAX / 2 - before.0) as usize;
                let step = input.bounded(limit, "place of a start")? as u32;
                if at > 0 && step == 0 {
                    return Err(Error::Corrupt(format!("two starts of one sample of row {row}")));
                }
                before = (before.0 + step, before.1.wrapping_add(input.signed()?));
                self.changes.push(before);
            }
            let Some(&(_, start)) = self.changes.get(begin) else {
                return Err(Error::Corrupt(format!("no starts in an entry of row {row}")));
            };
            like = (row, start);
            self.entries.push(Entry {
                row,
                end: self.changes.len(),
            });
        }
        input.end("starts")
    }
}

/// Sets the starts of `len` samples behind the first `skipped`, from the first of the changes on.
fn fill(changes: &[(u32, Millis)], skipped: usize, len: usize, found: &mut Vec<Millis>) {
    let place = |change: &(u32, Millis)| (change.0 as usize).saturating_sub(skipped).min(len);
    let mut rest = changes.iter().peekable();
    while let Some(change) = rest.next() {
        let (from, to) = (place(change), rest.peek().map_or(len, |next| place(next)));
        if from < to {
            found.resize(len, 0);
            found[from..to].fill(change.1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::tests::{all_pages, open_with};
    use super::super::{BlockCursor, BlockParts, BlockWriter, merge};
    use super::*;
    use crate::model::{Merge, SampleBuf, Uid};
    use proptest::prelude::*;

    const UID: Uid = Uid([6; 16]);
    const ALL: (Millis, Millis) = (Millis::MIN, Millis::MAX);

    /// By series, in the order of a block.
    type Model = BTreeMap<String, SampleBuf>;

    fn build(model: &Model) -> BlockParts {
        let mut writer = BlockWriter::new(UID).unwrap();
        for (name, samples) in model {
            writer.add(&[("__name__", name)], samples.as_samples()).unwrap();
        }
        writer.finish().unwrap()
    }

    /// Time and start of each sample.
    fn column(samples: Samples<'_>) -> Vec<(Millis, Millis)> {
        let start = |at| samples.starts.get(at).copied().unwrap_or(0);
        (0..)
            .zip(samples.times)
            .map(|(at, &time)| (time, start(at)))
            .collect()
    }

    /// Series with few starts, one for each sample, or none.
    fn model() -> impl Strategy<Value = Model> {
        let start = prop_oneof![3 => 0..3_i64, 1 => any::<i64>()];
        let run = (1..30_usize, 1..40_i64, start);
        let one = (0..3_u8, prop::collection::vec(run, 1..8)).prop_map(|(kind, runs)| {
            let (mut samples, mut time) = (SampleBuf::default(), 1000);
            for (len, step, start) in runs {
                for _ in 0..len {
                    samples.push_float(time + step, 1.0);
                    samples.set_start([0, start, time][usize::from(kind)]);
                    time += step;
                }
            }
            samples
        });
        prop::collection::btree_map("[a-d]{1,2}", one, 1..6)
    }

    fn check_block(model: &Model, window: (Millis, Millis)) -> std::result::Result<(), TestCaseError> {
        let parts = build(model);
        let rows: Vec<u32> = (0..model.len() as u32).collect();
        let (reader, pages) = open_with(&parts, |reader| reader.pages_for(&rows, window, true));
        let mut cursor = BlockCursor::new(&reader, &pages).unwrap();
        for (row, samples) in (0..).zip(model.values()) {
            let mut expected = column(samples.as_samples());
            expected.retain(|(time, _)| window.0 <= *time && *time <= window.1);
            prop_assert_eq!(column(cursor.read(row, window.0, window.1).unwrap()), expected);
        }
        let (reader, pages) = open_with(&parts, all_pages);
        prop_assert_eq!(
            BlockCursor::new(&reader, &pages).unwrap().verify().unwrap(),
            parts.digest
        );
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn starts_come_back_from_blocks_and_from_merged_ones(
            first in model(),
            second in model(),
            cut in (900..3500_i64, 0..2500_i64),
        ) {
            check_block(&first, (cut.0, cut.0 + cut.1))?;
            let parts = [build(&first), build(&second)];
            let opened = parts.each_ref().map(|parts| open_with(parts, all_pages));
            let merged = merge(UID, &opened.each_ref().map(|(reader, pages)| (reader, pages))).unwrap();
            let mut both: BTreeMap<&str, Merge> = BTreeMap::new();
            for (name, samples) in first.iter().chain(&second) {
                both.entry(name).or_default().add(samples.as_samples());
            }
            let (reader, pages) = open_with(&merged, all_pages);
            let mut cursor = BlockCursor::new(&reader, &pages).unwrap();
            for (row, expected) in (0..).zip(both.values()) {
                let found = column(cursor.read(row, ALL.0, ALL.1).unwrap());
                prop_assert_eq!(found, column(expected.samples()));
            }
            cursor.verify().unwrap();
        }
    }

    /// Series whose samples each have a start, over several pages.
    fn large() -> Model {
        let noise = |n: i64| {
            let mixed = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            ((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 44) as i64
        };
        let one = |series: i64| {
            let mut samples = SampleBuf::default();
            for at in 0..3000 {
                samples.push_float(at * 15_000, 1.0);
                samples.set_start(at * 15_000 - noise(series * 3000 + at));
            }
            samples
        };
        (0..16)
            .map(|series| (format!("c{series:02}"), one(series)))
            .collect()
    }

    #[test]
    fn a_query_needs_the_pages_of_its_rows_and_times_and_only_if_it_wants_starts() {
        let model = large();
        let parts = build(&model);
        let window = (15_000 * 1500, 15_000 * 1600);
        let reader = BlockReader::open(&parts.root).unwrap();
        let with = reader.pages_for(&[5], window, true);
        let without = reader.pages_for(&[5], window, false);
        assert!(
            with.len() > without.len() && with.len() < without.len() + 3,
            "{with:?}"
        );
        let (reader, pages) = open_with(&parts, |_| with.clone());
        let mut cursor = BlockCursor::new(&reader, &pages).unwrap();
        let found = column(cursor.read(5, window.0, window.1).unwrap());
        assert_eq!(found, column(model["c05"].as_samples())[1500..=1600]);
        let (reader, pages) = open_with(&parts, |_| without.clone());
        let mut cursor = BlockCursor::new(&reader, &pages).unwrap();
        let error = cursor.read(5, window.0, window.1).unwrap_err();
        assert!(error.to_string().contains("was not supplied"), "{error}");
        let mut cursor = BlockCursor::new(&reader, &pages).unwrap().without_starts();
        assert!(!cursor.read(5, window.0, window.1).unwrap().has_starts());
    }

    #[test]
    fn a_start_for_all_samples_takes_next_to_nothing() {
        let mut model = Model::new();
        for series in 0..1000 {
            let mut samples = SampleBuf::default();
            for at in 0..100 {
                samples.push_float(at * 15_000, at as f64);
            }
            model.insert(format!("c{series:04}"), samples);
        }
        let stored = |parts: &BlockParts| parts.root.len() + parts.pages.iter().map(Vec::len).sum::<usize>();
        let without = build(&model);
        assert_eq!(without.root[3], 1, "the version before there were starts");
        for samples in model.values_mut() {
            samples.starts = vec![1_700_000_000_000; samples.times.len()];
        }
        let with = build(&model);
        assert_eq!(with.root[3], 3);
        assert!(stored(&with) < stored(&without) + 200, "{}", stored(&with));
    }

    #[test]
    fn damaged_pages_never_panic() {
        let parts = build(&large());
        let reader = BlockReader::open(&parts.root).unwrap();
        let (number, _) = reader.pages_of(PageKind::Starts, 0).next().unwrap();
        let entry = reader.page_entries()[number as usize];
        let mut raw = Vec::new();
        let content = &parts.pages[number as usize][super::super::page::PAGE_HEADER..];
        Unsqueezer::default().take(content, RAW_LIMIT, &mut raw).unwrap();
        let noise = |n: usize| (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        for at in 0..300 {
            let mut damaged = raw.clone();
            damaged[at] ^= noise(at) as u8 | 1;
            let mut cursor = StartCursor::default();
            if cursor.take(&damaged, entry.extent.rows).is_ok() {
                let mut found = Vec::new();
                fill(&cursor.changes, 7, 100, &mut found);
                assert!(found.is_empty() || found.len() == 100);
            }
        }
    }
}
