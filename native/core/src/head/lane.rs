//! The samples of one series in one generation of a window.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;

use super::cells::{Cells, Chain};
use super::chunks::{self, Decoder};
use super::columns::{Columns, Run};
use super::instance::Sheet;
use super::runs::{NOWHERE, RUN};
use super::values::{self, BLOCK};
use crate::codec::histograms::HistogramEncoder;
use crate::codec::values::{RunEncoder, RunInts};

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

/// In-order samples lie in runs, then in encoded blocks and, the newest up to [`BLOCK`], plain; their times lie in shared
/// columns. What came late lies aside, sorted. Times are offsets into the window.
///
/// What every append touches comes first, beside what [`super::series::Series`] puts before it.
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
    /// Blocks' worth of its values that lie in runs, of which the newest lies at `newest_run`.
    blocks_in_runs: u16,
    newest_run: u32,
    /// What is encoded behind the runs.
    blocks: Chain,
    aside: Option<Box<Aside>>,
    plain: [f64; BLOCK],
}

/// What appending needs besides; whose does not matter.
#[derive(Debug, Default)]
pub struct Scratch {
    bytes: Vec<u8>,
    values: Vec<f64>,
    encoder: RunEncoder,
    pub histograms: HistogramEncoder,
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
            blocks: Chain::EMPTY,
            plain: [0.0; BLOCK],
            aside: None,
            blocks_in_runs: 0,
            newest_run: NOWHERE,
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

    /// Adds a sample to the lane, whose generation the sheet is of. `grown` takes the heap bytes that it cost the lane alone.
    #[inline]
    pub fn append(
        &mut self,
        sheet: &mut Sheet,
        time: u32,
        value: f64,
        scratch: &mut Scratch,
        grown: &mut isize,
    ) -> Outcome {
        if self.in_order == 0 {
            self.run = sheet.columns.start(time);
        } else if time > self.newest {
            if let Some(next) = sheet.columns.extend(&mut self.run, time) {
                self.turn(next, &mut sheet.columns);
            }
        } else {
            return self.append_late(sheet, time, value, grown);
        }
        if usize::from(self.plain_len) == BLOCK {
            self.encode(sheet, scratch);
        }
        self.newest = time;
        self.in_order += 1;
        self.plain[usize::from(self.plain_len) & (BLOCK - 1)] = value;
        self.plain_len += 1;
        Outcome::Stored
    }

    fn encode(&mut self, sheet: &mut Sheet, scratch: &mut Scratch) {
        if !self.is_run_due() || !self.squeeze(sheet, scratch) {
            let block = &mut scratch.bytes;
            block.clear();
            values::encode(&self.plain, &mut self.exponent, block);
            sheet.cells.append(&mut self.blocks, block);
        }
        self.plain_len = 0;
    }

    /// Whether the blocks and what is plain become a run. All lanes of a window are equally far, and if all made their runs with the
    /// same sample, their blocks would take twice what they take on average. So the first run begins with up to three blocks
    /// that are none of the lane's, as many as the number of its column says.
    fn is_run_due(&self) -> bool {
        let waiting = self.in_blocks() + BLOCK;
        let strange = self.run.column as usize % (RUN / BLOCK) * BLOCK;
        waiting == RUN || self.blocks_in_runs == 0 && (RUN - strange..RUN).contains(&waiting)
    }

