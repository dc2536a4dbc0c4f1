//! Small bytes of many lanes that grow and go: chains of cells of one size.
//!
//! All lanes of a window grow at the same time, and some stop for good at every length. Were each a piece of memory of its own,
//! the few that stopped would hold the pages of every length that the others have passed. A cell that one lane gives back is as good
//! as any other, so the cells take what the lanes need at one time, and no more.

/// Bytes of a cell that are a lane's: the few bytes of a usual block, or of two.
const PAYLOAD: usize = 20;

/// The cell before the first, and behind the last free one.
const NO_CELL: u32 = u32::MAX;

/// Pages begin small, since many instances hold little, and double up to here.
const PAGE: usize = 2048;
const FIRST_PAGE: usize = 16;

#[derive(Debug, Clone, Copy)]
struct Cell {
    /// The cell before it in its chain, or the next free one.
    before: u32,
    bytes: [u8; PAYLOAD],
}

/// Where the bytes of one lane lie. It belongs to the [`Cells`] that it grew in, which it does not outlive.
#[derive(Debug)]
pub struct Chain {
    newest: u32,
    length: u32,
}

impl Chain {
    pub const EMPTY: Self = Self {
        newest: NO_CELL,
        length: 0,
    };
}

/// The cells of one instance in one generation: there are fewer than 2³², as there are series.
#[derive(Debug)]
pub struct Cells {
    pages: Vec<Vec<Cell>>,
    free: u32,
    held_bytes: usize,
}

impl Default for Cells {
    fn default() -> Self {
        Self {
            pages: Vec::new(),
            free: NO_CELL,
            held_bytes: 0,
        }
    }
}

impl Cells {
    pub fn bytes(&self) -> usize {
        self.held_bytes + self.pages.capacity() * size_of::<Vec<Cell>>()
    }

    /// Appends bytes to a chain.
    pub fn append(&mut self, chain: &mut Chain, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let at = chain.length as usize % PAYLOAD;
            if at == 0 {
                chain.newest = self.take(chain.newest);
            }
            let taken = bytes.len().min(PAYLOAD - at);
            let (head, rest) = bytes.split_at(taken);
            self.cell_mut(chain.newest).bytes[at..at + taken].copy_from_slice(head);
            chain.length += taken as u32;
            bytes = rest;
        }
    }

    /// Appends what a chain holds to `out`.
    pub fn read(&self, chain: &Chain, out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + chain.length as usize, 0);
        let mut place = chain.newest;
        for part in out[start..].chunks_mut(PAYLOAD).rev() {
            let cell = &self.pages[place as usize / PAGE][place as usize % PAGE];
            part.copy_from_slice(&cell.bytes[..part.len()]);
            place = cell.before;
        }
    }

    /// Gives back what a chain holds.
    pub fn clear(&mut self, chain: &mut Chain) {
        let gone = std::mem::replace(chain, Chain::EMPTY);
        if gone.newest == NO_CELL {
            return;
        }
        let mut oldest = gone.newest;
        while self.cell_mut(oldest).before != NO_CELL {
            oldest = self.cell_mut(oldest).before;
        }
        self.cell_mut(oldest).before = self.free;
        self.free = gone.newest;
    }

    /// A cell behind `before`.
    fn take(&mut self, before: u32) -> u32 {
        let place = self.free;
        if place != NO_CELL {
            self.free = std::mem::replace(&mut self.cell_mut(place).before, before);
            return place;
        }
        let cell = Cell {
            before,
            bytes: [0; PAYLOAD],
        };
        if self.pages.last().is_none_or(|last| last.len() == PAGE) {
            self.pages.push(Vec::new());
        }
        let number = self.pages.len() - 1;
        let page = &mut self.pages[number];
        if page.len() == page.capacity() {
            let held = page.capacity();
            // Only the first page grows.
            let room = if number > 0 {
                PAGE
            } else {
                (held * 2).clamp(FIRST_PAGE, PAGE)
            };
            page.reserve_exact(room - held);
            self.held_bytes += (page.capacity() - held) * size_of::<Cell>();
        }
        page.push(cell);
        (number * PAGE + page.len() - 1) as u32
    }

    fn cell_mut(&mut self, place: u32) -> &mut Cell {
        &mut self.pages[place as usize / PAGE][place as usize % PAGE]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(cells: &Cells, chain: &Chain) -> Vec<u8> {
        let mut out = vec![7];
        cells.read(chain, &mut out);
        assert_eq!(out.remove(0), 7);
        out
    }

    proptest! {
        #[test]
        fn chains_hold_what_was_appended_since_they_were_cleared(
            steps in prop::collection::vec((0_usize..4, prop::option::of(prop::collection::vec(any::<u8>(), 0..70))), 0..300),
        ) {
            let mut cells = Cells::default();
            let mut chains = [const { Chain::EMPTY }; 4];
            let mut held = [const { Vec::new() }; 4];
            let mut most = 0;
            for (lane, step) in steps {
                if let Some(bytes) = step {
                    cells.append(&mut chains[lane], &bytes);
                    held[lane].extend(bytes);
                } else {
                    cells.clear(&mut chains[lane]);
                    held[lane].clear();
                }
                for (chain, held) in chains.iter().zip(&held) {
                    prop_assert_eq!(&read(&cells, chain), held);
                }
                most = most.max(held.iter().map(|held| held.len().div_ceil(PAYLOAD)).sum());
            }
            prop_assert_eq!(cells.pages.iter().map(Vec::len).sum::<usize>(), most, "no cell is lost");
        }
    }

    #[test]
    fn little_takes_little_and_much_takes_whole_pages() {
        let mut cells = Cells::default();
        assert_eq!(cells.bytes(), 0);
        let mut chains: Vec<Chain> = (0..10_000).map(|_| Chain::EMPTY).collect();
        cells.append(&mut chains[0], &[1; 50]);
        assert!(cells.bytes() < 1000, "{}", cells.bytes());
        for chain in &mut chains {
            cells.append(chain, &[2; PAYLOAD]);
        }
        let most = (10_003_usize.next_multiple_of(PAGE)) * size_of::<Cell>() + 1000;
        assert!(cells.bytes() < most, "{}", cells.bytes());
    }
}
