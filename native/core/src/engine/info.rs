//! `info()`: labels of info metrics joined to the elements that carry the same `instance` and `job`.

use std::collections::HashSet;
use std::sync::Arc;

use hashbrown::HashMap;

use super::cells::{ABSENT, Cells, Element};
use super::context::QueryContext;
use super::frame::{Frame, common_steps};
use super::labels::{Interner, Pairs, same_labelset, text_of};
use crate::model::{Matcher, Symbols};
use crate::{Error, Result};

/// Which labels are joined, and to what.
#[derive(Debug)]
pub struct InfoJoin<'a> {
    /// What names an info metric: elements whose name all of these match pass as they are.
    pub names: Vec<&'a Matcher>,
    /// The labels to add; all if none are named.
    pub labels: Vec<String>,
    /// Whether an element without an info metric goes.
    pub drops_unmatched: bool,
}

/// `times`: a row per info series, in its cells the seconds of its sample.
pub fn info(context: &Arc<QueryContext>, base: &Frame, times: &Frame, join: &InfoJoin<'_>) -> Result<Frame> {
    let steps = common_steps(&[base, times])?;
    let (plan, ranks) = {
        let mut symbols = context.symbols();
        (Plan::new(&mut symbols, base, times, join), symbols.ranks())
    };
    let mut result = Joined {
        interner: Interner::with_capacity(0),
        cells: Cells::absent(context, 0)?,
        steps,
        scratch: Vec::new(),
        ranks,
    };
    let mut newest = vec![None; plan.groups.len()];
    for step in 0..steps {
        context.check()?;
        if (0..base.rows()).all(|row| !base.has(row, step)) {
            continue;
        }
        for (newest, group) in newest.iter_mut().zip(&plan.groups) {
            *newest = pick_newest(context, times, group, step)?;
        }
        for row in 0..base.rows() {
            let Some(element) = base.get(row, step) else {
                continue;
            };
            let own = base.table.row(row);
            let Some(groups) = &plan.of_row[row] else {
                result.put(own, &[], base.table.is_unnamed(row), step, element)?;
                continue;
            };
            let found: Vec<&Pairs> = groups
                .iter()
                .filter_map(|&group| newest[group as usize])
                .map(|info| times.table.row(info as usize))
                .collect();
            if found.is_empty() && join.drops_unmatched {
                continue;
            }
            let added = plan.added(context, own, &found)?;
            result.put(own, &added, base.table.is_unnamed(row), step, element)?;
        }
    }
    Frame::new(context, result.interner.table, steps, result.cells.seal()?)
}

/// The newest info series of a group at a step.
fn pick_newest(context: &QueryContext, times: &Frame, group: &[u32], step: usize) -> Result<Option<u32>> {
    let mut newest: Option<(f64, u32)> = None;
    for &row in group {
        let Some(time) = times.float(row as usize, step) else {
            continue;
        };
        match newest {
            Some((other, existing)) if other == time => {
                let symbols = context.symbols();
                let text = |row: u32| text_of(&symbols, times.table.row(row as usize));
                let at_ms = (time * 1e3).round();
                return Err(Error::Execution(format!(
                    "found duplicate series for info metric: existing {} @ {at_ms}, new {} @ {at_ms}",
                    text(existing),
                    text(row)
                )));
            }
            Some((other, _)) if other > time => {}
            _ => newest = Some((time, row)),
        }
    }
    Ok(newest.map(|(_, row)| row))
}

/// What can meet, whatever the step.
struct Plan {
    /// Info series of one name, instance and job.
    groups: Vec<Vec<u32>>,
    /// The groups that an element meets, by name; None for elements that pass as they are.
    of_row: Vec<Option<Vec<u32>>>,
    /// Names of the labels to add; all if empty.
    labels: Vec<u32>,
}

