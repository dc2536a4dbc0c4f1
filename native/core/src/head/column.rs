//! One column of ascending times: the newest plain, those before them packed in blocks of [`BLOCK`].
//!
//! Scrapes come at an interval, give or take a little, so what a step has above the least one of its block needs few bits.
//!
//! ```text
//! block   first (4 bytes)  width (1)  least step (varint)  (BLOCK - 1) × width bits: what each step has above the least
//! ```

use std::ops::Range;

/// Times per block.
const BLOCK: usize = 32;

/// So many of the newest stay plain: series of one scrape come to the column one after the other.
const KEPT: usize = 8;

/// Room for the packed steps of one block, plus the slack of 8-byte loads and stores.
const PACKED: usize = BLOCK * 4 + 8;

#[derive(Debug, Default)]
pub struct Column {
    packed: Vec<u8>,
    plain: Vec<u32>,
    /// Times in `packed`.
    folded: u32,
}

impl Column {
    pub fn len(&self) -> usize {
        self.folded as usize + self.plain.len()
    }

    pub fn bytes(&self) -> usize {
        self.packed.capacity() + self.plain.capacity() * 4
    }

    /// The newest time.
    #[inline]
    pub fn last(&self) -> Option<u32> {
        self.plain.last().copied()
    }

    #[inline]
    pub fn get(&self, at: usize) -> Option<u32> {
        match at.checked_sub(self.folded as usize) {
            Some(at) => self.plain.get(at).copied(),
            None => self.unfolded(at),
        }
    }

    #[cold]
    fn unfolded(&self, at: usize) -> Option<u32> {
        let mut times = [0; BLOCK];
        self.blocks().nth(at / BLOCK)?.decode(&mut times);
        Some(times[at % BLOCK])
    }

    /// Appends a time newer than all.
    pub fn push(&mut self, time: u32) {
        if self.plain.len() == self.plain.capacity() {
            let room = (self.plain.len() * 2).clamp(4, BLOCK + KEPT);
            self.plain.reserve_exact(room - self.plain.len());
        }
        self.plain.push(time);
        if self.plain.len() == BLOCK + KEPT {
            self.fold();
        }
    }

    #[cold]
    fn fold(&mut self) {
        let mut steps = [0; BLOCK - 1];
        for (step, pair) in steps.iter_mut().zip(self.plain.windows(2)) {
            *step = pair[1].wrapping_sub(pair[0]);
        }
        let least = steps.iter().copied().min().unwrap_or(0);
        let most = steps.iter().copied().max().unwrap_or(0);
        let width = 32 - (most - least).leading_zeros();
        let mut block = Vec::with_capacity(PACKED);
        block.extend_from_slice(&self.plain[0].to_le_bytes());
        block.push(width as u8);
        let mut rest = least;
        while rest >= 0x80 {
            block.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        block.push(rest as u8);
        let mut buffer = [0_u8; PACKED];
        for (i, step) in steps.iter().enumerate() {
            let at = i * width as usize;
            if let Some(slot) = buffer[at / 8..].first_chunk_mut::<8>() {
                *slot = (u64::from_le_bytes(*slot) | u64::from(step - least) << (at % 8)).to_le_bytes();
            }
        }
        block.extend_from_slice(&buffer[..packed_len(width)]);
        if self.packed.capacity() - self.packed.len() < block.len() {
            self.packed.reserve_exact(block.len().max(self.packed.len() / 8));
        }
        self.packed.extend_from_slice(&block);
        self.plain.drain(..BLOCK);
        self.folded += BLOCK as u32;
    }

    fn blocks(&self) -> Blocks<'_> {
        Blocks { rest: &self.packed }
    }

    /// Appends the times at these places.
    pub fn read(&self, places: Range<usize>, out: &mut Vec<u32>) {
        let folded = self.folded as usize;
        let mut times = [0; BLOCK];
        if places.start < folded {
            let first = places.start / BLOCK;
            for (number, block) in (first..).zip(self.blocks().skip(first)) {
                let start = number * BLOCK;
                if start >= places.end {
                    break;
                }
                block.decode(&mut times);
                let from = places.start.saturating_sub(start);
                out.extend_from_slice(&times[from..BLOCK.min(places.end - start)]);
            }
        }
        let end = places.end.clamp(folded, self.len());
        let start = places.start.clamp(folded, end);
        out.extend_from_slice(&self.plain[start - folded..end - folded]);
    }

