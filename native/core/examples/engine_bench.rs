//! Times the hot paths of the engine: `cargo run --release -p headrace-core --example engine_bench`, best under `taskset -c 0`.

use std::hint::black_box;
use std::sync::Arc;

use headrace_core::engine::{
    self, BinaryOp, Cardinality, FoldOp, Frame, Grid, Limits, Matching, QueryContext, RowPlan, Selector,
    json, number,
};
use headrace_core::kernel::{Instant, Ranges, Shown};
use headrace_core::model::{Millis, SampleReader, SampleSource, Samples, SeriesTable};
use headrace_core::select::SeriesSet;

const SERIES: usize = 28_800;
const SAMPLES: usize = 240;
const INTERVAL: Millis = 15_000;

/// Counters that share their timestamps, as the series of one scrape do. Reading costs nothing.
#[derive(Debug)]
struct Counters {
    rows: usize,
    times: Vec<Millis>,
    values: Vec<Vec<f64>>,
}

impl Counters {
    fn new(rows: usize) -> Self {
        let times = (0..SAMPLES as i64).map(|i| i * INTERVAL).collect();
        let slope = |row: usize| (row % 97) as f64 + 0.25;
        let values = (0..512)
            .map(|row| (0..SAMPLES).map(|i| (i as f64 * slope(row)).floor()).collect())
            .collect();
        Self { rows, times, values }
    }
}

impl SampleSource for Counters {
    fn rows(&self) -> usize {
        self.rows
    }

    fn reader(&self) -> Box<dyn SampleReader + '_> {
        Box::new(CountersReader(self))
    }
}

struct CountersReader<'a>(&'a Counters);

impl SampleReader for CountersReader<'_> {
    fn read(&mut self, row: usize, _min: Millis, _max: Millis) -> headrace_core::Result<Samples<'_>> {
        let Counters { times, values, .. } = self.0;
        Ok(Samples::floats(times, &values[row % values.len()], 1))
    }
}

/// `name{instance, job, le}` rows.
fn table(context: &QueryContext, name: &str, rows: usize) -> SeriesTable {
    let mut symbols = context.symbols();
    let [metric, instance, job, le] = [name, "instance", "job", "le"].map(|text| symbols.intern(text));
    let mut table = SeriesTable::with_capacity(rows, rows * 4);
    for row in 0..rows {
        let [i, j, l] = [
            format!("host-{}", row / 12),
            format!("job-{}", row / 2880),
            format!("{}", row % 12),
        ]
        .map(|text| symbols.intern(&text));
        table.push([(1, metric), (instance, i), (job, j), (le, l)]);
    }
    table
}

/// Time on a processor of the main thread, in ns: on a busy machine the wall clock tells more about the others. Run under
/// `taskset -c 0` to keep all work on this thread.
fn busy_ns() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ')
        .next()
        .and_then(|ns| ns.parse().ok())
        .unwrap_or(0.0)
}

fn best(name: &str, per: f64, unit: &str, mut run: impl FnMut()) {
    let mut best = f64::INFINITY;
    for _ in 0..7 {
        let start = busy_ns();
        run();
        best = best.min(busy_ns() - start);
    }
    println!("{name:<44} {:>9.2} ms  {:>7.2} ns/{unit}", best / 1e6, best / per);
}

fn main() -> headrace_core::Result<()> {
    let limits = Limits {
        samples: u64::MAX,
        series: u64::MAX,
        bytes: u64::MAX,
    };
    let context = Arc::new(QueryContext::new(limits));
    let series = SeriesSet::new(
        table(&context, "x_bucket", SERIES),
        Arc::new(Counters::new(SERIES)),
    );
    let grid = Grid::new(300_000, 60_000, 55)?;
    let ranges = Ranges {
        grid,
        range: 300_000,
        offset: 0,
    };
    let samples = (SERIES * SAMPLES) as f64;
    let selector = Selector::only(&context, &["job".into(), "le".into()]);
    for function in ["rate", "sum_over_time", "max_over_time", "avg_over_time"] {
        let plan = RowPlan::range(function, ranges, &[])?;
        best(
            &format!("sum by (job, le) ({function}(x[5m]))"),
            samples,
            "sample",
            || {
                let _ = black_box(engine::aggregate_select(
                    &context,
                    &series,
                    &plan,
                    FoldOp::Sum,
                    &selector,
                ));
            },
        );
    }
    let plan = RowPlan::Instant(Instant {
        grid,
        offset: 0,
        lookback: 300_000,
        shows: Shown::Value,
    });
    best(
        "sum by (job, le) (x)",
        (SERIES * grid.steps) as f64,
        "cell",
        || {
            let _ = black_box(engine::aggregate_select(
                &context,
                &series,
                &plan,
                FoldOp::Sum,
                &selector,
            ));
        },
    );

    let plan = RowPlan::range("rate", ranges, &[])?;
    best(
        "rate(x[5m]) as rows",
        (SERIES * grid.steps) as f64,
        "cell",
        || {
            let _ = black_box(engine::select(&context, &series, &plan));
        },
    );
    for (name, plan) in [
        ("JSON of rates (17 digits)", plan),
        (
            "JSON of counters",
            RowPlan::Instant(Instant {
                grid,
                offset: 0,
                lookback: 300_000,
                shows: Shown::Value,
            }),
        ),
    ] {
        let rows = engine::select(&context, &series, &plan)?;
        best(name, (SERIES * grid.steps) as f64, "point", || {
            let _ = black_box(json::matrix(&context, &rows, grid, 0));
        });
    }
    for (name, values) in [
        (
            "format integers",
            (0..1_000_000).map(f64::from).collect::<Vec<_>>(),
        ),
        (
            "format two decimals",
            (0..1_000_000).map(|i| f64::from(i) / 100.0).collect(),
        ),
        (
            "format 17 digits",
            (1..1_000_001).map(|i| 1.0 / f64::from(i)).collect(),
        ),
    ] {
        let mut out = Vec::with_capacity(32 << 20);
        best(name, values.len() as f64, "value", || {
            out.clear();
            for &value in &values {
                number::write_value(value, &mut out);
            }
            black_box(&out);
        });
    }

    let rows = 100_000;
    let instant = Grid::new(3_600_000, 0, 1)?;
    let side = |name: &str| -> headrace_core::Result<Frame> {
        let series = SeriesSet::new(table(&context, name, rows), Arc::new(Counters::new(rows)));
        let plan = RowPlan::Instant(Instant {
            grid: instant,
            offset: 0,
            lookback: 300_000,
            shows: Shown::Value,
        });
        engine::select(&context, &series, &plan)
    };
    let (left, right) = (side("a")?, side("b")?);
    let matching = Matching {
        cardinality: Cardinality::OneToOne,
        on: false,
        labels: Vec::new(),
        include: Vec::new(),
        return_bool: false,
        fill_many: None,
        fill_one: None,
    };
    best(
        "join of 100,000 with 100,000, one step",
        rows as f64,
        "row",
        || {
            let _ = black_box(engine::binary(&context, BinaryOp::Div, &left, &right, &matching));
        },
    );
    Ok(())
}
