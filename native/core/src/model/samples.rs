//! How samples travel from heads, blocks and subqueries to kernels.

use super::Millis;
use crate::Result;

/// Samples of one series in strictly ascending time. Stale markers and other NaNs keep their bits.
#[derive(Debug, Clone, Copy)]
pub struct Samples<'a> {
    pub times: &'a [Millis],
    pub values: &'a [f64],
    /// Two answers of one reader with the same non-zero key have the same `times`, so that window edges found
    /// for one row serve the next. 0 says nothing.
    pub times_key: u64,
}

/// An owned, growable form of [`Samples`].
#[derive(Debug, Default, Clone)]
pub struct SampleBuf {
    pub times: Vec<Millis>,
    pub values: Vec<f64>,
}

impl SampleBuf {
    pub fn clear(&mut self) {
        self.times.clear();
        self.values.clear();
    }

    pub fn as_samples(&self) -> Samples<'_> {
        Samples {
            times: &self.times,
            values: &self.values,
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
