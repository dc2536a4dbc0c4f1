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

    /// Lets go of an instance that holds nothing but this generation, without a look at its series; whether it was one. No other
    /// sheet means that no series has another lane.
    fn release_whole(&self, uid: Uid, generation: u32) -> bool {
        let mut state = self.state.write();
        let Some(instance) = state.instances.get_mut(&uid) else {
            return true;
        };
        if !matches!(instance.sheets.as_slice(), [only] if only.generation == generation) {
            return false;
        }
        let gone = instance.take_series();
        if instance.metadata.is_empty() {
            state.instances.remove(&uid);
        }
        state.epoch += 1;
        drop(state);
        // Takes longer than everything before, and no lock.
        drop(gone);
        true
    }

    fn release_instance(&self, uid: Uid, generation: u32) {
        if self.release_whole(uid, generation) {
            return;
        }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::head::Head;
    use crate::head::expected::{UIDS, WIDTH, Write, batch};
    use crate::log::{LogRecord, RecordKind};
    use crate::wire::MetadataEntry;

    fn write(head: &Head, offset: u64, time: i64) {
        let samples = vec![(time, 1.0)];
        let write = Write {
            set: 0,
            reversed: false,
            samples,
            histograms: Vec::new(),
            start: 0,
        };
        let kind = RecordKind::write(Arc::new(batch(0, &[write])));
        apply(head, offset, kind);
    }

    fn seal(head: &Head, offset: u64, window: i64) {
        let (partition, windows) = (0, vec![window]);
        apply(head, offset, RecordKind::Seal { partition, windows });
    }

    fn apply(head: &Head, offset: u64, kind: RecordKind) {
        let record = LogRecord {
            offset,
            now_ms: 0,
            kind,
        };
        Head::apply(&[head], [&record]);
    }

    #[test]
    fn an_instance_that_holds_nothing_else_goes_but_for_its_metadata() {
        let head = Head::new(0, WIDTH).unwrap();
        write(&head, 1, 0);
        let entry = MetadataEntry {
            partition: 0,
            family: "a".to_owned(),
            kind: 1,
            help: "what it is".to_owned(),
            unit: String::new(),
        };
        head.restore_metadata(UIDS[0], &[entry]);
        seal(&head, 2, 0);
        head.release(0, 2);
        assert_eq!((head.series(), head.samples()), (0, 0));
        assert_eq!(head.metadata(UIDS[0]).len(), 1);
        write(&head, 3, 1);
        assert_eq!((head.series(), head.samples()), (1, 1));
    }

    #[test]
    fn what_another_generation_holds_stays() {
        let head = Head::new(0, WIDTH).unwrap();
        write(&head, 1, 0);
        write(&head, 2, WIDTH);
        seal(&head, 3, 0);
        write(&head, 4, 1);
        head.release(0, 3);
        assert_eq!((head.series(), head.samples()), (1, 2));
        seal(&head, 5, 0);
        seal(&head, 6, WIDTH);
        head.release(0, 5);
        assert_eq!((head.series(), head.samples()), (1, 1));
        head.release(WIDTH, 6);
        assert_eq!((head.series(), head.samples()), (0, 0));
    }
}
