//! What the histograms and the start times of each window make of what its floats gave.

use super::{Floats, RowNote, RowNotes, Split, Stretch, rate, total};
use crate::Result;
use crate::engine::{CellBuf, Element};
use crate::kernel::range::{RangeFunction, Ranges};
use crate::kernel::rate::Extrapolated;
use crate::kernel::starts;
use crate::kernel::window::Window;
use crate::model::{Histogram, Millis};

/// Goes through the steps of a row of which `cells` holds what the function makes of the floats alone, whose windows are
/// given. Returns the weight of the widest window. `poll` is asked now and then.
pub fn reduce(
    function: RangeFunction,
    ranges: Ranges,
    split: &mut Split,
    float_windows: &[Window],
    cells: &mut CellBuf,
    notes: &mut RowNotes,
    poll: impl Fn() -> Result<()>,
) -> Result<usize> {
    split.windows(ranges.grid, ranges.range, ranges.offset);
    let mut widest = 0;
    let looks_at_starts = function.looks_at_starts();
    for (step, &floats) in float_windows.iter().enumerate() {
        let window = split.window(step);
        let mixed = Mixed {
            function,
            floats: Floats::of(split, floats),
            stretch: Stretch::of(split, window),
            bounds: ranges.window(step),
        };
        if window.len() > 0 {
            poll()?;
            widest = widest.max(floats.len() + split.weight(window));
            mixed.reduce(step, cells, notes);
        } else if looks_at_starts && floats.len() > 0 && !split.float_starts.is_empty() {
            poll()?;
            mixed.reduce_floats(step, cells, notes);
        }
    }
    Ok(widest)
}

/// The samples of one window.
struct Mixed<'a> {
    function: RangeFunction,
    floats: Floats<'a>,
    stretch: Stretch<'a>,
    bounds: (Millis, Millis),
}

impl Mixed<'_> {
    /// Floats with starts, in functions that look at them.
    fn reduce_floats(&self, step: usize, cells: &mut CellBuf, notes: &mut RowNotes) {
        let Floats { times, values, .. } = self.floats;
        let result = match self.function {
            RangeFunction::Rate | RangeFunction::Increase => {
                notes.add_if(self.floats.known_starts().overlap(), RowNote::StartsOverlap);
                starts::extrapolate(
                    self.extrapolated(),
                    self.floats.known_starts(),
                    values,
                    self.bounds,
                )
            }
            RangeFunction::Resets => Some(transitions(self.function, self.floats, self.stretch)),
            _ => {
                let last = values.len() - 1;
                // Without a reset the values alone are right.
                if last == 0 || !self.floats.is_reset(last) {
                    return;
                }
                Some(values[last] / ((times[last] - times[last - 1]) as f64 / 1e3))
            }
        };
        cells.clear(step);
        if let Some(value) = result {
            cells.put(step, Element::Float(value));
        }
    }

    /// At least one histogram.
    fn reduce(&self, step: usize, cells: &mut CellBuf, notes: &mut RowNotes) {
        use RangeFunction as F;
        let Stretch {
            times, histograms, ..
        } = self.stretch;
        let (count, last) = (histograms.len(), histograms.len() - 1);
        let (float_times, has_floats) = (self.floats.times, !self.floats.times.is_empty());
        let seconds = |time: Millis| time as f64 / 1e3;
        match self.function {
            F::Rate | F::Increase | F::Delta | F::Sum | F::Avg if has_floats => {
                cells.clear(step);
                notes.add(RowNote::MixedKinds);
            }
            F::Rate | F::Increase | F::Delta => {
                let result = rate::extrapolate(self.extrapolated(), self.stretch, self.bounds, notes);
                put(cells, step, result);
            }
            F::Sum | F::Avg => put(
                cells,
                step,
                total::total(histograms, self.function == F::Avg, notes),
            ),
            F::Irate | F::Idelta => self.last_two(step, cells, notes),
            F::Count => cells.put(step, Element::Float((float_times.len() + count) as f64)),
            F::Present => cells.put(step, Element::Float(1.0)),
            F::TimeOfFirst => {
                let first = float_times.first().map_or(times[0], |&time| time.min(times[0]));
                cells.put(step, Element::Float(seconds(first)));
            }
            F::TimeOfLast => {
                let latest = float_times
                    .last()
                    .map_or(times[last], |&time| time.max(times[last]));
                cells.put(step, Element::Float(seconds(latest)));
            }
            F::First if float_times.first().is_none_or(|&time| times[0] <= time) => {
                cells.put(step, Element::Histogram(&histograms[0]));
            }
            F::Last if float_times.last().is_none_or(|&time| times[last] >= time) => {
                cells.put(step, Element::Histogram(&histograms[last]));
            }
            F::First | F::Last => {}
            F::Changes | F::Resets => {
                let transitions = transitions(self.function, self.floats, self.stretch);
                cells.put(step, Element::Float(transitions));
            }
            F::Min
            | F::Max
            | F::Stddev
            | F::Stdvar
            | F::Quantile
            | F::MedianDeviation
            | F::TimeOfMin
            | F::TimeOfMax
            | F::Deriv
            | F::PredictLinear
            | F::Smoothing => notes.add_if(has_floats, RowNote::IgnoredHistograms),
        }
    }

    fn extrapolated(&self) -> Extrapolated {
        match self.function {
            RangeFunction::Rate => Extrapolated::Rate,
            RangeFunction::Increase => Extrapolated::Increase,
            _ => Extrapolated::Delta,
        }
    }

    /// The last two samples of any kind must be of one.
    fn last_two(&self, step: usize, cells: &mut CellBuf, notes: &mut RowNotes) {
        let Stretch {
            times, histograms, ..
        } = self.stretch;
        let newer_floats = |time: Millis| {
            self.floats
                .times
                .iter()
                .rev()
                .take_while(|&&at| at > time)
                .count()
        };
        let last = histograms.len() - 1;
        match newer_floats(times[last]) {
            0 if last > 0 && newer_floats(times[last - 1]) == 0 => {
                let is_rate = self.function == RangeFunction::Irate;
                put(
                    cells,
                    step,
                    rate::last_two(is_rate, self.stretch.from(last - 1), notes),
                );
            }
            0 | 1 => {
                cells.clear(step);
                let is_single = histograms.len() + self.floats.times.len() < 2;
                notes.add_if(!is_single, RowNote::MixedKinds);
            }
            // The floats alone.
            _ if self.function == RangeFunction::Irate => self.reduce_floats(step, cells, notes),
            _ => {}
        }
    }
}