    /// Makes a run of the blocks and what is plain; false if it has no place.
    #[cold]
    fn squeeze(&mut self, sheet: &mut Sheet, scratch: &mut Scratch) -> bool {
        scratch.values.clear();
        scratch.bytes.clear();
        sheet.cells.read(&self.blocks, &mut scratch.bytes);
        decode_blocks(&scratch.bytes, &mut scratch.values);
        scratch.values.extend_from_slice(&self.plain);
        let own = scratch.values.len();
        // What is repeated costs a run least.
        let strange = std::iter::repeat_n(scratch.values[0], RUN - own);
        scratch.values.splice(..0, strange);
        scratch.bytes.clear();
        let alone = &mut RunInts::default();
        scratch
            .encoder
            .encode(&scratch.values, alone, false, &mut scratch.bytes);
        let (Some(blocks), Some(place)) = (
            self.blocks_in_runs.checked_add((own / BLOCK) as u16),
            sheet.runs.push(self.newest_run, &scratch.bytes),
        ) else {
            return false;
        };
        (self.blocks_in_runs, self.newest_run) = (blocks, place);
        sheet.cells.clear(&mut self.blocks);
        true
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
                columns.read(run, &mut times);
            }
            self.run = columns.private(&times);
        }
    }

    #[cold]
    fn append_late(&mut self, sheet: &Sheet, time: u32, value: f64, grown: &mut isize) -> Outcome {
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
        if let Some(held) = self.find(sheet, time) {
            return judge(held.to_bits());
        }
        match self.aside.get_or_insert_default().late.entry(time) {
            Entry::Occupied(held) => judge(*held.get()),
            Entry::Vacant(slot) => {
                slot.insert(bits);
                *grown += LATE_BYTES.cast_signed();
                Outcome::Stored
            }
        }
    }

    fn newest_value(&self) -> f64 {
        self.plain[usize::from(self.plain_len.saturating_sub(1)) & (BLOCK - 1)]
    }

    /// The in-order value at `time`.
    fn find(&self, sheet: &Sheet, time: u32) -> Option<f64> {
        let mut before = 0;
        for run in self.stretches() {
            match sheet.columns.find(run, time) {
                Ok(place) => return self.value(sheet, before + place?),
                Err(()) => before += run.count as usize,
            }
        }
        None
    }

    fn value(&self, sheet: &Sheet, index: usize) -> Option<f64> {
        if index >= self.encoded_len() {
            return self.plain().get(index - self.encoded_len()).copied();
        }
        let mut bytes = Vec::new();
        let skipped = self.copy_chunks(sheet, index..index + 1, &mut bytes);
        Decoder::default().chunk(&bytes)?.0.get(skipped).copied()
    }

    /// Whether there is a float at a time.
    pub fn holds(&self, sheet: &Sheet, time: u32) -> bool {
        if self.is_empty() || time > self.newest {
            return false;
        }
        let is_late = |aside: &Aside| aside.late.contains_key(&time);
        time == self.newest || self.aside.as_deref().is_some_and(is_late) || self.find(sheet, time).is_some()
    }

    /// Time of the newest float; 0 if there is none.
    pub fn newest(&self) -> u32 {
        self.newest
    }

    /// Whether it has no floats: its series may have histograms.
    pub fn is_empty(&self) -> bool {
        self.in_order == 0
    }

    /// Runs in order of time.
    pub fn stretches(&self) -> impl Iterator<Item = Run> {
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

    /// In-order samples that are encoded: whole runs, then whole blocks.
    pub fn encoded_len(&self) -> usize {
        self.in_order as usize - usize::from(self.plain_len)
    }

    fn in_runs(&self) -> usize {
        usize::from(self.blocks_in_runs) * BLOCK
    }

    /// Values at the beginning of its first run that are none of the lane's.
    fn strange(&self) -> usize {
        self.in_runs().next_multiple_of(RUN) - self.in_runs()
    }

    fn in_blocks(&self) -> usize {
        self.encoded_len() - self.in_runs()
    }

    pub fn plain(&self) -> &[f64] {
        &self.plain[..usize::from(self.plain_len)]
    }

    /// Appends the chunks that hold these encoded samples; returns how many samples of the first chunk come before them.
    pub fn copy_chunks(&self, sheet: &Sheet, samples: Range<usize>, out: &mut Vec<u8>) -> usize {
        let (in_runs, strange) = (self.in_runs(), self.strange());
        if samples.start < in_runs {
            let first = (strange + samples.start) / RUN;
            let end = (strange + samples.end.min(in_runs)).div_ceil(RUN);
            // Found from behind, wanted from the front.
            let newer = (strange + in_runs) / RUN - end;
            let mut found: Vec<&[u8]> = sheet
                .runs
                .back_from(self.newest_run)
                .skip(newer)
                .take(end - first)
                .collect();
            while let Some(run) = found.pop() {
                chunks::put_run(run, out);
            }
        }
        if samples.end > in_runs {
            let from = samples.start.saturating_sub(in_runs) / BLOCK;
            self.copy_blocks(&sheet.cells, from..(samples.end - in_runs).div_ceil(BLOCK), out);
        }
        if samples.start < in_runs {
            (strange + samples.start) % RUN
        } else {
            (samples.start - in_runs) % BLOCK
        }
    }

    /// Appends the bytes of some blocks. Queries mostly want the newest, which are found from behind.
    fn copy_blocks(&self, cells: &Cells, wanted: Range<usize>, out: &mut Vec<u8>) {
        let base = out.len();
        cells.read(&self.blocks, out);
        let blocks = &out[base..];
        let count = self.in_blocks() / BLOCK;
        let mut end = blocks.len();
        for _ in wanted.end..count {
            end -= values::skip_back(&blocks[..end]).unwrap_or(0);
        }
        let mut start = end;
        for _ in wanted.start..wanted.end.min(count) {
            start -= values::skip_back(&blocks[..start]).unwrap_or(0);
        }
        out.truncate(base + end);
        out.drain(base..base + start);
    }

    /// All samples in order of time, late ones included.
    pub fn read(&self, sheet: &Sheet, times: &mut Vec<u32>, out: &mut Vec<f64>) {
        times.clear();
        out.clear();
        if self.is_empty() {
            return;
        }
        for run in self.stretches() {
            sheet.columns.read(run, times);
        }
        self.read_values(sheet, out);
        if let Some(aside) = &self.aside
            && !aside.late.is_empty()
        {
            insert_late(&aside.late, times, out);
        }
    }

    /// Appends the in-order values, which are all of a lane that has a [`Lane::single_run`].
    pub fn read_values(&self, sheet: &Sheet, out: &mut Vec<f64>) {
        let newest_first: Vec<&[u8]> = sheet.runs.back_from(self.newest_run).collect();
        let mut decoder = Decoder::default();
        let mut strange = self.strange();
        for run in newest_first.into_iter().rev() {
            let values = decoder.run(run).unwrap_or_default();
            out.extend_from_slice(values.get(strange..).unwrap_or_default());
            strange = 0;
        }
        let mut blocks = Vec::new();
        sheet.cells.read(&self.blocks, &mut blocks);
        decode_blocks(&blocks, out);
        out.extend_from_slice(self.plain());
    }
}

