//! `rate`, `increase`, `delta` of histograms with Prometheus's extrapolation, and `irate`, `idelta`.

use super::{RowNote, RowNotes, Stretch, add, subtract};
use crate::kernel::rate::Extrapolated;
use crate::kernel::starts::Spans;
use crate::model::{Histogram, Millis, ResetHint};

/// The difference over a window `(start, end]`, stretched to the window's edges. One histogram is enough if it says when
/// it began.
pub fn extrapolate(
    function: Extrapolated,
    stretch: Stretch<'_>,
    window: (Millis, Millis),
    notes: &mut RowNotes,
) -> Option<Histogram> {
    let is_counter = function != Extrapolated::Delta;
    let histograms = stretch.histograms;
    let began = stretch.known_starts().inside(window.0).filter(|_| is_counter);
    let mut result = match (histograms.len(), began) {
        (1, None) => return None,
        (1, Some(_)) => Histogram::clone(&histograms[0]),
        (_, None) => gained(stretch, is_counter, notes)?,
        (_, Some(_)) => {
            let mut gained = gained(stretch, is_counter, notes)?;
            add(&mut gained, &histograms[0], notes)?;
            gained
        }
    };
    let mut spans = Spans::new(stretch.known_starts(), window, began);
    if is_counter && began.is_none() && result.count > 0.0 && histograms[0].count >= 0.0 {
        // A counter starts at zero: never extrapolate to before that.
        let to_zero = spans.sampled * (histograms[0].count / result.count);
        spans.to_start = spans.to_start.min(to_zero);
    }
    result.multiply(spans.factor(function, window));
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
    let starts_over = is_counter && stretch.is_reset(1);
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
        notes.add_if(stretch.known_starts().overlap(), RowNote::StartsOverlap);
        for index in 1 + usize::from(starts_over)..histograms.len() {
            if stretch.is_reset(index) {
                add(&mut result, &histograms[index - 1], notes)?;
            }
        }
    } else {
        notes.add_if(!is_gauge(first) || !is_gauge(last), RowNote::NotAGauge);
    }
    result.hint = ResetHint::Gauge;
    Some(result.compacted())
}

/// The difference of two histograms; `irate` divides it by their distance and takes a reset as a start from nothing.
pub fn last_two(is_rate: bool, pair: Stretch<'_>, notes: &mut RowNotes) -> Option<Histogram> {
    let (before, after) = (&*pair.histograms[0], &*pair.histograms[1]);
    let [earlier, later] = [before, after].map(|histogram| histogram.hint == ResetHint::Gauge);
    notes.add_if(is_rate && (earlier || later), RowNote::NotACounter);
    notes.add_if(!(is_rate || earlier && later), RowNote::NotAGauge);
    let mut result = after.clone();
    if !is_rate || !pair.is_reset(1) {
        subtract(&mut result, before, notes)?;
    }
    result.hint = ResetHint::Gauge;
    let mut result = result.compacted();
    if is_rate {
        result.divide((pair.times[1] - pair.times[0]) as f64 / 1e3);
    }
    Some(result)
}
