//! What one head gives a query. It is asked before the directory is read, and added behind the blocks of its partition.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::engine::{Charge, Fold, Folded, QueryContext};
use crate::head::{Asked, Head, HeadRows, Taken, Tests};
use crate::model::{Matcher, Millis, SeriesTable, Uid};
use crate::{Error, Result};

/// One selector as heads are asked for it: the series of an instance that match, with times from `range.0` to `range.1`.
#[derive(Debug)]
pub struct HeadSearch {
    pub context: Arc<QueryContext>,
    pub uid: Uid,
    pub matchers: Vec<Matcher>,
    pub range: (Millis, Millis),
    /// What the series are only for: then they have no labels but those that it looks at.
    pub fold: Option<Arc<Fold>>,
}

/// What is asked of heads for the metadata endpoints: the label sets that match, of each matcher set.
#[derive(Debug)]
pub struct NamesSearch {
    pub context: Arc<QueryContext>,
    pub uid: Uid,
    pub sets: Vec<Vec<Matcher>>,
    pub range: (Millis, Millis),
}

impl HeadSearch {
    /// What each head holds, in their order; `None`: nothing. After `patience`, though never before the first, the rest is left out.
    /// Fails once the query's budget is used up or the query is cancelled.
    pub fn parts(&self, heads: &[&Head], patience: Option<Duration>) -> Result<Vec<Option<Box<HeadPart>>>> {
        let mut tests = Tests::new(&self.matchers);
        each(heads, patience, |head| HeadPart::of(self, head, &mut tests))
    }
}

impl NamesSearch {
    /// As [`HeadSearch::parts`].
    pub fn parts(&self, heads: &[&Head], patience: Option<Duration>) -> Result<Vec<Option<Box<NamesPart>>>> {
        let mut sets: Vec<_> = self.sets.iter().map(|matchers| Tests::new(matchers)).collect();
        each(heads, patience, |head| NamesPart::of(self, head, &mut sets))
    }
}

fn each<T>(
    heads: &[&Head],
    patience: Option<Duration>,
    mut ask: impl FnMut(&Head) -> Result<T>,
) -> Result<Vec<T>> {
    let began = Instant::now();
    let mut parts = Vec::with_capacity(heads.len());
    for head in heads {
        parts.push(ask(head)?);
        if patience.is_some_and(|patience| began.elapsed() > patience) {
            break;
        }
    }
    Ok(parts)
}

/// The rows of one selector found in one head, with ids of the query's symbols. Its memory is the query's.
#[derive(Debug)]
pub struct HeadPart {
    rows: HeadRows,
    charge: Charge,
}

impl HeadPart {
    fn of(search: &HeadSearch, head: &Head, tests: &mut Tests<'_>) -> Result<Option<Box<Self>>> {
        let context = &search.context;
        let mut purse = Purse::new(context)?;
        let fold = search.fold.as_deref();
        let rows = head.select(
            search.uid,
            tests,
            Asked {
                range: search.range,
                labels: &|name| fold.is_none_or(|fold| fold.looks_at(name)),
                starts: context.uses_starts(),
            },
            &mut context.symbols(),
            &mut |taken| purse.pay(taken),
        )?;
        if rows.table.is_empty() {
            return Ok(None);
        }
        purse.pay(Taken {
            series: rows.table.len(),
            bytes: rows.table.bytes() + rows.samples.bytes(),
        })?;
        let charge = purse.charge;
        Ok(Some(Box::new(Self { rows, charge })))
    }

    pub fn len(&self) -> usize {
        self.rows.table.len()
    }

    /// Whether there is none: never, as it is made.
    pub fn is_empty(&self) -> bool {
        self.rows.table.is_empty()
    }

    pub fn bytes(&self) -> usize {
        self.rows.table.bytes() + self.rows.samples.bytes()
    }

    /// Whether there are native histograms among the samples.
    pub fn has_histograms(&self) -> bool {
        self.rows.samples.has_histograms()
    }

    /// What the rows come to, if that can leave the process and is smaller than they are.
    pub fn fold(&self, fold: &Fold) -> Result<Option<Folded>> {
        let HeadRows { table, samples } = &self.rows;
        fold.folded(self.charge.context(), table, samples, self.bytes())
    }

