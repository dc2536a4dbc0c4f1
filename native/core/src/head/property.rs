//! A head, the blocks it was cut into and a selection over both, against a map.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::expected::{Columns, Expected, LabelSet, Model, UIDS, WIDTH, Write, batch, columns, matchers};
use super::{Head, WindowInfo};
use crate::block::{BlockParts, BlockReader};
use crate::engine::{Limits, Options, QueryContext};
use crate::log::{LogRecord, RecordKind};
use crate::model::{Matcher, Millis, Symbols};
use crate::select::{HeadSearch, Incoming, Names, NamesSearch, Outgoing, Selection, SeriesSet};
use crate::wire::{BatchSeries, SplitBatch};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Write {
        uid: usize,
        writes: Vec<Write>,
    },
    /// A scrape: every set at one time.
    Scrape {
        uid: usize,
        ahead: Millis,
    },
    Seal {
        window: Millis,
    },
    /// Cut and release the oldest sealed generation.
    Release,
    Query {
        uid: usize,
        min: Millis,
        max: Millis,
        matcher: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let value = prop_oneof![3 => (0..3_i32).prop_map(f64::from), 1 => any::<u64>().prop_map(f64::from_bits)];
    let sample = (-1500_i64..3500, value);
    let seed = prop_oneof![4 => 0..8_u32, 1 => any::<u32>()];
    let histograms = prop::collection::vec((-1500_i64..3500, seed), 0..3);
    let start = prop_oneof![3 => Just(0_i64), 3 => 1..3_i64, 1 => any::<i64>()];
    let write = (
        0..5_usize,
        any::<bool>(),
        prop::collection::vec(sample, 0..4),
        histograms,
        start,
    )
        .prop_map(|(set, reversed, samples, histograms, start)| Write {
            set,
            reversed,
            samples,
            histograms,
            start,
        });
    let step = prop_oneof![
        4 => (0..2_usize, prop::collection::vec(write, 1..6)).prop_map(|(uid, writes)| Step::Write { uid, writes }),
        8 => (0..2_usize, 1_i64..80).prop_map(|(uid, ahead)| Step::Scrape { uid, ahead }),
        1 => (-2_i64..4).prop_map(|n| Step::Seal { window: n * WIDTH }),
        1 => Just(Step::Release),
        1 => (0..2_usize, -1600_i64..3600, 0_i64..4000, 0..8_usize)
            .prop_map(|(uid, min, length, matcher)| Step::Query { uid, min, max: min + length, matcher }),
    ];
    prop::collection::vec(step, 1..60)
}

fn read(
    set: &SeriesSet,
    symbols: &Symbols,
    (min, max): (Millis, Millis),
) -> BTreeMap<Vec<(String, String)>, Columns> {
    let mut keys: BTreeMap<u64, Vec<Millis>> = BTreeMap::new();
    let mut reader = set.source.reader();
    let mut found = BTreeMap::new();
    for (row, pairs) in set.table.rows().enumerate() {
        let samples = reader.read(row, min, max).unwrap();
        assert!(samples.times.is_sorted_by(|a, b| a < b));
        if samples.times_key != 0 {
            let times = keys
                .entry(samples.times_key)
                .or_insert_with(|| samples.times.to_vec());
            assert_eq!(times, samples.times, "one key, two lists of times");
        }
        let labels: Vec<_> = pairs
            .iter()
            .map(|&(n, v)| (symbols.get(n).to_owned(), symbols.get(v).to_owned()))
            .collect();
        let column = columns(samples);
        assert_eq!(column.len(), samples.times.len());
        // Blocks may offer a row whose samples lie outside.
        if !column.is_empty() {
            assert!(found.insert(labels, column).is_none(), "a label set in two rows");
        }
    }
    found
}

