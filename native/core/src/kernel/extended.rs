//! Range functions over `anchored` and `smoothed` selectors: the values at both ends of the window are looked up
//! beyond it, so that nothing has to be extrapolated.

use super::histograms::{RowNotes, Split, extend, smooth};
use super::range::{POLL_SAMPLES, RangeFunction, Ranges};
use super::window::{Fresh, Window, windows};
use crate::engine::{ABSENT, CellBuf, FLOAT};
use crate::model::{Millis, Samples};
use crate::{Error, Result};

/// How the values at the ends of a window are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edges {
    /// The last sample at or before each end.
    Anchored,
    /// Interpolated between the neighbours of each end.
    Smoothed,
}

impl Edges {
    pub fn name(self) -> &'static str {
        match self {
            Self::Anchored => "anchored",
            Self::Smoothed => "smoothed",
        }
    }
}

/// The samples of an extended range selector that no function takes: those inside `(start, end)` and one at either end.
#[derive(Debug, Clone, Copy)]
pub struct Pinned {
    pub start: Millis,
    pub end: Millis,
    pub edges: Edges,
    /// How far beyond the window neighbours are looked for.
    pub lookback: Millis,
}

impl Pinned {
    /// The first and last time that can matter.
    pub fn bounds(&self) -> (Millis, Millis) {
        let after = if self.edges == Edges::Smoothed {
            self.lookback
        } else {
            0
        };
        let min = self.start.saturating_sub(self.lookback).saturating_add(1);
        (min, self.end.saturating_add(after))
    }

    /// Replaces what was read within the bounds. Nothing is left without a sample after the start. What may be a counter
    /// is taken for a gauge, as in Prometheus.
    pub fn pin(&self, times: &mut Vec<Millis>, values: &mut Vec<f64>) {
        let stretch = Stretch {
            times: times.as_slice(),
            values: values.as_slice(),
            start: self.start,
            end: self.end,
        };
        let Some((first, last, left, right)) = stretch.pinned(self.edges) else {
            times.clear();
            values.clear();
            return;
        };
        let from = first + usize::from(times[first] <= self.start);
        let to = last + usize::from(times[last] < self.end);
        let inside = from..to.max(from);
        *times = [&[self.start], &times[inside.clone()], &[self.end]].concat();
        *values = [&[left], &values[inside], &[right]].concat();
    }
}

/// What an extended range selector asks for at each step.
#[derive(Debug, Clone, Copy)]
pub struct ExtendedRanges {
    pub ranges: Ranges,
    pub edges: Edges,
    /// How far beyond the window neighbours are looked for.
    pub lookback: Millis,
}

impl ExtendedRanges {
    /// The first and last time that can matter.
    pub fn bounds(&self) -> (Millis, Millis) {
        let (min, max) = self.ranges.bounds();
        let after = if self.edges == Edges::Smoothed {
            self.lookback
        } else {
            0
        };
        (min.saturating_sub(self.lookback), max.saturating_add(after))
    }
}

/// One range function over one row after the other.
#[derive(Debug)]
pub struct ExtendedKernel {
    function: RangeFunction,
    extended: ExtendedRanges,
    windows: Vec<Window>,
    times_key: u64,
    fresh: Fresh,
    split: Split,
}

impl ExtendedKernel {
    /// Anchored: changes, delta, increase, rate, resets. Smoothed: delta, increase, rate.
    pub fn new(function: RangeFunction, extended: ExtendedRanges) -> Result<Self> {
        let allowed = match function {
            RangeFunction::Rate | RangeFunction::Increase | RangeFunction::Delta => true,
            RangeFunction::Changes | RangeFunction::Resets => extended.edges == Edges::Anchored,
            _ => false,
        };
        if !allowed {
            return Err(Error::BadData(format!(
                "{function:?} has no {:?} form",
                extended.edges
            )));
        }
        Ok(Self {
            function,
            extended,
            windows: Vec::new(),
            times_key: 0,
            fresh: Fresh::default(),
            split: Split::default(),
        })
    }

