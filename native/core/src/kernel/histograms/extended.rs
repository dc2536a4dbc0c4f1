//! Anchored and smoothed windows over histograms: the values at both ends are looked up beyond the window, so that nothing
//! has to be extrapolated.

use super::range::transitions;
use super::{Floats, RowNote, RowNotes, Split, Stretch, add, subtract};
use crate::Result;
use crate::engine::{CellBuf, Element};
use crate::kernel::extended::{Edges, ExtendedRanges};
use crate::kernel::range::RangeFunction;
use crate::kernel::window::Window;
use crate::model::{Histogram, Millis, ResetHint};

/// Goes through the steps of a row of which `cells` holds what the function makes of the floats alone. `float_windows`
/// hold the look-back too. Returns the weight of the widest window.
pub fn extend(
    function: RangeFunction,
    extended: ExtendedRanges,
    split: &mut Split,
    float_windows: &[Window],
    cells: &mut CellBuf,
    notes: &mut RowNotes,
    poll: impl Fn() -> Result<()>,
) -> Result<usize> {
    let ExtendedRanges {
        ranges,
        edges,
        lookback,
    } = extended;
    let after = if edges == Edges::Smoothed { lookback } else { 0 };
    let range = ranges.range.saturating_add(lookback).saturating_add(after);
    split.windows(ranges.grid, range, ranges.offset.saturating_sub(after));
    let mut widest = 0;
    for (step, floats) in float_windows.iter().enumerate() {
        let window = split.window(step);
        if window.len() == 0 {
            continue;
        }
        poll()?;
        widest = widest.max(floats.len() + split.weight(window));
        let end = ranges.grid.time(step).saturating_sub(ranges.offset);
        let sides = Sides {
            stretch: Stretch::of(split, window),
            start: end.saturating_sub(ranges.range),
            end,
            edges,
        };
        if matches!(function, RangeFunction::Changes | RangeFunction::Resets) {
            let count = sides.count(function, Floats::of(split, *floats));
            cells.clear(step);
            if let Some(count) = count {
                cells.put(step, Element::Float(count));
            }
            continue;
        }
        cells.clear(step);
        if floats.len() > 0 {
            notes.add(RowNote::MixedKinds);
        } else if let Some(mut result) = sides.gained(function != RangeFunction::Delta, notes) {
            if function == RangeFunction::Rate {
                result.divide((end - sides.start) as f64 / 1e3);
            }
            result.hint = ResetHint::Gauge;
            cells.put_new(step, result.compacted());
        }
    }
    Ok(widest)
}

/// The histograms of one window `(start, end]` and of the look-back around it, of which there is at least one.
#[derive(Debug, Clone, Copy)]
struct Sides<'a> {
    stretch: Stretch<'a>,
    start: Millis,
    end: Millis,
    edges: Edges,
}

