//! Parts of heads between two processes: one checksummed byte string for each. `docs/formats.md` describes it.
//!
//! | module | what it does |
//! |---|---|
//! | `envelope` | magic, version, checksum, sections |
//! | `folded` | partial results of aggregations |
//! | `labels` | strings once, label sets as references to them |

mod envelope;
mod folded;
mod labels;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

use super::part::{HeadPart, NamesPart};
use crate::codec::bytes::{Input, put_varint};
use crate::engine::{Charge, Folded, QueryContext};
use crate::head::{HeadRows, HeadSnapshot, SampleCounts, SampleSections};
use crate::{Error, Result};

use envelope::{Kind, is_kind, open, seal};
use labels::{Strings, TableCounts, Texts, take_table};

/// A part to be sent; its memory is the query's.
#[derive(Debug)]
pub struct Outgoing {
    pub bytes: Vec<u8>,
    _charge: Charge,
}

impl Outgoing {
    fn new(bytes: Vec<u8>, mut charge: Charge) -> Result<Self> {
        charge.resize(bytes.capacity())?;
        Ok(Self {
            bytes,
            _charge: charge,
        })
    }
}

/// A part that arrives piece by piece. The query has paid for all of it before the first byte came.
#[derive(Debug)]
pub struct Incoming {
    bytes: Vec<u8>,
    announced: usize,
    charge: Charge,
}

impl Incoming {
    /// Fails if the query cannot afford it.
    pub fn new(context: &Arc<QueryContext>, announced: usize) -> Result<Self> {
        Ok(Self {
            charge: context.charge(0, announced)?,
            bytes: Vec::new(),
            announced,
        })
    }

