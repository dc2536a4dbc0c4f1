//! The buckets of one sign: their indexes, and a count for each.

use std::sync::Arc;

use super::bounds::coarser;

/// Ascending bucket indexes with their counts. Histograms of one series mostly have the same indexes, and then share them.
#[derive(Debug, Clone, Default)]
pub struct Buckets {
    indexes: Arc<[i32]>,
    counts: Vec<f64>,
}

impl Buckets {
    /// `indexes` ascend strictly, and there are as many counts.
    pub fn new(indexes: impl Into<Arc<[i32]>>, counts: Vec<f64>) -> Self {
        let indexes = indexes.into();
        debug_assert_eq!(indexes.len(), counts.len());
        debug_assert!(indexes.is_sorted_by(|a, b| a < b));
        Self { indexes, counts }
    }

    /// Of pairs in ascending order of their indexes.
    pub fn of(pairs: impl IntoIterator<Item = (i32, f64)>) -> Self {
        let (indexes, counts): (Vec<_>, _) = pairs.into_iter().unzip();
        Self::new(indexes, counts)
    }

    pub fn len(&self) -> usize {
        self.counts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    pub fn indexes(&self) -> &Arc<[i32]> {
        &self.indexes
    }

    pub fn counts(&self) -> &[f64] {
        &self.counts
    }

    pub fn counts_mut(&mut self) -> &mut [f64] {
        &mut self.counts
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (i32, f64)> + ExactSizeIterator + '_ {
        self.indexes.iter().copied().zip(self.counts.iter().copied())
    }

    /// Whether both have buckets of the same indexes.
    pub fn has_layout_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.indexes, &other.indexes) || self.indexes == other.indexes
    }

    /// Lets equal indexes be one list with those of another one.
    pub fn share_layout(&mut self, with: &Self) {
        if self.has_layout_of(with) {
            self.indexes = Arc::clone(&with.indexes);
        }
    }

    /// The same indexes and the same bits.
    pub fn is_same(&self, other: &Self) -> bool {
        self.has_layout_of(other)
            && self
                .counts
                .iter()
                .zip(&other.counts)
                .all(|(a, b)| a.to_bits() == b.to_bits())
    }

    /// Removes the buckets that are empty.
    pub fn compact(&mut self) {
        if self.counts.contains(&0.0) {
            *self = Self::of(self.iter().filter(|&(_, count)| count != 0.0));
        }
    }

    /// Removes the first `n` buckets.
    pub fn drop_first(&mut self, n: usize) {
        if n > 0 {
            self.indexes = self.indexes[n..].into();
            self.counts.drain(..n);
        }
    }

    /// Buckets of a schema coarser by `steps`. `merge` gives the count of two that become one.
    #[must_use]
    pub fn coarsened(&self, steps: u32, mut merge: impl FnMut(&mut f64, f64)) -> Self {
        if steps == 0 {
            return self.clone();
        }
        let mut indexes: Vec<i32> = Vec::new();
        let mut counts: Vec<f64> = Vec::new();
        for (index, count) in self.iter() {
            let index = coarser(index, steps);
            if let (Some(&last), Some(into)) = (indexes.last(), counts.last_mut())
                && last == index
            {
                merge(into, count);
            } else {
                indexes.push(index);
                counts.push(count);
            }
        }
        Self::new(indexes, counts)
    }

    /// Adds the counts of others, `sign` times.
    pub fn add(&mut self, other: &Self, sign: f64) {
        if self.has_layout_of(other) {
            for (count, more) in self.counts.iter_mut().zip(&other.counts) {
                *count += sign * more;
            }
            return;
        }
        let union = Union::of(&self.indexes, &other.indexes);
        let mut counts = union.spread_left(&self.counts);
        for (&place, more) in union.right.iter().zip(&other.counts) {
            counts[place as usize] += sign * more;
        }
        *self = Self::new(union.indexes, counts);
    }

    /// The indexes as runs of neighbours: each its distance from the end of the last one (from 0 for the first), and
    /// its length.
    pub fn spans(&self) -> Vec<(i32, u32)> {
        let mut spans: Vec<(i32, u32)> = Vec::new();
        let mut next = 0;
        for &index in &*self.indexes {
            match spans.last_mut() {
                Some((_, length)) if index == next => *length += 1,
                _ => spans.push((index.wrapping_sub(next), 1)),
            }
            next = index.wrapping_add(1);
        }
        spans
    }

    pub fn bytes(&self) -> usize {
        self.indexes.len() * 4 + self.counts.capacity() * 8
    }

    /// What Prometheus holds of 8 bytes: a word a run, and one a count.
    pub fn words(&self) -> usize {
        let runs = self
            .indexes
            .windows(2)
            .filter(|pair| pair[0].wrapping_add(1) != pair[1])
            .count();
        self.len() + runs + usize::from(!self.is_empty())
    }
}

/// The indexes of two sides, and where theirs are among all.
#[derive(Debug)]
pub struct Union {
    pub indexes: Vec<i32>,
    left: Vec<u32>,
    pub right: Vec<u32>,
}

impl Union {
    pub fn of(left: &[i32], right: &[i32]) -> Self {
        let mut union = Self {
            indexes: Vec::with_capacity(left.len() + right.len()),
            left: Vec::with_capacity(left.len()),
            right: Vec::with_capacity(right.len()),
        };
        let (mut i, mut j) = (0, 0);
        while i < left.len() || j < right.len() {
            let place = union.indexes.len() as u32;
            let (l, r) = (left.get(i), right.get(j));
            let takes_left = l.is_some_and(|l| r.is_none_or(|r| l <= r));
            let takes_right = r.is_some_and(|r| l.is_none_or(|l| r <= l));
            union.indexes.extend(if takes_left { l } else { r });
            if takes_left {
                union.left.push(place);
                i += 1;
            }
            if takes_right {
                union.right.push(place);
                j += 1;
            }
        }
        union
    }

    /// The counts of the left side, with 0 where only the right one has a bucket.
    pub fn spread_left(&self, counts: &[f64]) -> Vec<f64> {
        let mut spread = vec![0.0; self.indexes.len()];
        for (&place, &count) in self.left.iter().zip(counts) {
            spread[place as usize] = count;
        }
        spread
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_tell_the_indexes() {
        let buckets = Buckets::of([(-3, 1.0), (-2, 2.0), (0, 3.0), (5, 4.0)]);
        assert_eq!(buckets.spans(), [(-3, 2), (1, 1), (4, 1)]);
        assert_eq!(buckets.words(), 4 + 3);
        assert_eq!(Buckets::default().words(), 0);
    }

    #[test]
    fn adding_keeps_the_buckets_of_both() {
        let mut sum = Buckets::of([(1, 1.0), (4, 2.0)]);
        sum.add(&Buckets::of([(0, 1.0), (4, 3.0), (9, 1.0)]), -1.0);
        assert_eq!(
            sum.iter().collect::<Vec<_>>(),
            [(0, -1.0), (1, 1.0), (4, -1.0), (9, -1.0)]
        );
        sum.add(&sum.clone(), 1.0);
        assert_eq!(sum.counts(), [-2.0, 2.0, -2.0, -2.0]);
    }

    #[test]
    fn compacting_drops_what_is_empty() {
        let mut buckets = Buckets::of([(1, 0.0), (2, 5.0), (3, -0.0)]);
        buckets.compact();
        assert_eq!(buckets.iter().collect::<Vec<_>>(), [(2, 5.0)]);
        buckets.drop_first(1);
        assert!(buckets.is_empty());
    }
}
