//! Equal label sets of several sources become one row.

use hashbrown::HashTable;

use crate::model::SeriesTable;

/// Where a row's samples lie: the number of a source, and the row there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub source: u32,
    pub row: u32,
}

/// Collects the tables of sources. Ids are those of the query, so that rows are equal if their ids are.
#[derive(Debug, Default)]
pub struct Rows {
    table: SeriesTable,
    /// The first place of each row.
    first: Vec<Place>,
    /// Further places, in the order of the sources.
    further: Vec<(u32, Place)>,
    found: HashTable<u32>,
}

impl Rows {
    pub fn len(&self) -> usize {
        self.table.len()
    }

    pub fn table(&self) -> &SeriesTable {
        &self.table
    }

    pub fn bytes(&self) -> usize {
        self.table.bytes()
            + self.first.capacity() * 8
            + self.further.capacity() * 12
            + self.found.capacity() * 5
    }

    /// Adds the rows of a source, which are distinct.
    pub fn add(&mut self, source: u32, table: SeriesTable) {
        if table.is_empty() {
            return;
        }
        let places = (0..table.len() as u32).map(|row| Place { source, row });
        if self.table.is_empty() {
            self.first = places.collect();
            self.table = table;
            return;
        }
        self.index(table.len());
        for (pairs, place) in table.rows().zip(places) {
            let hash = hash(pairs);
            if let Some(&row) = self
                .found
                .find(hash, |&row| self.table.row(row as usize) == pairs)
            {
                self.further.push((row, place));
            } else {
                let row = self.table.len() as u32;
                self.table.push(pairs.iter().copied());
                self.first.push(place);
                let table = &self.table;
                self.found.insert_unique(hash, row, |&row| hash_of(table, row));
            }
        }
    }

    /// Makes the hash table, with room for more rows. Many selections have one source with rows, and then nothing is hashed.
    fn index(&mut self, more: usize) {
        let table = &self.table;
        let room = if self.found.is_empty() {
            table.len() + more
        } else {
            more
        };
        self.found.reserve(room, |&row| hash_of(table, row));
        if self.found.is_empty() {
            for row in 0..table.len() as u32 {
                self.found
                    .insert_unique(hash_of(table, row), row, |&row| hash_of(table, row));
            }
        }
    }

    pub fn finish(mut self) -> (SeriesTable, Places) {
        let mut ends = Vec::new();
        let mut further = Vec::new();
        if !self.further.is_empty() {
            // Stable: the places of a row keep the order of the sources.
            self.further.sort_by_key(|&(row, _)| row);
            ends.reserve_exact(self.first.len());
            let mut rest = self.further.iter().peekable();
            for row in 0..self.first.len() as u32 {
                while let Some((_, place)) = rest.next_if(|next| next.0 == row) {
                    further.push(*place);
                }
                ends.push(further.len() as u32);
            }
        }
        (
            self.table,
            Places {
                first: self.first,
                ends,
                further,
            },
        )
    }
}

/// The places of each row, those of earlier sources first.
#[derive(Debug)]
pub struct Places {
    first: Vec<Place>,
    /// Ends of the rows' parts of `further`; empty if no row has further places.
    ends: Vec<u32>,
    further: Vec<Place>,
}

impl Places {
    pub fn len(&self) -> usize {
        self.first.len()
    }

    pub fn of(&self, row: usize) -> (Place, &[Place]) {
        let end = self.ends.get(row).copied().unwrap_or(0) as usize;
        let start = if row == 0 {
            0
        } else {
            self.ends.get(row - 1).copied().unwrap_or(0) as usize
        };
        (self.first[row], &self.further[start..end])
    }
}

fn hash_of(table: &SeriesTable, row: u32) -> u64 {
    hash(table.row(row as usize))
}

/// Ids are dense and made by us, so that a multiply and a fold per pair is hash enough.
fn hash(pairs: &[(u32, u32)]) -> u64 {
    pairs.iter().fold(pairs.len() as u64, |hash, &(name, value)| {
        let wide = u128::from(hash ^ u64::from(name) << 32 ^ u64::from(value)) * 0x9e37_79b9_7f4a_7c15;
        (wide >> 64) as u64 ^ wide as u64
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_three_sources_meet() {
        let mut rows = Rows::default();
        let tables: [&[u32]; 4] = [&[], &[1, 2], &[2, 3], &[3, 1, 4]];
        for (source, values) in (0..).zip(tables) {
            let mut table = SeriesTable::new();
            for &value in values {
                table.push([(1, value), (5, 6)]);
            }
            rows.add(source, table);
        }
        let (table, places) = rows.finish();
        let values: Vec<u32> = (0..table.len()).map(|row| table.value(row, 1)).collect();
        assert_eq!(values, [1, 2, 3, 4]);
        let place = |source, row| Place { source, row };
        assert_eq!(places.of(0), (place(1, 0), &[place(3, 1)][..]));
        assert_eq!(places.of(1), (place(1, 1), &[place(2, 0)][..]));
        assert_eq!(places.of(2), (place(2, 1), &[place(3, 0)][..]));
        assert_eq!(places.of(3), (place(3, 2), &[][..]));
    }
}
