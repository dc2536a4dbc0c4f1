//! Body in, [`SplitBatch`] out; live and on replay.

use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_128;

use super::batch::{Form, MetadataEntry, PushEntry, SplitBatch};
use super::cache::LabelCache;
use super::encode::{PUSH_FIELD, put_push};
use super::exemplar::{BatchExemplar, Exemplars};
use super::keys::{InstanceKeys, Placement};
use super::labels::{self, Verdict, series_text};
use super::limits::WriteLimits;
use super::metadata::{self, Described};
use super::refusal::{Reason, Refusal, refuse};
use super::scan::{Exception, Found, scan};
use super::snappy;
use super::v2::scan_v2;
use crate::model::{Millis, Uid};
use crate::push::operation;
use crate::push::prepare::Prepared;
use crate::{Error, Result};

/// Of the memory for valid label bytes the part that metadata gets besides: families are far fewer than series.
const DESCRIBED_SHARE: usize = 32;

/// Memory for unpacked bodies that is kept from one to the next. Bodies of 2,000 samples take a tenth of it.
const KEPT_BYTES: usize = 1 << 20;

/// Label keys whose places in memory are loaded at the same time.
const LOOKED_UP_TOGETHER: usize = 32;

/// Splits remote-write bodies by series hash. Shared between threads.
#[derive(Debug)]
pub struct Splitter {
    secret: Vec<u8>,
    partitions: u16,
    cache: Mutex<LabelCache>,
    described: Mutex<Described>,
    /// Where a body of 2.0 is unpacked, for nothing of its batch lies there: as long as the longest so far.
    unpacked: Mutex<Vec<u8>>,
}

/// One request on its way through.
struct Request<'a> {
    keys: &'a InstanceKeys,
    placement: Placement,
    limits: &'a WriteLimits,
    now: Millis,
    /// Its labels need not be looked at, and all of it belongs to the one partition.
    is_checked: bool,
    /// What was said of metrics lately; `None`: all that is said is to be kept.
    described: Option<&'a Mutex<Described>>,
    /// It comes from the log.
    is_trusted: bool,
}

impl Splitter {
    /// `secret` keys every hash, so it must stay the same as long as the log is kept; `cache_bytes` bounds what is remembered of valid
    /// label bytes, at 16 bytes a series.
    pub fn new(secret: &[u8], partitions: u16, cache_bytes: usize) -> Result<Self> {
        if secret.is_empty() || partitions == 0 {
            return Err(Error::BadData(
                "a splitter needs a secret and at least one partition".into(),
            ));
        }
        Ok(Self {
            secret: secret.to_vec(),
            partitions,
            cache: Mutex::new(LabelCache::new(cache_bytes)),
            described: Mutex::new(Described::new(cache_bytes / DESCRIBED_SHARE)),
            unpacked: Mutex::default(),
        })
    }

    /// Decodes, validates and splits a body as it came. Fails if nothing of it can be used; what is refused of a body that can
    /// be decoded is in [`SplitBatch::refused`].
    pub fn split(
        &self,
        body: &[u8],
        form: Form,
        uid: Uid,
        shards: u16,
        limits: &WriteLimits,
        now: Millis,
    ) -> Result<SplitBatch> {
        if body.len() > limits.max_body_bytes {
            return Err(Error::TooLarge(format!(
                "the body has {} bytes, the limit max_body_bytes is {}; send smaller batches",
                body.len(),
                limits.max_body_bytes
            )));
        }
        let keys = InstanceKeys::new(&self.secret, uid);
        let placement = self.placement(&keys, shards)?;
        let request = Request {
            keys: &keys,
            placement,
            limits,
            now,
            is_checked: false,
            described: Some(&self.described),
            is_trusted: false,
        };
        let mut batch = self.unpack(body, form, uid, shards, &request)?;
        if batch.refused.is_empty() {
            batch.body = body.to_vec();
            batch.form = form;
        } else {
            batch.encode_body()?;
        }
        Ok(batch)
    }