fn decode_blocks(bytes: &[u8], out: &mut Vec<f64>) {
    let (mut block, mut at) = ([0.0; BLOCK], 0);
    while let Some(length) = values::decode(&bytes[at..], &mut block) {
        out.extend_from_slice(&block);
        at += length;
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
        let (mut sheet, mut lane, mut scratch, mut grown) =
            (Sheet::of(0), Lane::of(0), Scratch::default(), 0);
        let mut put = |t, v| lane.append(&mut sheet, t, v, &mut scratch, &mut grown);
        assert_eq!(put(10, 1.0), Outcome::Stored);
        assert_eq!(put(10, 1.0), Outcome::Repeated);
        assert_eq!(put(10, 2.0), Outcome::Conflict);
        assert_eq!(put(20, 3.0), Outcome::Stored);
        assert_eq!(put(15, 4.0), Outcome::Stored);
        assert_eq!(put(15, 5.0), Outcome::Conflict);
        assert_eq!(put(10, 1.0), Outcome::Repeated);
    }

    /// Lanes whose first runs begin with 0 to 3 blocks that are not theirs.
    fn filled(samples: u32) -> (Sheet, Vec<Lane>) {
        let (mut sheet, mut scratch) = (Sheet::of(0), Scratch::default());
        let mut lanes: Vec<Lane> = (0..4).map(|_| Lane::of(0)).collect();
        for at in 0..samples {
            for (time, lane) in (at * 4..).zip(&mut lanes) {
                lane.append(&mut sheet, time, f64::from(at * 7 % 16), &mut scratch, &mut 0);
            }
        }
        (sheet, lanes)
    }

    #[test]
    fn old_samples_lie_in_runs_and_only_the_newest_in_blocks() {
        for samples in [1, 16, 17, 33, 49, 64, 65, 81, 480, 1000] {
            let (sheet, lanes) = filled(samples);
            let encoded = (samples as usize - 1) / BLOCK * BLOCK;
            for (lane, strange) in lanes.iter().zip([0, 16, 32, 48]) {
                let strange = if encoded + strange < RUN { 0 } else { strange };
                assert_eq!(lane.encoded_len(), encoded, "of {samples}");
                assert_eq!(lane.strange(), strange, "of {samples}");
                assert_eq!(lane.in_blocks(), (encoded + strange) % RUN, "of {samples}");
                assert_eq!(
                    sheet.runs.back_from(lane.newest_run).count(),
                    (encoded + strange) / RUN
                );
            }
        }
    }

    #[test]
    fn lanes_that_are_equally_far_make_their_runs_in_turn() {
        let (_, lanes) = filled(481);
        let in_blocks: Vec<usize> = lanes.iter().map(Lane::in_blocks).collect();
        assert_eq!(in_blocks, [32, 48, 0, 16]);
    }

    #[test]
    fn any_part_of_what_is_encoded_is_copied_in_whole_chunks() {
        let (sheet, lanes) = filled(300);
        let mut decoder = Decoder::default();
        for lane in &lanes {
            let all = lane.encoded_len();
            for (start, end) in (0..all).flat_map(|s| [(s, s + 1), (s, (s + 70).min(all)), (s, all)]) {
                let (mut bytes, mut found, mut at) = (Vec::new(), Vec::new(), 0);
                let skipped = lane.copy_chunks(&sheet, start..end, &mut bytes);
                while let Some((values, length)) = decoder.chunk(&bytes[at..]) {
                    found.extend_from_slice(values);
                    at += length;
                }
                let wanted = (start..end).map(|at| (at * 7 % 16) as f64);
                assert!(
                    found[skipped..].iter().copied().take(end - start).eq(wanted),
                    "{start}..{end}"
                );
                assert!(skipped < RUN && found.len() < skipped + end - start + RUN);
            }
        }
    }

    proptest! {
        /// Several series over one set of columns, against a map that keeps the first value.
        #[test]
        fn equals_a_map(events in prop::collection::vec((0_usize..4, 0_u32..300, 0_u8..4), 0..600)) {
            let mut sheet = Sheet::of(0);
            let mut lanes: Vec<Lane> = (0..4).map(|_| Lane::of(0)).collect();
            let mut maps = vec![BTreeMap::new(); 4];
            let (mut scratch, mut grown, mut clock) = (Scratch::default(), 0, 0);
            for (series, at, value) in events {
                // Mostly forward, so that columns, gaps, forks and private columns all happen.
                let time = if at < 250 { clock += at % 3; clock } else { clock.saturating_sub(at - 250) };
                let outcome = lanes[series].append(&mut sheet, time, f64::from(value), &mut scratch, &mut grown);
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
                lane.read(&sheet, &mut times, &mut values);
                prop_assert!(times.iter().copied().eq(map.keys().copied()));
                prop_assert!(values.iter().copied().eq(map.values().map(|&v| f64::from(v))));
            }
        }
    }
}
