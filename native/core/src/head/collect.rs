//! Copies what a query needs out of a head.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::Result;
use crate::model::{Millis, SeriesTable, Symbols, Uid};

use super::Head;
use super::histograms::Histograms;
use super::instance::{Instance, Sheet};
use super::lane::Lane;
use super::matching::Tests;
use super::series::Series;
use super::snapshot::{HeadRows, HeadSnapshot, Held, HistogramPiece, Piece};
use super::starts::Starts;
use super::walk::{GoOn, Overlap, PairMap, Taken, Visitor, Wanted};

/// What is taken of the series that match.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// Times of the samples, both ends included.
    pub range: (Millis, Millis),
    pub labels: Wanted<'a>,
    /// Whether start timestamps are.
    pub starts: bool,
}

impl std::fmt::Debug for Asked<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { range, starts, .. } = self;
        write!(f, "Asked({range:?}, starts: {starts})")
    }
}

impl Head {
    /// The series that pass all tests and have samples in the range.
    pub fn select(
        &self,
        uid: Uid,
        tests: &mut Tests<'_>,
        asked: Asked<'_>,
        symbols: &mut Symbols,
        go_on: GoOn<'_>,
    ) -> Result<HeadRows> {
        let mut collector = Collector::new(asked, symbols);
        self.walk(uid, tests, asked.range, go_on, &mut collector)?;
        Ok(HeadRows {
            table: collector.copied.table,
            samples: collector.copied.snapshot,
        })
    }
}

/// A time as an offset into a window; `None`: before it.
fn offset_in(window: Millis, time: Millis) -> Option<u32> {
    let offset = time
        .checked_sub(window)
        .unwrap_or(if time < window { Millis::MIN } else { Millis::MAX });
    (offset >= 0).then(|| u32::try_from(offset).unwrap_or(u32::MAX))
}

/// The part of a column that lies in the range, as it was when first met.
#[derive(Debug, Clone, Copy)]
struct Axis {
    id: u32,
    from: u32,
    to: u32,
}

struct Collector<'s> {
    asked: Asked<'s>,
    symbols: &'s mut Symbols,
    copied: Copied,
    times: Vec<u32>,
    values: Vec<f64>,
}

#[derive(Default)]
struct Copied {
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
        self.copied = Copied::default();
    }

    fn taken(&self) -> Taken {
        let copied = &self.copied;
        Taken {
            series: copied.table.len(),
            bytes: copied.table.pairs() * 8 + copied.snapshot.bytes(),
        }
    }

    fn visit(&mut self, instance: &Instance, overlaps: &[Overlap], place: u32, series: &Series) {
        let snapshot = &self.copied.snapshot;
        let before = (snapshot.pieces.len(), snapshot.histograms.len());
        for lane in series.lanes() {
            if let Ok(at) = overlaps.binary_search_by_key(&lane.generation, |o| o.generation)
                && let Some(sheet) = instance.find_sheet(lane.generation)
            {
                let window = overlaps[at].window;
                let starts = match sheet.starts.get(&place) {
                    Some(held) if self.asked.starts => self.take_starts(held, window),
                    _ => 0,
                };
                if !lane.is_empty() {
                    self.take_lane(lane, sheet, window, starts);
                }
                if let Some(held) = sheet.histograms.get(&place) {
                    self.take_histograms(held, window, starts, before.0);
                }
            }
        }
        let copied = &mut self.copied;
        let (pieces, histograms) = (copied.snapshot.pieces.len(), copied.snapshot.histograms.len());
        if (pieces, histograms) > before {
            copied.snapshot.ends.push(pieces as u32);
            copied.table.push(copied.map.wanted(
                &instance.index,
                &series.labels,
                self.symbols,
                self.asked.labels,
            ));
        }
    }
}

impl<'s> Collector<'s> {
    fn new(asked: Asked<'s>, symbols: &'s mut Symbols) -> Self {
        Self {
            asked,
            symbols,
            copied: Copied::default(),
            times: Vec::new(),
            values: Vec::new(),
        }
    }

