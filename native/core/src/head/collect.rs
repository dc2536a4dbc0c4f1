//! Copies what a query needs out of a head, a few hundred series per lock.

use hashbrown::HashMap;

use crate::Result;
use crate::model::{Matcher, Millis, SeriesTable, Symbols, Uid};

use super::generation::Generations;
use super::instance::{Instance, Sheet};
use super::lane::Lane;
use super::matching::{Candidates, Tests};
use super::snapshot::{HeadRows, HeadSnapshot, Piece};
use super::values::BLOCK;
use super::{Head, SERIES_PER_LOCK, State};

/// No query symbols for this pair yet.
const UNMAPPED: (u32, u32) = (u32::MAX, u32::MAX);

impl Head {
    /// The series that pass all matchers and have samples with `min <= time <= max`. `check` is asked now and then whether to go on.
    pub fn select(
        &self,
        uid: Uid,
        matchers: &[Matcher],
        (min, max): (Millis, Millis),
        symbols: &mut Symbols,
        check: &dyn Fn() -> Result<()>,
    ) -> Result<HeadRows> {
        let mut tests = Tests::new(matchers);
        // Refs and label ids mean something else after series were removed: begin again, which is rare and bounded by releases.
        loop {
            tests.reset();
            let mut collector = Collector::new(min, max, symbols);
            if collector.run(self, uid, &mut tests, check)? {
                return Ok(HeadRows {
                    table: collector.table,
                    samples: collector.snapshot,
                });
            }
        }
    }
}

/// A generation that overlaps the query.
struct Overlap {
    generation: u32,
    window: Millis,
}

fn overlaps(generations: &Generations, min: Millis, max: Millis) -> Vec<Overlap> {
    let width = generations.width();
    generations
        .iter()
        .filter(|(_, g)| g.window <= max && g.window.saturating_add(width) > min)
        .map(|(generation, g)| Overlap {
            generation,
            window: g.window,
        })
        .collect()
}

/// The part of a column that lies in the range, as it was when first met.
#[derive(Debug, Clone, Copy)]
struct Axis {
    id: u32,
    from: u32,
    to: u32,
}

struct Collector<'s> {
    min: Millis,
    max: Millis,
    symbols: &'s mut Symbols,
    /// Query symbols by pair id of the instance.
    mapped: Vec<(u32, u32)>,
    axes: HashMap<(u32, u32), Axis>,
    last_axis: Option<((u32, u32), Axis)>,
    /// The axis of the last lane that was read out whole.
    own_axis: Option<u32>,
    table: SeriesTable,
    snapshot: HeadSnapshot,
    times: Vec<u32>,
    values: Vec<f64>,
}

impl<'s> Collector<'s> {
    fn new(min: Millis, max: Millis, symbols: &'s mut Symbols) -> Self {
        Self {
            min,
            max,
            symbols,
            mapped: Vec::new(),
            axes: HashMap::new(),
            last_axis: None,
            own_axis: None,
            table: SeriesTable::new(),
            snapshot: HeadSnapshot::default(),
            times: Vec::new(),
            values: Vec::new(),
        }
    }

    /// False if the head changed in a way that asks for another run.
    fn run(
        &mut self,
        head: &Head,
        uid: Uid,
        tests: &mut Tests<'_>,
        check: &dyn Fn() -> Result<()>,
    ) -> Result<bool> {
        let (candidates, epoch) = {
            let state = head.state.read();
            let Some(instance) = state.instances.get(&uid) else {
                return Ok(true);
            };
            (tests.candidates(instance), state.epoch)
        };
        let count = match &candidates {
            Candidates::Below(end) => *end as usize,
            Candidates::Listed(refs) => refs.len(),
        };
        for from in (0..count).step_by(SERIES_PER_LOCK) {
            check()?;
            let to = count.min(from + SERIES_PER_LOCK);
            let state = head.state.read();
            if state.epoch != epoch {
                return Ok(false);
            }
            match &candidates {
                Candidates::Below(_) => self.take(&state, uid, tests, from as u32..to as u32),
                Candidates::Listed(refs) => self.take(&state, uid, tests, refs[from..to].iter().copied()),
            }
        }
        Ok(true)
    }

    fn take(&mut self, state: &State, uid: Uid, tests: &mut Tests<'_>, refs: impl Iterator<Item = u32>) {
        let Some(instance) = state.instances.get(&uid) else {
            return;
        };
        let overlaps = overlaps(&state.generations, self.min, self.max);
        let names = tests.names(&instance.index);
        for series in refs {
            let Some(held) = instance.slab.get(series) else {
                continue;
            };
            if !tests.accept(&instance.index, &names, &held.labels) {
                continue;
            }
            let before = self.snapshot.pieces.len();
            for lane in held.lanes() {
                if let Ok(at) = overlaps.binary_search_by_key(&lane.generation, |o| o.generation)
                    && let Some(sheet) = instance.find_sheet(lane.generation)
                {
                    self.take_lane(lane, sheet, overlaps[at].window);
                }
            }
            if self.snapshot.pieces.len() > before {
                self.snapshot.ends.push(self.snapshot.pieces.len() as u32);
                self.take_labels(instance, &held.labels);
            }
        }
    }

