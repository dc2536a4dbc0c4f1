//! Each kernel against the definition, read off the samples of one window at a time.

use proptest::prelude::*;

use super::{RangeFunction, RangeKernel, Ranges, RowNotes};
use crate::engine::{CellBuf, Element, Grid};
use crate::model::{STALE_BITS, Samples, is_stale};

/// The samples of a window by definition.
fn window(times: &[i64], values: &[f64], ranges: Ranges, step: usize) -> Vec<(i64, f64)> {
    let end = ranges.grid.time(step) - ranges.offset;
    times
        .iter()
        .copied()
        .zip(values.iter().copied())
        .filter(|&(t, v)| t > end - ranges.range && t <= end && !is_stale(v))
        .collect()
}

/// `rate`, `increase`, `delta` written down as the reference states them.
fn extrapolated(function: &str, w: &[(i64, f64)], start: i64, end: i64) -> Option<f64> {
    let ((t1, v1), (tn, vn)) = (*w.first()?, *w.last()?);
    if w.len() < 2 {
        return None;
    }
    let counter = function != "delta";
    let mut result = vn - v1;
    for pair in w.windows(2) {
        if counter && pair[1].1 < pair[0].1 {
            result += pair[0].1;
        }
    }
    let sampled = (tn - t1) as f64 / 1e3;
    let average = sampled / (w.len() - 1) as f64;
    let (mut to_start, mut to_end) = ((t1 - start) as f64 / 1e3, (end - tn) as f64 / 1e3);
    if to_start >= average * 1.1 {
        to_start = average / 2.0;
    }
    if counter && result > 0.0 && v1 >= 0.0 {
        to_start = to_start.min(sampled * (v1 / result));
    }
    if to_end >= average * 1.1 {
        to_end = average / 2.0;
    }
    let mut factor = (sampled + to_start + to_end) / sampled;
    if function == "rate" {
        factor /= (end - start) as f64 / 1e3;
    }
    Some(result * factor)
}

fn naive(function: &str, w: &[(i64, f64)], start: i64, end: i64) -> Option<f64> {
    let values: Vec<f64> = w.iter().map(|s| s.1).collect();
    let pairs = || values.windows(2);
    if values.is_empty() {
        return None;
    }
    let n = values.len() as f64;
    Some(match function {
        "rate" | "increase" | "delta" => return extrapolated(function, w, start, end),
        "irate" | "idelta" => {
            let [.., (t1, v1), (t2, v2)] = *w else { return None };
            let gained = if function == "irate" && v2 < v1 {
                v2
            } else {
                v2 - v1
            };
            if function == "irate" {
                gained / ((t2 - t1) as f64 / 1e3)
            } else {
                gained
            }
        }
        "changes" => pairs().filter(|p| p[0] != p[1]).count() as f64,
        "resets" => pairs().filter(|p| p[1] < p[0]).count() as f64,
        "sum_over_time" => values.iter().sum(),
        "avg_over_time" => values.iter().sum::<f64>() / n,
        "count_over_time" => n,
        "min_over_time" => values.iter().copied().fold(f64::INFINITY, f64::min),
        "max_over_time" => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        "first_over_time" => values[0],
        "last_over_time" => values[values.len() - 1],
        "present_over_time" => 1.0,
        "stdvar_over_time" => {
            let mean = values.iter().sum::<f64>() / n;
            values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n
        }
        "quantile_over_time" => {
            let mut sorted = values;
            sorted.sort_by(f64::total_cmp);
            let rank = 0.3 * (n - 1.0);
            let (low, high) = (
                rank.floor() as usize,
                (rank.floor() as usize + 1).min(sorted.len() - 1),
            );
            sorted[low] * (1.0 - (rank - rank.floor())) + sorted[high] * (rank - rank.floor())
        }
        "deriv" => {
            let t1 = w[0].0;
            if values.len() < 2 {
                return None;
            }
            let xs: Vec<f64> = w.iter().map(|s| (s.0 - t1) as f64 / 1e3).collect();
            let (x, y) = (xs.iter().sum::<f64>() / n, values.iter().sum::<f64>() / n);
            let covariance: f64 = xs.iter().zip(&values).map(|(a, b)| (a - x) * (b - y)).sum();
            covariance / xs.iter().map(|a| (a - x) * (a - x)).sum::<f64>()
        }
        other => unreachable!("{other}"),
    })
}

const EXACT: [&str; 12] = [
    "rate",
    "increase",
    "delta",
    "irate",
    "idelta",
    "changes",
    "resets",
    "count_over_time",
    "min_over_time",
    "max_over_time",
    "first_over_time",
    "last_over_time",
];
const CLOSE: [&str; 5] = [
    "sum_over_time",
    "avg_over_time",
    "stdvar_over_time",
    "quantile_over_time",
    "deriv",
];

