//! Range functions: the table of names, and one row at a time.

use super::histograms::{RowNotes, Split, reduce as reduce_mixed};
use super::rate::{self, Extrapolated, Geometry, Reset};
use super::window::{Fresh, Window, windows};
use super::{reduce, regression};
use crate::engine::{ABSENT, CellBuf, FLOAT, Grid};
use crate::model::{Millis, Samples};
use crate::{Error, Result};

/// After so many samples a kernel asks whether to go on: some milliseconds.
pub(super) const POLL_SAMPLES: usize = 1 << 20;

/// What a range selector asks for at each step.
#[derive(Debug, Clone, Copy)]
pub struct Ranges {
    pub grid: Grid,
    pub range: Millis,
    pub offset: Millis,
}

impl Ranges {
    /// The first and last time that can matter.
    pub fn bounds(&self) -> (Millis, Millis) {
        let start = self
            .grid
            .start
            .saturating_sub(self.offset)
            .saturating_sub(self.range);
        (
            start.saturating_add(1),
            self.grid.last().saturating_sub(self.offset),
        )
    }

    /// The window `(start, end]` of a step.
    pub fn window(&self, step: usize) -> (Millis, Millis) {
        let end = self.grid.time(step).saturating_sub(self.offset);
        (end.saturating_sub(self.range), end)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeFunction {
    Rate,
    Increase,
    Delta,
    Irate,
    Idelta,
    Deriv,
    PredictLinear,
    Changes,
    Resets,
    Sum,
    Avg,
    Count,
    Min,
    Max,
    Stddev,
    Stdvar,
    Quantile,
    MedianDeviation,
    First,
    Last,
    Present,
    TimeOfFirst,
    TimeOfLast,
    TimeOfMin,
    TimeOfMax,
    Smoothing,
}

impl RangeFunction {
    /// By its PromQL name.
    pub fn named(name: &str) -> Result<Self> {
        Ok(match name {
            "rate" => Self::Rate,
            "increase" => Self::Increase,
            "delta" => Self::Delta,
            "irate" => Self::Irate,
            "idelta" => Self::Idelta,
            "deriv" => Self::Deriv,
            "predict_linear" => Self::PredictLinear,
            "changes" => Self::Changes,
            "resets" => Self::Resets,
            "sum_over_time" => Self::Sum,
            "avg_over_time" => Self::Avg,
            "count_over_time" => Self::Count,
            "min_over_time" => Self::Min,
            "max_over_time" => Self::Max,
            "stddev_over_time" => Self::Stddev,
            "stdvar_over_time" => Self::Stdvar,
            "quantile_over_time" => Self::Quantile,
            "mad_over_time" => Self::MedianDeviation,
            "first_over_time" => Self::First,
            "last_over_time" => Self::Last,
            "present_over_time" => Self::Present,
            "ts_of_first_over_time" => Self::TimeOfFirst,
            "ts_of_last_over_time" => Self::TimeOfLast,
            "ts_of_min_over_time" => Self::TimeOfMin,
            "ts_of_max_over_time" => Self::TimeOfMax,
            "double_exponential_smoothing" => Self::Smoothing,
            _ => return Err(Error::BadData(format!("no range function is called {name:?}"))),
        })
    }

    /// How many scalar parameters it takes.
    pub fn params(self) -> usize {
        match self {
            Self::PredictLinear | Self::Quantile => 1,
            Self::Smoothing => 2,
            _ => 0,
        }
    }

    /// Whether it makes something of start times.
    pub fn looks_at_starts(self) -> bool {
        matches!(self, Self::Rate | Self::Increase | Self::Irate | Self::Resets)
    }

    fn extrapolated(self) -> Option<Extrapolated> {
        match self {
            Self::Rate => Some(Extrapolated::Rate),
            Self::Increase => Some(Extrapolated::Increase),
            Self::Delta => Some(Extrapolated::Delta),
            _ => None,
        }
    }
}

/// One range function over one row after the other.
#[derive(Debug)]
pub struct RangeKernel<'a> {
    function: RangeFunction,
    ranges: Ranges,
    /// Each parameter's value at each step, or one value for all.
    params: &'a [Vec<f64>],
    times_key: u64,
    windows: Vec<Window>,
    /// The most samples of any window.
    widest: usize,
    geometries: Vec<Geometry>,
    resets: Vec<Reset>,
    fresh: Fresh,
    split: Split,
    scratch: Scratch,
}

#[derive(Debug, Default)]
struct Scratch {
    values: Vec<f64>,
    counts: Vec<u32>,
}

impl<'a> RangeKernel<'a> {
    pub fn new(function: RangeFunction, ranges: Ranges, params: &'a [Vec<f64>]) -> Result<Self> {
        if params.len() != function.params() {
            let (want, got) = (function.params(), params.len());
            return Err(Error::BadData(format!(
                "{function:?} takes {want} parameters, not {got}"
            )));
        }
        Ok(Self {
            function,
            ranges,
            params,
            times_key: 0,
            windows: Vec::new(),
            widest: 0,
            geometries: Vec::new(),
            resets: Vec::new(),
            fresh: Fresh::default(),
            split: Split::default(),
            scratch: Scratch::default(),
        })
    }

