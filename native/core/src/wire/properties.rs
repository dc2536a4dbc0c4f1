//! Laws of the split, for requests of every shape.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::batch::{BatchSeries, Form, MetadataEntry, SplitBatch};
use super::encode::{put_bytes, put_label, put_metadata, put_varint};
use super::refusal::Reason;
use super::{Splitter, Surplus, WriteLimits, snappy};
use crate::Error;
use crate::model::{Millis, Uid};

mod v2;

const UID: Uid = Uid([7; 16]);
const SHARDS: u16 = 8;
const NOW: Millis = 1_700_000_000_000;
const LIMITS: WriteLimits = WriteLimits {
    max_body_bytes: 1 << 20,
    max_decoded_bytes: 1 << 20,
    max_labels: 5,
    max_name_bytes: 12,
    max_value_bytes: 12,
    max_age_ms: Some(10_000),
    max_future_ms: Some(10_000),
};

/// A series as a sender means it, and how it writes it.
#[derive(Debug, Clone)]
struct Sent {
    labels: Vec<(String, String)>,
    /// Time and value bits.
    samples: Vec<(Millis, u64)>,
    histograms: usize,
    shape: Shape,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Labels, then samples, zeros left out.
    Plain,
    /// Each field written even if zero, the timestamp first, and unknown fields between.
    Verbose,
    /// Samples and labels by turns.
    Interleaved,
}

impl Sent {
    fn label(name: &str, value: &str, shape: Shape) -> Vec<u8> {
        let mut out = Vec::new();
        if shape == Shape::Verbose {
            let mut label = Vec::new();
            put_bytes(&mut label, 0x12, value.as_bytes());
            label.extend_from_slice(&[0x18, 1]);
            put_bytes(&mut label, 0x0a, name.as_bytes());
            put_bytes(&mut out, 0x0a, &label);
        } else {
            put_label(&mut out, name.as_bytes(), value.as_bytes());
        }
        out
    }

    fn sample((time, bits): (Millis, u64), shape: Shape) -> Vec<u8> {
        let verbose = shape == Shape::Verbose;
        let mut sample = Vec::new();
        let value = |sample: &mut Vec<u8>| {
            if bits != 0 || verbose {
                sample.push(0x09);
                sample.extend_from_slice(&bits.to_le_bytes());
            }
        };
        if !verbose {
            value(&mut sample);
        }
        if time != 0 || verbose {
            sample.push(0x10);
            put_varint(&mut sample, time as u64);
        }
        if verbose {
            sample.extend_from_slice(&[0x3d, 1, 2, 3, 4]);
            value(&mut sample);
        }
        let mut out = Vec::new();
        put_bytes(&mut out, 0x12, &sample);
        out
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let labels: Vec<_> = self
            .labels
            .iter()
            .map(|(name, value)| Self::label(name, value, self.shape))
            .collect();
        let samples: Vec<_> = self
            .samples
            .iter()
            .map(|&sample| Self::sample(sample, self.shape))
            .collect();
        let mut message = Vec::new();
        if self.shape == Shape::Interleaved {
            for i in 0..labels.len().max(samples.len()) {
                message.extend(samples.get(i).into_iter().flatten());
                message.extend(labels.get(i).into_iter().flatten());
            }
        } else {
            message.extend(labels.concat());
            message.extend(samples.concat());
        }
        for _ in 0..self.histograms {
            let mut histogram = vec![0x78];
            put_varint(&mut histogram, NOW as u64);
            put_bytes(&mut message, 0x22, &histogram);
        }
        put_bytes(out, 0x0a, &message);
    }

    /// The rule its labels break, told apart the slow way.
    fn broken_rule(&self) -> Option<Reason> {
        let present: Vec<_> = self
            .labels
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .collect();
        let mut names: Vec<_> = self.labels.iter().map(|(name, _)| name).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        if present.len() > LIMITS.max_labels {
            return Some(Reason::TooManyLabels);
        }
        for (name, value) in &self.labels {
            if name.is_empty() {
                return Some(Reason::EmptyLabelName);
            }
            if name.len() > LIMITS.max_name_bytes {
                return Some(Reason::LabelNameTooLong);
            }
            if value.len() > LIMITS.max_value_bytes {
                return Some(Reason::LabelValueTooLong);
            }
        }
        if present.iter().all(|(name, _)| name != "__name__") {
            return Some(Reason::MissingName);
        }
        (names.len() < count).then_some(Reason::DuplicateLabel)
    }