    /// Where a time is.
    pub fn find(&self, time: u32) -> Option<usize> {
        let from = self.rank(time);
        (self.get(from) == Some(time)).then_some(from)
    }

    /// How many times are before this one.
    pub fn rank(&self, time: u32) -> usize {
        if self.plain.first().is_some_and(|&first| first <= time) || self.folded == 0 {
            return self.folded as usize + self.plain.partition_point(|&t| t < time);
        }
        let mut before = 0;
        let mut holder = None;
        for (number, block) in self.blocks().enumerate() {
            if block.first > time {
                break;
            }
            (before, holder) = (number * BLOCK, Some(block));
        }
        holder.map_or(0, |block| {
            let mut times = [0; BLOCK];
            block.decode(&mut times);
            before + times.partition_point(|&t| t < time)
        })
    }
}

/// A block, still packed.
struct Block<'a> {
    first: u32,
    width: u32,
    least: u32,
    packed: &'a [u8],
}

impl Block<'_> {
    fn decode(&self, times: &mut [u32; BLOCK]) {
        let mut buffer = [0_u8; PACKED];
        buffer[..self.packed.len()].copy_from_slice(self.packed);
        let mask = (1_u64 << self.width) - 1;
        let mut time = self.first;
        times[0] = time;
        for (i, to) in times[1..].iter_mut().enumerate() {
            let at = i * self.width as usize;
            let word = buffer[at / 8..]
                .first_chunk::<8>()
                .map_or(0, |b| u64::from_le_bytes(*b));
            time = time
                .wrapping_add(self.least)
                .wrapping_add((word >> (at % 8) & mask) as u32);
            *to = time;
        }
    }
}

/// Bytes of the steps of a block.
fn packed_len(width: u32) -> usize {
    ((BLOCK - 1) * width as usize).div_ceil(8)
}

struct Blocks<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Blocks<'a> {
    type Item = Block<'a>;

    fn next(&mut self) -> Option<Block<'a>> {
        let (first, rest) = self.rest.split_first_chunk::<4>()?;
        let (&width, mut rest) = rest.split_first()?;
        let mut least = 0;
        for shift in (0..32).step_by(7) {
            let (&byte, after) = rest.split_first()?;
            rest = after;
            least |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        let width = u32::from(width).min(32);
        let (packed, rest) = rest.split_at_checked(packed_len(width))?;
        self.rest = rest;
        Some(Block {
            first: u32::from_le_bytes(*first),
            width,
            least,
            packed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn column(times: &[u32]) -> Column {
        let mut column = Column::default();
        for &time in times {
            column.push(time);
        }
        column
    }

    #[test]
    fn a_jittery_scrape_takes_less_than_a_byte_and_a_regular_one_less_than_half() {
        let mut dice = 12_345_u32;
        let mut jitter = || {
            dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            dice >> 16 & 7
        };
        let jittery: Vec<u32> = (0..480).map(|k| k * 15_000 + jitter()).collect();
        let regular: Vec<u32> = (0..480).map(|k| k * 15_000).collect();
        assert!(column(&jittery).packed.len() < 400);
        assert!(column(&regular).packed.len() < 130);
    }

    proptest! {
        #[test]
        fn equals_a_list(
            steps in prop::collection::vec(prop_oneof![1_u32..10, 14_990_u32..15_010, 1_u32..1 << 24], 0..200),
            places in (0_usize..200, 0_usize..200),
            probe: u32,
        ) {
            let mut times = Vec::new();
            let mut time = 0_u32;
            for step in steps {
                let Some(next) = time.checked_add(step) else { break };
                time = next;
                times.push(time);
            }
            let column = column(&times);
            prop_assert_eq!(column.len(), times.len());
            prop_assert_eq!(column.last(), times.last().copied());
            for at in 0..times.len() + 2 {
                prop_assert_eq!(column.get(at), times.get(at).copied());
            }
            let places = places.0.min(times.len())..places.1.min(times.len()).max(places.0.min(times.len()));
            let mut read = vec![7];
            column.read(places.clone(), &mut read);
            prop_assert_eq!(&read[1..], &times[places]);
            for probe in times.iter().flat_map(|&t| [t - 1, t, t + 1]).chain([0, probe, u32::MAX]) {
                prop_assert_eq!(column.rank(probe), times.partition_point(|&t| t < probe));
                prop_assert_eq!(column.find(probe), times.binary_search(&probe).ok());
            }
        }
    }
}
