//! What was split is what is read, whatever it was put together with.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::hostile::forged;
use super::*;
use crate::head::Head;
use crate::model::Histogram;
use crate::records::format::MAX_PLAIN_BYTES;
use crate::wire::encode::{Rows, histogram_message, put_rows};
use crate::wire::exemplar::put_exemplar;
use crate::wire::{BatchHistogram, Form, MAX_METADATA_ENTRIES, PushEntry};

/// What a head sees, in its order: each sample with the key of its series' label bytes, and metadata.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    samples: Vec<(u128, Millis, u64)>,
    metadata: Vec<(String, u8, String, String)>,
}

impl Seen {
    fn add(&mut self, batch: &SplitBatch, partition: u16) {
        for series in batch.series.iter().filter(|s| s.partition == partition) {
            let (times, values) = batch.samples_of(series);
            for (&time, value) in times.iter().zip(values) {
                self.samples.push((series.key, time, value.to_bits()));
            }
        }
        for m in batch.metadata.iter().filter(|m| m.partition == partition) {
            self.metadata
                .push((m.family.clone(), m.kind, m.help.clone(), m.unit.clone()));
        }
    }
}

/// By instance and the shards it used.
fn seen<'b>(
    batches: impl Iterator<Item = &'b Arc<SplitBatch>>,
    partition: u16,
) -> BTreeMap<(Uid, u16), Seen> {
    let mut seen: BTreeMap<_, Seen> = BTreeMap::new();
    for batch in batches {
        let owner = (batch.uid.unwrap(), batch.shards);
        seen.entry(owner).or_default().add(batch, partition);
    }
    seen.retain(|_, seen| *seen != Seen::default());
    seen
}

/// Encodes what concerns a partition, checks what every encoding promises, and decodes it.
fn through_records(splitter: &Arc<Splitter>, batches: &[Arc<SplitBatch>], partition: u16) -> Vec<LogRecord> {
    let decoder = Decoder::new(splitter.clone()).unwrap();
    let mut waiting: Vec<u64> = Vec::new();
    let records = encode(batches, partition)
        .into_iter()
        .zip(100..)
        .map(|((tickets, value), offset)| {
            assert!(value.len() <= MAX_VALUE_BYTES, "{}", value.len());
            let record = decoder.decode(partition, offset, &value).unwrap();
            assert_eq!(
                (record.offset, record.now_ms),
                (offset, tickets[0] as Millis),
                "the oldest of them"
            );
            assert!(tickets.is_sorted_by(|a, b| a < b));
            waiting.extend(tickets);
            record
        });
    let records = records.collect();
    waiting.dedup();
    let concerned = batches
        .iter()
        .zip(0..)
        .filter(|(batch, _)| batch.partitions().contains(&partition));
    assert_eq!(waiting, concerned.map(|(_, ticket)| ticket).collect::<Vec<_>>());
    records
}

fn check_all(splitter: &Arc<Splitter>, batches: &[Arc<SplitBatch>]) {
    for partition in 0..PARTITIONS {
        let records = through_records(splitter, batches, partition);
        let read: Vec<_> = records.iter().flat_map(batches_of).collect();
        assert!(
            read.iter()
                .all(|batch| batch.refused.is_empty() && batch.body.is_empty())
        );
        assert!(
            read.iter()
                .flat_map(|b| &b.series)
                .all(|s| s.partition == partition),
            "a record is its partition's alone"
        );
        assert_eq!(seen(read.into_iter(), partition), seen(batches.iter(), partition));
    }
}

fn requests() -> impl Strategy<Value = Vec<(u8, u16, Vec<Series>, Vec<String>)>> {
    let time = prop_oneof![8 => -3000..3000_i64, 1 => any::<i64>()];
    let sample = (
        time,
        prop_oneof![Just(0.0), Just(1.0), any::<u64>().prop_map(f64::from_bits)],
    );
    let series = (0..6_u8, prop::collection::vec(sample, 1..5)).prop_map(|(number, samples)| {
        let (times, values) = samples.into_iter().unzip();
        (labels("requests_total", &format!("pod-{number}")), times, values)
    });
    let families = prop::collection::vec((0..4_u8).prop_map(|n| format!("family_{n}")), 0..3);
    let shards = prop::sample::select(vec![1, 2, PARTITIONS]);
    let request = (0..3_u8, shards, prop::collection::vec(series, 0..8), families);
    prop::collection::vec(request, 0..12)
}