    fn kept_labels(&self) -> BTreeMap<&str, &str> {
        self.labels
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect()
    }
}

/// What a naive receiver makes of the request: the series with their samples and number of histograms, and refusals by reason.
type Kept<'a> = Vec<(BTreeMap<&'a str, &'a str>, Vec<(Millis, u64)>, usize)>;

fn naive(sent: &[Sent]) -> (Kept<'_>, BTreeMap<&'static str, u64>) {
    let (mut kept, mut refused) = (Vec::new(), BTreeMap::new());
    let mut count = |reason: Reason, samples: usize| {
        if samples > 0 {
            *refused.entry(reason.name()).or_default() += samples as u64;
        }
    };
    for series in sent {
        if let Some(reason) = series.broken_rule() {
            count(reason, series.samples.len() + series.histograms);
            continue;
        }
        let histograms = series.histograms;
        let mut samples = series.samples.clone();
        samples.retain(|(time, _)| *time >= NOW - 10_000);
        count(Reason::TooOld, series.samples.len() - samples.len());
        let not_old = samples.len();
        samples.retain(|(time, _)| *time <= NOW + 10_000);
        count(Reason::TooFarInFuture, not_old - samples.len());
        if !samples.is_empty() || histograms > 0 {
            kept.push((series.kept_labels(), samples, histograms));
        }
    }
    (kept, refused)
}

/// The (name, value) pairs of plain label bytes, read by position.
fn pairs(mut bytes: &[u8]) -> BTreeMap<&str, &str> {
    let mut pairs = BTreeMap::new();
    while let [0x0a, _, 0x0a, name_len, rest @ ..] = bytes {
        let (name, rest) = rest.split_at(usize::from(*name_len));
        let [0x12, value_len, rest @ ..] = rest else {
            panic!("no value follows {name:?}")
        };
        let (value, rest) = rest.split_at(usize::from(*value_len));
        let twice = pairs.insert(
            std::str::from_utf8(name).unwrap(),
            std::str::from_utf8(value).unwrap(),
        );
        assert_eq!(twice, None);
        bytes = rest;
    }
    assert!(bytes.is_empty(), "not in plain form: {bytes:?}");
    pairs
}

fn kept(batch: &SplitBatch) -> Kept<'_> {
    let samples = |series: &BatchSeries| {
        let (times, values) = batch.samples_of(series);
        times
            .iter()
            .copied()
            .zip(values.iter().map(|value| value.to_bits()))
            .collect()
    };
    batch
        .series
        .iter()
        .map(|series| {
            let histograms = batch.histograms_of(series).len();
            (pairs(batch.labels_of(series)), samples(series), histograms)
        })
        .collect()
}

/// Partition, key, label bytes, rows, messages of histograms.
type Placed = (u16, u128, Vec<u8>, (u32, u32), Vec<(Millis, Vec<u8>)>);

/// Everything that replay must give again, positions in the label buffer aside.
#[derive(Debug, PartialEq)]
struct Columns {
    uid: Option<Uid>,
    shards: u16,
    series: Vec<Placed>,
    times: Vec<Millis>,
    value_bits: Vec<u64>,
    metadata: Vec<MetadataEntry>,
}

fn columns(batch: &SplitBatch) -> Columns {
    let labels = |series| batch.labels_of(series).to_vec();
    let histograms = |series| {
        let held = batch.histograms_of(series).iter();
        held.map(|h| (h.time, h.message(&batch.labels).to_vec()))
            .collect()
    };
    Columns {
        uid: batch.uid,
        shards: batch.shards,
        series: batch
            .series
            .iter()
            .map(|s| (s.partition, s.key, labels(s), s.samples, histograms(s)))
            .collect(),
        times: batch.times.clone(),
        value_bits: batch.values.iter().map(|value| value.to_bits()).collect(),
        metadata: batch.metadata.clone(),
    }
}

fn splitter() -> Splitter {
    Splitter::new(b"secret", 16, 1 << 16).unwrap()
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![6 => "[a-e]{1,2}", 1 => "[a-zé.]{0,14}"]
}

