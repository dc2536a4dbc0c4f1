//! Rows of the result: made when the first pair of elements asks for them.

use std::sync::Arc;

use super::super::cells::{Cells, Element};
use super::super::context::QueryContext;
use super::super::elements::Value;
use super::super::labels::{Interner, Pairs};
use super::super::operator::BinaryOp;
use super::{Cardinality, Join, Joined, Matching, NONE};
use crate::model::{SeriesTable, Symbols};
use crate::{Error, Result};

/// Which labels a result has.
#[expect(clippy::struct_excessive_bools, reason = "each is one word of the query")]
pub struct ResultLabels {
    one_to_one: bool,
    on: bool,
    labels: Vec<u32>,
    drops_name: bool,
    is_bool: bool,
    delays_names: bool,
    include: Vec<u32>,
}

impl ResultLabels {
    pub fn new(context: &QueryContext, op: BinaryOp, matching: &Matching) -> Self {
        let mut symbols = context.symbols();
        let mut ids = |names: &[String]| names.iter().map(|name| symbols.intern(name)).collect();
        Self {
            one_to_one: matching.cardinality == Cardinality::OneToOne,
            on: matching.on,
            labels: ids(&matching.labels),
            drops_name: op.is_arithmetic(),
            is_bool: matching.return_bool,
            delays_names: context.delays_names(),
            include: ids(&matching.include),
        }
    }

    /// The labels of `many` op `one`, appended to `out`: those of the many side, one-to-one only as far as `on` or
    /// `ignoring` keep them, with the included ones as the one side has them.
    fn of(&self, context: &QueryContext, many: &Pairs, one: &Pairs, out: &mut Vec<(u32, u32)>) {
        let is_included = |name: u32| self.include.contains(&name);
        let keeps = |name: u32| {
            let is_dropped_name = self.drops_name && Symbols::is_metadata(name);
            !is_dropped_name && (!self.one_to_one || self.labels.contains(&name) == self.on)
        };
        out.extend(
            many.iter()
                .copied()
                .filter(|&(name, _)| keeps(name) && !is_included(name)),
        );
        if !self.include.is_empty() {
            let own = out.len();
            out.extend(one.iter().copied().filter(|&(name, _)| is_included(name)));
            if out.len() > own {
                let symbols = context.symbols();
                out.sort_unstable_by(|a, b| symbols.get(a.0).cmp(symbols.get(b.0)));
            }
        }
        if self.is_bool && !self.delays_names {
            out.retain(|pair| !Symbols::is_metadata(pair.0));
        }
    }
}

/// The result so far.
pub struct ResultRows {
    table: SeriesTable,
    steps: usize,
    cells: Cells,
    /// Result row of each partner that the current row met.
    partners: Vec<(u32, u32)>,
    scratch: Vec<(u32, u32)>,
    /// With `group_x`: cells where elements met, filtered out or not.
    met: Option<Vec<bool>>,
}

impl ResultRows {
    pub fn new(join: &Join<'_>) -> Result<Self> {
        let rows = join.many.rows();
        let is_grouped = join.matching.cardinality != Cardinality::OneToOne;
        Ok(Self {
            table: SeriesTable::with_capacity(rows, join.many.table.pairs()),
            steps: join.steps,
            cells: Cells::with_capacity(join.context, rows.saturating_mul(join.steps))?,
            partners: Vec::new(),
            scratch: Vec::new(),
            met: is_grouped.then(Vec::new),
        })
    }

    /// The pairs that follow belong to another row of their side.
    pub fn begin_row(&mut self) {
        self.partners.clear();
    }

    /// The result row for elements of two rows; a fill has no row.
    #[inline]
    pub fn of_pair(&mut self, join: &Join<'_>, many: u32, one: u32) -> Result<usize> {
        // Unless labels come from the one side, all partners make the same row.
        let one = if join.labels.include.is_empty() { NONE } else { one };
        if let Some(&(_, row)) = self.partners.iter().find(|(partner, _)| *partner == one) {
            return Ok(row as usize);
        }
        let one_pairs = if one == NONE {
            &[][..]
        } else {
            join.one.table.row(one as usize)
        };
        self.add(join, one, join.many.table.row(many as usize), one_pairs)
    }

    /// The result row for an element of the one side that meets a fill.
    pub fn of_fill(&mut self, join: &Join<'_>, signature: u32, one: u32) -> Result<usize> {
        if let Some(&(_, row)) = self.partners.first() {
            return Ok(row as usize);
        }
        let pairs = join.signatures.row(signature as usize);
        self.add(join, one, pairs, join.one.table.row(one as usize))
    }

    fn add(&mut self, join: &Join<'_>, partner: u32, many: &Pairs, one: &Pairs) -> Result<usize> {
        let row = self.table.len();
        self.partners.push((partner, row as u32));
        self.scratch.clear();
        join.labels.of(join.context, many, one, &mut self.scratch);
        self.table.push(self.scratch.iter().copied());
        if join.labels.is_bool && join.labels.delays_names {
            self.table.mark_unnamed(row);
        }
        let cells = (row + 1) * self.steps;
        self.cells.grow_to(cells)?;
        if let Some(met) = &mut self.met {
            met.resize(cells, false);
        }
        Ok(row)
    }

    /// Two elements met in this cell; `None` if a comparison filtered them out.
    #[inline]
    pub fn put(&mut self, row: usize, step: usize, value: Option<f64>) {
        let cell = row * self.steps + step;
        if let Some(value) = value {
            self.cells.put(cell, Element::Float(value));
        }
        if let Some(met) = &mut self.met {
            met[cell] = true;
        }
    }

    /// As [`put`](Self::put), of any value.
    pub fn put_value(&mut self, row: usize, step: usize, value: Option<Value>) {
        self.put(row, step, None);
        if let Some(value) = value {
            value.put(&mut self.cells, row * self.steps + step);
        }
    }

    /// With `group_x`, labels must tell the results of one step apart.
    pub fn check_unique(&self, context: &Arc<QueryContext>) -> Result<()> {
        let Some(met) = &self.met else { return Ok(()) };
        let mut interner = Interner::with_capacity(self.table.len());
        let of_row: Vec<u32> = self.table.rows().map(|row| interner.number(row)).collect();
        if interner.len() == self.table.len() {
            return Ok(());
        }
        let cells = interner.len() * self.steps;
        let _charge = context.charge(0, cells)?;
        let mut seen = vec![false; cells];
        for (row, &number) in of_row.iter().enumerate() {
            context.check()?;
            for step in 0..self.steps {
                let cell = number as usize * self.steps + step;
                if met[row * self.steps + step] && std::mem::replace(&mut seen[cell], true) {
                    return Err(Error::Execution(
                        "multiple matches for labels: grouping labels must ensure unique matches".into(),
                    ));
                }
            }
        }
        Ok(())
    }

    pub fn into_joined(self, is_unique: bool) -> Result<Joined> {
        Ok(Joined {
            table: self.table,
            cells: self.cells.seal()?,
            is_unique,
        })
    }
}