    /// cells: one per step, overwritten. Returns the most samples that one window held. Windows may overlap so much that
    /// one row takes minutes: `poll` is asked now and then, and its error ends the row.
    pub fn run(
        &mut self,
        samples: Samples<'_>,
        cells: &mut CellBuf,
        notes: &mut RowNotes,
        poll: impl Fn() -> Result<()>,
    ) -> Result<usize> {
        let has_starts = samples.has_starts() && self.function.looks_at_starts();
        if !(samples.has_histograms() || has_starts) {
            return self.run_floats(samples, &mut cells.kind, &mut cells.value, poll);
        }
        let mut split = std::mem::take(&mut self.split);
        split.fill(samples);
        let widest = self.run_floats(split.float_samples(), &mut cells.kind, &mut cells.value, &poll)?;
        let (function, ranges) = (self.function, self.ranges);
        let weight = reduce_mixed(function, ranges, &mut split, &self.windows, cells, notes, poll)?;
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
        let Ranges { grid, range, offset } = self.ranges;
        if samples.times_key == 0 || samples.times_key != self.times_key {
            windows(samples.times, grid, range, offset, &mut self.windows);
            self.widest = self.windows.iter().map(|window| window.len()).max().unwrap_or(0);
            if self.function.extrapolated().is_some() {
                rate::geometries(samples.times, &self.windows, self.ranges, &mut self.geometries);
            }
            self.times_key = samples.times_key;
        }
        if let Some(function) = self.function.extrapolated() {
            self.resets.clear();
            if function != Extrapolated::Delta {
                rate::resets(samples.values, &mut self.resets);
            }
            let (windows, geometries) = (&self.windows, &self.geometries);
            rate::extrapolate(
                function,
                range,
                samples.values,
                windows,
                geometries,
                &self.resets,
                (kind, value),
            );
        } else {
            self.scratch.prepare(self.function, samples.values);
            let mut unpolled = 0;
            for (step, window) in self.windows.iter().enumerate() {
                let window = *window;
                unpolled += window.len();
                if unpolled > POLL_SAMPLES {
                    poll()?;
                    unpolled = 0;
                }
                let cell = if window.len() == 0 {
                    None
                } else {
                    let at = Step {
                        function: self.function,
                        ranges: self.ranges,
                        params: self.params,
                        index: step,
                    };
                    at.reduce(samples, window, &mut self.scratch)?
                };
                kind[step] = if cell.is_some() { FLOAT } else { ABSENT };
                value[step] = cell.unwrap_or(0.0);
            }
        }
        Ok(self.widest)
    }
}

impl Scratch {
    /// For functions that count transitions: how many lie at or before each sample, so that a window is one subtraction.
    fn prepare(&mut self, function: RangeFunction, values: &[f64]) {
        let is_transition: fn(f64, f64) -> bool = match function {
            RangeFunction::Changes => |before, after| after != before && !(after.is_nan() && before.is_nan()),
            RangeFunction::Resets => |before, after| after < before,
            _ => return,
        };
        self.counts.clear();
        let mut count = 0;
        self.counts.extend(values.iter().enumerate().map(|(i, &after)| {
            count += u32::from(i > 0 && is_transition(values[i - 1], after));
            count
        }));
    }
}

/// One function at one step.
struct Step<'a> {
    function: RangeFunction,
    ranges: Ranges,
    params: &'a [Vec<f64>],
    index: usize,
}