    /// As [`RangeKernel::run`](super::RangeKernel::run).
    pub fn run(
        &mut self,
        samples: Samples<'_>,
        cells: &mut CellBuf,
        notes: &mut RowNotes,
        poll: impl Fn() -> Result<()>,
    ) -> Result<usize> {
        if !samples.has_histograms() {
            return self.run_floats(samples, &mut cells.kind, &mut cells.value, poll);
        }
        let mut split = std::mem::take(&mut self.split);
        split.fill(samples);
        let widest = self.run_floats(split.float_samples(), &mut cells.kind, &mut cells.value, &poll)?;
        let (function, extended) = (self.function, self.extended);
        let weight = extend(function, extended, &mut split, &self.windows, cells, notes, poll)?;
        self.split = split;
        Ok(widest.max(weight))
    }

    fn run_floats(
        &mut self,
        samples: Samples<'_>,
        kind: &mut [u8],
        value: &mut [f64],
        poll: impl Fn() -> Result<()>,
    ) -> Result<usize> {
        let samples = self.fresh.of(samples);
        let ExtendedRanges {
            ranges,
            edges,
            lookback,
        } = self.extended;
        let after = if edges == Edges::Smoothed { lookback } else { 0 };
        if samples.times_key == 0 || samples.times_key != self.times_key {
            let range = ranges.range.saturating_add(lookback).saturating_add(after);
            let offset = ranges.offset.saturating_sub(after);
            windows(samples.times, ranges.grid, range, offset, &mut self.windows);
            self.times_key = samples.times_key;
        }
        let (mut widest, mut unpolled) = (0, 0);
        for (step, window) in self.windows.iter().enumerate() {
            widest = widest.max(window.len());
            unpolled += window.len();
            if unpolled > POLL_SAMPLES {
                poll()?;
                unpolled = 0;
            }
            let end = ranges.grid.time(step).saturating_sub(ranges.offset);
            let cell = Stretch {
                times: window.of(samples.times),
                values: window.of(samples.values),
                start: end.saturating_sub(ranges.range),
                end,
            }
            .reduce(self.function, edges);
            kind[step] = if cell.is_some() { FLOAT } else { ABSENT };
            value[step] = cell.unwrap_or(0.0);
        }
        Ok(widest)
    }
}

/// The samples of one window `(start, end]` and of the look-back around it.
#[derive(Debug, Clone, Copy)]
struct Stretch<'a> {
    times: &'a [Millis],
    values: &'a [f64],
    start: Millis,
    end: Millis,
}

