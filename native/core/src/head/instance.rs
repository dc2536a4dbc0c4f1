//! Everything the head holds of one instance. Nothing is shared between instances.

use hashbrown::{HashMap, HashTable, hash_map};

use super::cells::Cells;
use super::columns::Columns;
use super::descriptions::Descriptions;
use super::histograms::Histograms;
use super::index::{LabelIndex, hash_row};
use super::labels;
use super::lane::{Lane, Outcome};
use super::runs::Runs;
use super::series::{Series, Slab};
use super::starts::Starts;
use crate::codec::histograms::HistogramEncoder;
use crate::model::{Histogram, Millis};

/// Other encodings of known label sets that are remembered, at least; beyond it as many as there are series.
const ALIASES: usize = 1024;

/// What an instance holds of one generation, apart from the lanes.
#[derive(Debug)]
pub struct Sheet {
    pub generation: u32,
    pub columns: Columns,
    pub runs: Runs,
    pub cells: Cells,
    /// By ref; of series that have some.
    pub histograms: HashMap<u32, Histograms>,
    pub histogram_bytes: usize,
    /// By ref; of series with samples that have some.
    pub starts: HashMap<u32, Starts>,
    pub start_bytes: usize,
    pub samples: u64,
    /// Heap bytes of its lanes, and the lanes.
    pub lane_bytes: usize,
}

impl Sheet {
    pub fn of(generation: u32) -> Self {
        Self {
            generation,
            columns: Columns::default(),
            runs: Runs::default(),
            cells: Cells::default(),
            histograms: HashMap::new(),
            histogram_bytes: 0,
            starts: HashMap::new(),
            start_bytes: 0,
            samples: 0,
            lane_bytes: 0,
        }
    }

    /// Of its samples; the lanes' own places count once for all generations.
    pub fn bytes(&self) -> usize {
        let times = self.columns.bytes() + self.start_bytes;
        let values = self.runs.bytes() + self.cells.bytes() + self.histogram_bytes;
        self.lane_bytes + times + values
    }

    /// Whether a series has a histogram at a time.
    #[inline]
    pub fn has_histogram(&self, series: u32, time: u32) -> bool {
        !self.histograms.is_empty() && self.histograms.get(&series).is_some_and(|held| held.holds(time))
    }

    /// Adds a histogram of a series that has no float at its time.
    pub fn append_histogram(
        &mut self,
        series: u32,
        time: u32,
        histogram: Histogram,
        encoder: &mut HistogramEncoder,
    ) -> Outcome {
        let mut before = 0;
        let held = match self.histograms.entry(series) {
            hash_map::Entry::Occupied(held) => {
                let held = held.into_mut();
                before = held.bytes();
                held
            }
            hash_map::Entry::Vacant(place) => place.insert(Histograms::default()),
        };
        let outcome = held.append(time, histogram, encoder);
        self.histogram_bytes = self.histogram_bytes + held.bytes() - before;
        outcome
    }

    /// Notes the start of a sample that was stored. `newest_float`: the time of the newest float of its series.
    #[inline]
    pub fn note_start(&mut self, series: u32, time: u32, start: Millis, newest_float: u32) {
        if start != 0 || !self.starts.is_empty() {
            self.set_start(series, time, start, newest_float);
        }
    }

    fn set_start(&mut self, series: u32, time: u32, start: Millis, newest_float: u32) {
        let mut before = 0;
        let held = match self.starts.entry(series) {
            hash_map::Entry::Occupied(held) => {
                let held = held.into_mut();
                before = held.bytes();
                held
            }
            hash_map::Entry::Vacant(_) if start == 0 => return,
            hash_map::Entry::Vacant(place) => place.insert(Starts::default()),
        };
        let newest = self.histograms.get(&series).map_or(0, Histograms::newest);
        held.set(time, start, time >= newest.max(newest_float));
        self.start_bytes = self.start_bytes + held.bytes() - before;
    }
}

#[derive(Debug, Default)]
pub struct Instance {
    pub index: LabelIndex,
    pub slab: Slab,
    /// By ascending generation.
    pub sheets: Vec<Sheet>,
    pub metadata: Descriptions,
    keys: HashTable<u32>,
    rows: HashTable<u32>,
    aliases: HashMap<u128, u32>,
    last: u32,
    label_bytes: usize,
}