    /// What the rows come to at the steps from `first` on, as of [`Self::fold`], if that is smaller than the samples that
    /// the steps before `first` do not need. Then the part is without those.
    pub fn fold_late(&mut self, fold: &Fold, first: usize) -> Result<Option<Folded>> {
        let steps = fold.plan.steps();
        if first == 0 || first >= steps {
            return Err(Error::BadData(format!(
                "step {first} of {steps} has none before it or is none"
            )));
        }
        if self.has_histograms() {
            return Ok(None);
        }
        let HeadRows { table, samples } = &mut self.rows;
        let (_, last) = fold.plan.part(&(0..first)).bounds();
        let late = fold.part(&(first..steps));
        let folded = late.folded(self.charge.context(), table, samples, samples.bytes_after(last))?;
        if folded.is_some() {
            samples.keep_until(last);
            self.charge
                .resize(self.rows.table.bytes() + self.rows.samples.bytes())?;
        }
        Ok(folded)
    }

    pub(super) fn from_inner(rows: HeadRows, charge: Charge) -> Self {
        Self { rows, charge }
    }

    pub(super) fn into_inner(self) -> (HeadRows, Charge) {
        (self.rows, self.charge)
    }

    /// The rows and what they are charged. BadData: they were found for another query, whose ids mean something else.
    pub(super) fn into_rows(self, context: &Arc<QueryContext>) -> Result<(HeadRows, Charge)> {
        check_owner(self.charge.context(), context)?;
        Ok((self.rows, self.charge))
    }
}

/// Label sets found in one head for the metadata endpoints: of each matcher set, or the label pairs of all series if there is no set.
#[derive(Debug)]
pub struct NamesPart {
    pub(super) tables: Vec<SeriesTable>,
    pub(super) pairs: Vec<(u32, u32)>,
    charge: Charge,
}

impl NamesPart {
    fn of(search: &NamesSearch, head: &Head, sets: &mut [Tests<'_>]) -> Result<Option<Box<Self>>> {
        let (context, uid, range) = (&search.context, search.uid, search.range);
        let mut purse = Purse::new(context)?;
        let mut symbols = context.symbols();
        let mut pairs = Vec::new();
        if sets.is_empty() {
            pairs = head.label_pairs(uid, range, &mut symbols, &mut |taken| purse.pay(taken))?;
        }
        let mut tables: Vec<SeriesTable> = Vec::with_capacity(sets.len());
        let mut bytes = pairs.capacity() * 8;
        for tests in sets {
            let table = head.label_sets(uid, tests, range, &mut symbols, &mut |taken| {
                purse.pay(Taken {
                    bytes: bytes + taken.bytes,
                    ..taken
                })
            })?;
            bytes += table.bytes();
            tables.push(table);
        }
        if pairs.is_empty() && tables.iter().all(SeriesTable::is_empty) {
            return Ok(None);
        }
        purse.pay(Taken { series: 0, bytes })?;
        let charge = purse.charge;
        Ok(Some(Box::new(Self {
            tables,
            pairs,
            charge,
        })))
    }

    pub(super) fn from_inner(tables: Vec<SeriesTable>, pairs: Vec<(u32, u32)>, charge: Charge) -> Self {
        Self {
            tables,
            pairs,
            charge,
        }
    }

    pub(super) fn into_inner(self) -> (Vec<SeriesTable>, Vec<(u32, u32)>, Charge) {
        (self.tables, self.pairs, self.charge)
    }

    /// BadData: it was found for another query.
    pub(super) fn check_owner(&self, context: &Arc<QueryContext>) -> Result<()> {
        check_owner(self.charge.context(), context)
    }
}

pub(super) fn check_owner(owner: &Arc<QueryContext>, context: &Arc<QueryContext>) -> Result<()> {
    if Arc::ptr_eq(owner, context) {
        return Ok(());
    }
    Err(Error::BadData(
        "the part was found for another query: select it again".into(),
    ))
}

/// Pays for what a walk takes while it goes on.
struct Purse {
    charge: Charge,
    paid: usize,
}

impl Purse {
    fn new(context: &Arc<QueryContext>) -> Result<Self> {
        Ok(Self {
            charge: context.charge(0, 0)?,
            paid: 0,
        })
    }

    fn pay(&mut self, taken: Taken) -> Result<()> {
        let context = self.charge.context();
        context.check()?;
        context.check_series(taken.series)?;
        if taken.bytes > self.paid {
            self.charge.grow(0, taken.bytes - self.paid)?;
            self.paid = taken.bytes;
        }
        Ok(())
    }
}