    /// As `split`, of a request that came in another form and was written as a remote-write message, not compressed.
    pub fn split_plain(
        &self,
        plain: Vec<u8>,
        uid: Uid,
        shards: u16,
        limits: &WriteLimits,
        now: Millis,
    ) -> Result<SplitBatch> {
        let len = plain.len();
        let mut batch = self.split_unpacked(plain, uid, shards, limits, now)?;
        if batch.refused.is_empty() {
            batch.body = snappy::compress(&batch.labels[..len])?;
        } else {
            batch.encode_body()?;
        }
        Ok(batch)
    }

    /// Without a body; if nothing is refused, the message stands at the begin of the labels.
    fn split_unpacked(
        &self,
        plain: Vec<u8>,
        uid: Uid,
        shards: u16,
        limits: &WriteLimits,
        now: Millis,
    ) -> Result<SplitBatch> {
        let keys = InstanceKeys::new(&self.secret, uid);
        let placement = self.placement(&keys, shards)?;
        let request = Request {
            keys: &keys,
            placement,
            limits,
            now,
            is_checked: false,
            described: None,
            is_trusted: false,
        };
        self.columns(request.scan(plain)?, uid, shards, &request)
    }

    /// A push: its samples as `split_plain` takes them, and the operation on its group, unless something is refused besides exemplars:
    /// then there is none, and the batch must not be written.
    pub fn split_push(
        &self,
        prepared: &Prepared,
        uid: Uid,
        shards: u16,
        limits: &WriteLimits,
        now: Millis,
    ) -> Result<SplitBatch> {
        let mut batch = self.split_unpacked(prepared.plain.clone(), uid, shards, limits, now)?;
        let fatal = |refusal: &Refusal| refusal.reason != Reason::InvalidExemplar;
        if batch.refused.iter().any(fatal) {
            return Ok(batch);
        }
        let mut message = prepared.plain.clone();
        for partition in prepared.partitions(self, uid) {
            let mut operation = prepared.operation.clone();
            operation::put_partition(&mut operation, partition);
            put_push(&mut message, &operation);
            batch.pushes.push(PushEntry { partition, operation });
        }
        if !batch.refused.is_empty() {
            batch.encode_body()?;
            return Ok(batch);
        }
        batch.body = snappy::compress(&message)?;
        Ok(batch)
    }

    /// The columns of a body that was accepted before: those that its live split had. [`SplitBatch::body`] stays empty.
    pub fn replay(&self, body: &[u8], form: Form, uid: Uid, shards: u16) -> Result<SplitBatch> {
        let keys = InstanceKeys::new(&self.secret, uid);
        let placement = self.placement(&keys, shards)?;
        self.unpack(body, form, uid, shards, &Request::replay(&keys, placement))
    }

    /// The columns of what was written of accepted requests for one partition, not compressed. Where it was found counts: all of it
    /// belongs to that partition, whatever its hashes say. Labels are not looked at: who wrote them had checked them, and a head that
    /// meets new ones decodes them.
    pub fn replay_part(&self, plain: Vec<u8>, uid: Uid, shards: u16, partition: u16) -> Result<SplitBatch> {
        let keys = InstanceKeys::new(&self.secret, uid);
        let request = Request {
            is_checked: true,
            ..Request::replay(&keys, Placement::only(partition))
        };
        self.columns(request.scan(plain)?, uid, shards, &request)
    }

    /// The partitions an instance uses.
    pub fn partitions_of(&self, uid: Uid, shards: u16) -> Result<Vec<u16>> {
        Ok(self
            .placement(&InstanceKeys::new(&self.secret, uid), shards)?
            .all())
    }

    /// The hashes of an instance.
    pub(crate) fn keys(&self, uid: Uid) -> InstanceKeys {
        InstanceKeys::new(&self.secret, uid)
    }

    /// The partition that keeps a pushed group, by its key: any, whatever the instance's own are, so that it stays when those become
    /// more.
    pub fn group_partition(&self, uid: Uid, key: &[u8]) -> u16 {
        (self.keys(uid).hash(key) % u128::from(self.partitions)) as u16
    }

