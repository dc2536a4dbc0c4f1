//! Keyed hashes of one instance: label keys and partitions.

use xxhash_rust::xxh3::{xxh3_128, xxh3_128_with_secret};

use crate::model::Uid;

/// Key material of XXH3 with a secret of its own.
const MATERIAL: usize = 192;

/// Hashes of one instance. Both the cluster secret and the uid go into all of the key material, so that equal labels of
/// two instances have unrelated hashes and a sender cannot aim at a partition.
#[derive(Debug)]
pub struct InstanceKeys {
    material: [u8; MATERIAL],
}

impl InstanceKeys {
    pub fn new(secret: &[u8], uid: Uid) -> Self {
        let mut seed = Vec::with_capacity(secret.len() + uid.0.len() + 1);
        seed.extend_from_slice(secret);
        seed.extend_from_slice(&uid.0);
        seed.push(0);
        let last = seed.len() - 1;
        let mut material = [0; MATERIAL];
        for (i, part) in material.chunks_exact_mut(16).enumerate() {
            seed[last] = i as u8;
            part.copy_from_slice(&xxh3_128(&seed).to_le_bytes());
        }
        Self { material }
    }

    /// The key of raw label bytes, or the hash of canonical ones.
    #[inline]
    pub fn hash(&self, bytes: &[u8]) -> u128 {
        xxh3_128_with_secret(bytes, &self.material)
    }

    /// The instance's consecutive partitions: `shards` of `partitions`, starting at the hash of its uid.
    pub fn placement(&self, shards: u16, partitions: u16) -> Placement {
        let first = (self.hash(b"placement") % u128::from(partitions)) as u16;
        Placement {
            first,
            shards,
            partitions,
        }
    }
}

/// Where the series of one instance go.
#[derive(Debug, Clone, Copy)]
pub struct Placement {
    first: u16,
    /// A power of two, so that an instance that grows keeps half of its series where they are.
    shards: u16,
    partitions: u16,
}

impl Placement {
    /// All of it in one partition.
    pub fn only(partition: u16) -> Self {
        Self {
            first: partition,
            shards: 1,
            partitions: u16::MAX,
        }
    }

    /// The partition of a series by the low bits of its canonical hash.
    #[inline]
    pub fn partition(self, shard_hash: u16) -> u16 {
        self.nth(shard_hash & (self.shards - 1))
    }

    pub fn all(self) -> Vec<u16> {
        (0..self.shards).map(|shard| self.nth(shard)).collect()
    }

    #[inline]
    fn nth(self, shard: u16) -> u16 {
        let (nth, partitions) = (
            u32::from(self.first) + u32::from(shard),
            u32::from(self.partitions),
        );
        // Both are less than there are partitions; a division is slow.
        (if nth < partitions { nth } else { nth - partitions }) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(secret: &[u8], uid: u8) -> InstanceKeys {
        InstanceKeys::new(secret, Uid([uid; 16]))
    }

    #[test]
    fn secret_and_uid_both_change_every_hash() {
        for bytes in [&b""[..], b"up", &[1; 17], &[1; 200], &[1; 5000]] {
            let hash = keys(b"secret", 1).hash(bytes);
            assert_eq!(hash, keys(b"secret", 1).hash(bytes));
            assert_ne!(hash, keys(b"secret", 2).hash(bytes));
            assert_ne!(hash, keys(b"Secret", 1).hash(bytes));
        }
    }

    #[test]
    fn partitions_are_consecutive_and_distinct() {
        for uid in 0..50 {
            for shards in [1, 2, 4, 8, 16] {
                let all = keys(b"secret", uid).placement(shards, 16).all();
                assert_eq!(all.len(), usize::from(shards));
                assert!(all.windows(2).all(|w| w[1] == (w[0] + 1) % 16));
            }
        }
    }

    #[test]
    fn instances_start_all_over_the_partitions() {
        let mut seen = [false; 16];
        for uid in 0..200 {
            seen[usize::from(keys(b"secret", uid).placement(1, 16).all()[0])] = true;
        }
        assert_eq!(seen, [true; 16]);
    }

    /// K only grows, and a reader that knows the larger K finds what was written under the smaller one.
    #[test]
    fn a_grown_instance_uses_a_superset_of_its_partitions() {
        let keys = keys(b"secret", 3);
        for shards in [1, 2, 4, 8] {
            let (small, large) = (
                keys.placement(shards, 16).all(),
                keys.placement(shards * 2, 16).all(),
            );
            assert_eq!(large[..small.len()], small);
        }
    }
}
