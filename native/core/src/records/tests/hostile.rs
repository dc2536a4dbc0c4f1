//! Bytes that were not written so.

use proptest::prelude::*;

use super::*;
use crate::Error;
use crate::records::format::{HEADER_BYTES, forge};
use crate::wire::front::FrontWriter;

fn decoder() -> Decoder {
    Decoder::new(splitter()).unwrap()
}

/// A compressed record of several instances, and its partition.
fn record() -> (u16, Vec<u8>) {
    let splitter = splitter();
    let series: Vec<_> = (0..200)
        .map(|n| {
            (
                labels("requests_total", &n.to_string()),
                vec![n, n + 1],
                vec![0.5, 1.5],
            )
        })
        .collect();
    let all: Vec<_> = (0..3)
        .map(|n| batch(&splitter, uid(n), 1, &series, &["family".to_owned()]))
        .collect();
    let partition = all[0].partitions()[0];
    let (_, value) = encode(&all, partition).remove(0);
    (partition, value)
}

fn is_corrupt(result: &crate::Result<LogRecord>, what: &str) -> bool {
    matches!(result, Err(Error::Corrupt(m)) if m.contains(what))
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), partition in any::<u16>()) {
        prop_assert!(is_corrupt(&decoder().decode(partition, 0, &bytes), ""));
    }

    /// Changed on the way, or on a disk.
    #[test]
    fn a_changed_record_is_corrupt(at in any::<prop::sample::Index>(), flip in 1..=255_u8, cut in any::<prop::sample::Index>()) {
        let (partition, mut value) = record();
        let at = at.index(value.len());
        value[at] ^= flip;
        prop_assert!(is_corrupt(&decoder().decode(partition, 0, &value), ""));
        value[at] ^= flip;
        value.truncate(cut.index(value.len()));
        prop_assert!(is_corrupt(&decoder().decode(partition, 0, &value), ""));
    }

    /// Written so by somebody who knows the checksum: whatever it says, it neither panics nor takes more memory than a record may.
    #[test]
    fn a_forged_record_is_an_answer(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), head in any::<bool>()) {
        let (partition, mut value) = record();
        let reach = if head { HEADER_BYTES + 64 } else { value.len() };
        for (at, byte) in changes {
            value[at.index(reach)] = byte;
        }
        forge(&mut value);
        let _ = decoder().decode(partition, 0, &value);
    }

    /// Payloads of any bytes, not compressed, so that sections are what they please.
    #[test]
    fn any_payload_is_an_answer(payload in prop::collection::vec(any::<u8>(), 0..300), seal in any::<bool>(), version in 1..=2_u8) {
        let _ = decoder().decode(3, 0, &forged(version, 1 + u8::from(seal), 3, &payload));
    }

    /// A section whose head fits, with columns of any bytes.
    #[test]
    fn any_columns_are_an_answer(
        labels in prop::collection::vec(0..9_u8, 0..60),
        rows in prop::collection::vec(0..9_u8, 0..60),
        series in 0..20_u32,
        floats in 0..20_u32,
    ) {
        let numbers = [series, labels.len() as u32, rows.len() as u32, floats, 0];
        let payload = section(numbers, &[&labels, &rows, &vec![7; floats as usize * 8]]);
        if let Ok(record) = decoder().decode(3, 0, &forged(2, 1, 3, &payload)) {
            for batch in batches_of(&record) {
                prop_assert_eq!(batch.times.len(), batch.values.len());
                let mut label_sets = batch.label_sets();
                for series in &batch.series {
                    let found = label_sets.of(series).len();
                    prop_assert!(!series.is_empty() && found == series.labels.1 as usize && found <= labels.len());
                }
            }
        }
    }
}

/// A section of what its head says: series, bytes of labels and rows, floats, bytes of the message.
fn section(numbers: [u32; 5], columns: &[&[u8]]) -> Vec<u8> {
    let numbers = numbers.map(u32::to_le_bytes).concat();
    [&[1; 16][..], &[1, 0], &numbers, &columns.concat()].concat()
}

/// A record that is not compressed.
pub fn forged(version: u8, kind: u8, partition: u16, payload: &[u8]) -> Vec<u8> {
    let mut value = seal(partition, &[]).unwrap();
    value[4..6].copy_from_slice(&[version, kind]);
    value[12..16].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    value.extend_from_slice(payload);
    forge(&mut value);
    value
}

#[test]
fn a_later_format_is_unsupported_and_a_flipped_bit_there_is_not() {
    let (partition, good) = record();
    for (at, byte) in [(4, 0), (4, 3), (4, 255), (5, 3), (6, 2)] {
        let mut value = good.clone();
        value[at] = byte;
        assert!(is_corrupt(&decoder().decode(partition, 4, &value), "checksum"));
        forge(&mut value);
        let error = decoder().decode(partition, 4, &value).unwrap_err();
        assert!(
            matches!(&error, Error::Unsupported(m) if m.contains(&format!("record 4 of partition {partition}"))),
            "{error}"
        );
    }
}

