//! Which generation a sample belongs to.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use crate::model::{Millis, window_of};

/// The samples of one window between two offsets of the log.
#[derive(Debug, Clone)]
pub struct Generation {
    pub window: Millis,
    /// The record that opened it.
    pub first_offset: u64,
    /// The seal marker that closed it.
    pub sealed: Option<u64>,
}

/// Generations by id. Ids ascend with the log, so that of two generations of one window the lower holds what was applied first.
#[derive(Debug)]
pub struct Generations {
    width: Millis,
    all: BTreeMap<u32, Generation>,
    open: HashMap<Millis, u32>,
    /// Window → offset below which its samples are in the store.
    through: HashMap<Millis, u64>,
    /// The only window that is taken in, if it is not all of them.
    only: Option<Millis>,
    next: u32,
}

impl Generations {
    pub fn new(width: Millis, only: Option<Millis>) -> Self {
        Self {
            width,
            all: BTreeMap::new(),
            open: HashMap::new(),
            through: HashMap::new(),
            only,
            next: 0,
        }
    }

    /// The window that holds a time, as its first millisecond and the one after its last.
    pub fn window(&self, time: Millis) -> (Millis, Millis) {
        let end = (time.div_euclid(self.width) + 1).saturating_mul(self.width);
        (window_of(time, self.width), end)
    }

    /// Whether what the record at `offset` has for the window is not wanted here: the store has it, or the window is no concern of
    /// this head.
    pub fn is_skipped(&self, window: Millis, offset: u64) -> bool {
        self.only.is_some_and(|only| only != window)
            || self.through.get(&window).is_some_and(|&through| offset < through)
    }

    /// The open generation of a window; the record at `offset` opens one if there is none.
    pub fn open(&mut self, window: Millis, offset: u64) -> u32 {
        *self.open.entry(window).or_insert_with(|| {
            let id = self.next;
            self.next += 1;
            self.all.insert(
                id,
                Generation {
                    window,
                    first_offset: offset,
                    sealed: None,
                },
            );
            id
        })
    }

    pub fn seal(&mut self, window: Millis, marker: u64) {
        if let Some(id) = self.open.remove(&window)
            && let Some(generation) = self.all.get_mut(&id)
        {
            generation.sealed = Some(marker);
        }
    }

    pub fn set_through(&mut self, window: Millis, offset: u64) {
        let through = self.through.entry(window).or_insert(offset);
        *through = offset.max(*through);
    }

    pub fn sealed(&self, window: Millis, marker: u64) -> Option<u32> {
        self.all
            .iter()
            .find(|(_, g)| g.window == window && g.sealed == Some(marker))
            .map(|(&id, _)| id)
    }

    pub fn remove(&mut self, id: u32) {
        self.all.remove(&id);
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, &Generation)> {
        self.all.iter().map(|(&id, generation)| (id, generation))
    }

    pub fn width(&self) -> Millis {
        self.width
    }
}
