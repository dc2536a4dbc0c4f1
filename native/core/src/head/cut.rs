//! A sealed generation as blocks.

use std::ops::Range;

use crate::block::{BlockParts, BlockSummary, BlockWriter};
use crate::model::{Millis, SampleBuf, Samples, Symbols, Uid};
use crate::{Error, Result};

use super::histograms::Timed;
use super::starts::{Starts, starts_at};
use super::{Head, SERIES_PER_LOCK};

/// Series decoded while the head is locked: at one sample per second some 10 MB of columns.
const DECODED_PER_LOCK: usize = 64;

/// Native histograms are larger: beyond so many bytes of them the series at hand is the last.
const HISTOGRAMS_PER_LOCK: usize = 16 << 20;

impl Head {
    /// Encodes a sealed generation, one block per instance in the order of their uids. The head keeps its chunks and goes on meanwhile.
    pub fn cut(&self, window: Millis, sealed: u64) -> Result<Vec<BlockParts>> {
        self.write_all(window, sealed, BlockWriter::new, BlockWriter::finish)
    }

    /// What [`Head::cut`] would give, at the price of reading alone.
    pub fn summary(&self, window: Millis, sealed: u64) -> Result<Vec<BlockSummary>> {
        self.write_all(
            window,
            sealed,
            BlockWriter::summing,
            |writer| Ok(writer.summary()),
        )
    }

    fn write_all<T>(
        &self,
        window: Millis,
        sealed: u64,
        begin: impl Fn(Uid) -> Result<BlockWriter>,
        end: impl Fn(BlockWriter) -> Result<T>,
    ) -> Result<Vec<T>> {
        let _maintenance = self.maintenance.lock();
        let (generation, uids) = {
            let state = self.state.read();
            let Some(generation) = state.generations.sealed(window, sealed) else {
                let partition = self.partition;
                return Err(Error::BadData(format!(
                    "the head of partition {partition} holds no generation of window {window} sealed at {sealed}"
                )));
            };
            let holders = state
                .instances
                .iter()
                .filter(|(_, i)| i.find_sheet(generation).is_some());
            let mut uids: Vec<Uid> = holders.map(|(&uid, _)| uid).collect();
            uids.sort_unstable();
            (generation, uids)
        };
        let mut blocks = Vec::with_capacity(uids.len());
        for uid in uids {
            let mut writer = begin(uid)?;
            if self.write_instance(uid, generation, window, &mut writer)? {
                blocks.push(end(writer)?);
            }
        }
        Ok(blocks)
    }

    /// Whether the instance has anything in the generation.
    fn write_instance(
        &self,
        uid: Uid,
        generation: u32,
        window: Millis,
        writer: &mut BlockWriter,
    ) -> Result<bool> {
        let Some(vocabulary) = self.vocabulary(uid) else {
            return Ok(false);
        };
        let rows = self.rows_of(uid, generation, &vocabulary);
        let (mut labels, mut columns) = (Vec::new(), Columns::default());
        let mut rest = rows.as_slice();
        while !rest.is_empty() {
            let part = &rest[..rest.len().min(DECODED_PER_LOCK)];
            let done = self.decode(uid, generation, window, part, &mut columns);
            let mut start = 0;
            for (row, &end) in part.iter().zip(&columns.ends) {
                labels.clear();
                labels.extend(row.labels.iter().map(|&pair| vocabulary.text(pair)));
                writer.add(&labels, columns.samples(start..end))?;
                start = end;
            }
            rest = &rest[done..];
        }
        Ok(!rows.is_empty())
    }

    /// A copy of the strings. Refs and pair ids keep their meaning while maintenance is locked; pairs that come later are of series that
    /// came after the seal.
    fn vocabulary(&self, uid: Uid) -> Option<Vocabulary> {
        let state = self.state.read();
        let index = &state.instances.get(&uid)?.index;
        Some(Vocabulary::new(index.symbols().clone(), index.pairs().to_vec()))
    }

    /// The series of a generation, sorted as a block wants them.
    fn rows_of(&self, uid: Uid, generation: u32, vocabulary: &Vocabulary) -> Vec<Row> {
        let mut rows = Vec::new();
        let mut from = 0;
        loop {
            let state = self.state.read();
            let Some(instance) = state.instances.get(&uid) else {
                break;
            };
            if from >= instance.slab.end() {
                break;
            }
            let to = from + SERIES_PER_LOCK as u32;
            for (series, held) in instance.slab.range(from, to) {
                if held.lane(generation).is_some() {
                    rows.push(Row {
                        series,
                        labels: held.labels.clone(),
                    });
                }
            }
            from = to;
        }
        rows.sort_by_cached_key(|row| vocabulary.sort_key(&row.labels));
        rows
    }

