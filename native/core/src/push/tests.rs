//! Pushes go through a splitter into records, and from these into books, as they do through a log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashMap;
use proptest::prelude::*;

use super::Book;
use super::operation::Kind;
use super::prepare::{self, Format, Prepared, Terms};
use crate::log::{LogRecord, RecordKind};
use crate::model::{Millis, STALE_BITS, Uid};
use crate::wire::encode::put_bytes;
use crate::wire::labels::series_text;
use crate::wire::{Reason, SplitBatch, Splitter, WriteLimits};

const UID: Uid = Uid([3; 16]);
const NOW: Millis = 1_700_000_000_000;
const INTERVAL: Millis = 15_000;

/// Series as text → (time, value bits).
type Samples = BTreeMap<String, BTreeSet<(Millis, u64)>>;

struct World {
    splitter: Arc<Splitter>,
    book: Book,
    offset: u64,
    samples: Samples,
    /// As of an offset.
    stored: (u64, BTreeMap<Vec<u8>, Vec<u8>>),
}

fn splitter() -> Arc<Splitter> {
    Arc::new(Splitter::new(b"secret", 1, 1 << 16).unwrap())
}

fn terms(job: &str, now: Millis, ttl: Millis) -> Terms {
    Terms {
        group: vec![("job".to_owned(), job.to_owned())],
        now,
        ttl,
        interval: INTERVAL,
    }
}

fn push(body: &str, kind: Kind, terms: &Terms) -> Prepared {
    let families = prepare::parse(body.as_bytes(), Format::Text).unwrap();
    prepare::push(families, kind, terms).unwrap().unwrap()
}

impl World {
    fn new() -> Self {
        let splitter = splitter();
        Self {
            book: Book::new(0, splitter.clone()),
            splitter,
            offset: 100,
            samples: Samples::new(),
            stored: (0, BTreeMap::new()),
        }
    }

    fn send(&mut self, prepared: &Prepared, now: Millis) {
        let batch = self
            .splitter
            .split_push(prepared, UID, 1, &WriteLimits::default(), now)
            .unwrap();
        assert_eq!(batch.refused, []);
        self.write(&batch);
    }

    /// Through the bytes that a log keeps.
    fn write(&mut self, batch: &SplitBatch) {
        let batch = self.splitter.replay(&batch.body, batch.form, UID, 1).unwrap();
        for series in &batch.series {
            let (times, values) = batch.samples_of(series);
            let rows = self
                .samples
                .entry(series_text(batch.label_sets().of(series)))
                .or_default();
            rows.extend(
                times
                    .iter()
                    .zip(values)
                    .map(|(time, value)| (*time, value.to_bits())),
            );
            // Of a histogram its count.
            rows.extend(batch.histograms_of(series).iter().map(|histogram| {
                let (found, _) = batch.histogram(histogram).unwrap();
                (histogram.time, found.count.to_bits())
            }));
        }
        let record = LogRecord {
            offset: self.offset,
            now_ms: 0,
            kind: RecordKind::write(Arc::new(batch)),
        };
        self.offset += 1;
        Book::apply(&[&self.book], [&record], self.offset);
    }

    fn emit(&mut self, now: Millis) -> usize {
        let batches = self.due(now, 1 << 20);
        batches
            .into_iter()
            .map(|batch| {
                let samples = batch.times.len();
                self.write(&batch);
                samples
            })
            .sum()
    }

    fn due(&self, now: Millis, most: usize) -> Vec<SplitBatch> {
        self.book.due(now, &HashMap::from([(UID, 1)]), most).unwrap()
    }

    /// (time after NOW, value), `None` for a stale marker.
    fn of(&self, series: &str) -> Vec<(Millis, Option<f64>)> {
        let rows = self.samples.get(series).into_iter().flatten();
        rows.map(|&(time, bits)| (time - NOW, (bits != STALE_BITS).then(|| f64::from_bits(bits))))
            .collect()
    }