proptest! {
    #[test]
    fn what_is_read_is_what_was_split(requests in requests()) {
        let splitter = splitter();
        let batches: Vec<_> = requests
            .iter()
            .map(|(number, shards, series, metadata)| batch(&splitter, uid(*number), *shards, series, metadata))
            .collect();
        check_all(&splitter, &batches);
        // A reader that has never met these labels.
        check_all(&self::splitter(), &batches);
    }

    /// Heads built from records equal heads built from the batches as they were split. An instance's shards only grow, and sections of a
    /// record lie in the order of their shards; here each instance keeps its number.
    #[test]
    fn heads_from_records_equal_heads_from_batches(requests in requests()) {
        let splitter = splitter();
        let batches: Vec<_> = requests
            .iter()
            .map(|(number, _, series, metadata)| {
                let shards = [1, 2, PARTITIONS][usize::from(*number) % 3];
                batch(&splitter, uid(*number), shards, series, metadata)
            })
            .collect();
        for partition in 0..PARTITIONS {
            let heads = [(); 2].map(|()| Head::new(partition, 1000).unwrap());
            let live = batches.iter().zip(0..).map(|(batch, offset)| LogRecord {
                offset,
                now_ms: 0,
                kind: RecordKind::write(batch.clone()),
            });
            let records: [Vec<_>; 2] = [live.collect(), through_records(&splitter, &batches, partition)];
            for (head, records) in heads.iter().zip(&records) {
                if !records.is_empty() {
                    Head::apply(&[head], records);
                }
                let windows = head.windows().into_iter().map(|window| window.window).collect();
                let kind = RecordKind::Seal { partition, windows };
                Head::apply(&[head], &[LogRecord { offset: 1000, now_ms: 0, kind }]);
            }
            let [a, b] = &heads;
            prop_assert_eq!((a.samples(), a.conflicts()), (b.samples(), b.conflicts()));
            for window in a.windows() {
                let cut = |head: &Head| {
                    let blocks = head.cut(window.window, 1000).unwrap();
                    blocks.into_iter().map(|block| (block.uid, block.samples, block.digest)).collect::<Vec<_>>()
                };
                prop_assert_eq!(cut(a), cut(b));
            }
            for number in 0..3 {
                let metadata = |head: &Head| {
                    let mut entries = head.metadata(uid(number));
                    entries.sort_by(|a, b| a.family.cmp(&b.family));
                    entries
                };
                prop_assert_eq!(metadata(a), metadata(b));
            }
        }
    }
}

/// Bytes that no compressor makes smaller.
fn noise(seed: u64) -> impl Iterator<Item = f64> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        f64::from_bits(state ^ state >> 29)
    })
}

#[test]
fn what_has_no_room_in_one_record_lies_in_several() {
    let splitter = splitter();
    let rows = 150_000;
    let series = |number: u64| -> Series {
        let times = (0..rows).map(|row| row * 15_000).collect();
        (
            labels("long", &number.to_string()),
            times,
            noise(number).take(rows as usize).collect(),
        )
    };
    let long: Vec<_> = (0..3)
        .map(|number| {
            batch(
                &splitter,
                uid(number as u8),
                1,
                &[series(number), series(number + 10)],
                &[],
            )
        })
        .collect();
    let partition = long[0].partitions()[0];
    let records = through_records(&splitter, &long[..1], partition);
    assert!(records.len() >= 5, "{} records", records.len());
    check_all(&splitter, &long);
}

#[test]
fn labels_that_fill_half_of_a_record_pass_and_longer_ones_are_refused() {
    let splitter = splitter();
    let series = |bytes: usize| {
        (
            labels("big", &"x".repeat(bytes)),
            vec![1; 40_000],
            vec![0.5; 40_000],
        )
    };
    let fits = batch(
        &splitter,
        uid(1),
        1,
        &[series(MAX_PLAIN_BYTES / 2 - 100)],
        &["f".repeat(400_000)],
    );
    check_all(&splitter, &[fits]);
    let too_long = batch(&splitter, uid(1), 1, &[series(MAX_PLAIN_BYTES / 2)], &[]);
    assert!(matches!(super::check(&too_long), Err(crate::Error::TooLarge(m)) if m.contains("labels")));
}

