//! Start times: when what a sample counts began to be counted. They tell of resets that values hide, and where a series
//! began.

use super::rate::Extrapolated;
use crate::model::Millis;

/// Whether a sample begins anew: it started at or after the one before it. A start at that very time says so only if the
/// one before has a known start of its own.
pub fn is_reset((start_before, time_before): (Millis, Millis), (start, time): (Millis, Millis)) -> bool {
    if start == 0 || start >= time || start < time_before {
        return false;
    }
    start > time_before || (start_before <= time_before && start_before != 0 && start_before != time_before)
}

/// Whether a sample claims to count what the one before it has counted under another start.
pub fn overlaps((start_before, time_before): (Millis, Millis), start: Millis) -> bool {
    start != 0 && start < time_before && start != start_before
}

/// Samples with their starts; there are no starts where none is known.
#[derive(Debug, Clone, Copy)]
pub struct Starts<'a> {
    pub times: &'a [Millis],
    pub starts: &'a [Millis],
}

impl Starts<'_> {
    /// Start, 0 if it is not known, and time of a sample.
    pub fn at(&self, index: usize) -> (Millis, Millis) {
        (self.starts.get(index).copied().unwrap_or(0), self.times[index])
    }

    /// Whether a sample but the first begins anew.
    pub fn is_reset(&self, index: usize) -> bool {
        !self.starts.is_empty() && is_reset(self.at(index - 1), self.at(index))
    }

    /// Whether two neighbours overlap.
    pub fn overlap(&self) -> bool {
        !self.starts.is_empty()
            && (1..self.times.len()).any(|index| overlaps(self.at(index - 1), self.at(index).0))
    }

    /// When the first sample started, if that was inside a window that begins with `start`, and before the sample.
    pub fn inside(&self, start: Millis) -> Option<Millis> {
        let &began = self.starts.first()?;
        (began != 0 && began > start && began < self.times[0]).then_some(began)
    }
}

/// The spans that extrapolation needs, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Spans {
    pub sampled: f64,
    pub to_start: f64,
    pub to_end: f64,
}

impl Spans {
    /// Of a window `(start, end]`. What began inside it is taken to begin there with 0.
    pub fn new(starts: Starts<'_>, (start, end): (Millis, Millis), began: Option<Millis>) -> Self {
        let times = starts.times;
        let (first, last) = (times[0], times[times.len() - 1]);
        let seconds = |distance: Millis| distance as f64 / 1e3;
        let between = times.len() - 1;
        let average = if between > 0 {
            seconds(last - first) / between as f64
        } else {
            0.0
        };
        // Farther from the edge than this, a series is taken to begin or end inside the window.
        let edge = |distance: Millis| {
            let distance = seconds(distance);
            if distance >= average * 1.1 {
                average / 2.0
            } else {
                distance
            }
        };
        Self {
            sampled: seconds(last - began.unwrap_or(first)),
            to_start: if began.is_some() { 0.0 } else { edge(first - start) },
            to_end: edge(end - last),
        }
    }

    /// By what a difference is multiplied to cover the window.
    pub fn factor(&self, function: Extrapolated, (start, end): (Millis, Millis)) -> f64 {
        let mut factor = 1.0;
        if self.sampled != 0.0 {
            factor = (self.sampled + self.to_start + self.to_end) / self.sampled;
        }
        if function == Extrapolated::Rate {
            factor /= (end - start) as f64 / 1e3;
        }
        factor
    }
}

/// `rate` and `increase` of floats with starts.
pub fn extrapolate(
    function: Extrapolated,
    starts: Starts<'_>,
    values: &[f64],
    window: (Millis, Millis),
) -> Option<f64> {
    let last = values.len().checked_sub(1)?;
    let began = starts.inside(window.0);
    if last == 0 && began.is_none() {
        return None;
    }
    let mut result = values[last] - values[0];
    for index in 1..values.len() {
        if values[index] < values[index - 1] || starts.is_reset(index) {
            result += values[index - 1];
        }
    }
    let mut spans = Spans::new(starts, window, began);
    if began.is_some() {
        result += values[0];
    } else if result > 0.0 && values[0] >= 0.0 {
        // A counter starts at zero: never extrapolate to before that.
        spans.to_start = spans.to_start.min(spans.sampled * (values[0] / result));
    }
    Some(result * spans.factor(function, window))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_behind_the_sample_before_is_a_reset() {
        assert!(is_reset((0, 10), (15, 20)));
        assert!(!is_reset((0, 10), (5, 20)), "it began before");
        assert!(!is_reset((0, 10), (20, 20)), "not known");
        assert!(!is_reset((0, 10), (0, 20)), "not known");
        // At the very time of the sample before: a delta, if that one has a start.
        assert!(is_reset((5, 10), (10, 20)));
        assert!(!is_reset((0, 10), (10, 20)));
        assert!(!is_reset((10, 10), (10, 20)));
        assert!(!is_reset((11, 10), (10, 20)));
    }

    #[test]
    fn two_starts_for_the_same_time_overlap() {
        assert!(overlaps((2, 10), 5));
        assert!(!overlaps((5, 10), 5), "one counter");
        assert!(!overlaps((2, 10), 10), "deltas");
        assert!(!overlaps((2, 10), 0));
    }

    #[test]
    fn one_sample_is_enough_if_it_says_when_it_began() {
        let one = |start: Millis| {
            let (times, starts) = ([30_000], [start]);
            let starts = Starts {
                times: &times,
                starts: &starts,
            };
            extrapolate(Extrapolated::Increase, starts, &[6.0], (0, 30_000))
        };
        assert_eq!(one(10_000), Some(6.0));
        assert_eq!(one(0), None);
        assert_eq!(one(-5), None, "it began before the window");
    }
}
