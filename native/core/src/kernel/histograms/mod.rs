//! Range functions where a row has histograms, alone or among floats, or start times.
//!
//! | module | what it does |
//! |---|---|
//! | `split` | takes a row apart into its floats and its histograms |
//! | `range` | the range functions: floats as ever, and what the histograms of a window make of that |
//! | `rate` | `rate`, `increase`, `delta`, `irate`, `idelta` of histograms |
//! | `total` | `sum_over_time`, `avg_over_time` of histograms |
//! | `extended` | anchored and smoothed windows |
//! | `notes` | what the samples of a row give occasion to tell the reader of the answer |

mod extended;
mod notes;
mod range;
mod rate;
mod split;
mod total;

use std::sync::Arc;

pub use extended::{extend, smooth};
pub use notes::{RowNote, RowNotes};
pub use range::reduce;
pub use split::Split;

use super::starts::Starts;
use super::window::Window;
use crate::model::histogram::{Added, Incompatible};
use crate::model::{Histogram, Millis};

/// Neighbouring histograms with their times.
#[derive(Debug, Clone, Copy)]
pub struct Stretch<'a> {
    pub times: &'a [Millis],
    pub histograms: &'a [Arc<Histogram>],
    /// Empty if no start is known.
    pub starts: &'a [Millis],
}

impl<'a> Stretch<'a> {
    /// Of the histograms that a window holds.
    fn of(split: &'a Split, window: Window) -> Self {
        Self {
            times: window.of(&split.times),
            histograms: window.of(&split.histograms),
            starts: if split.starts.is_empty() {
                &[]
            } else {
                window.of(&split.starts)
            },
        }
    }

    fn from(self, first: usize) -> Self {
        Self {
            times: &self.times[first..],
            histograms: &self.histograms[first..],
            starts: self.starts.get(first..).unwrap_or_default(),
        }
    }

    fn known_starts(&self) -> Starts<'a> {
        Starts {
            times: self.times,
            starts: self.starts,
        }
    }

    /// Whether a histogram but the first begins anew.
    fn is_reset(&self, index: usize) -> bool {
        self.known_starts().is_reset(index)
            || self.histograms[index].is_reset_from(&self.histograms[index - 1])
    }
}

/// Neighbouring floats with their times.
#[derive(Debug, Clone, Copy)]
pub struct Floats<'a> {
    pub times: &'a [Millis],
    pub values: &'a [f64],
    /// Empty if no start is known.
    pub starts: &'a [Millis],
}

impl<'a> Floats<'a> {
    /// Those that a window holds.
    fn of(split: &'a Split, window: Window) -> Self {
        Self {
            times: window.of(&split.float_times),
            values: window.of(&split.floats),
            starts: if split.float_starts.is_empty() {
                &[]
            } else {
                window.of(&split.float_starts)
            },
        }
    }

    fn from(self, first: usize) -> Self {
        Self {
            times: &self.times[first..],
            values: &self.values[first..],
            starts: self.starts.get(first..).unwrap_or_default(),
        }
    }

    fn known_starts(&self) -> Starts<'a> {
        Starts {
            times: self.times,
            starts: self.starts,
        }
    }

    /// Whether a float but the first begins anew.
    fn is_reset(&self, index: usize) -> bool {
        self.values[index] < self.values[index - 1] || self.known_starts().is_reset(index)
    }
}

/// A sum or difference that went well, whose note is taken; nothing if layouts do not go together, which is noted.
fn settle(notes: &mut RowNotes, added: Result<Added, Incompatible>, reconciled: RowNote) -> Option<()> {
    if let Ok(Added { bounds_differ, .. }) = added {
        notes.add_if(bounds_differ, reconciled);
        Some(())
    } else {
        notes.add(RowNote::MixedLayouts);
        None
    }
}

fn add(to: &mut Histogram, other: &Histogram, notes: &mut RowNotes) -> Option<()> {
    settle(notes, to.add(other), RowNote::ReconciledByAddition)
}

fn subtract(from: &mut Histogram, other: &Histogram, notes: &mut RowNotes) -> Option<()> {
    settle(notes, from.subtract(other), RowNote::ReconciledBySubtraction)
}
