//! Several sorted columns of one series become one.

use std::sync::Arc;

use super::{Histogram, ResetHint, SampleBuf, Samples};

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

/// Appends samples of one column. What the first one's hint says, it says of the sample before it there.
fn push_run(to: &mut SampleBuf, run: Samples<'_>) {
    let at = to.times.len();
    to.extend(run);
    if at > 0
        && let Some(Some(first)) = to.histograms.get_mut(at)
        && matches!(first.hint, ResetHint::Reset | ResetHint::NotReset)
    {
        *first = Arc::new(Histogram {
            hint: ResetHint::Unknown,
            ..Histogram::clone(first)
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
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
    fn a_hint_says_nothing_of_another_column() {
        let column = |times: &[i64], hint: ResetHint| {
            let mut column = SampleBuf::default();
            for &time in times {
                column.push_histogram(
                    time,
                    Arc::new(Histogram {
                        hint,
                        ..Histogram::default()
                    }),
                );
            }
            column
        };
        let mut merge = Merge::default();
        merge.add(column(&[10, 20, 40, 50], ResetHint::NotReset).as_samples());
        merge.add(Samples::floats(&[5], &[1.0], 0));
        merge.add(column(&[30, 60, 70], ResetHint::NotReset).as_samples());
        let hints: Vec<_> = merge
            .samples()
            .histograms
            .iter()
            .map(|h| h.as_ref().map(|h| h.hint))
            .collect();
        let (known, unknown) = (Some(ResetHint::NotReset), Some(ResetHint::Unknown));
        assert_eq!(
            hints,
            [None, unknown, known, unknown, unknown, known, unknown, known]
        );
    }
}
