//! Label sets as rows of ids: grouping, and merging rows that became equal. No strings are touched.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::cells::{ABSENT, Cells};
use super::context::QueryContext;
use super::frame::Frame;
use crate::model::{SeriesTable, Symbols};
use crate::{Error, Result};

/// What one label set is: (name id, value id), names ascending bytewise.
pub type Pairs = [(u32, u32)];

/// Gives equal label sets equal numbers, counting up from 0 in order of first sight.
#[derive(Debug)]
pub struct Interner {
    ids: HashTable<u32>,
    seed: u64,
    /// The label set of each number.
    pub table: SeriesTable,
}

impl Interner {
    pub fn with_capacity(sets: usize) -> Self {
        let seed = DefaultHashBuilder::default().hash_one(sets);
        Self {
            ids: HashTable::with_capacity(sets),
            seed,
            table: SeriesTable::with_capacity(sets, 0),
        }
    }

    pub fn number(&mut self, pairs: &Pairs) -> u32 {
        let hash = hash(self.seed, pairs);
        let table = &self.table;
        if let Some(&id) = self.ids.find(hash, |&id| table.row(id as usize) == pairs) {
            return id;
        }
        let id = table.len() as u32;
        self.table.push(pairs.iter().copied());
        let (table, seed) = (&self.table, self.seed);
        self.ids
            .insert_unique(hash, id, |&id| self::hash(seed, table.row(id as usize)));
        id
    }

    pub fn len(&self) -> usize {
        self.table.len()
    }
}

/// Pairs of ids are words already: one wide multiplication per pair mixes them, under a seed that nobody can guess.
fn hash(seed: u64, pairs: &Pairs) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    pairs.iter().fold(seed, |hash, &(name, value)| {
        let word = u64::from(name) << 32 | u64::from(value);
        let wide = u128::from(hash ^ word) * u128::from(ODD);
        (wide as u64) ^ ((wide >> 64) as u64)
    })
}

/// A choice of labels: those listed, or all but those listed and the metric name.
#[derive(Debug, Clone)]
pub struct Selector {
    names: Vec<u32>,
    keep_listed: bool,
}

impl Selector {
    /// `by (labels)` or `on (labels)`.
    pub fn only(context: &QueryContext, labels: &[String]) -> Self {
        let mut symbols = context.symbols();
        Self {
            names: labels.iter().map(|label| symbols.intern(label)).collect(),
            keep_listed: true,
        }
    }

    /// `without (labels)` or `ignoring (labels)`: the metric name goes as well.
    pub fn all_but(context: &QueryContext, labels: &[String]) -> Self {
        let mut symbols = context.symbols();
        let mut names = vec![Symbols::NAME];
        names.extend(labels.iter().map(|label| symbols.intern(label)));
        Self {
            names,
            keep_listed: false,
        }
    }

    pub fn of_grouping(context: &QueryContext, without: bool, labels: &[String]) -> Self {
        if without {
            Self::all_but(context, labels)
        } else {
            Self::only(context, labels)
        }
    }

    #[inline]
    pub fn keeps(&self, name: u32) -> bool {
        self.names.contains(&name) == self.keep_listed
    }

    pub fn pick<'a>(&'a self, row: &'a Pairs) -> impl Iterator<Item = (u32, u32)> + 'a {
        row.iter().copied().filter(|pair| self.keeps(pair.0))
    }
}

/// Which group each row belongs to.
#[derive(Debug)]
pub struct Groups {
    /// Group number of each row.
    pub of_row: Vec<u32>,
    /// Labels of each group, in order of its first row.
    pub table: SeriesTable,
}

impl Groups {
    pub fn new(rows: &SeriesTable, selector: &Selector) -> Self {
        let mut interner = Interner::with_capacity(0);
        let of_row = numbers(rows, selector, &mut interner);
        let mut table = interner.table;
        mark_merged(rows, &of_row, &mut table);
        Self { of_row, table }
    }

    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// The rows of each group, ascending, and where each group's rows begin.
    pub fn members(&self) -> Members {
        let mut starts = vec![0_u32; self.len() + 1];
        for &group in &self.of_row {
            starts[group as usize + 1] += 1;
        }
        for group in 0..self.len() {
            starts[group + 1] += starts[group];
        }
        let mut next = starts.clone();
        let mut rows = vec![0_u32; self.of_row.len()];
        for (row, &group) in self.of_row.iter().enumerate() {
            rows[next[group as usize] as usize] = row as u32;
            next[group as usize] += 1;
        }
        Members { starts, rows }
    }
}

/// Rows by group.
#[derive(Debug)]
pub struct Members {
    starts: Vec<u32>,
    rows: Vec<u32>,
}

impl Members {
    pub fn of(&self, group: usize) -> &[u32] {
        &self.rows[self.starts[group] as usize..self.starts[group + 1] as usize]
    }

    pub fn iter(&self) -> impl Iterator<Item = &[u32]> {
        (0..self.starts.len() - 1).map(|group| self.of(group))
    }
}

/// The number of each row's picked labels.
pub fn numbers(rows: &SeriesTable, selector: &Selector, interner: &mut Interner) -> Vec<u32> {
    let mut picked = Vec::new();
    let mut last: Option<(Vec<(u32, u32)>, u32)> = None;
    rows.rows()
        .map(|row| {
            picked.clear();
            picked.extend(selector.pick(row));
            // Neighbouring rows often fall into one group.
            if let Some((pairs, number)) = &last
                && *pairs == picked
            {
                return *number;
            }
            let number = interner.number(&picked);
            let entry = last.get_or_insert_default();
            entry.0.clone_from(&picked);
            entry.1 = number;
            number
        })
        .collect()
}

