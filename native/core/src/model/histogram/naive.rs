//! Laws that hold whatever the layout: mostly, that as many observations lie below each bound as before.

use proptest::prelude::*;

use super::*;

/// How many observations lie below a bound of the histogram's own. In a difference the zero bucket may be negative.
fn below(histogram: &Histogram, bound: f64) -> f64 {
    let in_sides = histogram
        .negative_buckets()
        .chain(histogram.positive_buckets())
        .filter(|bucket| bucket.upper <= bound)
        .fold(0.0, |all, bucket| all + bucket.count);
    let has_zero = !histogram.is_custom() && histogram.zero_threshold <= bound;
    in_sides + if has_zero { histogram.zero_count } else { 0.0 }
}

/// The bounds of the histogram's buckets outside the zero bucket.
fn bounds_of(histogram: &Histogram) -> Vec<f64> {
    histogram
        .negative_buckets()
        .chain(histogram.positive_buckets())
        .flat_map(|bucket| [bucket.lower, bucket.upper])
        .filter(|bound| bound.abs() >= histogram.zero_threshold)
        .collect()
}

fn in_buckets(histogram: &Histogram) -> f64 {
    histogram
        .all_buckets()
        .fold(0.0, |all, bucket| all + bucket.count)
}

fn side() -> impl Strategy<Value = Buckets> {
    prop::collection::btree_map(-12_i32..12, (0_u8..5).prop_map(f64::from), 0..8).prop_map(Buckets::of)
}

fn with_totals(mut histogram: Histogram) -> Histogram {
    histogram.count = in_buckets(&histogram);
    histogram.sum = histogram.count * 0.75;
    histogram
}

prop_compose! {
    fn exponential()(
        schema in -2_i8..4, positive in side(), negative in side(),
        threshold in prop::sample::select(vec![0.0, 0.001, 0.3, 0.5, 1.0, 1.1, 4.0]), zero in 0_u8..3,
    ) -> Histogram {
        let mut histogram = Histogram {
            schema, positive, negative,
            zero_threshold: threshold,
            zero_count: f64::from(zero),
            ..Histogram::default()
        };
        // Nothing is counted twice: buckets inside the zero bucket are empty.
        for buckets in [&mut histogram.positive, &mut histogram.negative] {
            *buckets = Buckets::of(buckets.iter().filter(|&(index, _)| bounds::exponential(index - 1, schema) >= threshold));
        }
        with_totals(histogram)
    }
}

prop_compose! {
    fn custom()(
        bounds in prop::collection::btree_set(-5_i32..8, 1..6),
        counts in prop::collection::vec(0_u8..5, 7),
    ) -> Histogram {
        let custom: Arc<[f64]> = bounds.into_iter().map(f64::from).collect();
        let positive = Buckets::of((0..=custom.len() as i32).zip(counts.into_iter().map(f64::from)));
        with_totals(Histogram { schema: bounds::CUSTOM, custom, positive, ..Histogram::default() })
    }
}

fn two_alike() -> impl Strategy<Value = (Histogram, Histogram)> {
    prop_oneof![(exponential(), exponential()), (custom(), custom())]
}

