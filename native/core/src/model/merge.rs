//! Several sorted columns of one series become one.

use std::sync::Arc;

use super::{Histogram, SampleBuf, Samples};

/// A merge by priority: what is added earlier counts at equal times. Adding columns in order of time copies each once.
#[derive(Debug, Default)]
pub struct Merge {
    merged: SampleBuf,
    tail: SampleBuf,
}

impl Merge {
    pub fn clear(&mut self) {
        self.merged.clear();
    }

    pub fn samples(&self) -> Samples<'_> {
        self.merged.as_samples()
    }

    /// Adds a column.
    pub fn add(&mut self, column: Samples<'_>) {
        debug_assert_eq!(column.times.len(), column.values.len());
        let Some(&first) = column.times.first() else {
            return;
        };
        let merged = &mut self.merged;
        let kept = match merged.times.last() {
            Some(&last) if last >= first => merged.times.partition_point(|&t| t < first),
            _ => merged.times.len(),
        };
        self.tail.clear();
        if kept < merged.times.len() {
            self.tail
                .extend(merged.as_samples().slice(kept..merged.times.len()));
            merged.truncate(kept);
        }
        let (tail, mut old, mut new) = (self.tail.as_samples(), 0, 0);
        while old < tail.times.len() && new < column.times.len() {
            let (held, added) = (tail.times[old], column.times[new]);
            let run = if held <= added {
                let run = old..old + tail.times[old..].partition_point(|&t| t <= added);
                old = run.end;
                // Of one time what was held counts.
                new += usize::from(tail.times[old - 1] == added);
                tail.slice(run)
            } else {
                let run = new..new + column.times[new..].partition_point(|&t| t < held);
                new = run.end;
                column.slice(run)
            };
            push_run(merged, run);
        }
        push_run(merged, tail.slice(old..tail.times.len()));
        push_run(merged, column.slice(new..column.times.len()));
    }
}

/// Appends samples of one column. What the first one's hint says, it says of the sample before it there; here another one may be.
fn push_run(to: &mut SampleBuf, run: Samples<'_>) {
    let at = to.times.len();
    to.extend(run);
    if at > 0
        && let Some([before, Some(first)]) = to.histograms.get_mut(at - 1..=at)
    {
        let hint = first.hint_behind(before.as_deref());
        if first.hint != hint {
            *first = Arc::new(Histogram {
                hint,
                ..Histogram::clone(first)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::ResetHint;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_a_map_that_keeps_the_first(columns in prop::collection::vec(prop::collection::btree_set(0_i64..40, 0..12), 0..6)) {
            let (mut merge, mut map) = (Merge::default(), BTreeMap::new());
            for (priority, column) in columns.iter().enumerate() {
                let times: Vec<_> = column.iter().copied().collect();
                merge.add(Samples::floats(&times, &vec![priority as f64; times.len()], 0));
                for &time in column {
                    map.entry(time).or_insert(priority as f64);
                }
            }
            prop_assert!(merge.samples().times.iter().eq(map.keys()));
            prop_assert!(merge.samples().values.iter().eq(map.values()));
        }
    }

    #[test]
    fn what_is_known_of_resets_is_known_of_neighbours() {
        let column = |samples: &[(i64, f64)]| {
            let mut column = SampleBuf::default();
            for (place, &(time, count)) in samples.iter().enumerate() {
                let hint = if place == 0 {
                    ResetHint::Unknown
                } else {
                    ResetHint::NotReset
                };
                column.push_histogram(
                    time,
                    Arc::new(Histogram {
                        hint,
                        count,
                        ..Histogram::default()
                    }),
                );
            }
            column
        };
        let mut merge = Merge::default();
        merge.add(column(&[(10, 1.0), (20, 2.0), (40, 5.0), (50, 6.0)]).as_samples());
        merge.add(Samples::floats(&[5], &[1.0], 0));
        merge.add(column(&[(30, 1.5), (60, 8.0), (70, 9.0)]).as_samples());
        merge.add(Samples::floats(&[65], &[1.0], 0));
        let hints: Vec<_> = merge
            .samples()
            .histograms
            .iter()
            .map(|h| h.as_ref().map(|h| h.hint))
            .collect();
        let (known, unknown) = (Some(ResetHint::NotReset), Some(ResetHint::Unknown));
        // Behind floats, and where the count fell, nothing is known.
        assert_eq!(
            hints,
            [None, unknown, known, unknown, known, known, known, None, unknown]
        );
    }
}
