//! The row of the "one" side for each signature: one for all steps, or one per step where several rows take turns.

use super::{Join, NONE};
use crate::Result;

pub struct Partners {
    /// Row of each signature; NONE, or from SEVERAL on an index into `turns`.
    only: Vec<u32>,
    /// Rows by step, of signatures with several rows.
    turns: Vec<Vec<u32>>,
}

/// Marks an index into `turns`.
const SEVERAL: u32 = 1 << 31;

/// Two rows of one signature at a step.
struct Clash {
    step: usize,
    signature: u32,
    rows: (u32, u32),
}

impl Partners {
    /// Fails if two rows of the one side have one signature at a step where they may meet anything.
    pub fn new(join: &Join<'_>) -> Result<Self> {
        let mut partners = Self {
            only: vec![NONE; join.signatures.len()],
            turns: Vec::new(),
        };
        let mut repeats = false;
        for (row, &signature) in join.one_signature.iter().enumerate() {
            let only = &mut partners.only[signature as usize];
            if *only == NONE {
                *only = row as u32;
            } else {
                repeats = true;
            }
        }
        if repeats {
            partners.take_turns(join)?;
        }
        Ok(partners)
    }

    fn take_turns(&mut self, join: &Join<'_>) -> Result<()> {
        let firsts = self.only.clone();
        let mut clash: Option<Clash> = None;
        let mut may_meet: Option<Vec<bool>> = None;
        for (row, &signature) in join.one_signature.iter().enumerate() {
            let (row, first) = (row as u32, firsts[signature as usize]);
            if first == row {
                continue;
            }
            join.context.check()?;
            let only = &mut self.only[signature as usize];
            if *only < SEVERAL {
                let turns = (0..join.steps).map(|step| if join.has_one(first, step) { first } else { NONE });
                *only = SEVERAL + self.turns.len() as u32;
                self.turns.push(turns.collect());
            }
            let turns = &mut self.turns[(*only - SEVERAL) as usize];
            for (step, turn) in turns.iter_mut().enumerate() {
                if !join.has_one(row, step) {
                    continue;
                }
                if *turn == NONE {
                    *turn = row;
                    continue;
                }
                let may_meet = may_meet.get_or_insert_with(|| join.steps_of_many());
                if may_meet[step] && clash.as_ref().is_none_or(|earliest| step < earliest.step) {
                    clash = Some(Clash {
                        step,
                        signature,
                        rows: (*turn, row),
                    });
                }
            }
        }
        match clash {
            Some(Clash {
                signature,
                rows: (first, second),
                ..
            }) => Err(join.duplicate(signature, first, second)),
            None => Ok(()),
        }
    }

    /// Whether a signature has no row at all.
    pub fn never(&self, signature: u32) -> bool {
        self.only[signature as usize] == NONE
    }

    /// The row for a step, NONE if there is none.
    #[inline]
    pub fn at(&self, signature: u32, step: usize) -> u32 {
        let only = self.only[signature as usize];
        if only < SEVERAL || only == NONE {
            return only;
        }
        self.turns[(only - SEVERAL) as usize][step]
    }
}