#[test]
fn a_record_of_another_partition_is_corrupt() {
    let (partition, value) = record();
    let other = (partition + 1) % PARTITIONS;
    assert!(is_corrupt(
        &decoder().decode(other, 0, &value),
        &format!("for partition {partition}")
    ));
}

#[test]
fn declared_sizes_are_not_believed() {
    let (partition, good) = record();
    // More than the payload could hold, more than a record may, and less than it does.
    for (declared, what) in [(0, "does not decompress"), (7_000_000, "the header says")] {
        let mut value = good.clone();
        value[12..16].copy_from_slice(&u32::to_le_bytes(declared));
        forge(&mut value);
        assert!(
            is_corrupt(&decoder().decode(partition, 0, &value), what),
            "{declared}"
        );
    }
    let mut value = good.clone();
    value[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
    forge(&mut value);
    assert!(matches!(
        decoder().decode(partition, 0, &value),
        Err(Error::Unsupported(_))
    ));
    let mut tiny = good[..HEADER_BYTES + 10].to_vec();
    tiny[12..16].copy_from_slice(&u32::to_le_bytes(8 << 20));
    forge(&mut tiny);
    assert!(is_corrupt(&decoder().decode(partition, 0, &tiny), "cannot hold"));
}

#[test]
fn sections_that_lie_are_corrupt() {
    let float = &7_u64.to_le_bytes()[..];
    let sample = [0x12, 2, 0x10, 1];
    let series_of_one_sample = [&[0x0a, 4][..], &sample].concat();
    for (payload, what) in [
        (vec![0; 37], "left for a section"),
        (section([0, 1, 0, 0, 0], &[]), "a column of 1 bytes with 0 left"),
        (
            section([0, 0, 0, u32::MAX, 0], &[float]),
            "a column of 34359738360 bytes with 8 left",
        ),
        (
            section([0, 1, 0, 0, 0], &[b"x"]),
            "do not hold 0 series with 0 floats",
        ),
        (
            section([2, 3, 1, 0, 0], &[&[0, 0, 0], &[4]]),
            "do not hold 2 series",
        ),
        (
            section([1, 3, 1, 0, 0], &[&[0, 0, 0], &[4]]),
            "1 floats where 0 are left",
        ),
        (section([1, 3, 1, 0, 0], &[&[0, 0, 0], &[0]]), "without samples"),
        (section([1, 3, 1, 1, 0], &[&[0, 0, 0], &[4], float]), "a varint"),
        (
            section([1, 3, 2, 2, 0], &[&[0, 0, 0], &[4, 2], float, float]),
            "do not hold 1 series with 2 floats",
        ),
        (
            section([1, 3, 2, 1, 0], &[&[0, 1, 0], &[4, 2], float]),
            "end with 1 bytes of 0",
        ),
        (
            section([1, 4, 2, 1, 0], &[&[0, 0, 2, b'x'], &[4, 2], float]),
            "declares 2 bytes and 1 are left",
        ),
        (
            section([1, 3, 3, 0, 0], &[&[0, 0, 0], &[2, 1, 5]]),
            "declares 5 bytes and 0 are left",
        ),
        (
            section([0, 0, 0, 0, 6], &[&series_of_one_sample]),
            "samples beside the columns",
        ),
    ] {
        let result = decoder().decode(3, 0, &forged(2, 1, 3, &payload));
        assert!(is_corrupt(&result, what), "{what}: {result:?}");
    }
    assert!(is_corrupt(
        &decoder().decode(3, 0, &forged(2, 2, 3, &[0; 9])),
        "multiple of 8"
    ));
}

#[test]
fn sections_of_the_first_format_that_lie_are_corrupt() {
    let section = |len: u32, bytes: &[u8]| [&[1; 16][..], &[1, 0], &len.to_le_bytes(), bytes].concat();
    for (payload, what) in [
        (vec![0; 21], "left for a section"),
        (section(0, b""), "a section of 0 bytes"),
        (section(5, b"1234"), "a section of 5 bytes with 4 left"),
        (section(u32::MAX, b"1234"), "a section of 4294967295 bytes"),
        (section(4, b"1234"), ""),
    ] {
        let result = decoder().decode(3, 0, &forged(1, 1, 3, &payload));
        assert!(is_corrupt(&result, what), "{what}: {result:?}");
    }
}

/// Few bytes that stand for many: labels that repeat what came before them, again and again.
#[test]
fn labels_that_multiply_are_not_put_together() {
    let long = vec![b'x'; 200_000];
    let mut labels = Vec::new();
    let mut front = FrontWriter::default();
    let count = 100;
    (0..count).for_each(|_| front.put(&mut labels, &long));
    let rows = [4, 0].repeat(count);
    let values = vec![0; 8 * count];
    let numbers = [count, labels.len(), rows.len(), count, 0].map(|number| number as u32);
    let payload = section(numbers, &[&labels, &rows, &values]);
    let error = decoder().decode(3, 0, &forged(2, 1, 3, &payload)).unwrap_err();
    assert!(
        matches!(&error, Error::Unsupported(m) if m.contains("more bytes than this build reads")),
        "{error}"
    );
}
