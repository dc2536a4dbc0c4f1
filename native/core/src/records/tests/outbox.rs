//! What waits, for whom, and for how long.

use std::io::ErrorKind;
use std::time::Duration;

use super::*;
use crate::Error;

const LONG: Duration = Duration::from_secs(60);
const AT_ONCE: OutboxOptions = OutboxOptions {
    queue_bytes: 1 << 20,
    linger: Duration::ZERO,
    max_linger: Duration::ZERO,
    rest: Duration::ZERO,
    records_per_second: 500,
    deadline: LONG,
};

fn take(outbox: &Outbox) -> Vec<Outgoing> {
    outbox.take(LONG).unwrap()
}

/// By partition.
type Offsets = Vec<(u16, u64)>;

/// Everything that was finished, as tickets with their offsets or `None`.
fn finished(outbox: &Outbox) -> Vec<(u64, Option<Offsets>)> {
    outbox
        .finished()
        .into_iter()
        .map(|f| (f.ticket, f.outcome.ok()))
        .collect()
}

/// A request with a series in several partitions.
fn wide(splitter: &Splitter) -> Arc<SplitBatch> {
    let series: Vec<_> = (0..40)
        .map(|n| (labels("wide", &n.to_string()), vec![n], vec![0.5]))
        .collect();
    batch(splitter, uid(1), PARTITIONS, &series, &[])
}

#[test]
fn a_ticket_is_finished_when_all_of_its_records_are_durable() {
    let splitter = splitter();
    let outbox = Outbox::new(AT_ONCE).unwrap();
    let batch = wide(&splitter);
    let ticket = outbox.add(&batch, 0).unwrap();
    let records = take(&outbox);
    let mut partitions: Vec<_> = records.iter().map(|r| r.partition).collect();
    partitions.sort_unstable();
    assert_eq!(partitions, batch.partitions());
    assert!(partitions.len() > 2);
    let (last, others) = records.split_last().unwrap();
    for record in others {
        outbox.acked(record.id, u64::from(record.partition) + 50);
        assert_eq!(finished(&outbox), []);
    }
    assert_eq!(outbox.waiting(), 1);
    assert!(outbox.held_bytes() > 40 * 12, "what is written of it is held");
    outbox.acked(last.id, u64::from(last.partition) + 50);
    let offsets: Offsets = partitions.iter().map(|&p| (p, u64::from(p) + 50)).collect();
    let [(finished, Some(mut told))] = <[_; 1]>::try_from(finished(&outbox)).unwrap() else {
        panic!("durable")
    };
    told.sort_unstable();
    assert_eq!((finished, told), (ticket, offsets));
    assert_eq!((outbox.waiting(), outbox.held_bytes()), (0, 0));
}

#[test]
fn one_record_that_fails_fails_the_ticket_once_and_no_other() {
    let splitter = splitter();
    let outbox = Outbox::new(AT_ONCE).unwrap();
    let bad = outbox.add(&wide(&splitter), 0).unwrap();
    let records = take(&outbox);
    let good = outbox.add(&small(&splitter, 2, "good"), 0).unwrap();
    let [other] = &take(&outbox)[..] else {
        panic!("one record")
    };
    outbox.failed(records[0].id, "away");
    let told = outbox.finished();
    assert_eq!(told[0].ticket, bad);
    assert_eq!(told[0].outcome, Err("away".to_owned()));
    outbox.failed(records[1].id, "away");
    for record in &records[2..] {
        outbox.acked(record.id, 1);
    }
    outbox.acked(records[0].id, 1);
    outbox.acked(other.id, 7);
    assert_eq!(finished(&outbox), [(good, Some(vec![(other.partition, 7)]))]);
    assert_eq!((outbox.waiting(), outbox.held_bytes()), (0, 0));
}

#[test]
fn requests_that_come_together_share_records_and_outcomes() {
    let splitter = splitter();
    let outbox = Outbox::new(AT_ONCE).unwrap();
    let tickets: Vec<_> = (0..5)
        .map(|n| outbox.add(&small(&splitter, n, "m"), 0).unwrap())
        .collect();
    let records = take(&outbox);
    assert!(records.len() <= usize::from(PARTITIONS));
    for record in &records {
        outbox.acked(record.id, 3);
    }
    let mut done: Vec<_> = finished(&outbox).into_iter().map(|(ticket, _)| ticket).collect();
    done.sort_unstable();
    assert_eq!(done, tickets);
}

