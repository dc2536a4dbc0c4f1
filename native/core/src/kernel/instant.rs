//! Instant selectors.

use super::window::{Window, windows};
use crate::engine::{ABSENT, CellBuf, Element, FLOAT, Grid};
use crate::model::{Millis, Samples, is_stale};

/// What an instant selector asks for at each step.
#[derive(Debug, Clone, Copy)]
pub struct Instant {
    pub grid: Grid,
    pub offset: Millis,
    pub lookback: Millis,
    pub shows: Shown,
}

/// What a cell shows of its sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    Value,
    /// The time in seconds.
    Time,
    /// The start time in seconds, 0 where it is not known.
    Start,
    /// The time in seconds if it is a float; a histogram shows itself, so that it can be refused.
    TimeOfFloat,
}

impl Instant {
    /// The first and last time that can matter.
    pub fn bounds(&self) -> (Millis, Millis) {
        let start = self
            .grid
            .start
            .saturating_sub(self.offset)
            .saturating_sub(self.lookback);
        (
            start.saturating_add(1),
            self.grid.last().saturating_sub(self.offset),
        )
    }
}

/// The newest sample of `(T - offset - lookback, T - offset]`, absent if that one is stale.
#[derive(Debug)]
pub struct InstantKernel {
    instant: Instant,
    windows: Vec<Window>,
    times_key: u64,
}

impl InstantKernel {
    pub fn new(instant: Instant) -> Self {
        Self {
            instant,
            windows: Vec::new(),
            times_key: 0,
        }
    }

    /// cells: one per step, overwritten.
    pub fn run(&mut self, samples: Samples<'_>, cells: &mut CellBuf) {
        let Instant {
            grid,
            offset,
            lookback,
            shows,
        } = self.instant;
        if samples.times_key == 0 || samples.times_key != self.times_key {
            windows(samples.times, grid, lookback, offset, &mut self.windows);
            self.times_key = samples.times_key;
        }
        if samples.has_histograms() {
            self.mixed(samples, cells);
            return;
        }
        for ((window, kind), value) in self.windows.iter().zip(&mut cells.kind).zip(&mut cells.value) {
            *kind = ABSENT;
            *value = 0.0;
            if window.len() == 0 {
                continue;
            }
            let newest = window.hi as usize - 1;
            let sample = samples.values[newest];
            if !is_stale(sample) {
                *kind = FLOAT;
                *value = match shows {
                    Shown::Value => sample,
                    Shown::Time | Shown::TimeOfFloat => samples.times[newest] as f64 / 1e3,
                    Shown::Start => start(samples, newest),
                };
            }
        }
    }
}

impl InstantKernel {
    /// A row with histograms, which may be stale as well.
    fn mixed(&self, samples: Samples<'_>, cells: &mut CellBuf) {
        for (step, window) in self.windows.iter().enumerate() {
            cells.clear(step);
            if window.len() == 0 {
                continue;
            }
            let newest = window.hi as usize - 1;
            let (histogram, value) = (&samples.histograms[newest], samples.values[newest]);
            if histogram
                .as_ref()
                .map_or(is_stale(value), |histogram| histogram.is_stale())
            {
                continue;
            }
            let element = match (histogram, self.instant.shows) {
                (Some(histogram), Shown::Value | Shown::TimeOfFloat) => Element::Histogram(histogram),
                (None, Shown::Value) => Element::Float(value),
                (_, Shown::Start) => Element::Float(start(samples, newest)),
                _ => Element::Float(samples.times[newest] as f64 / 1e3),
            };
            cells.put(step, element);
        }
    }
}

/// In seconds, 0 if it is not known.
fn start(samples: Samples<'_>, index: usize) -> f64 {
    samples.starts.get(index).map_or(0.0, |&start| start as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::STALE_BITS;

    fn run(times: &[i64], values: &[f64], start: i64, steps: usize) -> Vec<Option<f64>> {
        let grid = Grid {
            start,
            step: 10,
            steps,
        };
        let mut kernel = InstantKernel::new(Instant {
            grid,
            offset: 0,
            lookback: 20,
            shows: Shown::Value,
        });
        let mut cells = CellBuf::absent(steps);
        cells.kind.fill(9);
        kernel.run(Samples::floats(times, values, 0), &mut cells);
        (0..steps)
            .map(|step| cells.all().get(step).and_then(Element::float))
            .collect()
    }

    #[test]
    fn the_lookback_is_open_on_the_left() {
        assert_eq!(
            run(&[0, 5], &[1.0, 2.0], 0, 4),
            [Some(1.0), Some(2.0), Some(2.0), None]
        );
        assert_eq!(run(&[0], &[1.0], 20, 1), [None]);
    }

    #[test]
    fn a_stale_marker_ends_a_series_at_once() {
        let stale = f64::from_bits(STALE_BITS);
        assert_eq!(
            run(&[0, 10, 30], &[1.0, stale, f64::NAN], 0, 3),
            [Some(1.0), None, None]
        );
        assert!(run(&[0, 10, 30], &[1.0, stale, f64::NAN], 30, 1)[0].is_some_and(f64::is_nan));
    }
}
