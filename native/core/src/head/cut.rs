//! A sealed generation as blocks.

use std::ops::Range;

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
        let mut rest = rows.all.as_slice();
        while !rest.is_empty() {
            let part = &rest[..rest.len().min(DECODED_PER_LOCK)];
            let done = self.decode(uid, generation, window, part, &mut decoded);
            let mut start = 0;
            for (row, &end) in part.iter().zip(decoded.ends()) {
                labels.clear();
                labels.extend(rows.labels(row).iter().map(|&place| vocabulary.text(place)));
                writer.add(&labels, decoded.samples(start..end))?;
                start = end;
            }
            rest = &rest[done..];
        }
        Ok(!rows.all.is_empty())
    }

    /// A copy of the strings. Refs and pair ids keep their meaning while maintenance is locked; pairs that come later are of series that
    /// came after the seal.
    fn vocabulary(&self, uid: Uid) -> Option<Vocabulary> {
        let state = self.state.read();
        let index = &state.instances.get(&uid)?.index;
        let (symbols, pairs) = (index.symbols().clone(), index.pairs().to_vec());
        drop(state);
        Some(Vocabulary::new(symbols, &pairs))
    }

    /// The series of a generation, sorted as a block wants them.
    fn rows_of(&self, uid: Uid, generation: u32, vocabulary: &Vocabulary) -> Rows {
        let mut rows = Rows::default();
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
                    rows.push(series, &held.labels, vocabulary);
                }
            }
            from = to;
        }
        rows.sort();
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

/// Series, and their labels one behind the other as places of a [`Vocabulary`].
#[derive(Default)]
struct Rows {
    all: Vec<Row>,
    labels: Vec<u32>,
}

struct Row {
    series: u32,
    /// How the metric name sorts.
    metric: u32,
    labels: Range<usize>,
}

impl Rows {
    fn push(&mut self, series: u32, pairs: &[u32], vocabulary: &Vocabulary) {
        let start = self.labels.len();
        let places = pairs.iter().map(|&pair| vocabulary.places[pair as usize]);
        self.labels.extend(places);
        self.all.push(Row {
            series,
            metric: vocabulary.metric(&self.labels[start..]),
            labels: start..self.labels.len(),
        });
    }

    fn labels(&self, row: &Row) -> &[u32] {
        &self.labels[row.labels.clone()]
    }

    /// By metric name, then labels by name and value.
    fn sort(&mut self) {
        let Self { all, labels } = self;
        let labels = |row: &Row| &labels[row.labels.clone()];
        all.sort_unstable_by(|a, b| (a.metric, labels(a)).cmp(&(b.metric, labels(b))));
    }
}

/// The label pairs of an instance in the order of their texts.
struct Vocabulary {
    symbols: Symbols,
    pairs: Vec<(u32, u32)>,
    /// By pair id of the head, its place in `pairs`.
    places: Vec<u32>,
    /// By symbol, its place among all texts.
    ranks: Vec<u32>,
}

impl Vocabulary {
    /// `pairs` by pair id of the head.
    fn new(symbols: Symbols, pairs: &[(u32, u32)]) -> Self {
        let ranks = symbols.ranks();
        let mut order: Vec<u32> = (0..pairs.len() as u32).collect();
        order.sort_unstable_by_key(|&pair| {
            let (name, value) = pairs[pair as usize];
            (ranks[name as usize], ranks[value as usize])
        });
        let mut places = vec![0; pairs.len()];
        for (place, &pair) in (0..).zip(&order) {
            places[pair as usize] = place;
        }
        Self {
            symbols,
            pairs: order.iter().map(|&pair| pairs[pair as usize]).collect(),
            places,
            ranks,
        }
    }

    fn text(&self, place: u32) -> (&str, &str) {
        let (name, value) = self.pairs[place as usize];
        (self.symbols.get(name), self.symbols.get(value))
    }

    /// How the metric name of a row sorts. The empty text has rank 0, so that no name comes first.
    fn metric(&self, row: &[u32]) -> u32 {
        let mut pairs = row.iter().map(|&place| self.pairs[place as usize]);
        let name = pairs.find(|&(name, _)| name == Symbols::NAME);
        name.map_or(0, |(_, value)| self.ranks[value as usize])
    }
}
