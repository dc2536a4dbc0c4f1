//! One group, with its series ready to be emitted.

use std::collections::BTreeMap;

use hashbrown::HashSet;
use xxhash_rust::xxh3::xxh3_64;

use super::prepare::stamp;
use crate::Result;
use crate::exposition::family::{Family, Label};
use crate::exposition::protobuf;
use crate::model::Millis;

/// A series as it goes into every emission.
#[derive(Debug, Clone, PartialEq)]
pub struct Ready<V = f64> {
    /// `Label` fields, sorted by name: the canonical form, whose hash decides key and partition.
    pub labels: Box<[u8]>,
    pub key: u128,
    pub value: V,
}

/// A native histogram: a `Histogram` message of remote write without a time.
pub type ReadyHistogram = Ready<Box<[u8]>>;

/// A family of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    pub pushed: Millis,
    /// As `exposition::protobuf` writes it.
    pub bytes: Box<[u8]>,
    pub series: Vec<Ready>,
    pub histograms: Vec<ReadyHistogram>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    pub labels: Vec<Label>,
    /// When the last push of it succeeded, and when one failed; 0: never.
    pub pushed: Millis,
    pub failed: Millis,
    /// When its time to live ends.
    pub expires: Option<Millis>,
    pub interval: Millis,
    /// By name.
    pub families: BTreeMap<String, Held>,
    /// The two stamps.
    pub stamps: Vec<Ready>,
    /// The offset of its last change.
    pub changed: u64,
    /// Samples up to here tell of the group as it was before.
    pub since: Millis,
    /// It was changed after samples of a later time were written, which are put right at this one.
    pub late: Option<Millis>,
}

impl Group {
    pub fn new(labels: Vec<Label>) -> Self {
        Self {
            labels,
            pushed: 0,
            failed: 0,
            expires: None,
            interval: 0,
            families: BTreeMap::new(),
            stamps: Vec::new(),
            changed: 0,
            since: 0,
            late: None,
        }
    }

    /// All series of floats, the stamps among them.
    pub fn series(&self) -> impl Iterator<Item = &Ready> {
        self.families
            .values()
            .flat_map(|held| &held.series)
            .chain(&self.stamps)
    }

    pub fn histograms(&self) -> impl Iterator<Item = &ReadyHistogram> {
        self.families.values().flat_map(|held| &held.histograms)
    }

    /// Labels and keys of all series.
    pub fn members(&self) -> impl Iterator<Item = (&[u8], u128)> {
        let floats = self.series().map(Ready::member);
        floats.chain(self.histograms().map(Ready::member))
    }

    pub fn len(&self) -> usize {
        self.families.values().map(Held::len).sum::<usize>() + self.stamps.len()
    }

    /// Puts the stamps right.
    pub fn restamp(&mut self, hash: &impl Fn(&[u8]) -> u128) {
        self.stamps.clear();
        for (which, time) in [self.pushed, self.failed].into_iter().enumerate() {
            stamp(which, &self.labels, time).each_series(|labels, value| {
                self.stamps.push(Ready {
                    labels: labels.into(),
                    key: hash(labels),
                    value,
                });
            });
        }
    }

    /// Puts families in the place of all, or of those of their names, and returns the labels of series that are gone.
    pub fn put(
        &mut self,
        families: &[Family],
        replaces_all: bool,
        pushed: Millis,
        hash: &impl Fn(&[u8]) -> u128,
    ) -> Vec<Box<[u8]>> {
        let mut before = Vec::new();
        if replaces_all {
            before.extend(std::mem::take(&mut self.families).into_values());
        }
        let mut met = HashSet::new();
        for family in families {
            let held = Held::of(family, pushed, hash);
            met.extend(held.members().map(|(_, key)| key));
            before.extend(self.families.insert(family.name.clone(), held));
        }
        let gone = before.iter().flat_map(Held::members);
        gone.filter(|(_, key)| !met.contains(key))
            .map(|(labels, _)| labels.into())
            .collect()
    }

    /// The times after `from` and not after `until` at which it is due, in order.
    pub fn slots(&self, from: Millis, until: Millis) -> impl Iterator<Item = Millis> + use<> {
        let interval = self.interval.max(1);
        let until = self.expires.map_or(until, |expires| until.min(expires - 1));
        let first = from.max(self.since) + 1;
        let phase = (phase(&self.labels) % interval as u64) as Millis;
        let slot = first + (phase - first).rem_euclid(interval);
        (slot..=until).step_by(interval as usize)
    }
}

impl Held {
    pub fn of(family: &Family, pushed: Millis, hash: &impl Fn(&[u8]) -> u128) -> Self {
        let mut bytes = Vec::new();
        protobuf::put(&mut bytes, family);
        let mut series = Vec::with_capacity(family.series());
        family.each_series(|labels, value| {
            series.push(Ready {
                labels: labels.into(),
                key: hash(labels),
                value,
            });
        });
        let mut histograms = Vec::new();
        family.each_native(|labels, native| {
            histograms.push(Ready {
                labels: labels.into(),
                key: hash(labels),
                value: native.message().into(),
            });
        });
        Self {
            pushed,
            bytes: bytes.into(),
            series,
            histograms,
        }
    }

    fn len(&self) -> usize {
        self.series.len() + self.histograms.len()
    }

    fn members(&self) -> impl Iterator<Item = (&[u8], u128)> {
        let floats = self.series.iter().map(Ready::member);
        floats.chain(self.histograms.iter().map(Ready::member))
    }

    /// The family, as it was pushed.
    pub fn families(&self) -> Result<Vec<Family>> {
        protobuf::read(&self.bytes)
    }
}

impl<V> Ready<V> {
    fn member(&self) -> (&[u8], u128) {
        (&self.labels, self.key)
    }
}

/// Spreads groups over their interval, the same in every process and for ever.
fn phase(labels: &[Label]) -> u64 {
    xxh3_64(&super::operation::key(labels))
}
