//! The newest exemplars of an instance, bounded: the oldest to arrive make room. They are kept apart from the series in memory, live
//! longer than these, and are stored as a whole.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;

use super::{Head, labels};
use crate::model::{Matcher, Millis, Uid};
use crate::wire::exemplar::{put_exemplar, read_exemplars};
use crate::wire::{BatchExemplar, SplitBatch};
use crate::{Result, wire};

/// Of one series.
const PER_SERIES: usize = 64;

/// Of one instance in one head, labels included.
const BYTES: usize = 4 << 20;

/// What an exemplar takes besides its labels, and a series besides its.
const OVERHEAD: usize = 64;

#[derive(Debug, Default)]
pub struct Exemplars {
    /// By the label bytes of a series; in the order of arrival. A label set in two encodings is two series here, until it is read.
    series: HashMap<Arc<[u8]>, VecDeque<Exemplar>>,
    /// Number and series of each in the order of arrival, and of some that are gone.
    order: VecDeque<(u64, Arc<[u8]>)>,
    next: u64,
    live: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Exemplar {
    number: u64,
    labels: Box<[u8]>,
    time: Millis,
    value: f64,
}

impl Exemplar {
    fn bytes(&self) -> usize {
        OVERHEAD + self.labels.len()
    }
}

impl Exemplars {
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Nothing happens if the series has an equal one.
    pub fn add(&mut self, series: &[u8], labels: &[u8], time: Millis, value: f64) {
        let known = self.series.get_key_value(series).map(|(key, _)| Arc::clone(key));
        let key = known.unwrap_or_else(|| {
            self.bytes += OVERHEAD + series.len();
            Arc::from(series)
        });
        let held = self.series.entry(Arc::clone(&key)).or_default();
        let is_equal =
            |e: &Exemplar| e.time == time && e.value.to_bits() == value.to_bits() && *e.labels == *labels;
        if held.iter().any(is_equal) {
            return;
        }
        let exemplar = Exemplar {
            number: self.next,
            labels: labels.into(),
            time,
            value,
        };
        self.bytes += exemplar.bytes();
        self.live += 1;
        held.push_back(exemplar);
        if held.len() > PER_SERIES
            && let Some(oldest) = held.pop_front()
        {
            self.bytes -= oldest.bytes();
            self.live -= 1;
        }
        self.order.push_back((self.next, key));
        self.next += 1;
        while self.bytes > BYTES && self.live > 1 {
            self.evict();
        }
        if self.order.len() > 2 * self.live + PER_SERIES {
            let series = &self.series;
            let is_live = |(number, key): &(u64, Arc<[u8]>)| {
                let first = series.get(key).and_then(VecDeque::front);
                first.is_some_and(|first| first.number <= *number)
            };
            self.order.retain(is_live);
        }
    }

    /// Drops the exemplar that arrived first, if it is still there.
    fn evict(&mut self) {
        let Some((number, key)) = self.order.pop_front() else {
            return;
        };
        let Some(held) = self.series.get_mut(&key) else {
            return;
        };
        if held.front().is_some_and(|oldest| oldest.number == number)
            && let Some(oldest) = held.pop_front()
        {
            self.bytes -= oldest.bytes();
            self.live -= 1;
        }
        if held.is_empty() {
            self.bytes -= OVERHEAD + key.len();
            self.series.remove(&key);
        }
    }

    /// A remote-write request, not compressed, of those that `wanted` and lie between two times, both included; oldest arrivals first
    /// within a series.
    fn write(&self, (min, max): (Millis, Millis), wanted: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let mut out = Vec::new();
        for (series, held) in self.series.iter().filter(|(series, _)| wanted(series)) {
            for exemplar in held {
                if exemplar.time >= min && exemplar.time <= max {
                    put_exemplar(&mut out, series, &exemplar.labels, exemplar.time, exemplar.value);
                }
            }
        }
        out
    }
}

impl Head {
    pub(super) fn apply_exemplars(&self, batch: &SplitBatch) {
        let Some(uid) = batch.uid else { return };
        let own = |exemplar: &&BatchExemplar| exemplar.partition == self.partition;
        if !batch.exemplars.iter().any(|exemplar| own(&exemplar)) {
            return;
        }
        let mut state = self.state.write();
        let exemplars = state.exemplars.entry(uid).or_default();
        for exemplar in batch.exemplars.iter().filter(own) {
            let (series, labels) = batch.exemplar_labels(exemplar);
            exemplars.add(series, labels, exemplar.time, exemplar.value);
        }
    }

    /// Exemplars of series that match one of the sets, between two times, both included, as [`wire::exemplar::read_exemplars`] takes them.
    pub fn exemplars(&self, uid: Uid, sets: &[Vec<Matcher>], times: (Millis, Millis)) -> Vec<u8> {
        let state = self.state.read();
        let Some(exemplars) = state.exemplars.get(&uid) else {
            return Vec::new();
        };
        exemplars.write(times, |series| {
            let mut pairs = Vec::new();
            labels::decode(series, &mut pairs).is_some() && sets.iter().any(|set| is_match(set, &pairs))
        })
    }

    /// Rises with every exemplar of an instance; 0 while it has had none.
    pub fn exemplar_version(&self, uid: Uid) -> u64 {
        let state = self.state.read();
        state.exemplars.get(&uid).map_or(0, |exemplars| exemplars.next)
    }

