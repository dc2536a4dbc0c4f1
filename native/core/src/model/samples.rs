//! How samples travel from heads, blocks and subqueries to kernels.

use std::ops::Range;
use std::sync::Arc;

use super::{Histogram, Millis};
use crate::Result;

/// Samples of one series in strictly ascending time. Stale markers and other NaNs keep their bits.
#[derive(Debug, Clone, Copy)]
pub struct Samples<'a> {
    pub times: &'a [Millis],
    /// A float for each time; 0 where a histogram stands in its place.
    pub values: &'a [f64],
    /// Empty if all samples are floats, else one for each time.
    pub histograms: &'a [Option<Arc<Histogram>>],
    /// Two answers of one reader with the same non-zero key have the same `times`, so that window edges found
    /// for one row serve the next. 0 says nothing.
    pub times_key: u64,
}

impl<'a> Samples<'a> {
    /// Samples that are all floats.
    pub const fn floats(times: &'a [Millis], values: &'a [f64], times_key: u64) -> Self {
        Self {
            times,
            values,
            histograms: &[],
            times_key,
        }
    }

    #[inline]
    pub fn has_histograms(&self) -> bool {
        !self.histograms.is_empty()
    }

    /// The samples of a range of places.
    #[must_use]
    pub fn slice(self, places: Range<usize>) -> Self {
        Self {
            times: &self.times[places.clone()],
            values: &self.values[places.clone()],
            histograms: if self.histograms.is_empty() {
                &[]
            } else {
                &self.histograms[places]
            },
            times_key: 0,
        }
    }
}

/// An owned, growable form of [`Samples`].
#[derive(Debug, Default, Clone)]
pub struct SampleBuf {
    pub times: Vec<Millis>,
    pub values: Vec<f64>,
    pub histograms: Vec<Option<Arc<Histogram>>>,
}

impl SampleBuf {
    pub fn clear(&mut self) {
        self.times.clear();
        self.values.clear();
        self.histograms.clear();
    }

    /// Keeps the first `len` samples.
    pub fn truncate(&mut self, len: usize) {
        self.times.truncate(len);
        self.values.truncate(len);
        self.histograms.truncate(len);
    }

    /// Appends samples later than those held.
    pub fn extend(&mut self, samples: Samples<'_>) {
        if samples.has_histograms() {
            self.histograms.resize(self.times.len(), None);
            self.histograms.extend_from_slice(samples.histograms);
        }
        self.times.extend_from_slice(samples.times);
        self.values.extend_from_slice(samples.values);
        if !self.histograms.is_empty() {
            self.histograms.resize(self.times.len(), None);
        }
    }

    pub fn push_float(&mut self, time: Millis, value: f64) {
        self.times.push(time);
        self.values.push(value);
        if !self.histograms.is_empty() {
            self.histograms.push(None);
        }
    }

    pub fn push_histogram(&mut self, time: Millis, histogram: Arc<Histogram>) {
        self.histograms.resize(self.times.len(), None);
        self.times.push(time);
        self.values.push(0.0);
        self.histograms.push(Some(histogram));
    }

    pub fn as_samples(&self) -> Samples<'_> {
        Samples {
            times: &self.times,
            values: &self.values,
            histograms: &self.histograms,
            times_key: 0,
        }
    }
}

/// Rows of samples. Row numbers are those of the [`super::SeriesTable`] that travels with the source.
pub trait SampleSource: Send + Sync + std::fmt::Debug {
    fn rows(&self) -> usize;

    /// A cursor with its own scratch memory. Reading rows in ascending order is the fast way.
    fn reader(&self) -> Box<dyn SampleReader + '_>;
}

/// Reads one row at a time.
pub trait SampleReader {
    /// The samples of `row` with `min <= time <= max` (both ends included), one per timestamp: of several written,
    /// the one with the lowest log position.
    fn read(&mut self, row: usize, min: Millis, max: Millis) -> Result<Samples<'_>>;
}