/// The same query with the head in this process, and with its part sent from another one.
fn check_query(head: &Head, model: &Model, uid: usize, range: (Millis, Millis), number: usize) {
    let expected = model.query(uid, range, &matchers(number));
    let owned = |labels: LabelSet| {
        labels
            .into_iter()
            .map(|(n, v)| (n.to_owned(), v.to_owned()))
            .collect()
    };
    let expected: BTreeMap<Vec<(String, String)>, Columns> = expected
        .into_iter()
        .map(|(labels, column)| (owned(labels), column))
        .collect();
    // A narrower read of the same rows.
    let inner = (
        range.0 + (range.1 - range.0) / 4,
        range.1 - (range.1 - range.0) / 3,
    );
    let mut narrow = expected.clone();
    narrow.retain(|_, column| {
        column.retain(|&time, _| inner.0 <= time && time <= inner.1);
        !column.is_empty()
    });
    for is_sent in [false, true] {
        let context = new_context();
        let mut selection = Selection::new(Arc::clone(&context), matchers(number), range.0, range.1).unwrap();
        for block in model
            .stored
            .iter()
            .flat_map(|(_, blocks)| blocks)
            .filter(|block| block.uid() == UIDS[uid])
        {
            assert_eq!(
                selection.add_block(block).unwrap(),
                Vec::<u32>::new(),
                "small blocks are one value"
            );
        }
        let search = HeadSearch {
            fold: None,
            context: if is_sent {
                new_context()
            } else {
                Arc::clone(&context)
            },
            uid: UIDS[uid],
            matchers: matchers(number),
            range,
        };
        if let Some(part) = search.parts(&[head], None).unwrap().pop().unwrap() {
            let part = if is_sent {
                sent(&part.encode().unwrap(), &context).head_part().unwrap()
            } else {
                *part
            };
            selection.add_part(part).unwrap();
        }
        let set = selection.finish().unwrap();
        let symbols = context.symbols();
        assert_eq!(read(&set, &symbols, range), expected);
        assert_eq!(read(&set, &symbols, inner), narrow);
    }
}

fn new_context() -> Arc<QueryContext> {
    let options = Options {
        uses_starts: true,
        ..Options::default()
    };
    Arc::new(QueryContext::with_options(Limits::default(), options))
}

/// As it arrives in another process.
fn sent(part: &Outgoing, context: &Arc<QueryContext>) -> Incoming {
    let mut incoming = Incoming::new(context, part.bytes.len()).unwrap();
    for frame in part.bytes.chunks(100) {
        incoming.add(frame).unwrap();
    }
    incoming
}

/// Label names, values and sets of everything ever written, by one matcher set, two, and none.
fn check_names(head: &Head, model: &Model, uid: usize) {
    let everything = (Millis::MIN, Millis::MAX);
    for sets in [vec![matchers(0)], vec![matchers(2), matchers(6)], Vec::new()] {
        let mut found: BTreeSet<LabelSet> = sets
            .iter()
            .flat_map(|set| model.query(uid, everything, set))
            .map(|e| e.0)
            .collect();
        if sets.is_empty() {
            found = model.query(uid, everything, &[]).into_keys().collect();
        }
        for is_sent in [false, true] {
            check_one_names(head, model, uid, &sets, &found, is_sent);
        }
    }
}

fn check_one_names(
    head: &Head,
    model: &Model,
    uid: usize,
    sets: &[Vec<Matcher>],
    found: &BTreeSet<LabelSet>,
    is_sent: bool,
) {
    let range = (Millis::MIN, Millis::MAX);
    let context = new_context();
    let mut names = Names::new(Arc::clone(&context), sets.to_vec(), range.0, range.1, None).unwrap();
    for block in model
        .stored
        .iter()
        .flat_map(|(_, blocks)| blocks)
        .filter(|block| block.uid() == UIDS[uid])
    {
        names.add_block(block).unwrap();
    }
    let search = NamesSearch {
        context: if is_sent {
            new_context()
        } else {
            Arc::clone(&context)
        },
        uid: UIDS[uid],
        sets: sets.to_vec(),
        range,
    };
    if let Some(part) = search.parts(&[head], None).unwrap().pop().unwrap() {
        let part = if is_sent {
            sent(&part.encode().unwrap(), &context).names_part().unwrap()
        } else {
            *part
        };
        names.add_part(part).unwrap();
    }
    let distinct: BTreeSet<&str> = found.iter().flatten().map(|label| label.0).collect();
    assert!(names.label_names().iter().eq(distinct));
    let values: BTreeSet<&str> = found
        .iter()
        .flatten()
        .filter(|label| label.0 == "job")
        .map(|label| label.1)
        .collect();
    assert!(names.label_values("job").iter().eq(values));
    if !sets.is_empty() {
        let object = |set: &LabelSet| {
            let members: Vec<String> = set.iter().map(|(n, v)| format!("\"{n}\":\"{v}\"")).collect();
            format!("{{{}}}", members.join(","))
        };
        let objects: Vec<String> = found.iter().map(object).collect();
        assert_eq!(
            String::from_utf8(names.series_json(0).0).unwrap(),
            format!("[{}]", objects.join(","))
        );
        let (json, is_cut) = names.series_json(1);
        assert_eq!(
            String::from_utf8(json).unwrap(),
            format!("[{}]", objects[..objects.len().min(1)].join(","))
        );
        assert_eq!(is_cut, objects.len() > 1);
    }
}

