//! Start timestamps of one series in one generation. Most series have none, so they lie beside the lanes, by series.

use std::iter::Peekable;

use crate::model::Millis;

/// A time, and the start that counts from there on; 0: it is not known.
pub type Change<T> = (T, Millis);

/// The start that counts at each of some ascending times, by ascending changes. Before the first change none is known.
pub fn starts_at<'c, T: Copy + Ord + 'c>(
    changes: &'c [Change<T>],
    times: impl Iterator<Item = T>,
) -> impl Iterator<Item = Millis> {
    let (mut rest, mut start): (Peekable<_>, _) = (changes.iter().peekable(), 0);
    times.map(move |time| {
        while let Some(change) = rest.next_if(|change| change.0 <= time) {
            start = change.1;
        }
        start
    })
}

/// From which time on which start counts: the start of every sample that is held, and of other times anything. Times are
/// offsets into the window.
#[derive(Debug, Default)]
pub struct Starts {
    /// Ascending.
    changes: Vec<Change<u32>>,
}

impl Starts {
    /// Notes the start of a sample that was stored; `is_newest`: none of its series is later.
    pub fn set(&mut self, time: u32, start: Millis, is_newest: bool) {
        let at = self.changes.partition_point(|change| change.0 <= time);
        let held = at.checked_sub(1).map(|before| self.changes[before]);
        let (from, known) = held.unwrap_or((0, 0));
        if known == start {
            return;
        }
        // Those behind it keep theirs.
        if !is_newest
            && let Some(next) = time.checked_add(1)
            && self.changes.get(at).is_none_or(|change| change.0 > next)
        {
            self.changes.insert(at, (next, known));
        }
        match at.checked_sub(1) {
            Some(before) if from == time => self.changes[before].1 = start,
            _ => {
                // Few series ever have a second one.
                self.changes.reserve_exact(usize::from(self.changes.is_empty()));
                self.changes.insert(at, (time, start));
            }
        }
    }

    pub fn changes(&self) -> &[Change<u32>] {
        &self.changes
    }

    /// What has to be known for times of `from..=to`.
    pub fn between(&self, from: u32, to: u32) -> &[Change<u32>] {
        let first = self.changes.partition_point(|change| change.0 <= from);
        let end = self.changes.partition_point(|change| change.0 <= to);
        &self.changes[first.saturating_sub(1).min(end)..end]
    }

    pub fn bytes(&self) -> usize {
        size_of::<(u32, Self)>() + self.changes.capacity() * size_of::<Change<u32>>()
    }
}

/// Lists of changes that the parts of a selection share. List 0 is empty.
#[derive(Debug, Default)]
pub struct StartLists {
    changes: Vec<Change<Millis>>,
    /// Where list 1 and those that follow end.
    ends: Vec<u32>,
}

impl StartLists {
    /// Adds a list and returns its number. Neighbours often have the same one.
    pub fn push(&mut self, changes: impl Iterator<Item = Change<Millis>>) -> u32 {
        let from = self.changes.len();
        self.changes.extend(changes);
        if self.changes.len() == from {
            return 0;
        }
        let last = self.ends.len() as u32;
        if self.get(last) == &self.changes[from..] {
            self.changes.truncate(from);
            return last;
        }
        self.ends.push(self.changes.len() as u32);
        last + 1
    }

    /// A list that is there.
    pub fn get(&self, number: u32) -> &[Change<Millis>] {
        let number = number as usize;
        let end = |number: usize| number.checked_sub(1).map_or(0, |place| self.ends[place] as usize);
        &self.changes[end(number.saturating_sub(1))..end(number)]
    }

    /// Lists without the empty one.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn bytes(&self) -> usize {
        self.changes.capacity() * size_of::<Change<Millis>>() + self.ends.capacity() * 4
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Forward and backward in time, against a map of what was stored.
        #[test]
        fn every_sample_keeps_its_start(events in prop::collection::vec((0_u32..60, 0_i64..3), 0..80)) {
            let (mut held, mut map, mut clock) = (Starts::default(), BTreeMap::new(), 0);
            for (at, start) in events {
                let time = if at < 40 { clock += at % 3; clock } else { clock.saturating_sub(at - 40) };
                if map.contains_key(&time) { continue; }
                let is_newest = map.last_key_value().is_none_or(|(&last, _)| last < time);
                held.set(time, start, is_newest);
                map.insert(time, start);
            }
            prop_assert!(held.changes().is_sorted_by(|a, b| a.0 < b.0));
            prop_assert!(starts_at(held.changes(), map.keys().copied()).eq(map.values().copied()));
            let (from, to) = (clock / 3, clock / 2);
            let part = map.range(from..=to);
            prop_assert!(starts_at(held.between(from, to), part.clone().map(|s| *s.0)).eq(part.map(|s| *s.1)));
        }
    }

    #[test]
    fn a_start_that_stays_is_held_once() {
        let mut held = Starts::default();
        for time in 0..1000 {
            held.set(time * 15, if time < 500 { 7 } else { 8000 }, true);
        }
        assert_eq!(held.changes(), [(0, 7), (7500, 8000)]);
    }

    #[test]
    fn equal_neighbours_share_a_list() {
        let mut lists = StartLists::default();
        let numbers = [&[][..], &[(1, 2)], &[(1, 2)], &[(1, 2), (3, 4)], &[], &[(5, 6)]]
            .map(|list| lists.push(list.iter().copied()));
        assert_eq!(numbers, [0, 1, 1, 2, 0, 3]);
        assert_eq!((lists.get(0), lists.get(2)), (&[][..], &[(1, 2), (3, 4)][..]));
    }
}
