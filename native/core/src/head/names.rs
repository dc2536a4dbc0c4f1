//! Label sets for the metadata endpoints: no samples are read.

use crate::Result;
use crate::model::{Millis, SeriesTable, Symbols, Uid};

use super::Head;
use super::instance::Instance;
use super::matching::Tests;
use super::series::Series;
use super::walk::{GoOn, Overlap, PairMap, Taken, Visitor, overlaps};

impl Head {
    /// The label sets that pass all tests and have samples in a window that overlaps the range.
    pub fn label_sets(
        &self,
        uid: Uid,
        tests: &mut Tests<'_>,
        range: (Millis, Millis),
        symbols: &mut Symbols,
        go_on: GoOn<'_>,
    ) -> Result<SeriesTable> {
        let mut sets = Sets {
            symbols,
            map: PairMap::default(),
            table: SeriesTable::new(),
        };
        self.walk(uid, tests, range, go_on, &mut sets)?;
        Ok(sets.table)
    }

    /// The (name, value) pairs of series with samples in a window that overlaps the range.
    pub fn label_pairs(
        &self,
        uid: Uid,
        range: (Millis, Millis),
        symbols: &mut Symbols,
        go_on: GoOn<'_>,
    ) -> Result<Vec<(u32, u32)>> {
        if let Some(pairs) = self.all_pairs(uid, range, symbols) {
            return Ok(pairs);
        }
        let mut pairs = PairsMet {
            seen: Vec::new(),
            symbols,
            map: PairMap::default(),
            pairs: Vec::new(),
        };
        self.walk(uid, &mut Tests::new(&[]), range, go_on, &mut pairs)?;
        Ok(pairs.pairs)
    }

    /// The pairs that any series has, if everything the instance has lies in overlapping windows.
    fn all_pairs(&self, uid: Uid, range: (Millis, Millis), symbols: &mut Symbols) -> Option<Vec<(u32, u32)>> {
        let state = self.state.read();
        let instance = state.instances.get(&uid)?;
        let overlaps = overlaps(&state.generations, range);
        let overlaps_sheet = |generation: u32| {
            overlaps
                .binary_search_by_key(&generation, |o| o.generation)
                .is_ok()
        };
        if !instance
            .sheets
            .iter()
            .all(|sheet| overlaps_sheet(sheet.generation))
        {
            return None;
        }
        let index = &instance.index;
        let live: Vec<u32> = (0..index.pairs().len() as u32)
            .filter(|&pair| !index.posting(pair).is_empty())
            .collect();
        Some(PairMap::default().row(index, &live, symbols).collect())
    }
}

fn has_samples(series: &Series, overlaps: &[Overlap]) -> bool {
    series.lanes().any(|lane| {
        overlaps
            .binary_search_by_key(&lane.generation, |o| o.generation)
            .is_ok()
    })
}

struct Sets<'s> {
    symbols: &'s mut Symbols,
    map: PairMap,
    table: SeriesTable,
}

impl Visitor for Sets<'_> {
    fn restart(&mut self) {
        self.map.clear();
        self.table = SeriesTable::new();
    }

    fn taken(&self) -> Taken {
        Taken {
            series: self.table.len(),
            bytes: self.table.bytes(),
        }
    }

    fn visit(&mut self, instance: &Instance, overlaps: &[Overlap], _place: u32, series: &Series) {
        if has_samples(series, overlaps) {
            self.table
                .push(self.map.row(&instance.index, &series.labels, self.symbols));
        }
    }
}

struct PairsMet<'s> {
    /// By pair id of the instance.
    seen: Vec<bool>,
    symbols: &'s mut Symbols,
    map: PairMap,
    pairs: Vec<(u32, u32)>,
}

impl Visitor for PairsMet<'_> {
    fn restart(&mut self) {
        self.seen.clear();
        self.map.clear();
        self.pairs.clear();
    }

    fn taken(&self) -> Taken {
        Taken {
            series: 0,
            bytes: self.pairs.capacity() * 8,
        }
    }

    fn visit(&mut self, instance: &Instance, overlaps: &[Overlap], _place: u32, series: &Series) {
        if !has_samples(series, overlaps) {
            return;
        }
        if self.seen.len() < instance.index.pairs().len() {
            self.seen.resize(instance.index.pairs().len(), false);
        }
        for &pair in &series.labels {
            if !std::mem::replace(&mut self.seen[pair as usize], true) {
                self.pairs
                    .extend(self.map.row(&instance.index, &[pair], self.symbols));
            }
        }
    }
}
