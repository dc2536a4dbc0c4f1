//! Whether a counter started again between two histograms, and what of that is known without looking.

use super::arithmetic::{common_bounds, rebin};
use super::{Buckets, Histogram, ResetHint, iterate::within};

impl Histogram {
    /// Whether anything that can only grow is smaller than in `before`, the sum aside. A hint decides at once.
    pub fn is_reset_from(&self, before: &Self) -> bool {
        match self.hint {
            ResetHint::Reset => return true,
            ResetHint::NotReset => return false,
            ResetHint::Unknown | ResetHint::Gauge => {}
        }
        if self.count < before.count {
            return true;
        }
        if self.is_custom() {
            if !before.is_custom() {
                return true;
            }
            if !self.has_bounds_of(before) {
                return self.shrank_under_common_bounds(before);
            }
            return shrank(&self.positive, &before.positive);
        }
        // A finer schema or a narrower zero bucket comes with a reset only; so does a zero bucket that now cuts a
        // filled one.
        if before.is_custom() || self.schema > before.schema || self.zero_threshold < before.zero_threshold {
            return true;
        }
        let widened = before.widened_zero(self.zero_threshold, None);
        if widened.threshold != self.zero_threshold || self.zero_count < widened.count.sum {
            return true;
        }
        let steps = (before.schema - self.schema).unsigned_abs().into();
        self.shrank_outside_zero(&self.positive, &before.positive, steps)
            || self.shrank_outside_zero(&self.negative, &before.negative, steps)
    }

    fn shrank_outside_zero(&self, now: &Buckets, before: &Buckets, steps: u32) -> bool {
        if steps == 0 && now.has_layout_of(before) {
            let skipped = within(now, self.schema, self.zero_threshold);
            return now.counts()[skipped..]
                .iter()
                .zip(&before.counts()[skipped..])
                .any(|(now, before)| now < before);
        }
        let outside = |buckets: &Buckets, schema: i8| {
            let mut outside = buckets.clone();
            outside.drop_first(within(&outside, schema, self.zero_threshold));
            outside
        };
        let before = outside(before, self.schema + steps as i8);
        let merged = before.coarsened(steps, |into, more| *into += more);
        shrank(&outside(now, self.schema), &merged)
    }

    fn shrank_under_common_bounds(&self, before: &Self) -> bool {
        let common = common_bounds(&self.custom, &before.custom);
        let counts_of = |histogram: &Self| {
            let mut counts = vec![0.0; common.len() + 1];
            rebin(histogram, &common, |place, _, count| counts[place] += count);
            counts
        };
        counts_of(self)
            .iter()
            .zip(counts_of(before))
            .any(|(now, before)| *now < before)
    }

    /// The hint of a histogram that is stored behind `before`, if that was one, too. Only what goes on undisturbed is
    /// known to be no reset; whatever began anew is unknown again, for what was stored before it may be gone, or more may
    /// come between.
    pub fn hint_behind(&self, before: Option<&Self>) -> ResetHint {
        let Some(before) = before.filter(|_| self.hint != ResetHint::Gauge) else {
            return match self.hint {
                ResetHint::Gauge => ResetHint::Gauge,
                _ => ResetHint::Unknown,
            };
        };
        let goes_on = self.hint != ResetHint::Reset
            && before.hint != ResetHint::Gauge
            && !before.is_stale()
            && self.count >= before.count
            && self.schema == before.schema
            && self.zero_threshold == before.zero_threshold
            && self.has_bounds_of(before)
            && self.zero_count >= before.zero_count
            && !shrank(&self.positive, &before.positive)
            && !shrank(&self.negative, &before.negative);
        if goes_on {
            ResetHint::NotReset
        } else {
            ResetHint::Unknown
        }
    }

    /// Only number and sum, under the hint that comparing with the one before gives, for queries that ask for no more.
    #[must_use]
    pub fn statistics_behind(&self, before: Option<&Self>) -> Self {
        let hint = match (self.hint, before) {
            (ResetHint::Unknown, Some(before)) if self.is_reset_from(before) => ResetHint::Reset,
            (ResetHint::Unknown, Some(_)) => ResetHint::NotReset,
            (hint, _) => hint,
        };
        Self {
            hint,
            schema: self.schema,
            count: self.count,
            sum: self.sum,
            ..Self::default()
        }
    }
}

/// Whether a bucket has fewer observations than before, or is gone although it had some.
fn shrank(now: &Buckets, before: &Buckets) -> bool {
    if now.has_layout_of(before) {
        return now
            .counts()
            .iter()
            .zip(before.counts())
            .any(|(now, before)| now < before);
    }
    let mut rest = now.iter().peekable();
    before.iter().any(|(index, before)| {
        while rest.next_if(|(other, _)| *other < index).is_some() {}
        match rest.peek() {
            Some(&(other, now)) if other == index => now < before,
            _ => before != 0.0,
        }
    })
}
