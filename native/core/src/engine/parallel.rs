//! Work over rows on all cores. Rows are cut into chunks of a fixed size and partial results meet in row order, so
//! that the number of cores never changes a result.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use parking_lot::Mutex;

use crate::Result;

/// Rows per chunk.
pub const CHUNK_ROWS: usize = 1024;

/// Below this many cells of estimated work, threads cost more than they save (about 5 ms at 4 ns).
const WORTH_THREADS: usize = 1_200_000;

fn threads(rows: usize, work: usize) -> usize {
    if work < WORTH_THREADS {
        return 1;
    }
    thread::available_parallelism()
        .map_or(1, NonZero::get)
        .min(rows.div_ceil(CHUNK_ROWS))
}

/// The chunks of `rows` rows.
fn chunk(index: usize, rows: usize) -> Range<usize> {
    index * CHUNK_ROWS..rows.min((index + 1) * CHUNK_ROWS)
}

/// Runs `work` for each chunk and `merge` for its result, in order of the chunks. `cost` estimates all work, in cells.
pub fn fold_chunks<P: Send, S: Send>(
    rows: usize,
    cost: usize,
    state: S,
    work: impl Fn(Range<usize>) -> Result<P> + Sync,
    merge: impl Fn(&mut S, P) -> Result<()> + Sync,
) -> Result<S> {
    let chunks = rows.div_ceil(CHUNK_ROWS);
    let threads = threads(rows, cost);
    if threads <= 1 {
        let mut state = state;
        for index in 0..chunks {
            merge(&mut state, work(chunk(index, rows))?)?;
        }
        return Ok(state);
    }
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    // Results that wait for an earlier one.
    let meeting = Mutex::new((state, 0_usize, BTreeMap::new()));
    let worker = || -> Result<()> {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= chunks || failed.load(Ordering::Relaxed) {
                return Ok(());
            }
            let partial = work(chunk(index, rows))?;
            let (state, due, waiting) = &mut *meeting.lock();
            waiting.insert(index, partial);
            while let Some(partial) = waiting.remove(due) {
                merge(state, partial)?;
                *due += 1;
            }
        }
    };
    let watched = || {
        let outcome = worker();
        failed.fetch_or(outcome.is_err(), Ordering::Relaxed);
        outcome
    };
    thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads).map(|_| scope.spawn(watched)).collect();
        let mut outcome = watched();
        for helper in helpers {
            match helper.join() {
                Ok(theirs) => outcome = outcome.and(theirs),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        outcome
    })?;
    Ok(meeting.into_inner().0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn chunks_meet_in_order_on_any_number_of_threads() {
        let rows = 10 * CHUNK_ROWS + 7;
        for cost in [0, usize::MAX] {
            let seen = fold_chunks(
                rows,
                cost,
                Vec::new(),
                |chunk| Ok(chunk.collect::<Vec<_>>()),
                |all: &mut Vec<usize>, part| {
                    all.extend(part);
                    Ok(())
                },
            );
            assert_eq!(seen.unwrap(), (0..rows).collect::<Vec<_>>());
        }
    }

    #[test]
    fn one_failure_fails_all() {
        for cost in [0, usize::MAX] {
            let outcome = fold_chunks(
                20 * CHUNK_ROWS,
                cost,
                (),
                |chunk| {
                    if chunk.start == CHUNK_ROWS * 3 {
                        Err(Error::BadData("three".into()))
                    } else {
                        Ok(())
                    }
                },
                |(), ()| Ok(()),
            );
            assert_eq!(outcome.unwrap_err().to_string(), "three");
        }
    }
}
