//! Applying, querying, cutting and releasing at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Head;
use super::expected::{UIDS, WIDTH, Write, batch, matchers};
use crate::engine::{Limits, QueryContext};
use crate::log::{LogRecord, RecordKind};
use crate::model::Millis;
use crate::select::{HeadSearch, Selection};

/// Each scrape gives every series the value that is its number, at the time that is its number.
fn scrape(number: u64) -> LogRecord {
    let samples = vec![(number as Millis, number as f64)];
    let writes: Vec<_> = (0..5)
        .map(|set| Write {
            set,
            reversed: false,
            samples: samples.clone(),
            histograms: Vec::new(),
            start: 0,
        })
        .collect();
    LogRecord {
        offset: number,
        now_ms: 0,
        kind: RecordKind::write(Arc::new(batch(0, &writes))),
    }
}

/// Every sample applied before a query began is in its answer unless it was released, and no answer is torn.
fn check(head: &Head, applied: i64) {
    let context = Arc::new(QueryContext::new(Limits::default()));
    let search = HeadSearch {
        fold: None,
        context: Arc::clone(&context),
        uid: UIDS[0],
        matchers: matchers(1),
        range: (0, Millis::MAX),
    };
    let part = search.parts(&[head], None).unwrap().pop().unwrap();
    let mut selection = Selection::new(context, matchers(1), 0, Millis::MAX).unwrap();
    if let Some(part) = part {
        selection.add_part(*part).unwrap();
    }
    let set = selection.finish().unwrap();
    let mut reader = set.source.reader();
    for row in 0..set.len() {
        let samples = reader.read(row, 0, Millis::MAX).unwrap();
        assert!(
            samples
                .times
                .iter()
                .zip(samples.values)
                .all(|(&time, &value)| time as f64 == value)
        );
        assert!(samples.times.windows(2).all(|pair| pair[0] + 1 == pair[1]));
        assert!(samples.times.last().is_none_or(|&last| last >= applied));
    }
}

#[test]
fn queries_and_cuts_run_beside_the_applier() {
    const SCRAPES: u64 = 20_000;
    let head = Head::new(0, WIDTH).unwrap();
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..SCRAPES {
                Head::apply(&[&head], [&scrape(number)]);
            }
            let windows = (0..SCRAPES as Millis / WIDTH).map(|n| n * WIDTH).collect();
            let kind = RecordKind::Seal {
                partition: 0,
                windows,
            };
            Head::apply(
                &[&head],
                [&LogRecord {
                    offset: SCRAPES,
                    now_ms: 0,
                    kind,
                }],
            );
            is_done.store(true, Ordering::Release);
        });
        scope.spawn(|| {
            while !is_done.load(Ordering::Acquire) {
                let applied = head.samples() / 5;
                check(&head, applied as i64 - 1);
            }
        });
    });
    assert_eq!(head.samples(), SCRAPES * 5);
    is_done.store(false, Ordering::Release);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for window in head.windows() {
                let sealed = window.sealed.unwrap();
                let blocks = head.cut(window.window, sealed).unwrap();
                assert_eq!(
                    blocks.iter().map(|block| block.samples).sum::<u64>(),
                    5 * WIDTH as u64
                );
                head.release(window.window, sealed);
            }
            is_done.store(true, Ordering::Release);
        });
        scope.spawn(|| {
            while !is_done.load(Ordering::Acquire) {
                check(&head, SCRAPES as i64 - 1);
            }
        });
    });
    assert_eq!((head.series(), head.samples()), (0, 0));
}
