//! The live tail and the disk give equal records, also when a reader lags behind what memory may hold.

use super::*;
use crate::wire::encode::{put_bytes, put_label, put_metadata, put_series};
use crate::wire::{Form, Splitter, WriteLimits};

const UID: Uid = Uid([3; 16]);
const SHARDS: u16 = 4;

/// A compressed request of some series and a metadata entry; every seventh request holds a series that is refused.
fn request(number: u64) -> Vec<u8> {
    let mut plain = Vec::new();
    for series in 0..20 {
        let mut labels = Vec::new();
        put_label(&mut labels, b"__name__", b"requests_total");
        put_label(&mut labels, b"pod", format!("pod-{series}").as_bytes());
        if number % 7 == 6 && series == 11 {
            put_label(&mut labels, b"pod", b"twice");
        }
        let times = [number as i64 * 1000, number as i64 * 1000 + 1];
        put_series(
            &mut plain,
            &labels,
            &times,
            &[f64::from(series), f64::from_bits(crate::model::STALE_BITS)],
        );
    }
    put_metadata(&mut plain, 1, "requests_total", "help", "");
    put_bytes(&mut plain, 0x7a, b"an unknown field");
    snap::raw::Encoder::new().compress_vec(&plain).unwrap()
}

fn batch_of(record: &LogRecord) -> &SplitBatch {
    match &record.kind {
        RecordKind::Write { batches } => match batches.as_slice() {
            [batch] => batch,
            _ => panic!("one request"),
        },
        RecordKind::Seal { .. } => panic!("a write"),
    }
}

/// What a head sees of a record.
fn columns(record: &LogRecord) -> impl PartialEq + std::fmt::Debug + use<> {
    let batch = batch_of(record);
    let mut label_sets = batch.label_sets();
    let series: Vec<_> = batch
        .series
        .iter()
        .map(|s| {
            let (times, values) = batch.samples_of(s);
            let bits: Vec<_> = values.iter().map(|v| v.to_bits()).collect();
            (
                s.partition,
                s.key,
                label_sets.of(s).to_vec(),
                times.to_vec(),
                bits,
            )
        })
        .collect();
    (
        record.offset,
        record.now_ms,
        batch.uid,
        batch.shards,
        series,
        batch.metadata.clone(),
    )
}

fn open_with_splitter(files: &SimulatedFiles, options: LogOptions) -> (Engine, Arc<Splitter>) {
    let splitter = Arc::new(Splitter::new(b"secret", 8, 1 << 20).unwrap());
    let replay = {
        let splitter = splitter.clone();
        Box::new(move |body: &[u8], form, uid, shards| splitter.replay(body, form, uid, shards))
    };
    (
        Engine::open(Arc::new(files.clone()), Path::new("log"), options, replay).unwrap(),
        splitter,
    )
}

fn append(log: &Engine, splitter: &Splitter, number: u64) {
    let limits = WriteLimits {
        max_age_ms: None,
        max_future_ms: None,
        ..WriteLimits::default()
    };
    let batch = splitter
        .split(&request(number), Form::V1, UID, SHARDS, &limits, 0)
        .unwrap();
    assert_eq!(batch.refused.is_empty(), number % 7 != 6);
    log.append(Arc::new(batch), number as i64).unwrap();
    log.commit();
}

#[test]
fn handover_and_replay_give_equal_batches() {
    let files = SimulatedFiles::new(1);
    let (log, splitter) = open_with_splitter(&files, LogOptions::default());
    for number in 0..30 {
        append(&log, &splitter, number);
    }
    let live = log.read(0, 100, Duration::ZERO).unwrap();
    let replayed = log.read(0, 100, Duration::ZERO).unwrap();
    drop(log);
    let reopened = read_all(&open_with_splitter(&files, LogOptions::default()).0, 0).unwrap();
    assert_eq!(live.len(), 30);
    for ((a, b), c) in live.iter().zip(&replayed).zip(&reopened) {
        assert_eq!(columns(a), columns(b));
        assert_eq!(columns(a), columns(c));
    }
    let (a, b) = (batch_of(&live[0]), batch_of(&replayed[0]));
    assert!(
        !a.body.is_empty() && b.body.is_empty(),
        "one from memory, one from disk"
    );
}

#[test]
fn a_lagging_reader_gets_every_record_once_in_bounded_memory() {
    for step in [1, 3, 50] {
        let options = LogOptions {
            queue_bytes: 20_000,
            tail_bytes: 20_000,
            segment_bytes: 8192,
        };
        let (log, splitter) = open_with_splitter(&SimulatedFiles::new(1), options);
        let mut seen = Vec::new();
        for number in 0..120 {
            append(&log, &splitter, number);
            assert!(log.live_bytes() <= 20_000, "{}", log.live_bytes());
            if number % 10 == 9 {
                seen.extend(log.read(seen.len() as u64, step, Duration::ZERO).unwrap());
            }
        }
        while (seen.len() as u64) < log.committed() {
            seen.extend(log.read(seen.len() as u64, step, Duration::ZERO).unwrap());
        }
        assert_eq!(log.live_bytes(), 0);
        let from_disk = seen.iter().filter(|r| batch_of(r).body.is_empty());
        assert!(
            (1..120).contains(&from_disk.count()),
            "some from memory, some from disk"
        );
        for (offset, record) in seen.iter().enumerate() {
            assert_eq!(record.offset, offset as u64);
            let again = log.read(record.offset, 1, Duration::ZERO).unwrap();
            assert_eq!(columns(record), columns(&again[0]));
        }
    }
}