prop_compose! {
    fn series()(
        gaps in prop::collection::vec(1_i64..4000, 0..60),
        seed in prop::collection::vec((0_u8..12, 0_i32..50), 60),
    ) -> (Vec<i64>, Vec<f64>) {
        let mut time = 0;
        let times: Vec<i64> = gaps.iter().map(|gap| { time += gap; time }).collect();
        let mut level = 0.0;
        let values = seed.iter().take(times.len()).map(|&(kind, amount)| match kind {
            0 => f64::from_bits(STALE_BITS),
            1 => { level = f64::from(amount); level }
            _ => { level += f64::from(amount) / 4.0; level }
        }).collect();
        (times, values)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn every_window_equals_its_definition(
        (times, values) in series(),
        start in 0_i64..20_000, step in 500_i64..8_000, steps in 1_usize..25,
        range in 1_i64..40_000, offset in -3_000_i64..3_000, key in 0_u64..2,
    ) {
        let ranges = Ranges { grid: Grid { start, step, steps }, range, offset };
        for name in EXACT.iter().chain(&CLOSE).copied() {
            let params = if name == "quantile_over_time" { vec![vec![0.3]] } else { Vec::new() };
            let function = RangeFunction::named(name).unwrap();
            let mut kernel = RangeKernel::new(function, ranges, &params).unwrap();
            let mut cells = CellBuf::absent(steps);
            let samples = Samples::floats(&times, &values, key);
            // Twice: the second row may use the edges of the first.
            for _ in 0..2 {
                cells.kind.fill(9);
                kernel.run(samples, &mut cells, &mut RowNotes::default(), || Ok(())).unwrap();
            }
            for i in 0..steps {
                let end = ranges.grid.time(i) - offset;
                let expected = naive(name, &window(&times, &values, ranges, i), end - range, end);
                let got = cells.all().get(i).and_then(Element::float);
                if EXACT.contains(&name) {
                    prop_assert_eq!(got.map(f64::to_bits), expected.map(f64::to_bits), "{} step {}", name, i);
                } else {
                    prop_assert_eq!(got.is_some(), expected.is_some(), "{} step {}", name, i);
                    let (got, expected) = (got.unwrap_or(0.0), expected.unwrap_or(0.0));
                    let close = (got - expected).abs() <= 1e-9 * expected.abs().max(1.0);
                    prop_assert!(close, "{} step {}: {} {}", name, i, got, expected);
                }
            }
        }
    }
}

fn one(function: &str, params: &[Vec<f64>], samples: &[(i64, f64)], time: i64, range: i64) -> Option<f64> {
    let (times, values): (Vec<i64>, Vec<f64>) = samples.iter().copied().unzip();
    let ranges = Ranges {
        grid: Grid {
            start: time,
            step: 1,
            steps: 1,
        },
        range,
        offset: 0,
    };
    let mut kernel = RangeKernel::new(RangeFunction::named(function).unwrap(), ranges, params).unwrap();
    let mut cells = CellBuf::absent(1);
    let samples = Samples::floats(&times, &values, 0);
    kernel
        .run(samples, &mut cells, &mut RowNotes::default(), || Ok(()))
        .unwrap();
    cells.all().get(0).and_then(Element::float)
}

#[test]
fn compensated_sums_over_time() {
    let samples = [(1000, 2.0), (2000, 8.0), (3000, 1e100), (4000, -1e100)];
    assert_eq!(one("sum_over_time", &[], &samples, 4000, 4000), Some(10.0));
    assert_eq!(one("avg_over_time", &[], &samples, 4000, 4000), Some(2.5));
}

#[test]
fn prediction_starts_at_the_evaluation_time() {
    let samples = [(0, 0.0), (10_000, 10.0), (20_000, 20.0)];
    assert_eq!(
        one("predict_linear", &[vec![5.0]], &samples, 30_000, 60_000),
        Some(35.0)
    );
    assert_eq!(
        one("deriv", &[], &[(0, 5.0), (1, 5.0)], 30_000, 60_000),
        Some(0.0)
    );
}

#[test]
fn extrema_skip_nan_and_their_times_are_the_latest() {
    let samples = [(1000, f64::NAN), (2000, 3.0), (3000, 3.0), (4000, 1.0)];
    assert_eq!(one("max_over_time", &[], &samples, 4000, 4000), Some(3.0));
    assert_eq!(one("ts_of_max_over_time", &[], &samples, 4000, 4000), Some(3.0));
    assert_eq!(one("ts_of_min_over_time", &[], &samples, 4000, 4000), Some(4.0));
    assert_eq!(one("ts_of_first_over_time", &[], &samples, 4000, 4000), Some(1.0));
}

#[test]
fn smoothing_refuses_factors_outside_zero_and_one() {
    let ranges = Ranges {
        grid: Grid {
            start: 10,
            step: 1,
            steps: 1,
        },
        range: 10,
        offset: 0,
    };
    let params = [vec![0.5], vec![2.0]];
    let mut kernel = RangeKernel::new(RangeFunction::Smoothing, ranges, &params).unwrap();
    let samples = Samples::floats(&[1, 2], &[1.0, 2.0], 0);
    let error = kernel
        .run(samples, &mut CellBuf::absent(1), &mut RowNotes::default(), || {
            Ok(())
        })
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid trend factor. Expected: 0 < tf < 1, got: 2.000000"
    );
}
