//! Label sets of a block: sorted symbols, a table of the distinct (name, value) pairs, and each row as a list of pair numbers.
//!
//! Rows are written as differences from a guess: after pair `p` the pair that followed `p` last time. Rows are sorted and one
//! label often fixes the next (`instance` fixes `pod`), so nearly every guess is right or a near miss.

use hashbrown::HashMap;

use crate::codec::bytes::{Input, put_signed, put_varint};
use crate::{Error, Result};

/// The pair number that ends a row when it is written; real pairs are shifted by one.
const END: u32 = 0;

/// Text of all symbols together. A block of a million series with unique labels stays below it.
const MAX_TEXT: usize = 256 << 20;

/// Collects label sets in row order.
#[derive(Debug, Default)]
pub struct LabelsBuilder {
    ids: HashMap<Box<str>, u32>,
    /// Names and values of the row before in turn, with their ids: rows are sorted, and most of a row is as in the one before.
    last: Vec<(String, u32)>,
    /// (name, value) by temporary symbol id, over all rows.
    pairs: Vec<(u32, u32)>,
    ends: Vec<u32>,
}

impl LabelsBuilder {
    pub fn push(&mut self, labels: &[(&str, &str)]) {
        self.last.truncate(labels.len() * 2);
        for (at, &(name, value)) in labels.iter().enumerate() {
            let pair = (self.intern_at(2 * at, name), self.intern_at(2 * at + 1, value));
            self.pairs.push(pair);
        }
        self.ends.push(self.pairs.len() as u32);
    }

    /// Labels of the row before, if there is one.
    pub fn last(&self) -> Option<impl Iterator<Item = (&str, &str)> + Clone> {
        let texts = || {
            let pairs = self.last.chunks_exact(2);
            pairs.map(|pair| (pair[0].0.as_str(), pair[1].0.as_str()))
        };
        (!self.ends.is_empty()).then(texts)
    }

    fn intern_at(&mut self, place: usize, text: &str) -> u32 {
        if let Some((known, id)) = self.last.get(place)
            && known == text
        {
            return *id;
        }
        let id = self.intern(text);
        match self.last.get_mut(place) {
            Some((known, held)) => {
                known.clear();
                known.push_str(text);
                *held = id;
            }
            None => self.last.push((text.to_owned(), id)),
        }
        id
    }

    fn intern(&mut self, text: &str) -> u32 {
        if let Some(&id) = self.ids.get(text) {
            return id;
        }
        let id = self.ids.len() as u32;
        self.ids.insert(text.into(), id);
        id
    }

    /// The symbols section and the rows section, uncompressed.
    pub fn finish(self) -> (Vec<u8>, Vec<u8>) {
        let mut sorted: Vec<(&str, u32)> = self.ids.iter().map(|(text, &id)| (&**text, id)).collect();
        sorted.sort_unstable();
        let mut rank = vec![0u32; sorted.len()];
        for (place, &(_, id)) in sorted.iter().enumerate() {
            rank[id as usize] = place as u32;
        }
        let pairs: Vec<(u32, u32)> = self
            .pairs
            .iter()
            .map(|&(n, v)| (rank[n as usize], rank[v as usize]))
            .collect();
        (
            write_symbols(sorted.iter().map(|s| s.0)),
            write_rows(&pairs, &self.ends),
        )
    }
}

/// Front coding: each string as the length it shares with the one before, then its tail. Lengths first, so that zstd sees alike with alike.
fn write_symbols<'a>(sorted: impl ExactSizeIterator<Item = &'a str>) -> Vec<u8> {
    let (mut lengths, mut tails) = (Vec::new(), Vec::new());
    put_varint(&mut lengths, sorted.len() as u64);
    let mut before: &[u8] = b"";
    for text in sorted {
        let text = text.as_bytes();
        let shared = text.iter().zip(before).take_while(|(a, b)| a == b).count();
        put_varint(&mut lengths, shared as u64);
        put_varint(&mut lengths, (text.len() - shared) as u64);
        tails.extend_from_slice(&text[shared..]);
        before = text;
    }
    lengths.extend_from_slice(&tails);
    lengths
}

