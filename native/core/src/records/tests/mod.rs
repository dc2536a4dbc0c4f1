//! Records written and read back, and records that were not written so.

mod hostile;
mod outbox;
mod round_trip;

use std::sync::Arc;

use super::draft::{Adding, Drafts, Spare, check};
use super::format::Packer;
use super::*;
use crate::log::{LogRecord, RecordKind};
use crate::model::{Millis, Uid};
use crate::wire::encode::{put_label, put_metadata, put_series};
use crate::wire::{Form, SplitBatch, Splitter, WriteLimits};

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
    let batch = splitter
        .split(&body, Form::V1, uid, shards, &ANYTHING, 0)
        .unwrap();
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

/// The records of what lies in a partition, for tickets 0, 1, 2 and so on, validated at these times; with the tickets of each record.
pub fn encode(batches: &[Arc<SplitBatch>], partition: u16) -> Vec<(Vec<u64>, Vec<u8>)> {
    let (mut drafts, mut spare) = (Drafts::default(), Spare::default());
    for (ticket, batch) in (0..).zip(batches) {
        check(batch).unwrap();
        let mut adding = Adding {
            ticket,
            now: ticket as Millis,
            owner: (batch.uid.unwrap(), batch.shards),
            drafts: 0,
            bytes: 0,
            spare: &mut spare,
        };
        let mut label_sets = batch.label_sets();
        for series in batch.series.iter().filter(|s| s.partition == partition) {
            drafts.add_series(&mut adding, label_sets.of(series), &batch.rows_of(series));
        }
        for entry in batch.metadata.iter().filter(|m| m.partition == partition) {
            drafts.add_metadata(&mut adding, entry);
        }
        for exemplar in batch.exemplars.iter().filter(|e| e.partition == partition) {
            drafts.add_exemplar(&mut adding, batch, exemplar);
        }
        for entry in batch.pushes.iter().filter(|push| push.partition == partition) {
            drafts.add_push(&mut adding, entry);
        }
    }
    let mut packer = Packer::new().unwrap();
    let mut scratch = Vec::new();
    let all = drafts.full.into_iter().chain(drafts.open);
    all.map(|mut draft| {
        let tickets = std::mem::take(&mut draft.tickets);
        let value = draft.finish(partition, &mut packer, &mut scratch, &mut spare);
        (tickets, value.unwrap())
    })
    .collect()
}
