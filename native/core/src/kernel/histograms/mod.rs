//! Range functions where a row has histograms, alone or among floats.
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

use crate::model::histogram::{Added, Incompatible};
use crate::model::{Histogram, Millis};

/// Neighbouring histograms with their times.
#[derive(Debug, Clone, Copy)]
pub struct Stretch<'a> {
    pub times: &'a [Millis],
    pub histograms: &'a [Arc<Histogram>],
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
