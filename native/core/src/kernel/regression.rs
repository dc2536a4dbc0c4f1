//! Least squares over the samples of a window, for `deriv` and `predict_linear`.

use super::neumaier::Sum;
use crate::model::Millis;

/// `value = slope * seconds + intercept`, seconds counted from `origin`.
#[derive(Debug, Clone, Copy)]
pub struct Line {
    pub slope: f64,
    pub intercept: f64,
}

/// The line through samples, in compensated sums. A constant series has slope 0; a constant infinity has no line.
pub fn fit(times: &[Millis], values: &[f64], origin: Millis) -> Line {
    let first = values[0];
    if values.iter().skip(1).all(|&y| y == first) {
        return if first.is_infinite() {
            Line {
                slope: f64::NAN,
                intercept: f64::NAN,
            }
        } else {
            Line {
                slope: 0.0,
                intercept: first,
            }
        };
    }
    let (mut x_sum, mut y_sum, mut xy_sum, mut xx_sum) =
        (Sum::default(), Sum::default(), Sum::default(), Sum::default());
    for (&time, &y) in times.iter().zip(values) {
        let x = (time - origin) as f64 / 1e3;
        x_sum.add(x);
        y_sum.add(y);
        xy_sum.add(x * y);
        xx_sum.add(x * x);
    }
    let n = values.len() as f64;
    let (x, y) = (x_sum.value(), y_sum.value());
    let slope = (xy_sum.value() - x * y / n) / (xx_sum.value() - x * x / n);
    Line {
        slope,
        intercept: y / n - slope * x / n,
    }
}
