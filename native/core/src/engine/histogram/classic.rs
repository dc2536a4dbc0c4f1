//! Quantiles and fractions of classic histograms: cumulative buckets of one step.

/// A cumulative bucket at one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    pub bound: f64,
    pub count: f64,
}

/// Buckets whose counts had to be raised to that of a lower one.
#[derive(Debug, Clone, Copy)]
pub struct Repair {
    pub lowest: f64,
    pub highest: f64,
    pub largest_difference: f64,
}

/// Buckets of one bound become one. Returns whether the last is the one without a bound.
fn merge_equal_bounds(buckets: &mut Vec<Bucket>) -> bool {
    buckets.dedup_by(|next, kept| {
        let equal = next.bound == kept.bound;
        if equal {
            kept.count += next.count;
        }
        equal
    });
    buckets.last().is_some_and(|bucket| bucket.bound == f64::INFINITY)
}

/// The φ-quantile of ascending buckets, by linear interpolation inside the one that holds the rank.
pub fn quantile(phi: f64, buckets: &mut Vec<Bucket>) -> (f64, Option<Repair>) {
    if phi.is_nan() {
        return (f64::NAN, None);
    }
    if phi < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if phi > 1.0 {
        return (f64::INFINITY, None);
    }
    if buckets.last().is_none_or(|bucket| bucket.bound != f64::INFINITY) {
        return (f64::NAN, None);
    }
    merge_equal_bounds(buckets);
    let repair = force_monotonic(buckets);
    let last = buckets.len() - 1;
    let total = buckets[last].count;
    if buckets.len() < 2 || total == 0.0 {
        return (f64::NAN, repair);
    }
    let mut rank = phi * total;
    let holder = buckets[..last]
        .iter()
        .position(|bucket| bucket.count >= rank)
        .unwrap_or(last);
    if holder == last {
        return (buckets[last - 1].bound, repair);
    }
    let Bucket {
        bound: end,
        mut count,
    } = buckets[holder];
    if holder == 0 && end <= 0.0 {
        return (end, repair);
    }
    let mut start = 0.0;
    if holder > 0 {
        start = buckets[holder - 1].bound;
        count -= buckets[holder - 1].count;
        rank -= buckets[holder - 1].count;
    }
    (start + (end - start) * (rank / count), repair)
}

/// Cumulative counts never fall. Differences as small as rounding are evened out without a word.
fn force_monotonic(buckets: &mut [Bucket]) -> Option<Repair> {
    const SMALL_DELTA: f64 = 1e-12;
    let mut repair: Option<Repair> = None;
    let mut before = buckets[0].count;
    for bucket in &mut buckets[1..] {
        let Bucket { bound, count } = *bucket;
        if count == before {
            continue;
        }
        if is_almost_equal(before, count, SMALL_DELTA) {
            bucket.count = before;
            continue;
        }
        if count < before {
            let difference = before - count;
            let repair = repair.get_or_insert(Repair {
                lowest: bound,
                highest: bound,
                largest_difference: difference,
            });
            repair.lowest = repair.lowest.min(bound);
            repair.highest = repair.highest.max(bound);
            repair.largest_difference = repair.largest_difference.max(difference);
            bucket.count = before;
            continue;
        }
        before = count;
    }
    repair
}

fn is_almost_equal(a: f64, b: f64, delta: f64) -> bool {
    if a.is_nan() && b.is_nan() || a == b {
        return true;
    }
    let sum = a.abs() + b.abs();
    let difference = (a - b).abs();
    // Near zero a relative difference means nothing.
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < delta * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < delta
}

/// The part of observations in (lower, upper].
pub fn fraction(lower: f64, upper: f64, buckets: &mut Vec<Bucket>) -> f64 {
    if !merge_equal_bounds(buckets) {
        return f64::NAN;
    }
    let total = buckets[buckets.len() - 1].count;
    if total == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    (rank_of(upper, buckets, total) - rank_of(lower, buckets, total)) / total
}

/// How many observations lie at or below a value, interpolated inside its bucket.
fn rank_of(value: f64, buckets: &[Bucket], total: f64) -> f64 {
    let mut below = 0.0;
    let mut start = if buckets[0].bound > 0.0 {
        0.0
    } else {
        f64::NEG_INFINITY
    };
    for &Bucket { bound, count } in buckets {
        if start >= value {
            break;
        }
        if bound > value {
            let inside = if start == f64::NEG_INFINITY {
                count
            } else {
                below + (count - below) * (value - start) / (bound - start)
            };
            return inside.min(total);
        }
        below = count;
        start = bound;
    }
    f64::min(below, total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(counts: &[(f64, f64)]) -> Vec<Bucket> {
        counts
            .iter()
            .map(|&(bound, count)| Bucket { bound, count })
            .collect()
    }

    const INF: f64 = f64::INFINITY;

    #[test]
    fn quantiles_interpolate() {
        let all = [(0.1, 2.0), (0.2, 4.0), (1.0, 8.0), (INF, 10.0)];
        let of = |phi| quantile(phi, &mut buckets(&all)).0;
        assert_eq!(of(0.1), 0.05);
        assert!((of(0.6) - 0.6).abs() < 1e-12);
        assert_eq!(of(1.0), 1.0);
        assert_eq!(of(-1.0), -INF);
        assert_eq!(of(2.0), INF);
        assert!(of(f64::NAN).is_nan());
        assert!(quantile(0.5, &mut buckets(&[(0.1, 1.0)])).0.is_nan());
        assert_eq!(quantile(0.5, &mut buckets(&[(-1.0, 1.0), (INF, 1.0)])).0, -1.0);
    }

    #[test]
    fn falling_counts_are_raised_and_told() {
        let (value, repair) = quantile(
            1.0,
            &mut buckets(&[(1.0, 5.0), (2.0, 3.0), (3.0, 4.0), (INF, 5.0)]),
        );
        let repair = repair.unwrap();
        assert_eq!(
            (repair.lowest, repair.highest, repair.largest_difference),
            (2.0, 3.0, 2.0)
        );
        assert_eq!(value, 1.0);
        let (_, silent) = quantile(1.0, &mut buckets(&[(1.0, 5.0), (2.0, 5.0 - 1e-13), (INF, 5.0)]));
        assert!(silent.is_none());
    }

    #[test]
    fn equal_bounds_add_up() {
        let mut twice = buckets(&[(1.0, 1.0), (1.0, 2.0), (INF, 2.0), (INF, 2.0)]);
        assert!(merge_equal_bounds(&mut twice));
        assert_eq!(twice, buckets(&[(1.0, 3.0), (INF, 4.0)]));
    }

    #[test]
    fn fractions_of_classic_buckets() {
        let all = [(1.0, 2.0), (2.0, 4.0), (INF, 8.0)];
        let of = |lower, upper| fraction(lower, upper, &mut buckets(&all));
        assert_eq!(of(0.0, 2.0), 0.5);
        assert_eq!(of(0.5, 1.5), 0.25);
        assert_eq!(of(-INF, INF), 1.0);
        assert_eq!(of(2.0, 1.0), 0.0);
        assert_eq!(of(2.0, 100.0), 0.0);
        assert!(of(f64::NAN, 1.0).is_nan());
        assert!(fraction(0.0, 1.0, &mut buckets(&[(1.0, 2.0)])).is_nan());
    }
}