    /// What a process has that begins with what this one has stored.
    fn restored(&mut self) -> Book {
        if let Some(changes) = self.book.changes().unwrap() {
            self.stored.0 = changes.offset;
            for (key, value) in changes.entries {
                match value {
                    Some(value) => self.stored.1.insert(key, value),
                    None => self.stored.1.remove(&key),
                };
            }
            self.book.stored(changes.offset);
        }
        let everything: BTreeMap<_, _> = self.book.everything().unwrap().1.into_iter().collect();
        assert_eq!(everything, self.stored.1);
        let (offset, entries) = &self.stored;
        let entries: Vec<_> = entries.clone().into_iter().collect();
        Book::restore(0, self.splitter.clone(), *offset, &entries).unwrap()
    }

    fn json(&self, now: Millis) -> String {
        String::from_utf8(self.book.json(UID, now).unwrap()).unwrap()
    }
}

#[test]
fn a_group_goes_on_until_it_is_deleted_and_leaves_a_marker() {
    let mut world = World::new();
    let terms_at = |now| terms("a", now, 0);
    world.send(&push("x 1\n", Kind::Replace, &terms_at(NOW)), NOW);
    assert_eq!(world.of("x{job=\"a\"}"), [(0, Some(1.0))]);
    assert_eq!(world.emit(NOW + 900), 0);
    for second in 1..=60 {
        world.emit(NOW + second * 1000);
    }
    let rows = world.of("x{job=\"a\"}");
    assert_eq!(rows.len(), 1 + 4, "{rows:?}");
    let steps: Vec<_> = rows[1..].windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert_eq!(steps, [INTERVAL; 3]);
    assert!(rows[1].0 <= INTERVAL);
    assert_eq!(world.of("push_time_seconds{job=\"a\"}").len(), 5);
    let deleted = NOW + 61_000;
    world.send(
        &prepare::change(Kind::Delete, &terms_at(deleted)).unwrap(),
        deleted,
    );
    assert_eq!(world.emit(deleted), 3);
    assert_eq!(world.of("x{job=\"a\"}").last(), Some(&(61_000, None)));
    assert_eq!(world.emit(deleted + 60_000), 0);
    assert_eq!(world.book.size(), (0, 0));
}

#[test]
fn put_replaces_the_group_and_post_its_families() {
    let mut world = World::new();
    let body = "a 1\nb{n=\"1\"} 1\nb{n=\"2\"} 2\n";
    world.send(&push(body, Kind::Replace, &terms("j", NOW, 0)), NOW);
    world.send(
        &push("b{n=\"3\"} 3\n", Kind::Merge, &terms("j", NOW + 10, 0)),
        NOW + 10,
    );
    world.emit(NOW + 20);
    assert_eq!(world.of("b{job=\"j\", n=\"1\"}"), [(0, Some(1.0)), (10, None)]);
    assert_eq!(world.of("a{job=\"j\"}"), [(0, Some(1.0))]);
    assert_eq!(world.book.size(), (1, 4));
    world.send(&push("c 1\n", Kind::Replace, &terms("j", NOW + 30, 0)), NOW + 30);
    world.emit(NOW + 40);
    assert_eq!(world.of("a{job=\"j\"}").last(), Some(&(30, None)));
    assert_eq!(world.book.size(), (1, 3));
    world.send(&push("", Kind::Replace, &terms("j", NOW + 50, 0)), NOW + 50);
    assert_eq!(world.book.size(), (1, 2));
}

#[test]
fn a_time_to_live_ends_with_markers() {
    let mut world = World::new();
    world.send(&push("x 1\n", Kind::Replace, &terms("a", NOW, 40_000)), NOW);
    for second in 1..=40 {
        world.emit(NOW + second * 1000);
    }
    assert_eq!(
        world.of("x{job=\"a\"}").last().map(|row| row.1.is_some()),
        Some(true)
    );
    assert_eq!(world.book.groups(UID, NOW + 39_999), 1);
    assert_eq!(world.book.groups(UID, NOW + 40_000), 0);
    assert_eq!(world.json(NOW + 40_000), "");
    world.emit(NOW + 41_000);
    assert_eq!(world.of("x{job=\"a\"}").last(), Some(&(40_000, None)));
    assert_eq!(world.book.size(), (0, 0));
    assert_eq!(world.emit(NOW + 100_000), 0);
}

