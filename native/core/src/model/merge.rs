//! Several sorted columns of one series become one.

use super::{Millis, SampleBuf, Samples};

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

    /// Adds a column in strictly ascending time, with as many values.
    pub fn add(&mut self, times: &[Millis], values: &[f64]) {
        debug_assert_eq!(times.len(), values.len());
        let Some(&first) = times.first() else { return };
        let merged = &mut self.merged;
        let kept = match merged.times.last() {
            Some(&last) if last >= first => merged.times.partition_point(|&t| t < first),
            _ => merged.times.len(),
        };
        if kept == merged.times.len() {
            merged.times.extend_from_slice(times);
            merged.values.extend_from_slice(values);
            return;
        }
        self.tail.clear();
        self.tail.times.extend_from_slice(&merged.times[kept..]);
        self.tail.values.extend_from_slice(&merged.values[kept..]);
        merged.times.truncate(kept);
        merged.values.truncate(kept);
        let (mut old, mut new) = (0, 0);
        while old < self.tail.times.len() && new < times.len() {
            let (held, added) = (self.tail.times[old], times[new]);
            let (time, value) = if held <= added {
                old += 1;
                new += usize::from(held == added);
                (held, self.tail.values[old - 1])
            } else {
                new += 1;
                (added, values[new - 1])
            };
            merged.times.push(time);
            merged.values.push(value);
        }
        merged.times.extend_from_slice(&self.tail.times[old..]);
        merged.values.extend_from_slice(&self.tail.values[old..]);
        merged.times.extend_from_slice(&times[new..]);
        merged.values.extend_from_slice(&values[new..]);
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
                merge.add(&times, &vec![priority as f64; times.len()]);
                for &time in column {
                    map.entry(time).or_insert(priority as f64);
                }
            }
            prop_assert!(merge.samples().times.iter().eq(map.keys()));
            prop_assert!(merge.samples().values.iter().eq(map.values()));
        }
    }
}
