//! What was written lately, by series and window: everything one partition holds between the log and the store.
//!
//! One thread applies records in log order; queries read and the owner cuts at the same time. Locks are held for a few hundred
//! series. A [`Head`] is a pure function of the log records applied to it and of the calls of its owner: which series share a column,
//! where encoded blocks end, and how records were batched never shows.

mod apply;
mod cells;
mod chunks;
mod collect;
mod column;
mod columns;
mod cut;
mod decoded;
mod descriptions;
mod exemplars;
mod generation;
mod histograms;
mod index;
mod instance;
mod labels;
mod lane;
mod matching;
mod names;
mod recent;
mod release;
mod runs;
mod series;
mod shorten;
mod snapshot;
mod starts;
mod summary;
mod values;
mod walk;
mod wire;

#[cfg(test)]
pub(crate) mod expected;
#[cfg(test)]
mod property;
#[cfg(test)]
mod threads;

use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};

use crate::model::{Millis, Uid};
use crate::wire::{Admitted, MetadataEntry, SeriesLimits, SplitBatch};
use crate::{Error, Result};

use exemplars::Exemplars;
use generation::Generations;
use instance::Instance;
use lane::Scratch;
use recent::Recent;

pub use collect::Asked;
pub use matching::Tests;
pub use snapshot::{HeadRows, HeadSnapshot};
pub use walk::{GoOn, Taken};
pub use wire::{SampleBytes, SampleCounts, SampleSections};

/// One generation of a window that the head holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowInfo {
    pub window: Millis,
    /// The record that opened it.
    pub first_offset: u64,
    /// The marker's offset once sealed.
    pub sealed: Option<u64>,
    pub samples: u64,
    pub bytes: usize,
}

/// Series handled while a lock is held.
const SERIES_PER_LOCK: usize = 512;

/// All that one partition holds. Safe to share between threads.
#[derive(Debug)]
pub struct Head {
    partition: u16,
    window_width: Millis,
    state: RwLock<State>,
    /// Held by what needs refs and label ids to stay as they are between its short locks, and by what changes them.
    maintenance: Mutex<()>,
}

#[derive(Debug)]
struct State {
    generations: Generations,
    instances: HashMap<Uid, Instance>,
    exemplars: HashMap<Uid, Exemplars>,
    recent: HashMap<Uid, Recent>,
    /// Samples refused because another value was applied first.
    conflicts: u64,
    /// Series whose label bytes could not be read.
    unreadable: u64,
    scratch: Scratch,
    /// Moves when refs or label ids change their meaning.
    epoch: u64,
}

impl Head {
    /// `window_ms` is the width of a window: positive, and at most 49 days, so that a time in a window fits 32 bits.
    pub fn new(partition: u16, window_ms: Millis) -> Result<Self> {
        Self::with(partition, window_ms, None)
    }

    /// A head that passes over all windows but one.
    pub fn of_window(partition: u16, window_ms: Millis, window: Millis) -> Result<Self> {
        Self::with(partition, window_ms, Some(window))
    }

    fn with(partition: u16, window_ms: Millis, only: Option<Millis>) -> Result<Self> {
        if !(1..=i64::from(u32::MAX)).contains(&window_ms) {
            let most = u32::MAX;
            return Err(Error::BadData(format!(
                "window_ms={window_ms} must be between 1 and {most}"
            )));
        }
        let state = State {
            generations: Generations::new(window_ms, only),
            instances: HashMap::new(),
            exemplars: HashMap::new(),
            recent: HashMap::new(),
            conflicts: 0,
            unreadable: 0,
            scratch: Scratch::default(),
            epoch: 0,
        };
        Ok(Self {
            partition,
            window_width: window_ms,
            state: RwLock::new(state),
            maintenance: Mutex::new(()),
        })
    }

    pub fn partition(&self) -> u16 {
        self.partition
    }

    pub fn window_width(&self) -> Millis {
        self.window_width
    }

    /// Samples of `window` from records below `offset` are in the store: they are skipped, and create no series.
    pub fn set_through(&self, through: impl IntoIterator<Item = (Millis, u64)>) {
        let mut state = self.state.write();
        for (window, offset) in through {
            state.generations.set_through(window, offset);
        }
    }

    /// The generations held, oldest first.
    pub fn windows(&self) -> Vec<WindowInfo> {
        let state = self.state.read();
        let mut held: HashMap<u32, (u64, usize)> = HashMap::new();
        for sheet in state.instances.values().flat_map(|instance| &instance.sheets) {
            let (samples, bytes) = held.entry(sheet.generation).or_default();
            *samples += sheet.samples;
            *bytes += sheet.bytes();
        }
        let info = |(id, g): (u32, &generation::Generation)| {
            let (samples, bytes) = held.get(&id).copied().unwrap_or_default();
            WindowInfo {
                window: g.window,
                first_offset: g.first_offset,
                sealed: g.sealed,
                samples,
                bytes,
            }
        };
        state.generations.iter().map(info).collect()
    }

