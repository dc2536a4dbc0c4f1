//! `*_over_time`: one number from the values of a window. Every window is computed afresh, never slid by subtraction.

use super::neumaier::{Mean, Sum, Variance};
use super::order;

pub fn sum(values: &[f64]) -> f64 {
    let mut sum = Sum::default();
    for &x in values {
        sum.add(x);
    }
    sum.value()
}

pub fn mean(values: &[f64]) -> f64 {
    let mut sum = Sum::default();
    for &x in values {
        sum.add(x);
    }
    if sum.sum.is_finite() {
        // It never overflowed on the way, so this is what the running mean would say.
        let count = values.len() as f64;
        return sum.sum / count + sum.lost / count;
    }
    let mut mean = Mean::default();
    for &x in values {
        mean.add(x);
    }
    mean.value()
}

pub fn variance(values: &[f64]) -> f64 {
    let mut variance = Variance::default();
    for &x in values {
        variance.add(x);
    }
    variance.value()
}

/// The smallest value; NaN only if all are.
pub fn min(values: &[f64]) -> f64 {
    values.iter().copied().fold(
        f64::NAN,
        |best, x| if x < best || best.is_nan() { x } else { best },
    )
}

/// The largest value; NaN only if all are.
pub fn max(values: &[f64]) -> f64 {
    values.iter().copied().fold(
        f64::NAN,
        |best, x| if x > best || best.is_nan() { x } else { best },
    )
}

/// The index of the latest extremum, `better` telling whether a later value takes over from the best so far.
pub fn latest(values: &[f64], better: impl Fn(f64, f64) -> bool) -> usize {
    let mut best = 0;
    for (i, &x) in values.iter().enumerate() {
        if better(x, values[best]) || values[best].is_nan() {
            best = i;
        }
    }
    best
}

pub fn quantile(phi: f64, values: &[f64], scratch: &mut Vec<f64>) -> f64 {
    scratch.clear();
    scratch.extend_from_slice(values);
    order::quantile(phi, scratch)
}

/// Median of the absolute distances from the median; NaN if any value is.
pub fn median_absolute_deviation(values: &[f64], scratch: &mut Vec<f64>) -> f64 {
    if values.iter().any(|x| x.is_nan()) {
        return f64::NAN;
    }
    let median = quantile(0.5, values, scratch);
    for x in scratch.iter_mut() {
        *x = (*x - median).abs();
    }
    order::quantile(0.5, scratch)
}

/// Double exponential smoothing with a smoothing and a trend factor; at least two values.
pub fn smooth(values: &[f64], smoothing: f64, trend: f64) -> f64 {
    let mut level = values[0];
    let mut before = 0.0;
    let mut slope = values[1] - values[0];
    for (i, &x) in values.iter().enumerate().skip(1) {
        if i > 1 {
            slope = trend * (level - before) + (1.0 - trend) * slope;
        }
        (before, level) = (level, smoothing * x + (1.0 - smoothing) * (level + slope));
    }
    level
}
