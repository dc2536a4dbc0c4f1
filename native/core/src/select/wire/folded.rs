//! Partial results of aggregations.

use std::sync::Arc;

use super::Outgoing;
use super::envelope::{Kind, open, seal};
use super::labels::{Strings, TableCounts, Texts, take_table};
use crate::Result;
use crate::codec::bytes::{Input, put_varint};
use crate::engine::{Charge, Folded, FoldedCounts};

impl Folded {
    /// The partial result as bytes for another process.
    pub fn encode(self) -> Result<Outgoing> {
        let mut strings = Strings::default();
        let (mut counts, mut groups, mut names, mut state) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        self.put_counts(&mut counts);
        TableCounts::of(self.groups()).put(&mut counts);
        strings.put_table(self.groups(), &mut groups);
        for id in self.names().iter().flat_map(|&(name, kind)| [name, kind]) {
            put_varint(&mut names, strings.number(id).into());
        }
        self.put_state(&mut state);
        let texts = strings.put(&self.context().symbols());
        let bytes = seal(Kind::Folded, [&counts[..], &texts, &groups, &names, &state]);
        Outgoing::new(bytes, self.into_charge())
    }
}

/// What [`Folded::encode`] wrote elsewhere, with ids of the query that pays.
pub fn decode(bytes: &[u8], mut charge: Charge) -> Result<Folded> {
    let [counts, texts, groups, names, state] = open(Kind::Folded, bytes)?.map(|range| &bytes[range]);
    let context = Arc::clone(charge.context());
    let mut input = Input::new(counts);
    let counts = FoldedCounts::take(&mut input)?;
    let labels = TableCounts::take(&mut input, groups.len())?;
    input.end("the counts")?;
    charge.grow(0, labels.bytes() + counts.bytes(labels.rows))?;
    let texts = Texts::take(texts, &mut charge)?;
    let ids = texts.intern(&mut context.symbols());
    let mut input = Input::new(groups);
    let table = take_table(&mut input, labels, &texts, &ids)?;
    input.end("the groups")?;
    let mut input = Input::new(names);
    let mut noted = Vec::new();
    while input.remaining() > 0 {
        let name = ids[texts.number(&mut input)?];
        noted.push((name, ids[texts.number(&mut input)?]));
    }
    let mut input = Input::new(state);
    let folded = counts.folded(table, noted, &mut input, charge)?;
    input.end("the state")?;
    Ok(folded)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::super::Incoming;
    use crate::engine::{
        FLOAT, Fold, FoldOp, Frame, Grid, Limits, QueryContext, RowPlan, Selector, aggregate_select,
        series_from_samples,
    };
    use crate::kernel::Ranges;
    use crate::model::{Millis, SampleBuf};
    use crate::select::{Apart, ApartRows, SeriesSet};

    const RANGE: Millis = 300;
    const STEPS: usize = 4;

    /// What the rows of one source hold: a value each, repeated at all times with a slope.
    type Source = Vec<(u8, f64)>;

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            (-6400..6400_i32).prop_map(|k| f64::from(k) / 64.0),
            any::<f64>(),
            prop_oneof![
                Just(1e100),
                Just(-1e100),
                Just(f64::MAX),
                Just(f64::NAN),
                Just(f64::INFINITY)
            ],
        ]
    }

    fn source() -> impl Strategy<Value = Source> {
        (prop::collection::vec((0..7_u8, value()), 0..40), 0..80_usize).prop_map(|(rows, times)| {
            let again = rows.iter().cycle().take(rows.len() * times.max(1)).copied();
            again.collect()
        })
    }

    fn series(context: &QueryContext, number: usize, source: &Source) -> SeriesSet {
        let given = source.iter().enumerate().map(|(row, &(job, value))| {
            let mut samples = SampleBuf::default();
            for at in 0..8 {
                // Rows begin and end at different steps.
                if (row + at) % 9 != 0 && at < 3 + row % 7 {
                    samples.push_float(at as Millis * 100, value + at as f64 * 0.1);
                }
            }
            let labels = [
                ("__name__", "x".to_owned()),
                ("job", job.to_string()),
                ("row", format!("{number}/{row}")),
            ];
            (
                labels.map(|(name, value)| (name.to_owned(), value)).to_vec(),
                samples,
            )
        });
        series_from_samples(context, given.collect()).unwrap()
    }

    fn context() -> Arc<QueryContext> {
        Arc::new(QueryContext::new(Limits::default()))
    }

    fn plan(function: &str) -> RowPlan {
        let grid = Grid::new(300, 150, STEPS).unwrap();
        let ranges = Ranges {
            grid,
            range: RANGE,
            offset: 0,
        };
        RowPlan::range(function, ranges, &[]).unwrap()
    }

    fn selector(context: &QueryContext) -> Selector {
        Selector::only(context, &["job".to_owned()])
    }

    /// Bits of all cells, NaNs alike, by the text of the labels.
    fn shown(context: &QueryContext, frame: &Frame) -> Vec<(Vec<String>, Vec<Option<u64>>)> {
        let symbols = context.symbols();
        let row = |row: usize| {
            let pairs = frame.table.row(row).iter();
            let labels = pairs.map(|&(name, value)| format!("{}={}", symbols.get(name), symbols.get(value)));
            let (kind, value) = frame.row(row);
            let cells = kind
                .iter()
                .zip(value)
                .map(|(&kind, value)| (kind == FLOAT).then_some(value.to_bits()));
            (labels.collect(), cells.collect())
        };
        (0..frame.rows()).map(row).collect()
    }

    /// What another process makes of a source at the steps from `first` on, as it comes here.
    fn sent(
        here: &Arc<QueryContext>,
        number: usize,
        source: &Source,
        function: &str,
        op: FoldOp,
        first: usize,
    ) -> Option<ApartRows> {
        let there = context();
        let fold = Fold {
            plan: plan(function),
            op,
            selector: selector(&there),
        };
        let set = series(&there, number, source);
        let late = fold.part(&(first..STEPS));
        let folded = late
            .folded(&there, &set.table, &*set.source, usize::MAX)
            .unwrap()?;
        let bytes = folded.encode().unwrap().bytes;
        let mut incoming = Incoming::new(here, bytes.len()).unwrap();
        incoming.add(&bytes).unwrap();
        Some(ApartRows::Folded(Arc::new(incoming.folded().unwrap())))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(120))]

        #[test]
        fn whoever_folds_it_is_the_same_to_the_last_bit(
            at_hand in source(),
            sources in prop::collection::vec((source(), any::<bool>(), 0..=STEPS), 0..5),
            function in prop::sample::select(vec!["rate", "sum_over_time", "avg_over_time", "last_over_time"]),
            op in prop::sample::select(FoldOp::ALL.to_vec()),
        ) {
            let here = context();
            let mut apart = (Vec::new(), Vec::new());
            for (number, &(ref source, is_sent, first)) in sources.iter().enumerate() {
                let SeriesSet { table, source: samples, .. } = series(&here, number + 1, source);
                let rows = ApartRows::Read { table, source: samples };
                let early = Apart { steps: 0..first, rows: rows.clone() };
                let late = Apart { steps: first..usize::MAX, rows };
                apart.0.extend([early.clone(), late.clone()]);
                let sent = (is_sent && first < STEPS)
                    .then(|| sent(&here, number + 1, source, function, op, first))
                    .flatten();
                let rows = sent.unwrap_or(late.rows);
                apart.1.extend([early, Apart { steps: late.steps, rows }]);
            }
            let mut set = series(&here, 0, &at_hand);
            let plan = plan(function);
            let selector = selector(&here);
            set.apart = apart.0;
            let without = aggregate_select(&here, &set, &plan, op, &selector).unwrap();
            let noted = here.take_notes();
            set.apart = apart.1;
            let with = aggregate_select(&here, &set, &plan, op, &selector).unwrap();
            prop_assert_eq!(shown(&here, &with), shown(&here, &without));
            prop_assert_eq!(here.take_notes(), noted);
        }
    }

    #[test]
    fn a_part_of_another_aggregation_is_refused() {
        let here = context();
        let mut set = series(&here, 0, &Vec::new());
        let rows = sent(&here, 1, &vec![(1, 2.0)], "rate", FoldOp::Sum, 1).unwrap();
        let mut refused = |op, first| {
            let (steps, rows) = (first..usize::MAX, rows.clone());
            set.apart = vec![Apart { steps, rows }];
            let refused = aggregate_select(&here, &set, &plan("rate"), op, &selector(&here));
            refused.err().map(|error| error.to_string())
        };
        assert_eq!(refused(FoldOp::Sum, 1), None);
        for (op, first) in [(FoldOp::Min, 1), (FoldOp::Sum, 2)] {
            let said = refused(op, first).unwrap();
            assert!(
                said.contains("a partial result of sum at 3 steps is none of"),
                "{said}"
            );
        }
        assert!(crate::engine::select(&here, &set, &plan("rate")).is_err());
    }

    #[test]
    fn what_is_larger_than_its_series_is_not_folded() {
        let context = context();
        let set = series(&context, 0, &vec![(1, 2.0), (2, 3.0)]);
        let fold = Fold {
            plan: plan("rate"),
            op: FoldOp::Sum,
            selector: selector(&context),
        };
        let part = |most| fold.folded(&context, &set.table, &*set.source, most).unwrap();
        assert!(part(100).is_none());
        assert_eq!(part(10_000).unwrap().rows(), 2);
    }
}
