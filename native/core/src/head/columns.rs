//! Timestamp columns that series scraped together share.
//!
//! The series of one target carry the same timestamps, so a generation keeps each distinct column once per instance and a series
//! holds only where it is in one. Times are offsets into the window.

use std::ops::Range;

use hashbrown::HashMap;

use super::column::Column;

/// Where consecutive samples of a series lie: `columns[column][first..first + count]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    pub column: u32,
    pub first: u32,
    pub count: u32,
}

/// Up to so many samples a series that leaves its column takes its past along, so that it stays in one run and those who leave in
/// the same way join it. Later it begins a second run instead of copying.
const FORK_BELOW: u32 = 16;

/// Entries of either memo, as many as 1,024 places hold. They matter only while a batch is applied, so forgetting them is harmless.
const MEMO_ENTRIES: usize = 896;

/// The columns of one instance in one generation.
#[derive(Debug, Default)]
pub struct Columns {
    all: Vec<Column>,
    /// Newest time of a column → that column, for series that look for company.
    tails: HashMap<u32, u32>,
    /// Who left which run at what time → the column made for it.
    forks: HashMap<(Run, u32), u32>,
    held_bytes: usize,
}

impl std::hash::Hash for Run {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u64(u64::from(self.column) << 32 | u64::from(self.first));
        state.write_u32(self.count);
    }
}

impl Run {
    fn places(self) -> Range<usize> {
        self.first as usize..(self.first + self.count) as usize
    }
}

impl Columns {
    pub fn get(&self, column: u32) -> Option<&Column> {
        self.all.get(column as usize)
    }

    /// Appends the times of a run.
    pub fn read(&self, run: Run, out: &mut Vec<u32>) {
        if let Some(column) = self.get(run.column) {
            column.read(run.places(), out);
        }
    }

    /// Where a time is in a run: `Err` if it is newer than all of the run, `Ok(None)` if it is not in it.
    pub fn find(&self, run: Run, time: u32) -> Result<Option<usize>, ()> {
        let places = run.places();
        let Some(column) = self.get(run.column) else {
            return Err(());
        };
        if places.is_empty() || column.get(places.end - 1).is_none_or(|last| last < time) {
            return Err(());
        }
        let found = column.find(time).filter(|at| places.contains(at));
        Ok(found.map(|at| at - places.start))
    }

    pub fn bytes(&self) -> usize {
        self.held_bytes
            + self.all.capacity() * size_of::<Column>()
            + self.tails.capacity() * 9
            + self.forks.capacity() * 21
    }

    /// A run of one sample at `time`, in a column that has just taken the same time if there is one.
    pub fn start(&mut self, time: u32) -> Run {
        if let Some(&number) = self.tails.get(&time)
            && let Some(column) = self.get(number)
            && column.last() == Some(time)
        {
            return Run {
                column: number,
                first: column.len() as u32 - 1,
                count: 1,
            };
        }
        let column = self.add(&[time]);
        Run {
            column,
            first: 0,
            count: 1,
        }
    }

    /// Appends `time`, which is newer than all of the run. Returns a further run if it does not continue this one.
    #[inline]
    pub fn extend(&mut self, run: &mut Run, time: u32) -> Option<Run> {
        let next = (run.first + run.count) as usize;
        let Some(column) = self.all.get_mut(run.column as usize) else {
            return Some(self.start(time));
        };
        match column.get(next) {
            Some(held) if held == time => {
                run.count += 1;
                None
            }
            Some(_) => self.leave(run, time),
            None => {
                let before = column.bytes();
                column.push(time);
                self.held_bytes += column.bytes() - before;
                run.count += 1;
                let column = run.column;
                self.note_tail(time, column);
                None
            }
        }
    }

    #[cold]
    fn leave(&mut self, run: &mut Run, time: u32) -> Option<Run> {
        if run.count <= FORK_BELOW {
            let memo = (*run, time);
            if let Some(&column) = self.forks.get(&memo) {
                *run = Run {
                    column,
                    first: 0,
                    count: run.count + 1,
                };
                return None;
            }
            let mut times = Vec::with_capacity(run.count as usize + 2);
            self.read(*run, &mut times);
            times.push(time);
            let column = self.add(&times);
            if self.forks.len() >= MEMO_ENTRIES {
                self.forks.clear();
            }
            self.forks.insert(memo, column);
            *run = Run {
                column,
                first: 0,
                count: run.count + 1,
            };
            return None;
        }
        // A gap: the column has the time further on.
        match self.all[run.column as usize].find(time) {
            Some(place) => Some(Run {
                column: run.column,
                first: place as u32,
                count: 1,
            }),
            None => Some(self.start(time)),
        }
    }

    /// A column for one series alone, for one that fits nowhere.
    pub fn private(&mut self, times: &[u32]) -> Run {
        let column = self.add(times);
        Run {
            column,
            first: 0,
            count: times.len() as u32,
        }
    }

    fn add(&mut self, times: &[u32]) -> u32 {
        let number = self.all.len() as u32;
        let mut column = Column::default();
        for &time in times {
            column.push(time);
        }
        self.held_bytes += column.bytes();
        if let Some(time) = column.last() {
            self.note_tail(time, number);
        }
        self.all.push(column);
        number
    }

    fn note_tail(&mut self, time: u32, column: u32) {
        if self.tails.len() >= MEMO_ENTRIES {
            self.tails.clear();
        }
        self.tails.insert(time, column);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(columns: &mut Columns, runs: &mut Vec<Run>, time: u32) {
        let next = match runs.last_mut() {
            None => Some(columns.start(time)),
            Some(run) => columns.extend(run, time),
        };
        runs.extend(next);
    }

    #[test]
    fn two_targets_that_begin_together_part_at_once() {
        let mut columns = Columns::default();
        let mut series = vec![Vec::new(); 20];
        for scrape in 0..100 {
            for (number, runs) in series.iter_mut().enumerate() {
                // From the second scrape on, each half has its own jitter.
                let jitter = if number < 10 { 1 } else { 2 };
                push(
                    &mut columns,
                    runs,
                    scrape * 15_000 + if scrape > 0 { jitter } else { 0 },
                );
            }
        }
        assert!(series[..10].iter().all(|runs| *runs == series[0]));
        assert!(
            series[10..]
                .iter()
                .all(|runs| *runs == series[10] && runs.len() == 1)
        );
        assert_eq!(columns.all.len(), 2);
    }

    #[test]
    fn series_that_miss_a_scrape_skip_it_and_come_back() {
        let mut columns = Columns::default();
        let (mut steady, mut gappy) = (Vec::new(), Vec::new());
        for scrape in 0..100 {
            push(&mut columns, &mut steady, scrape);
            if scrape != 50 {
                push(&mut columns, &mut gappy, scrape);
            }
        }
        assert_eq!(columns.all.len(), 1);
        let run = |first, count| Run {
            column: 0,
            first,
            count,
        };
        assert_eq!(
            (steady, gappy),
            (vec![run(0, 100)], vec![run(0, 50), run(51, 49)])
        );
    }
}