fn labels() -> impl Strategy<Value = Vec<(String, String)>> {
    let others = prop::collection::vec((name(), prop_oneof![8 => "[a-z ü]{1,5}", 1 => "[x]{0,14}"]), 0..6);
    (
        others,
        prop_oneof![9 => "[a-z.]{1,6}".prop_map(Some), 1 => Just(None)],
    )
        .prop_map(|(mut labels, metric)| {
            let at = labels.len() / 2;
            labels.splice(at..at, metric.map(|metric| ("__name__".to_owned(), metric)));
            labels
        })
}

fn sample() -> impl Strategy<Value = (Millis, u64)> {
    let time = prop_oneof![
        8 => NOW - 12_000..NOW + 12_000,
        1 => Just(0),
        1 => any::<Millis>(),
    ];
    let bits = prop_oneof![4 => any::<u64>(), 1 => Just(0), 1 => Just(crate::model::STALE_BITS)];
    (time, bits)
}

fn sent() -> impl Strategy<Value = Vec<Sent>> {
    let shape =
        prop_oneof![4 => Just(Shape::Plain), 1 => Just(Shape::Verbose), 1 => Just(Shape::Interleaved)];
    let histograms = prop_oneof![9 => Just(0), 1 => 1..3usize];
    let series = (labels(), prop::collection::vec(sample(), 0..6), histograms, shape);
    prop::collection::vec(
        series.prop_map(|(labels, samples, histograms, shape)| Sent {
            labels,
            samples,
            histograms,
            shape,
        }),
        0..20,
    )
}

type Metadata = Vec<(u8, String, String, String)>;

fn metadata() -> impl Strategy<Value = Metadata> {
    prop::collection::vec((0..8u8, "[a-z]{0,14}", "[a-z ]{0,14}", "[a-z]{0,3}"), 0..4)
}

