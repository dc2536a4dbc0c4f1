//! Hashes instead of generators: number `n` of a seed can be had without the numbers before it.

/// The odd constant nearest to 2^64 / golden ratio: steps of it visit every u64.
const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;

/// The `n`th number of the sequence that splitmix64 makes of `seed`.
#[inline]
pub fn hash(seed: u64, n: u64) -> u64 {
    let mut z = seed.wrapping_add(n.wrapping_add(1).wrapping_mul(STRIDE));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A seed of its own for each purpose.
pub fn derive(seed: u64, purpose: &str, n: u64) -> u64 {
    let named = purpose.bytes().fold(seed, |sum, byte| hash(sum, u64::from(byte)));
    hash(named, n)
}

/// True for this share of all hashes.
#[inline]
pub fn chosen(hash: u64, share: f64) -> bool {
    ((hash >> 11) as f64) < share * (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_splitmix64() {
        // The first three of seed 1234567, as its authors' program prints them.
        let first: Vec<u64> = (0..3).map(|n| hash(1_234_567, n)).collect();
        assert_eq!(
            first,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }

    #[test]
    fn a_share_of_hashes_is_chosen() {
        let count = |share| (0..10_000).filter(|&n| chosen(hash(7, n), share)).count();
        assert_eq!(count(0.0), 0);
        assert_eq!(count(1.0), 10_000);
        assert!((2_300..2_700).contains(&count(0.25)), "{}", count(0.25));
    }

    #[test]
    fn purposes_do_not_share_numbers() {
        assert_ne!(derive(1, "late", 0), derive(1, "twice", 0));
        assert_ne!(derive(1, "late", 0), derive(1, "late", 1));
        assert_ne!(derive(1, "late", 0), derive(2, "late", 0));
    }
}