impl Sides<'_> {
    /// Transitions from the last sample at or before the start, whatever its kind.
    fn count(&self, function: RangeFunction, floats: Floats<'_>) -> Option<f64> {
        let (times, own_times) = (floats.times, self.stretch.times);
        let inside = times.partition_point(|&time| time <= self.start);
        let own_inside = own_times.partition_point(|&time| time <= self.start);
        if inside == times.len() && own_inside == own_times.len() {
            return None;
        }
        // The newest of both before the window is where counting begins.
        let last = |times: &[Millis], inside: usize| inside.checked_sub(1).map(|at| times[at]);
        let (last_float, last_own) = (last(times, inside), last(own_times, own_inside));
        let (from, own_from) = match (last_float, last_own) {
            (None, None) => (0, 0),
            (Some(_), own) if last_float >= own => (inside - 1, own_inside),
            (_, None) => (inside, own_inside),
            (_, Some(_)) => (inside, own_inside - 1),
        };
        Some(transitions(
            function,
            floats.from(from),
            self.stretch.from(own_from),
        ))
    }

    /// What was added from start to end.
    fn gained(&self, is_counter: bool, notes: &mut RowNotes) -> Option<Histogram> {
        let Stretch {
            times, histograms, ..
        } = self.stretch;
        let is_smoothed = self.edges == Edges::Smoothed;
        let after_start = times.partition_point(|&time| time <= self.start);
        let first = after_start.min(times.len() - 1).saturating_sub(1);
        let mut last = times.len() - 1;
        if is_smoothed {
            last = times.partition_point(|&time| time < self.end).min(last);
        }
        if times[last] <= self.start || (is_smoothed && times[first] > self.end) {
            return None;
        }
        for histogram in &histograms[first..=last] {
            if histogram.is_custom() != histograms[first].is_custom() {
                notes.add(RowNote::MixedLayouts);
                return None;
            }
            notes.add_if(
                is_counter && histogram.hint == ResetHint::Gauge,
                RowNote::NotACounter,
            );
        }
        let interpolates_left = is_smoothed && times[first] < self.start;
        let left = if interpolates_left {
            self.interpolate(first, self.start, is_counter, notes)?
        } else {
            Histogram::clone(&histograms[first])
        };
        let right = if is_smoothed && last > 0 && times[last] > self.end {
            self.interpolate(last - 1, self.end, is_counter, notes)?
        } else {
            Histogram::clone(&histograms[last])
        };
        let is_gauge = |histogram: &Histogram| histogram.hint == ResetHint::Gauge;
        notes.add_if(
            !(is_counter || is_gauge(&left) && is_gauge(&right)),
            RowNote::NotAGauge,
        );
        let mut result = right.clone();
        subtract(&mut result, &left, notes)?;
        if is_counter {
            self.add_resets(
                &mut result,
                (first, last),
                (&left, &right),
                interpolates_left,
                notes,
            )?;
        }
        Some(result)
    }

    /// Adds what resets between the ends took away; those that interpolation crossed are in the ends already.
    fn add_resets(
        &self,
        result: &mut Histogram,
        (first, last): (usize, usize),
        (left, right): (&Histogram, &Histogram),
        interpolates_left: bool,
        notes: &mut RowNotes,
    ) -> Option<()> {
        let histograms = self.stretch.histograms;
        let (mut next, mut before) = (first + 1, left);
        if interpolates_left && histograms[first + 1].is_reset_from(&histograms[first]) {
            before = &histograms[first + 1];
            next += 1;
        }
        if next > last {
            return Some(());
        }
        let mut lost: Option<Histogram> = None;
        let between = histograms[next..last].iter().map(|histogram| &**histogram);
        for histogram in between.chain([right]) {
            if histogram.is_reset_from(before) {
                match &mut lost {
                    Some(lost) => add(lost, before, notes)?,
                    None => lost = Some(before.clone()),
                }
            }
            before = histogram;
        }
        match lost {
            Some(lost) => add(result, &lost, notes),
            None => Some(()),
        }
    }

    fn interpolate(
        &self,
        left: usize,
        time: Millis,
        is_counter: bool,
        notes: &mut RowNotes,
    ) -> Option<Histogram> {
        let Stretch {
            times, histograms, ..
        } = self.stretch;
        interpolate(
            (times[left], &histograms[left]),
            (times[left + 1], &histograms[left + 1]),
            time,
            is_counter,
            notes,
        )
    }
}

/// The histogram at `time` on the line between two. A counter that started again starts from nothing.
fn interpolate(
    (start, from): (Millis, &Histogram),
    (end, to): (Millis, &Histogram),
    time: Millis,
    is_counter: bool,
    notes: &mut RowNotes,
) -> Option<Histogram> {
    if time == start {
        return Some(from.clone());
    }
    let mut result = to.clone();
    if time == end {
        return Some(result);
    }
    let part = (time - start) as f64 / (end - start) as f64;
    if is_counter && to.is_reset_from(from) {
        result.multiply(part);
        return Some(result);
    }
    subtract(&mut result, from, notes)?;
    result.multiply(part);
    add(&mut result, from, notes)?;
    Some(result)
}

/// What a smoothed instant selector gives: `cells` holds what it makes of the floats alone.
pub fn smooth(
    extended: ExtendedRanges,
    split: &mut Split,
    float_windows: &[Window],
    cells: &mut CellBuf,
    notes: &mut RowNotes,
) {
    let ExtendedRanges { ranges, lookback, .. } = extended;
    let (range, offset) = (lookback.saturating_mul(2), ranges.offset.saturating_sub(lookback));
    split.windows(ranges.grid, range, offset);
    for (step, floats) in float_windows.iter().enumerate() {
        let window = split.window(step);
        if window.len() == 0 {
            continue;
        }
        cells.clear(step);
        if floats.len() > 0 {
            notes.add(RowNote::MixedKinds);
            continue;
        }
        let time = ranges.grid.time(step).saturating_sub(ranges.offset);
        let (times, histograms) = (window.of(&split.times), window.of(&split.histograms));
        let next = times.partition_point(|&at| at < time);
        if times.get(next) == Some(&time) {
            cells.put(step, Element::Histogram(&histograms[next]));
            continue;
        }
        let Some(before) = next.checked_sub(1) else {
            continue;
        };
        let from = &*histograms[before];
        let Some(to) = histograms.get(next) else {
            // What the hint says, it says of two samples.
            let carried = Histogram {
                hint: ResetHint::Unknown,
                ..from.clone()
            };
            cells.put_new(step, carried);
            continue;
        };
        if from.is_custom() != to.is_custom() {
            notes.add(RowNote::MixedLayouts);
            continue;
        }
        let is_counter = from.hint != ResetHint::Gauge || to.hint != ResetHint::Gauge;
        if let Some(between) = interpolate((times[before], from), (times[next], to), time, is_counter, notes)
        {
            cells.put_new(step, between);
        }
    }
}