fn write_rows(pairs: &[(u32, u32)], ends: &[u32]) -> Vec<u8> {
    let mut distinct = pairs.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let number: HashMap<(u32, u32), u32> = distinct
        .iter()
        .zip(1..)
        .map(|(&pair, number)| (pair, number))
        .collect();
    let mut out = Vec::with_capacity(pairs.len() * 2);
    put_varint(&mut out, distinct.len() as u64);
    let mut last = (0, 0);
    for &(name, value) in &distinct {
        put_varint(&mut out, u64::from(name - last.0));
        put_varint(
            &mut out,
            u64::from(if name == last.0 { value - last.1 } else { value }),
        );
        last = (name, value);
    }
    put_varint(&mut out, pairs.len() as u64);
    let mut guess = vec![END; distinct.len() + 1];
    let mut start = 0;
    for &end in ends {
        let mut at = END;
        let row = pairs[start..end as usize]
            .iter()
            .map(|pair| number[pair])
            .chain([END]);
        for pair in row {
            let guessed = std::mem::replace(&mut guess[at as usize], pair);
            put_signed(&mut out, i64::from(pair) - i64::from(guessed));
            at = pair;
        }
        start = end as usize;
    }
    out
}

/// The label sets of an opened block.
#[derive(Debug)]
pub struct Labels {
    text: String,
    text_ends: Vec<u32>,
    /// Distinct (name symbol, value symbol), ascending.
    pairs: Vec<(u32, u32)>,
    /// Pair numbers by row; ascending within a row.
    row_pairs: Vec<u32>,
    row_ends: Vec<u32>,
}

impl Labels {
    /// Reads what [`LabelsBuilder::finish`] wrote.
    pub fn read(symbols: &[u8], rows: &[u8], series: usize) -> Result<Self> {
        let (text, text_ends) = read_symbols(symbols)?;
        let mut input = Input::new(rows);
        let pairs = read_pairs(&mut input, text_ends.len())?;
        let (row_pairs, row_ends) = read_rows(&mut input, pairs.len(), series)?;
        input.end("label rows")?;
        Ok(Self {
            text,
            text_ends,
            pairs,
            row_pairs,
            row_ends,
        })
    }

    pub fn rows(&self) -> usize {
        self.row_ends.len()
    }

    pub fn symbols(&self) -> usize {
        self.text_ends.len()
    }

    pub fn symbol(&self, id: u32) -> &str {
        let id = id as usize;
        let start = if id == 0 {
            0
        } else {
            self.text_ends[id - 1] as usize
        };
        &self.text[start..self.text_ends[id] as usize]
    }

    pub fn find_symbol(&self, text: &str) -> Option<u32> {
        let (mut low, mut high) = (0, self.symbols() as u32);
        while low < high {
            let middle = low.midpoint(high);
            match self.symbol(middle).cmp(text) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Some(middle),
            }
        }
        None
    }

    /// All distinct pairs, ascending by name then value; a pair's number is its place here.
    pub fn pairs(&self) -> &[(u32, u32)] {
        &self.pairs
    }

    /// The numbers of the pairs of one label name.
    pub fn pairs_of(&self, name: u32) -> std::ops::Range<u32> {
        let start = self.pairs.partition_point(|p| p.0 < name);
        let end = self.pairs.partition_point(|p| p.0 <= name);
        start as u32..end as u32
    }

    pub fn row(&self, row: u32) -> &[u32] {
        let row = row as usize;
        let start = if row == 0 {
            0
        } else {
            self.row_ends[row - 1] as usize
        };
        &self.row_pairs[start..self.row_ends[row] as usize]
    }

    pub fn all_row_pairs(&self) -> &[u32] {
        &self.row_pairs
    }

    pub fn memory_bytes(&self) -> usize {
        self.text.capacity()
            + 4 * (self.text_ends.capacity() + self.row_pairs.capacity() + self.row_ends.capacity())
            + 8 * self.pairs.capacity()
    }
}

