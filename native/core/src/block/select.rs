//! Which rows match a list of matchers.

use super::labels::Labels;
use crate::model::{MatchOp, Matcher};

/// Rows by label pair, in compressed sparse rows.
#[derive(Debug)]
pub struct Postings {
    starts: Vec<u32>,
    rows: Vec<u32>,
}

impl Postings {
    pub fn of(labels: &Labels) -> Self {
        let mut starts = vec![0u32; labels.pairs().len() + 1];
        for &pair in labels.all_row_pairs() {
            starts[pair as usize + 1] += 1;
        }
        for place in 1..starts.len() {
            starts[place] += starts[place - 1];
        }
        let mut next = starts.clone();
        let mut rows = vec![0u32; labels.all_row_pairs().len()];
        for row in 0..labels.rows() as u32 {
            for &pair in labels.row(row) {
                rows[next[pair as usize] as usize] = row;
                next[pair as usize] += 1;
            }
        }
        Self { starts, rows }
    }

    pub fn rows(&self, pair: u32) -> &[u32] {
        &self.rows[self.starts[pair as usize] as usize..self.starts[pair as usize + 1] as usize]
    }

    pub fn memory_bytes(&self) -> usize {
        4 * (self.starts.capacity() + self.rows.capacity())
    }
}

/// Ascending rows that satisfy every matcher.
pub fn select(labels: &Labels, postings: &Postings, matchers: &[Matcher]) -> Vec<u32> {
    let (mut rows, seed) = seed(labels, postings, matchers);
    for (place, matcher) in matchers.iter().enumerate() {
        if Some(place) != seed && !rows.is_empty() {
            keep(labels, matcher, &mut rows);
        }
    }
    rows
}

/// The rows of the equality with the fewest, else of a matcher that needs the label to be there, else all; and which matcher that settled.
fn seed(labels: &Labels, postings: &Postings, matchers: &[Matcher]) -> (Vec<u32>, Option<usize>) {
    let equal = |m: &Matcher| m.op == MatchOp::Equal && !m.value.is_empty();
    let best = matchers
        .iter()
        .enumerate()
        .filter(|(_, m)| equal(m))
        .map(|(place, m)| {
            let pair = labels.find_symbol(&m.name).zip(labels.find_symbol(&m.value));
            let rows = match pair.map(|pair| labels.pairs().binary_search(&pair)) {
                Some(Ok(pair)) => postings.rows(pair as u32),
                _ => &[],
            };
            (rows, place)
        })
        .min_by_key(|(rows, _)| rows.len());
    if let Some((rows, place)) = best {
        return (rows.to_vec(), Some(place));
    }
    let Some(place) = matchers.iter().position(|m| !m.matches_empty()) else {
        return ((0..labels.rows() as u32).collect(), None);
    };
    let matcher = &matchers[place];
    let Some(name) = labels.find_symbol(&matcher.name) else {
        return (Vec::new(), Some(place));
    };
    let mut rows = Vec::new();
    for pair in labels.pairs_of(name) {
        if matcher.matches(labels.symbol(labels.pairs()[pair as usize].1)) {
            rows.extend_from_slice(postings.rows(pair));
        }
    }
    rows.sort_unstable();
    (rows, Some(place))
}

/// Drops the rows that do not match. A regex sees each distinct value once.
fn keep(labels: &Labels, matcher: &Matcher, rows: &mut Vec<u32>) {
    let without = matcher.matches_empty();
    let Some(name) = labels.find_symbol(&matcher.name) else {
        if !without {
            rows.clear();
        }
        return;
    };
    let pairs = labels.pairs_of(name);
    let mut verdicts: Vec<Option<bool>> = vec![None; pairs.len()];
    rows.retain(|&row| {
        let Some(&pair) = labels.row(row).iter().find(|p| pairs.contains(p)) else {
            return without;
        };
        *verdicts[(pair - pairs.start) as usize]
            .get_or_insert_with(|| matcher.matches(labels.symbol(labels.pairs()[pair as usize].1)))
    });
}

#[cfg(test)]
mod tests {
    use super::super::labels::LabelsBuilder;
    use super::*;
    use proptest::prelude::*;

    fn naive(sets: &[Vec<(&str, &str)>], matchers: &[Matcher]) -> Vec<u32> {
        let holds = |set: &Vec<(&str, &str)>, m: &Matcher| {
            m.matches(set.iter().find(|l| *l.0 == *m.name).map_or("", |l| l.1))
        };
        (0..sets.len() as u32)
            .filter(|&r| matchers.iter().all(|m| holds(&sets[r as usize], m)))
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn agrees_with_looking_at_every_row(
            picks in prop::collection::vec(prop::collection::vec(0usize..4, 4), 0..40),
            asked in prop::collection::vec((0usize..5, 0usize..4, 0usize..6), 0..4),
        ) {
            const NAMES: [&str; 5] = ["__name__", "a", "b", "c", "zz"];
            const VALUES: [&str; 4] = ["", "x", "y", "xy"];
            const ASKED: [&str; 6] = ["", "x", "y", "x.*", "x|y", ".*"];
            const OPS: [MatchOp; 4] = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];
            let sets: Vec<Vec<(&str, &str)>> = picks
                .iter()
                .map(|p| (0..4).filter(|&i| p[i] > 0).map(|i| (NAMES[i], VALUES[p[i]])).collect())
                .collect();
            let matchers: Vec<Matcher> = asked
                .iter()
                .map(|&(n, o, v)| Matcher::new(NAMES[n], OPS[o], ASKED[v]).unwrap())
                .collect();
            let mut builder = LabelsBuilder::default();
            for set in &sets {
                builder.push(set);
            }
            let (symbols, rows) = builder.finish();
            let labels = Labels::read(&symbols, &rows, sets.len()).unwrap();
            let postings = Postings::of(&labels);
            prop_assert_eq!(select(&labels, &postings, &matchers), naive(&sets, &matchers));
            for (row, set) in sets.iter().enumerate() {
                let read: Vec<(&str, &str)> = labels
                    .row(row as u32)
                    .iter()
                    .map(|&p| labels.pairs()[p as usize])
                    .map(|(n, v)| (labels.symbol(n), labels.symbol(v)))
                    .collect();
                prop_assert_eq!(&read, set);
            }
        }

        #[test]
        fn any_bytes_are_safe(symbols: Vec<u8>, rows: Vec<u8>, series in 0usize..1000) {
            if let Ok(labels) = Labels::read(&symbols, &rows, series) {
                Postings::of(&labels);
            }
        }
    }
}
