//! `rate`, `increase`, `delta` with Prometheus' extrapolation, and `irate`, `idelta`.

use super::range::Ranges;
use super::window::Window;
use crate::engine::{ABSENT, FLOAT};
use crate::model::Millis;

/// Which of the extrapolating functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extrapolated {
    Rate,
    Increase,
    Delta,
}

/// What extrapolation needs of a window's times alone; shared by the rows of one scrape. In seconds.
#[derive(Debug, Clone, Copy)]
pub struct Geometry {
    sampled: f64,
    /// From the window's start to the first sample, or half an interval if the series seems to begin inside.
    to_start: f64,
    to_end: f64,
}

/// The geometry of each window; of windows with fewer than two samples it means nothing.
pub fn geometries(times: &[Millis], windows: &[Window], ranges: Ranges, out: &mut Vec<Geometry>) {
    out.clear();
    out.extend(windows.iter().zip(ranges.grid.times()).map(|(window, time)| {
        if window.len() < 2 {
            return Geometry {
                sampled: 0.0,
                to_start: 0.0,
                to_end: 0.0,
            };
        }
        let end = time.saturating_sub(ranges.offset);
        let start = end.saturating_sub(ranges.range);
        let (first, last) = (times[window.lo as usize], times[window.hi as usize - 1]);
        let sampled = (last - first) as f64 / 1e3;
        let average = sampled / (window.len() - 1) as f64;
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
        Geometry {
            sampled,
            to_start: edge(first - start),
            to_end: edge(end - last),
        }
    }));
}

/// A drop of a counter: the value `before` it is what the drop hid.
#[derive(Debug, Clone, Copy)]
pub struct Reset {
    /// Index of the sample after the drop.
    at: u32,
    before: f64,
}

/// The drops of a counter, in order.
pub fn resets(values: &[f64], out: &mut Vec<Reset>) {
    out.clear();
    // Most series never drop: a pass that only counts drops, without a branch, is several times faster than one that
    // stops at each.
    let drops: usize = values.windows(2).map(|pair| usize::from(pair[1] < pair[0])).sum();
    if drops == 0 {
        return;
    }
    out.extend(
        values
            .windows(2)
            .enumerate()
            .filter(|(_, pair)| pair[1] < pair[0])
            .map(|(i, pair)| Reset {
                at: i as u32 + 1,
                before: pair[0],
            }),
    );
}

/// One row. O(steps + resets inside windows), whatever the overlap of the windows.
pub fn extrapolate(
    function: Extrapolated,
    range_ms: Millis,
    values: &[f64],
    windows: &[Window],
    geometries: &[Geometry],
    resets: &[Reset],
    (kind, value): (&mut [u8], &mut [f64]),
) {
    let is_counter = function != Extrapolated::Delta;
    let per = if function == Extrapolated::Rate {
        range_ms as f64 / 1e3
    } else {
        1.0
    };
    let mut pending = resets;
    for (((window, geometry), kind), value) in windows.iter().zip(geometries).zip(kind).zip(value) {
        if window.len() < 2 {
            *kind = ABSENT;
            *value = 0.0;
            continue;
        }
        let first = values[window.lo as usize];
        let mut result = values[window.hi as usize - 1] - first;
        while pending.first().is_some_and(|reset| reset.at <= window.lo) {
            pending = &pending[1..];
        }
        for reset in pending.iter().take_while(|reset| reset.at < window.hi) {
            result += reset.before;
        }
        let Geometry {
            sampled,
            mut to_start,
            to_end,
        } = *geometry;
        if is_counter && result > 0.0 && first >= 0.0 {
            // A counter starts at zero: never extrapolate to before that.
            let to_zero = sampled * (first / result);
            if to_zero < to_start {
                to_start = to_zero;
            }
        }
        *kind = FLOAT;
        *value = result * ((sampled + to_start + to_end) / sampled / per);
    }
}

/// The difference of a window's last two samples; `irate` divides it by their distance and takes a drop as a restart
/// from 0.
pub fn last_two(is_rate: bool, times: &[Millis], values: &[f64], window: Window) -> Option<f64> {
    let ([.., t1, t2], [.., v1, v2]) = (window.of(times), window.of(values)) else {
        return None;
    };
    if t1 == t2 {
        return None;
    }
    if !is_rate {
        return Some(v2 - v1);
    }
    let gained = if v2 < v1 { *v2 } else { v2 - v1 };
    Some(gained / ((t2 - t1) as f64 / 1e3))
}
