//! A row with histograms or start times, taken apart into its floats and its histograms.

use std::sync::Arc;

use crate::engine::Grid;
use crate::kernel::window::{Window, windows};
use crate::model::{Histogram, Millis, Samples, is_stale};

/// Both kinds in time order, without stale markers.
#[derive(Debug, Default)]
pub struct Split {
    pub float_times: Vec<Millis>,
    pub floats: Vec<f64>,
    pub times: Vec<Millis>,
    pub histograms: Vec<Arc<Histogram>>,
    /// When what a sample counts began to be counted; empty if that is known of none.
    pub float_starts: Vec<Millis>,
    pub starts: Vec<Millis>,
    /// For each histogram the sum of the weights up to it.
    weights: Vec<usize>,
    windows: Vec<Window>,
}

impl Split {
    pub fn fill(&mut self, samples: Samples<'_>) {
        self.float_times.clear();
        self.floats.clear();
        self.times.clear();
        self.histograms.clear();
        self.float_starts.clear();
        self.starts.clear();
        self.weights.clear();
        let mut weight = 0;
        for (at, &time) in samples.times.iter().enumerate() {
            match samples.histograms.get(at).and_then(Option::as_ref) {
                Some(histogram) if histogram.is_stale() => {}
                Some(histogram) => {
                    weight += histogram.sample_weight();
                    self.times.push(time);
                    self.histograms.push(Arc::clone(histogram));
                    self.weights.push(weight);
                    self.starts.extend(samples.starts.get(at));
                }
                None if is_stale(samples.values[at]) => {}
                None => {
                    self.float_times.push(time);
                    self.floats.push(samples.values[at]);
                    self.float_starts.extend(samples.starts.get(at));
                }
            }
        }
    }

    /// The floats alone.
    pub fn float_samples(&self) -> Samples<'_> {
        Samples::floats(&self.float_times, &self.floats, 0)
    }

    /// Which histograms each step's window holds.
    pub fn windows(&mut self, grid: Grid, range: Millis, offset: Millis) -> &[Window] {
        windows(&self.times, grid, range, offset, &mut self.windows);
        &self.windows
    }

    /// The windows found last.
    pub fn window(&self, step: usize) -> Window {
        self.windows[step]
    }

    /// How many samples Prometheus would count in a window.
    pub fn weight(&self, window: Window) -> usize {
        let up_to = |end: u32| {
            if end == 0 {
                0
            } else {
                self.weights[end as usize - 1]
            }
        };
        up_to(window.hi) - up_to(window.lo)
    }
}
