//! Sums and means of many histograms, every count compensated as floats are.

use super::arithmetic::{Added, Incompatible, common_bounds, rebin};
use super::buckets::Union;
use super::{Buckets, Histogram};
use crate::kernel::Sum;

/// A running sum.
#[derive(Debug, Clone)]
pub struct HistogramTotal {
    sum: Histogram,
    lost: Lost,
}

/// What addition rounded away, for each count of the sum.
#[derive(Debug, Clone, Default)]
struct Lost {
    count: f64,
    sum: f64,
    zero_count: f64,
    positive: Vec<f64>,
    negative: Vec<f64>,
}

fn add(sum: &mut f64, lost: &mut f64, x: f64) {
    let mut total = Sum {
        sum: *sum,
        lost: *lost,
    };
    total.add(x);
    (*sum, *lost) = (total.sum, total.lost);
}

impl HistogramTotal {
    pub fn new(first: Histogram) -> Self {
        let lost = Lost {
            positive: vec![0.0; first.positive.len()],
            negative: vec![0.0; first.negative.len()],
            ..Lost::default()
        };
        Self { sum: first, lost }
    }

    /// Adds another, at the coarser of both resolutions.
    pub fn add(&mut self, other: &Histogram) -> Result<Added, Incompatible> {
        self.add_with(other, None)
    }

    /// Adds a partial sum; the order of merging is part of the result.
    pub fn merge(&mut self, other: &Self) -> Result<Added, Incompatible> {
        self.add_with(&other.sum, Some(&other.lost))
    }

    fn add_with(&mut self, other: &Histogram, others_lost: Option<&Lost>) -> Result<Added, Incompatible> {
        if self.sum.is_custom() != other.is_custom() {
            return Err(Incompatible);
        }
        let (hint, hints_collide) = self.sum.hint.combine(other.hint);
        self.sum.hint = hint;
        add(&mut self.sum.count, &mut self.lost.count, other.count);
        add(&mut self.sum.sum, &mut self.lost.sum, other.sum);
        if let Some(lost) = others_lost {
            add(&mut self.sum.count, &mut self.lost.count, lost.count);
            add(&mut self.sum.sum, &mut self.lost.sum, lost.sum);
        }
        let bounds_differ = other.is_custom() && self.sum.custom != other.custom;
        if bounds_differ {
            self.add_under_common_bounds(other, others_lost);
        } else if other.is_custom() {
            self.add_buckets(&other.positive, &other.negative, others_lost);
        } else {
            self.add_exponential(other, others_lost);
        }
        Ok(Added {
            hints_collide,
            bounds_differ,
        })
    }

    fn add_exponential(&mut self, other: &Histogram, others_lost: Option<&Lost>) {
        let zero = self.meet_zero(other, others_lost);
        add(&mut self.sum.zero_count, &mut self.lost.zero_count, zero.sum);
        add(&mut self.sum.zero_count, &mut self.lost.zero_count, zero.lost);
        let schema = self.sum.schema.min(other.schema);
        let steps = (self.sum.schema - schema).unsigned_abs().into();
        for (buckets, lost) in [
            (&mut self.sum.positive, &mut self.lost.positive),
            (&mut self.sum.negative, &mut self.lost.negative),
        ] {
            (*buckets, *lost) = coarsened(buckets, lost, steps);
        }
        self.sum.schema = schema;
        let (positive, negative) = other.first_outside_zero(self.sum.zero_threshold);
        if schema == other.schema && (positive, negative) == (0, 0) {
            self.add_buckets(&other.positive, &other.negative, others_lost);
            return;
        }
        // What lies inside the zero bucket is counted there. It has to go before buckets are merged with others that
        // reach beyond.
        let steps = (other.schema - schema).unsigned_abs().into();
        let outside = |buckets: &Buckets, lost: Option<&Vec<f64>>, first: usize| {
            let mut outside = buckets.clone();
            outside.drop_first(first);
            let none = vec![0.0; outside.len()];
            coarsened(&outside, lost.map_or(&none[..], |lost| &lost[first..]), steps)
        };
        let (positive, lost_positive) =
            outside(&other.positive, others_lost.map(|lost| &lost.positive), positive);
        let (negative, lost_negative) =
            outside(&other.negative, others_lost.map(|lost| &lost.negative), negative);
        let lost = Lost {
            positive: lost_positive,
            negative: lost_negative,
            ..Lost::default()
        };
        self.add_buckets(&positive, &negative, Some(&lost));
    }

