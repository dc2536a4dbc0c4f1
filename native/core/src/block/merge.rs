//! Several blocks become one.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use super::decode::BlockCursor;
use super::page::PageSet;
use super::reader::BlockReader;
use super::writer::{BlockParts, BlockWriter, row_order};
use crate::model::{Millis, SampleBuf, Samples, Uid};
use crate::{Error, Result};

/// The next row of one block.
struct Next<'a> {
    labels: Vec<(&'a str, &'a str)>,
    block: usize,
    row: u32,
}

impl Ord for Next<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        row_order(&self.labels, &other.labels).then(self.block.cmp(&other.block))
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
    let (mut held, mut merged) = (SampleBuf::default(), SampleBuf::default());
    while let Some(Reverse(row)) = heap.pop() {
        held.clear();
        append(
            &mut held,
            cursors[row.block].read(row.row, Millis::MIN, Millis::MAX)?,
        );
        heap.extend(next(blocks, row.block, row.row + 1).map(Reverse));
        while heap
            .peek()
            .is_some_and(|Reverse(other)| other.labels == row.labels)
        {
            let Some(Reverse(other)) = heap.pop() else { break };
            let later = cursors[other.block].read(other.row, Millis::MIN, Millis::MAX)?;
            union(held.as_samples(), later, &mut merged);
            std::mem::swap(&mut held, &mut merged);
            heap.extend(next(blocks, other.block, other.row + 1).map(Reverse));
        }
        writer.add(&row.labels, &held.times, &held.values)?;
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

fn append(to: &mut SampleBuf, from: Samples<'_>) {
    to.times.extend_from_slice(from.times);
    to.values.extend_from_slice(from.values);
}

/// Both in time order; at equal times the first one's.
fn union(first: Samples<'_>, second: Samples<'_>, out: &mut SampleBuf) {
    out.clear();
    let disjoint = match (first.times.last(), second.times.first()) {
        (Some(end), Some(start)) => end < start,
        _ => true,
    };
    if disjoint {
        append(out, first);
        append(out, second);
        return;
    }
    let (mut a, mut b) = (0, 0);
    while a < first.times.len() || b < second.times.len() {
        let (left, right) = (first.times.get(a), second.times.get(b));
        let take_left = match (left, right) {
            (Some(left), Some(right)) => left <= right,
            (left, _) => left.is_some(),
        };
        b += usize::from(right.is_some() && (!take_left || left == right));
        let (source, at) = if take_left { (first, a) } else { (second, b - 1) };
        a += usize::from(take_left);
        out.times.push(source.times[at]);
        out.values.push(source.values[at]);
    }
}
