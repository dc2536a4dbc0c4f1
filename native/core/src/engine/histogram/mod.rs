//! `histogram_quantile` and `histogram_fraction`: of classic histograms, whose rows differ in `le` only, and of native
//! ones, each a cell.

mod classic;

use std::sync::Arc;

use hashbrown::HashMap;

use super::cells::{Cells, Element, FLOAT, HISTOGRAM};
use super::context::QueryContext;
use super::frame::{Frame, common_steps};
use super::labels::Interner;
use super::number::{g_value, g2_value};
use super::select::note_bad_quantile;
use crate::Result;
use crate::model::histogram::{Estimate, NanEffect};
use crate::model::{Histogram, SeriesTable, Symbols};
use classic::{Bucket, Repair};

/// Rows that belong together.
#[derive(Debug)]
struct Histograms {
    /// Labels, without `le` of classic ones.
    table: SeriesTable,
    /// What makes up each histogram.
    sources: Vec<Sources>,
}

#[derive(Debug, Default)]
struct Sources {
    /// (bound, row) of the buckets, by ascending bound.
    buckets: Vec<(f64, u32)>,
    /// The row with native histograms.
    native: Option<u32>,
}

/// One histogram at a step.
enum Input<'a> {
    Classic(&'a mut Vec<Bucket>),
    Native(&'a Histogram),
}

impl Histograms {
    fn new(context: &QueryContext, frame: &Frame) -> Self {
        let mut symbols = context.symbols();
        let le = symbols.intern("le");
        let mut interner = Interner::with_capacity(0);
        let mut sources: Vec<Sources> = Vec::new();
        let mut others = Vec::new();
        for (row, pairs) in frame.table.rows().enumerate() {
            let kinds = frame.row(row).0;
            if frame.has_histograms() && kinds.contains(&HISTOGRAM) {
                source(&mut interner, &mut sources, pairs).native = Some(row as u32);
            }
            if !kinds.contains(&FLOAT) {
                continue;
            }
            let text = symbols.get(frame.table.value(row, le));
            let Some(bound) = parse_bound(text) else {
                context.note_of(
                    "bad_bucket_label",
                    text,
                    metric(context, &symbols, &frame.table, row),
                );
                continue;
            };
            others.clear();
            others.extend(pairs.iter().copied().filter(|pair| pair.0 != le));
            source(&mut interner, &mut sources, &others)
                .buckets
                .push((bound, row as u32));
        }
        for sources in &mut sources {
            sources.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        Self {
            table: interner.table,
            sources,
        }
    }

    /// The value of `each` for every histogram at every step where there is one. Where a classic and a native one meet,
    /// both go.
    fn evaluate(
        self,
        context: &Arc<QueryContext>,
        frame: &Frame,
        steps: usize,
        mut each: impl FnMut(&str, usize, Input<'_>) -> f64,
    ) -> Result<Frame> {
        let mut cells = Cells::absent(context, self.table.len().saturating_mul(steps))?;
        let mut present = Vec::new();
        for (group, sources) in self.sources.iter().enumerate() {
            let name = metric(context, &context.symbols(), &self.table, group).to_owned();
            for step in 0..steps {
                context.check()?;
                present.clear();
                present.extend(sources.buckets.iter().filter_map(|&(bound, row)| {
                    frame
                        .float(row as usize, step)
                        .map(|count| Bucket { bound, count })
                }));
                let native = match sources.native.and_then(|row| frame.get(row as usize, step)) {
                    Some(Element::Histogram(histogram)) => Some(histogram),
                    _ => None,
                };
                let input = match (native, present.is_empty()) {
                    (None, true) => continue,
                    (None, false) => Input::Classic(&mut present),
                    (Some(histogram), true) => Input::Native(histogram),
                    (Some(_), false) => {
                        context.note_of("mixed_classic_native", "", &name);
                        continue;
                    }
                };
                cells.put(group * steps + step, Element::Float(each(&name, step, input)));
            }
        }
        Frame::new(context, self.table, steps, cells.seal()?)
    }
}

/// The sources under a label set.
fn source<'a>(
    interner: &mut Interner,
    sources: &'a mut Vec<Sources>,
    pairs: &[(u32, u32)],
) -> &'a mut Sources {
    let group = interner.number(pairs) as usize;
    if group == sources.len() {
        sources.push(Sources::default());
    }
    &mut sources[group]
}

/// The name that notes give, which is only known if names are dropped at the end.
fn metric<'a>(context: &QueryContext, symbols: &'a Symbols, table: &SeriesTable, row: usize) -> &'a str {
    if context.delays_names() {
        symbols.get(table.value(row, Symbols::NAME))
    } else {
        ""
    }
}

