//! Visits the series of an instance that match, a few hundred per lock.

use crate::Result;
use crate::model::{Millis, Symbols, Uid};

use super::generation::Generations;
use super::index::LabelIndex;
use super::instance::Instance;
use super::matching::{Candidates, Tests};
use super::series::Series;
use super::{Head, SERIES_PER_LOCK, State};

/// A generation that overlaps the range of a query.
#[derive(Debug)]
pub struct Overlap {
    pub generation: u32,
    pub window: Millis,
}

/// What a walk has taken so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Taken {
    pub series: usize,
    pub bytes: usize,
}

/// Asked every few hundred series whether to go on.
pub type GoOn<'a> = &'a mut dyn FnMut(Taken) -> Result<()>;

/// What is done with each matching series.
pub trait Visitor {
    /// Forgets everything: the walk begins again.
    fn restart(&mut self);

    fn taken(&self) -> Taken;

    /// Called with the instance locked, with a series and its ref. `overlaps` are the generations that overlap the range, ascending.
    fn visit(&mut self, instance: &Instance, overlaps: &[Overlap], place: u32, series: &Series);
}

impl Head {
    /// Lets `visitor` see every series of an instance that passes the tests.
    pub(super) fn walk(
        &self,
        uid: Uid,
        tests: &mut Tests<'_>,
        range: (Millis, Millis),
        go_on: GoOn<'_>,
        visitor: &mut impl Visitor,
    ) -> Result<()> {
        tests.reset();
        // Refs and label ids mean something else after series were removed: begin again, which is as rare as releases are.
        while !self.walk_once(uid, tests, range, go_on, visitor)? {
            tests.reset();
            visitor.restart();
        }
        Ok(())
    }

    /// False if the head changed in a way that asks for another walk.
    fn walk_once(
        &self,
        uid: Uid,
        tests: &mut Tests<'_>,
        range: (Millis, Millis),
        go_on: GoOn<'_>,
        visitor: &mut impl Visitor,
    ) -> Result<bool> {
        let (candidates, epoch) = {
            let state = self.state.read();
            let Some(instance) = state.instances.get(&uid) else {
                return Ok(true);
            };
            (tests.candidates(instance), state.epoch)
        };
        let count = match &candidates {
            Candidates::Below(end) => *end as usize,
            Candidates::Listed(refs) => refs.len(),
        };
        for from in (0..count).step_by(SERIES_PER_LOCK) {
            go_on(visitor.taken())?;
            let to = count.min(from + SERIES_PER_LOCK);
            let state = self.state.read();
            if state.epoch != epoch {
                return Ok(false);
            }
            match &candidates {
                Candidates::Below(_) => visit(&state, uid, tests, range, from as u32..to as u32, visitor),
                Candidates::Listed(refs) => {
                    visit(&state, uid, tests, range, refs[from..to].iter().copied(), visitor);
                }
            }
        }
        Ok(true)
    }
}

fn visit(
    state: &State,
    uid: Uid,
    tests: &mut Tests<'_>,
    range: (Millis, Millis),
    refs: impl Iterator<Item = u32>,
    visitor: &mut impl Visitor,
) {
    let Some(instance) = state.instances.get(&uid) else {
        return;
    };
    let overlaps = overlaps(&state.generations, range);
    let names = tests.names(&instance.index);
    for series in refs {
        if let Some(held) = instance.slab.get(series)
            && tests.accept(&instance.index, &names, &held.labels)
        {
            visitor.visit(instance, &overlaps, series, held);
        }
    }
}

/// The generations with a window that overlaps the range, ascending.
pub fn overlaps(generations: &Generations, (min, max): (Millis, Millis)) -> Vec<Overlap> {
    let width = generations.width();
    generations
        .iter()
        .filter(|(_, g)| g.window <= max && g.window.saturating_add(width) > min)
        .map(|(generation, g)| Overlap {
            generation,
            window: g.window,
        })
        .collect()
}

/// Query symbols by pair id of an instance, filled as pairs are met once there are more than a few rows: it has a place for each pair
/// of the instance.
#[derive(Debug, Default)]
pub struct PairMap {
    rows: usize,
    mapped: Vec<(u32, u32)>,
}

/// For so many rows interning every label costs less than making the map.
const FEW_ROWS: usize = 32;

/// Not met yet.
const UNMAPPED: (u32, u32) = (u32::MAX, u32::MAX);

/// Of a name that is not wanted.
const UNWANTED: (u32, u32) = (u32::MAX, 0);

/// By the symbol of its name, whether a label is wanted.
pub type Wanted<'a> = &'a dyn Fn(u32) -> bool;

impl PairMap {
    pub fn clear(&mut self) {
        self.rows = 0;
        self.mapped.clear();
    }

    /// The (name, value) of each pair of a row.
    pub fn row<'a>(
        &'a mut self,
        index: &'a LabelIndex,
        row: &'a [u32],
        symbols: &'a mut Symbols,
    ) -> impl Iterator<Item = (u32, u32)> + 'a {
        self.wanted(index, row, symbols, &|_| true)
    }

    /// The (name, value) of each pair that is wanted of a row. The values of others are not looked at.
    pub fn wanted<'a>(
        &'a mut self,
        index: &'a LabelIndex,
        row: &'a [u32],
        symbols: &'a mut Symbols,
        wanted: Wanted<'a>,
    ) -> impl Iterator<Item = (u32, u32)> + 'a {
        self.rows += 1;
        if self.rows > FEW_ROWS && self.mapped.len() < index.pairs().len() {
            self.mapped.resize(index.pairs().len(), UNMAPPED);
        }
        row.iter().filter_map(move |&pair| {
            let mut intern = || {
                let (name, value) = index.pairs()[pair as usize];
                let name = symbols.intern(index.symbols().get(name));
                if wanted(name) {
                    (name, symbols.intern(index.symbols().get(value)))
                } else {
                    UNWANTED
                }
            };
            let found = match self.mapped.get_mut(pair as usize) {
                None => intern(),
                Some(slot) if *slot == UNMAPPED => {
                    *slot = intern();
                    *slot
                }
                Some(slot) => *slot,
            };
            (found != UNWANTED).then_some(found)
        })
    }
}
