//! `rate`, `increase`, `delta` of histograms with Prometheus's extrapolation, and `irate`, `idelta`.

use super::{RowNote, RowNotes, Stretch, add, subtract};
use crate::kernel::rate::Extrapolated;
use crate::model::{Histogram, Millis, ResetHint};

/// The difference over a window `(start, end]`, in the stretch of which there are at least two histograms, stretched to the
/// window's edges.
pub fn extrapolate(
    function: Extrapolated,
    stretch: Stretch<'_>,
    (start, end): (Millis, Millis),
    notes: &mut RowNotes,
) -> Option<Histogram> {
    let is_counter = function != Extrapolated::Delta;
    let Stretch { times, histograms } = stretch;
    let mut result = gained(stretch, is_counter, notes)?;
    let (first, last) = (times[0], times[times.len() - 1]);
    let sampled = (last - first) as f64 / 1e3;
    let average = sampled / (times.len() - 1) as f64;
    // Farther from the edge than this, a series is taken to begin or end inside the window.
    let limit = average * 1.1;
    let edge = |distance: Millis| {
        let distance = distance as f64 / 1e3;
        if distance >= limit {
            average / 2.0
        } else {
            distance
        }
    };
    let (mut to_start, to_end) = (edge(first - start), edge(end - last));
    if is_counter && result.count > 0.0 && histograms[0].count >= 0.0 {
        // A counter starts at zero: never extrapolate to before that.
        to_start = to_start.min(sampled * (histograms[0].count / result.count));
    }
    let mut factor = (sampled + to_start + to_end) / sampled;
    if function == Extrapolated::Rate {
        factor /= (end - start) as f64 / 1e3;
    }
    result.multiply(factor);
    Some(result)
}

/// What was added between the first and the last, as a gauge.
fn gained(stretch: Stretch<'_>, is_counter: bool, notes: &mut RowNotes) -> Option<Histogram> {
    let histograms = stretch.histograms;
    let (first, last) = (&*histograms[0], &*histograms[histograms.len() - 1]);
    let is_gauge = |histogram: &Histogram| histogram.hint == ResetHint::Gauge;
    notes.add_if(
        is_counter && (is_gauge(first) || is_gauge(last)),
        RowNote::NotACounter,
    );
    // Where a counter began anew behind its first sample, that one's layout does not matter.
    let nothing;
    let starts_over = is_counter && histograms[1].is_reset_from(first);
    let base = if starts_over {
        nothing = Histogram {
            schema: histograms[1].schema,
            custom: histograms[1].custom.clone(),
            ..Histogram::default()
        };
        &nothing
    } else {
        first
    };
    let mut schema = last.schema.min(base.schema);
    let mut fits = last.is_custom() == base.is_custom();
    if is_counter {
        for between in &histograms[1..histograms.len() - 1] {
            notes.add_if(is_gauge(between), RowNote::NotACounter);
            schema = schema.min(between.schema);
            fits &= between.is_custom() == base.is_custom();
        }
    }
    if !fits {
        notes.add(RowNote::MixedLayouts);
        return None;
    }
    let mut result = if last.is_custom() {
        last.clone()
    } else {
        last.coarsened(schema)
    };
    subtract(&mut result, base, notes)?;
    if is_counter {
        for pair in histograms[usize::from(starts_over)..].windows(2) {
            if pair[1].is_reset_from(&pair[0]) {
                add(&mut result, &pair[0], notes)?;
            }
        }
    } else {
        notes.add_if(!is_gauge(first) || !is_gauge(last), RowNote::NotAGauge);
    }
    result.hint = ResetHint::Gauge;
    Some(result.compacted())
}

/// The difference of two histograms; `irate` divides it by their distance and takes a reset as a start from nothing.
pub fn last_two(
    is_rate: bool,
    (before, after): (&Histogram, &Histogram),
    distance: Millis,
    notes: &mut RowNotes,
) -> Option<Histogram> {
    let [earlier, later] = [before, after].map(|histogram| histogram.hint == ResetHint::Gauge);
    notes.add_if(is_rate && (earlier || later), RowNote::NotACounter);
    notes.add_if(!(is_rate || earlier && later), RowNote::NotAGauge);
    let mut result = after.clone();
    if !is_rate || !after.is_reset_from(before) {
        subtract(&mut result, before, notes)?;
    }
    result.hint = ResetHint::Gauge;
    let mut result = result.compacted();
    if is_rate {
        result.divide(distance as f64 / 1e3);
    }
    Some(result)
}