#[test]
fn a_failure_is_stamped_and_kept_by_the_next_success() {
    let mut world = World::new();
    world.send(&prepare::change(Kind::Fail, &terms("a", NOW, 0)).unwrap(), NOW);
    assert_eq!(
        world.of("push_failure_time_seconds{job=\"a\"}"),
        [(0, Some(1.7e9))]
    );
    assert!(world.json(NOW).contains("\"last_push_successful\":false"));
    assert!(world.json(NOW).contains("\"value\":\"0\""));
    world.send(
        &push("x 1\n", Kind::Merge, &terms("a", NOW + 5000, 0)),
        NOW + 5000,
    );
    assert!(world.json(NOW).contains("\"last_push_successful\":true"));
    world.emit(NOW + 30_000);
    let failures = world.of("push_failure_time_seconds{job=\"a\"}");
    assert!(failures.iter().all(|row| row.1 == Some(1.7e9)), "{failures:?}");
    assert_eq!(world.of("x{job=\"a\"}")[0], (5000, Some(1.0)));
}

#[test]
fn two_pushes_at_one_time_end_with_the_later() {
    let mut world = World::new();
    for value in 1..=3 {
        world.send(
            &push(&format!("x {value}\n"), Kind::Replace, &terms("a", NOW, 0)),
            NOW,
        );
    }
    world.emit(NOW + 500);
    assert_eq!(world.of("x{job=\"a\"}").last(), Some(&(1, Some(3.0))));
}

#[test]
fn a_change_that_comes_late_is_put_right_behind_what_was_written() {
    let mut world = World::new();
    world.send(&push("x 1\ny 1\n", Kind::Replace, &terms("a", NOW, 0)), NOW);
    world.emit(NOW + 31_000);
    let last = world.of("x{job=\"a\"}").last().unwrap().0;
    // Pushed before the last sample was due, and through the log after it was written.
    let pushed = last - 1;
    world.send(
        &push("x 2\n", Kind::Replace, &terms("a", NOW + pushed, 0)),
        NOW + pushed,
    );
    world.emit(NOW + 31_100);
    let rows = world.of("x{job=\"a\"}");
    assert_eq!(rows.last(), Some(&(30_001, Some(2.0))), "{rows:?}");
    assert_eq!(world.of("y{job=\"a\"}").last(), Some(&(30_001, None)));
}

#[test]
fn two_that_emit_write_the_same_and_one_that_was_away_catches_up() {
    let mut world = World::new();
    world.send(&push("x 1\n", Kind::Replace, &terms("a", NOW, 0)), NOW);
    world.send(&push("x 1\n", Kind::Replace, &terms("b", NOW + 7, 0)), NOW + 7);
    let other = world.restored();
    let shards = HashMap::from([(UID, 1)]);
    let text = |batches: &[SplitBatch]| -> Vec<_> {
        batches
            .iter()
            .map(|b| (b.times.clone(), b.values.clone(), b.labels.clone()))
            .collect()
    };
    let mine = world.due(NOW + 120_000, 1 << 20);
    assert_eq!(
        text(&mine),
        text(&other.due(NOW + 120_000, &shards, 1 << 20).unwrap())
    );
    // What was sent is not sent again, until it is known to be lost.
    assert!(world.due(NOW + 120_000, 1 << 20).is_empty());
    world.book.not_sent();
    assert_eq!(text(&mine), text(&world.due(NOW + 120_000, 1 << 20)));
    world.book.not_sent();
    // In pieces it is the same.
    let mut pieces = 0;
    while !world
        .due(NOW + 120_000, 20)
        .into_iter()
        .map(|batch| world.write(&batch))
        .collect::<Vec<_>>()
        .is_empty()
    {
        pieces += 1;
    }
    assert!(pieces > 1, "{pieces}");
    assert_eq!(
        world.of("x{job=\"a\"}").len(),
        1 + 7 + usize::from(world.of("x{job=\"a\"}")[1].0 <= 14_000)
    );
    // A day later only what a query may still look at is written.
    let day = 86_400_000;
    assert!(world.emit(NOW + day) <= 2 * 3 * 21);
}