    pub fn partitions(&self) -> u16 {
        self.partitions
    }

    pub(crate) fn placement(&self, keys: &InstanceKeys, shards: u16) -> Result<Placement> {
        if !shards.is_power_of_two() || shards > self.partitions {
            return Err(Error::BadData(format!(
                "shards must be a power of two and at most the {} partitions there are, not {shards}",
                self.partitions
            )));
        }
        Ok(keys.placement(shards, self.partitions))
    }

    /// The columns of a body as it came.
    fn unpack(
        &self,
        body: &[u8],
        form: Form,
        uid: Uid,
        shards: u16,
        request: &Request<'_>,
    ) -> Result<SplitBatch> {
        let limit = request.limits.max_decoded_bytes;
        let scanned = match form {
            Form::V1 => request.scan(snappy::decompress(body, limit)?),
            Form::V2 => {
                let mut memory = std::mem::take(&mut *self.unpacked.lock());
                let decoded = snappy::decompress_into(body, limit, &mut memory);
                let scanned = decoded.and_then(|decoded| request.scan_v2(decoded));
                if memory.len() <= KEPT_BYTES {
                    *self.unpacked.lock() = memory;
                }
                scanned
            }
        };
        self.columns(scanned?, uid, shards, request)
    }

    fn columns(&self, scanned: Scanned, uid: Uid, shards: u16, request: &Request<'_>) -> Result<SplitBatch> {
        let Scanned {
            found,
            labels,
            metadata,
            refused,
        } = scanned;
        let Found {
            series,
            times,
            values,
            starts,
            histograms,
            pushes,
            exceptions,
            exemplars,
            ..
        } = found;
        let pushes = request.pushes(&labels, &pushes)?;
        let mut batch = SplitBatch {
            uid: Some(uid),
            shards,
            labels,
            series,
            times,
            values,
            starts,
            histograms,
            metadata,
            pushes,
            refused,
            ..SplitBatch::default()
        };
        let invalid = if request.is_checked {
            let partition = request.placement.partition(0);
            batch
                .series
                .iter_mut()
                .for_each(|series| series.partition = partition);
            Vec::new()
        } else {
            self.place(&mut batch, request)?
        };
        attach(&mut batch, &exemplars, &invalid);
        request.drop_refused(&mut batch, &exceptions, &exemplars, invalid);
        Ok(batch)
    }

    /// Gives each series its partition; returns the invalid ones, in order. The cache's lock is held only to look up and to insert.
    fn place(&self, batch: &mut SplitBatch, request: &Request<'_>) -> Result<Vec<Invalid>> {
        let rules = fingerprint(request.limits);
        let mut unknown = Vec::new();
        {
            let cache = self.cache.lock();
            for (chunk, series) in batch.series.chunks_mut(LOOKED_UP_TOGETHER).enumerate() {
                cache.approach(series.iter().map(|series| series.key ^ rules));
                for (i, series) in series.iter_mut().enumerate() {
                    match cache.get(series.key ^ rules) {
                        Some(shard_hash) => series.partition = request.placement.partition(shard_hash),
                        None => unknown.push(chunk * LOOKED_UP_TOGETHER + i),
                    }
                }
            }
        }
        let (mut valid, mut invalid) = (Vec::new(), Vec::new());
        for &i in &unknown {
            let series = batch.series[i];
            match labels::check(batch.labels_of(&series), request.keys, request.limits)? {
                Verdict::Valid {
                    shard_hash,
                    rewritten,
                } => {
                    batch.series[i].partition = request.placement.partition(shard_hash);
                    match rewritten {
                        None => valid.push((series.key, shard_hash)),
                        Some(bytes) => {
                            batch.series[i].key = request.keys.hash(&bytes);
                            batch.series[i].labels = (batch.labels.len() as u32, bytes.len() as u32);
                            batch.labels.extend_from_slice(&bytes);
                        }
                    }
                }
                Verdict::Refused { reason, why } => invalid.push(Invalid {
                    series: i,
                    reason,
                    why,
                }),
            }
        }
        if !valid.is_empty() {
            let mut cache = self.cache.lock();
            for (key, shard_hash) in valid {
                cache.insert(key ^ rules, shard_hash);
            }
        }
        Ok(invalid)
    }
}

