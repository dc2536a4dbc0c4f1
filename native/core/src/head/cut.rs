//! A sealed generation as blocks.

use crate::block::{BlockParts, BlockWriter};
use crate::model::{Millis, Symbols, Uid};
use crate::{Error, Result};

use super::decoded::{Decoded, HISTOGRAMS_PER_LOCK};
use super::{Head, SERIES_PER_LOCK};

/// Series decoded while the head is locked: at one sample per second some 10 MB of columns.
const DECODED_PER_LOCK: usize = 64;

impl Head {
    /// Encodes a sealed generation, one block per instance in the order of their uids. The head keeps its chunks and goes on meanwhile.
    pub fn cut(&self, window: Millis, sealed: u64) -> Result<Vec<BlockParts>> {
        let _maintenance = self.maintenance.lock();
        let (generation, uids) = self.sealed(window, sealed)?;
        let mut blocks = Vec::with_capacity(uids.len());
        for uid in uids {
            let mut writer = BlockWriter::new(uid)?;
            if self.write_instance(uid, generation, window, &mut writer)? {
                blocks.push(writer.finish()?);
            }
        }
        Ok(blocks)
    }

    /// The id of a sealed generation, and the instances that hold something of it, ascending.
    pub(super) fn sealed(&self, window: Millis, sealed: u64) -> Result<(u32, Vec<Uid>)> {
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
        Ok((generation, uids))
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
        let (mut labels, mut decoded) = (Vec::new(), Decoded::default());
        let mut rest = rows.as_slice();
        while !rest.is_empty() {
            let part = &rest[..rest.len().min(DECODED_PER_LOCK)];
            let done = self.decode(uid, generation, window, part, &mut decoded);
            let mut start = 0;
            for (row, &end) in part.iter().zip(decoded.ends()) {
                labels.clear();
                labels.extend(row.labels.iter().map(|&pair| vocabulary.text(pair)));
                writer.add(&labels, decoded.samples(start..end))?;
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
    fn decode(&self, uid: Uid, generation: u32, window: Millis, rows: &[Row], out: &mut Decoded) -> usize {
        out.clear();
        let state = self.state.read();
        let instance = state.instances.get(&uid);
        let Some((instance, sheet)) = instance.and_then(|i| Some((i, i.find_sheet(generation)?))) else {
            return rows.len();
        };
        for row in rows {
            if out.histogram_bytes() > HISTOGRAMS_PER_LOCK {
                break;
            }
            let held = instance.slab.get(row.series);
            match held.and_then(|held| held.lane(generation)) {
                Some(lane) => out.push(sheet, window, row.series, lane),
                None => out.push_nothing(),
            }
        }
        out.ends().len()
    }
}

struct Row {
    series: u32,
    labels: Box<[u32]>,
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
