//! Rows found in a block.

use std::sync::Arc;

use crate::Result;
use crate::block::{BlockCursor, BlockReader, PageSet};
use crate::model::{Matcher, Millis, SampleReader, SampleSource, Samples, SeriesTable, Symbols};

/// The rows of a block that matched, with the pages they need.
#[derive(Debug)]
pub struct BlockRows {
    reader: Arc<BlockReader>,
    pages: PageSet,
    rows: Vec<u32>,
    with_starts: bool,
}

impl BlockRows {
    /// `with_starts`: the pages are those of a cursor that reads start timestamps.
    pub fn new(reader: Arc<BlockReader>, pages: PageSet, rows: Vec<u32>, with_starts: bool) -> Self {
        Self {
            reader,
            pages,
            rows,
            with_starts,
        }
    }

    pub fn bytes(&self) -> usize {
        self.pages.memory_bytes() + self.rows.capacity() * 4
    }
}

/// Ascending rows of a block that match and may have samples with `min <= time <= max`.
pub fn find(reader: &BlockReader, matchers: &[Matcher], (min, max): (Millis, Millis)) -> Vec<u32> {
    let (first, last) = reader.time_span();
    if first > max || last < min {
        return Vec::new();
    }
    let mut rows = reader.select(matchers);
    if first < min || last > max {
        rows.retain(|&row| {
            let (first, last) = reader.span(row);
            first <= max && last >= min
        });
    }
    rows
}

/// The label sets of rows, in the query's symbols.
pub fn table(reader: &BlockReader, rows: &[u32], symbols: &mut Symbols) -> SeriesTable {
    let mut map = PairMap::new(reader);
    let mut table = SeriesTable::with_capacity(rows.len(), rows.len() * 8);
    for &row in rows {
        table.push(
            reader
                .row_pairs(row)
                .iter()
                .map(|&pair| map.get(reader, pair, symbols)),
        );
    }
    table
}

/// The label pairs of a block that may have samples with `min <= time <= max`, of one label or of all. As in Prometheus
/// the times of its rows are not looked at.
pub fn pairs(
    reader: &BlockReader,
    (min, max): (Millis, Millis),
    label: Option<&str>,
    symbols: &mut Symbols,
) -> Vec<(u32, u32)> {
    let (first, last) = reader.time_span();
    if first > max || last < min {
        return Vec::new();
    }
    let wanted = match label {
        Some(label) => reader
            .find_symbol(label)
            .map_or(0..0, |name| reader.pairs_of(name)),
        None => 0..reader.pairs().len() as u32,
    };
    let mut map = PairMap::new(reader);
    wanted.map(|pair| map.get(reader, pair, symbols)).collect()
}

/// Query symbols by pair number of a block, filled as pairs are met.
struct PairMap {
    mapped: Vec<(u32, u32)>,
}

impl PairMap {
    const UNMAPPED: (u32, u32) = (u32::MAX, u32::MAX);

    fn new(reader: &BlockReader) -> Self {
        Self {
            mapped: vec![Self::UNMAPPED; reader.pairs().len()],
        }
    }

    fn get(&mut self, reader: &BlockReader, pair: u32, symbols: &mut Symbols) -> (u32, u32) {
        let slot = &mut self.mapped[pair as usize];
        if *slot == Self::UNMAPPED {
            let (name, value) = reader.pairs()[pair as usize];
            *slot = (
                symbols.intern(reader.symbol(name)),
                symbols.intern(reader.symbol(value)),
            );
        }
        *slot
    }
}

impl SampleSource for BlockRows {
    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn reader(&self) -> Box<dyn SampleReader + '_> {
        Box::new(BlockRowReader {
            block: self,
            cursor: None,
        })
    }
}

struct BlockRowReader<'a> {
    block: &'a BlockRows,
    /// Opened by the first read, which can report why it fails.
    cursor: Option<BlockCursor<'a>>,
}

impl SampleReader for BlockRowReader<'_> {
    fn read(&mut self, row: usize, min: Millis, max: Millis) -> Result<Samples<'_>> {
        let block = self.block;
        let cursor = match &mut self.cursor {
            Some(cursor) => cursor,
            slot => {
                let cursor = BlockCursor::new(&block.reader, &block.pages)?;
                slot.insert(if block.with_starts {
                    cursor
                } else {
                    cursor.without_starts()
                })
            }
        };
        cursor.read(block.rows[row], min, max)
    }
}