/// Gives exemplars the partitions and keys of their series, and leaves out those of invalid ones.
fn attach(batch: &mut SplitBatch, exemplars: &Exemplars, invalid: &[Invalid]) {
    for exemplar in &exemplars.found {
        if invalid
            .binary_search_by_key(&exemplar.series, |invalid| invalid.series)
            .is_ok()
        {
            continue;
        }
        let series = batch.series[exemplar.series];
        let labels = (batch.labels.len() as u32, exemplar.labels.len() as u32);
        batch.labels.extend_from_slice(&exemplar.labels);
        batch.exemplars.push(BatchExemplar {
            partition: series.partition,
            key: series.key,
            series: series.labels,
            labels,
            time: exemplar.time,
            value: exemplar.value,
        });
    }
}

/// What a request says, in the form of either version.
struct Scanned {
    found: Found,
    labels: Vec<u8>,
    metadata: Vec<MetadataEntry>,
    refused: Vec<Refusal>,
}

/// A series whose labels break a rule.
struct Invalid {
    series: usize,
    reason: Reason,
    why: String,
}

impl<'a> Request<'a> {
    /// Of what was accepted before.
    fn replay(keys: &'a InstanceKeys, placement: Placement) -> Self {
        Self {
            keys,
            placement,
            limits: &WriteLimits::REPLAY,
            now: 0,
            is_checked: false,
            described: None,
            is_trusted: true,
        }
    }

    fn scan(&self, decoded: Vec<u8>) -> Result<Scanned> {
        let mut found = scan(&decoded, self.keys, self.limits.time_bounds(self.now))?;
        let raw = metadata::read(&decoded, &found.metadata)?;
        let (metadata, refused) = self.metadata(&raw, Vec::new())?;
        let mut labels = decoded;
        labels.append(&mut found.gathered);
        Ok(Scanned {
            found,
            labels,
            metadata,
            refused,
        })
    }

    fn scan_v2(&self, decoded: &[u8]) -> Result<Scanned> {
        let max_label_bytes = self.limits.max_decoded_bytes.min(snappy::MAX_DECODED);
        let bounds = self.limits.time_bounds(self.now);
        let mut v2 = scan_v2(decoded, self.keys, bounds, max_label_bytes)?;
        if let Some(described) = self.described {
            described.lock().retain_new(&mut v2.metadata, self.keys, self.now);
        }
        let (metadata, refused) = self.metadata(&v2.metadata, v2.refused)?;
        Ok(Scanned {
            found: v2.found,
            labels: v2.labels,
            metadata,
            refused,
        })
    }

