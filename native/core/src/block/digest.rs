//! A 128-bit fingerprint of samples that does not depend on their order: zones and fsck compare it.

use xxhash_rust::xxh3::xxh3_128;

use crate::model::{Samples, Uid};

/// The wrapping sum of one hash per sample over (instance, labels, time, value bits); of a histogram instead of its bits its
/// fingerprint, and its start timestamp if it has one. Equal samples give equal digests; blocks that share no sample add up.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Digest(u128);

/// Keeps a histogram from passing for the float that has its fingerprint as bits.
const HISTOGRAM_ROTATION: u32 = 41;
/// And a sample with a start timestamp from passing for one without.
const START_ROTATION: u32 = 23;

/// What a series contributes to the hash of each of its samples. `labels` in the order of their names.
pub fn series_key<'a>(uid: Uid, labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> u128 {
    series_key_in(&mut Vec::new(), uid, labels)
}

/// As [`series_key`], in memory that is used again.
pub fn series_key_in<'a>(
    scratch: &mut Vec<u8>,
    uid: Uid,
    labels: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> u128 {
    scratch.clear();
    scratch.extend_from_slice(&uid.0);
    for (name, value) in labels {
        for part in [name, value] {
            scratch.extend_from_slice(&(part.len() as u32).to_le_bytes());
            scratch.extend_from_slice(part.as_bytes());
        }
    }
    xxh3_128(scratch)
}

impl Digest {
    pub fn of(value: u128) -> Self {
        Self(value)
    }

    pub fn value(self) -> u128 {
        self.0
    }

    /// Adds the samples of one series.
    pub fn add(&mut self, series: u128, samples: Samples<'_>) {
        let (floats, histograms) = (series, series.rotate_left(HISTOGRAM_ROTATION));
        for (place, (&time, &value)) in samples.times.iter().zip(samples.values).enumerate() {
            let (mut series, mut bits) = match samples.histograms.get(place) {
                Some(Some(histogram)) => (histograms, histogram.fingerprint()),
                _ => (floats, value.to_bits()),
            };
            if let Some(&start) = samples.starts.get(place).filter(|&&start| start != 0) {
                series = series.rotate_left(START_ROTATION);
                bits ^= fold(0x8ebc_6af0_9c88_c6e3 ^ bits, start as u64);
            }
            let (low, high) = (series as u64, (series >> 64) as u64);
            let a = fold(low ^ time as u64, 0x9e37_79b9_7f4a_7c15 ^ bits);
            let b = fold(high ^ bits.rotate_left(32), 0xc2b2_ae3d_27d4_eb4f ^ time as u64);
            self.0 = self
                .0
                .wrapping_add(u128::from(a) << 64 | u128::from(b ^ a.rotate_left(17)));
        }
    }
}

/// Multiplies to 128 bits and folds the halves: every bit of both sides reaches every bit of the result.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let wide = u128::from(a) * u128::from(b);
    wide as u64 ^ (wide >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hash over the parts one after the other: manifests hold sums of it.
    #[test]
    fn keys_of_series_do_not_depend_on_the_memory_they_are_made_in() {
        let (uid, mut scratch) = (Uid([7; 16]), b"of another series".to_vec());
        for size in [0, 1, 20, 200, 2000] {
            let value = "v".repeat(size);
            let labels = [("__name__", "a"), ("x", value.as_str())];
            let mut hash = xxhash_rust::xxh3::Xxh3::new();
            hash.update(&uid.0);
            for part in labels.iter().flat_map(|&(name, value)| [name, value]) {
                hash.update(&(part.len() as u32).to_le_bytes());
                hash.update(part.as_bytes());
            }
            assert_eq!(series_key_in(&mut scratch, uid, labels), hash.digest128());
            assert_eq!(series_key(uid, labels), hash.digest128());
        }
    }

    #[test]
    fn order_does_not_matter_and_everything_else_does() {
        let uid = Uid([7; 16]);
        let one = series_key(uid, [("__name__", "a"), ("x", "1")]);
        let two = series_key(uid, [("__name__", "a"), ("x", "2")]);
        let sum = |parts: &[(u128, i64, f64)]| {
            let mut digest = Digest::default();
            for &(key, time, value) in parts {
                digest.add(key, Samples::floats(&[time], &[value], 0));
            }
            digest.value()
        };
        let base = sum(&[(one, 1, 1.0), (two, 2, 0.0)]);
        assert_eq!(base, sum(&[(two, 2, 0.0), (one, 1, 1.0)]));
        assert_ne!(base, sum(&[(two, 2, -0.0), (one, 1, 1.0)]));
        assert_ne!(base, sum(&[(two, 1, 0.0), (one, 1, 1.0)]));
        assert_ne!(base, sum(&[(one, 2, 0.0), (two, 1, 1.0)]));
        assert_ne!(one, series_key(Uid([8; 16]), [("__name__", "a"), ("x", "1")]));
        assert_ne!(one, series_key(uid, [("__name__", "a"), ("x1", "")]));
        let with_start = |start: i64| {
            let mut digest = Digest::default();
            let starts = [start];
            let samples = Samples {
                starts: &starts,
                ..Samples::floats(&[1], &[0.0], 0)
            };
            digest.add(one, samples);
            digest.value()
        };
        assert_eq!(with_start(0), sum(&[(one, 1, 0.0)]));
        assert_ne!(with_start(1), with_start(0));
        assert_ne!(with_start(1), with_start(2));
    }
}
