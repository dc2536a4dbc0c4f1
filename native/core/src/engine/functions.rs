//! Element-wise functions.

use std::sync::Arc;

use super::calendar::Moment;
use super::cells::{Cells, Element, FLOAT, HISTOGRAM};
use super::context::QueryContext;
use super::frame::{Frame, Grid, common_steps};
use crate::model::Histogram;
use crate::{Error, Result};

/// `function` of each element, under the same labels; of floats only, but for `neg`, `timestamp` and the functions of
/// histograms. params: scalars. `timestamp` is that of the step.
pub fn apply(
    context: &Arc<QueryContext>,
    function: &str,
    frame: &Frame,
    params: &[&Frame],
    grid: Grid,
) -> Result<Frame> {
    if let Some(plain) = plain_function(function) {
        params_of(function, params, 0)?;
        return map(context, frame, frame.steps, |_, x| Some(plain(x)));
    }
    if let Some(of_histogram) = histogram_function(function) {
        params_of(function, params, 0)?;
        return map_histograms(context, frame, of_histogram);
    }
    let steps = common_steps(&[&[frame], params].concat())?;
    match function {
        "timestamp" => {
            params_of(function, params, 0)?;
            if frame.steps != 1 && frame.steps != grid.steps {
                return Err(Error::BadData("timestamp needs the grid of its frame".into()));
            }
            map_elements(context, frame, grid.steps, |step, _| {
                Some(grid.time(step) as f64 / 1e3)
            })
        }
        "neg" => {
            params_of(function, params, 0)?;
            negate(context, frame)
        }
        "clamp" => {
            let [min, max] = params_of(function, params, 2)?[..] else {
                return Err(unknown(function));
            };
            map(context, frame, steps, |step, x| {
                let (min, max) = (min.at(step), max.at(step));
                (max >= min || max.is_nan() || min.is_nan()).then(|| go_max(min, go_min(max, x)))
            })
        }
        "clamp_min" => {
            let [min] = params_of(function, params, 1)?[..] else {
                return Err(unknown(function));
            };
            map(context, frame, steps, |step, x| Some(go_max(min.at(step), x)))
        }
        "clamp_max" => {
            let [max] = params_of(function, params, 1)?[..] else {
                return Err(unknown(function));
            };
            map(context, frame, steps, |step, x| Some(go_min(max.at(step), x)))
        }
        "round" if params.is_empty() => map(context, frame, steps, |_, x| Some(round(x, 1.0))),
        "round" => {
            let [nearest] = params_of(function, params, 1)?[..] else {
                return Err(unknown(function));
            };
            map(context, frame, steps, |step, x| Some(round(x, nearest.at(step))))
        }
        _ => Err(unknown(function)),
    }
}

fn unknown(function: &str) -> Error {
    Error::BadData(format!("no element-wise function is called {function:?}"))
}

fn params_of<'a, 'b>(function: &str, params: &'b [&'a Frame], want: usize) -> Result<&'b [&'a Frame]> {
    if params.len() != want {
        let got = params.len();
        return Err(Error::BadData(format!(
            "{function} takes {want} parameters, not {got}"
        )));
    }
    for param in params {
        param.required_scalar()?;
    }
    Ok(params)
}

/// Functions of the value alone.
fn plain_function(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "abs" => f64::abs,
        "ceil" => f64::ceil,
        "floor" => f64::floor,
        "exp" => f64::exp,
        "sqrt" => f64::sqrt,
        "ln" => f64::ln,
        "log2" => f64::log2,
        "log10" => f64::log10,
        "sin" => f64::sin,
        "cos" => f64::cos,
        "tan" => f64::tan,
        "asin" => f64::asin,
        "acos" => f64::acos,
        "atan" => f64::atan,
        "sinh" => f64::sinh,
        "cosh" => f64::cosh,
        "tanh" => f64::tanh,
        "asinh" => f64::asinh,
        "acosh" => f64::acosh,
        "atanh" => f64::atanh,
        "rad" => |x| x * std::f64::consts::PI / 180.0,
        "deg" => |x| x * 180.0 / std::f64::consts::PI,
        "sgn" => |x| {
            if x < 0.0 {
                -1.0
            } else if x > 0.0 {
                1.0
            } else {
                x
            }
        },
        "year" => |x| Moment::at(x).year as f64,
        "month" => |x| f64::from(Moment::at(x).month),
        "day_of_month" => |x| f64::from(Moment::at(x).day),
        "day_of_week" => |x| f64::from(Moment::at(x).weekday()),
        "day_of_year" => |x| f64::from(Moment::at(x).day_of_year()),
        "days_in_month" => |x| f64::from(Moment::at(x).days_in_month()),
        "hour" => |x| f64::from(Moment::at(x).hour()),
        "minute" => |x| f64::from(Moment::at(x).minute()),
        _ => return None,
    })
}