fn request(sent: &[Sent], metadata: &Metadata) -> Vec<u8> {
    let mut plain = Vec::new();
    for series in sent {
        series.encode(&mut plain);
        // An unknown field between messages.
        plain.extend_from_slice(&[0x78, 1]);
    }
    for (kind, family, help, unit) in metadata {
        put_metadata(&mut plain, *kind, family, help, unit);
    }
    plain
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Twice through one splitter: first with all labels unknown, then with those that passed in the cache.
    #[test]
    fn a_split_keeps_and_refuses_what_a_naive_receiver_would(sent in sent(), metadata in metadata()) {
        let body = snappy::compress(&request(&sent, &metadata)).unwrap();
        let (expected, mut expected_refused) = naive(&sent);
        let bad = metadata.iter().filter(|(_, f, h, _)| f.is_empty() || f.len() > 12 || h.len() > 12).count();
        if bad > 0 {
            expected_refused.insert("invalid_metadata", bad as u64);
        }
        let splitter = splitter();
        let mut batches = Vec::new();
        for _ in 0..2 {
            let batch = splitter.split(&body, Form::V1, UID, SHARDS, &LIMITS, NOW).unwrap();
            prop_assert_eq!(&kept(&batch), &expected);
            let refused: BTreeMap<_, _> = batch.refused.iter().map(|r| (r.reason.name(), r.samples)).collect();
            prop_assert_eq!(&refused, &expected_refused);
            prop_assert_eq!(batch.metadata.len(), metadata.len() - bad);
            if refused.is_empty() {
                prop_assert_eq!(&batch.body, &body);
            }
            batches.push(columns(&batch));
        }
        prop_assert_eq!(&batches[0], &batches[1]);
    }

    /// Heads are built from the live split or from the log, and must not differ. The log's body holds all that was accepted and
    /// nothing that was refused.
    #[test]
    fn replay_equals_the_live_split(sent in sent(), metadata in metadata()) {
        let body = snappy::compress(&request(&sent, &metadata)).unwrap();
        let live = splitter().split(&body, Form::V1, UID, SHARDS, &LIMITS, NOW).unwrap();
        let replayed = splitter().replay(&live.body, Form::V1, UID, SHARDS).unwrap();
        prop_assert_eq!(columns(&replayed), columns(&live));
        prop_assert!(replayed.refused.is_empty());
        let again = splitter().split(&live.body, Form::V1, UID, SHARDS, &LIMITS, NOW).unwrap();
        prop_assert!(again.refused.is_empty());
        prop_assert_eq!(&again.body, &live.body);
    }

    #[test]
    fn retain_keeps_exactly_what_is_asked(sent in sent(), keep in prop::collection::vec(any::<bool>(), 20)) {
        let body = snappy::compress(&request(&sent, &vec![])).unwrap();
        let whole = splitter().split(&body, Form::V1, UID, SHARDS, &LIMITS, NOW).unwrap();
        let surplus = Surplus::Series { limit: 1, active: 1 };
        let part = whole.retain(|i| (!keep[i]).then_some(surplus)).unwrap();
        let expected: Kept = kept(&whole).into_iter().zip(&keep).filter(|(_, keep)| **keep).map(|(s, _)| s).collect();
        prop_assert_eq!(kept(&part), expected);
        let limited: u64 = part.refused.iter().filter(|r| r.reason == Reason::SeriesLimit).map(|r| r.samples).sum();
        let samples = |batch: &SplitBatch| (batch.times.len() + batch.histograms.len()) as u64;
        prop_assert_eq!(samples(&part) + limited, samples(&whole));
        prop_assert_eq!(columns(&splitter().replay(&part.body, Form::V1, UID, SHARDS).unwrap()), columns(&part));
    }

    /// However a sender writes a label set, its series is one: same partition, so that one head meets all of it.
    #[test]
    fn each_encoding_of_a_label_set_has_the_same_partition(
        (labels, shuffled) in prop::collection::btree_map("[a-z]{1,4}", "[a-z]{1,4}", 1..4).prop_flat_map(|labels| {
            let mut labels: Vec<_> = labels.into_iter().collect();
            labels.insert(0, ("__name__".to_owned(), "up".to_owned()));
            (Just(labels.clone()), Just(labels).prop_shuffle())
        }),
    ) {
        let splitter = splitter();
        let mut partitions = Vec::new();
        for labels in [labels, shuffled] {
            for shape in [Shape::Plain, Shape::Verbose, Shape::Interleaved] {
                let mut labels = labels.clone();
                if shape == Shape::Verbose {
                    labels.push(("empty".to_owned(), String::new()));
                }
                let sent = Sent { labels, samples: vec![(NOW, 1); 3], histograms: 0, shape };
                let body = snappy::compress(&request(&[sent], &vec![])).unwrap();
                let batch = splitter.split(&body, Form::V1, UID, SHARDS, &LIMITS, NOW).unwrap();
                partitions.push(batch.series[0].partition);
            }
        }
        partitions.dedup();
        prop_assert_eq!(partitions.len(), 1);
        prop_assert!(splitter.partitions_of(UID, SHARDS).unwrap().contains(&partitions[0]));
    }

    /// Damaged requests are errors or partly usable; memory stays in proportion to what came.
    #[test]
    fn damaged_requests_never_panic(
        sent in sent(),
        metadata in metadata(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut plain = request(&sent, &metadata);
        plain.push(0);
        for (at, byte) in damage {
            let at = at.index(plain.len());
            plain[at] = byte;
        }
        if let Some(cut) = cut {
            plain.truncate(cut.index(plain.len()));
        }
        check_proportion(&plain)?;
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check_proportion(&bytes)?;
        let as_body = splitter().split(&bytes, Form::V1, UID, SHARDS, &LIMITS, NOW);
        prop_assert!(as_body.is_ok() || matches!(as_body, Err(Error::BadData(_) | Error::TooLarge(_))));
    }
}

fn check_proportion(plain: &[u8]) -> Result<(), TestCaseError> {
    let body = snappy::compress(plain).unwrap();
    match splitter().split(&body, Form::V1, UID, SHARDS, &LIMITS, NOW) {
        Ok(batch) => {
            // A sample takes two bytes at least, a series four, and label bytes are at most gathered and rewritten once.
            prop_assert!(batch.times.capacity() <= plain.len().max(8));
            prop_assert!(batch.series.capacity() <= plain.len().max(8));
            prop_assert!(batch.labels.len() <= 3 * plain.len());
            let replayed = splitter().replay(&batch.body, Form::V1, UID, SHARDS).unwrap();
            prop_assert_eq!(columns(&replayed), columns(&batch));
        }
        Err(error) => prop_assert!(matches!(error, Error::BadData(_)), "{error}"),
    }
    Ok(())
}
