//! `sum_over_time` and `avg_over_time` of histograms.

use std::sync::Arc;

use super::{RowNote, RowNotes, settle};
use crate::model::histogram::{HistogramMean, HistogramTotal};
use crate::model::{Histogram, ResetHint};

/// The sum or mean of at least one histogram.
pub fn total(histograms: &[Arc<Histogram>], is_mean: bool, notes: &mut RowNotes) -> Option<Histogram> {
    let mut noted = RowNotes::default();
    let value = if is_mean {
        let mut mean = HistogramMean::new(Histogram::clone(&histograms[0]));
        for histogram in &histograms[1..] {
            let added = mean.add(histogram);
            settle(&mut noted, added, RowNote::ReconciledByAggregation).or_else(|| clash(notes))?;
        }
        mean.value()
    } else {
        let mut total = HistogramTotal::new(Histogram::clone(&histograms[0]));
        for histogram in &histograms[1..] {
            let added = total.add(histogram);
            settle(&mut noted, added, RowNote::ReconciledByAggregation).or_else(|| clash(notes))?;
        }
        total.value()
    };
    let any = |hint: ResetHint| histograms.iter().any(|histogram| histogram.hint == hint);
    noted.add_if(
        any(ResetHint::Reset) && any(ResetHint::NotReset),
        RowNote::HintsCollide,
    );
    notes.merge(noted);
    Some(value)
}

/// Nothing but the note that layouts do not go together.
fn clash(notes: &mut RowNotes) -> Option<()> {
    notes.add(RowNote::MixedLayouts);
    None
}
