//! How many samples of an instance came lately.
//!
//! Time is that of the log's records, so that a replay counts what came then and not what it reads now, and all zones count the same.

use crate::model::Millis;

const SPAN_MS: Millis = 5_000;
/// A minute, and the span that is not over yet.
const SPANS: usize = 13;

/// Samples by span of time; the place of a span is its number modulo [`SPANS`].
#[derive(Debug, Default)]
pub struct Recent {
    newest: Millis,
    counts: [u32; SPANS],
}

impl Recent {
    pub fn add(&mut self, time: Millis, samples: u64) {
        let span = time.div_euclid(SPAN_MS);
        if span > self.newest {
            self.turn_to(span);
        }
        if span > self.newest - SPANS as Millis {
            let count = &mut self.counts[place(span)];
            *count = count.saturating_add(u32::try_from(samples).unwrap_or(u32::MAX));
        }
    }

    /// Over the last minute before `now`.
    pub fn per_second(&self, now: Millis) -> f64 {
        let current = now.div_euclid(SPAN_MS);
        let first = current - SPANS as Millis + 1;
        let held = (self.newest - SPANS as Millis + 1).max(first)..=self.newest.min(current);
        let samples: f64 = held.map(|span| f64::from(self.counts[place(span)])).sum();
        samples * 1000.0 / (now - first * SPAN_MS).max(1) as f64
    }

    /// When the newest samples came, in milliseconds, up to a span's width.
    pub fn newest(&self) -> Millis {
        self.newest * SPAN_MS
    }

    fn turn_to(&mut self, span: Millis) {
        let passed = (span - self.newest).min(SPANS as Millis);
        for number in 0..passed {
            self.counts[place(span - number)] = 0;
        }
        self.newest = span;
    }
}

fn place(span: Millis) -> usize {
    span.rem_euclid(SPANS as Millis) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Millis = 1_700_000_000_000;

    #[test]
    fn a_steady_stream_has_its_rate_at_any_moment() {
        let mut recent = Recent::default();
        for second in 0..300 {
            recent.add(T + second * 1000, 250);
            if second > 65 {
                let rate = recent.per_second(T + second * 1000 + 999);
                assert!((rate - 250.0).abs() < 5.0, "{rate}");
            }
        }
        assert!(recent.per_second(T + 330_000) < 150.0);
        assert_eq!(recent.per_second(T + 400_000), 0.0);
    }

    #[test]
    fn one_request_is_spread_over_a_minute() {
        let mut recent = Recent::default();
        assert_eq!(recent.per_second(T), 0.0);
        recent.add(T, 6_000);
        assert_eq!(recent.per_second(T), 100.0);
    }

    #[test]
    fn what_is_late_by_more_than_a_minute_is_not_counted() {
        let mut recent = Recent::default();
        recent.add(T, 600);
        recent.add(T - 30_000, 600);
        recent.add(T - 90_000, 600_000);
        assert_eq!(recent.per_second(T), 20.0);
        recent.add(i64::MAX, 1);
        recent.add(i64::MIN, 1);
        assert_eq!(recent.per_second(T), 0.0);
    }
}
