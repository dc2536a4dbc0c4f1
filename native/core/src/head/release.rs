//! Letting go of what the store has.

use crate::model::{Millis, Uid};

use super::recent::Recent;
use super::{Head, SERIES_PER_LOCK};

/// Series removed while the head is locked: each part walks the postings that it touches, so parts are large; a few milliseconds.
const REMOVED_PER_LOCK: usize = 4096;

impl Head {
    /// Drops the chunks of a generation that is in the directory, and series that hold nothing else.
    pub fn release(&self, window: Millis, sealed: u64) {
        let _maintenance = self.maintenance.lock();
        let (generation, uids) = {
            let state = self.state.read();
            let Some(generation) = state.generations.sealed(window, sealed) else {
                return;
            };
            (generation, state.instances.keys().copied().collect::<Vec<Uid>>())
        };
        for uid in uids {
            self.release_instance(uid, generation);
        }
        let mut state = self.state.write();
        state.generations.remove(generation);
        let newest = state
            .recent
            .values()
            .map(Recent::newest)
            .max()
            .unwrap_or_default();
        state.recent.retain(|_, recent| recent.per_second(newest) > 0.0);
    }

    fn release_instance(&self, uid: Uid, generation: u32) {
        let mut emptied = Vec::new();
        let mut from = 0;
        loop {
            let mut state = self.state.write();
            let Some(instance) = state.instances.get_mut(&uid) else {
                return;
            };
            if from >= instance.slab.end() {
                break;
            }
            let to = from + SERIES_PER_LOCK as u32;
            for series in from..to.min(instance.slab.end()) {
                if let Some(held) = instance.slab.get_mut(series)
                    && held.lane(generation).is_some()
                {
                    held.drop_lane(generation);
                    if held.is_empty() {
                        emptied.push(series);
                    }
                }
            }
            from = to;
        }
        for part in emptied.chunks(REMOVED_PER_LOCK) {
            let mut state = self.state.write();
            state.epoch += 1;
            if let Some(instance) = state.instances.get_mut(&uid) {
                instance.remove_empty(part);
            }
        }
        let mut state = self.state.write();
        if let Some(instance) = state.instances.get_mut(&uid) {
            instance.sheets.retain(|sheet| sheet.generation != generation);
            if instance.slab.len() == 0 && instance.metadata.is_empty() {
                state.instances.remove(&uid);
            }
        }
    }
}