impl Stretch<'_> {
    fn reduce(self, function: RangeFunction, edges: Edges) -> Option<f64> {
        // Without a sample after the start there is nothing to measure.
        if *self.times.last()? <= self.start {
            return None;
        }
        let after_start = self.times.partition_point(|&time| time <= self.start);
        let first = after_start.saturating_sub(1);
        if matches!(function, RangeFunction::Changes | RangeFunction::Resets) {
            return Some(count(function, &self.values[first..]));
        }
        let is_counter = function != RangeFunction::Delta;
        let increase = match edges {
            Edges::Anchored => self.anchored(first, is_counter),
            Edges::Smoothed => self.smoothed(first, is_counter)?,
        };
        let seconds = (self.end - self.start) as f64 / 1e3;
        Some(if function == RangeFunction::Rate {
            increase / seconds
        } else {
            increase
        })
    }

    fn anchored(self, first: usize, is_counter: bool) -> f64 {
        let last = self.values.len() - 1;
        self.difference(self.values[first], self.values[last], (first, last), is_counter)
    }

    fn smoothed(self, first: usize, is_counter: bool) -> Option<f64> {
        if self.times[first] > self.end {
            return None;
        }
        // The first sample at or after the end, or the very last.
        let at_end = self.times.partition_point(|&time| time < self.end);
        let last = at_end.min(self.times.len() - 1);
        let left = if self.times[first] < self.start {
            self.interpolate(first, self.start, is_counter)
        } else {
            self.values[first]
        };
        let right = if last > 0 && self.times[last] > self.end {
            self.interpolate(last - 1, self.end, is_counter)
        } else {
            self.values[last]
        };
        Some(self.difference(left, right, (first, last), is_counter))
    }

    /// The samples next to the ends, or the first and the last there are, and the values at the ends.
    fn pinned(self, edges: Edges) -> Option<(usize, usize, f64, f64)> {
        let newest = self.times.len().checked_sub(1)?;
        let first = self.times[..newest]
            .partition_point(|&time| time <= self.start)
            .saturating_sub(1);
        let last = match edges {
            Edges::Anchored => newest,
            Edges::Smoothed => self.times[..newest].partition_point(|&time| time < self.end),
        };
        if self.times[last] <= self.start {
            return None;
        }
        let is_smoothed = edges == Edges::Smoothed;
        let left = if is_smoothed && self.times[first] < self.start {
            self.interpolate(first, self.start, false)
        } else {
            self.values[first]
        };
        let right = if is_smoothed && last > 0 && self.times[last] > self.end {
            self.interpolate(last - 1, self.end, false)
        } else {
            self.values[last]
        };
        Some((first, last, left, right))
    }

    /// right - left, and for counters what the resets strictly inside took away: those at the ends are in the
    /// interpolated values already.
    fn difference(self, left: f64, right: f64, (first, last): (usize, usize), is_counter: bool) -> f64 {
        let mut difference = right - left;
        if !is_counter {
            return difference;
        }
        let from = first + usize::from(self.times[first] <= self.start);
        let to = last + usize::from(self.times[last] < self.end);
        let mut previous = left;
        for &value in self
            .values
            .get(from..to)
            .unwrap_or_default()
            .iter()
            .chain(&[right])
        {
            if value < previous {
                difference += previous;
            }
            previous = value;
        }
        difference
    }

    /// The value at `time` on the line from sample `left` to the next one. A counter that fell starts from 0.
    fn interpolate(self, left: usize, time: Millis, is_counter: bool) -> f64 {
        let (mut from, to) = (self.values[left], self.values[left + 1]);
        if is_counter && to < from {
            from = 0.0;
        }
        let (start, end) = (self.times[left], self.times[left + 1]);
        from + (to - from) * (time - start) as f64 / (end - start) as f64
    }
}

fn count(function: RangeFunction, values: &[f64]) -> f64 {
    let pairs = values.windows(2).filter(|pair| match function {
        RangeFunction::Resets => pair[1] < pair[0],
        _ => pair[1] != pair[0] && !(pair[0].is_nan() && pair[1].is_nan()),
    });
    pairs.count() as f64
}

/// What a smoothed instant selector asks for: the value at each step on the line between its neighbours.
#[derive(Debug)]
pub struct SmoothedKernel {
    extended: ExtendedRanges,
    windows: Vec<Window>,
    times_key: u64,
    fresh: Fresh,
    split: Split,
}

impl SmoothedKernel {
    /// `ranges.range` is 0: only the look-back on both sides counts.
    pub fn new(extended: ExtendedRanges) -> Self {
        Self {
            extended,
            windows: Vec::new(),
            times_key: 0,
            fresh: Fresh::default(),
            split: Split::default(),
        }
    }

    /// cells: one per step, overwritten.
    pub fn run(&mut self, samples: Samples<'_>, cells: &mut CellBuf, notes: &mut RowNotes) {
        if !samples.has_histograms() {
            self.run_floats(samples, &mut cells.kind, &mut cells.value);
            return;
        }
        let mut split = std::mem::take(&mut self.split);
        split.fill(samples);
        self.run_floats(split.float_samples(), &mut cells.kind, &mut cells.value);
        smooth(self.extended, &mut split, &self.windows, cells, notes);
        self.split = split;
    }

