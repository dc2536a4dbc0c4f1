//! Finding the series of an instance that matchers select.

use crate::model::{MatchOp, Matcher};

use super::index::LabelIndex;
use super::instance::Instance;

/// So many texts are compared faster than a table of verdicts is made, which has a place for each pair of the instance.
const FEW: usize = 4;

/// The series to look at, a superset of what matches.
#[derive(Debug, PartialEq, Eq)]
pub enum Candidates {
    /// Every ref below this one.
    Below(u32),
    /// Ascending refs.
    Listed(Vec<u32>),
}

/// Matchers prepared for one head after the other. What a regex says about a value of an instance is asked at most once.
#[derive(Debug)]
pub struct Tests<'m> {
    tests: Vec<Test<'m>>,
}

#[derive(Debug)]
struct Test<'m> {
    matcher: &'m Matcher,
    pattern: Pattern<'m>,
    accepts_missing: bool,
    /// By pair id: 0 not asked yet, 1 no, 2 yes.
    verdicts: Vec<u8>,
}

/// What a matcher asks of a value that is not empty.
#[derive(Debug, PartialEq, Eq)]
enum Pattern<'m> {
    /// To be one of these.
    OneOf(Vec<&'m str>),
    /// To begin with this and go on for so many bytes at least.
    Prefix(&'m str, usize),
    /// Something only the matcher itself can tell.
    Other,
}

impl<'m> Pattern<'m> {
    fn of(matcher: &'m Matcher) -> Self {
        const META: &[char] = &[
            '\\', '.', '+', '*', '?', '(', ')', '[', ']', '{', '}', '^', '$', '|',
        ];
        let text = &*matcher.value;
        match matcher.op {
            MatchOp::Equal => Self::OneOf(vec![text]),
            MatchOp::Regex => {
                let alternatives: Vec<&str> = text.split('|').collect();
                if !alternatives.iter().any(|a| a.contains(META)) {
                    return Self::OneOf(alternatives);
                }
                let open_end = text.strip_suffix(".*").map(|prefix| (prefix, 0));
                match open_end.or_else(|| text.strip_suffix(".+").map(|prefix| (prefix, 1))) {
                    Some((prefix, least)) if !prefix.contains(META) => Self::Prefix(prefix, least),
                    _ => Self::Other,
                }
            }
            MatchOp::NotEqual | MatchOp::NotRegex => Self::Other,
        }
    }
}

impl Test<'_> {
    fn accepts_value(&self, value: &str) -> bool {
        match &self.pattern {
            Pattern::OneOf(alternatives) => alternatives.contains(&value),
            Pattern::Prefix(prefix, least) => value
                .strip_prefix(prefix)
                .is_some_and(|rest| rest.len() >= *least),
            Pattern::Other => self.matcher.matches(value),
        }
    }

    /// Whether the value of a pair passes.
    fn accepts(&mut self, index: &LabelIndex, pair: u32) -> bool {
        let at = pair as usize;
        if let Pattern::OneOf(alternatives) = &self.pattern
            && alternatives.len() <= FEW
        {
            let value = index.symbols().get(index.pairs()[at].1);
            return alternatives.contains(&value);
        }
        if at >= self.verdicts.len() {
            self.verdicts.resize(index.pairs().len().max(at + 1), 0);
        }
        if self.verdicts[at] == 0 {
            let value = index.symbols().get(index.pairs()[at].1);
            self.verdicts[at] = 1 + u8::from(self.accepts_value(value));
        }
        self.verdicts[at] == 2
    }

    /// The pairs that pass, if they can be listed by looking at no more than `most` values.
    fn passing(&mut self, index: &LabelIndex, most: usize) -> Option<Vec<u32>> {
        if let Pattern::OneOf(alternatives) = &self.pattern {
            let mut pairs: Vec<u32> = alternatives
                .iter()
                .filter_map(|value| index.find(&self.matcher.name, value))
                .collect();
            pairs.sort_unstable();
            pairs.dedup();
            return Some(pairs);
        }
        let Some(name) = index.symbols().lookup(&self.matcher.name) else {
            return Some(Vec::new());
        };
        let pairs = index.pairs_of(name);
        (pairs.len() <= most).then(|| {
            pairs
                .iter()
                .copied()
                .filter(|&pair| self.accepts(index, pair))
                .collect()
        })
    }
}

