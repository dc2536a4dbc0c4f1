//! Copies what a query needs out of a head.

use hashbrown::HashMap;

use crate::Result;
use crate::model::{Matcher, Millis, SeriesTable, Symbols, Uid};

use super::Head;
use super::instance::{Instance, Sheet};
use super::lane::Lane;
use super::series::Series;
use super::snapshot::{HeadRows, HeadSnapshot, Piece};
use super::values::BLOCK;
use super::walk::{Overlap, PairMap, Visitor};

impl Head {
    /// The series that pass all matchers and have samples with `min <= time <= max`. `check` is asked now and then whether to go on.
    pub fn select(
        &self,
        uid: Uid,
        matchers: &[Matcher],
        range: (Millis, Millis),
        symbols: &mut Symbols,
        check: &dyn Fn() -> Result<()>,
    ) -> Result<HeadRows> {
        let mut collector = Collector::new(range, symbols);
        self.walk(uid, matchers, range, check, &mut collector)?;
        Ok(HeadRows {
            table: collector.taken.table,
            samples: collector.taken.snapshot,
        })
    }
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
    taken: Taken,
    times: Vec<u32>,
    values: Vec<f64>,
}

#[derive(Default)]
struct Taken {
    map: PairMap,
    axes: HashMap<(u32, u32), Axis>,
    last_axis: Option<((u32, u32), Axis)>,
    /// The axis of the last lane that was read out whole.
    own_axis: Option<u32>,
    table: SeriesTable,
    snapshot: HeadSnapshot,
}

impl Visitor for Collector<'_> {
    fn restart(&mut self) {
        self.taken = Taken::default();
    }

    fn visit(&mut self, instance: &Instance, overlaps: &[Overlap], series: &Series) {
        let before = self.taken.snapshot.pieces.len();
        for lane in series.lanes() {
            if let Ok(at) = overlaps.binary_search_by_key(&lane.generation, |o| o.generation)
                && let Some(sheet) = instance.find_sheet(lane.generation)
            {
                self.take_lane(lane, sheet, overlaps[at].window);
            }
        }
        let taken = &mut self.taken;
        let pieces = taken.snapshot.pieces.len();
        if pieces > before {
            taken.snapshot.ends.push(pieces as u32);
            taken
                .table
                .push(taken.map.row(&instance.index, &series.labels, self.symbols));
        }
    }
}

impl<'s> Collector<'s> {
    fn new((min, max): (Millis, Millis), symbols: &'s mut Symbols) -> Self {
        Self {
            min,
            max,
            symbols,
            taken: Taken::default(),
            times: Vec::new(),
            values: Vec::new(),
        }
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
        let snapshot = &mut self.taken.snapshot;
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
        if let Some((last, axis)) = self.taken.last_axis
            && last == key
        {
            return axis;
        }
        let (min, max) = (self.min, self.max);
        let axes = &mut self.taken.snapshot.axes;
        let axis = *self.taken.axes.entry(key).or_insert_with(|| {
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
        self.taken.last_axis = Some((key, axis));
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
        let snapshot = &mut self.taken.snapshot;
        let shared = self
            .taken
            .own_axis
            .filter(|&axis| snapshot.axes[axis as usize].iter().copied().eq(times()));
        let axis = shared.unwrap_or_else(|| {
            snapshot.axes.push(times().collect());
            snapshot.axes.len() as u32 - 1
        });
        self.taken.own_axis = Some(axis);
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
