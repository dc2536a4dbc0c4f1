//! All groups of a partition, rebuilt from its log.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::{Mutex, MutexGuard};

use super::group::Group;
use super::operation::{Kind, Operation, key};
use crate::Result;
use crate::exposition::family::Label;
use crate::exposition::protobuf;
use crate::log::{LogRecord, RecordKind};
use crate::model::{Millis, Uid};
use crate::wire::{InstanceKeys, Splitter};

/// The groups of one partition: a pure function of the records applied to it. Safe to share between threads.
#[derive(Debug)]
pub struct Book {
    pub(super) partition: u16,
    pub(super) splitter: Arc<Splitter>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// The first offset that was not applied.
    pub applied: u64,
    /// What lies below was applied before the state was stored.
    pub restored: u64,
    /// The store has every change below.
    pub stored: u64,
    pub owners: HashMap<Uid, Owner>,
    /// Operations that could not be read. Anything but 0 is a fault of ours.
    pub unreadable: u64,
}

/// The groups of one instance.
#[derive(Debug)]
pub(super) struct Owner {
    pub keys: InstanceKeys,
    /// By key.
    pub groups: BTreeMap<Vec<u8>, Group>,
    /// Keys of groups that went, with the offset; until the store knows.
    pub gone: Vec<(Vec<u8>, u64)>,
    /// Samples that were due up to here are in the log.
    pub emitted: Millis,
    /// Series that went, and have no stale marker yet.
    pub vanished: Vec<Vanished>,
    /// The offset of the last change of the two above.
    pub changed: u64,
    /// What this process has sent and not seen in the log yet: up to when, and what it knew.
    pub sent: Option<(Millis, u64)>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Vanished {
    pub offset: u64,
    /// Of the marker.
    pub time: Millis,
    pub labels: Box<[u8]>,
}

impl Book {
    pub fn new(partition: u16, splitter: Arc<Splitter>) -> Self {
        Self {
            partition,
            splitter,
            state: Mutex::default(),
        }
    }

    pub fn partition(&self) -> u16 {
        self.partition
    }

    /// Applies records in order to every book they concern; `end` is the offset after the last. Books have distinct partitions.
    pub fn apply<'r>(books: &[&Self], records: impl IntoIterator<Item = &'r LogRecord>, end: u64) {
        let mut states: Vec<_> = books.iter().map(|book| book.state.lock()).collect();
        for record in records {
            let RecordKind::Write { batches } = &record.kind else {
                continue;
            };
            for batch in batches.iter().filter(|batch| !batch.pushes.is_empty()) {
                let Some(uid) = batch.uid else { continue };
                for push in &batch.pushes {
                    if let Some(at) = books.iter().position(|book| book.partition == push.partition) {
                        states[at].apply(&books[at].splitter, uid, &push.operation, record.offset);
                    }
                }
            }
        }
        for state in &mut states {
            state.applied = state.applied.max(end);
        }
    }

    /// The groups that an instance has at a time.
    pub fn groups(&self, uid: Uid, now: Millis) -> usize {
        let state = self.state.lock();
        let groups = state.owners.get(&uid).map(|owner| owner.groups.values());
        groups.map_or(0, |groups| groups.filter(|group| group.lives(now)).count())
    }

    /// Groups and series of all instances.
    pub fn size(&self) -> (usize, usize) {
        let state = self.state.lock();
        let groups = || state.owners.values().flat_map(|owner| owner.groups.values());
        (groups().count(), groups().map(Group::len).sum())
    }

    /// Operations of the log that could not be read. Anything but 0 is a fault of ours.
    pub fn unreadable(&self) -> u64 {
        self.state.lock().unreadable
    }