    fn add_buckets(&mut self, positive: &Buckets, negative: &Buckets, others_lost: Option<&Lost>) {
        let (sum, lost) = (&mut self.sum, &mut self.lost);
        let lost_of = |pick: fn(&Lost) -> &Vec<f64>| others_lost.map_or(&[][..], |lost| pick(lost));
        add_side(
            &mut sum.positive,
            &mut lost.positive,
            positive,
            lost_of(|lost| &lost.positive),
        );
        add_side(
            &mut sum.negative,
            &mut lost.negative,
            negative,
            lost_of(|lost| &lost.negative),
        );
    }

    fn add_under_common_bounds(&mut self, other: &Histogram, others_lost: Option<&Lost>) {
        let common = common_bounds(&self.sum.custom, &other.custom);
        let mut counts = vec![Sum::default(); common.len() + 1];
        rebin(&self.sum, &common, |place, at, count| {
            counts[place].add(count);
            counts[place].add(self.lost.positive[at]);
        });
        rebin(other, &common, |place, at, count| {
            counts[place].add(count);
            if let Some(lost) = others_lost {
                counts[place].add(lost.positive[at]);
            }
        });
        let filled = || {
            (0..)
                .zip(&counts)
                .filter(|(_, count)| count.sum != 0.0 || count.lost != 0.0)
        };
        self.sum.positive = Buckets::of(filled().map(|(index, count)| (index, count.sum)));
        self.lost.positive = filled().map(|(_, count)| count.lost).collect();
        self.sum.custom = common;
    }

    /// Widens the zero bucket until it is one of the other's, too; the other's count in it.
    fn meet_zero(&mut self, other: &Histogram, others_lost: Option<&Lost>) -> Sum {
        let mut threshold = other.zero_threshold;
        let mut count = Sum {
            sum: other.zero_count,
            lost: others_lost.map_or(0.0, |lost| lost.zero_count),
        };
        while threshold != self.sum.zero_threshold {
            if self.sum.zero_threshold > threshold {
                let lost =
                    others_lost.map(|lost| (lost.zero_count, (&lost.positive[..], &lost.negative[..])));
                let widened = other.widened_zero(self.sum.zero_threshold, lost);
                (threshold, count) = (widened.threshold, widened.count);
            }
            if threshold > self.sum.zero_threshold {
                self.widen_zero(threshold);
            }
        }
        count
    }

    fn widen_zero(&mut self, threshold: f64) {
        let (sum, lost) = (&mut self.sum, &mut self.lost);
        let in_buckets = (&lost.positive[..], &lost.negative[..]);
        let widened = sum.widened_zero(threshold, Some((lost.zero_count, in_buckets)));
        sum.zero_threshold = widened.threshold;
        (sum.zero_count, lost.zero_count) = (widened.count.sum, widened.count.lost);
        let (positive, negative) = sum.buckets_in_zero();
        sum.positive.drop_first(positive);
        lost.positive.drain(..positive);
        sum.negative.drop_first(negative);
        lost.negative.drain(..negative);
    }

    /// The sum, with empty buckets as they came.
    pub fn value(self) -> Histogram {
        let Self { mut sum, lost } = self;
        sum.count += lost.count;
        sum.sum += lost.sum;
        sum.zero_count += lost.zero_count;
        for (buckets, lost) in [
            (&mut sum.positive, &lost.positive),
            (&mut sum.negative, &lost.negative),
        ] {
            for (count, lost) in buckets.counts_mut().iter_mut().zip(lost) {
                *count += lost;
            }
        }
        sum
    }