impl Step<'_> {
    fn param(&self, index: usize) -> f64 {
        let values = &self.params[index];
        values[if values.len() == 1 { 0 } else { self.index }]
    }

    /// `window` holds at least one sample.
    fn reduce(&self, samples: Samples<'_>, window: Window, scratch: &mut Scratch) -> Result<Option<f64>> {
        use RangeFunction as F;
        let times = window.of(samples.times);
        let values = window.of(samples.values);
        let seconds = |index: usize| times[index] as f64 / 1e3;
        Ok(Some(match self.function {
            F::Sum => reduce::sum(values),
            F::Avg => reduce::mean(values),
            F::Count => values.len() as f64,
            F::Min => reduce::min(values),
            F::Max => reduce::max(values),
            F::Stdvar => reduce::variance(values),
            F::Stddev => reduce::variance(values).sqrt(),
            F::Quantile => reduce::quantile(self.param(0), values, &mut scratch.values),
            F::MedianDeviation => reduce::median_absolute_deviation(values, &mut scratch.values),
            F::First => values[0],
            F::Last => values[values.len() - 1],
            F::Present => 1.0,
            F::TimeOfFirst => seconds(0),
            F::TimeOfLast => seconds(values.len() - 1),
            F::TimeOfMin => seconds(reduce::latest(values, |x, best| x <= best)),
            F::TimeOfMax => seconds(reduce::latest(values, |x, best| x >= best)),
            F::Changes | F::Resets => {
                f64::from(scratch.counts[window.hi as usize - 1] - scratch.counts[window.lo as usize])
            }
            F::Irate | F::Idelta => {
                return Ok(rate::last_two(
                    self.function == F::Irate,
                    samples.times,
                    samples.values,
                    window,
                ));
            }
            F::Smoothing => {
                let (smoothing, trend) = (
                    self.smoothing_factor(0, "smoothing")?,
                    self.smoothing_factor(1, "trend")?,
                );
                if values.len() < 2 {
                    return Ok(None);
                }
                reduce::smooth(values, smoothing, trend)
            }
            F::Deriv | F::PredictLinear => {
                if values.len() < 2 {
                    return Ok(None);
                }
                if self.function == F::Deriv {
                    regression::fit(times, values, times[0]).slope
                } else {
                    let line = regression::fit(times, values, self.ranges.grid.time(self.index));
                    line.slope * self.param(0) + line.intercept
                }
            }
            F::Rate | F::Increase | F::Delta => {
                debug_assert!(false, "extrapolated functions take whole rows");
                return Ok(None);
            }
        }))
    }

    fn smoothing_factor(&self, index: usize, which: &str) -> Result<f64> {
        let factor = self.param(index);
        if factor > 0.0 && factor < 1.0 {
            return Ok(factor);
        }
        let (name, factor_text) = (if index == 0 { "sf" } else { "tf" }, format!("{factor:.6}"));
        Err(Error::Execution(format!(
            "invalid {which} factor. Expected: 0 < {name} < 1, got: {factor_text}"
        )))
    }
}
