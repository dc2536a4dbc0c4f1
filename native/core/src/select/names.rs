//! Label names, values and sets over blocks and heads, for the metadata endpoints. No samples are read.

use std::sync::Arc;

use hashbrown::HashSet;

use super::block_rows;
use super::part::NamesPart;
use super::rows::Rows;
use crate::Result;
use crate::block::BlockReader;
use crate::engine::{Charge, QueryContext, json::write_labels};
use crate::model::{Matcher, Millis, SeriesTable, Symbols};

/// What the series have that pass all matchers of any set and may have samples between two times, both included. Without a set: every
/// series, of which only the label pairs are collected, or those of one label.
#[derive(Debug)]
pub struct Names {
    context: Arc<QueryContext>,
    sets: Vec<Vec<Matcher>>,
    range: (Millis, Millis),
    /// The only label whose values are asked for.
    label: Option<String>,
    /// Without a matcher set.
    pairs: HashSet<(u32, u32)>,
    rows: Rows,
    charge: Charge,
    charged: usize,
}

impl Names {
    pub fn new(
        context: Arc<QueryContext>,
        sets: Vec<Vec<Matcher>>,
        min: Millis,
        max: Millis,
        label: Option<String>,
    ) -> Result<Self> {
        let charge = context.charge(0, 0)?;
        Ok(Self {
            context,
            sets,
            range: (min, max),
            label,
            pairs: HashSet::new(),
            rows: Rows::default(),
            charge,
            charged: 0,
        })
    }

    pub fn add_block(&mut self, reader: &BlockReader) -> Result<()> {
        self.context.check()?;
        if self.sets.is_empty() {
            let label = self.label.as_deref();
            let pairs = block_rows::pairs(reader, self.range, label, &mut self.context.symbols());
            self.pairs.extend(pairs);
        }
        for matchers in &self.sets {
            let rows = block_rows::find(reader, matchers, self.range);
            let table = block_rows::table(reader, &rows, &mut self.context.symbols());
            self.rows.add(0, table);
        }
        self.pay()
    }

    /// Adds what a head holds.
    pub fn add_part(&mut self, part: NamesPart) -> Result<()> {
        part.check_owner(&self.context)?;
        self.pairs.extend(part.pairs);
        for table in part.tables {
            self.rows.add(0, table);
        }
        self.pay()
    }

    fn pay(&mut self) -> Result<()> {
        let bytes = self.rows.bytes() + self.pairs.capacity() * 9;
        self.charge.grow(0, bytes.saturating_sub(self.charged))?;
        self.charged = self.charged.max(bytes);
        Ok(())
    }

    fn table(&self) -> &SeriesTable {
        self.rows.table()
    }

    /// Sorted bytewise.
    pub fn label_names(&self) -> Vec<String> {
        let names = self.pairs.iter().map(|pair| pair.0);
        Self::sorted(
            &self.context.symbols(),
            names.chain(self.table().rows().flatten().map(|pair| pair.0)),
        )
    }

    /// Sorted bytewise.
    pub fn label_values(&self, name: &str) -> Vec<String> {
        let symbols = self.context.symbols();
        let Some(name) = symbols.lookup(name) else {
            return Vec::new();
        };
        let pairs = self.pairs.iter().filter(|pair| pair.0 == name).map(|pair| pair.1);
        let rows = (0..self.table().len()).map(|row| self.table().value(row, name));
        Self::sorted(
            &symbols,
            pairs.chain(rows).filter(|&value| value != Symbols::EMPTY),
        )
    }

    fn sorted(symbols: &Symbols, ids: impl Iterator<Item = u32>) -> Vec<String> {
        let mut is_met = vec![false; symbols.len()];
        for id in ids {
            is_met[id as usize] = true;
        }
        let mut texts: Vec<&str> = (0..symbols.len() as u32)
            .filter(|&id| is_met[id as usize])
            .map(|id| symbols.get(id))
            .collect();
        texts.sort_unstable();
        texts.into_iter().map(str::to_owned).collect()
    }

    /// A JSON array of label objects sorted by label set, and whether `limit` (0: none) cut it.
    pub fn series_json(&self, limit: usize) -> (Vec<u8>, bool) {
        let symbols = self.context.symbols();
        let ranks = symbols.ranks();
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
            let labels = table.row(row).iter();
            write_labels(
                labels.map(|&(name, value)| (symbols.get(name), symbols.get(value))),
                &mut json,
            );
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
