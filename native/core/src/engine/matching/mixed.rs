//! Vectors that hold histograms: pairs may be refused, and then count as if they had never met.

use super::super::cells::Element;
use super::super::elements::{Combined, StepNotes, combine_elements};
use super::super::operator::{Answer, BinaryOp};
use super::partners::Partners;
use super::results::ResultRows;
use super::{Cardinality, Join, Joined, NONE, many_to_one};
use crate::Result;

/// What is known of the pairs so far.
struct Met {
    op: BinaryOp,
    answer: Answer,
    /// Whether a pair of a signature met at a step: bool[signatures × steps].
    pairs: Vec<bool>,
    notes: StepNotes,
}

impl Join<'_> {
    /// As the [consumer](super::Consumer), for elements of both kinds.
    pub(super) fn elements(self, op: BinaryOp, answer: Answer) -> Result<Joined> {
        let partners = Partners::new(&self)?;
        let mut rows = ResultRows::new(&self)?;
        let pairs = self.signatures.len() * self.steps;
        let _charge = self.context.charge(0, pairs)?;
        let mut met = Met {
            op,
            answer,
            pairs: vec![false; pairs],
            notes: StepNotes::new(self.steps),
        };
        for row in 0..self.many.rows() {
            self.context.check()?;
            self.join_elements(row, &partners, &mut met, &mut rows)?;
        }
        if let Some(fill) = self.matching.fill_many {
            self.fill_elements(fill, &mut met, &mut rows)?;
        }
        if self.matching.cardinality != Cardinality::OneToOne {
            rows.check_unique(self.context)?;
        }
        met.notes.tell(self.context, op);
        rows.into_joined(false)
    }

    fn join_elements(
        &self,
        row: usize,
        partners: &Partners,
        met: &mut Met,
        rows: &mut ResultRows,
    ) -> Result<()> {
        let signature = self.many_signature[row];
        rows.begin_row();
        for step in 0..self.steps {
            let Some(many) = self.many.get(row, step) else {
                continue;
            };
            let partner = Some(partners.at(signature, step)).filter(|&partner| self.has_one(partner, step));
            let one = match partner {
                Some(partner) => self.one.get(partner as usize, step),
                None => self.matching.fill_one.map(Element::Float),
            };
            let Some(one) = one else { continue };
            let combined = self.meet(met, step, many, one);
            if combined.is_refused {
                continue;
            }
            let pair = &mut met.pairs[signature as usize * self.steps + step];
            if std::mem::replace(pair, true) && self.matching.cardinality == Cardinality::OneToOne {
                return Err(many_to_one());
            }
            let target = rows.of_pair(self, row as u32, partner.unwrap_or(NONE))?;
            rows.put_value(target, step, combined.value);
        }
        Ok(())
    }

    /// Elements of the one side meet the fill value where they met nothing else.
    fn fill_elements(&self, fill: f64, met: &mut Met, rows: &mut ResultRows) -> Result<()> {
        for (row, &signature) in self.one_signature.iter().enumerate() {
            self.context.check()?;
            rows.begin_row();
            for step in 0..self.steps {
                let Some(one) = self.one.get(row, step) else {
                    continue;
                };
                if met.pairs[signature as usize * self.steps + step] {
                    continue;
                }
                let combined = self.meet(met, step, Element::Float(fill), one);
                if !combined.is_refused {
                    let target = rows.of_fill(self, signature, row as u32)?;
                    rows.put_value(target, step, combined.value);
                }
            }
        }
        Ok(())
    }

    /// `left op right`, whichever side is which.
    fn meet(&self, met: &mut Met, step: usize, many: Element<'_>, one: Element<'_>) -> Combined {
        let (left, right) = if self.swapped { (one, many) } else { (many, one) };
        let combined = combine_elements(met.op, met.answer, left, right);
        met.notes.add(step, combined.note);
        combined
    }
}