/// A family `h` with one native histogram of `count` observations in (1, 2], and classic buckets beside it.
fn native(count: u8, with_buckets: bool) -> Vec<u8> {
    let mut histogram = vec![0x08, count, 0x11];
    histogram.extend_from_slice(&1.5_f64.to_le_bytes());
    histogram.extend_from_slice(&[0x62, 4, 0x08, 2, 0x10, 1, 0x68, 2 * count]);
    if with_buckets {
        histogram.extend_from_slice(&[0x1a, 11, 0x08, count, 0x11]);
        histogram.extend_from_slice(&2_f64.to_le_bytes());
    }
    let mut metric = Vec::new();
    put_bytes(&mut metric, 0x3a, &histogram);
    let mut family = vec![0x0a, 1, b'h', 0x18, 4];
    put_bytes(&mut family, 0x22, &metric);
    [vec![family.len() as u8], family].concat()
}

#[test]
fn native_histograms_are_kept_and_emitted() {
    let mut world = World::new();
    let push_of = |body: &[u8], kind, at| {
        let families = prepare::parse(body, Format::Protobuf).unwrap();
        prepare::push(families, kind, &terms("a", at, 0))
            .unwrap()
            .unwrap()
    };
    world.send(&push_of(&native(3, false), Kind::Replace, NOW), NOW);
    world.book = world.restored();
    world.emit(NOW + 31_000);
    let rows = world.of("h{job=\"a\"}");
    assert_eq!((rows.len(), rows[0]), (3, (0, Some(3.0))));
    assert!(rows.iter().all(|row| row.1 == Some(3.0)), "{rows:?}");
    assert!(
        world.samples.keys().all(|series| !series.starts_with("h_")),
        "{:?}",
        world.samples
    );
    let expected = "\"h\":{\"time_stamp\":\"2023-11-14T22:13:20.000Z\",\"type\":\"HISTOGRAM\",\"metrics\":[{\"labels\":\
                    {\"instance\":\"\",\"job\":\"a\"},\"buckets\":[[0,\"1\",\"2\",\"3\"]],\"count\":\"3\",\"sum\":\"1.5\"}]}";
    assert!(world.json(NOW).contains(expected), "{}", world.json(NOW));
    // The series is one of floats now: nothing of it is gone.
    let later = NOW + 40_000;
    world.send(&push("h 7\n", Kind::Merge, &terms("a", later, 0)), later);
    world.emit(later + 1000);
    assert_eq!(world.of("h{job=\"a\"}").last(), Some(&(40_000, Some(7.0))));
    let later = NOW + 50_000;
    world.send(&push_of(&native(5, true), Kind::Merge, later), later);
    world.emit(later + 1000);
    assert_eq!(world.of("h{job=\"a\"}").last(), Some(&(50_000, Some(5.0))));
    assert_eq!(
        world.of("h_bucket{job=\"a\", le=\"2.0\"}").last(),
        Some(&(50_000, Some(5.0)))
    );
    assert_eq!(world.of("h_count{job=\"a\"}").last(), Some(&(50_000, Some(5.0))));
    world.send(
        &push("", Kind::Replace, &terms("a", later + 5000, 0)),
        later + 5000,
    );
    world.emit(later + 6000);
    for series in [
        "h{job=\"a\"}",
        "h_count{job=\"a\"}",
        "h_bucket{job=\"a\", le=\"+Inf\"}",
    ] {
        assert_eq!(world.of(series).last(), Some(&(55_000, None)), "{series}");
    }
}