fn agree(result: &Histogram, left: &Histogram, right: &Histogram, sign: f64) -> Result<(), TestCaseError> {
    for bound in bounds_of(result) {
        let expected = below(left, bound) + sign * below(right, bound);
        prop_assert_eq!(below(result, bound), expected, "below {} of {}", bound, result);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_sum_has_the_observations_of_both((left, right) in two_alike()) {
        let mut sum = left.clone();
        let added = sum.add(&right).unwrap();
        prop_assert_eq!(added.bounds_differ, left.custom != right.custom);
        prop_assert_eq!(sum.count, left.count + right.count);
        prop_assert_eq!(in_buckets(&sum), sum.count);
        agree(&sum, &left, &right, 1.0)?;
        let mut swapped = right.clone();
        swapped.add(&left).unwrap();
        prop_assert!(sum.compacted().is_same(&swapped.compacted()));
    }

    #[test]
    fn a_difference_is_what_must_be_added((left, right) in two_alike()) {
        let mut difference = left.clone();
        difference.subtract(&right).unwrap();
        agree(&difference, &left, &right, -1.0)?;
        prop_assert_eq!(difference.count, left.count - right.count);
    }

    #[test]
    fn totals_and_means_equal_plain_sums(all in prop_oneof![
        prop::collection::vec(exponential(), 1..7), prop::collection::vec(custom(), 1..7),
    ], cut in 0_usize..7) {
        let mut plain = all[0].clone();
        let mut total = HistogramTotal::new(all[0].clone());
        let mut mean = HistogramMean::new(all[0].clone());
        for next in &all[1..] {
            plain.add(next).unwrap();
            total.add(next).unwrap();
            mean.add(next).unwrap();
        }
        let plain = plain.compacted();
        prop_assert!(total.value().compacted().is_same(&plain));
        let mut divided = plain.clone();
        divided.divide(all.len() as f64);
        prop_assert!(mean.value().compacted().is_same(&divided));
        // In two parts.
        let (first, second) = all.split_at(cut.min(all.len()));
        let part = |part: &[Histogram]| {
            let mut total = HistogramTotal::new(part[0].clone());
            for next in &part[1..] {
                total.add(next).unwrap();
            }
            total
        };
        if !first.is_empty() && !second.is_empty() {
            let mut merged = part(first);
            merged.merge(&part(second)).unwrap();
            // Another order may widen the zero bucket elsewhere, but nothing gets lost.
            let merged = merged.value();
            prop_assert_eq!(in_buckets(&merged), plain.count);
            for bound in bounds_of(&merged) {
                let expected = all.iter().fold(0.0, |count, one| count + below(one, bound));
                prop_assert_eq!(below(&merged, bound), expected);
            }
        }
    }

    #[test]
    fn what_grew_is_no_reset_and_what_shrank_is((before, more) in two_alike(), at in 0_usize..20) {
        let mut after = before.clone();
        after.add(&more).unwrap();
        prop_assert!(!after.is_reset_from(&before), "{} after {}", after, before);
        prop_assert!(before.is_custom() || !after.clone().compacted().is_reset_from(&before));
        // Of the same layout, with one bucket emptied.
        let mut shrunk = before.clone();
        let filled: Vec<usize> = (0..before.positive.len()).filter(|&i| before.positive.counts()[i] > 0.0).collect();
        if !filled.is_empty() {
            shrunk.positive.counts_mut()[filled[at % filled.len()]] -= 1.0;
            prop_assert!(shrunk.is_reset_from(&before));
            prop_assert!(shrunk.compacted().is_reset_from(&before));
        }
    }

    #[test]
    fn quantiles_ascend_and_fractions_undo_them(histogram in prop_oneof![exponential(), custom()], steps in 1_u32..40) {
        prop_assume!(histogram.count > 0.0);
        let mut before = f64::NEG_INFINITY;
        for step in 0..=steps {
            let phi = f64::from(step) / f64::from(steps);
            let quantile = histogram.quantile(phi).value;
            prop_assert!(quantile >= before - 1e-9 * before.abs(), "{} {} {}", phi, quantile, before);
            before = quantile;
        }
        if !histogram.is_custom() && histogram.zero_threshold > 0.0 {
            let phi = 0.4;
            let back = histogram.fraction(f64::NEG_INFINITY, histogram.quantile(phi).value).value;
            let gap = histogram.all_buckets().any(|bucket| bucket.count == 0.0);
            prop_assert!(gap || (back - phi).abs() < 1e-9, "{} gives {}", phi, back);
        }
        prop_assert_eq!(histogram.fraction(f64::NEG_INFINITY, f64::INFINITY).value, 1.0);
    }

    #[test]
    fn what_lies_below_and_above_is_all(histogram in exponential(), edge in -20.0..20.0_f64) {
        let (mut lower, mut upper) = (histogram.clone(), histogram.clone());
        lower.trim(edge, true);
        upper.trim(edge, false);
        prop_assert!((lower.count + upper.count - histogram.count).abs() < 1e-9);
        for bucket in lower.all_buckets().filter(|bucket| bucket.count > 0.0) {
            prop_assert!(bucket.lower <= edge || (histogram.negative.is_empty() && bucket.holds_zero()));
        }
    }

    #[test]
    fn spans_give_the_buckets_back(buckets in side()) {
        let back = Buckets::of_spans(buckets.spans(), buckets.counts().to_vec()).unwrap();
        prop_assert!(back.is_same(&buckets));
    }
}

#[test]
fn exponential_and_custom_buckets_do_not_meet() {
    let custom = Histogram {
        schema: bounds::CUSTOM,
        ..Histogram::default()
    };
    assert_eq!(custom.clone().add(&Histogram::default()), Err(Incompatible));
    assert_eq!(
        HistogramTotal::new(custom.clone())
            .add(&Histogram::default())
            .err(),
        Some(Incompatible)
    );
    assert!(custom.is_reset_from(&Histogram::default()));
}

#[test]
fn compensation_keeps_what_cancels() {
    let of = |count: f64| Histogram {
        count,
        sum: count,
        positive: Buckets::of([(1, count)]),
        ..Histogram::default()
    };
    let mut total = HistogramTotal::new(of(2.0));
    for count in [8.0, 1e100, -1e100] {
        total.add(&of(count)).unwrap();
    }
    let total = total.value();
    assert_eq!(
        (total.count, total.sum, total.positive.counts()[0]),
        (10.0, 10.0, 10.0)
    );
}

#[test]
fn a_mean_survives_an_overflowing_sum() {
    let of = |count: f64| Histogram {
        count,
        positive: Buckets::of([(1, count)]),
        ..Histogram::default()
    };
    let mut mean = HistogramMean::new(of(f64::MAX));
    for _ in 0..2 {
        mean.add(&of(f64::MAX)).unwrap();
    }
    assert!((mean.value().count / f64::MAX - 1.0).abs() < 1e-12);
}

#[test]
fn hints_of_sums() {
    use ResetHint::{Gauge, NotReset, Reset, Unknown};
    for (left, right, sum) in [
        (Unknown, Reset, (Unknown, false)),
        (NotReset, NotReset, (NotReset, false)),
        (Reset, NotReset, (Unknown, true)),
        (Gauge, Reset, (Gauge, false)),
        (Unknown, Gauge, (Gauge, false)),
    ] {
        assert_eq!(left.combine(right), sum);
        assert_eq!(right.combine(left), sum);
    }
}

#[test]
fn stored_hints_say_only_what_is_sure() {
    let of = |count: f64, hint: ResetHint| Histogram {
        hint,
        count,
        positive: Buckets::of([(0, count)]),
        ..Histogram::default()
    };
    let hint = |hint: ResetHint, count: f64, before: Option<&Histogram>| of(count, hint).hint_behind(before);
    let before = of(3.0, ResetHint::NotReset);
    assert_eq!(hint(ResetHint::Unknown, 3.0, Some(&before)), ResetHint::NotReset);
    assert_eq!(hint(ResetHint::Unknown, 2.0, Some(&before)), ResetHint::Unknown);
    assert_eq!(hint(ResetHint::Reset, 4.0, Some(&before)), ResetHint::Unknown);
    assert_eq!(hint(ResetHint::NotReset, 4.0, None), ResetHint::Unknown);
    assert_eq!(hint(ResetHint::Gauge, 1.0, Some(&before)), ResetHint::Gauge);
    assert_eq!(
        hint(ResetHint::Unknown, 4.0, Some(&of(3.0, ResetHint::Gauge))),
        ResetHint::Unknown
    );
}