impl Plan {
    fn new(symbols: &mut Symbols, base: &Frame, times: &Frame, join: &InfoJoin<'_>) -> Self {
        let identifying = ["instance", "job"].map(|name| symbols.intern(name));
        let labels = join.labels.iter().map(|label| symbols.intern(label)).collect();
        let identity = |frame: &Frame, row: usize| identifying.map(|name| frame.table.value(row, name));
        let is_info: Vec<bool> = (0..base.rows())
            .map(|row| {
                let name = symbols.get(base.table.value(row, Symbols::NAME));
                join.names.iter().all(|matcher| matcher.matches(name))
            })
            .collect();
        // An info series counts if each identifying label that some element has is one of theirs.
        let mut known = [HashSet::new(), HashSet::new()];
        for row in (0..base.rows()).filter(|&row| !is_info[row]) {
            for (known, value) in known.iter_mut().zip(identity(base, row)) {
                if value != Symbols::EMPTY {
                    known.insert(value);
                }
            }
        }
        let counts = |identity: [u32; 2]| {
            known.iter().any(|known| !known.is_empty())
                && known
                    .iter()
                    .zip(identity)
                    .all(|(known, value)| known.is_empty() || known.contains(&value))
        };
        let mut groups: Vec<Vec<u32>> = Vec::new();
        let mut of_identity: HashMap<[u32; 2], Vec<(u32, u32)>> = HashMap::new();
        for row in 0..times.rows() {
            let identity = identity(times, row);
            if !counts(identity) {
                continue;
            }
            let name = times.table.value(row, Symbols::NAME);
            let named = of_identity.entry(identity).or_default();
            if let Some(&(_, group)) = named.iter().find(|(other, _)| *other == name) {
                groups[group as usize].push(row as u32);
            } else {
                named.push((name, groups.len() as u32));
                groups.push(vec![row as u32]);
            }
        }
        let of_row = (0..base.rows())
            .map(|row| {
                let named = of_identity.get(&identity(base, row));
                (!is_info[row]).then(|| named.into_iter().flatten().map(|&(_, group)| group).collect())
            })
            .collect();
        Self {
            groups,
            of_row,
            labels,
        }
    }

    /// The labels that the info series give to an element. Two that disagree are an error.
    fn added(&self, context: &QueryContext, own: &Pairs, infos: &[&Pairs]) -> Result<Vec<(u32, u32)>> {
        let mut added: Vec<(u32, u32)> = Vec::new();
        for &(name, value) in infos.iter().copied().flatten() {
            if name == Symbols::NAME || !(self.labels.is_empty() || self.labels.contains(&name)) {
                continue;
            }
            if own.iter().any(|pair| pair.0 == name) {
                continue;
            }
            match added.iter().find(|pair| pair.0 == name) {
                None => added.push((name, value)),
                Some(pair) if pair.1 == value => {}
                Some(_) => {
                    let symbols = context.symbols();
                    return Err(Error::Execution(format!(
                        "conflicting label: {}",
                        symbols.get(name)
                    )));
                }
            }
        }
        Ok(added)
    }
}

/// The result so far: a row per label set, in the order they came.
struct Joined {
    interner: Interner,
    cells: Cells,
    steps: usize,
    scratch: Vec<(u32, u32)>,
    /// The place of each string among all, by which labels are ordered.
    ranks: Vec<u32>,
}

impl Joined {
    fn put(
        &mut self,
        own: &Pairs,
        added: &Pairs,
        is_unnamed: bool,
        step: usize,
        element: Element<'_>,
    ) -> Result<()> {
        self.scratch.clear();
        self.scratch.extend_from_slice(own);
        if !added.is_empty() {
            self.scratch.extend_from_slice(added);
            self.scratch
                .sort_unstable_by_key(|pair| self.ranks[pair.0 as usize]);
        }
        let row = self.interner.number(&self.scratch) as usize;
        if is_unnamed {
            self.interner.table.mark_unnamed(row);
        }
        if self.interner.len() * self.steps > self.cells.kind.len() {
            self.cells.grow_to(self.interner.len() * self.steps)?;
        }
        let cell = row * self.steps + step;
        if self.cells.kind[cell] != ABSENT {
            return Err(same_labelset());
        }
        self.cells.put(cell, element);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{FLOAT, Limits};
    use crate::model::{MatchOp, SeriesTable};

    type Row<'a> = (&'a [(&'a str, &'a str)], f64);