    /// Drops everything of a deleted instance.
    pub fn forget(&self, uid: Uid) {
        let mut state = self.state.lock();
        let applied = state.applied;
        if let Some(owner) = state.owners.get_mut(&uid) {
            owner.clear(applied);
            owner.vanished.clear();
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    fn apply(&mut self, splitter: &Splitter, uid: Uid, operation: &[u8], offset: u64) {
        if offset < self.restored {
            return;
        }
        let owner = self
            .owners
            .entry(uid)
            .or_insert_with(|| Owner::new(splitter, uid));
        let applied = Operation::decode(operation).and_then(|operation| owner.apply(operation, offset));
        if applied.is_err() {
            self.unreadable += 1;
        }
    }
}

impl Owner {
    pub fn new(splitter: &Splitter, uid: Uid) -> Self {
        Self {
            keys: splitter.keys(uid),
            groups: BTreeMap::new(),
            gone: Vec::new(),
            emitted: 0,
            vanished: Vec::new(),
            changed: 0,
            sent: None,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.vanished.is_empty()
    }

    fn apply(&mut self, operation: Operation, offset: u64) -> Result<()> {
        match operation.kind {
            Kind::Replace | Kind::Merge => self.put(operation, offset)?,
            Kind::Fail => {
                self.begin(operation.time, offset);
                let group = group(&mut self.groups, operation.group, operation.interval);
                if group.pushed == 0 {
                    group.since = operation.time;
                }
                group.failed = operation.time;
                group.changed = offset;
                group.restamp(&|labels: &[u8]| self.keys.hash(labels));
            }
            Kind::Delete => {
                let key = key(&operation.group);
                self.remove(&key, operation.time, offset);
            }
            Kind::Wipe => {
                let keys: Vec<Vec<u8>> = self.groups.keys().cloned().collect();
                for key in keys {
                    self.remove(&key, operation.time, offset);
                }
            }
            Kind::Emitted => self.emitted(operation.time, operation.through, offset),
        }
        Ok(())
    }

    /// Nothing is due of the time before the first group.
    fn begin(&mut self, time: Millis, offset: u64) {
        if self.is_empty() {
            self.emitted = self.emitted.max(time);
            self.changed = offset;
        }
    }

    fn put(&mut self, operation: Operation, offset: u64) -> Result<()> {
        let families = protobuf::read(&operation.families)?;
        self.begin(operation.time, offset);
        let (time, emitted) = (operation.time, self.emitted);
        let keys = &self.keys;
        let hash = |labels: &[u8]| keys.hash(labels);
        let group = group(&mut self.groups, operation.group, operation.interval);
        let gone = group.put(&families, operation.kind == Kind::Replace, time, &hash);
        // A sample that was written stands, so what it should have been is written right behind it.
        let written = emitted.max(group.pushed);
        let is_late = time < emitted || time <= group.pushed;
        group.pushed = time;
        group.expires = (operation.ttl > 0).then_some(time.saturating_add(operation.ttl));
        group.interval = operation.interval;
        group.changed = offset;
        group.since = time;
        group.late = is_late.then_some(written.max(time) + 1);
        group.restamp(&hash);
        self.vanish(gone, time.max(written + 1), offset);
        Ok(())
    }

    fn remove(&mut self, key: &[u8], time: Millis, offset: u64) {
        if let Some(group) = self.groups.remove(key) {
            self.gone.push((key.to_vec(), offset));
            let labels = group.members().map(|(labels, _)| labels.into()).collect();
            let written = self.emitted.max(group.pushed);
            self.vanish(labels, time.max(written + 1), offset);
        }
    }

    /// Series went: they get stale markers.
    fn vanish(&mut self, gone: Vec<Box<[u8]>>, time: Millis, offset: u64) {
        if gone.is_empty() {
            return;
        }
        self.changed = offset;
        self.vanished
            .extend(gone.into_iter().map(|labels| Vanished { offset, time, labels }));
    }

    /// What was due up to `until` is in the log, as seen by somebody who knew of what lies below `through`: samples, markers of what
    /// had vanished, and markers of groups whose time had come, which go with it.
    fn emitted(&mut self, until: Millis, through: u64, offset: u64) {
        self.emitted = self.emitted.max(until);
        self.changed = offset;
        self.vanished.retain(|vanished| vanished.offset >= through);
        let gone = &mut self.gone;
        self.groups.retain(|key, group| {
            if group.changed >= through {
                return true;
            }
            group.late = None;
            let lives = group.lives(until);
            if !lives {
                gone.push((key.clone(), offset));
            }
            lives
        });
    }

    /// All groups go, without markers.
    fn clear(&mut self, offset: u64) {
        let keys = std::mem::take(&mut self.groups).into_keys();
        self.gone.extend(keys.map(|key| (key, offset)));
        self.changed = offset;
    }
}

/// The group of these labels, made if it is not there.
fn group(groups: &mut BTreeMap<Vec<u8>, Group>, labels: Vec<Label>, interval: Millis) -> &mut Group {
    groups.entry(key(&labels)).or_insert_with(|| {
        let mut group = Group::new(labels);
        group.interval = interval;
        group
    })
}

impl Group {
    /// Whether its time to live has not ended.
    pub fn lives(&self, now: Millis) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}