#[test]
fn an_invalid_native_histogram_refuses_the_push_and_a_bad_exemplar_does_not() {
    let split = |prepared: &Prepared| {
        let limits = WriteLimits::default();
        splitter().split_push(prepared, UID, 1, &limits, NOW).unwrap()
    };
    let mut body = native(3, false);
    *body.last_mut().unwrap() = 8;
    let families = prepare::parse(&body, Format::Protobuf).unwrap();
    let batch = split(
        &prepare::push(families, Kind::Replace, &terms("a", NOW, 0))
            .unwrap()
            .unwrap(),
    );
    assert_eq!(batch.refused[0].reason, Reason::InvalidHistogram);
    assert_eq!(batch.pushes, []);
    let text = format!(
        "# TYPE x counter\nx_total 1 # {{id=\"1\"}} 2\nx_total{{a=\"b\"}} 1 # {{id=\"{}\"}} 3 {}\n# EOF\n",
        "x".repeat(200),
        NOW / 1000
    );
    let families = prepare::parse(text.as_bytes(), Format::OpenMetrics).unwrap();
    let batch = split(
        &prepare::push(families, Kind::Replace, &terms("a", NOW, 0))
            .unwrap()
            .unwrap(),
    );
    assert_eq!(
        batch
            .refused
            .iter()
            .map(|r| (r.reason, r.samples))
            .collect::<Vec<_>>(),
        [(Reason::InvalidExemplar, 1)]
    );
    let logged = splitter().replay(&batch.body, batch.form, UID, 1).unwrap();
    assert_eq!(
        (logged.pushes.len(), logged.series.len(), logged.exemplars.len()),
        (1, 3, 1)
    );
    let (series, labels) = logged.exemplar_labels(&logged.exemplars[0]);
    assert_eq!(series_text(series), "x_total{job=\"a\"}");
    assert_eq!(
        (series_text(labels), logged.exemplars[0].time),
        ("{id=\"1\"}".to_owned(), NOW)
    );
}

#[test]
fn a_deleted_instance_is_not_emitted_and_goes_from_the_store() {
    let mut world = World::new();
    world.send(&push("x 1\n", Kind::Replace, &terms("a", NOW, 0)), NOW);
    assert!(
        world
            .book
            .due(NOW + 60_000, &HashMap::new(), 100)
            .unwrap()
            .is_empty()
    );
    let offset = world.book.changes().unwrap().unwrap().offset;
    world.book.stored(offset);
    assert_eq!(world.book.changes().unwrap().unwrap().entries, []);
    world.book.forget(UID);
    let changes = world.book.changes().unwrap().unwrap();
    assert_eq!(changes.entries.len(), 2);
    assert!(changes.entries.iter().all(|(_, value)| value.is_none()));
}

#[test]
fn senders_cannot_write_operations() {
    let prepared = push("x 1\n", Kind::Replace, &terms("a", NOW, 0));
    let splitter = splitter();
    let batch = splitter
        .split_push(&prepared, UID, 1, &WriteLimits::default(), NOW)
        .unwrap();
    let error = splitter
        .split(&batch.body, batch.form, UID, 1, &WriteLimits::default(), NOW)
        .unwrap_err();
    assert!(error.to_string().contains("not for senders"), "{error}");
}

#[test]
fn inconsistent_pushes_are_told_apart() {
    let why = |body: &str| {
        let families = prepare::parse(body.as_bytes(), Format::Text).unwrap();
        prepare::push(families, Kind::Replace, &terms("j", NOW, 0))
            .unwrap()
            .unwrap_err()
    };
    let prefix = "pushed metrics are invalid or inconsistent with existing metrics: ";
    for (body, expected) in [
        ("x 1 5\n", "pushed metrics must not have timestamps"),
        (
            "x{job=\"1\"} 1\nx{job=\"2\"} 1\n",
            "collected metric \"x\" { label:{name:\"job\" value:\"j\"} untyped:{value:1}} was collected before with the same name and label values",
        ),
        (
            "# TYPE x histogram\nx_bucket{le=\"+Inf\"} 1\n# TYPE y gauge\ny 1\n# TYPE x_count gauge\nx_count 1\n",
            "",
        ),
    ] {
        if expected.is_empty() {
            // The library folds such samples into the histogram.
            let families = prepare::parse(body.as_bytes(), Format::Text).unwrap();
            assert!(
                prepare::push(families, Kind::Replace, &terms("j", NOW, 0))
                    .unwrap()
                    .is_err()
            );
        } else {
            assert_eq!(why(body), format!("{prefix}{expected}"));
        }
    }
    let many = why("x 1\nx 1\nx 1\n");
    assert!(
        many.starts_with(&format!("{prefix}2 error(s) occurred:\n* ")),
        "{many}"
    );
}

