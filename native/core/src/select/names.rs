//! Label names, values and sets over blocks and heads, for the metadata endpoints. No samples are read.

use hashbrown::HashSet;

use super::block_rows;
use super::rows::Rows;
use crate::Result;
use crate::block::BlockReader;
use crate::engine::json::write_string;
use crate::head::Head;
use crate::model::{Matcher, Millis, SeriesTable, Symbols, Uid};

/// What the series have that pass all matchers of any set and may have samples between two times, both included. Without a set: every
/// series, of which only the label pairs are collected.
#[derive(Debug)]
pub struct Names {
    sets: Vec<Vec<Matcher>>,
    range: (Millis, Millis),
    symbols: Symbols,
    /// Without a matcher set.
    pairs: HashSet<(u32, u32)>,
    rows: Rows,
}

impl Names {
    pub fn new(sets: Vec<Vec<Matcher>>, min: Millis, max: Millis) -> Self {
        Self {
            sets,
            range: (min, max),
            symbols: Symbols::new(),
            pairs: HashSet::new(),
            rows: Rows::default(),
        }
    }

    pub fn add_block(&mut self, reader: &BlockReader) {
        if self.sets.is_empty() {
            let pairs = block_rows::pairs(reader, self.range, &mut self.symbols);
            self.pairs.extend(pairs);
            return;
        }
        for matchers in &self.sets {
            let rows = block_rows::find(reader, matchers, self.range);
            self.rows
                .add(0, block_rows::table(reader, &rows, &mut self.symbols));
        }
    }

    pub fn add_head(&mut self, head: &Head, uid: Uid) -> Result<()> {
        if self.sets.is_empty() {
            let pairs = head.label_pairs(uid, self.range, &mut self.symbols)?;
            self.pairs.extend(pairs);
            return Ok(());
        }
        for matchers in &self.sets {
            self.rows
                .add(0, head.label_sets(uid, matchers, self.range, &mut self.symbols)?);
        }
        Ok(())
    }

    fn table(&self) -> &SeriesTable {
        self.rows.table()
    }

    /// Sorted bytewise.
    pub fn label_names(&self) -> Vec<String> {
        let names = self.pairs.iter().map(|pair| pair.0);
        self.sorted(names.chain(self.table().rows().flatten().map(|pair| pair.0)))
    }

    /// Sorted bytewise.
    pub fn label_values(&self, name: &str) -> Vec<String> {
        let Some(name) = self.symbols.lookup(name) else {
            return Vec::new();
        };
        let pairs = self.pairs.iter().filter(|pair| pair.0 == name).map(|pair| pair.1);
        let rows = (0..self.table().len()).map(|row| self.table().value(row, name));
        self.sorted(pairs.chain(rows).filter(|&value| value != Symbols::EMPTY))
    }

    fn sorted(&self, ids: impl Iterator<Item = u32>) -> Vec<String> {
        let mut is_met = vec![false; self.symbols.len()];
        for id in ids {
            is_met[id as usize] = true;
        }
        let mut texts: Vec<&str> = (0..self.symbols.len() as u32)
            .filter(|&id| is_met[id as usize])
            .map(|id| self.symbols.get(id))
            .collect();
        texts.sort_unstable();
        texts.into_iter().map(str::to_owned).collect()
    }

    /// A JSON array of label objects sorted by label set, and whether `limit` (0: none) cut it.
    pub fn series_json(&self, limit: usize) -> (Vec<u8>, bool) {
        let ranks = self.symbols.ranks();
        let rank = |&(name, value): &(u32, u32)| (ranks[name as usize], ranks[value as usize]);
        let table = self.table();
        let mut rows: Vec<usize> = (0..table.len()).collect();
        rows.sort_unstable_by(|&a, &b| table.row(a).iter().map(rank).cmp(table.row(b).iter().map(rank)));
        let is_cut = limit > 0 && rows.len() > limit;
        if is_cut {
            rows.truncate(limit);
        }
        let mut json = vec![b'['];
        for row in rows {
            json.push(b'{');
            for &(name, value) in table.row(row) {
                write_string(self.symbols.get(name), &mut json);
                json.push(b':');
                write_string(self.symbols.get(value), &mut json);
                json.push(b',');
            }
            close(b'}', &mut json);
            json.push(b',');
        }
        close(b']', &mut json);
        (json, is_cut)
    }
}

/// Ends a list, in the place of the comma after its last member.
fn close(bracket: u8, json: &mut Vec<u8>) {
    match json.last_mut() {
        Some(last) if *last == b',' => *last = bracket,
        _ => json.push(bracket),
    }
}