    fn run_floats(&mut self, samples: Samples<'_>, kind: &mut [u8], value: &mut [f64]) {
        let samples = self.fresh.of(samples);
        let ExtendedRanges { ranges, lookback, .. } = self.extended;
        if samples.times_key == 0 || samples.times_key != self.times_key {
            let (range, offset) = (lookback.saturating_mul(2), ranges.offset.saturating_sub(lookback));
            windows(samples.times, ranges.grid, range, offset, &mut self.windows);
            self.times_key = samples.times_key;
        }
        for (step, window) in self.windows.iter().enumerate() {
            let time = ranges.grid.time(step).saturating_sub(ranges.offset);
            let stretch = Stretch {
                times: window.of(samples.times),
                values: window.of(samples.values),
                start: time,
                end: time,
            };
            let next = stretch.times.partition_point(|&at| at < time);
            let cell = match stretch.times.get(next) {
                Some(&at) if at == time => Some(stretch.values[next]),
                _ if next == 0 => None,
                Some(_) => Some(stretch.interpolate(next - 1, time, false)),
                None => Some(stretch.values[next - 1]),
            };
            kind[step] = if cell.is_some() { FLOAT } else { ABSENT };
            value[step] = cell.unwrap_or(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Element, Grid};

    const TIMES: [i64; 4] = [0, 10, 20, 30];

    fn extended(edges: Edges, at: i64, range: i64) -> ExtendedRanges {
        let grid = Grid {
            start: at,
            step: 1,
            steps: 1,
        };
        ExtendedRanges {
            ranges: Ranges {
                grid,
                range,
                offset: 0,
            },
            edges,
            lookback: 100,
        }
    }

    fn samples<'a>(times: &'a [i64], values: &'a [f64]) -> Samples<'a> {
        Samples::floats(times, values, 0)
    }

    fn reduce(function: RangeFunction, edges: Edges, values: &[f64], at: i64, range: i64) -> Option<f64> {
        let mut kernel = ExtendedKernel::new(function, extended(edges, at, range)).unwrap();
        let mut cells = CellBuf::absent(1);
        let input = samples(&TIMES[..values.len()], values);
        kernel
            .run(input, &mut cells, &mut RowNotes::default(), || Ok(()))
            .unwrap();
        cells.all().get(0).and_then(Element::float)
    }

    fn smoothed(values: &[f64], at: i64) -> Option<f64> {
        let mut kernel = SmoothedKernel::new(extended(Edges::Smoothed, at, 0));
        let mut cells = CellBuf::absent(1);
        let input = samples(&TIMES[..values.len()], values);
        kernel.run(input, &mut cells, &mut RowNotes::default());
        cells.all().get(0).and_then(Element::float)
    }

    fn pinned(edges: Edges, times: &[i64], values: &[f64], (start, end): (i64, i64)) -> Vec<(i64, f64)> {
        let pinned = Pinned {
            start,
            end,
            edges,
            lookback: 100,
        };
        let (mut times, mut values) = (times.to_vec(), values.to_vec());
        pinned.pin(&mut times, &mut values);
        times.into_iter().zip(values).collect()
    }

    #[test]
    fn windows_without_a_function_have_a_sample_at_either_end() {
        let values = [0.0, 10.0, 30.0, 60.0];
        assert_eq!(
            pinned(Edges::Anchored, &TIMES, &values, (5, 25)),
            [(5, 0.0), (10, 10.0), (20, 30.0), (25, 60.0)]
        );
        assert_eq!(
            pinned(Edges::Smoothed, &TIMES, &values, (5, 25)),
            [(5, 5.0), (10, 10.0), (20, 30.0), (25, 45.0)]
        );
        // Samples at the ends are not there twice.
        for edges in [Edges::Anchored, Edges::Smoothed] {
            assert_eq!(
                pinned(edges, &TIMES[..3], &values[..3], (0, 20)),
                [(0, 0.0), (10, 10.0), (20, 30.0)]
            );
        }
        // Nothing after the start, or nothing at all, is nothing; one sample stands for both ends.
        assert_eq!(pinned(Edges::Anchored, &TIMES, &values, (30, 40)), []);
        assert_eq!(pinned(Edges::Smoothed, &[], &[], (30, 40)), []);
        for edges in [Edges::Anchored, Edges::Smoothed] {
            assert_eq!(
                pinned(edges, &[35], &[7.0], (30, 40)),
                [(30, 7.0), (35, 7.0), (40, 7.0)]
            );
        }
        assert_eq!(
            pinned(Edges::Smoothed, &[45], &[7.0], (30, 40)),
            [(30, 7.0), (40, 7.0)]
        );
    }

    #[test]
    fn anchored_edges_are_samples_at_or_before() {
        let values = [1.0, 2.0, 4.0, 8.0];
        let increase = |at, range| reduce(RangeFunction::Increase, Edges::Anchored, &values, at, range);
        assert_eq!(increase(25, 10), Some(2.0));
        assert_eq!(increase(30, 10), Some(4.0));
        // Nothing before the start: the first sample inside stands for it.
        assert_eq!(increase(5, 20), Some(0.0));
        // Nothing after it: nothing to measure.
        assert_eq!(increase(50, 20), None);
    }

    #[test]
    fn smoothed_edges_lie_on_the_line_between_samples() {
        let values = [0.0, 10.0, 30.0, 60.0];
        let increase = |at, range| reduce(RangeFunction::Increase, Edges::Smoothed, &values, at, range);
        assert_eq!(increase(25, 10), Some(45.0 - 20.0));
        assert_eq!(increase(35, 10), Some(60.0 - 45.0));
        assert_eq!(
            reduce(RangeFunction::Rate, Edges::Smoothed, &values, 25, 10),
            Some(2500.0)
        );
    }

    #[test]
    fn a_reset_at_an_edge_starts_from_zero_and_one_inside_is_added() {
        let falls_at_edge = [8.0, 4.0, 6.0];
        assert_eq!(
            reduce(RangeFunction::Increase, Edges::Smoothed, &falls_at_edge, 15, 10),
            Some(5.0 - 2.0 + 0.0)
        );
        let falls_inside = [8.0, 9.0, 1.0, 3.0];
        assert_eq!(
            reduce(RangeFunction::Increase, Edges::Anchored, &falls_inside, 30, 30),
            Some(3.0 - 8.0 + 9.0)
        );
        assert_eq!(
            reduce(RangeFunction::Delta, Edges::Anchored, &falls_inside, 30, 30),
            Some(-5.0)
        );
    }

    #[test]
    fn anchored_counts_include_the_sample_before() {
        let values = [2.0, 1.0, 1.0, 0.0];
        assert_eq!(
            reduce(RangeFunction::Resets, Edges::Anchored, &values, 30, 20),
            Some(1.0)
        );
        assert_eq!(
            reduce(RangeFunction::Changes, Edges::Anchored, &values, 30, 30),
            Some(2.0)
        );
    }

    #[test]
    fn a_smoothed_selector_interpolates_and_carries_forward() {
        let values = [1.0, 3.0, 5.0];
        assert_eq!(smoothed(&values, 5), Some(2.0));
        assert_eq!(smoothed(&values, 10), Some(3.0));
        assert_eq!(smoothed(&values, 90), Some(5.0));
        assert_eq!(smoothed(&values, -5), None);
    }

    #[test]
    fn other_functions_are_refused() {
        assert!(ExtendedKernel::new(RangeFunction::Sum, extended(Edges::Anchored, 0, 1)).is_err());
        assert!(ExtendedKernel::new(RangeFunction::Resets, extended(Edges::Smoothed, 0, 1)).is_err());
    }
}