    fn take_labels(&mut self, instance: &Instance, row: &[u32]) {
        let index = &instance.index;
        if self.mapped.len() < index.pairs().len() {
            self.mapped.resize(index.pairs().len(), UNMAPPED);
        }
        let (mapped, symbols) = (&mut self.mapped, &mut *self.symbols);
        self.table.push(row.iter().map(|&pair| {
            let slot = &mut mapped[pair as usize];
            if *slot == UNMAPPED {
                let (name, value) = index.pairs()[pair as usize];
                *slot = (
                    symbols.intern(index.symbols().get(name)),
                    symbols.intern(index.symbols().get(value)),
                );
            }
            *slot
        }));
    }

    fn take_lane(&mut self, lane: &Lane, sheet: &Sheet, window: Millis) {
        let Some(run) = lane.single_run() else {
            return self.take_whole(lane, sheet, window);
        };
        let axis = self.axis(sheet, run.column, window);
        let from = axis.from.max(run.first);
        let to = axis.to.min(run.first + run.count);
        if from >= to {
            return;
        }
        // Positions in the lane.
        let (start, end) = ((from - run.first) as usize, (to - run.first) as usize);
        let encoded_len = lane.encoded_len();
        let snapshot = &mut self.snapshot;
        let mut piece = Piece {
            axis: axis.id,
            first: from - axis.from,
            count: to - from,
            skipped: 0,
            encoded: 0,
            encoded_at: snapshot.encoded.len(),
            plain_at: snapshot.plain.len(),
        };
        if start < encoded_len {
            let last = end.min(encoded_len);
            let block = start / BLOCK;
            piece.skipped = (start - block * BLOCK) as u32;
            piece.encoded = (last - start) as u32;
            snapshot
                .encoded
                .extend_from_slice(lane.blocks(block, last.div_ceil(BLOCK)));
        }
        if end > encoded_len {
            let plain = start.max(encoded_len) - encoded_len..end - encoded_len;
            snapshot.plain.extend_from_slice(&lane.plain()[plain]);
        }
        snapshot.pieces.push(piece);
    }

    fn axis(&mut self, sheet: &Sheet, column: u32, window: Millis) -> Axis {
        let key = (sheet.generation, column);
        if let Some((last, axis)) = self.last_axis
            && last == key
        {
            return axis;
        }
        let (min, max) = (self.min, self.max);
        let axes = &mut self.snapshot.axes;
        let axis = *self.axes.entry(key).or_insert_with(|| {
            let times = sheet.columns.get(column);
            let from = times.partition_point(|&t| window + Millis::from(t) < min);
            let to = times
                .partition_point(|&t| window + Millis::from(t) <= max)
                .max(from);
            axes.push(
                times[from..to]
                    .iter()
                    .map(|&t| window + Millis::from(t))
                    .collect(),
            );
            Axis {
                id: axes.len() as u32 - 1,
                from: from as u32,
                to: to as u32,
            }
        });
        self.last_axis = Some((key, axis));
        axis
    }

    /// A lane with gaps or late samples, read out. Its neighbours often have the same gaps, and then share its axis.
    fn take_whole(&mut self, lane: &Lane, sheet: &Sheet, window: Millis) {
        lane.read(&sheet.columns, &mut self.times, &mut self.values);
        let from = self
            .times
            .partition_point(|&t| window + Millis::from(t) < self.min);
        let to = self
            .times
            .partition_point(|&t| window + Millis::from(t) <= self.max)
            .max(from);
        if from == to {
            return;
        }
        let times = || self.times[from..to].iter().map(|&t| window + Millis::from(t));
        let snapshot = &mut self.snapshot;
        let shared = self
            .own_axis
            .filter(|&axis| snapshot.axes[axis as usize].iter().copied().eq(times()));
        let axis = shared.unwrap_or_else(|| {
            snapshot.axes.push(times().collect());
            snapshot.axes.len() as u32 - 1
        });
        self.own_axis = Some(axis);
        snapshot.pieces.push(Piece {
            axis,
            first: 0,
            count: (to - from) as u32,
            skipped: 0,
            encoded: 0,
            encoded_at: snapshot.encoded.len(),
            plain_at: snapshot.plain.len(),
        });
        snapshot.plain.extend_from_slice(&self.values[from..to]);
    }
}