    /// Decodes rows until they take too much memory; returns how many were done, at least one if there is one.
    fn decode(&self, uid: Uid, generation: u32, window: Millis, rows: &[Row], out: &mut Columns) -> usize {
        out.ends.clear();
        out.samples.clear();
        let state = self.state.read();
        let instance = state.instances.get(&uid);
        let Some((instance, sheet)) = instance.and_then(|i| Some((i, i.find_sheet(generation)?))) else {
            return rows.len();
        };
        let mut histogram_bytes = 0;
        for row in rows {
            if histogram_bytes > HISTOGRAMS_PER_LOCK {
                break;
            }
            if let Some(lane) = instance
                .slab
                .get(row.series)
                .and_then(|held| held.lane(generation))
            {
                lane.read(sheet, &mut out.lane_times, &mut out.lane_values);
                out.lane_histograms.clear();
                if let Some(held) = sheet.histograms.get(&row.series) {
                    held.read(&mut out.lane_histograms);
                }
                histogram_bytes += out.push_row(window, sheet.starts.get(&row.series));
            }
            out.ends.push(out.samples.times.len());
        }
        out.ends.len()
    }
}

struct Row {
    series: u32,
    labels: Box<[u32]>,
}

/// Decoded samples of a few rows, one after the other.
#[derive(Default)]
struct Columns {
    ends: Vec<usize>,
    samples: SampleBuf,
    lane_times: Vec<u32>,
    lane_values: Vec<f64>,
    lane_histograms: Vec<Timed>,
}

impl Columns {
    /// Adds what lies in the lane; returns the bytes of its histograms. A time has either a float or a histogram.
    fn push_row(&mut self, window: Millis, starts: Option<&Starts>) -> usize {
        let time = |offset: u32| window + Millis::from(offset);
        let first = self.samples.times.len();
        let mut bytes = 0;
        if self.lane_histograms.is_empty() {
            let samples = &mut self.samples;
            samples.times.extend(self.lane_times.iter().map(|&at| time(at)));
            samples.values.extend_from_slice(&self.lane_values);
            if !samples.histograms.is_empty() {
                samples.histograms.resize(samples.times.len(), None);
            }
        } else {
            let mut floats = self.lane_times.iter().zip(&self.lane_values).peekable();
            for (at, histogram) in self.lane_histograms.drain(..) {
                while let Some((&at, &value)) = floats.next_if(|(time, _)| **time < at) {
                    self.samples.push_float(time(at), value);
                }
                bytes += histogram.bytes();
                self.samples.push_histogram(time(at), histogram);
            }
            for (&at, &value) in floats {
                self.samples.push_float(time(at), value);
            }
        }
        self.push_starts(first, window, starts);
        bytes
    }

    /// Adds the starts of the samples from `first` on.
    fn push_starts(&mut self, first: usize, window: Millis, starts: Option<&Starts>) {
        let SampleBuf {
            times, starts: all, ..
        } = &mut self.samples;
        if let Some(starts) = starts {
            let offsets = times[first..].iter().map(|&time| (time - window) as u32);
            all.resize(first, 0);
            all.extend(starts_at(starts.changes(), offsets));
        } else if !all.is_empty() {
            all.resize(times.len(), 0);
        }
    }

    /// Those of one row.
    fn samples(&self, places: Range<usize>) -> Samples<'_> {
        let mut samples = self.samples.as_samples().slice(places);
        if samples.histograms.iter().all(Option::is_none) {
            samples.histograms = &[];
        }
        if samples.starts.iter().all(|&start| start == 0) {
            samples.starts = &[];
        }
        samples
    }
}

/// The label pairs of an instance, and how their texts sort.
struct Vocabulary {
    symbols: Symbols,
    pairs: Vec<(u32, u32)>,
    /// By symbol, its place among all texts.
    ranks: Vec<u32>,
}

impl Vocabulary {
    fn new(symbols: Symbols, pairs: Vec<(u32, u32)>) -> Self {
        let ranks = symbols.ranks();
        Self {
            symbols,
            pairs,
            ranks,
        }
    }

    fn text(&self, pair: u32) -> (&str, &str) {
        let (name, value) = self.pairs[pair as usize];
        (self.symbols.get(name), self.symbols.get(value))
    }

    /// Sorts as metric name, then labels by name and value. The empty text has rank 0, so that no name comes first.
    fn sort_key(&self, labels: &[u32]) -> Box<[u64]> {
        let ranks = |&pair: &u32| {
            let (name, value) = self.pairs[pair as usize];
            u64::from(self.ranks[name as usize]) << 32 | u64::from(self.ranks[value as usize])
        };
        let name = labels
            .iter()
            .find(|&&pair| self.pairs[pair as usize].0 == Symbols::NAME);
        let metric = name.map_or(0, |pair| ranks(pair) & u64::from(u32::MAX));
        std::iter::once(metric).chain(labels.iter().map(ranks)).collect()
    }
}
