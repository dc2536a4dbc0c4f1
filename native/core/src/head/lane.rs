//! The samples of one series in one generation of a window.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::columns::{Columns, Run};
use super::values::{self, BLOCK};

/// A lane that belongs to no generation: the place of a series that holds nothing.
pub const NO_GENERATION: u32 = u32::MAX;

/// A lane with more runs than this, and more than an eighth of its samples, gets a column of its own.
const RUNS_KEPT: usize = 8;

/// What became of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Stored,
    /// The same bits at the same time are already there.
    Repeated,
    /// Another value is already there, and stays.
    Conflict,
}

/// In-order samples lie in encoded blocks and, the newest up to [`BLOCK`], plain; their times lie in shared columns.
/// What came late lies aside, sorted. Times are offsets into the window.
///
/// What every append touches comes first, so that it shares a cache line with what [`super::series::Series`] puts before it.
#[derive(Debug)]
#[repr(C)]
pub struct Lane {
    pub generation: u32,
    newest: u32,
    /// Where the newest in-order samples lie.
    run: Run,
    in_order: u32,
    plain_len: u8,
    exponent: u8,
    aside: Option<Box<Aside>>,
    encoded: Vec<u8>,
    plain: [f64; BLOCK],
}

/// What most lanes do not have.
#[derive(Debug, Default)]
struct Aside {
    /// Runs before the newest one, in order of time.
    runs: Vec<Run>,
    /// Time → bits of samples that came after a newer one.
    late: BTreeMap<u32, u64>,
}

/// Bytes that one late sample takes in the tree, with its share of nodes.
const LATE_BYTES: usize = 24;

impl Lane {
    pub const fn empty() -> Self {
        Self {
            encoded: Vec::new(),
            plain: [0.0; BLOCK],
            aside: None,
            run: Run {
                column: 0,
                first: 0,
                count: 0,
            },
            generation: NO_GENERATION,
            in_order: 0,
            newest: 0,
            plain_len: 0,
            exponent: 0,
        }
    }

    pub fn of(generation: u32) -> Self {
        Self {
            generation,
            ..Self::empty()
        }
    }

    /// Adds a sample. `grown` takes the heap bytes it cost; `scratch` is any vector.
    #[inline]
    pub fn append(
        &mut self,
        columns: &mut Columns,
        time: u32,
        value: f64,
        scratch: &mut Vec<u8>,
        grown: &mut usize,
    ) -> Outcome {
        if self.in_order == 0 {
            self.run = columns.start(time);
        } else if time > self.newest {
            if let Some(next) = columns.extend(&mut self.run, time) {
                self.turn(next, columns);
            }
        } else {
            return self.append_late(columns, time, value, grown);
        }
        self.newest = time;
        self.in_order += 1;
        if usize::from(self.plain_len) == BLOCK {
            self.encode(scratch, grown);
        }
        self.plain[usize::from(self.plain_len) & (BLOCK - 1)] = value;
        self.plain_len += 1;
        Outcome::Stored
    }

    fn encode(&mut self, scratch: &mut Vec<u8>, grown: &mut usize) {
        scratch.clear();
        values::encode(&self.plain, &mut self.exponent, scratch);
        let before = self.encoded.capacity();
        if before - self.encoded.len() < scratch.len() {
            // Doubling would waste a quarter of all memory on average.
            self.encoded
                .reserve_exact(scratch.len().max(self.encoded.len() / 4));
            *grown += self.encoded.capacity() - before;
        }
        self.encoded.extend_from_slice(scratch);
        self.plain_len = 0;
    }

    /// Goes on in another run.
    #[cold]
    fn turn(&mut self, next: Run, columns: &mut Columns) {
        let runs = &mut self.aside.get_or_insert_default().runs;
        runs.push(self.run);
        self.run = next;
        if runs.len() > RUNS_KEPT && runs.len() > self.in_order as usize / 8 {
            let mut times = Vec::with_capacity(self.in_order as usize + BLOCK);
            for run in runs.drain(..).chain([next]) {
                times.extend_from_slice(columns.times(run));
            }
            self.run = columns.private(times);
        }
    }

    #[cold]
    fn append_late(&mut self, columns: &Columns, time: u32, value: f64, grown: &mut usize) -> Outcome {
        let bits = value.to_bits();
        let judge = |held: u64| {
            if held == bits {
                Outcome::Repeated
            } else {
                Outcome::Conflict
            }
        };
        if time == self.newest {
            return judge(self.newest_value().to_bits());
        }
        if let Some(held) = self.find(columns, time) {
            return judge(held.to_bits());
        }
        match self.aside.get_or_insert_default().late.entry(time) {
            Entry::Occupied(held) => judge(*held.get()),
            Entry::Vacant(slot) => {
                slot.insert(bits);
                *grown += LATE_BYTES;
                Outcome::Stored
            }
        }
    }

    fn newest_value(&self) -> f64 {
        self.plain[usize::from(self.plain_len.saturating_sub(1)) & (BLOCK - 1)]
    }

    /// The in-order value at `time`.
    fn find(&self, columns: &Columns, time: u32) -> Option<f64> {
        let mut before = 0;
        for run in self.runs() {
            let times = columns.times(run);
            if times.last().is_some_and(|&last| time <= last) {
                return times
                    .binary_search(&time)
                    .ok()
                    .and_then(|at| self.value(before + at));
            }
            before += times.len();
        }
        None
    }