#[derive(Debug, Clone)]
enum Step {
    Push(u8, Vec<(u8, u8)>, bool, bool),
    Delete(u8),
    Fail(u8),
    Wipe,
    Emit,
}

fn step() -> impl Strategy<Value = Step> {
    let rows = || {
        proptest::collection::btree_map(0..4_u8, 0..3_u8, 0..4).prop_map(|rows| rows.into_iter().collect())
    };
    prop_oneof![
        4 => (0..3_u8, rows(), any::<bool>(), any::<bool>()).prop_map(|(job, rows, merge, dies)| Step::Push(job, rows, merge, dies)),
        1 => (0..3_u8).prop_map(Step::Delete),
        1 => (0..3_u8).prop_map(Step::Fail),
        1 => Just(Step::Wipe),
        6 => Just(Step::Emit),
    ]
}

proptest! {
    /// What a book keeps is a function of its log: a book that was stored and restored on the way says and emits the same, and what a
    /// plain model has is what it has.
    #[test]
    fn a_restored_book_goes_on_as_one_that_never_stopped(
        steps in proptest::collection::vec((step(), 1..20_000_i64), 1..40),
        stops in proptest::collection::vec(any::<bool>(), 40),
    ) {
        let mut world = World::new();
        let mut twin = World::new();
        let mut model: BTreeMap<u8, (BTreeMap<u8, u8>, Option<Millis>)> = BTreeMap::new();
        let mut now = NOW;
        for ((step, pause), stop) in steps.into_iter().zip(stops) {
            now += pause;
            let prepared = match step {
                Step::Push(job, rows, merge, dies) => {
                    let ttl = if dies { 30_000 } else { 0 };
                    let body: Vec<String> = rows.iter().map(|(name, value)| format!("m{name} {value}\n")).collect();
                    let kind = if merge { Kind::Merge } else { Kind::Replace };
                    let group = model.entry(job).or_default();
                    let is_over = group.1.is_some_and(|expires| expires <= now - 1000);
                    if !merge || is_over {
                        group.0.clear();
                    }
                    group.0.extend(rows);
                    group.1 = dies.then_some(now + ttl);
                    // So that nothing ends between a push and what comes before it in the log.
                    world.emit(now);
                    twin.emit(now);
                    push(&body.concat(), kind, &terms(&job.to_string(), now, ttl))
                }
                Step::Delete(job) => {
                    model.remove(&job);
                    prepare::change(Kind::Delete, &terms(&job.to_string(), now, 0)).unwrap()
                }
                Step::Fail(job) => {
                    world.emit(now);
                    twin.emit(now);
                    model.retain(|_, group| group.1.is_none_or(|expires| expires > now - 1000));
                    model.entry(job).or_default();
                    prepare::change(Kind::Fail, &terms(&job.to_string(), now, 0)).unwrap()
                }
                Step::Wipe => {
                    model.clear();
                    prepare::change(Kind::Wipe, &terms("", now, 0)).unwrap()
                }
                Step::Emit => {
                    world.emit(now);
                    twin.emit(now);
                    continue;
                }
            };
            world.send(&prepared, now);
            twin.send(&prepared, now);
            if stop {
                world.book = world.restored();
            }
            prop_assert_eq!(world.json(now), twin.json(now));
        }
        world.emit(now + 2_000);
        twin.emit(now + 2_000);
        prop_assert_eq!(&world.samples, &twin.samples);
        prop_assert_eq!(world.book.unreadable(), 0);
        // Every pushed series that has gone ends in a marker, and every other one in a value. Stamps of a new group come with its first
        // emission.
        model.retain(|_, group| group.1.is_none_or(|expires| expires > now + 1_000));
        for (text, rows) in world.samples.iter().filter(|(text, _)| text.starts_with('m')) {
            let job: u8 = text.split("job=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap();
            let name: u8 = text[1..].split('{').next().unwrap().parse().unwrap();
            let lives = model.get(&job).is_some_and(|group| group.0.contains_key(&name));
            let is_stale = rows.last().is_some_and(|(_, bits)| *bits == STALE_BITS);
            prop_assert_eq!(!is_stale, lives, "{} {:?}", text, rows);
        }
    }
}
