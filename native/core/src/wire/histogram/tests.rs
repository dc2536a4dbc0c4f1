//! Histogram messages: what is kept of them, and which rule each bad one breaks.

use proptest::prelude::*;

use super::super::encode::{put_bytes, put_histogram, put_label, put_series};
use super::super::{Form, Splitter, snappy};
use super::*;
use crate::model::{STALE_BITS, Uid};

const NOW: Millis = 1_700_000_000_000;

/// The message inside of the field that was written.
fn decoded(field: &[u8]) -> SentHistogram {
    let mut reader = Reader::new(field);
    assert_eq!(reader.tag().unwrap(), (4, BYTES));
    let extent = reader.extent().unwrap();
    assert_eq!(extent.end, field.len());
    SentHistogram::decode(field, extent).unwrap()
}

fn sent(histogram: &Histogram, is_float: bool) -> SentHistogram {
    let mut field = Vec::new();
    put_histogram(&mut field, NOW, 7, histogram, is_float);
    decoded(&field)
}

/// Two positive buckets and a negative one, and all that goes with them.
fn good() -> Histogram {
    Histogram {
        schema: 3,
        zero_threshold: 1e-128,
        zero_count: 2.0,
        count: 9.0,
        sum: 12.5,
        positive: Buckets::of([(-2, 1.0), (5, 4.0)]),
        negative: Buckets::of([(0, 2.0)]),
        ..Histogram::default()
    }
}

fn custom(bounds: &[f64]) -> Histogram {
    Histogram {
        schema: bounds::CUSTOM,
        count: 3.0,
        sum: 1.0,
        positive: Buckets::of([(0, 1.0), (1, 2.0)]),
        custom: bounds.into(),
        ..Histogram::default()
    }
}

#[test]
fn both_forms_give_what_was_sent() {
    for histogram in [
        good(),
        custom(&[0.5, 1.0]),
        Histogram::default(),
        Histogram {
            hint: ResetHint::Gauge,
            ..good()
        },
    ] {
        for is_float in [false, true] {
            let sent = sent(&histogram, is_float);
            assert_eq!((sent.time, sent.start, sent.is_stale()), (NOW, 7, false));
            let kept = sent.histogram().unwrap();
            assert!(kept.is_same(&histogram), "{kept:?}");
            assert_eq!(kept.hint, histogram.hint);
        }
    }
}

#[test]
fn lists_need_not_be_packed_and_the_last_count_counts() {
    let mut message = Vec::new();
    // A count as a float, then as an integer; a span; two deltas one by one.
    message.extend_from_slice(&[0x11, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0x08, 3]);
    put_bytes(&mut message, 0x5a, &[0x10, 2]);
    message.extend_from_slice(&[0x60, 2, 0x60, 2]);
    let sent = SentHistogram::decode(&message, 0..message.len()).unwrap();
    let kept = sent.histogram().unwrap();
    assert_eq!(kept.count, 3.0);
    assert_eq!(kept.positive.iter().collect::<Vec<_>>(), [(0, 1.0), (1, 2.0)]);
}

#[test]
fn finer_schemas_become_ours() {
    for (schema, index, expected) in [(9, 3, 2), (9, 4, 2), (12, -15, 0), (52, 1 << 30, 1), (52, -5, 0)] {
        let fine = Histogram {
            schema,
            positive: Buckets::of([(index, 7.0)]),
            ..good()
        };
        let kept = sent(&fine, true).histogram().unwrap();
        assert_eq!(kept.schema, 8);
        assert_eq!(
            kept.positive.iter().collect::<Vec<_>>(),
            [(expected, 7.0)],
            "{schema} {index}"
        );
    }
}

#[test]
fn every_rule_has_its_refusal() {
    use InvalidHistogram as Rule;
    let of = |change: &dyn Fn(&mut Histogram)| {
        let mut histogram = good();
        change(&mut histogram);
        histogram
    };
    let integer = [
        (of(&|h| h.schema = -5), Rule::Schema),
        (of(&|h| h.schema = 53), Rule::Schema),
        (of(&|h| h.schema = -54), Rule::Schema),
        (of(&|h| h.count = 10.0), Rule::CountMismatch),
        (of(&|h| (h.sum, h.count) = (f64::NAN, 8.0)), Rule::CountTooSmall),
        (
            of(&|h| h.positive = Buckets::of([(0, -1.0)])),
            Rule::NegativeBucket,
        ),
        (of(&|h| h.custom = [1.0].into()), Rule::NotExponential),
        (custom(&[2.0, 1.0]), Rule::CustomBounds),
        (custom(&[]), Rule::TooFewCustomBounds),
        (
            of(&|h| {
                let more = 0..=MAX_BUCKETS as i32;
                (h.count, h.zero_count) = (f64::from(*more.end()) + 3.0, 0.0);
                h.positive = Buckets::of(more.map(|index| (index, 1.0)));
            }),
            Rule::TooManyBuckets,
        ),
    ];
    for (histogram, rule) in integer {
        let sent = sent(&histogram, false);
        assert_eq!(sent.histogram().unwrap_err(), rule, "{histogram:?}");
    }
    let float = [
        (of(&|h| h.count = -1.0), Rule::NegativeCount),
        (of(&|h| h.zero_count = -1.0), Rule::NegativeBucket),
        (
            of(&|h| h.negative = Buckets::of([(0, -0.5)])),
            Rule::NegativeBucket,
        ),
    ];
    for (histogram, rule) in float {
        let sent = sent(&histogram, true);
        assert_eq!(sent.histogram().unwrap_err(), rule, "{histogram:?}");
    }
    // More observations than buckets hold are fine where NaN was observed.
    assert!(
        sent(&of(&|h| (h.sum, h.count) = (f64::NAN, 10.0)), false)
            .histogram()
            .is_ok()
    );
}