    fn value(&self, index: usize) -> Option<f64> {
        let encoded = self.encoded_len();
        if index >= encoded {
            return self.plain().get(index - encoded).copied();
        }
        let mut block = [0.0; BLOCK];
        values::decode(self.blocks(index / BLOCK, index / BLOCK + 1), &mut block)?;
        Some(block[index % BLOCK])
    }

    pub fn is_empty(&self) -> bool {
        self.in_order == 0
    }

    /// Runs in order of time.
    pub fn runs(&self) -> impl Iterator<Item = Run> {
        self.earlier_runs().iter().copied().chain([self.run])
    }

    pub fn earlier_runs(&self) -> &[Run] {
        self.aside.as_ref().map_or(&[], |aside| &aside.runs)
    }

    /// The only run of a lane that has nothing aside.
    pub fn single_run(&self) -> Option<Run> {
        match &self.aside {
            Some(aside) if !aside.runs.is_empty() || !aside.late.is_empty() => None,
            _ => Some(self.run),
        }
    }

    /// In-order samples that are encoded; always whole blocks.
    pub fn encoded_len(&self) -> usize {
        self.in_order as usize - usize::from(self.plain_len)
    }

    pub fn plain(&self) -> &[f64] {
        &self.plain[..usize::from(self.plain_len)]
    }

    /// The bytes of encoded blocks `from..to`. Queries mostly want the newest, which are found from behind.
    pub fn blocks(&self, from: usize, to: usize) -> &[u8] {
        let count = self.encoded_len() / BLOCK;
        let mut end = self.encoded.len();
        for _ in to..count {
            end -= values::skip_back(&self.encoded[..end]).unwrap_or(0);
        }
        let mut start = 0;
        if from > to.min(count) - from.min(to) {
            start = end;
            for _ in from..to.min(count) {
                start -= values::skip_back(&self.encoded[..start]).unwrap_or(0);
            }
        } else {
            for _ in 0..from {
                start += values::skip(&self.encoded[start..]).unwrap_or(0);
            }
        }
        &self.encoded[start..end]
    }

    /// All samples in order of time, late ones included.
    pub fn read(&self, columns: &Columns, times: &mut Vec<u32>, out: &mut Vec<f64>) {
        times.clear();
        out.clear();
        for run in self.runs() {
            times.extend_from_slice(columns.times(run));
        }
        let mut block = [0.0; BLOCK];
        let mut at = 0;
        while let Some(length) = values::decode(&self.encoded[at..], &mut block) {
            out.extend_from_slice(&block);
            at += length;
        }
        out.extend_from_slice(self.plain());
        if let Some(aside) = &self.aside
            && !aside.late.is_empty()
        {
            insert_late(&aside.late, times, out);
        }
    }
}

/// Merges from the back, in place. No time of `late` is among `times`.
fn insert_late(late: &BTreeMap<u32, u64>, times: &mut Vec<u32>, values: &mut Vec<f64>) {
    let mut from = times.len();
    let mut to = from + late.len();
    times.resize(to, 0);
    values.resize(to, 0.0);
    for (&time, &bits) in late.iter().rev() {
        while from > 0 && times[from - 1] > time {
            from -= 1;
            to -= 1;
            times[to] = times[from];
            values[to] = values[from];
        }
        to -= 1;
        times[to] = time;
        values[to] = f64::from_bits(bits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_value_stays() {
        let (mut columns, mut lane, mut scratch, mut grown) =
            (Columns::default(), Lane::of(0), Vec::new(), 0);
        let mut put = |t, v| lane.append(&mut columns, t, v, &mut scratch, &mut grown);
        assert_eq!(put(10, 1.0), Outcome::Stored);
        assert_eq!(put(10, 1.0), Outcome::Repeated);
        assert_eq!(put(10, 2.0), Outcome::Conflict);
        assert_eq!(put(20, 3.0), Outcome::Stored);
        assert_eq!(put(15, 4.0), Outcome::Stored);
        assert_eq!(put(15, 5.0), Outcome::Conflict);
        assert_eq!(put(10, 1.0), Outcome::Repeated);
    }

    proptest! {
        /// Several series over one set of columns, against a map that keeps the first value.
        #[test]
        fn equals_a_map(events in prop::collection::vec((0_usize..4, 0_u32..300, 0_u8..4), 0..600)) {
            let mut columns = Columns::default();
            let mut lanes: Vec<Lane> = (0..4).map(|_| Lane::of(0)).collect();
            let mut maps = vec![BTreeMap::new(); 4];
            let (mut scratch, mut grown, mut clock) = (Vec::new(), 0, 0);
            for (series, at, value) in events {
                // Mostly forward, so that columns, gaps, forks and private columns all happen.
                let time = if at < 250 { clock += at % 3; clock } else { clock.saturating_sub(at - 250) };
                let outcome = lanes[series].append(&mut columns, time, f64::from(value), &mut scratch, &mut grown);
                let expected = match maps[series].get(&time) {
                    None => Outcome::Stored,
                    Some(&held) if held == value => Outcome::Repeated,
                    Some(_) => Outcome::Conflict,
                };
                prop_assert_eq!(outcome, expected);
                maps[series].entry(time).or_insert(value);
            }
            let (mut times, mut values) = (Vec::new(), Vec::new());
            for (lane, map) in lanes.iter().zip(&maps) {
                if map.is_empty() { continue; }
                lane.read(&columns, &mut times, &mut values);
                prop_assert!(times.iter().copied().eq(map.keys().copied()));
                prop_assert!(values.iter().copied().eq(map.values().map(|&v| f64::from(v))));
            }
        }
    }
}
