//! Body in, [`SplitBatch`] out; live and on replay.

use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_128;

use super::batch::SplitBatch;
use super::cache::LabelCache;
use super::keys::{InstanceKeys, Placement};
use super::labels::{self, Verdict, series_text};
use super::limits::WriteLimits;
use super::metadata;
use super::refusal::{Reason, Refusal, refuse};
use super::scan::{Exception, Found, scan};
use super::snappy;
use crate::model::{Millis, Uid};
use crate::{Error, Result};

/// Splits remote-write bodies by series hash. Shared between threads.
#[derive(Debug)]
pub struct Splitter {
    secret: Vec<u8>,
    partitions: u16,
    cache: Mutex<LabelCache>,
}

/// One request on its way through.
struct Request<'a> {
    keys: &'a InstanceKeys,
    placement: Placement,
    limits: &'a WriteLimits,
    now: Millis,
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
        })
    }

    /// Decodes, validates and splits a body as it came. Fails if nothing of it can be used; what is refused of a body that can
    /// be decoded is in [`SplitBatch::refused`].
    pub fn split(
        &self,
        body: &[u8],
        uid: Uid,
        shards: u16,
        limits: &WriteLimits,
        now: Millis,
    ) -> Result<SplitBatch> {
        if body.len() > limits.max_body_bytes {
            return Err(Error::TooLarge(format!(
                "the body has {} bytes, the limit is {}; send smaller batches",
                body.len(),
                limits.max_body_bytes
            )));
        }
        let mut batch = self.columns(body, uid, shards, limits, now)?;
        batch.body = if batch.refused.is_empty() {
            body.to_vec()
        } else {
            batch.encode()?
        };
        Ok(batch)
    }

    /// The columns of a body that was accepted before: those that its live split had. [`SplitBatch::body`] stays empty.
    pub fn replay(&self, body: &[u8], uid: Uid, shards: u16) -> Result<SplitBatch> {
        self.columns(body, uid, shards, &WriteLimits::REPLAY, 0)
    }

    /// The partitions an instance uses.
    pub fn partitions_of(&self, uid: Uid, shards: u16) -> Result<Vec<u16>> {
        Ok(self
            .placement(&InstanceKeys::new(&self.secret, uid), shards)?
            .all())
    }

    fn placement(&self, keys: &InstanceKeys, shards: u16) -> Result<Placement> {
        if !shards.is_power_of_two() || shards > self.partitions {
            return Err(Error::BadData(format!(
                "shards must be a power of two and at most the {} partitions there are, not {shards}",
                self.partitions
            )));
        }
        Ok(keys.placement(shards, self.partitions))
    }

    fn columns(
        &self,
        body: &[u8],
        uid: Uid,
        shards: u16,
        limits: &WriteLimits,
        now: Millis,
    ) -> Result<SplitBatch> {
        let keys = InstanceKeys::new(&self.secret, uid);
        let request = Request {
            keys: &keys,
            placement: self.placement(&keys, shards)?,
            limits,
            now,
        };
        let decoded = snappy::decompress(body, limits.max_decoded_bytes)?;
        let Found {
            series,
            times,
            values,
            metadata,
            gathered,
            exceptions,
        } = scan(&decoded, &keys, limits.time_bounds(now))?;
        let mut refused = Vec::new();
        let metadata = metadata::entries(&decoded, &metadata, limits, &mut refused, |family| {
            request.placement.partition(keys.hash(family.as_bytes()) as u16)
        })?;
        let mut batch = SplitBatch {
            uid: Some(uid),
            shards,
            labels: decoded,
            series,
            times,
            values,
            metadata,
            refused,
            ..SplitBatch::default()
        };
        batch.labels.extend_from_slice(&gathered);
        let invalid = self.place(&mut batch, &request)?;
        request.drop_refused(&mut batch, &exceptions, invalid);
        Ok(batch)
    }

    /// Gives each series its partition; returns the invalid ones, in order. The cache's lock is held only to look up and to insert.
    fn place(&self, batch: &mut SplitBatch, request: &Request<'_>) -> Result<Vec<Invalid>> {
        let rules = fingerprint(request.limits);
        let mut unknown = Vec::new();
        {
            let cache = self.cache.lock();
            for (i, series) in batch.series.iter_mut().enumerate() {
                match cache.get(series.key ^ rules) {
                    Some(shard_hash) => series.partition = request.placement.partition(shard_hash),
                    None => unknown.push(i),
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

/// A series whose labels break a rule.
struct Invalid {
    series: usize,
    reason: Reason,
    why: String,
}

impl Request<'_> {
    /// Counts what the scan left out and what the label rules refuse, and drops series that have nothing left.
    fn drop_refused(&self, batch: &mut SplitBatch, exceptions: &[Exception], invalid: Vec<Invalid>) {
        if exceptions.is_empty() && invalid.is_empty() {
            return;
        }
        let mut refused = std::mem::take(&mut batch.refused);
        let mut keep: Vec<bool> = batch.series.iter().map(|series| series.samples.1 > 0).collect();
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
            let mut samples = u64::from(series.samples.1);
            if let Some(e) = left_out.next_if(|exception| exception.series == number) {
                samples += u64::from(e.too_old) + u64::from(e.too_new) + u64::from(e.histograms);
            }
            let text = || format!("{why}: {}", series_text(batch.labels_of(series)));
            refuse(&mut refused, reason, samples, text);
            keep[number] = false;
        }
        for exception in left_out {
            self.refuse_left_out(batch, exception, &mut refused);
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
                "a sample at {} is {age} s old, the limit is {limit} s: {}",
                exception.oldest,
                series()
            )
        });
        refuse(refused, Reason::TooFarInFuture, exception.too_new.into(), || {
            let ahead = seconds(exception.newest, self.now);
            let limit = self.limits.max_future_ms.unwrap_or_default() as f64 / 1000.0;
            format!(
                "a sample at {} is {ahead} s ahead of the server's clock, the limit is {limit} s: {}",
                exception.newest,
                series()
            )
        });
        refuse(
            refused,
            Reason::NativeHistogram,
            exception.histograms.into(),
            || {
                format!(
                    "native histograms are not supported yet, set send_native_histograms to false or send classic ones: {}",
                    series()
                )
            },
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
mod tests {
    use super::*;
    use crate::model::STALE_BITS;
    use crate::wire::encode::{put_label, put_metadata, put_series};

    const NOW: Millis = 1_700_000_000_000;

    fn splitter() -> Splitter {
        Splitter::new(b"secret", 16, 1 << 16).unwrap()
    }

    fn series(out: &mut Vec<u8>, labels: &[(&str, &str)], samples: &[(Millis, f64)]) {
        let mut bytes = Vec::new();
        for (name, value) in labels {
            put_label(&mut bytes, name.as_bytes(), value.as_bytes());
        }
        let (times, values): (Vec<_>, Vec<_>) = samples.iter().copied().unzip();
        put_series(out, &bytes, &times, &values);
    }

    fn body(fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut plain = Vec::new();
        fill(&mut plain);
        snappy::compress(&plain).unwrap()
    }

    fn up() -> Vec<u8> {
        body(|out| series(out, &[("__name__", "up"), ("job", "a")], &[(NOW, 1.0)]))
    }

    fn split(body: &[u8], limits: &WriteLimits) -> SplitBatch {
        splitter().split(body, Uid([1; 16]), 4, limits, NOW).unwrap()
    }

    #[test]
    fn messages_name_what_was_seen_the_limit_and_the_series() {
        let limits = WriteLimits {
            max_age_ms: Some(60_000),
            ..WriteLimits::default()
        };
        let body = body(|out| {
            let samples = [(NOW - 90_500, 1.0), (NOW, 2.0), (NOW + 601_000, 3.0)];
            series(out, &[("__name__", "up"), ("job", "a")], &samples);
            series(out, &[("job", "b")], &[(NOW, 1.0), (NOW - 90_000, 1.0)]);
        });
        let batch = split(&body, &limits);
        assert_eq!(
            (batch.times.as_slice(), batch.values.as_slice()),
            (&[NOW][..], &[2.0][..])
        );
        let refused: Vec<_> = batch
            .refused
            .iter()
            .map(|r| (r.reason, r.samples, r.message.as_str()))
            .collect();
        let expected = [
            (
                Reason::TooOld,
                1,
                "a sample at 1699999909500 is 90.5 s old, the limit is 60 s: up{job=\"a\"}",
            ),
            (
                Reason::TooFarInFuture,
                1,
                "a sample at 1700000601000 is 601 s ahead of the server's clock, the limit is 600 s: up{job=\"a\"}",
            ),
            // Both samples of a series that has no name count for that reason alone.
            (
                Reason::MissingName,
                2,
                "a series has no metric name (label __name__): {job=\"b\"}",
            ),
        ];
        assert_eq!(refused, expected);
    }

    #[test]
    fn a_request_of_which_all_is_refused_is_an_empty_batch() {
        let batch = split(
            &body(|out| series(out, &[("job", "a")], &[(NOW, 1.0)])),
            &WriteLimits::default(),
        );
        assert_eq!(
            (batch.series.len(), batch.times.len(), batch.refused.len()),
            (0, 0, 1)
        );
        assert_eq!(snappy::decompress(&batch.body, 10).unwrap(), b"");
    }

    #[test]
    fn a_series_without_samples_is_nothing_whatever_its_labels() {
        let batch = split(&body(|out| series(out, &[], &[])), &WriteLimits::default());
        assert_eq!((batch.series.len(), batch.refused.len()), (0, 0));
    }

    #[test]
    fn values_keep_their_bits() {
        let bits = [
            STALE_BITS,
            0x7ff8_0000_0000_0001,
            (-0.0f64).to_bits(),
            0,
            1,
            f64::INFINITY.to_bits(),
        ];
        let samples: Vec<_> = (NOW..).zip(bits.map(f64::from_bits)).collect();
        let batch = split(
            &body(|out| series(out, &[("__name__", "up")], &samples)),
            &WriteLimits::default(),
        );
        assert_eq!(batch.values.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), bits);
    }

    #[test]
    fn keys_of_two_instances_are_unrelated_and_keys_of_one_stay() {
        let splitter = splitter();
        let key = |uid| {
            let batch = splitter
                .split(&up(), Uid([uid; 16]), 1, &WriteLimits::default(), NOW)
                .unwrap();
            batch.series[0].key
        };
        assert_eq!(key(1), key(1));
        assert_ne!(key(1), key(2));
    }

    #[test]
    fn a_lowered_limit_holds_for_labels_seen_before() {
        let splitter = splitter();
        let split = |limits: WriteLimits| {
            splitter
                .split(&up(), Uid([1; 16]), 1, &limits, NOW)
                .unwrap()
                .refused
                .len()
        };
        assert_eq!(split(WriteLimits::default()), 0);
        assert_eq!(
            split(WriteLimits {
                max_labels: 1,
                ..WriteLimits::default()
            }),
            1
        );
        assert_eq!(
            split(WriteLimits {
                max_name_bytes: 7,
                ..WriteLimits::default()
            }),
            1
        );
        assert_eq!(
            split(WriteLimits {
                max_value_bytes: 1,
                ..WriteLimits::default()
            }),
            1
        );
        assert_eq!(split(WriteLimits::default()), 0);
    }

    #[test]
    fn a_cached_series_follows_when_its_instance_gets_more_shards() {
        let cached = splitter();
        for shards in [1, 2, 4, 8, 16] {
            for uid in 0..20 {
                let split = |splitter: &Splitter| {
                    let batch = splitter
                        .split(&up(), Uid([uid; 16]), shards, &WriteLimits::default(), NOW)
                        .unwrap();
                    batch.series[0].partition
                };
                assert_eq!(split(&cached), split(&splitter()));
            }
        }
    }

    #[test]
    fn series_spread_over_all_shards() {
        let body = body(|out| {
            for i in 0..200 {
                series(out, &[("__name__", "up"), ("i", &i.to_string())], &[(NOW, 1.0)]);
            }
        });
        let mut partitions: Vec<_> = split(&body, &WriteLimits::default())
            .series
            .iter()
            .map(|s| s.partition)
            .collect();
        partitions.sort_unstable();
        partitions.dedup();
        let mut all = splitter().partitions_of(Uid([1; 16]), 4).unwrap();
        all.sort_unstable();
        assert_eq!(partitions, all);
    }

    #[test]
    fn a_cache_of_one_set_only_costs_time() {
        let splitter = Splitter::new(b"secret", 4, 0).unwrap();
        let body = body(|out| {
            for i in 0..100 {
                series(out, &[("__name__", "up"), ("i", &i.to_string())], &[(NOW, 1.0)]);
            }
        });
        let split = || {
            splitter
                .split(&body, Uid([1; 16]), 4, &WriteLimits::default(), NOW)
                .unwrap()
                .series
        };
        assert_eq!(split(), split());
    }

    #[test]
    fn metadata_is_decoded_and_placed_within_the_instance() {
        let body = body(|out| {
            put_metadata(out, 1, "requests_total", "How many.", "");
            put_metadata(out, 99, "of_a_new_kind", "", "seconds");
            put_metadata(out, 1, "", "No family.", "");
        });
        let batch = split(&body, &WriteLimits::default());
        let seen: Vec<_> = batch
            .metadata
            .iter()
            .map(|m| (m.kind, m.family.as_str(), m.help.as_str(), m.unit.as_str()))
            .collect();
        assert_eq!(
            seen,
            [
                (1, "requests_total", "How many.", ""),
                (0, "of_a_new_kind", "", "seconds")
            ]
        );
        let all = splitter().partitions_of(Uid([1; 16]), 4).unwrap();
        assert!(batch.metadata.iter().all(|entry| all.contains(&entry.partition)));
        assert_eq!(
            (batch.refused[0].reason, batch.refused[0].samples),
            (Reason::InvalidMetadata, 1)
        );
    }

    #[test]
    fn metadata_entries_are_bounded_in_number() {
        let body = body(|out| out.extend([0x1a, 0].repeat(70_000)));
        let error = splitter()
            .split(&body, Uid([1; 16]), 1, &WriteLimits::default(), NOW)
            .unwrap_err();
        assert!(
            matches!(&error, Error::TooLarge(m) if m.contains("70000 metadata entries")),
            "{error}"
        );
    }

    #[test]
    fn sizes_are_checked_first() {
        let split = |limits: &WriteLimits| splitter().split(&up(), Uid([1; 16]), 1, limits, NOW).unwrap_err();
        let error = split(&WriteLimits {
            max_body_bytes: 10,
            ..WriteLimits::default()
        });
        assert!(
            matches!(&error, Error::TooLarge(m) if m.contains("the limit is 10")),
            "{error}"
        );
        let error = split(&WriteLimits {
            max_decoded_bytes: 20,
            ..WriteLimits::default()
        });
        assert!(
            matches!(&error, Error::TooLarge(m) if m.contains("the limit is 20")),
            "{error}"
        );
    }

    #[test]
    fn damage_is_an_error_of_the_whole_request() {
        let good = snappy::decompress(&up(), 1000).unwrap();
        for damage in [
            &[0x0a, 5][..],
            &[0x08, 1],
            &[0x1a, 2, 0x10, 1],
            &[0x0a, 4, 0x12, 2, 0x08, 1],
            &[0x0b],
        ] {
            let body = snappy::compress(&[&good, damage].concat()).unwrap();
            let result = splitter().split(&body, Uid([1; 16]), 1, &WriteLimits::default(), NOW);
            assert!(matches!(result, Err(Error::BadData(_))), "{damage:?}: {result:?}");
        }
    }

    #[test]
    fn shards_are_a_power_of_two_of_the_partitions_there_are() {
        for shards in [0, 3, 32] {
            let error = splitter().partitions_of(Uid([1; 16]), shards).unwrap_err();
            assert!(
                error.to_string().contains("power of two and at most the 16"),
                "{error}"
            );
        }
        assert!(Splitter::new(b"", 4, 0).is_err());
        assert!(Splitter::new(b"secret", 0, 0).is_err());
    }
}
