//! Label bytes already known to be valid, by their key.

/// Entries that one key can lie in; a set is scanned as a whole and spans two cache lines.
const WAYS: usize = 8;

/// An entry is the key with its lowest 17 bits replaced by this flag and the shard hash: 111 bits are compared.
const PRESENT: u128 = 1 << 16;
const KEY_BITS: u128 = !((1 << 17) - 1);

/// Entries that a set has on average before there is another one. Keys spread unevenly: with two, some entries in a thousand are let go
/// of while the table grows, and come again.
const FILL: usize = 2;

/// Sets to begin with.
const FIRST: usize = 64;

/// A set-associative table of bounded size: a full set lets go of one of its entries. It says which bytes passed the label rules and
/// the shard hash of their canonical form, and nothing about what a head holds.
///
/// Its memory is reserved at once and touched as it fills, from the front: sets are added one at a time, each taking its share of
/// one before it (linear hashing), hence no pause while a table is rehashed.
#[derive(Debug)]
pub struct LabelCache {
    /// Those below `used`, and beyond them what is not touched yet.
    sets: Vec<[u128; WAYS]>,
    used: usize,
    entries: usize,
    evictions: usize,
}

impl LabelCache {
    /// A cache of at most `bytes`, but at least one set.
    pub fn new(bytes: usize) -> Self {
        let sets = (bytes / size_of::<[u128; WAYS]>()).max(1);
        Self {
            sets: vec![[0; WAYS]; sets],
            used: FIRST.min(sets),
            entries: 0,
            evictions: 0,
        }
    }

    /// Brings the sets of these keys near, all of them at a time: looked up one after the other, each would be waited for alone, since
    /// what is found decides how it goes on.
    #[inline]
    pub fn approach(&self, keys: impl Iterator<Item = u128>) {
        let touched = keys.fold(0, |touched, key| {
            let set = &self.sets[self.set_of(key)];
            touched ^ set[0] ^ set[WAYS / 2] // one of each cache line
        });
        std::hint::black_box(touched);
    }

    #[inline]
    pub fn get(&self, key: u128) -> Option<u16> {
        let wanted = key & KEY_BITS | PRESENT;
        let set = &self.sets[self.set_of(key)];
        set.iter()
            .find(|&&entry| entry & (KEY_BITS | PRESENT) == wanted)
            .map(|&entry| entry as u16)
    }

    pub fn insert(&mut self, key: u128, shard_hash: u16) {
        let index = self.set_of(key);
        let set = &mut self.sets[index];
        let entry = key & KEY_BITS | PRESENT | u128::from(shard_hash);
        let same = |&old: &u128| old == 0 || (old ^ entry) & KEY_BITS == 0;
        let way = set.iter().position(same);
        self.entries += usize::from(way.is_some_and(|way| set[way] == 0));
        let is_full = way.is_none();
        let way = way.unwrap_or_else(|| {
            // Any victim, and another one each time: senders repeat their series in one order, which is the worst case of least
            // recently used.
            self.evictions = self.evictions.wrapping_add(1);
            self.evictions % WAYS
        });
        set[way] = entry;
        if (is_full || self.entries > self.used * FILL) && self.used < self.sets.len() {
            self.split();
        }
    }

    /// The lowest bits of the hash that name a set in use: one bit less where the set that it would be is not there yet.
    #[inline]
    fn set_of(&self, key: u128) -> usize {
        let hash = (key >> 40) as usize;
        let mask = self.used.next_power_of_two() - 1;
        let set = hash & mask;
        if set < self.used { set } else { hash & (mask >> 1) }
    }

    /// Adds a set, with those entries of the one that had them which belong there from now on.
    fn split(&mut self) {
        let added = self.used;
        let from = added - (added.next_power_of_two() >> usize::from(!added.is_power_of_two()));
        self.used += 1;
        let mut room = 0;
        for way in 0..WAYS {
            let entry = self.sets[from][way];
            if entry != 0 && self.set_of(entry) == added {
                self.sets[from][way] = 0;
                self.sets[added][room] = entry;
                room += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use xxhash_rust::xxh3::xxh3_128;

    use super::*;

    fn key(i: u32) -> u128 {
        xxh3_128(&i.to_le_bytes())
    }

    #[test]
    fn holds_what_was_inserted_and_nothing_else() {
        let mut cache = LabelCache::new(1 << 20);
        for i in 0..10_000 {
            assert_eq!(cache.get(key(i)), None);
            cache.insert(key(i), i as u16);
        }
        let held: Vec<u32> = (0..10_000).filter(|&i| cache.get(key(i)).is_some()).collect();
        assert!(held.len() > 9_900, "{}", held.len());
        assert!(held.into_iter().all(|i| cache.get(key(i)) == Some(i as u16)));
        assert_eq!(cache.get(0), None);
    }

    #[test]
    fn a_key_inserted_again_takes_one_entry() {
        let mut cache = LabelCache::new(0);
        for shard_hash in 0..100 {
            cache.insert(key(1), shard_hash);
        }
        assert_eq!(cache.get(key(1)), Some(99));
        assert_eq!(cache.sets[0].iter().filter(|&&entry| entry != 0).count(), 1);
    }

    #[test]
    fn takes_memory_as_it_fills_and_loses_next_to_nothing_on_the_way() {
        let mut cache = LabelCache::new(64 << 20);
        for i in 0..200_000 {
            cache.insert(key(i), i as u16);
            assert!(cache.used <= FIRST + cache.entries / FILL + cache.evictions);
        }
        assert!(
            cache.used * size_of::<[u128; WAYS]>() < 200_000 * 72,
            "{}",
            cache.used
        );
        assert!(cache.sets[cache.used..].iter().flatten().all(|&entry| entry == 0));
        let held = (0..200_000)
            .filter(|&i| cache.get(key(i)) == Some(i as u16))
            .count();
        assert!(held > 199_000, "{held}");
        assert_eq!(
            cache.sets.iter().flatten().filter(|&&entry| entry != 0).count(),
            cache.entries
        );
    }

    #[test]
    fn stays_within_its_bytes_and_keeps_most_of_what_fits() {
        let bytes = 100_000;
        let mut cache = LabelCache::new(bytes);
        assert!(cache.sets.len() * size_of::<[u128; WAYS]>() <= bytes);
        let entries = (cache.sets.len() * WAYS) as u32;
        for i in 0..entries * 3 {
            cache.insert(key(i), 0);
        }
        assert!((0..entries * 3).filter(|&i| cache.get(key(i)).is_some()).count() > entries as usize / 2);
        // A cyclic pass over three quarters of the capacity keeps most of it, where least recently used would not.
        let kept = entries / 4 * 3;
        for _ in 0..4 {
            for i in 0..kept {
                if cache.get(key(i)).is_none() {
                    cache.insert(key(i), 0);
                }
            }
        }
        assert!((0..kept).filter(|&i| cache.get(key(i)).is_some()).count() > kept as usize / 10 * 8);
    }
}