    /// A frame of one step; labels must come in order.
    fn frame(context: &Arc<QueryContext>, rows: &[Row<'_>]) -> Frame {
        let mut table = SeriesTable::new();
        for (labels, _) in rows {
            let mut symbols = context.symbols();
            table.push(
                labels
                    .iter()
                    .map(|(name, value)| (symbols.intern(name), symbols.intern(value)))
                    .collect::<Vec<_>>(),
            );
        }
        let values = rows.iter().map(|(_, value)| *value).collect();
        let cells = Cells::of(context, vec![FLOAT; rows.len()], values).unwrap();
        Frame::new(context, table, 1, cells).unwrap()
    }

    fn joined(base: &[Row<'_>], infos: &[Row<'_>], drops_unmatched: bool) -> Result<Vec<String>> {
        let context = Arc::new(QueryContext::new(Limits::default()));
        let (base, times) = (frame(&context, base), frame(&context, infos));
        let name = Matcher::new("__name__", MatchOp::Regex, ".+_info").unwrap();
        let join = InfoJoin {
            names: vec![&name],
            labels: Vec::new(),
            drops_unmatched,
        };
        let result = info(&context, &base, &times, &join)?;
        let symbols = context.symbols();
        Ok(result.table.rows().map(|row| text_of(&symbols, row)).collect())
    }

    const BASE: Row<'_> = (&[("__name__", "m"), ("instance", "a"), ("job", "j")], 1.0);

    #[test]
    fn the_newest_info_series_gives_its_labels() {
        let old: Row<'_> = (
            &[
                ("__name__", "x_info"),
                ("instance", "a"),
                ("job", "j"),
                ("v", "1"),
            ],
            10.0,
        );
        let new: Row<'_> = (
            &[
                ("__name__", "x_info"),
                ("instance", "a"),
                ("job", "j"),
                ("v", "2"),
            ],
            20.0,
        );
        assert_eq!(
            joined(&[BASE], &[old, new], false).unwrap(),
            [r#"{__name__="m", instance="a", job="j", v="2"}"#]
        );
        let as_new: Row<'_> = (old.0, 20.0);
        let error = joined(&[BASE], &[as_new, new], false).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("found duplicate series for info metric")
        );
    }

    #[test]
    fn two_info_metrics_must_not_disagree() {
        let one: Row<'_> = (
            &[
                ("__name__", "x_info"),
                ("instance", "a"),
                ("job", "j"),
                ("v", "1"),
            ],
            10.0,
        );
        let other: Row<'_> = (
            &[
                ("__name__", "y_info"),
                ("instance", "a"),
                ("job", "j"),
                ("v", "2"),
            ],
            10.0,
        );
        let error = joined(&[BASE], &[one, other], false).unwrap_err();
        assert!(error.to_string().contains("conflicting label: v"));
    }

    #[test]
    fn elements_without_an_info_metric_stay_or_go_and_info_metrics_stay() {
        let elsewhere: Row<'_> = (
            &[
                ("__name__", "x_info"),
                ("instance", "b"),
                ("job", "j"),
                ("v", "1"),
            ],
            10.0,
        );
        assert_eq!(joined(&[BASE], &[elsewhere], false).unwrap().len(), 1);
        assert_eq!(joined(&[BASE], &[elsewhere], true).unwrap().len(), 0);
        assert_eq!(joined(&[elsewhere], &[elsewhere], true).unwrap().len(), 1);
    }
}