fn read_symbols(bytes: &[u8]) -> Result<(String, Vec<u32>)> {
    let mut input = Input::new(bytes);
    let count = input.bounded(bytes.len() / 2, "symbol count")?;
    let mut lengths = Vec::with_capacity(count);
    let mut longest = 0;
    let mut total = 0usize;
    for _ in 0..count {
        let shared = input.bounded(longest, "shared length")?;
        let tail = input.bounded(bytes.len(), "tail length")?;
        longest = shared + tail;
        total += longest;
        lengths.push((shared, tail));
    }
    // Sharing can make the text longer than its bytes, yet a block of ours never holds this much.
    if total > MAX_TEXT {
        return Err(Error::Corrupt(format!(
            "{count} symbols claim {total} bytes of text"
        )));
    }
    let mut text: Vec<u8> = Vec::new();
    let mut ends: Vec<u32> = Vec::with_capacity(count);
    let mut before = 0;
    for (shared, tail) in lengths {
        let at = text.len();
        text.extend_from_within(before..before + shared);
        text.extend_from_slice(input.take(tail)?);
        before = at;
        ends.push(text.len() as u32);
    }
    input.end("symbols")?;
    let bad = |e| Error::Corrupt(format!("symbols are not UTF-8: {e}"));
    let text = String::from_utf8(text).map_err(|e| bad(e.utf8_error()))?;
    let mut start = 0;
    let mut last: Option<&str> = None;
    for &end in &ends {
        let symbol = text.get(start..end as usize);
        if symbol.is_none() || (last.is_some() && last >= symbol) {
            return Err(Error::Corrupt(
                "symbols do not ascend, or are cut inside a character".into(),
            ));
        }
        (start, last) = (end as usize, symbol);
    }
    Ok((text, ends))
}

fn read_pairs(input: &mut Input<'_>, symbols: usize) -> Result<Vec<(u32, u32)>> {
    let count = input.bounded(input.remaining() / 2, "pair count")?;
    let mut pairs = Vec::with_capacity(count);
    let (mut name, mut value) = (0, 0);
    for place in 0..count {
        let step = input.bounded(symbols, "name step")?;
        let rest = input.bounded(symbols, "value step")?;
        name += step;
        if step == 0 && place > 0 {
            if rest == 0 {
                return Err(Error::Corrupt(format!("label pair {place} is there twice")));
            }
            value += rest;
        } else {
            value = rest;
        }
        if name >= symbols || value >= symbols {
            return Err(Error::Corrupt(format!(
                "label pair {place} names a symbol beyond the {symbols} there are"
            )));
        }
        pairs.push((name as u32, value as u32));
    }
    Ok(pairs)
}

fn read_rows(input: &mut Input<'_>, pairs: usize, series: usize) -> Result<(Vec<u32>, Vec<u32>)> {
    let total = input.bounded(input.remaining(), "label count")?;
    if input.remaining() < total.saturating_add(series) {
        return Err(Error::Corrupt(format!(
            "{} bytes cannot hold {series} label rows",
            input.remaining()
        )));
    }
    let mut row_pairs = Vec::with_capacity(total);
    let mut row_ends = Vec::with_capacity(series);
    let mut guess = vec![END; pairs + 1];
    for row in 0..series {
        let mut at = END;
        loop {
            let step = input.signed()?;
            let pair = i64::from(guess[at as usize]).wrapping_add(step);
            let pair = match u32::try_from(pair) {
                Ok(pair) if pair as usize <= pairs && (pair > at || pair == END) => pair,
                _ => {
                    return Err(Error::Corrupt(format!(
                        "series {row} names label pair {pair} of {pairs}"
                    )));
                }
            };
            guess[at as usize] = pair;
            if pair == END {
                break;
            }
            row_pairs.push(pair - 1);
            at = pair;
        }
        row_ends.push(row_pairs.len() as u32);
    }
    if row_pairs.len() != total {
        return Err(Error::Corrupt(format!(
            "{} labels where {total} were announced",
            row_pairs.len()
        )));
    }
    Ok((row_pairs, row_ends))
}
