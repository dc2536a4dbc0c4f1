//! One series, and the slab that holds them.

use super::lane::{Lane, NO_GENERATION};

/// What an append touches comes first. Series lie close, not at the beginning of a cache line each: senders repeat their batches
/// in order, so that the next line is wanted anyway.
#[derive(Debug)]
#[repr(C)]
pub struct Series {
    /// The key under which its samples usually come.
    pub key: u128,
    /// The series that came after this one last time.
    pub successor: u32,
    /// The lane used last.
    lane: Lane,
    others: Option<Box<Others>>,
    /// Pair ids, sorted by name.
    pub labels: Box<[u32]>,
}

const _: () = assert!(size_of::<Option<Series>>() == 224);

/// Lanes of other windows and of sealed generations, by ascending generation.
#[derive(Debug, Default)]
struct Others {
    lanes: Vec<Lane>,
}

impl Series {
    pub fn new(key: u128, labels: Box<[u32]>, successor: u32) -> Self {
        Self {
            key,
            successor,
            lane: Lane::empty(),
            others: None,
            labels,
        }
    }

    /// The lane of a generation, made if there is none.
    #[inline]
    pub fn lane_for(&mut self, generation: u32) -> &mut Lane {
        if self.lane.generation != generation {
            self.switch(generation);
        }
        &mut self.lane
    }

    #[cold]
    fn switch(&mut self, generation: u32) {
        let wanted = match &mut self.others {
            Some(others) => match others
                .lanes
                .binary_search_by_key(&generation, |lane| lane.generation)
            {
                Ok(at) => others.lanes.remove(at),
                Err(_) => Lane::of(generation),
            },
            None => Lane::of(generation),
        };
        let previous = std::mem::replace(&mut self.lane, wanted);
        if previous.generation != NO_GENERATION {
            let lanes = &mut self.others.get_or_insert_default().lanes;
            let at = lanes.partition_point(|lane| lane.generation < previous.generation);
            lanes.reserve_exact(usize::from(lanes.len() == lanes.capacity()));
            lanes.insert(at, previous);
        }
    }

    /// Lanes by ascending generation: in the order of the log for each window.
    pub fn lanes(&self) -> impl Iterator<Item = &Lane> {
        let others: &[Lane] = self.others.as_ref().map_or(&[], |others| &others.lanes);
        let at = others.partition_point(|lane| lane.generation < self.lane.generation);
        let own = (self.lane.generation != NO_GENERATION).then_some(&self.lane);
        others[..at].iter().chain(own).chain(&others[at..])
    }

    pub fn lane(&self, generation: u32) -> Option<&Lane> {
        if self.lane.generation == generation {
            return Some(&self.lane);
        }
        let lanes = &self.others.as_ref()?.lanes;
        lanes
            .binary_search_by_key(&generation, |lane| lane.generation)
            .ok()
            .map(|at| &lanes[at])
    }

    pub fn drop_lane(&mut self, generation: u32) {
        if self.lane.generation == generation {
            self.lane = Lane::empty();
        } else if let Some(others) = &mut self.others {
            others.lanes.retain(|lane| lane.generation != generation);
        }
        if self.others.as_ref().is_some_and(|others| others.lanes.is_empty()) {
            self.others = None;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.lane.generation == NO_GENERATION && self.others.is_none()
    }
}

const PAGE: usize = 256;

/// Series by ref. Pages never move, so that growth costs no copy and no slack; refs are used again.
#[derive(Debug, Default)]
pub struct Slab {
    pages: Vec<Vec<Option<Series>>>,
    free: Vec<u32>,
    len: usize,
}

impl Slab {
    pub fn len(&self) -> usize {
        self.len
    }

    /// One more than the highest ref ever given.
    pub fn end(&self) -> u32 {
        self.pages
            .last()
            .map_or(0, |last| (self.pages.len() - 1) * PAGE + last.len()) as u32
    }

    #[inline]
    pub fn get(&self, series: u32) -> Option<&Series> {
        self.pages
            .get(series as usize / PAGE)?
            .get(series as usize % PAGE)?
            .as_ref()
    }

    #[inline]
    pub fn get_mut(&mut self, series: u32) -> Option<&mut Series> {
        self.pages
            .get_mut(series as usize / PAGE)?
            .get_mut(series as usize % PAGE)?
            .as_mut()
    }

    /// The ref that the next `insert` will give.
    pub fn next_ref(&self) -> u32 {
        self.free.last().copied().unwrap_or_else(|| self.end())
    }

    pub fn insert(&mut self, series: Series) -> u32 {
        let place = self.next_ref();
        self.len += 1;
        if self.free.pop().is_some() {
            self.pages[place as usize / PAGE][place as usize % PAGE] = Some(series);
        } else {
            if self.pages.last().is_none_or(|last| last.len() == PAGE) {
                self.pages.push(Vec::with_capacity(PAGE));
            }
            if let Some(last) = self.pages.last_mut() {
                last.push(Some(series));
            }
        }
        place
    }

    pub fn remove(&mut self, series: u32) -> Option<Series> {
        let removed = self
            .pages
            .get_mut(series as usize / PAGE)?
            .get_mut(series as usize % PAGE)?
            .take()?;
        self.free.push(series);
        self.len -= 1;
        Some(removed)
    }

    /// Series of a range of refs.
    pub fn range(&self, from: u32, to: u32) -> impl Iterator<Item = (u32, &Series)> {
        (from..to).filter_map(|series| Some((series, self.get(series)?)))
    }

    pub fn bytes(&self) -> usize {
        self.pages.len() * PAGE * size_of::<Option<Series>>() + self.free.capacity() * 4
    }
}
