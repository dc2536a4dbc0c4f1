//! Several blocks become one.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use super::decode::BlockCursor;
use super::page::PageSet;
use super::reader::BlockReader;
use super::writer::{BlockParts, BlockWriter, row_order};
use crate::model::{Merge, Millis, Uid};
use crate::{Error, Result};

/// The next row of one block.
struct Next<'a> {
    labels: Vec<(&'a str, &'a str)>,
    block: usize,
    row: u32,
}

impl Ord for Next<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        row_order(self.labels.iter().copied(), other.labels.iter().copied())
            .then(self.block.cmp(&other.block))
    }
}

impl PartialOrd for Next<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Next<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Next<'_> {}

/// One block of several of the same instance, with all their pages; given in log order, so that of two samples of a series at one time
/// the earlier block's stays.
pub fn merge(uid: Uid, blocks: &[(&BlockReader, &PageSet)]) -> Result<BlockParts> {
    if let Some((strange, _)) = blocks.iter().find(|(reader, _)| reader.uid() != uid) {
        return Err(Error::BadData(format!(
            "a block of instance {:?} in a merge for {uid:?}",
            strange.uid()
        )));
    }
    let mut cursors = Vec::with_capacity(blocks.len());
    for (reader, pages) in blocks {
        cursors.push(BlockCursor::new(reader, pages)?);
    }
    let mut heap: BinaryHeap<Reverse<Next<'_>>> = (0..blocks.len())
        .filter_map(|block| next(blocks, block, 0))
        .map(Reverse)
        .collect();
    let mut writer = BlockWriter::new(uid)?;
    let mut held = Merge::default();
    while let Some(Reverse(row)) = heap.pop() {
        held.clear();
        held.add(cursors[row.block].read(row.row, Millis::MIN, Millis::MAX)?);
        heap.extend(next(blocks, row.block, row.row + 1).map(Reverse));
        while heap
            .peek()
            .is_some_and(|Reverse(other)| other.labels == row.labels)
        {
            let Some(Reverse(other)) = heap.pop() else { break };
            held.add(cursors[other.block].read(other.row, Millis::MIN, Millis::MAX)?);
            heap.extend(next(blocks, other.block, other.row + 1).map(Reverse));
        }
        writer.add(&row.labels, held.samples())?;
    }
    writer.finish()
}

fn next<'a>(blocks: &[(&'a BlockReader, &'a PageSet)], block: usize, row: u32) -> Option<Next<'a>> {
    let (reader, _) = blocks[block];
    if row as usize >= reader.series() {
        return None;
    }
    let labels = reader
        .labels(row)
        .map(|(name, value)| (reader.symbol(name), reader.symbol(value)))
        .collect();
    Some(Next { labels, block, row })
}
