//! Bytes that nobody wrote. What was written comes back: the property test of heads sends every part that it selects.

use std::sync::Arc;

use proptest::prelude::*;

use super::{Incoming, Outgoing};
use crate::Error;
use crate::engine::{Fold, FoldOp, Grid, Limits, Options, QueryContext, RowPlan, Selector};
use crate::head::Head;
use crate::head::expected::{UIDS, WIDTH, Write, batch, matchers};
use crate::kernel::{Instant, Shown};
use crate::log::{LogRecord, RecordKind};
use crate::model::{Millis, SampleSource};
use crate::select::{HeadPart, HeadSearch, NamesSearch};

fn context(bytes: u64) -> Arc<QueryContext> {
    let limits = Limits {
        bytes,
        ..Limits::default()
    };
    let options = Options {
        uses_starts: true,
        ..Options::default()
    };
    Arc::new(QueryContext::with_options(limits, options))
}

/// Series with encoded and plain values, shared axes and axes of their own, in three windows; with starts; and native histograms,
/// of which there are no partial results.
fn head(with_histograms: bool) -> Head {
    let head = Head::new(0, WIDTH).unwrap();
    for number in 0..60_u64 {
        let jitter = (number * 7 % 5) as Millis;
        let writes: Vec<_> = (0..5)
            .filter(|set| number % 9 != *set as u64)
            .map(|set| Write {
                set,
                reversed: false,
                samples: vec![(number as Millis * 45 + jitter, number as f64 / 8.0 + set as f64)],
                histograms: if with_histograms && set == 1 {
                    vec![(number as Millis * 45 + 20, number as u32 * 4)]
                } else {
                    Vec::new()
                },
                start: if set < 3 { number as Millis / 20 } else { 0 },
            })
            .collect();
        let kind = RecordKind::Write {
            batches: vec![Arc::new(batch(0, &writes))],
        };
        Head::apply(
            &[&head],
            [&LogRecord {
                offset: number,
                now_ms: 0,
                kind,
            }],
        );
    }
    head
}

fn sent(with_names: bool) -> Outgoing {
    let (context, head, range) = (context(1 << 30), head(true), (100, 2500));
    if with_names {
        let search = NamesSearch {
            context,
            uid: UIDS[0],
            sets: vec![matchers(1), matchers(0)],
            range,
        };
        return search
            .parts(&[&head], None)
            .unwrap()
            .pop()
            .unwrap()
            .unwrap()
            .encode()
            .unwrap();
    }
    let search = HeadSearch {
        fold: None,
        context,
        uid: UIDS[0],
        matchers: Vec::new(),
        range,
    };
    search
        .parts(&[&head], None)
        .unwrap()
        .pop()
        .unwrap()
        .unwrap()
        .encode()
        .unwrap()
}

fn incoming(bytes: &[u8], context: &Arc<QueryContext>) -> Incoming {
    let mut incoming = Incoming::new(context, bytes.len()).unwrap();
    incoming.add(bytes).unwrap();
    incoming
}

/// Reads all rows as kernels do. Errors are fine.
fn read(part: HeadPart) {
    let (rows, _charge) = part.into_inner();
    let mut reader = rows.samples.reader();
    for row in 0..rows.table.len() {
        for (min, max) in [(Millis::MIN, Millis::MAX), (500, 1500)] {
            if let Ok(samples) = reader.read(row, min, max) {
                assert_eq!(samples.times.len(), samples.values.len());
                assert!(samples.times.is_sorted_by(|a, b| a < b));
            }
        }
    }
}

fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    let checksum = crc32c::crc32c(&bytes[8..]);
    bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_bytes_are_safe(mut bytes in prop::collection::vec(any::<u8>(), 9..200), kind in 0..5_u8) {
        bytes[..4].copy_from_slice(b"HRP\x01");
        bytes[8] = kind;
        let bytes = with_checksum(bytes);
        if let Ok(part) = incoming(&bytes, &context(1 << 20)).head_part() {
            read(part);
        }
        let _ = incoming(&bytes, &context(1 << 20)).names_part();
        let _ = incoming(&bytes, &context(1 << 20)).folded();
    }

    #[test]
    fn changed_bytes_are_safe(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        with_names: bool,
    ) {
        let mut bytes = sent(with_names).bytes;
        for (at, byte) in changes {
            let at = 8 + at.index(bytes.len() - 8);
            bytes[at] = byte;
        }
        let bytes = with_checksum(bytes);
        // A query that can pay for what was sent, and not much more.
        if let Ok(part) = incoming(&bytes, &context(1 << 20)).head_part() {
            read(part);
        }
        let _ = incoming(&bytes, &context(1 << 20)).names_part();
    }
}

fn folded(op: FoldOp) -> Outgoing {
    folded_of(op, &["job"], false)
}

/// `is_narrow`: of series that have only the labels that matter.
fn folded_of(op: FoldOp, labels: &[&str], is_narrow: bool) -> Outgoing {
    let (part, fold) = to_be_folded(op, labels, is_narrow, false);
    part.fold(&fold).unwrap().unwrap().encode().unwrap()
}

fn plan(step: Millis, steps: usize) -> RowPlan {
    RowPlan::Instant(Instant {
        grid: Grid::new(900, step, steps).unwrap(),
        offset: 0,
        lookback: 300,
        shows: Shown::Value,
    })
}