/// Functions of a histogram alone.
fn histogram_function(name: &str) -> Option<fn(&Histogram) -> f64> {
    Some(match name {
        "histogram_count" => |histogram| histogram.count,
        "histogram_sum" => |histogram| histogram.sum,
        "histogram_avg" => |histogram| histogram.sum / histogram.count,
        "histogram_stdvar" => Histogram::variance,
        "histogram_stddev" => |histogram| histogram.variance().sqrt(),
        _ => return None,
    })
}

/// Histograms become floats, which happens once for all cells that hold the same one. Floats go.
fn map_histograms(context: &Arc<QueryContext>, frame: &Frame, f: fn(&Histogram) -> f64) -> Result<Frame> {
    let results: Vec<f64> = frame
        .cells
        .histograms
        .iter()
        .map(|histogram| f(histogram))
        .collect();
    let mut cells = Cells::absent(context, frame.cells.kind.len())?;
    if !results.is_empty() {
        for (cell, (&kind, &place)) in frame.cells.kind.iter().zip(&frame.cells.value).enumerate() {
            if kind == HISTOGRAM {
                cells.put(cell, Element::Float(results[place as usize]));
            }
        }
    }
    like(context, frame, frame.steps, cells)
}

/// Unary minus.
fn negate(context: &Arc<QueryContext>, frame: &Frame) -> Result<Frame> {
    let mut cells = Cells::with_capacity(context, frame.cells.kind.len())?;
    cells.push(frame.cells.all());
    for histogram in &mut cells.histograms {
        Arc::make_mut(histogram).multiply(-1.0);
    }
    let cell_values = frame.cells.kind.iter().zip(cells.value.iter_mut());
    for (_, value) in cell_values.filter(|(kind, _)| **kind == FLOAT) {
        *value = -*value;
    }
    like(context, frame, frame.steps, cells)
}

/// Other cells under the labels of a frame.
fn like(context: &Arc<QueryContext>, frame: &Frame, steps: usize, cells: Cells) -> Result<Frame> {
    Ok(Frame::new(context, Arc::clone(&frame.table), steps, cells.seal()?)?.in_order(frame.ordered))
}

/// Cells become `f(step, element)`, absent where that is nothing.
fn map_elements(
    context: &Arc<QueryContext>,
    frame: &Frame,
    steps: usize,
    f: impl Fn(usize, Element<'_>) -> Option<f64>,
) -> Result<Frame> {
    let mut cells = Cells::absent(context, frame.rows().saturating_mul(steps))?;
    for row in 0..frame.rows() {
        context.check()?;
        for step in 0..steps {
            if let Some(result) = frame.get(row, step).and_then(|element| f(step, element)) {
                cells.put(row * steps + step, Element::Float(result));
            }
        }
    }
    like(context, frame, steps, cells)
}

/// Floats become `f(step, value)`, absent where that is nothing. Histograms go.
fn map(
    context: &Arc<QueryContext>,
    frame: &Frame,
    steps: usize,
    f: impl Fn(usize, f64) -> Option<f64>,
) -> Result<Frame> {
    let mut cells = Cells::absent(context, frame.rows().saturating_mul(steps))?;
    for row in 0..frame.rows() {
        context.check()?;
        let (kind, value) = frame.row(row);
        let (to_kind, to_value) = cells.row_mut(row, steps);
        for step in 0..steps {
            let cell = if frame.steps == 1 { 0 } else { step };
            if kind[cell] == FLOAT
                && let Some(result) = f(step, value[cell])
            {
                to_kind[step] = FLOAT;
                to_value[step] = result;
            }
        }
    }
    like(context, frame, steps, cells)
}

/// To a multiple of `nearest`; halves go up. By the inverse, as Prometheus does, for the sake of 0.1 and its kin.
fn round(x: f64, nearest: f64) -> f64 {
    let inverse = 1.0 / nearest;
    (x * inverse + 0.5).floor() / inverse
}

/// Go's `math.Max`: NaN wins over all but +Inf.
fn go_max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a > b || (a == b && b.is_sign_negative()) {
        a
    } else {
        b
    }
}

/// Go's `math.Min`: NaN wins over all but -Inf.
fn go_min(a: f64, b: f64) -> f64 {
    -go_max(-a, -b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extrema_propagate_nan_as_go_does() {
        assert!(go_max(1.0, f64::NAN).is_nan());
        assert_eq!(go_max(f64::INFINITY, f64::NAN), f64::INFINITY);
        assert_eq!(go_min(f64::NAN, f64::NEG_INFINITY), f64::NEG_INFINITY);
        assert_eq!(go_min(2.0, 1.0), 1.0);
        assert!(go_max(0.0, -0.0).is_sign_positive() && go_max(-0.0, 0.0).is_sign_positive());
    }

    #[test]
    fn halves_round_up() {
        assert_eq!(round(2.5, 1.0), 3.0);
        assert_eq!(round(-2.5, 1.0), -2.0);
        assert!(round(-0.5, 1.0) == 0.0);
        assert_eq!(round(0.15, 0.1), 0.2);
        assert_eq!(round(23.0, 5.0), 25.0);
    }
}