    /// Adds the next bytes; more than was announced are refused.
    pub fn add(&mut self, bytes: &[u8]) -> Result<()> {
        self.charge.context().check()?;
        if bytes.len() > self.announced - self.bytes.len() {
            return Err(Error::Corrupt(format!(
                "more than the {} bytes of a head part that were announced",
                self.announced
            )));
        }
        if self.bytes.is_empty() {
            self.bytes.try_reserve_exact(self.announced).map_err(|_| {
                Error::Execution(format!("no memory for a head part of {} bytes", self.announced))
            })?;
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    pub fn is_complete(&self) -> bool {
        self.bytes.len() == self.announced
    }

    pub fn head_part(self) -> Result<HeadPart> {
        self.check_complete()?;
        HeadPart::decode(self.bytes, self.charge)
    }

    pub fn names_part(self) -> Result<NamesPart> {
        self.check_complete()?;
        NamesPart::decode(&self.bytes, self.charge)
    }

    pub fn folded(self) -> Result<Folded> {
        self.check_complete()?;
        folded::decode(&self.bytes, self.charge)
    }

    fn check_complete(&self) -> Result<()> {
        if self.is_complete() {
            return Ok(());
        }
        let (have, want) = (self.bytes.len(), self.announced);
        Err(Error::Corrupt(format!(
            "{have} of the {want} bytes of a head part have come"
        )))
    }
}

impl HeadPart {
    /// The part as bytes for another process.
    pub fn encode(self) -> Result<Outgoing> {
        let (HeadRows { table, samples }, mut charge) = self.into_inner();
        charge.grow(0, table.bytes() + samples.bytes())?;
        let mut strings = Strings::default();
        let (mut counts, mut rows) = (Vec::new(), Vec::new());
        TableCounts::of(&table).put(&mut counts);
        strings.put_table(&table, &mut rows);
        let sampled = samples.put();
        sampled.counts.put(&mut counts);
        let texts = strings.put(&charge.context().symbols());
        let blocks = samples.encoded_blocks();
        let (axes, pieces, plain) = (&sampled.axes, &sampled.pieces, &sampled.plain);
        let bytes = if samples.has_starts() {
            let (mut histograms, mut starts) = (Vec::new(), Vec::new());
            let of_histograms = samples.put_histograms(&mut histograms);
            samples.put_starts(&of_histograms, &mut starts);
            let sections = [
                blocks,
                &counts,
                &texts,
                &rows,
                axes,
                pieces,
                plain,
                &histograms,
                &starts,
            ];
            seal(Kind::Starts, sections)
        } else if samples.has_histograms() {
            let mut histograms = Vec::new();
            samples.put_histograms(&mut histograms);
            let sections = [blocks, &counts, &texts, &rows, axes, pieces, plain, &histograms];
            seal(Kind::Histograms, sections)
        } else {
            seal(
                Kind::Samples,
                [blocks, &counts, &texts, &rows, axes, pieces, plain],
            )
        };
        drop((table, samples));
        Outgoing::new(bytes, charge)
    }

    /// What [`Self::encode`] wrote elsewhere, with ids of the query that pays.
    fn decode(mut bytes: Vec<u8>, mut charge: Charge) -> Result<Self> {
        let ranges: [Range<usize>; 9] = if is_kind(Kind::Starts, &bytes) {
            open(Kind::Starts, &bytes)?
        } else if is_kind(Kind::Histograms, &bytes) {
            with_empty(open::<8>(Kind::Histograms, &bytes)?)
        } else {
            with_empty(open::<7>(Kind::Samples, &bytes)?)
        };
        let [
            blocks,
            counts,
            texts,
            rows,
            axes,
            pieces,
            plain,
            histograms,
            starts,
        ] = ranges.each_ref().map(|range| &bytes[range.clone()]);
        let sections = SampleSections { axes, pieces, plain };
        let mut input = Input::new(counts);
        let labels = TableCounts::take(&mut input, rows.len())?;
        let samples = SampleCounts::take(&mut input, &sections)?;
        input.end("the counts")?;
        let context = Arc::clone(charge.context());
        context.check_series(labels.rows)?;
        charge.grow(0, labels.bytes() + samples.bytes(&sections))?;
        let texts = Texts::take(texts, &mut charge)?;
        let ids = texts.intern(&mut context.symbols());
        let mut input = Input::new(rows);
        let table = take_table(&mut input, labels, &texts, &ids)?;
        input.end("the rows")?;
        if samples.rows != labels.rows {
            return Err(Error::Corrupt(format!(
                "a head part has {} label sets and samples of {} rows",
                labels.rows, samples.rows
            )));
        }
        let mut samples = HeadSnapshot::take(samples, &sections, blocks.len())?;
        if !histograms.is_empty() {
            charge.grow(0, HeadSnapshot::histogram_memory(histograms)?)?;
            samples.take_histograms(histograms)?;
        }
        if !starts.is_empty() {
            charge.grow(0, HeadSnapshot::start_memory(starts))?;
            samples.take_starts(starts)?;
        }
        // The encoded blocks stay as they came. Where they are the lesser part, the rest's memory goes.
        let end = ranges[0].end;
        let start = ranges[0].start;
        bytes.truncate(end);
        if bytes.capacity() / 2 > end {
            bytes.shrink_to_fit();
        }
        samples.borrow_blocks(bytes, start);
        charge.resize(table.bytes() + samples.bytes())?;
        Ok(Self::from_inner(HeadRows { table, samples }, charge))
    }
}

/// Ranges of a part that has fewer sections: those that it has not are empty.
fn with_empty<const N: usize>(ranges: [Range<usize>; N]) -> [Range<usize>; 9] {
    let mut ranges = ranges.into_iter();
    std::array::from_fn(|_| ranges.next().unwrap_or_default())
}

impl NamesPart {
    /// The part as bytes for another process.
    pub fn encode(self) -> Result<Outgoing> {
        let (tables, pairs, charge) = self.into_inner();
        let mut strings = Strings::default();
        let (mut counts, mut rows, mut listed) = (Vec::new(), Vec::new(), Vec::new());
        put_varint(&mut counts, tables.len() as u64);
        for table in &tables {
            TableCounts::of(table).put(&mut counts);
            strings.put_table(table, &mut rows);
        }
        for (name, value) in pairs {
            put_varint(&mut listed, strings.number(name).into());
            put_varint(&mut listed, strings.number(value).into());
        }
        drop(tables);
        let texts = strings.put(&charge.context().symbols());
        Outgoing::new(seal(Kind::Names, [&counts[..], &texts, &rows, &listed]), charge)
    }

    fn decode(bytes: &[u8], mut charge: Charge) -> Result<Self> {
        let [counts, texts, rows, listed] = open(Kind::Names, bytes)?.map(|range| &bytes[range]);
        let context = Arc::clone(charge.context());
        let texts = Texts::take(texts, &mut charge)?;
        let ids = texts.intern(&mut context.symbols());
        let mut counts = Input::new(counts);
        let mut input = Input::new(rows);
        let mut tables = Vec::new();
        // A table of no rows takes two bytes.
        for _ in 0..counts.bounded(counts.remaining() / 2, "the number of tables")? {
            let labels = TableCounts::take(&mut counts, rows.len())?;
            charge.grow(0, labels.bytes())?;
            tables.push(take_table(&mut input, labels, &texts, &ids)?);
        }
        counts.end("the counts")?;
        input.end("the rows")?;
        charge.grow(0, listed.len() * 4)?;
        let mut input = Input::new(listed);
        let mut pairs = Vec::new();
        while input.remaining() > 0 {
            let name = texts.number(&mut input)?;
            let value = texts.number(&mut input)?;
            pairs.push((ids[name], ids[value]));
        }
        charge.resize(
            tables.iter().map(crate::model::SeriesTable::bytes).sum::<usize>() + pairs.capacity() * 8,
        )?;
        Ok(Self::from_inner(tables, pairs, charge))
    }
}