/// Cells under other labels. Rows whose labels became equal are merged into the first of them; two present at one
/// step are an error.
pub fn relabeled(
    context: &Arc<QueryContext>,
    table: SeriesTable,
    steps: usize,
    cells: Arc<Cells>,
) -> Result<Frame> {
    let mut interner = Interner::with_capacity(table.len());
    let of_row: Vec<u32> = table.rows().map(|row| interner.number(row)).collect();
    if interner.len() == table.len() {
        return Frame::new(context, table, steps, cells);
    }
    mark_merged(&table, &of_row, &mut interner.table);
    let mut merged = Cells::absent(context, interner.len() * steps)?;
    merged.take_histograms(&cells.histograms);
    for (row, &target) in of_row.iter().enumerate() {
        let from = row * steps..(row + 1) * steps;
        let (to_kind, to_value) = merged.row_mut(target as usize, steps);
        for (i, (&kind, &value)) in cells.kind[from.clone()]
            .iter()
            .zip(&cells.value[from])
            .enumerate()
        {
            if kind == ABSENT {
                continue;
            }
            if to_kind[i] != ABSENT {
                return Err(same_labelset());
            }
            (to_kind[i], to_value[i]) = (kind, value);
        }
        context.check()?;
    }
    Frame::new(context, interner.table, steps, merged.seal()?)
}

/// A row that others were merged into loses its name if one of them does.
fn mark_merged(rows: &SeriesTable, of_row: &[u32], merged: &mut SeriesTable) {
    if !rows.has_unnamed() {
        return;
    }
    for (row, &target) in of_row.iter().enumerate() {
        if rows.is_unnamed(row) {
            merged.mark_unnamed(target as usize);
        }
    }
}

pub fn same_labelset() -> Error {
    Error::Execution("vector cannot contain metrics with the same labelset".into())
}

/// Removes the metric name, and with it type and unit; or marks all rows to lose it at the end of the query.
pub fn drop_names(context: &Arc<QueryContext>, frame: &Arc<Frame>) -> Result<Arc<Frame>> {
    if context.delays_names() {
        let mut table = SeriesTable::clone(&frame.table);
        table.mark_all(true);
        let marked = Frame::new(context, table, frame.steps, Arc::clone(&frame.cells))?;
        return Ok(Arc::new(marked.in_order(frame.ordered)));
    }
    if !frame
        .table
        .rows()
        .any(|row| row.iter().any(|pair| Symbols::is_metadata(pair.0)))
    {
        return Ok(Arc::clone(frame));
    }
    let table = map_rows(&frame.table, |row, out| {
        out.extend(row.iter().copied().filter(|pair| !Symbols::is_metadata(pair.0)));
    });
    let dropped = relabeled(context, table, frame.steps, Arc::clone(&frame.cells))?;
    Ok(Arc::new(dropped.in_order(frame.ordered)))
}

/// Removes the names of the rows that are marked to lose it: the end of a query that delays that.
pub fn finish_names(context: &Arc<QueryContext>, frame: &Arc<Frame>) -> Result<Arc<Frame>> {
    if !frame.table.has_unnamed() {
        return Ok(Arc::clone(frame));
    }
    let mut table = SeriesTable::with_capacity(frame.rows(), frame.table.pairs());
    for (row, pairs) in frame.table.rows().enumerate() {
        let is_unnamed = frame.table.is_unnamed(row);
        let kept = pairs.iter().copied();
        table.push(kept.filter(|pair| !(is_unnamed && Symbols::is_metadata(pair.0))));
    }
    let finished = relabeled(context, table, frame.steps, Arc::clone(&frame.cells))?;
    Ok(Arc::new(finished.in_order(frame.ordered)))
}

/// A table of as many rows; `map` appends what becomes of a row.
pub fn map_rows(table: &SeriesTable, map: impl Fn(&Pairs, &mut Vec<(u32, u32)>)) -> SeriesTable {
    let mut mapped = SeriesTable::with_capacity(table.len(), 0);
    let mut pairs = Vec::new();
    for (at, row) in table.rows().enumerate() {
        pairs.clear();
        map(row, &mut pairs);
        mapped.push(pairs.iter().copied());
        if table.is_unnamed(at) {
            mapped.mark_unnamed(at);
        }
    }
    mapped
}

/// `{name="value", …}` as Prometheus prints a label set.
pub fn text_of(symbols: &Symbols, pairs: &Pairs) -> String {
    let mut text = String::from("{");
    for (i, &(name, value)) in pairs.iter().enumerate() {
        if i > 0 {
            text.push_str(", ");
        }
        let name = symbols.get(name);
        if is_legacy_name(name) {
            text.push_str(name);
        } else {
            quote(name, &mut text);
        }
        text.push('=');
        quote(symbols.get(value), &mut text);
    }
    text.push('}');
    text
}

fn is_legacy_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .enumerate()
            .all(|(i, b)| b == b'_' || b.is_ascii_alphabetic() || (i > 0 && b.is_ascii_digit()))
}

/// A double-quoted string with Go's escapes; printable characters stay as they are.
fn quote(text: &str, out: &mut String) {
    use std::fmt::Write;
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if u32::from(c) < 0x20 || c == '\x7f' => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