fn release_oldest(head: &Head, model: &mut Model, through: &mut BTreeMap<Millis, u64>) {
    let Some(at) = model.held.iter().position(|g| g.sealed.is_some()) else {
        return;
    };
    let generation = model.held.remove(at);
    let marker = generation.sealed.unwrap();
    let blocks = head.cut(generation.window, marker).unwrap();
    assert_eq!(
        blocks.iter().map(|b| b.samples).sum::<u64>(),
        generation.samples()
    );
    let readers = blocks
        .iter()
        .map(|b| Arc::new(BlockReader::open(&b.root).unwrap()))
        .collect();
    head.release(generation.window, marker);
    through.insert(generation.window, marker);
    model.stored.push((generation, readers));
}

fn shape(windows: &[WindowInfo]) -> Vec<(Millis, u64, Option<u64>, u64)> {
    let mut shape: Vec<_> = windows
        .iter()
        .map(|w| (w.window, w.first_offset, w.sealed, w.samples))
        .collect();
    shape.sort_unstable();
    shape
}

fn run(steps: Vec<Step>) {
    let head = Head::new(0, WIDTH).unwrap();
    let (mut model, mut through) = (Model::default(), BTreeMap::new());
    let (mut records, mut clock) = (Vec::new(), [0_i64; 2]);
    // Offsets of a log of several partitions have holes.
    let append = |kind, records: &mut Vec<LogRecord>| {
        let record = LogRecord {
            offset: records.len() as u64 * 2 + 5,
            now_ms: 0,
            kind,
        };
        records.push(record.clone());
        Head::apply(&[&head], [&record]);
        record.offset
    };
    for step in steps {
        match step {
            Step::Write { uid, writes } => {
                let batch = Arc::new(batch(uid, &writes));
                let offset = append(RecordKind::write(batch), &mut records);
                model.write(uid, &writes, offset);
            }
            Step::Scrape { uid, ahead } => {
                clock[uid] += ahead;
                let time = clock[uid];
                let one = |set| Write {
                    set,
                    reversed: false,
                    samples: if set == 4 {
                        Vec::new()
                    } else {
                        vec![(time, (time * 3) as f64 / 10.0)]
                    },
                    histograms: if set == 4 {
                        vec![(time, time as u32 / 8 * 4)]
                    } else {
                        Vec::new()
                    },
                    // Of one target, which was started again now and then; another tells nothing.
                    start: if set % 2 == 0 { time / 600 * 600 } else { 0 },
                };
                let writes: Vec<_> = (0..5).map(one).collect();
                let batch = Arc::new(batch(uid, &writes));
                let offset = append(RecordKind::write(batch), &mut records);
                model.write(uid, &writes, offset);
            }
            Step::Seal { window } => {
                let offset = append(
                    RecordKind::Seal {
                        partition: 0,
                        windows: vec![window],
                    },
                    &mut records,
                );
                for generation in model
                    .held
                    .iter_mut()
                    .filter(|g| g.window == window && g.sealed.is_none())
                {
                    generation.sealed = Some(offset);
                }
            }
            Step::Release => release_oldest(&head, &mut model, &mut through),
            Step::Query {
                uid,
                min,
                max,
                matcher,
            } => check_query(&head, &model, uid, (min, max), matcher),
        }
    }
    assert_eq!(head.conflicts(), model.conflicts);
    assert_eq!(
        head.samples(),
        model.held.iter().map(Expected::samples).sum::<u64>()
    );
    let mut expected: Vec<_> = model
        .held
        .iter()
        .map(|g| (g.window, g.first_offset, g.sealed, g.samples()))
        .collect();
    expected.sort_unstable();
    assert_eq!(shape(&head.windows()), expected);
    for (uid, &id) in UIDS.iter().enumerate() {
        let mut sets: Vec<usize> = model
            .held
            .iter()
            .flat_map(|g| g.series.keys())
            .filter(|key| key.0 == uid)
            .map(|key| key.1)
            .collect();
        sets.sort_unstable();
        sets.dedup();
        assert_eq!(head.active_series(id), sets.len());
        check_query(&head, &model, uid, (-2000, 8000), 7);
        check_names(&head, &model, uid);
    }
    check_replay(&head, &records, &through);
}

