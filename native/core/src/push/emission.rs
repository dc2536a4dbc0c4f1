//! The samples of groups that are due, as scrapes would have made them.

use hashbrown::HashMap;

use super::book::{Book, Owner};
use super::group::{Group, ReadyHistogram};
use super::operation::{Kind, Operation, put_partition};
use crate::Result;
use crate::exposition::native::put_time;
use crate::model::{Millis, STALE_BITS, Uid};
use crate::wire::{BatchHistogram, BatchSeries, Placement, PushEntry, SplitBatch};

/// Samples are written so long after their time, so that pushes of before that have come through the log.
const DELAY: Millis = 1_000;

/// Times further back are left out: no query looks that far for a sample.
const MAX_CATCH_UP: Millis = 300_000;

/// What was written further ahead than this was written by a clock that was wrong.
const MAX_AHEAD: Millis = 60_000;

/// The least that is written at once of what is due, in time.
const MIN_STEP: Millis = 1_000;

impl Book {
    /// What is due, a batch for each instance in `shards`, of about `most` samples. They count as sent until they are seen in the
    /// log, or until [`Book::not_sent`].
    pub fn due(&self, now: Millis, shards: &HashMap<Uid, u16>, most: usize) -> Result<Vec<SplitBatch>> {
        let mut state = self.state();
        let through = state.applied;
        let mut batches = Vec::new();
        for (&uid, owner) in &mut state.owners {
            let Some(&shards) = shards.get(&uid).filter(|_| !owner.is_empty()) else {
                continue;
            };
            let placement = self.splitter.placement(&owner.keys, shards)?;
            let span = owner.span(now - DELAY, most);
            let mut emission = Emission {
                placement,
                batch: SplitBatch {
                    uid: Some(uid),
                    shards,
                    ..SplitBatch::default()
                },
            };
            if !owner.emit(span, &mut emission) {
                continue;
            }
            let mut operation = Operation {
                through,
                ..Operation::new(Kind::Emitted, &[], span.1)
            }
            .encode()?;
            put_partition(&mut operation, self.partition);
            let mut batch = emission.batch;
            batch.pushes.push(PushEntry {
                partition: self.partition,
                operation,
            });
            batch.encode_body()?;
            owner.sent = Some((span.1, through));
            batches.push(batch);
        }
        Ok(batches)
    }

    /// What was sent is not known to be in the log: it is due again.
    pub fn not_sent(&self) {
        for owner in self.state().owners.values_mut() {
            owner.sent = None;
        }
    }

    /// How far behind the oldest instance with groups is: from the time up to which its samples are in the log.
    pub fn lag(&self, now: Millis) -> Millis {
        let state = self.state();
        let owners = state.owners.values().filter(|owner| !owner.is_empty());
        owners.map(|owner| now - owner.emitted).max().unwrap_or(0)
    }
}

impl Owner {
    /// After what time, and up to what time, samples are to be written: about `most` of them.
    fn span(&self, until: Millis, most: usize) -> (Millis, Millis) {
        let from = self.emitted.max(self.sent.map_or(Millis::MIN, |(sent, _)| sent));
        let from = if from > until.saturating_add(MAX_AHEAD) {
            until - MIN_STEP
        } else {
            from.max(until - MAX_CATCH_UP)
        };
        let samples: usize = self
            .groups
            .values()
            .map(|group| group.slots(from, until).count() * group.len())
            .sum();
        if samples <= most {
            return (from, until.max(from));
        }
        let part = (until - from) as u128 * most as u128 / samples as u128;
        (from, until.min(from + MIN_STEP.max(part as Millis)))
    }

    /// Whether there was anything.
    fn emit(&self, (from, until): (Millis, Millis), out: &mut Emission) -> bool {
        let known = self.sent.map_or(0, |(_, through)| through);
        let mut times = Vec::new();
        for group in self.groups.values() {
            times.clear();
            times.extend(group.late.filter(|_| group.changed >= known));
            times.extend(group.slots(from, until));
            times.dedup();
            out.group(group, &times);
            if let Some(expires) = group.expires
                && expires <= until
                && !self
                    .sent
                    .is_some_and(|(sent, _)| expires <= sent && group.changed < known)
            {
                for (labels, key) in group.members() {
                    out.marker(labels, key, expires);
                }
            }
        }
        for vanished in self.vanished.iter().filter(|vanished| vanished.offset >= known) {
            out.marker(&vanished.labels, self.keys.hash(&vanished.labels), vanished.time);
        }
        !out.batch.series.is_empty()
    }
}

struct Emission {
    placement: Placement,
    batch: SplitBatch,
}

impl Emission {
    fn group(&mut self, group: &Group, times: &[Millis]) {
        if times.is_empty() {
            return;
        }
        for series in group.series() {
            self.series(&series.labels, series.key, times, series.value);
        }
        for series in group.histograms() {
            self.histograms(series, times);
        }
    }

    fn marker(&mut self, labels: &[u8], key: u128, time: Millis) {
        self.series(labels, key, &[time], f64::from_bits(STALE_BITS));
    }

    fn series(&mut self, labels: &[u8], key: u128, times: &[Millis], value: f64) {
        self.begin(labels, key);
        let batch = &mut self.batch;
        batch.times.extend_from_slice(times);
        batch.values.extend(times.iter().map(|_| value));
        if let Some(series) = batch.series.last_mut() {
            series.samples.1 = times.len() as u32;
        }
    }

    fn histograms(&mut self, series: &ReadyHistogram, times: &[Millis]) {
        self.begin(&series.labels, series.key);
        let batch = &mut self.batch;
        for &time in times {
            let start = batch.labels.len();
            batch.labels.extend_from_slice(&series.value);
            put_time(&mut batch.labels, time);
            let bytes = (start as u32, (batch.labels.len() - start) as u32);
            batch.histograms.push(BatchHistogram { time, bytes });
        }
        if let Some(series) = batch.series.last_mut() {
            series.histograms.1 = times.len() as u32;
        }
    }

    /// A series that has nothing yet.
    fn begin(&mut self, labels: &[u8], key: u128) {
        let batch = &mut self.batch;
        let place = (batch.labels.len() as u32, labels.len() as u32);
        batch.labels.extend_from_slice(labels);
        batch.series.push(BatchSeries {
            // Labels in canonical form: their key's low bits are what decides the shard.
            partition: self.placement.partition(key as u16),
            key,
            labels: place,
            samples: (batch.times.len() as u32, 0),
            histograms: (batch.histograms.len() as u32, 0),
        });
    }
}