/// A section is read back as one request, whose metadata entries are bounded.
#[test]
fn metadata_of_many_requests_stays_readable() {
    let splitter = splitter();
    let families: Vec<_> = (0..MAX_METADATA_ENTRIES / 2 + 10)
        .map(|n| format!("{n:x}"))
        .collect();
    let many = |plain: &mut Vec<u8>| {
        for family in &families {
            put_metadata(plain, 0, family, "", "");
        }
    };
    let mut plain = Vec::new();
    many(&mut plain);
    let body = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
    let one = Arc::new(splitter.split(&body, Form::V1, uid(1), 1, &ANYTHING, 0).unwrap());
    let partition = one.partitions()[0];
    let all = vec![one; 3];
    let records = through_records(&splitter, &all, partition);
    let entries: usize = records
        .iter()
        .flat_map(batches_of)
        .map(|b| b.metadata.len())
        .sum();
    assert_eq!(entries, 3 * families.len());
}

#[test]
fn sections_of_one_instance_are_put_together() {
    let splitter = splitter();
    let all: Vec<_> = (0..30)
        .map(|n| small(&splitter, n % 3, &format!("m{n}")))
        .collect();
    for partition in 0..PARTITIONS {
        let records = through_records(&splitter, &all, partition);
        assert!(records.len() <= 1);
        let uids: Vec<_> = records.iter().flat_map(batches_of).map(|b| b.uid).collect();
        let distinct: std::collections::BTreeSet<_> = uids.iter().collect();
        assert_eq!(distinct.len(), uids.len(), "{uids:?}");
    }
    check_all(&splitter, &all);
}

#[test]
fn a_seal_marker_is_read_back() {
    let windows = vec![-7_200_000, 0, i64::MAX];
    let value = seal(5, &windows).unwrap();
    let record = Decoder::new(splitter()).unwrap().decode(5, 77, &value).unwrap();
    assert_eq!((record.offset, record.now_ms), (77, 0));
    let RecordKind::Seal {
        partition,
        windows: read,
    } = record.kind
    else {
        panic!("a seal")
    };
    assert_eq!((partition, read), (5, windows));
}

/// The bytes of a small record, written down by hand: readers of other releases depend on them.
#[test]
fn a_record_byte_by_byte() {
    let splitter = splitter();
    // Too little that repeats for compression to save anything.
    let owner = Uid(*b"0123456789abcdef");
    let mut up = Vec::new();
    put_label(&mut up, b"__name__", b"up");
    let one = batch(&splitter, owner, 8, &[(up, vec![1000], vec![0.1])], &[]);
    let partition = one.partitions()[0];
    let encoded = encode(&[one], partition);
    let column = |len: u8| [len, 0, 0, 0];
    let section = [
        &owner.0[..],
        &[8, 0],
        &[column(1), column(19), column(3), column(1), column(0)].concat(),
        &[0, 0, 16, 0x0a, 14, 0x0a, 8],
        b"__name__",
        &[0x12, 2],
        b"up",
        // One float, 1000 ms after 0, twice that since it is not negative.
        &[1 << 2, 0xd0, 0x0f],
        &0.1_f64.to_le_bytes(),
    ]
    .concat();
    let header = [
        &b"HRRC"[..],
        &[2, 1, 0, 0],
        &partition.to_le_bytes(),
        &[0, 0],
        &[section.len() as u8, 0, 0, 0],
        &[0; 8],
    ]
    .concat();
    let checksum = crc32c::crc32c(&[&header[..], &section].concat()).to_le_bytes();
    let expected = [&header[..], &checksum, &section].concat();
    assert_eq!(encoded, [(vec![0], expected)]);
}