/// A head that replays what the store does not hold, in one go, cuts the same blocks.
fn check_replay(head: &Head, records: &[LogRecord], through: &BTreeMap<Millis, u64>) {
    let replayed = Head::new(0, WIDTH).unwrap();
    replayed.set_through(through.iter().map(|(&window, &offset)| (window, offset)));
    Head::apply(&[&replayed], records);
    assert_eq!(shape(&replayed.windows()), shape(&head.windows()));
    assert_eq!(replayed.series(), head.series());
    let offset = records.last().map_or(0, |last| last.offset + 1);
    let windows = head.windows().iter().map(|w| w.window).collect();
    let seal = LogRecord {
        offset,
        now_ms: 0,
        kind: RecordKind::Seal {
            partition: 0,
            windows,
        },
    };
    Head::apply(&[head], [&seal]);
    Head::apply(&[&replayed], [&seal]);
    let print = |blocks: Vec<BlockParts>| -> Vec<_> {
        blocks
            .into_iter()
            .map(|b| (b.uid, b.digest, b.samples, b.root, b.pages))
            .collect()
    };
    for window in head.windows() {
        let sealed = window.sealed.unwrap();
        let (a, b) = (
            head.cut(window.window, sealed).unwrap(),
            replayed.cut(window.window, sealed).unwrap(),
        );
        let summed: Vec<_> = a
            .iter()
            .map(|b| (b.uid, b.series, b.samples, b.min_time, b.max_time, b.digest))
            .collect();
        let sums: Vec<_> = head
            .summary(window.window, sealed)
            .unwrap()
            .into_iter()
            .map(|s| (s.uid, s.series, s.samples, s.min_time, s.max_time, s.digest))
            .collect();
        assert_eq!(sums, summed);
        assert_eq!(print(a), print(b));
    }
    // Nothing is left behind when everything was let go of.
    for window in head.windows() {
        head.release(window.window, window.sealed.unwrap());
    }
    assert_eq!((head.series(), head.samples()), (0, 0));
    assert!(head.windows().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn head_blocks_and_selection_equal_a_map(steps in steps()) {
        run(steps);
    }

    #[test]
    fn arbitrary_labels_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..48), time in any::<i64>()) {
        let head = Head::new(0, WIDTH).unwrap();
        let series = BatchSeries { partition: 0, key: 7, labels: (0, bytes.len() as u32), samples: (0, 1), histograms: (0, 0) };
        let batch = SplitBatch {
            uid: Some(UIDS[0]),
            labels: bytes,
            series: vec![series],
            times: vec![time],
            values: vec![1.0],
            ..SplitBatch::default()
        };
        let kind = RecordKind::write(Arc::new(batch));
        Head::apply(&[&head], [&LogRecord { offset: 1, now_ms: 0, kind }]);
        prop_assert_eq!(head.series() as u64 + head.unreadable(), 1);
        check_query_runs(&head);
    }
}

fn check_query_runs(head: &Head) {
    let context = Arc::new(QueryContext::new(Limits::default()));
    let range = (Millis::MIN, Millis::MAX);
    let search = HeadSearch {
        fold: None,
        context: Arc::clone(&context),
        uid: UIDS[0],
        matchers: Vec::new(),
        range,
    };
    let part = search.parts(&[head], None).unwrap().pop().unwrap();
    let mut selection = Selection::new(context, Vec::new(), range.0, range.1).unwrap();
    if let Some(part) = part {
        selection.add_part(*part).unwrap();
    }
    let set = selection.finish().unwrap();
    for row in 0..set.len() {
        assert_eq!(
            set.source
                .reader()
                .read(row, Millis::MIN, Millis::MAX)
                .unwrap()
                .times
                .len(),
            1
        );
    }
}