#[test]
fn a_large_request_waits_for_all_records_of_a_partition_and_names_the_last() {
    let splitter = splitter();
    let outbox = Outbox::new(AT_ONCE).unwrap();
    let times: Vec<_> = (0..150_000).collect();
    let values = times.iter().map(|&t| (t as f64).sin()).collect();
    let before = outbox.add(&small(&splitter, 1, "before"), 0).unwrap();
    outbox.acked(take(&outbox)[0].id, 1);
    assert_eq!(finished(&outbox).len(), 1);
    let large = batch(&splitter, uid(1), 1, &[(labels("long", ""), times, values)], &[]);
    let ticket = outbox.add(&large, 0).unwrap();
    assert!(ticket > before);
    let records = take(&outbox);
    assert!(records.len() > 2);
    for (record, offset) in records.iter().zip(10..).collect::<Vec<_>>().into_iter().rev() {
        assert_eq!(finished(&outbox), []);
        outbox.acked(record.id, offset);
    }
    let last = 9 + records.len() as u64;
    assert_eq!(
        finished(&outbox),
        [(ticket, Some(vec![(records[0].partition, last)]))]
    );
}

#[test]
fn a_seal_marker_comes_behind_what_was_queued_before_it() {
    let splitter = splitter();
    let outbox = Outbox::new(AT_ONCE).unwrap();
    let batch = small(&splitter, 1, "m");
    let partition = batch.partitions()[0];
    let write = outbox.add(&batch, 0).unwrap();
    let marker = outbox.add_seal(partition, vec![0]).unwrap();
    let records = take(&outbox);
    let decoder = Decoder::new(splitter).unwrap();
    let kinds: Vec<_> = records
        .iter()
        .map(|r| {
            matches!(
                decoder.decode(partition, 0, &r.value).unwrap().kind,
                RecordKind::Seal { .. }
            )
        })
        .collect();
    assert_eq!(kinds, [false, true]);
    outbox.acked(records[0].id, 5);
    outbox.acked(records[1].id, 6);
    assert_eq!(
        finished(&outbox),
        [
            (write, Some(vec![(partition, 5)])),
            (marker, Some(vec![(partition, 6)]))
        ]
    );
}

#[test]
fn parts_wait_for_others_and_a_full_record_does_not() {
    let splitter = splitter();
    let outbox = Outbox::new(OutboxOptions {
        queue_bytes: usize::MAX,
        linger: LONG,
        max_linger: LONG,
        ..AT_ONCE
    })
    .unwrap();
    let small = small(&splitter, 1, "m");
    outbox.add(&small, 0).unwrap();
    assert_eq!(outbox.take(Duration::from_millis(1)), Some(vec![]));
    let times: Vec<_> = (0..150_000).collect();
    let long = (0..20).map(|n| {
        (
            labels("long", &n.to_string()),
            times.clone(),
            vec![0.5; times.len()],
        )
    });
    let long = long.collect::<Vec<_>>();
    let large = long
        .iter()
        .map(|series| batch(&splitter, uid(1), PARTITIONS, std::slice::from_ref(series), &[]))
        .find(|batch| batch.partitions() != small.partitions())
        .unwrap();
    outbox.add(&large, 0).unwrap();
    let records = take(&outbox);
    assert!(records.iter().all(|r| [r.partition] == *large.partitions()));
    assert_eq!(outbox.take(Duration::from_millis(1)), Some(vec![]));
    outbox.close();
    assert_eq!(take(&outbox).len(), 2, "what is left is due when it closes");
    assert_eq!(outbox.take(LONG), None);
    assert!(matches!(outbox.add(&small, 0), Err(Error::Io { .. })));
}

/// After many records the next ones wait longer, so that a second sees no more than it should; the first do not.
#[test]
fn many_records_keep_the_next_ones_waiting() {
    let splitter = splitter();
    let sparing = OutboxOptions {
        linger: Duration::from_millis(1),
        max_linger: LONG,
        records_per_second: 1,
        ..AT_ONCE
    };
    let outbox = Outbox::new(sparing).unwrap();
    outbox.add(&wide(&splitter), 0).unwrap();
    assert!(take(&outbox).len() > 2, "after a pause nothing has to wait");
    outbox.add(&wide(&splitter), 0).unwrap();
    assert_eq!(
        outbox.take(Duration::from_millis(20)),
        Some(vec![]),
        "seconds, for as many as were sent"
    );
    let outbox = Outbox::new(OutboxOptions {
        max_linger: Duration::from_millis(1),
        ..sparing
    })
    .unwrap();
    for _ in 0..2 {
        outbox.add(&wide(&splitter), 0).unwrap();
        assert!(!take(&outbox).is_empty(), "never longer than it may");
    }
}

