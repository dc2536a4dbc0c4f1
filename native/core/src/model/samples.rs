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
    /// When what each sample counts began to be counted, 0 where that is not known. Empty if it is known of none.
    pub starts: &'a [Millis],
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
            starts: &[],
            times_key,
        }
    }

    #[inline]
    pub fn has_histograms(&self) -> bool {
        !self.histograms.is_empty()
    }

    #[inline]
    pub fn has_starts(&self) -> bool {
        !self.starts.is_empty()
    }

    /// The samples of a range of places.
    #[must_use]
    pub fn slice(self, places: Range<usize>) -> Self {
        Self {
            times: &self.times[places.clone()],
            values: &self.values[places.clone()],
            starts: self.starts.get(places.clone()).unwrap_or_default(),
            histograms: self.histograms.get(places).unwrap_or_default(),
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
    pub starts: Vec<Millis>,
}

impl SampleBuf {
    pub fn clear(&mut self) {
        self.times.clear();
        self.values.clear();
        self.histograms.clear();
        self.starts.clear();
    }

    /// Keeps the first `len` samples.
    pub fn truncate(&mut self, len: usize) {
        self.times.truncate(len);
        self.values.truncate(len);
        self.histograms.truncate(len);
        self.starts.truncate(len);
    }

    /// Appends samples later than those held.
    pub fn extend(&mut self, samples: Samples<'_>) {
        if samples.has_histograms() {
            self.histograms.resize(self.times.len(), None);
            self.histograms.extend_from_slice(samples.histograms);
        }
        if !samples.starts.is_empty() {
            self.starts.resize(self.times.len(), 0);
            self.starts.extend_from_slice(samples.starts);
        }
        self.times.extend_from_slice(samples.times);
        self.values.extend_from_slice(samples.values);
        if !self.starts.is_empty() {
            self.starts.resize(self.times.len(), 0);
        }
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
        if !self.starts.is_empty() {
            self.starts.push(0);
        }
    }

    pub fn push_histogram(&mut self, time: Millis, histogram: Arc<Histogram>) {
        self.histograms.resize(self.times.len(), None);
        self.times.push(time);
        self.values.push(0.0);
        self.histograms.push(Some(histogram));
        if !self.starts.is_empty() {
            self.starts.push(0);
        }
    }

    /// Says when what the last sample counts began to be counted; 0 says nothing.
    pub fn set_start(&mut self, start: Millis) {
        if start != 0 || !self.starts.is_empty() {
            self.starts.resize(self.times.len(), 0);
        }
        if let Some(last) = self.starts.last_mut() {
            *last = start;
        }
    }

    pub fn as_samples(&self) -> Samples<'_> {
        Samples {
            times: &self.times,
            values: &self.values,
            histograms: &self.histograms,
            starts: &self.starts,
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

impl<S: SampleSource + ?Sized> SampleSource for Arc<S> {
    fn rows(&self) -> usize {
        (**self).rows()
    }

    fn reader(&self) -> Box<dyn SampleReader + '_> {
        (**self).reader()
    }
}

/// Reads one row at a time.
pub trait SampleReader {
    /// The samples of `row` with `min <= time <= max` (both ends included), one per timestamp: of several written,
    /// the one with the lowest log position.
    fn read(&mut self, row: usize, min: Millis, max: Millis) -> Result<Samples<'_>>;
}