    /// Checks and places metadata; what is refused joins `refused`.
    fn metadata(
        &self,
        raw: &[metadata::Raw<'_>],
        mut refused: Vec<Refusal>,
    ) -> Result<(Vec<MetadataEntry>, Vec<Refusal>)> {
        let place = |family: &str| self.placement.partition(self.keys.hash(family.as_bytes()) as u16);
        // On the way back from the log nothing was left out as known, so there may be more than a sender may give.
        if !self.is_trusted {
            metadata::check_number(raw.len())?;
        }
        Ok((metadata::entries(raw, self.limits, &mut refused, place), refused))
    }

    /// Operations on pushed groups come from the log alone: a sender that could write them would forge pushes.
    fn pushes(&self, decoded: &[u8], extents: &[(u32, u32)]) -> Result<Vec<PushEntry>> {
        if !self.is_trusted && !extents.is_empty() {
            return Err(Error::BadData(format!(
                "field {PUSH_FIELD} of a write request is not for senders"
            )));
        }
        let operations = extents
            .iter()
            .map(|&(start, len)| &decoded[start as usize..start as usize + len as usize]);
        operations
            .map(|operation| {
                Ok(PushEntry {
                    partition: operation::partition(operation)?,
                    operation: operation.to_vec(),
                })
            })
            .collect()
    }

    /// Counts what the scan left out and what the label rules refuse, and drops series that have nothing left.
    fn drop_refused(
        &self,
        batch: &mut SplitBatch,
        exceptions: &[Exception],
        exemplars: &Exemplars,
        invalid: Vec<Invalid>,
    ) {
        if exceptions.is_empty() && invalid.is_empty() && exemplars.is_empty() {
            return;
        }
        let mut refused = std::mem::take(&mut batch.refused);
        let mut keep: Vec<bool> = batch.series.iter().map(|series| !series.is_empty()).collect();
        let mut left_out = exceptions.iter().peekable();
        for Invalid {
            series: number,
            reason,
            why,
        } in invalid
        {
            while let Some(exception) = left_out.next_if(|exception| exception.series < number) {
                self.refuse_left_out(batch, exception, &mut refused);
            }
            let series = &batch.series[number];
            let mut samples = series.len();
            if let Some(e) = left_out.next_if(|exception| exception.series == number) {
                samples += e.samples();
            }
            let found = &exemplars.found;
            let first = found.partition_point(|exemplar| exemplar.series < number);
            samples += found[first..].iter().take_while(|e| e.series == number).count() as u64;
            let text = || format!("{why}: {}", series_text(batch.labels_of(series)));
            refuse(&mut refused, reason, samples, text);
            keep[number] = false;
        }
        for exception in left_out {
            self.refuse_left_out(batch, exception, &mut refused);
        }
        if let Some((number, why)) = &exemplars.fault {
            refuse(&mut refused, Reason::InvalidExemplar, exemplars.refused, || {
                let series = series_text(batch.labels_of(&batch.series[*number]));
                format!("an exemplar is refused, {why}: {series}")
            });
        }
        batch.retain_series(|number| keep[number]);
        batch.refused = refused;
    }

    fn refuse_left_out(&self, batch: &SplitBatch, exception: &Exception, refused: &mut Vec<Refusal>) {
        let series = || series_text(batch.labels_of(&batch.series[exception.series]));
        refuse(refused, Reason::TooOld, exception.too_old.into(), || {
            let age = seconds(self.now, exception.oldest);
            let limit = self.limits.max_age_ms.unwrap_or_default() as f64 / 1000.0;
            format!(
                "a sample at {} is {age} s old, the limit max_age_s is {limit} s: {}",
                exception.oldest,
                series()
            )
        });
        refuse(refused, Reason::TooFarInFuture, exception.too_new.into(), || {
            let ahead = seconds(exception.newest, self.now);
            let limit = self.limits.max_future_ms.unwrap_or_default() as f64 / 1000.0;
            format!(
                "a sample at {} is {ahead} s ahead of the server's clock, the limit max_future_s is {limit} s: {}",
                exception.newest,
                series()
            )
        });
        refuse(
            refused,
            Reason::InvalidHistogram,
            exception.invalid.into(),
            || format!("a native histogram is invalid: {}: {}", exception.why, series()),
        );
    }
}

fn seconds(later: Millis, earlier: Millis) -> f64 {
    later.saturating_sub(earlier) as f64 / 1000.0
}

/// Mixed into cache keys, so that bytes found valid under other limits are checked again.
fn fingerprint(limits: &WriteLimits) -> u128 {
    let sizes = [limits.max_labels, limits.max_name_bytes, limits.max_value_bytes];
    let mut bytes = [0; 24];
    for (part, size) in bytes.chunks_exact_mut(8).zip(sizes) {
        part.copy_from_slice(&(size as u64).to_le_bytes());
    }
    xxh3_128(&bytes)
}

#[cfg(test)]
mod tests;
