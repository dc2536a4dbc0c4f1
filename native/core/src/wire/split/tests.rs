//! Splitting bodies: refusals, placement, the cache, damage.

use super::*;
use crate::model::STALE_BITS;
use crate::wire::encode::{put_bytes, put_label, put_metadata, put_series, put_varint};

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
    splitter()
        .split(body, Form::V1, Uid([1; 16]), 4, limits, NOW)
        .unwrap()
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
            "a sample at 1699999909500 is 90.5 s old, the limit max_age_s is 60 s: up{job=\"a\"}",
        ),
        (
            Reason::TooFarInFuture,
            1,
            "a sample at 1700000601000 is 601 s ahead of the server's clock, the limit max_future_s is 600 s: up{job=\"a\"}",
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
            .split(&up(), Form::V1, Uid([uid; 16]), 1, &WriteLimits::default(), NOW)
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
            .split(&up(), Form::V1, Uid([1; 16]), 1, &limits, NOW)
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
                    .split(
                        &up(),
                        Form::V1,
                        Uid([uid; 16]),
                        shards,
                        &WriteLimits::default(),
                        NOW,
                    )
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
            .split(&body, Form::V1, Uid([1; 16]), 4, &WriteLimits::default(), NOW)
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
        .split(&body, Form::V1, Uid([1; 16]), 1, &WriteLimits::default(), NOW)
        .unwrap_err();
    assert!(
        matches!(&error, Error::TooLarge(m) if m.contains("70000 metadata entries")),
        "{error}"
    );
}

/// Live, entries that were passed on lately do not count; a replay does not know which those were.
#[test]
fn a_replay_takes_as_much_metadata_as_the_live_split_did() {
    let splitter = Splitter::new(b"secret", 16, 256 << 20).unwrap();
    let described = |metrics: usize| {
        let mut plain = Vec::new();
        put_bytes(&mut plain, 0x22, b"");
        put_bytes(&mut plain, 0x22, b"__name__");
        for metric in 0..metrics {
            put_bytes(&mut plain, 0x22, format!("m{metric}").as_bytes());
        }
        for metric in 0..metrics {
            let mut refs = Vec::new();
            put_varint(&mut refs, 1);
            put_varint(&mut refs, metric as u64 + 2);
            let mut series = Vec::new();
            put_bytes(&mut series, 0x0a, &refs);
            put_bytes(&mut series, 0x12, &[0x10, 1]);
            put_bytes(&mut series, 0x2a, &[0x08, 2]);
            put_bytes(&mut plain, 0x2a, &series);
        }
        snappy::compress(&plain).unwrap()
    };
    let split = |metrics| {
        let limits = WriteLimits::default();
        splitter.split(&described(metrics), Form::V2, Uid([1; 16]), 1, &limits, NOW)
    };
    let most = metadata::MAX_ENTRIES;
    assert_eq!(split(most).unwrap().metadata.len(), most);
    let batch = split(most + 100).unwrap();
    assert!((100..most).contains(&batch.metadata.len()));
    let replayed = splitter.replay(&batch.body, Form::V2, Uid([1; 16]), 1).unwrap();
    assert_eq!(replayed.metadata.len(), most + 100);
}

#[test]
fn sizes_are_checked_first() {
    let split = |limits: &WriteLimits| {
        splitter()
            .split(&up(), Form::V1, Uid([1; 16]), 1, limits, NOW)
            .unwrap_err()
    };
    let error = split(&WriteLimits {
        max_body_bytes: 10,
        ..WriteLimits::default()
    });
    assert!(
        matches!(&error, Error::TooLarge(m) if m.contains("the limit max_body_bytes is 10")),
        "{error}"
    );
    let error = split(&WriteLimits {
        max_decoded_bytes: 20,
        ..WriteLimits::default()
    });
    assert!(
        matches!(&error, Error::TooLarge(m) if m.contains("the limit max_decoded_bytes is 20")),
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
        let result = splitter().split(&body, Form::V1, Uid([1; 16]), 1, &WriteLimits::default(), NOW);
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
