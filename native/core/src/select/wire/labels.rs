//! Strings once, label sets as references to them. A row of the names of the row before says so in one byte, and each value that
//! is the same, too: the series of one scrape differ in little.

use crate::codec::bytes::{Input, put_varint};
use crate::engine::Charge;
use crate::model::{SeriesTable, Symbols};
use crate::{Error, Result};

/// How much a table holds, so that memory is paid for before it is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableCounts {
    pub rows: usize,
    labels: usize,
}

impl TableCounts {
    pub fn of(table: &SeriesTable) -> Self {
        Self {
            rows: table.len(),
            labels: table.pairs(),
        }
    }

    pub fn put(self, out: &mut Vec<u8>) {
        put_varint(out, self.rows as u64);
        put_varint(out, self.labels as u64);
    }

    /// A row and a label take a byte each at least, of which there are `most`.
    pub fn take(input: &mut Input<'_>, most: usize) -> Result<Self> {
        Ok(Self {
            rows: input.bounded(most, "the number of label sets")?,
            labels: input.bounded(most, "the number of labels")?,
        })
    }

    /// Memory of the table.
    pub fn bytes(self) -> usize {
        (self.rows + 1) * 4 + self.labels * 8
    }
}

/// Strings that were met, numbered in that order.
#[derive(Debug, Default)]
pub struct Strings {
    /// By symbol id: the number + 1, 0 if it was not met.
    numbers: Vec<u32>,
    met: Vec<u32>,
}

impl Strings {
    #[inline]
    pub fn number(&mut self, id: u32) -> u32 {
        let at = id as usize;
        if at >= self.numbers.len() {
            self.numbers.resize((at + 1).next_power_of_two(), 0);
        }
        if self.numbers[at] == 0 {
            self.met.push(id);
            self.numbers[at] = self.met.len() as u32;
        }
        self.numbers[at] - 1
    }

    pub fn put_table(&mut self, table: &SeriesTable, out: &mut Vec<u8>) {
        out.reserve(table.pairs() + table.len());
        let mut before: &[(u32, u32)] = &[];
        for row in table.rows() {
            let is_like_before = row.iter().map(|pair| pair.0).eq(before.iter().map(|pair| pair.0));
            if is_like_before {
                out.push(0);
                for (pair, before) in row.iter().zip(before) {
                    if pair.1 == before.1 {
                        out.push(0);
                    } else {
                        put_varint(out, u64::from(self.number(pair.1)) + 1);
                    }
                }
            } else {
                put_varint(out, row.len() as u64 + 1);
                for &(name, value) in row {
                    put_varint(out, self.number(name).into());
                    put_varint(out, u64::from(self.number(value)) + 1);
                }
            }
            before = row;
        }
    }

    /// Count, lengths, texts.
    pub fn put(&self, symbols: &Symbols) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.met.len() as u64);
        for &id in &self.met {
            put_varint(&mut out, symbols.get(id).len() as u64);
        }
        for &id in &self.met {
            out.extend_from_slice(symbols.get(id).as_bytes());
        }
        out
    }
}

/// Strings that were sent.
#[derive(Debug)]
pub struct Texts<'a> {
    texts: Vec<&'a str>,
}

impl<'a> Texts<'a> {
    pub fn take(section: &'a [u8], charge: &mut Charge) -> Result<Self> {
        let mut input = Input::new(section);
        let count = input.bounded(input.remaining(), "the number of strings")?;
        charge.grow(
            0,
            count * (size_of::<&str>() + size_of::<usize>() + size_of::<u32>()),
        )?;
        let mut lengths = Vec::with_capacity(count);
        for _ in 0..count {
            lengths.push(input.bounded(section.len(), "the length of a string")?);
        }
        let all = std::str::from_utf8(input.rest())
            .map_err(|error| Error::Corrupt(format!("the strings of a head part are not UTF-8: {error}")))?;
        let mut texts = Vec::with_capacity(count);
        let mut rest = all;
        for length in lengths {
            let (text, behind) = rest.split_at_checked(length).ok_or_else(|| {
                Error::Corrupt("a string of a head part ends early or within a character".into())
            })?;
            texts.push(text);
            rest = behind;
        }
        if !rest.is_empty() {
            return Err(Error::Corrupt(format!(
                "{} bytes too many after the strings",
                rest.len()
            )));
        }
        Ok(Self { texts })
    }

    /// The id of each in a query's symbols.
    pub fn intern(&self, symbols: &mut Symbols) -> Vec<u32> {
        self.texts.iter().map(|text| symbols.intern(text)).collect()
    }

    /// A reference to one of them.
    #[inline]
    pub fn number(&self, input: &mut Input<'_>) -> Result<usize> {
        let Some(last) = self.texts.len().checked_sub(1) else {
            return Err(Error::Corrupt("labels without strings".into()));
        };
        input.bounded(last, "the number of a string")
    }
}

/// Reads what [`Strings::put_table`] wrote. `ids` are those of the texts.
pub fn take_table(
    input: &mut Input<'_>,
    counts: TableCounts,
    texts: &Texts<'_>,
    ids: &[u32],
) -> Result<SeriesTable> {
    let mut table = SeriesTable::with_capacity(counts.rows, counts.labels);
    let mut row: Vec<(u32, u32)> = Vec::new();
    for _ in 0..counts.rows {
        let shape = input.bounded(counts.labels + 1, "the labels of a row")?;
        if shape > 0 {
            row.clear();
            let mut before = "";
            for _ in 1..shape {
                let name = texts.number(input)?;
                if texts.texts[name] <= before {
                    return Err(Error::Corrupt("the labels of a row are not sorted".into()));
                }
                before = texts.texts[name];
                row.push((ids[name], value(input, texts, ids, None)?));
            }
        } else {
            for pair in &mut row {
                pair.1 = value(input, texts, ids, Some(pair.1))?;
            }
        }
        if table.pairs() + row.len() > counts.labels {
            return Err(too_few(counts));
        }
        table.push(row.iter().copied());
    }
    if table.pairs() != counts.labels {
        return Err(too_few(counts));
    }
    Ok(table)
}

#[inline]
fn value(input: &mut Input<'_>, texts: &Texts<'_>, ids: &[u32], before: Option<u32>) -> Result<u32> {
    let number = input.bounded(texts.texts.len(), "the number of a value")?;
    match (number.checked_sub(1), before) {
        (Some(number), _) if ids[number] != Symbols::EMPTY => Ok(ids[number]),
        (None, Some(before)) => Ok(before),
        _ => Err(Error::Corrupt("a label without a value".into())),
    }
}

fn too_few(counts: TableCounts) -> Error {
    let TableCounts { rows, labels } = counts;
    Error::Corrupt(format!(
        "{rows} label sets do not have the {labels} labels announced"
    ))
}