impl<'m> Tests<'m> {
    pub fn new(matchers: &'m [Matcher]) -> Self {
        let test = |matcher: &'m Matcher| Test {
            matcher,
            pattern: Pattern::of(matcher),
            accepts_missing: matcher.matches_empty(),
            verdicts: Vec::new(),
        };
        let mut tests: Vec<_> = matchers.iter().map(test).collect();
        // The cheap and telling ones first.
        tests.sort_by_key(|test| match &test.pattern {
            Pattern::OneOf(alternatives) => alternatives.len(),
            Pattern::Prefix(..) => usize::MAX - 1,
            Pattern::Other => usize::MAX,
        });
        Self { tests }
    }

    /// Forgets what was learnt: label ids mean something else.
    pub fn reset(&mut self) {
        for test in &mut self.tests {
            test.verdicts.clear();
        }
    }

    /// The shortest list of series that the postings offer.
    pub fn candidates(&mut self, instance: &Instance) -> Candidates {
        let index = &instance.index;
        let mut fewest = instance.slab.len();
        let mut best: Option<Vec<u32>> = None;
        for test in self.tests.iter_mut().filter(|test| !test.accepts_missing) {
            let Some(pairs) = test.passing(index, fewest) else {
                continue;
            };
            let count = pairs.iter().map(|&pair| index.posting(pair).len()).sum();
            // Nearly everything is walked faster in order than by lists.
            if count < fewest && (best.is_some() || count < fewest - fewest / 8) {
                fewest = count;
                best = Some(pairs);
            }
        }
        let Some(pairs) = best else {
            return Candidates::Below(instance.slab.end());
        };
        let mut refs: Vec<u32> = pairs
            .iter()
            .flat_map(|&pair| index.posting(pair))
            .copied()
            .collect();
        if !refs.is_sorted() {
            refs.sort_unstable();
        }
        Candidates::Listed(refs)
    }

    /// The name symbols of the tests, for [`Self::accept`]. Valid while the instance is locked.
    pub fn names(&self, index: &LabelIndex) -> Vec<Option<u32>> {
        self.tests
            .iter()
            .map(|test| index.symbols().lookup(&test.matcher.name))
            .collect()
    }

    /// Whether a row of pair ids passes every test.
    pub fn accept(&mut self, index: &LabelIndex, names: &[Option<u32>], row: &[u32]) -> bool {
        self.tests.iter_mut().zip(names).all(|(test, &name)| {
            let pair = name.and_then(|n| row.iter().find(|&&pair| index.pairs()[pair as usize].0 == n));
            match pair {
                Some(&pair) => test.accepts(index, pair),
                None => test.accepts_missing,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_say_what_the_regex_says() {
        let values = ["a", "b", "ab", "a|b", "abc", "a\nb", "", "é"];
        for pattern in [
            "a", "a|b", "a|", "a.*", "a.+", ".+", ".*", "(a|b)", "a.", "ab?", "a|b.*", "^a$", "[a]",
        ] {
            let matcher = Matcher::new("l", MatchOp::Regex, pattern).unwrap();
            let test = Test {
                matcher: &matcher,
                pattern: Pattern::of(&matcher),
                accepts_missing: matcher.matches_empty(),
                verdicts: Vec::new(),
            };
            for value in values {
                assert_eq!(
                    test.accepts_value(value),
                    matcher.matches(value),
                    "{pattern} on {value:?}"
                );
            }
        }
    }
}