/// As Go reads a float.
fn parse_bound(text: &str) -> Option<f64> {
    text.parse().ok()
}

/// One row per histogram, without `le`.
pub fn histogram_quantile(context: &Arc<QueryContext>, phi: &Frame, frame: &Frame) -> Result<Frame> {
    phi.required_scalar()?;
    let steps = common_steps(&[phi, frame])?;
    for &phi in &phi.cells.value {
        note_bad_quantile(context, phi);
    }
    let mut repairs: HashMap<String, Repairs> = HashMap::new();
    let histograms = Histograms::new(context, frame);
    let result = histograms.evaluate(context, frame, steps, |name, step, input| match input {
        Input::Native(histogram) => noted(context, name, histogram.quantile(phi.at(step))),
        Input::Classic(buckets) => {
            let (value, repair) = classic::quantile(phi.at(step), buckets);
            if let Some(repair) = repair {
                add_repair(&mut repairs, name, repair, step);
            }
            value
        }
    })?;
    let mut repairs: Vec<_> = repairs.into_iter().collect();
    repairs.sort_by(|a, b| a.0.cmp(&b.0));
    for (name, repairs) in repairs {
        context.note_of("forced_monotonicity", repairs.detail(), &name);
    }
    Ok(result)
}

/// The part of observations in (lower, upper]; one row per histogram, without `le`.
pub fn histogram_fraction(
    context: &Arc<QueryContext>,
    lower: &Frame,
    upper: &Frame,
    frame: &Frame,
) -> Result<Frame> {
    lower.required_scalar()?;
    upper.required_scalar()?;
    let steps = common_steps(&[lower, upper, frame])?;
    let histograms = Histograms::new(context, frame);
    histograms.evaluate(context, frame, steps, |name, step, input| {
        let (lower, upper) = (lower.at(step), upper.at(step));
        match input {
            Input::Native(histogram) => noted(context, name, histogram.fraction(lower, upper)),
            Input::Classic(buckets) => classic::fraction(lower, upper, buckets),
        }
    })
}

/// The value of an estimate. What NaNs do to it is noted.
fn noted(context: &QueryContext, name: &str, Estimate { value, nan }: Estimate) -> f64 {
    let kind = match nan {
        NanEffect::None => return value,
        NanEffect::Result => "quantile_is_nan",
        NanEffect::Skew => "quantile_is_skewed",
        NanEffect::Excluded => "fraction_without_nan",
    };
    context.note_of(kind, "", name);
    value
}

/// All repairs of a call.
#[derive(Debug)]
struct Repairs {
    worst: Repair,
    samples: usize,
    first_step: usize,
    last_step: usize,
}

/// Adds to the repairs under a name.
fn add_repair(repairs: &mut HashMap<String, Repairs>, name: &str, repair: Repair, step: usize) {
    let Some(all) = repairs.get_mut(name) else {
        let first = Repairs {
            worst: repair,
            samples: 1,
            first_step: step,
            last_step: step,
        };
        repairs.insert(name.to_owned(), first);
        return;
    };
    all.samples += 1;
    all.first_step = all.first_step.min(step);
    all.last_step = all.last_step.max(step);
    all.worst.lowest = all.worst.lowest.min(repair.lowest);
    all.worst.highest = all.worst.highest.max(repair.highest);
    all.worst.largest_difference = all.worst.largest_difference.max(repair.largest_difference);
}

impl Repairs {
    fn detail(&self) -> String {
        let Self {
            worst:
                Repair {
                    lowest,
                    highest,
                    largest_difference,
                },
            samples,
            first_step,
            last_step,
        } = self;
        let (lowest, highest, difference) =
            (g_value(*lowest), g_value(*highest), g2_value(*largest_difference));
        format!("{lowest} {highest} {difference} {samples} {first_step} {last_step}")
    }
}