    pub fn active_series(&self, uid: Uid) -> usize {
        self.state
            .read()
            .instances
            .get(&uid)
            .map_or(0, |instance| instance.slab.len())
    }

    /// Series of the metric that has most of them.
    pub fn largest_metric(&self, uid: Uid) -> usize {
        let state = self.state.read();
        let instance = state.instances.get(&uid);
        instance.map_or(0, |instance| instance.index.largest_metric())
    }

    /// Series of one metric.
    pub fn metric_series(&self, uid: Uid, metric: &str) -> usize {
        let state = self.state.read();
        let instance = state.instances.get(&uid);
        instance.map_or(0, |instance| instance.index.metric_series(metric))
    }

    /// Samples of an instance that came in a second, over the last minute, by the clock of the log.
    pub fn samples_per_second(&self, uid: Uid, now: Millis) -> f64 {
        let state = self.state.read();
        state
            .recent
            .get(&uid)
            .map_or(0.0, |recent| recent.per_second(now))
    }

    /// For each of an instance's label keys whether a series of it is held under that key.
    pub fn holds(&self, uid: Uid, keys: impl Iterator<Item = u128>) -> Vec<bool> {
        let state = self.state.read();
        let instance = state.instances.get(&uid);
        keys.map(|key| instance.is_some_and(|i| i.has_key(key))).collect()
    }

    /// Marks the series of this partition that it does not know; `new` has a place for each series of the batch.
    fn mark_new(&self, uid: Uid, batch: &SplitBatch, new: &mut [bool]) {
        let state = self.state.read();
        let instance = state.instances.get(&uid);
        let mut label_sets = batch.label_sets();
        for (series, new) in batch.series.iter().zip(new) {
            if series.partition == self.partition {
                *new = !instance.is_some_and(|i| i.knows(series.key, || label_sets.of(series)));
            }
        }
    }

    /// The batch without the new series that its instance has no room for. `heads` are those of all of its partitions.
    pub fn admit(heads: &[&Self], batch: &SplitBatch, limits: SeriesLimits) -> Result<Admitted> {
        let Some(uid) = batch.uid else {
            return Err(Error::BadData("a batch without an instance has no limits".into()));
        };
        let mut new = vec![false; batch.series.len()];
        for head in heads {
            head.mark_new(uid, batch, &mut new);
        }
        let active = heads.iter().map(|head| head.active_series(uid)).sum();
        let of_metric = |metric: &str| heads.iter().map(|head| head.metric_series(uid, metric)).sum();
        batch.admit(|at, _| new[at], limits, active, of_metric)
    }

    /// Drops everything of a deleted instance.
    pub fn forget(&self, uid: Uid) {
        let _maintenance = self.maintenance.lock();
        let gone = {
            let mut state = self.state.write();
            state.epoch += 1;
            state.recent.remove(&uid);
            (state.instances.remove(&uid), state.exemplars.remove(&uid))
        };
        // Freed after the lock is.
        drop(gone);
    }

    pub fn metadata(&self, uid: Uid) -> Vec<MetadataEntry> {
        let state = self.state.read();
        let held = state.instances.get(&uid);
        held.map_or_else(Vec::new, |instance| instance.metadata.entries(self.partition))
    }

    /// Metadata from before a restart. What has come in since is newer and stays.
    pub fn restore_metadata(&self, uid: Uid, entries: &[MetadataEntry]) {
        let mut state = self.state.write();
        let instance = state.instances.entry(uid).or_default();
        for entry in entries {
            instance.metadata.restore(entry);
        }
    }

    pub fn series(&self) -> usize {
        self.state
            .read()
            .instances
            .values()
            .map(|instance| instance.slab.len())
            .sum()
    }

    pub fn samples(&self) -> u64 {
        self.state.read().instances.values().map(Instance::samples).sum()
    }

    pub fn conflicts(&self) -> u64 {
        self.state.read().conflicts
    }

    /// Series of the log whose labels could not be read. Anything but 0 is a fault of ours.
    pub fn unreadable(&self) -> u64 {
        self.state.read().unreadable
    }

    pub fn memory_bytes(&self) -> usize {
        let state = self.state.read();
        let exemplars: usize = state.exemplars.values().map(Exemplars::bytes).sum();
        exemplars + state.instances.values().map(Instance::bytes).sum::<usize>()
    }
}
