//! The metrics of a target. A series has a place; the place gives its labels, and with the step its value.
//!
//! Values are integers over powers of two, small enough that every sum of them is exact, and functions of the step:
//! nothing has to be counted up to it. A counter that grows by about `rate` a step is `rate × steps + a hash below rate`,
//! which never falls; a gauge walks by one up or down, as the bits of a hash say, for 64 steps, and then begins from
//! another level.

use super::life::Life;
use super::random::hash;

/// Upper bounds of the finite buckets.
const BOUNDS: [&str; 11] = [
    "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10",
];

/// What an observation counts for the sum, in 1/1024, by bucket: between the bounds.
const OBSERVED: [u64; 12] = [3, 8, 18, 38, 77, 179, 384, 768, 1792, 3840, 7680, 12_288];

const BUCKETS: usize = BOUNDS.len() + 1;

/// Series of one histogram: its buckets, `_sum` and `_count`.
pub const HISTOGRAM_SERIES: usize = BUCKETS + 2;

const CODES: [&str; 4] = ["200", "404", "500", "503"];
const METHODS: [&str; 2] = ["GET", "POST"];
const MODES: [&str; 4] = ["user", "system", "idle", "iowait"];

/// Kinds of the series that are not part of a histogram, over and over in this order.
const KINDS: usize = 10;

/// What kinds of series a target has, and which of them lies where.
#[derive(Debug, Clone, Copy)]
pub struct Families {
    histograms: usize,
    series: usize,
}

