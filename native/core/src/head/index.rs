//! Label sets of one instance: strings once, label pairs once, and for each pair the series that carry it.

use hashbrown::{HashMap, HashTable};
use xxhash_rust::xxh3::xxh3_64;

use crate::model::Symbols;

const METRIC_NAME: &str = "__name__";

/// Pairs below which a table with mostly dead entries is left alone.
const REBUILD_ABOVE: usize = 1024;

#[derive(Debug, Default)]
pub struct LabelIndex {
    symbols: Symbols,
    pairs: Vec<(u32, u32)>,
    pair_ids: HashTable<u32>,
    /// Series refs by pair, in no order.
    postings: Vec<Vec<u32>>,
    /// Name symbol → its pairs, including those that no series carries any more.
    names: HashMap<u32, Vec<u32>>,
    live_pairs: usize,
    postings_bytes: usize,
    /// The symbol of [`METRIC_NAME`].
    metric_name: Option<u32>,
    /// Series of the metric that has most.
    largest_metric: usize,
}

impl LabelIndex {
    pub fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    /// (name symbol, value symbol) by pair id.
    pub fn pairs(&self) -> &[(u32, u32)] {
        &self.pairs
    }

    /// Name and value of a pair.
    pub fn text(&self, pair: u32) -> (&str, &str) {
        let (name, value) = self.pairs[pair as usize];
        (self.symbols.get(name), self.symbols.get(value))
    }

    pub fn posting(&self, pair: u32) -> &[u32] {
        &self.postings[pair as usize]
    }

    pub fn pairs_of(&self, name: u32) -> &[u32] {
        self.names.get(&name).map_or(&[], Vec::as_slice)
    }

    pub fn find(&self, name: &str, value: &str) -> Option<u32> {
        self.find_ids((self.symbols.lookup(name)?, self.symbols.lookup(value)?))
    }

    fn find_ids(&self, pair: (u32, u32)) -> Option<u32> {
        self.pair_ids
            .find(hash_pair(pair), |&id| self.pairs[id as usize] == pair)
            .copied()
    }

    /// Series of one metric.
    pub fn metric_series(&self, metric: &str) -> usize {
        self.find(METRIC_NAME, metric)
            .map_or(0, |pair| self.posting(pair).len())
    }

    /// Series of the metric that has most.
    pub fn largest_metric(&self) -> usize {
        self.largest_metric
    }

    /// The pair ids of sorted labels, or `None` if one of them is not known.
    pub fn lookup_row(&self, labels: &[(&str, &str)]) -> Option<Vec<u32>> {
        labels
            .iter()
            .map(|(name, value)| self.find(name, value))
            .collect()
    }

    /// The pair ids of sorted labels.
    pub fn intern_row(&mut self, labels: &[(&str, &str)]) -> Box<[u32]> {
        labels
            .iter()
            .map(|(name, value)| self.intern(name, value))
            .collect()
    }

    fn intern(&mut self, name: &str, value: &str) -> u32 {
        let pair = (self.symbols.intern(name), self.symbols.intern(value));
        if let Some(id) = self.find_ids(pair) {
            return id;
        }
        if name == METRIC_NAME {
            self.metric_name = Some(pair.0);
        }
        let id = self.pairs.len() as u32;
        self.pairs.push(pair);
        self.postings.push(Vec::new());
        self.names.entry(pair.0).or_default().push(id);
        let pairs = &self.pairs;
        self.pair_ids
            .insert_unique(hash_pair(pair), id, |&id| hash_pair(pairs[id as usize]));
        id
    }

    /// A series with these labels exists from now on.
    pub fn add(&mut self, row: &[u32], series: u32) {
        for &pair in row {
            let posting = &mut self.postings[pair as usize];
            self.live_pairs += usize::from(posting.is_empty());
            let before = posting.capacity();
            if posting.len() == before && before >= 64 {
                posting.reserve_exact(before / 4);
            }
            posting.push(series);
            self.postings_bytes += (posting.capacity() - before) * 4;
            if Some(self.pairs[pair as usize].0) == self.metric_name {
                self.largest_metric = self.largest_metric.max(posting.len());
            }
        }
    }

    /// Removes series; `rows` are their labels.
    pub fn remove<'a>(&mut self, rows: impl Iterator<Item = &'a [u32]>, is_removed: impl Fn(u32) -> bool) {
        let mut touched: Vec<u32> = rows.flatten().copied().collect();
        touched.sort_unstable();
        touched.dedup();
        for pair in touched {
            let posting = &mut self.postings[pair as usize];
            let before = posting.capacity();
            posting.retain(|&series| !is_removed(series));
            if posting.len() < before / 2 {
                posting.shrink_to_fit();
            }
            self.postings_bytes -= (before - posting.capacity()) * 4;
            self.live_pairs -= usize::from(posting.is_empty());
        }
        let metrics = self.metric_name.map_or(&[][..], |name| self.pairs_of(name));
        self.largest_metric = metrics
            .iter()
            .map(|&pair| self.posting(pair).len())
            .max()
            .unwrap_or_default();
    }

    /// Whether most pairs belong to no series, so that the tables should be made anew.
    pub fn is_mostly_dead(&self) -> bool {
        self.pairs.len() > REBUILD_ABOVE && self.live_pairs < self.pairs.len() / 2
    }

    /// An index with the live pairs only, and for each old pair id its new one.
    pub fn rebuilt(&self) -> (Self, Vec<u32>) {
        let mut fresh = Self::default();
        let mut renamed = vec![u32::MAX; self.pairs.len()];
        for (old, posting) in self.postings.iter().enumerate() {
            if posting.is_empty() {
                continue;
            }
            let (name, value) = self.pairs[old];
            let new = fresh.intern(self.symbols.get(name), self.symbols.get(value));
            renamed[old] = new;
            let posting = posting.clone();
            fresh.postings_bytes += posting.capacity() * 4;
            fresh.postings[new as usize] = posting;
            fresh.live_pairs += 1;
        }
        fresh.largest_metric = self.largest_metric;
        (fresh, renamed)
    }

    pub fn bytes(&self) -> usize {
        self.symbols.bytes()
            + self.pairs.capacity() * 8
            + self.pair_ids.capacity() * 5
            + self.postings.capacity() * size_of::<Vec<u32>>()
            + self.postings_bytes
            + self.names.capacity() * 33
            + self.pairs.len() * 4
    }
}

fn hash_pair((name, value): (u32, u32)) -> u64 {
    // Both halves of the product depend on both ids; the table uses the top bits and the bottom ones.
    let wide = u128::from(u64::from(name) << 32 | u64::from(value)) * 0x9e37_79b9_7f4a_7c15;
    (wide >> 64) as u64 ^ wide as u64
}

/// The hash of a row of pair ids. Ids stand for bytes one to one, so that equal rows are equal label sets.
pub fn hash_row(row: &[u32]) -> u64 {
    let mut bytes = [0_u8; 256];
    if let Some(buffer) = bytes.get_mut(..row.len() * 4) {
        for (slot, id) in buffer.chunks_exact_mut(4).zip(row) {
            slot.copy_from_slice(&id.to_le_bytes());
        }
        return xxh3_64(buffer);
    }
    xxh3_64(&row.iter().flat_map(|id| id.to_le_bytes()).collect::<Vec<u8>>())
}