fn to_be_folded(
    op: FoldOp,
    labels: &[&str],
    is_narrow: bool,
    with_histograms: bool,
) -> (Box<HeadPart>, Arc<Fold>) {
    let context = context(1 << 30);
    let labels: Vec<_> = labels.iter().map(|&label| label.to_owned()).collect();
    let fold = Arc::new(Fold {
        plan: plan(300, 5),
        op,
        selector: Selector::only(&context, &labels),
    });
    let search = HeadSearch {
        context,
        uid: UIDS[0],
        matchers: Vec::new(),
        range: (100, 2500),
        fold: is_narrow.then(|| Arc::clone(&fold)),
    };
    let part = search.parts(&[&head(with_histograms)], None).unwrap().pop();
    (part.unwrap().unwrap(), fold)
}

#[test]
fn what_late_steps_came_to_needs_not_be_sent() {
    let part = || to_be_folded(FoldOp::Sum, &["job"], false, false);
    let (whole, _) = part();
    let (mut early, fold) = part();
    let folded = early.fold_late(&fold, 2).unwrap().unwrap();
    assert_eq!((folded.steps(), folded.rows()), (3, early.len()));
    assert_eq!(early.len(), whole.len());
    assert!(early.bytes() < whole.bytes());
    let (whole, early) = (whole.encode().unwrap().bytes, early.encode().unwrap().bytes);
    assert!(
        early.len() * 3 < whole.len() * 2,
        "{} of {}",
        early.len(),
        whole.len()
    );
    let received = incoming(&early, &context(1 << 20)).head_part().unwrap();
    let rows = received.into_inner().0;
    let mut reader = rows.samples.reader();
    for row in 0..rows.table.len() {
        let times = reader.read(row, Millis::MIN, Millis::MAX).unwrap().times;
        assert!(
            times.last().is_some_and(|&last| (1150..=1200).contains(&last)),
            "{times:?}"
        );
    }
}

#[test]
fn late_steps_are_folded_where_they_spare_something() {
    let (mut part, fold) = to_be_folded(FoldOp::Sum, &["job"], false, false);
    for first in [0, 5] {
        assert!(matches!(part.fold_late(&fold, first), Err(Error::BadData(_))));
    }
    let (mut mixed, fold) = to_be_folded(FoldOp::Sum, &["job"], false, true);
    assert!(mixed.has_histograms() && mixed.fold_late(&fold, 2).unwrap().is_none());
    let (mut many, _) = to_be_folded(FoldOp::Avg, &["job"], false, false);
    let fold = Fold {
        plan: plan(1, 3000),
        op: FoldOp::Avg,
        selector: fold.selector.clone(),
    };
    let before = many.bytes();
    assert!(many.fold_late(&fold, 1).unwrap().is_none());
    assert_eq!(many.bytes(), before);
}

#[test]
fn labels_that_do_not_matter_make_no_difference() {
    for op in FoldOp::ALL {
        for labels in [&[][..], &["job"], &["pod", "__name__"]] {
            let (narrow, whole) = (folded_of(op, labels, true), folded_of(op, labels, false));
            assert_eq!(narrow.bytes, whole.bytes, "{op:?} by {labels:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn changed_partial_results_are_safe(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        op in prop::sample::select(FoldOp::ALL.to_vec()),
    ) {
        let mut bytes = folded(op).bytes;
        for (at, byte) in changes {
            let at = 8 + at.index(bytes.len() - 8);
            bytes[at] = byte;
        }
        let _ = incoming(&with_checksum(bytes), &context(1 << 20)).folded();
    }
}

#[test]
fn a_partial_result_is_not_a_part_of_series() {
    let bytes = folded(FoldOp::Sum).bytes;
    assert!(incoming(&bytes, &context(1 << 20)).folded().is_ok());
    assert!(incoming(&bytes, &context(1 << 20)).head_part().is_err());
    assert!(incoming(&sent(false).bytes, &context(1 << 20)).folded().is_err());
}

#[test]
fn a_flipped_bit_is_noticed() {
    let bytes = sent(false).bytes;
    for at in [0, 3, 5, 8, 20, bytes.len() - 1] {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x10;
        let error = incoming(&bytes, &context(1 << 30)).head_part().unwrap_err();
        assert_eq!(matches!(error, Error::Unsupported(_)), at == 3, "{error}");
    }
}

#[test]
fn a_part_is_paid_for_before_it_comes_and_only_while_it_lives() {
    let bytes = sent(false).bytes;
    assert!(matches!(
        Incoming::new(&context(bytes.len() as u64 - 1), bytes.len()),
        Err(Error::Execution(_))
    ));
    let exact = context(bytes.len() as u64);
    assert!(matches!(
        incoming(&bytes, &exact).head_part(),
        Err(Error::Execution(_))
    ));
    assert!(exact.charge(0, bytes.len()).is_ok(), "all was given back");
    let rich = context(1 << 20);
    let part = incoming(&bytes, &rich).head_part().unwrap();
    assert!(rich.charge(0, 1 << 20).is_err());
    drop(part);
    assert!(rich.charge(0, 1 << 20).is_ok());
}

#[test]
fn more_or_less_than_announced_is_refused() {
    let bytes = sent(true).bytes;
    let context = context(1 << 20);
    let mut more = Incoming::new(&context, bytes.len() - 1).unwrap();
    assert!(matches!(more.add(&bytes), Err(Error::Corrupt(_))));
    let mut less = Incoming::new(&context, bytes.len()).unwrap();
    less.add(&bytes[1..]).unwrap();
    assert!(!less.is_complete());
    assert!(matches!(less.names_part(), Err(Error::Corrupt(_))));
}
