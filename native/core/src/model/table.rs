//! Label sets as rows of interned (name, value) pairs.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

/// Strings of one query, each once. Ids are dense and never change; 0 is the empty string, 1 to 3 are the labels that
/// say what a metric is.
#[derive(Debug, Clone)]
pub struct Symbols {
    arena: String,
    spans: Vec<(u32, u32)>,
    ids: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Symbols {
    pub const EMPTY: u32 = 0;
    pub const NAME: u32 = 1;
    /// `__type__` and `__unit__`: like the name, they describe the metric and not what is computed from it.
    const TYPE: u32 = 2;
    const UNIT: u32 = 3;

    pub fn new() -> Self {
        let mut symbols = Self {
            arena: String::new(),
            spans: Vec::new(),
            ids: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
        };
        for (id, text) in ["", "__name__", "__type__", "__unit__"].into_iter().enumerate() {
            let interned = symbols.intern(text);
            debug_assert_eq!(interned as usize, id);
        }
        symbols
    }

    /// Whether an operation that changes what the values mean drops this label.
    #[inline]
    pub const fn is_metadata(name: u32) -> bool {
        matches!(name, Self::NAME | Self::TYPE | Self::UNIT)
    }

    pub fn intern(&mut self, text: &str) -> u32 {
        let hash = self.hasher.hash_one(text);
        let (arena, spans, hasher) = (&mut self.arena, &mut self.spans, &self.hasher);
        let found = self
            .ids
            .find(hash, |&id| slice(arena, spans[id as usize]) == text);
        if let Some(&id) = found {
            return id;
        }
        let id = spans.len() as u32;
        spans.push((arena.len() as u32, text.len() as u32));
        arena.push_str(text);
        self.ids
            .insert_unique(hash, id, |&id| hasher.hash_one(slice(arena, spans[id as usize])));
        id
    }

    pub fn lookup(&self, text: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(text);
        self.ids.find(hash, |&id| self.get(id) == text).copied()
    }

    pub fn get(&self, id: u32) -> &str {
        slice(&self.arena, self.spans[id as usize])
    }

    /// For each id the place of its text among all texts, sorted bytewise.
    pub fn ranks(&self) -> Vec<u32> {
        let mut sorted: Vec<u32> = (0..self.len() as u32).collect();
        sorted.sort_unstable_by_key(|&id| self.get(id));
        let mut ranks = vec![0; sorted.len()];
        for (rank, &id) in (0..).zip(&sorted) {
            ranks[id as usize] = rank;
        }
        ranks
    }

    pub fn len(&self) -> usize {
        self.spans.len()
    }

    pub fn is_empty(&self) -> bool {
        false
    }

    /// Heap bytes held, for the query's budget.
    pub fn bytes(&self) -> usize {
        self.arena.capacity() + self.spans.capacity() * 8 + self.ids.capacity() * 5
    }
}

impl Default for Symbols {
    fn default() -> Self {
        Self::new()
    }
}

fn slice(arena: &str, (start, len): (u32, u32)) -> &str {
    &arena[start as usize..(start + len) as usize]
}

/// Rows of (name id, value id) pairs in compressed sparse rows. Within a row names ascend bytewise and are unique;
/// a value is never empty. Ids belong to the [`Symbols`] of the query.
#[derive(Debug, Clone)]
pub struct SeriesTable {
    offsets: Vec<u32>,
    pairs: Vec<(u32, u32)>,
    /// Rows that lose their name at the end of the query; what is missing at the end does not.
    unnamed: Vec<bool>,
}

impl Default for SeriesTable {
    fn default() -> Self {
        Self::new()
    }
}

impl SeriesTable {
    pub fn new() -> Self {
        Self {
            offsets: vec![0],
            pairs: Vec::new(),
            unnamed: Vec::new(),
        }
    }

    pub fn with_capacity(rows: usize, pairs: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self {
            offsets,
            pairs: Vec::with_capacity(pairs),
            unnamed: Vec::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Labels of all rows together.
    pub fn pairs(&self) -> usize {
        self.pairs.len()
    }

    pub fn row(&self, row: usize) -> &[(u32, u32)] {
        &self.pairs[self.offsets[row] as usize..self.offsets[row + 1] as usize]
    }

    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[(u32, u32)]> {
        self.offsets
            .windows(2)
            .map(|w| &self.pairs[w[0] as usize..w[1] as usize])
    }

    pub fn push(&mut self, pairs: impl IntoIterator<Item = (u32, u32)>) {
        self.pairs.extend(pairs);
        self.offsets.push(self.pairs.len() as u32);
    }

    /// Appends a row of another table.
    pub fn push_from(&mut self, other: &Self, row: usize) {
        self.push(other.row(row).iter().copied());
        if other.is_unnamed(row) {
            self.mark_unnamed(self.len() - 1);
        }
    }

    /// Whether a row loses its name at the end of the query.
    #[inline]
    pub fn is_unnamed(&self, row: usize) -> bool {
        self.unnamed.get(row).copied().unwrap_or(false)
    }

    /// Whether some row may lose its name.
    pub fn has_unnamed(&self) -> bool {
        !self.unnamed.is_empty()
    }

    pub fn mark_unnamed(&mut self, row: usize) {
        if self.unnamed.len() <= row {
            self.unnamed.resize(row + 1, false);
        }
        self.unnamed[row] = true;
    }

    /// All rows, or none.
    pub fn mark_all(&mut self, unnamed: bool) {
        self.unnamed.clear();
        if unnamed {
            self.unnamed.resize(self.len(), true);
        }
    }

    /// The value id of a name in a row, [`Symbols::EMPTY`] where the row has none.
    pub fn value(&self, row: usize, name: u32) -> u32 {
        self.row(row)
            .iter()
            .find(|p| p.0 == name)
            .map_or(Symbols::EMPTY, |p| p.1)
    }

    pub fn bytes(&self) -> usize {
        self.offsets.capacity() * 4 + self.pairs.capacity() * 8 + self.unnamed.capacity()
    }
}
