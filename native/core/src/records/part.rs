//! What of a batch lies in which partition.

use std::ops::Range;
use std::sync::Arc;

use super::format::MAX_PLAIN_BYTES;
use crate::wire::{BatchSeries, MetadataEntry, SplitBatch};
use crate::{Error, Result};

/// Labels of one series, or one metadata entry, that leave half of a record for what goes with them.
const MAX_UNIT_BYTES: usize = MAX_PLAIN_BYTES / 2;

/// The share of one partition in a batch.
#[derive(Debug, Clone)]
pub struct Part {
    batch: Arc<SplitBatch>,
    partition: u16,
    series: Share,
    bytes: usize,
}

#[derive(Debug, Clone)]
enum Share {
    All,
    /// Numbers of series, and which of them.
    Some(Arc<[u32]>, Range<usize>),
}

impl Part {
    /// Every partition's, ascending by partition. TooLarge: something has no room in a record.
    pub fn all_of(batch: &Arc<SplitBatch>) -> Result<Vec<Self>> {
        check(batch)?;
        let partitions = batch.partitions();
        let part = |partition, series| {
            let mut part = Self {
                batch: batch.clone(),
                partition,
                series,
                bytes: 0,
            };
            part.bytes = part.estimate();
            part
        };
        if let [partition] = *partitions {
            return Ok(vec![part(partition, Share::All)]);
        }
        let Some(&last) = partitions.last() else {
            return Ok(Vec::new());
        };
        let mut ends = vec![0_u32; usize::from(last) + 1];
        for series in &batch.series {
            ends[usize::from(series.partition)] += 1;
        }
        let mut begin = 0;
        for end in &mut ends {
            begin += std::mem::replace(end, begin);
        }
        // Now `ends` says where each partition's numbers begin, and after this pass where they end.
        let mut order = vec![0_u32; batch.series.len()];
        for (number, series) in (0..).zip(&batch.series) {
            let end = &mut ends[usize::from(series.partition)];
            order[*end as usize] = number;
            *end += 1;
        }
        let order: Arc<[u32]> = order.into();
        let mut begin = 0;
        let parts = partitions.into_iter().map(|partition| {
            let end = ends[usize::from(partition)] as usize;
            let series = Share::Some(order.clone(), std::mem::replace(&mut begin, end)..end);
            part(partition, series)
        });
        Ok(parts.collect())
    }

    pub fn partition(&self) -> u16 {
        self.partition
    }

    pub fn batch(&self) -> &Arc<SplitBatch> {
        &self.batch
    }

    /// About what it takes in a record before compression.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// In the order of the batch.
    pub fn series(&self) -> impl Iterator<Item = &BatchSeries> {
        let (all, some) = match &self.series {
            Share::All => (self.batch.series.as_slice(), [].as_slice()),
            Share::Some(order, range) => ([].as_slice(), &order[range.clone()]),
        };
        all.iter()
            .chain(some.iter().map(|&number| &self.batch.series[number as usize]))
    }

    pub fn metadata(&self) -> impl Iterator<Item = &MetadataEntry> {
        let mine = |entry: &&MetadataEntry| entry.partition == self.partition;
        self.batch.metadata.iter().filter(mine)
    }

    fn estimate(&self) -> usize {
        let series = self
            .series()
            .map(|s| s.labels.1 as usize + 4 + s.samples.1 as usize * 18);
        let metadata = self
            .metadata()
            .map(|m| m.family.len() + m.help.len() + m.unit.len() + 10);
        series.sum::<usize>() + metadata.sum::<usize>()
    }
}

fn check(batch: &SplitBatch) -> Result<()> {
    let labels = batch.series.iter().map(|series| series.labels.1 as usize);
    let metadata = batch
        .metadata
        .iter()
        .map(|m| m.family.len() + m.help.len() + m.unit.len());
    let largest = labels.chain(metadata).max().unwrap_or_default();
    if largest > MAX_UNIT_BYTES {
        return Err(Error::TooLarge(format!(
            "the labels of a series or the texts of a metadata entry have {largest} bytes, a record of the log takes {MAX_UNIT_BYTES}"
        )));
    }
    Ok(())
}
