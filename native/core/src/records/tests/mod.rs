//! Records written and read back, and records that were not written so.

mod hostile;
mod outbox;
mod round_trip;

use std::sync::Arc;

use super::*;
use crate::log::{LogRecord, RecordKind};
use crate::model::{Millis, Uid};
use crate::wire::encode::{put_label, put_metadata, put_series};
use crate::wire::{SplitBatch, Splitter, WriteLimits};

pub const PARTITIONS: u16 = 8;

/// Takes anything: what is under test is what happens to accepted requests.
pub const ANYTHING: WriteLimits = WriteLimits {
    max_body_bytes: usize::MAX,
    max_decoded_bytes: usize::MAX,
    max_labels: 64,
    max_name_bytes: 1 << 20,
    max_value_bytes: 1 << 20,
    max_age_ms: None,
    max_future_ms: None,
};

pub fn splitter() -> Arc<Splitter> {
    Arc::new(Splitter::new(b"secret", PARTITIONS, 1 << 20).unwrap())
}

pub fn uid(number: u8) -> Uid {
    Uid([number; 16])
}

/// The labels of one series.
pub fn labels(name: &str, pod: &str) -> Vec<u8> {
    let mut labels = Vec::new();
    put_label(&mut labels, b"__name__", name.as_bytes());
    put_label(&mut labels, b"pod", pod.as_bytes());
    labels
}

pub type Series = (Vec<u8>, Vec<Millis>, Vec<f64>);

pub fn batch(
    splitter: &Splitter,
    uid: Uid,
    shards: u16,
    series: &[Series],
    metadata: &[String],
) -> Arc<SplitBatch> {
    let mut plain = Vec::new();
    for (labels, times, values) in series {
        put_series(&mut plain, labels, times, values);
    }
    for family in metadata {
        put_metadata(&mut plain, 1, family, "help", "unit");
    }
    let body = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
    let batch = splitter.split(&body, uid, shards, &ANYTHING, 0).unwrap();
    assert!(batch.refused.is_empty(), "{:?}", batch.refused);
    Arc::new(batch)
}

/// One sample of `name`.
pub fn small(splitter: &Splitter, number: u8, name: &str) -> Arc<SplitBatch> {
    let series = (labels(name, ""), vec![1000], vec![1.0]);
    batch(splitter, uid(number), PARTITIONS, &[series], &[])
}

pub fn batches_of(record: &LogRecord) -> &[Arc<SplitBatch>] {
    match &record.kind {
        RecordKind::Write { batches } => batches,
        RecordKind::Seal { .. } => panic!("a write"),
    }
}

/// The parts of batches that lie in a partition, validated at 0, 1, 2 and so on.
pub fn parts_in(batches: &[Arc<SplitBatch>], partition: u16) -> Vec<(Part, Millis)> {
    let parts = batches.iter().zip(0..).flat_map(|(batch, now)| {
        let parts = Part::all_of(batch).unwrap();
        parts.into_iter().map(move |part| (part, now))
    });
    parts.filter(|(part, _)| part.partition() == partition).collect()
}
