//! Runs of [`RUN`] values that lanes have done with, encoded as the store encodes them and laid one behind the other.
//!
//! They are half as large as the blocks that they replace, never change, and go all at once with their generation: so they need
//! no slack to grow, and leave no holes. Each knows where the run before it of the same lane lies.
//!
//! ```text
//! entry   place of the lane's run before (4 bytes, all ones: none)  length (2)  the run (codec::values)
//! ```

use super::values::BLOCK;

/// Values per run: 5 % more bytes than the store's 240, and a reader who wants the last of them decodes a quarter.
pub const RUN: usize = 64;

const _: () = assert!(RUN.is_multiple_of(BLOCK));

/// The place of no run.
pub const NOWHERE: u32 = u32::MAX;

const HEADER: usize = 6;

/// Pages begin small, since many instances hold little, and double up to here.
const PAGE: usize = 1 << PAGE_BITS;
const PAGE_BITS: u32 = 16;
const FIRST_PAGE: usize = 1 << 9;

/// Entries begin at multiples of two, so that 8 GiB have places.
const UNIT_BITS: u32 = 1;
const PAGES: usize = 1 << (32 + UNIT_BITS - PAGE_BITS);

/// The runs of one instance in one generation.
#[derive(Debug, Default)]
pub struct Runs {
    pages: Vec<Vec<u8>>,
    held_bytes: usize,
}

impl Runs {
    pub fn bytes(&self) -> usize {
        self.held_bytes + self.pages.capacity() * size_of::<Vec<u8>>()
    }

    /// Adds a run of a lane whose run before lies at `before`; returns its place, or `None` if there is no room for it.
    pub fn push(&mut self, before: u32, run: &[u8]) -> Option<u32> {
        let length = u16::try_from(run.len()).ok()?;
        let needed = HEADER + run.len();
        let fits = |page: &Vec<u8>| page.capacity() - page.len() >= needed;
        if !self.pages.last().is_some_and(fits) {
            // The very last place means nowhere, so the last page is not used.
            if self.pages.len() + 1 >= PAGES {
                return None;
            }
            let usual = (FIRST_PAGE << self.pages.len().min(PAGE_BITS as usize)).min(PAGE);
            let page = Vec::with_capacity(usual.max(needed.next_multiple_of(1 << UNIT_BITS)));
            if page.capacity() < needed || needed > PAGE {
                return None;
            }
            self.held_bytes += page.capacity();
            self.pages.push(page);
        }
        let number = self.pages.len() - 1;
        let page = &mut self.pages[number];
        let place = (number << (PAGE_BITS - UNIT_BITS) | page.len() >> UNIT_BITS) as u32;
        page.extend_from_slice(&before.to_le_bytes());
        page.extend_from_slice(&length.to_le_bytes());
        page.extend_from_slice(run);
        let filled = page.len().next_multiple_of(1 << UNIT_BITS).min(page.capacity());
        page.resize(filled, 0);
        Some(place)
    }

    /// A run, and the place of the one before it.
    pub fn get(&self, place: u32) -> Option<(&[u8], u32)> {
        let page = self.pages.get((place >> (PAGE_BITS - UNIT_BITS)) as usize)?;
        let entry = page.get(((place as usize) << UNIT_BITS) & (PAGE - 1)..)?;
        let (before, rest) = entry.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let run = rest.get(..usize::from(u16::from_le_bytes(*length)))?;
        Some((run, u32::from_le_bytes(*before)))
    }

    /// Runs from `newest` backwards.
    pub fn back_from(&self, newest: u32) -> impl Iterator<Item = &[u8]> {
        let mut place = newest;
        std::iter::from_fn(move || {
            let (run, before) = self.get(place)?;
            place = before;
            Some(run)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lanes_find_their_runs_backwards(
            pushes in prop::collection::vec((0_usize..3, prop::collection::vec(any::<u8>(), 0..700)), 0..300),
        ) {
            let mut runs = Runs::default();
            let (mut newest, mut lanes) = ([NOWHERE; 3], [vec![], vec![], vec![]]);
            for (lane, run) in pushes {
                newest[lane] = runs.push(newest[lane], &run).unwrap();
                lanes[lane].push(run);
            }
            for (lane, place) in lanes.iter().zip(newest) {
                prop_assert!(runs.back_from(place).eq(lane.iter().rev().map(Vec::as_slice)));
            }
        }
    }

    #[test]
    fn little_takes_little_and_much_takes_whole_pages() {
        let mut runs = Runs::default();
        assert_eq!(runs.bytes(), 0);
        let mut place = runs.push(NOWHERE, &[7; 60]).unwrap();
        assert!(runs.bytes() < 1000, "{}", runs.bytes());
        for _ in 0..20_000 {
            place = runs.push(place, &[7; 60]).unwrap();
        }
        assert!(runs.pages.len() < 32);
        assert!(runs.bytes() < 20_000 * 68 + PAGE + 1000, "{}", runs.bytes());
    }

    #[test]
    fn what_cannot_have_a_place_is_refused() {
        let mut runs = Runs::default();
        assert_eq!(runs.push(NOWHERE, &vec![0; 1 << 16]), None);
        assert!(runs.push(NOWHERE, &vec![0; (1 << 16) - HEADER - 1]).is_some());
        assert_eq!(runs.get(NOWHERE), None);
        assert_eq!(runs.get(1 << 20), None);
    }
}
