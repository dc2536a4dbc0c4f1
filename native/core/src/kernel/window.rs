//! Which samples each step's window holds.

use crate::engine::Grid;
use crate::model::{Millis, Samples, is_stale};

/// `times[lo..hi]` are the samples of one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Window {
    pub lo: u32,
    pub hi: u32,
}

impl Window {
    #[inline]
    pub fn len(self) -> usize {
        (self.hi - self.lo) as usize
    }

    #[inline]
    pub fn of<T>(self, column: &[T]) -> &[T] {
        &column[self.lo as usize..self.hi as usize]
    }
}

/// The windows `(T - offset - range, T - offset]` of all steps over ascending times: open on the left, as in PromQL.
/// O(samples + steps), since both edges only ever move forward.
pub fn windows(times: &[Millis], grid: Grid, range: Millis, offset: Millis, out: &mut Vec<Window>) {
    out.clear();
    let (mut lo, mut hi) = (0, 0);
    for time in grid.times() {
        let end = time.saturating_sub(offset);
        let start = end.saturating_sub(range);
        hi = advance(times, hi, end);
        lo = advance(times, lo, start);
        out.push(Window {
            lo: lo as u32,
            hi: hi as u32,
        });
    }
}

/// The first index at or after `from` whose time is above `limit`. Steps ahead while near, then gallops, so that a
/// sparse grid over many samples does not walk them all.
fn advance(times: &[Millis], from: usize, limit: Millis) -> usize {
    let mut at = from;
    for _ in 0..8 {
        if at >= times.len() || times[at] > limit {
            return at;
        }
        at += 1;
    }
    let mut stride = 8;
    while at + stride < times.len() && times[at + stride] <= limit {
        at += stride;
        stride *= 2;
    }
    let end = times.len().min(at + stride);
    at + times[at..end].partition_point(|&t| t <= limit)
}

/// Samples of a row without stale markers.
#[derive(Debug, Default)]
pub struct Fresh {
    times: Vec<Millis>,
    values: Vec<f64>,
}

impl Fresh {
    /// The samples themselves if none is stale, else a copy of the others, whose times are no longer those of the key.
    pub fn of<'a>(&'a mut self, samples: Samples<'a>) -> Samples<'a> {
        if !samples.values.iter().fold(false, |any, &v| any | is_stale(v)) {
            return samples;
        }
        self.times.clear();
        self.values.clear();
        for (&time, &value) in samples.times.iter().zip(samples.values) {
            if !is_stale(value) {
                self.times.push(time);
                self.values.push(value);
            }
        }
        Samples::floats(&self.times, &self.values, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn edges_equal_a_search_per_step(
            mut times in prop::collection::btree_set(0_i64..2000, 0..120),
            start in -100_i64..500, step in 1_i64..300, steps in 1_usize..20,
            range in 0_i64..900, offset in -200_i64..200,
        ) {
            let times: Vec<i64> = std::mem::take(&mut times).into_iter().collect();
            let grid = Grid { start, step, steps };
            let mut out = Vec::new();
            windows(&times, grid, range, offset, &mut out);
            for (i, window) in out.iter().enumerate() {
                let end = grid.time(i) - offset;
                let inside: Vec<i64> = times.iter().copied().filter(|&t| t > end - range && t <= end).collect();
                prop_assert_eq!(window.of(&times), &inside[..]);
            }
        }
    }
}
