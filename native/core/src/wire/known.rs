//! Series of one instance that its heads are known to hold, by label key.

use hashbrown::HashTable;

use super::SplitBatch;

/// Bytes of a key where keys are passed on: little-endian, one behind the other.
pub const KEY_BYTES: usize = 16;

/// A bounded set of keys that forgets those for which nobody has asked for a while: two halves, of which the older is
/// dropped when the younger is full, or when [`KnownSeries::age`] is called twice.
#[derive(Debug)]
pub struct KnownSeries {
    young: HashTable<u128>,
    old: HashTable<u128>,
    half: usize,
}

impl KnownSeries {
    /// Of at most `capacity` keys, but at least two.
    pub fn new(capacity: usize) -> Self {
        Self {
            young: HashTable::new(),
            old: HashTable::new(),
            half: (capacity / 2).max(1),
        }
    }

    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// For each partition the keys of a batch that are not known, each once, in the order of the batch.
    pub fn unknown(&mut self, batch: &SplitBatch) -> Vec<(u16, Vec<u8>)> {
        let mut found: Vec<(u16, Vec<u8>)> = Vec::new();
        let mut seen = Self::new(usize::MAX);
        for series in &batch.series {
            if self.is_known(series.key) || !seen.put(series.key) {
                continue;
            }
            let at = found
                .iter()
                .position(|(partition, _)| *partition == series.partition)
                .unwrap_or_else(|| {
                    found.push((series.partition, Vec::new()));
                    found.len() - 1
                });
            found[at].1.extend_from_slice(&series.key.to_le_bytes());
        }
        found
    }

    pub fn learn(&mut self, keys: impl IntoIterator<Item = u128>) {
        for key in keys {
            self.put(key);
        }
    }

    /// Learns those keys that a head holds, and returns the others. `held` has a byte for each, 0 for one that is not held; where it is
    /// too short keys count as held.
    pub fn learn_held(&mut self, keys: &[u8], held: &[u8]) -> Vec<u8> {
        let mut new = Vec::new();
        for (at, key) in keys_of(keys).enumerate() {
            if held.get(at) == Some(&0) {
                new.extend_from_slice(&key.to_le_bytes());
            } else {
                self.put(key);
            }
        }
        new
    }

    /// Forgets what nobody has asked for since the call before.
    pub fn age(&mut self) {
        self.old = std::mem::take(&mut self.young);
    }

    fn is_known(&mut self, key: u128) -> bool {
        let hash = hash_of(key);
        if self.young.find(hash, |&held| held == key).is_some() {
            return true;
        }
        match self.old.find_entry(hash, |&held| held == key) {
            Ok(entry) => {
                entry.remove();
                self.put(key);
                true
            }
            Err(_) => false,
        }
    }

    /// Whether it was not among the young ones before.
    fn put(&mut self, key: u128) -> bool {
        let hash = hash_of(key);
        if self.young.find(hash, |&held| held == key).is_some() {
            return false;
        }
        if self.young.len() >= self.half {
            self.age();
        }
        self.young.insert_unique(hash, key, |&held| hash_of(held));
        true
    }
}

/// Keys are hashes already, keyed with the cluster's secret: no sender can make them collide.
#[inline]
fn hash_of(key: u128) -> u64 {
    (key >> 64) as u64 ^ key as u64
}

/// Keys as they are passed on. What is left over at the end is no key.
pub fn keys_of(bytes: &[u8]) -> impl Iterator<Item = u128> {
    bytes
        .as_chunks::<KEY_BYTES>()
        .0
        .iter()
        .map(|key| u128::from_le_bytes(*key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Uid;
    use crate::wire::encode::{put_label, put_series};
    use crate::wire::{Form, Splitter, WriteLimits, snappy};

    fn batch(names: &[&str]) -> SplitBatch {
        let mut plain = Vec::new();
        for name in names {
            let mut labels = Vec::new();
            put_label(&mut labels, b"__name__", name.as_bytes());
            put_series(&mut plain, &labels, &[1], &[1.0]);
        }
        let splitter = Splitter::new(b"secret", 16, 1 << 16).unwrap();
        let body = snappy::compress(&plain).unwrap();
        splitter
            .split(&body, Form::V1, Uid([1; 16]), 4, &WriteLimits::default(), 1)
            .unwrap()
    }

    fn all(found: &[(u16, Vec<u8>)]) -> Vec<u128> {
        found.iter().flat_map(|(_, keys)| keys_of(keys)).collect()
    }

    #[test]
    fn what_is_unknown_is_told_once_by_partition_until_it_is_learnt() {
        let batch = batch(&["a", "b", "a", "c", "d", "e"]);
        let mut known = KnownSeries::new(100);
        let found = known.unknown(&batch);
        let keys = all(&found);
        assert_eq!(keys.len(), 5);
        for (partition, keys) in &found {
            for key in keys_of(keys) {
                assert!(
                    batch
                        .series
                        .iter()
                        .any(|s| s.key == key && s.partition == *partition)
                );
            }
        }
        known.learn(keys[..3].iter().copied());
        assert_eq!(all(&known.unknown(&batch)), keys[3..]);
        known.learn(keys);
        assert!(known.unknown(&batch).is_empty());
        assert_eq!(known.len(), 5);
    }

    #[test]
    fn what_is_asked_for_stays_and_the_rest_is_forgotten() {
        let (kept, gone) = (batch(&["a"]), batch(&["b"]));
        let mut known = KnownSeries::new(100);
        known.learn(all(&known_keys(&kept)));
        known.learn(all(&known_keys(&gone)));
        for _ in 0..3 {
            known.age();
            assert!(known.unknown(&kept).is_empty());
        }
        assert_eq!(all(&known.unknown(&gone)).len(), 1);
        assert_eq!(known.len(), 1);
    }

    #[test]
    fn it_stays_within_its_capacity() {
        let mut known = KnownSeries::new(100);
        known.learn(0..10_000);
        assert!(known.len() <= 100);
        assert!(!known.is_empty());
    }

    #[test]
    fn what_a_head_holds_is_learnt_and_the_rest_is_told() {
        let batch = batch(&["a", "b", "c"]);
        let keys: Vec<u8> = known_keys(&batch)
            .into_iter()
            .flat_map(|(_, keys)| keys)
            .collect();
        let mut known = KnownSeries::new(100);
        assert_eq!(known.learn_held(&keys, &[1, 0]), keys[16..32]);
        assert_eq!(all(&known.unknown(&batch)).len(), 1);
    }

    fn known_keys(batch: &SplitBatch) -> Vec<(u16, Vec<u8>)> {
        KnownSeries::new(2).unknown(batch)
    }

    #[test]
    fn bytes_that_are_no_key_are_left_out() {
        assert_eq!(keys_of(&[1; 31]).count(), 1);
        assert_eq!(keys_of(&[]).count(), 0);
    }
}