#[test]
fn spans_and_deltas_that_do_not_fit() {
    let of = |span: &[u8], deltas: &[u8]| {
        let mut message = vec![0x08, 2];
        put_bytes(&mut message, 0x5a, span);
        put_bytes(&mut message, 0x62, deltas);
        SentHistogram::decode(&message, 0..message.len())
            .unwrap()
            .histogram()
    };
    assert!(of(&[0x10, 1], &[4]).is_ok());
    assert_eq!(of(&[0x10, 2], &[4]).unwrap_err(), InvalidHistogram::Spans);
    assert_eq!(of(&[0x10, 1], &[2, 0]).unwrap_err(), InvalidHistogram::Spans);
    assert_eq!(
        of(&[0x10, 1], &[3]).unwrap_err(),
        InvalidHistogram::NegativeBucket
    );
    // A count that does not fit 63 bits.
    let most = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    assert_eq!(
        of(&[0x10, 2], &[most, most].concat()).unwrap_err(),
        InvalidHistogram::NegativeBucket
    );
}

/// A request whose histograms were accepted is read again; stale ones have become floats, and start timestamps come along.
#[test]
fn histograms_lie_beside_the_floats_of_their_series() {
    let mut labels = Vec::new();
    put_label(&mut labels, b"__name__", b"latency");
    let mut message = labels.clone();
    put_histogram(&mut message, NOW, 0, &good(), false);
    // A sample of 1 at NOW + 1 that began at 5, in the log's own field.
    let mut sample = vec![0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0x10];
    super::super::encode::put_varint(&mut sample, NOW as u64 + 1);
    sample.extend_from_slice(&[0xa0, 0x06, 5]);
    put_bytes(&mut message, 0x12, &sample);
    let stale = Histogram {
        sum: f64::from_bits(STALE_BITS),
        ..Histogram::default()
    };
    put_histogram(&mut message, NOW + 2, 0, &stale, false);
    put_histogram(&mut message, NOW + 3, 9, &custom(&[0.5, 1.0]), true);
    let mut plain = Vec::new();
    put_series(&mut plain, &labels, &[NOW - 1], &[3.0]);
    put_bytes(&mut plain, 0x0a, &message);
    let splitter = Splitter::new(b"secret", 4, 1 << 16).unwrap();
    let body = snappy::compress(&plain).unwrap();
    let batch = splitter.replay(&body, Form::V1, Uid([1; 16]), 4).unwrap();
    assert_eq!(batch.times, [NOW - 1, NOW + 1, NOW + 2]);
    assert_eq!(batch.values[2].to_bits(), STALE_BITS);
    assert_eq!(batch.starts, [0, 5, 0]);
    assert_eq!(batch.series[0].histograms.1, 0);
    let [first, second] = batch.histograms_of(&batch.series[1]) else {
        panic!("two histograms")
    };
    assert_eq!((first.time, second.time), (NOW, NOW + 3));
    let (kept, start) = batch.histogram(first).unwrap();
    assert!(kept.is_same(&good()) && start == 0);
    let (kept, start) = batch.histogram(second).unwrap();
    assert!(kept.is_same(&custom(&[0.5, 1.0])) && start == 9);
    // Written for the log, it reads the same; without one series, only the other is left.
    let again = splitter
        .replay(&batch.encode().unwrap(), Form::V1, Uid([1; 16]), 4)
        .unwrap();
    let rows = |batch: &super::super::SplitBatch| {
        let histograms: Vec<_> = batch
            .histograms
            .iter()
            .map(|h| h.message(&batch.labels).to_vec())
            .collect();
        (batch.times.clone(), batch.starts.clone(), histograms)
    };
    assert_eq!(rows(&again), rows(&batch));
    let keep = |wanted: usize| {
        let mut part = batch.clone();
        part.retain_series(|at| at == wanted);
        rows(
            &splitter
                .replay(&part.encode().unwrap(), Form::V1, Uid([1; 16]), 4)
                .unwrap(),
        )
    };
    assert_eq!(keep(0), (vec![NOW - 1], vec![], vec![]));
    assert_eq!(keep(1), (vec![NOW + 1, NOW + 2], vec![5, 0], rows(&batch).2));
}

proptest! {
    #[test]
    fn arbitrary_messages_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(sent) = SentHistogram::decode(&bytes, 0..bytes.len()) {
            prop_assert!(!sent.outline().is_empty());
            if let Ok(histogram) = sent.histogram() {
                prop_assert_eq!(histogram.check(), Ok(()));
            }
        }
    }

    #[test]
    fn damaged_messages_never_panic(at in any::<prop::sample::Index>(), byte: u8, is_float: bool) {
        let mut field = Vec::new();
        put_histogram(&mut field, NOW, 1, &good(), is_float);
        let at = at.index(field.len());
        field[at] = byte;
        if let Ok(sent) = SentHistogram::decode(&field, 2..field.len()) {
            let _ = sent.histogram();
        }
    }
}