    fn take_lane(&mut self, lane: &Lane, sheet: &Sheet, window: Millis, starts: u32) {
        let Some(run) = lane.single_run() else {
            return self.take_whole(lane, sheet, window, starts);
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
        let snapshot = &mut self.copied.snapshot;
        let mut piece = Piece {
            axis: axis.id,
            first: from - axis.from,
            count: to - from,
            skipped: 0,
            encoded: 0,
            starts,
            encoded_at: snapshot.encoded.len(),
            plain_at: snapshot.plain.len(),
        };
        if start < encoded_len {
            let last = end.min(encoded_len);
            piece.encoded = (last - start) as u32;
            piece.skipped = lane.copy_chunks(sheet, start..last, &mut snapshot.encoded) as u32;
        }
        if end > encoded_len {
            let plain = start.max(encoded_len) - encoded_len..end - encoded_len;
            snapshot.plain.extend_from_slice(&lane.plain()[plain]);
        }
        snapshot.pieces.push(piece);
    }

    /// Those of the row that is being read, of which the pieces of floats begin at `row_start`.
    fn take_histograms(&mut self, held: &Histograms, window: Millis, starts: u32, row_start: usize) {
        let Some((from, to)) = self.offsets(window) else {
            return;
        };
        let (chunks, open) = held.between(from, to);
        let snapshot = &mut self.copied.snapshot;
        let (row, behind) = (
            snapshot.ends.len() as u32,
            (snapshot.pieces.len() - row_start) as u32,
        );
        let mut push = |held: Held| {
            snapshot.histograms.push(HistogramPiece {
                row,
                behind,
                starts,
                window,
                held,
            });
        };
        for chunk in chunks {
            push(Held::Encoded(Arc::clone(chunk)));
        }
        if !open.is_empty() {
            push(Held::Plain(open.to_vec()));
        }
    }

    /// The list of starts that hold in the range.
    fn take_starts(&mut self, held: &Starts, window: Millis) -> u32 {
        let Some((from, to)) = self.offsets(window) else {
            return 0;
        };
        let changes = held.between(from, to).iter();
        let changes = changes.map(|&(time, start)| (window + Millis::from(time), start));
        self.copied.snapshot.starts.push(changes)
    }

    /// The range as offsets into a window, unless it is empty or ends before the window.
    fn offsets(&self, window: Millis) -> Option<(u32, u32)> {
        let (min, max) = self.asked.range;
        let to = offset_in(window, max).filter(|_| min <= max)?;
        Some((offset_in(window, min).unwrap_or(0), to))
    }

    fn axis(&mut self, sheet: &Sheet, column: u32, window: Millis) -> Axis {
        let key = (sheet.generation, column);
        if let Some((last, axis)) = self.copied.last_axis
            && last == key
        {
            return axis;
        }
        let (min, max) = self.asked.range;
        let axes = &mut self.copied.snapshot.axes;
        let axis = *self.copied.axes.entry(key).or_insert_with(|| {
            let Some(column) = sheet.columns.get(column) else {
                return Axis {
                    id: axes.push(std::iter::empty()),
                    from: 0,
                    to: 0,
                };
            };
            let offset = |time: Millis| u32::try_from(time.saturating_sub(window).max(0)).unwrap_or(u32::MAX);
            let from = column.rank(offset(min));
            let to = column.rank(offset(max.saturating_add(1))).max(from);
            self.times.clear();
            column.read(from..to, &mut self.times);
            let id = axes.push(self.times.iter().map(|&t| window + Millis::from(t)));
            Axis {
                id,
                from: from as u32,
                to: to as u32,
            }
        });
        self.copied.last_axis = Some((key, axis));
        axis
    }

    /// A lane with gaps or late samples, read out. Its neighbours often have the same gaps, and then share its axis.
    fn take_whole(&mut self, lane: &Lane, sheet: &Sheet, window: Millis, starts: u32) {
        lane.read(sheet, &mut self.times, &mut self.values);
        let (min, max) = self.asked.range;
        let from = self.times.partition_point(|&t| window + Millis::from(t) < min);
        let to = self
            .times
            .partition_point(|&t| window + Millis::from(t) <= max)
            .max(from);
        if from == to {
            return;
        }
        let times = || self.times[from..to].iter().map(|&t| window + Millis::from(t));
        let snapshot = &mut self.copied.snapshot;
        let shared = self
            .copied
            .own_axis
            .filter(|&axis| snapshot.axes.get(axis).iter().copied().eq(times()));
        let axis = shared.unwrap_or_else(|| snapshot.axes.push(times()));
        self.copied.own_axis = Some(axis);
        snapshot.pieces.push(Piece {
            axis,
            first: 0,
            count: (to - from) as u32,
            skipped: 0,
            encoded: 0,
            starts,
            encoded_at: snapshot.encoded.len(),
            plain_at: snapshot.plain.len(),
        });
        snapshot.plain.extend_from_slice(&self.values[from..to]);
    }
}