/// What the first format had of an instance was a message of remote write.
#[test]
fn a_record_of_the_first_format_is_read() {
    let splitter = splitter();
    let series: Vec<Series> = (0..5)
        .map(|n| (labels("up", &n.to_string()), vec![n, n + 1], vec![0.5, 1.5]))
        .collect();
    let one = batch(&splitter, uid(1), 1, &series, &["family".to_owned()]);
    let partition = one.partitions()[0];
    let mut message = Vec::new();
    for (labels, times, values) in &series {
        put_series(&mut message, labels, times, values);
    }
    put_metadata(&mut message, 1, "family", "help", "unit");
    let section = [
        &uid(1).0[..],
        &[1, 0],
        &(message.len() as u32).to_le_bytes(),
        &message,
    ]
    .concat();
    let value = forged(1, 1, partition, &section.repeat(2));
    let decoder = Decoder::new(splitter).unwrap();
    let record = decoder.decode(partition, 0, &value).unwrap();
    let twice = [one.clone(), one];
    assert_eq!(
        seen(batches_of(&record).iter(), partition),
        seen(twice.iter(), partition)
    );
}

/// Everything that a series may have, and what is no series.
#[test]
fn starts_histograms_exemplars_and_pushes_are_read_back() {
    let splitter = splitter();
    let (times, values) = ([1000, 2000, 1500], [0.5, f64::NAN, 0.0]);
    let mut bytes = Vec::new();
    let histograms: Vec<_> = (0..3)
        .map(|n| {
            let message = histogram_message(3000 + n, n, &Histogram::default(), false);
            bytes.extend_from_slice(&message);
            BatchHistogram {
                time: 3000 + n,
                bytes: ((bytes.len() - message.len()) as u32, message.len() as u32),
            }
        })
        .collect();
    let mut plain = Vec::new();
    let mut trace = Vec::new();
    put_label(&mut trace, b"trace_id", b"1");
    for number in 0..8_u8 {
        let labels = labels("all", &number.to_string());
        let floats = usize::from(number & 1) * 3;
        let rows = Rows {
            times: &times[..floats],
            values: &values[..floats],
            starts: if number & 2 == 0 {
                &[]
            } else {
                &[7, 0, 900][..floats]
            },
            histograms: if number & 4 == 0 && floats > 0 {
                &[]
            } else {
                &histograms
            },
            bytes: &bytes,
        };
        put_rows(&mut plain, &labels, &rows);
        put_exemplar(&mut plain, &labels, &trace, 1000, 0.25);
    }
    let body = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
    let mut one = splitter.split(&body, Form::V1, uid(1), 1, &ANYTHING, 0).unwrap();
    assert!(one.refused.is_empty(), "{:?}", one.refused);
    let partition = one.partitions()[0];
    let mut operation = vec![0x08, 3];
    crate::push::operation::put_partition(&mut operation, partition);
    one.pushes.push(PushEntry { partition, operation });
    let one = Arc::new(one);

    let records = through_records(&splitter, std::slice::from_ref(&one), partition);
    let [read] = batches_of(&records[0]) else {
        panic!("one section")
    };
    assert_eq!(read.series.len(), 8);
    let all = |batch: &SplitBatch| {
        let mut label_sets = batch.label_sets();
        let series = batch.series.iter().map(|series| {
            let rows = batch.rows_of(series);
            let bits: Vec<_> = rows.values.iter().map(|value| value.to_bits()).collect();
            let starts = if rows.starts.iter().all(|&start| start == 0) {
                Vec::new()
            } else {
                rows.starts.to_vec()
            };
            let histograms = rows
                .histograms
                .iter()
                .map(|h| (h.time, h.message(rows.bytes).to_vec()));
            let samples = (rows.times.to_vec(), bits, starts, histograms.collect::<Vec<_>>());
            (series.key, label_sets.of(series).to_vec(), samples)
        });
        let exemplars = batch.exemplars.iter().map(|exemplar| {
            let (series, labels) = batch.exemplar_labels(exemplar);
            (exemplar.key, series.to_vec(), labels.to_vec(), exemplar.time)
        });
        (
            series.collect::<Vec<_>>(),
            exemplars.collect::<Vec<_>>(),
            batch.pushes.clone(),
        )
    };
    assert_eq!(all(read), all(&one));
}
