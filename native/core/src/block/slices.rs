//! The writer's side of timestamps: every distinct list of times once, and lists that lie inside others not at all.

use hashbrown::{HashMap, HashTable};
use xxhash_rust::xxh3::xxh3_64;

use crate::codec::bytes::{put_signed, put_varint};
use crate::codec::times;
use crate::model::Millis;

/// Timestamps that the search for a containing column looks at; beyond it later columns are not candidates. Bounds memory.
const INDEXED: usize = 1 << 20;

/// Distinct lists of times, numbered in the order in which series first used them.
#[derive(Debug, Default)]
pub struct SliceTable {
    slices: Vec<Box<[Millis]>>,
    by_hash: HashTable<u32>,
}

impl SliceTable {
    /// The number of this list.
    pub fn intern(&mut self, times: &[Millis], previous: Option<u32>) -> u32 {
        if let Some(previous) = previous
            && *self.slices[previous as usize] == *times
        {
            return previous;
        }
        let hash = hash_of(times);
        if let Some(&found) = self.by_hash.find(hash, |&s| *self.slices[s as usize] == *times) {
            return found;
        }
        let number = self.slices.len() as u32;
        self.slices.push(times.into());
        self.by_hash
            .insert_unique(hash, number, |&s| hash_of(&self.slices[s as usize]));
        number
    }
}

fn hash_of(times: &[Millis]) -> u64 {
    // Three samples and the length tell nearly all lists apart; equality is checked on a hit.
    let probe = [
        times[0],
        times[times.len() / 2],
        times[times.len() - 1],
        times.len() as i64,
    ];
    let mut bytes = [0u8; 32];
    for (to, from) in bytes.chunks_exact_mut(8).zip(probe) {
        to.copy_from_slice(&from.to_le_bytes());
    }
    xxh3_64(&bytes)
}

/// Where the bytes of irregular columns go.
pub trait ColumnSink {
    /// Stores a column and answers with its place: number of the timestamp page, and position there.
    fn store(&mut self, bytes: &[u8]) -> (usize, usize);
}

struct Plan {
    column: u32,
    first: usize,
    gaps: Vec<usize>,
}

impl SliceTable {
    /// Writes the directory of columns and slices; bytes of irregular columns go to `sink`.
    pub fn finish(&self, row_slices: &[u32], sink: &mut impl ColumnSink) -> Vec<u8> {
        let mut columns: Vec<u32> = Vec::new();
        let plans = self.plan(&mut columns);
        let mut out = Vec::new();
        put_varint(&mut out, columns.len() as u64);
        let mut before = 0i64;
        let mut bytes = Vec::new();
        for &slice in &columns {
            let times = &self.slices[slice as usize];
            let first = times[0];
            put_signed(&mut out, first.wrapping_sub(before));
            put_varint(&mut out, times.len() as u64);
            before = first;
            if let Some(step) = regular_step(times) {
                put_varint(&mut out, step as u64);
            } else {
                bytes.clear();
                times::encode(times, &mut bytes);
                let (page, position) = sink.store(&bytes);
                put_varint(&mut out, 0);
                put_varint(&mut out, times[times.len() - 1].wrapping_sub(first) as u64);
                put_varint(&mut out, page as u64);
                put_varint(&mut out, position as u64);
                put_varint(&mut out, bytes.len() as u64);
            }
        }
        put_varint(&mut out, plans.len() as u64);
        let mut last_column = 0i64;
        for (plan, times) in plans.iter().zip(&self.slices) {
            put_signed(&mut out, i64::from(plan.column) - last_column);
            last_column = i64::from(plan.column);
            put_varint(&mut out, plan.first as u64);
            put_varint(&mut out, times.len() as u64);
            put_varint(&mut out, plan.gaps.len() as u64);
            let mut last = 0;
            for &gap in &plan.gaps {
                put_varint(&mut out, (gap - last) as u64);
                last = gap;
            }
        }
        let mut last = 0i64;
        for &slice in row_slices {
            put_signed(&mut out, i64::from(slice) - last);
            last = i64::from(slice);
        }
        out
    }

    /// Longest first: a slice either lies in a column that is there already, or becomes one.
    fn plan(&self, columns: &mut Vec<u32>) -> Vec<Plan> {
        let mut order: Vec<u32> = (0..self.slices.len() as u32).collect();
        order.sort_by_key(|&s| std::cmp::Reverse(self.slices[s as usize].len()));
        let mut holding: HashMap<Millis, u32> = HashMap::new();
        let mut plans: Vec<Option<Plan>> = self.slices.iter().map(|_| None).collect();
        for slice in order {
            let times = &self.slices[slice as usize];
            let probes = [times[0], times[times.len() / 2], times[times.len() - 1]];
            let found = probes.iter().filter_map(|t| holding.get(t)).find_map(|&column| {
                let (first, gaps) = inside(times, &self.slices[columns[column as usize] as usize])?;
                Some(Plan { column, first, gaps })
            });
            let plan = found.unwrap_or_else(|| {
                let column = columns.len() as u32;
                columns.push(slice);
                if holding.len() + times.len() <= INDEXED {
                    for &time in times {
                        holding.entry(time).or_insert(column);
                    }
                }
                Plan {
                    column,
                    first: 0,
                    gaps: Vec::new(),
                }
            });
            plans[slice as usize] = Some(plan);
        }
        plans.into_iter().flatten().collect()
    }
}

fn regular_step(times: &[Millis]) -> Option<Millis> {
    let step = if times.len() == 1 {
        1
    } else {
        times[1].checked_sub(times[0])?
    };
    times
        .windows(2)
        .all(|pair| pair[0].checked_add(step) == Some(pair[1]))
        .then_some(step)
}

/// If `times` lies in `column`: its first row there and the rows it leaves out, counted from that row. Only where that is smaller than a column
/// of its own.
fn inside(times: &[Millis], column: &[Millis]) -> Option<(usize, Vec<usize>)> {
    let first = column.binary_search(&times[0]).ok()?;
    let affordable = if regular_step(times).is_some() {
        4
    } else {
        4 + times.len() / 2
    };
    let mut gaps = Vec::new();
    let mut wanted = times.iter();
    let mut next = wanted.next();
    for (row, time) in column[first..].iter().enumerate() {
        match next {
            None => break,
            Some(want) if want == time => next = wanted.next(),
            Some(_) if gaps.len() == affordable => return None,
            Some(_) => gaps.push(row),
        }
    }
    next.is_none().then_some((first, gaps))
}