    /// Multiplies all counts by a factor that is not negative.
    fn scale(&mut self, scale: impl Fn(f64) -> f64) {
        let (sum, lost) = (&mut self.sum, &mut self.lost);
        let counts = [&mut sum.count, &mut sum.sum, &mut sum.zero_count];
        let losses = [&mut lost.count, &mut lost.sum, &mut lost.zero_count];
        let buckets = [
            sum.positive.counts_mut(),
            sum.negative.counts_mut(),
            &mut lost.positive,
            &mut lost.negative,
        ];
        for count in counts
            .into_iter()
            .chain(losses)
            .chain(buckets.into_iter().flatten())
        {
            *count = scale(*count);
        }
    }
}

/// Buckets and what was lost in them, at a schema coarser by `steps`.
fn coarsened(buckets: &Buckets, lost: &[f64], steps: u32) -> (Buckets, Vec<f64>) {
    if steps == 0 {
        return (buckets.clone(), lost.to_vec());
    }
    let mut places: Vec<(i32, Sum)> = Vec::new();
    for ((index, sum), &lost) in buckets.iter().zip(lost) {
        let index = super::bounds::coarser(index, steps);
        match places.last_mut() {
            Some((last, total)) if *last == index => {
                total.add(sum);
                total.add(lost);
            }
            _ => places.push((index, Sum { sum, lost })),
        }
    }
    let lost = places.iter().map(|(_, total)| total.lost).collect();
    (
        Buckets::of(places.into_iter().map(|(index, total)| (index, total.sum))),
        lost,
    )
}

fn add_side(sums: &mut Buckets, lost: &mut Vec<f64>, others: &Buckets, others_lost: &[f64]) {
    if !sums.has_layout_of(others) {
        let union = Union::of(sums.indexes(), others.indexes());
        let spread = union.spread_left(sums.counts());
        *lost = union.spread_left(lost);
        *sums = Buckets::new(union.indexes, spread);
        for (at, &place) in union.right.iter().enumerate() {
            let place = place as usize;
            let (sum, lost) = (&mut sums.counts_mut()[place], &mut lost[place]);
            add(sum, lost, others.counts()[at]);
            if let Some(&more) = others_lost.get(at) {
                add(sum, lost, more);
            }
        }
        return;
    }
    for ((sum, lost), &more) in sums
        .counts_mut()
        .iter_mut()
        .zip(lost.iter_mut())
        .zip(others.counts())
    {
        add(sum, lost, more);
    }
    for ((sum, lost), &more) in sums.counts_mut().iter_mut().zip(lost).zip(others_lost) {
        add(sum, lost, more);
    }
}

/// A running mean: a sum while that is finite, an incremental mean after it overflowed.
#[derive(Debug, Clone)]
pub struct HistogramMean {
    count: f64,
    total: HistogramTotal,
    is_incremental: bool,
}

impl HistogramMean {
    pub fn new(first: Histogram) -> Self {
        Self {
            count: 1.0,
            total: HistogramTotal::new(first),
            is_incremental: false,
        }
    }

    pub fn add(&mut self, other: &Histogram) -> Result<Added, Incompatible> {
        if !self.is_incremental && self.total.sum.magnitude() + other.magnitude() < f64::MAX {
            let added = self.total.add(other)?;
            self.count += 1.0;
            return Ok(added);
        }
        self.merge(&Self::new(other.clone()))
    }

    /// Adds a partial mean; the order of merging is part of the result.
    pub fn merge(&mut self, other: &Self) -> Result<Added, Incompatible> {
        let count = self.count + other.count;
        if !self.is_incremental && !other.is_incremental {
            let mut next = self.total.clone();
            let added = next.merge(&other.total)?;
            if !next.sum.overflows() {
                (self.total, self.count) = (next, count);
                return Ok(added);
            }
        }
        let mut others = other.clone();
        self.make_incremental();
        others.make_incremental();
        // Of one histogram a plain quotient.
        let (own, theirs) = (self.count / count, count / other.count);
        self.total.scale(|x| x * own);
        others.total.scale(|x| x / theirs);
        self.count = count;
        self.total.merge(&others.total)
    }

    fn make_incremental(&mut self) {
        if !self.is_incremental {
            let count = self.count;
            self.total.scale(|x| x / count);
            self.is_incremental = true;
        }
    }

    pub fn value(mut self) -> Histogram {
        self.make_incremental();
        self.total.value()
    }
}