/// However few the records of a sending are, the next one comes after a rest; one after a pause does not wait for it.
#[test]
fn sendings_keep_apart() {
    let splitter = splitter();
    let small = small(&splitter, 1, "m");
    let outbox = Outbox::new(OutboxOptions {
        max_linger: LONG,
        rest: LONG,
        ..AT_ONCE
    })
    .unwrap();
    outbox.add(&small, 0).unwrap();
    assert_eq!(take(&outbox).len(), 1);
    outbox.add(&small, 0).unwrap();
    assert_eq!(outbox.take(Duration::from_millis(20)), Some(vec![]));
    outbox.close();
    assert_eq!(take(&outbox).len(), 1, "what is left is due when it closes");
}

#[test]
fn what_waits_is_bounded_and_what_fails_makes_room_when_its_records_are_done() {
    let splitter = splitter();
    let batch = small(&splitter, 1, "m");
    let bounded = |queue_bytes| {
        let options = OutboxOptions {
            queue_bytes,
            ..AT_ONCE
        };
        Outbox::new(options).unwrap()
    };
    let alone = bounded(usize::MAX);
    alone.add(&batch, 0).unwrap();
    // A request counts with all of its labels until it is written.
    let outbox = bounded(alone.held_bytes() + batch.labels.len());
    outbox.add(&batch, 0).unwrap();
    outbox.add(&batch, 0).unwrap();
    let full = |outbox: &Outbox| matches!(outbox.add(&batch, 0), Err(Error::Io { source, .. }) if source.kind() == ErrorKind::WouldBlock);
    assert!(full(&outbox));
    let [record] = &take(&outbox)[..] else {
        panic!("one record")
    };
    assert!(full(&outbox), "sent is not durable");
    outbox.failed(record.id, "away");
    assert_eq!(finished(&outbox).len(), 2);
    assert!(!full(&outbox));
    let tiny = bounded(1);
    assert!(
        tiny.add(&batch, 0).is_ok(),
        "an empty outbox takes a request of any size"
    );
}

#[test]
fn an_old_ticket_is_given_up_and_its_memory_counted_until_its_record_is_done() {
    let splitter = splitter();
    let outbox = Outbox::new(OutboxOptions {
        deadline: Duration::ZERO,
        ..AT_ONCE
    })
    .unwrap();
    let ticket = outbox.add(&small(&splitter, 1, "m"), 0).unwrap();
    let [record] = &take(&outbox)[..] else {
        panic!("one record")
    };
    outbox.expire();
    outbox.expire();
    assert_eq!(finished(&outbox), [(ticket, None)]);
    assert!(outbox.held_bytes() > 0);
    outbox.acked(record.id, 1);
    assert_eq!(finished(&outbox), []);
    assert_eq!((outbox.waiting(), outbox.held_bytes()), (0, 0));
}

#[test]
fn threads_that_add_and_one_that_sends_lose_nothing() {
    let splitter = splitter();
    let outbox = Outbox::new(OutboxOptions {
        queue_bytes: usize::MAX,
        linger: Duration::from_micros(100),
        max_linger: Duration::from_millis(1),
        ..AT_ONCE
    })
    .unwrap();
    let batch = wide(&splitter);
    let tickets = std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let mut offset = 0;
            while let Some(records) = outbox.take(LONG) {
                for record in records {
                    offset += 1;
                    outbox.acked(record.id, offset);
                }
            }
        });
        let adders: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    (0..100)
                        .map(|_| outbox.add(&batch, 0).unwrap())
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        let mut tickets: Vec<_> = adders
            .into_iter()
            .flat_map(|adder| adder.join().unwrap())
            .collect();
        outbox.close();
        sender.join().unwrap();
        tickets.sort_unstable();
        tickets
    });
    let mut done = finished(&outbox);
    done.sort();
    assert!(done.iter().all(|(_, offsets)| {
        offsets
            .as_ref()
            .is_some_and(|o| o.len() == batch.partitions().len())
    }));
    assert_eq!(
        done.into_iter().map(|(ticket, _)| ticket).collect::<Vec<_>>(),
        tickets
    );
    assert_eq!(outbox.held_bytes(), 0);
}
