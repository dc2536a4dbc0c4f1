//! `topk` and `bottomk`: of each group the k best at each step, under their own labels.

use std::cmp::Ordering;
use std::sync::Arc;

use super::super::cells::{Cells, FLOAT};
use super::super::context::QueryContext;
use super::super::convert::{best_first, pick_rows};
use super::super::frame::Frame;
use super::super::labels::{Groups, Selector};
use super::limit::Counts;
use super::note_ignored;
use crate::Result;

/// The best so far, a heap with the worst of them on top.
#[derive(Debug, Default, Clone)]
struct Best(Vec<(f64, u32)>);

/// Better values first; equal ones and NaNs by row, so that ties keep the earlier row.
fn order(largest: bool, a: (f64, u32), b: (f64, u32)) -> Ordering {
    best_first(largest, a.0, b.0).then(a.1.cmp(&b.1))
}

impl Best {
    fn offer(&mut self, largest: bool, k: usize, element: (f64, u32)) {
        let heap = &mut self.0;
        if heap.len() < k {
            heap.push(element);
            let mut at = heap.len() - 1;
            while at > 0 && order(largest, heap[(at - 1) / 2], heap[at]) == Ordering::Less {
                heap.swap(at, (at - 1) / 2);
                at = (at - 1) / 2;
            }
        } else if k > 0 && order(largest, element, heap[0]) == Ordering::Less {
            heap[0] = element;
            self.sink(largest);
        }
    }

    fn sink(&mut self, largest: bool) {
        let heap = &mut self.0;
        let mut at = 0;
        loop {
            let worst = [2 * at + 1, 2 * at + 2]
                .into_iter()
                .filter(|&child| child < heap.len())
                .max_by(|&a, &b| order(largest, heap[a], heap[b]));
            match worst {
                Some(child) if order(largest, heap[at], heap[child]) == Ordering::Less => {
                    heap.swap(at, child);
                    at = child;
                }
                _ => return,
            }
        }
    }
}

/// An instant result is ordered by value inside a group, groups one after the other. Over several steps rows keep
/// their order, and those never chosen go.
pub fn topk(
    context: &Arc<QueryContext>,
    frame: &Frame,
    selector: &Selector,
    counts: &Counts,
    largest: bool,
) -> Result<Frame> {
    if counts.largest() > 0 {
        note_ignored(context, frame, if largest { "topk" } else { "bottomk" });
    }
    let groups = Groups::new(&frame.table, selector);
    let steps = frame.steps;
    let mut cells = Cells::absent(context, frame.rows() * steps)?;
    let mut best = vec![Best::default(); steps];
    let mut chosen = Vec::new();
    for rows in groups.members().iter() {
        let held = steps.saturating_mul(counts.largest().min(rows.len()));
        let _charge = context.charge(0, held.saturating_mul(16))?;
        for &row in rows {
            context.check()?;
            let (kind, value) = frame.row(row as usize);
            for (step, (&kind, &value)) in kind.iter().zip(value).enumerate() {
                if kind == FLOAT {
                    best[step].offer(largest, counts.at(step), (value, row));
                }
            }
        }
        for (step, best) in best.iter_mut().enumerate() {
            if steps == 1 {
                best.0.sort_by(|&a, &b| order(largest, a, b));
            }
            for (value, row) in best.0.drain(..) {
                let (to_kind, to_value) = cells.row_mut(row as usize, steps);
                (to_kind[step], to_value[step]) = (FLOAT, value);
                chosen.push(row);
            }
        }
    }
    if steps > 1 {
        chosen.sort_unstable();
        chosen.dedup();
    }
    let all = Frame::new(context, Arc::clone(&frame.table), steps, cells.seal()?)?;
    Ok(pick_rows(context, &all, &chosen)?.in_order(steps == 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn the_heap_keeps_what_sorting_would(
            values in prop::collection::vec(prop_oneof![Just(f64::NAN), (-5..5_i32).prop_map(f64::from)], 0..40),
            k in 0_usize..10, largest: bool,
        ) {
            let mut sorted: Vec<_> = values.iter().copied().zip(0_u32..).collect();
            sorted.sort_by(|&a, &b| order(largest, a, b));
            sorted.truncate(k);
            let mut best = Best::default();
            for element in values.into_iter().zip(0..) {
                best.offer(largest, k, element);
            }
            best.0.sort_by(|&a, &b| order(largest, a, b));
            let rows = |elements: &[(f64, u32)]| elements.iter().map(|e| e.1).collect::<Vec<_>>();
            prop_assert_eq!(rows(&best.0), rows(&sorted));
        }
    }
}