    /// All exemplars of an instance, for the store; empty if there are none.
    pub fn exemplar_snapshot(&self, uid: Uid) -> Result<Vec<u8>> {
        let plain = {
            let state = self.state.read();
            let Some(exemplars) = state.exemplars.get(&uid) else {
                return Ok(Vec::new());
            };
            exemplars.write((Millis::MIN, Millis::MAX), |_| true)
        };
        wire::snappy::compress(&plain)
    }

    /// Exemplars from before a restart, before anything else is applied.
    pub fn restore_exemplars(&self, uid: Uid, snapshot: &[u8]) -> Result<()> {
        let plain = wire::snappy::decompress(snapshot, 4 * BYTES)?;
        let mut read = read_exemplars(&plain)?;
        read.sort_by_key(|exemplar| exemplar.time);
        let mut state = self.state.write();
        let exemplars = state.exemplars.entry(uid).or_default();
        for exemplar in read {
            exemplars.add(&exemplar.series, &exemplar.labels, exemplar.time, exemplar.value);
        }
        Ok(())
    }
}

/// `pairs` are sorted by name.
fn is_match(set: &[Matcher], pairs: &[(&str, &str)]) -> bool {
    set.iter().all(|matcher| {
        let at = pairs.binary_search_by(|(name, _)| (*name).cmp(&*matcher.name));
        matcher.matches(at.map_or("", |at| pairs[at].1))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::encode::put_label;

    fn series(number: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_label(&mut bytes, b"__name__", b"up");
        put_label(&mut bytes, b"job", number.to_string().as_bytes());
        bytes
    }

    fn times(exemplars: &Exemplars) -> Vec<Millis> {
        let plain = exemplars.write((Millis::MIN, Millis::MAX), |_| true);
        let mut times: Vec<_> = read_exemplars(&plain).unwrap().iter().map(|e| e.time).collect();
        times.sort_unstable();
        times
    }

    #[test]
    fn equal_ones_are_kept_once_and_of_a_series_the_newest() {
        let mut exemplars = Exemplars::default();
        for _ in 0..3 {
            exemplars.add(&series(1), b"", 5, 1.0);
            exemplars.add(&series(1), b"", 5, -0.0);
            exemplars.add(&series(1), b"", 4, 1.0);
            exemplars.add(&series(2), b"", 5, 1.0);
        }
        assert_eq!(times(&exemplars), [4, 5, 5, 5]);
        for time in 100..100 + PER_SERIES as i64 {
            exemplars.add(&series(1), b"", time, 1.0);
        }
        assert_eq!(times(&exemplars).len(), PER_SERIES + 1);
        assert_eq!(times(&exemplars)[1], 100);
    }

    #[test]
    fn the_oldest_make_room_and_nothing_grows_without_bound() {
        let mut exemplars = Exemplars::default();
        let mut long = Vec::new();
        put_label(&mut long, b"trace_id", &[b'x'; 120]);
        for time in 0..40_000 {
            exemplars.add(&series(time as usize % 6000), &long, time, 1.0);
            assert!(exemplars.bytes <= BYTES);
        }
        let kept = times(&exemplars);
        assert!(kept.len() > BYTES / 400, "{}", kept.len());
        assert!(
            kept.iter()
                .rev()
                .copied()
                .eq((0..kept.len() as i64).map(|back| 39_999 - back))
        );
        for time in 0..10_000 {
            exemplars.add(&series(1), b"", time, 2.0);
        }
        assert!(exemplars.order.len() <= 2 * exemplars.live + PER_SERIES + 1);
        let counted: usize = exemplars.series.values().map(VecDeque::len).sum();
        assert_eq!(counted, exemplars.live);
        let bytes: usize = exemplars
            .series
            .iter()
            .map(|(key, held)| OVERHEAD + key.len() + held.iter().map(Exemplar::bytes).sum::<usize>())
            .sum();
        assert_eq!(bytes, exemplars.bytes);
    }

    #[test]
    fn a_snapshot_holds_all_and_a_damaged_one_is_an_error() {
        let uid = Uid([1; 16]);
        let head = Head::new(0, 1000).unwrap();
        assert_eq!(head.exemplar_snapshot(uid).unwrap(), b"");
        for time in 0..10 {
            let mut state = head.state.write();
            state
                .exemplars
                .entry(uid)
                .or_default()
                .add(&series(time % 3), b"", time as Millis, 0.5);
        }
        let snapshot = head.exemplar_snapshot(uid).unwrap();
        let other = Head::new(0, 1000).unwrap();
        for _ in 0..2 {
            other.restore_exemplars(uid, &snapshot).unwrap();
        }
        let only = |value| {
            vec![vec![
                Matcher::new("job", crate::model::MatchOp::Equal, value).unwrap(),
            ]]
        };
        let found = other.exemplars(uid, &only("1"), (2, 7));
        let mut times: Vec<_> = read_exemplars(&found).unwrap().iter().map(|e| e.time).collect();
        times.sort_unstable();
        assert_eq!(times, [4, 7]);
        assert_eq!(other.exemplars(uid, &only("9"), (2, 7)), b"");
        assert!(other.restore_exemplars(uid, b"\xff\xff").is_err());
        other.forget(uid);
        assert_eq!(other.exemplar_snapshot(uid).unwrap(), b"");
    }
}