fn put(cells: &mut CellBuf, step: usize, result: Option<Histogram>) {
    match result {
        Some(histogram) => cells.put_new(step, histogram),
        None => cells.clear(step),
    }
}

/// How often a sample differs from the one before it, or falls below it. From one kind to the other is both.
pub fn transitions(function: RangeFunction, mut floats: Floats<'_>, mut stretch: Stretch<'_>) -> f64 {
    enum Before<'a> {
        Nothing,
        Float(f64),
        Histogram(&'a Histogram),
    }
    let counts_resets = function == RangeFunction::Resets;
    let (mut count, mut before) = (0_u32, Before::Nothing);
    let mut began_before = (0, 0);
    loop {
        let takes_float = match (floats.times.first(), stretch.times.first()) {
            (None, None) => return f64::from(count),
            (Some(float), Some(histogram)) => float < histogram,
            (float, _) => float.is_some(),
        };
        let began = if takes_float {
            floats.known_starts().at(0)
        } else {
            stretch.known_starts().at(0)
        };
        let starts_over =
            counts_resets && !matches!(before, Before::Nothing) && starts::is_reset(began_before, began);
        began_before = began;
        let is_transition;
        if takes_float {
            let value = floats.values[0];
            is_transition = match before {
                Before::Nothing => false,
                Before::Float(before) if counts_resets => value < before,
                Before::Float(before) => value != before && !(value.is_nan() && before.is_nan()),
                Before::Histogram(_) => true,
            };
            before = Before::Float(value);
            floats = floats.from(1);
        } else {
            let histogram = &*stretch.histograms[0];
            is_transition = match before {
                Before::Nothing => false,
                Before::Float(_) => true,
                Before::Histogram(before) if counts_resets => histogram.is_reset_from(before),
                Before::Histogram(before) => !histogram.is_same(before),
            };
            before = Before::Histogram(histogram);
            stretch = stretch.from(1);
        }
        count += u32::from(is_transition || starts_over);
    }
}