/// The labels that tell a series from the others of its target, its name among them.
pub type OwnLabels = Vec<(&'static str, String)>;

impl Families {
    /// Of `series` series as near to `share` as whole histograms allow are in histograms.
    pub fn new(series: usize, share: f64) -> Self {
        let histograms = (series as f64 * share / HISTOGRAM_SERIES as f64).round() as usize;
        Self {
            histograms: histograms.min(series / HISTOGRAM_SERIES),
            series,
        }
    }

    pub fn series(self) -> usize {
        self.series
    }

    pub fn labels(self, place: usize) -> OwnLabels {
        let family = place / HISTOGRAM_SERIES;
        if family < self.histograms {
            return histogram_labels(family, place % HISTOGRAM_SERIES);
        }
        let rest = place - self.histograms * HISTOGRAM_SERIES;
        plain_labels(rest % KINDS, rest / KINDS)
    }

    /// Appends the values of all series of a target at one step. `seed` is that of the target's incarnation.
    pub fn values(self, seed: u64, life: Life, step: u32, out: &mut Vec<f64>) {
        for family in 0..self.histograms {
            histogram_values(hash(seed, family as u64), life, step, out);
        }
        for rest in 0..self.series - self.histograms * HISTOGRAM_SERIES {
            out.push(plain_value(rest % KINDS, hash(!seed, rest as u64), life, step));
        }
    }
}

fn histogram_labels(family: usize, part: usize) -> OwnLabels {
    let (name, le) = match part.checked_sub(BUCKETS) {
        None => ("bucket", Some(BOUNDS.get(part).copied().unwrap_or("+Inf"))),
        Some(0) => ("sum", None),
        Some(_) => ("count", None),
    };
    let mut labels = vec![
        ("__name__", format!("load_request_duration_seconds_{name}")),
        ("handler", format!("/api/v1/handler/{family}")),
    ];
    labels.extend(le.map(|le| ("le", le.to_owned())));
    labels
}

fn histogram_values(seed: u64, life: Life, step: u32, out: &mut Vec<f64>) {
    // Three of ten are idle; the others count some observations a step, most of them in the middle buckets.
    let level = if seed % 10 < 3 { 0 } else { 1 + (seed >> 32) % 64 };
    let (mut count, mut sum) = (0, 0);
    for (bucket, observed) in OBSERVED.iter().enumerate() {
        let rate = level >> (bucket.abs_diff(4) / 2);
        let grown = counter(rate, hash(seed, bucket as u64), life, step);
        count += grown;
        sum += grown * observed;
        out.push(count as f64);
    }
    out.push(sum as f64 / 1024.0);
    out.push(count as f64);
}

fn plain_labels(kind: usize, nth: usize) -> OwnLabels {
    let named = |name: &str| ("__name__", format!("load_{name}"));
    match kind {
        0..=3 => {
            let nth = nth * 4 + kind;
            vec![
                named("requests_total"),
                ("code", CODES[nth % CODES.len()].to_owned()),
                ("method", METHODS[nth / CODES.len() % METHODS.len()].to_owned()),
                (
                    "path",
                    format!("/api/v1/things/{}", nth / (CODES.len() * METHODS.len())),
                ),
            ]
        }
        4 => vec![
            named("cpu_seconds_total"),
            ("cpu", (nth / MODES.len()).to_string()),
            ("mode", MODES[nth % MODES.len()].to_owned()),
        ],
        5 => vec![named("network_bytes_total"), ("device", format!("eth{nth}"))],
        6 => vec![named("queue_length"), ("queue", format!("work-{nth}"))],
        7 => vec![named("memory_bytes"), ("area", format!("area-{nth}"))],
        8 => vec![named("temperature_celsius"), ("sensor", nth.to_string())],
        _ => vec![named("limit"), ("resource", format!("resource-{nth}"))],
    }
}

fn plain_value(kind: usize, seed: u64, life: Life, step: u32) -> f64 {
    let size = seed >> 32;
    match kind {
        // Three of ten stand still.
        0..=3 if seed % 10 < 3 => (size % 1000) as f64,
        0..=3 => counter(1 << (size % 9), seed, life, step) as f64,
        4 => counter(1 + size % 960, seed, life, step) as f64 / 64.0,
        5 => counter(1500 << (size % 10), seed, life, step) as f64,
        6 => walk(seed, step).abs() as f64,
        7 => ((16_384 + (size % 4096) as i64 + walk(seed, step)) * 4096) as f64,
        8 => (30 * 64 + (size % 1280) as i64 + walk(seed, step)) as f64 / 64.0,
        _ => f64::from(1u32 << (size % 20)),
    }
}

fn counter(rate: u64, seed: u64, life: Life, step: u32) -> u64 {
    match rate {
        0 => 0,
        _ => rate * life.up + hash(seed, u64::from(step)) % rate,
    }
}

/// Between -80 and 80.
fn walk(seed: u64, step: u32) -> i64 {
    let (leg, place) = (u64::from(step / 64), step % 64);
    let level = (hash(!seed, leg) % 33) as i64 - 16;
    let taken = hash(seed, leg) & ((1 << place) - 1);
    level + 2 * i64::from(taken.count_ones()) - i64::from(place)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const AT_ONE_PLACE: u64 = 0x5eed;

    fn column(families: Families, steps: u32) -> Vec<Vec<f64>> {
        (0..steps)
            .map(|step| {
                let mut values = Vec::new();
                let life = Life {
                    incarnation: 0,
                    up: u64::from(step),
                };
                families.values(AT_ONE_PLACE, life, step, &mut values);
                values
            })
            .collect()
    }

    #[test]
    fn every_series_of_a_target_has_labels_of_its_own() {
        for (series, share) in [(1, 0.5), (14, 1.0), (500, 0.0), (500, 0.3), (997, 1.0)] {
            let families = Families::new(series, share);
            let distinct: HashSet<OwnLabels> = (0..series).map(|place| families.labels(place)).collect();
            assert_eq!(distinct.len(), series);
            assert_eq!(column(families, 1)[0].len(), series);
        }
    }

    #[test]
    fn counters_never_fall_while_the_target_runs_and_gauges_move() {
        let families = Families::new(140, 0.5);
        let columns = column(families, 200);
        for place in 0..140 {
            let name = families.labels(place)[0].1.clone();
            let values: Vec<f64> = columns.iter().map(|column| column[place]).collect();
            let falls = values.windows(2).any(|pair| pair[1] < pair[0]);
            let moves = values.windows(2).any(|pair| pair[1] != pair[0]);
            match name.as_str() {
                "load_queue_length" | "load_memory_bytes" | "load_temperature_celsius" => {
                    assert!(falls && moves);
                }
                "load_limit" => assert!(!moves),
                _ => assert!(!falls, "{name} falls"),
            }
            assert!(
                values
                    .iter()
                    .all(|v| v * 1024.0 == (v * 1024.0).trunc() && v.abs() < 2f64.powi(53))
            );
        }
    }

    #[test]
    fn buckets_are_cumulative_and_end_in_the_count() {
        let columns = column(Families::new(140, 1.0), 50);
        for values in &columns {
            for histogram in values.chunks(HISTOGRAM_SERIES) {
                assert!(histogram[..BUCKETS].is_sorted());
                assert_eq!(histogram[BUCKETS - 1], histogram[HISTOGRAM_SERIES - 1]);
            }
        }
        assert!(columns[49].iter().any(|&v| v > 0.0));
    }

    #[test]
    fn a_walk_goes_by_one_within_a_leg() {
        for step in (0..640).filter(|step| step % 64 != 63) {
            assert_eq!((walk(11, step + 1) - walk(11, step)).abs(), 1, "at {step}");
        }
    }
}