impl Instance {
    /// The place of a generation's sheet, made if there is none.
    pub fn sheet(&mut self, generation: u32) -> usize {
        match self
            .sheets
            .binary_search_by_key(&generation, |sheet| sheet.generation)
        {
            Ok(at) => at,
            Err(at) => {
                self.sheets.insert(at, Sheet::of(generation));
                at
            }
        }
    }

    pub fn find_sheet(&self, generation: u32) -> Option<&Sheet> {
        let at = self
            .sheets
            .binary_search_by_key(&generation, |sheet| sheet.generation)
            .ok()?;
        Some(&self.sheets[at])
    }

    /// The series of a key, made from its label bytes if there is none. `None` if the bytes are not labels.
    #[inline]
    pub fn resolve<'l>(&mut self, key: u128, label_bytes: impl FnOnce() -> &'l [u8]) -> Option<u32> {
        // Senders repeat their batches in order, so the series that followed last time is the best guess.
        let guess = self.slab.get(self.last).map_or(0, |last| last.successor);
        if self.slab.get(guess).is_some_and(|series| series.key == key) {
            self.last = guess;
            return Some(guess);
        }
        self.resolve_anew(key, label_bytes)
    }

    #[cold]
    fn resolve_anew<'l>(&mut self, key: u128, label_bytes: impl FnOnce() -> &'l [u8]) -> Option<u32> {
        let series = match self.find_key(key) {
            Some(series) => series,
            None => self.find_or_create(key, label_bytes())?,
        };
        if let Some(last) = self.slab.get_mut(self.last) {
            last.successor = series;
        }
        self.last = series;
        Some(series)
    }

    fn find_key(&self, key: u128) -> Option<u32> {
        let slab = &self.slab;
        let is_it = |&series: &u32| slab.get(series).is_some_and(|s| s.key == key);
        self.keys
            .find(key as u64, is_it)
            .or_else(|| self.aliases.get(&key))
            .copied()
    }

    /// Whether the label set is known in the encoding that has this key.
    pub fn has_key(&self, key: u128) -> bool {
        self.find_key(key).is_some()
    }

    /// Whether the label set is known, in whatever encoding.
    pub fn knows<'l>(&self, key: u128, label_bytes: impl FnOnce() -> &'l [u8]) -> bool {
        if self.find_key(key).is_some() {
            return true;
        }
        let mut pairs = Vec::new();
        labels::decode(label_bytes(), &mut pairs)
            .and_then(|()| self.index.lookup_row(&pairs))
            .is_some_and(|row| self.find_row(&row).is_some())
    }

    fn find_row(&self, row: &[u32]) -> Option<u32> {
        let slab = &self.slab;
        self.rows
            .find(hash_row(row), |&s| slab.get(s).is_some_and(|s| *s.labels == *row))
            .copied()
    }

    fn find_or_create(&mut self, key: u128, label_bytes: &[u8]) -> Option<u32> {
        let mut pairs = Vec::new();
        labels::decode(label_bytes, &mut pairs)?;
        let row = self.index.intern_row(&pairs);
        if let Some(known) = self.find_row(&row) {
            if self.aliases.len() >= ALIASES.max(self.slab.len()) {
                self.aliases.clear();
            }
            self.aliases.insert(key, known);
            return Some(known);
        }
        let series = self.slab.next_ref();
        self.index.add(&row, series);
        self.label_bytes += row.len() * 4;
        let hash = hash_row(&row);
        self.slab.insert(Series::new(key, row, series + 1));
        let slab = &self.slab;
        self.keys
            .insert_unique(key as u64, series, |&s| slab.get(s).map_or(0, |s| s.key as u64));
        self.rows
            .insert_unique(hash, series, |&s| slab.get(s).map_or(0, |s| hash_row(&s.labels)));
        Some(series)
    }

    /// Everything but the metadata, which stays.
    #[must_use]
    pub fn take_series(&mut self) -> Self {
        let metadata = std::mem::take(&mut self.metadata);
        let kept = Self {
            metadata,
            ..Self::default()
        };
        std::mem::replace(self, kept)
    }

    /// Removes those of `candidates` that hold nothing.
    pub fn remove_empty(&mut self, candidates: &[u32]) {
        let mut removed = Vec::new();
        for &series in candidates {
            if self.slab.get(series).is_some_and(Series::is_empty)
                && let Some(gone) = self.unlink(series)
            {
                removed.push(gone);
            }
        }
        if removed.is_empty() {
            return;
        }
        let slab = &self.slab;
        self.index
            .remove(removed.iter().map(|gone| &*gone.labels), |series| {
                slab.get(series).is_none()
            });
        self.aliases.retain(|_, series| slab.get(*series).is_some());
        if self.index.is_mostly_dead() {
            self.rebuild_index();
        }
    }

    fn unlink(&mut self, series: u32) -> Option<Series> {
        let gone = self.slab.get(series)?;
        let (key, row) = (gone.key as u64, hash_row(&gone.labels));
        if let Ok(entry) = self.keys.find_entry(key, |&s| s == series) {
            entry.remove();
        }
        if let Ok(entry) = self.rows.find_entry(row, |&s| s == series) {
            entry.remove();
        }
        let gone = self.slab.remove(series)?;
        self.label_bytes -= gone.labels.len() * 4;
        Some(gone)
    }

    /// Forgets strings and pairs that no series carries any more.
    fn rebuild_index(&mut self) {
        let (index, renamed) = self.index.rebuilt();
        self.index = index;
        for series in 0..self.slab.end() {
            if let Some(series) = self.slab.get_mut(series) {
                for pair in &mut series.labels {
                    *pair = renamed[*pair as usize];
                }
            }
        }
        let mut rows = HashTable::with_capacity(self.slab.len());
        for (series, held) in self.slab.range(0, self.slab.end()) {
            rows.insert_unique(hash_row(&held.labels), series, |&s| {
                self.slab.get(s).map_or(0, |s| hash_row(&s.labels))
            });
        }
        self.rows = rows;
    }

    pub fn samples(&self) -> u64 {
        self.sheets.iter().map(|sheet| sheet.samples).sum()
    }

    pub fn bytes(&self) -> usize {
        let sheets: usize = self.sheets.iter().map(Sheet::bytes).sum();
        // Allocators round small label rows up to 8 bytes at least.
        let labels = self.label_bytes + self.slab.len() * 8;
        let tables = self.keys.capacity() * 5 + self.rows.capacity() * 5 + self.aliases.capacity() * 33;
        // The lane used last lies in its series' place, and its sheet has counted it.
        let places = self
            .slab
            .bytes()
            .saturating_sub(self.slab.len() * size_of::<Lane>());
        sheets + labels + self.metadata.bytes() + tables + places + self.index.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::labels::encode;

    fn add(instance: &mut Instance, number: usize) -> u32 {
        let mut bytes = Vec::new();
        encode(
            &[("__name__", "up"), ("pod", &format!("pod-{number}"))],
            &mut bytes,
        );
        instance.resolve(number as u128 + 1, || &bytes).unwrap()
    }

    #[test]
    fn churn_leaves_no_strings_behind() {
        let mut instance = Instance::default();
        let kept = add(&mut instance, 0);
        instance.slab.get_mut(kept).unwrap().lane_for(0);
        let mut bytes = Vec::new();
        for round in 0..20 {
            let gone: Vec<u32> = (1..1500).map(|n| add(&mut instance, round * 1500 + n)).collect();
            instance.remove_empty(&gone);
            assert_eq!(instance.slab.len(), 1);
            bytes.push(instance.bytes());
        }
        assert!(
            bytes[19] <= bytes[1] + bytes[1] / 4,
            "memory grows with what has gone: {bytes:?}"
        );
        assert!(instance.index.symbols().len() < 3000);
        // The index still tells what there is.
        assert_eq!(
            instance
                .index
                .posting(instance.index.find("pod", "pod-0").unwrap()),
            [kept]
        );
        assert!(
            instance
                .index
                .find("pod", "pod-1")
                .is_none_or(|pair| instance.index.posting(pair).is_empty())
        );
        assert_eq!(add(&mut instance, 0), kept);
    }

    #[test]
    fn other_encodings_are_the_same_series_and_are_bounded() {
        let mut instance = Instance::default();
        let series = add(&mut instance, 7);
        let mut bytes = Vec::new();
        encode(&[("pod", "pod-7"), ("__name__", "up")], &mut bytes);
        for key in 0..5000 {
            assert!(instance.knows(key << 64, || &bytes));
            assert_eq!(instance.resolve(key << 64, || &bytes), Some(series));
        }
        assert_eq!(instance.slab.len(), 1);
        assert!(instance.aliases.len() <= ALIASES);
    }
}
