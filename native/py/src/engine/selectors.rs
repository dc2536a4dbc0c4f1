use std::collections::BTreeMap;
use std::sync::Arc;

use headrace_core::Error;
use headrace_core::engine::{self, FoldOp, RowPlan, Selector};
use headrace_core::kernel::{Instant, Ranges, Shown};
use headrace_core::model::SampleBuf;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::histogram::Value;
use super::{Frame, GridTuple, Query, grid_of};
use crate::errors::{detached, to_py};
use crate::select::SeriesSet;

fn instant(grid: GridTuple, offset_ms: i64, lookback_ms: i64, shows: &str) -> PyResult<RowPlan> {
    let grid = grid_of(grid)?;
    let shows = match shows {
        "value" => Shown::Value,
        "time" => Shown::Time,
        "time_of_float" => Shown::TimeOfFloat,
        "start" => Shown::Start,
        _ => return Err(PyValueError::new_err(format!("a sample cannot show {shows:?}"))),
    };
    Ok(RowPlan::Instant(Instant {
        grid,
        offset: offset_ms,
        lookback: lookback_ms,
        shows,
    }))
}

fn range(
    grid: GridTuple,
    function: &str,
    range_ms: i64,
    offset_ms: i64,
    params: &[Bound<'_, Frame>],
) -> PyResult<RowPlan> {
    let ranges = Ranges {
        grid: grid_of(grid)?,
        range: range_ms,
        offset: offset_ms,
    };
    let params: Vec<&engine::Frame> = params.iter().map(|param| &*param.get().inner).collect();
    RowPlan::range(function, ranges, &params).map_err(to_py)
}

#[pyfunction]
#[pyo3(signature = (query, series, grid, *, offset_ms, lookback_ms, shows="value"))]
fn select_instant(
    py: Python<'_>,
    query: &Query,
    series: &SeriesSet,
    grid: GridTuple,
    offset_ms: i64,
    lookback_ms: i64,
    shows: &str,
) -> PyResult<Frame> {
    let plan = instant(grid, offset_ms, lookback_ms, shows)?;
    Ok(detached(py, || engine::select(&query.context, &series.inner, &plan))?.into())
}

#[pyfunction]
#[pyo3(signature = (query, series, grid, function, *, range_ms, offset_ms, params=Vec::new()))]
#[expect(clippy::too_many_arguments, reason = "the shape of the door")]
fn select_range(
    py: Python<'_>,
    query: &Query,
    series: &SeriesSet,
    grid: GridTuple,
    function: &str,
    range_ms: i64,
    offset_ms: i64,
    params: Vec<Bound<'_, Frame>>,
) -> PyResult<Frame> {
    let plan = range(grid, function, range_ms, offset_ms, &params)?;
    Ok(detached(py, || engine::select(&query.context, &series.inner, &plan))?.into())
}

/// An aggregation over a function of windows, or over the newest samples.
#[pyclass(frozen, module = "shared._native")]
#[derive(Debug)]
pub struct Fold(pub Arc<engine::Fold>);

#[pymethods]
impl Fold {
    #[new]
    #[pyo3(signature = (query, grid, function, *, range_ms, offset_ms, op, without, labels))]
    #[expect(clippy::too_many_arguments, reason = "the shape of the door")]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "that is how PyO3 hands collections over"
    )]
    fn new(
        query: &Query,
        grid: GridTuple,
        function: Option<&str>,
        range_ms: i64,
        offset_ms: i64,
        op: &str,
        without: bool,
        labels: Vec<String>,
    ) -> PyResult<Self> {
        let plan = match function {
            Some(function) => range(grid, function, range_ms, offset_ms, &[])?,
            None => instant(grid, offset_ms, range_ms, "value")?,
        };
        Ok(Self(Arc::new(engine::Fold {
            plan,
            op: FoldOp::required(op).map_err(to_py)?,
            selector: Selector::of_grouping(&query.context, without, &labels),
        })))
    }
}

fn aggregate(
    py: Python<'_>,
    query: &Query,
    series: &SeriesSet,
    plan: &RowPlan,
    op: &str,
    without: bool,
    labels: &[String],
) -> PyResult<Frame> {
    let frame = detached(py, || {
        let selector = Selector::of_grouping(&query.context, without, labels);
        if matches!(op, "stddev" | "stdvar") {
            return engine::variance_select(&query.context, &series.inner, plan, &selector, op == "stddev");
        }
        engine::aggregate_select(
            &query.context,
            &series.inner,
            plan,
            FoldOp::required(op)?,
            &selector,
        )
    })?;
    Ok(frame.into())
}

#[pyfunction]
#[pyo3(signature = (query, series, grid, *, offset_ms, lookback_ms, op, without, labels))]
#[expect(clippy::too_many_arguments, reason = "the shape of the door")]
fn aggregate_instant(
    py: Python<'_>,
    query: &Query,
    series: &SeriesSet,
    grid: GridTuple,
    offset_ms: i64,
    lookback_ms: i64,
    op: &str,
    without: bool,
    labels: Vec<String>,
) -> PyResult<Frame> {
    aggregate(
        py,
        query,
        series,
        &instant(grid, offset_ms, lookback_ms, "value")?,
        op,
        without,
        &labels,
    )
}

#[pyfunction]
#[pyo3(signature = (query, series, grid, function, *, range_ms, offset_ms, params=Vec::new(), op, without, labels))]
#[expect(clippy::too_many_arguments, reason = "the shape of the door")]
fn aggregate_range(
    py: Python<'_>,
    query: &Query,
    series: &SeriesSet,
    grid: GridTuple,
    function: &str,
    range_ms: i64,
    offset_ms: i64,
    params: Vec<Bound<'_, Frame>>,
    op: &str,
    without: bool,
    labels: Vec<String>,
) -> PyResult<Frame> {
    let plan = range(grid, function, range_ms, offset_ms, &params)?;
    aggregate(py, query, series, &plan, op, without, &labels)
}

#[pyfunction]
#[expect(unused_variables, reason = "every operator is given the query it belongs to")]
fn as_series(query: &Query, frame: &Frame, grid: GridTuple) -> PyResult<SeriesSet> {
    let inner = engine::frame_as_series(&frame.inner, grid_of(grid)?).map_err(to_py)?;
    Ok(SeriesSet { inner })
}

#[pyfunction]
fn histogram_statistics(series: &SeriesSet) -> SeriesSet {
    SeriesSet {
        inner: engine::histogram_statistics(&series.inner),
    }
}

/// Labels, times and values of one series.
type GivenSeries = (BTreeMap<String, String>, Vec<i64>, Vec<Value>);

#[pyfunction]
#[pyo3(signature = (query, series, starts=Vec::new()))]
fn series_from_samples(
    query: &Query,
    series: Vec<GivenSeries>,
    mut starts: Vec<Vec<i64>>,
) -> PyResult<SeriesSet> {
    if starts.is_empty() {
        starts.resize(series.len(), Vec::new());
    }
    if starts.len() != series.len() {
        return Err(to_py(Error::BadData("each series has its start times".into())));
    }
    let given = series
        .into_iter()
        .zip(starts)
        .map(|((labels, times, values), starts)| {
            if times.len() != values.len() || !(starts.is_empty() || starts.len() == times.len()) {
                let (times, values, starts) = (times.len(), values.len(), starts.len());
                return Err(to_py(Error::BadData(format!(
                    "{times} times do not match {values} values or {starts} start times"
                ))));
            }
            let mut samples = SampleBuf::default();
            for (index, (time, value)) in times.into_iter().zip(values).enumerate() {
                match value {
                    Value::Float(value) => samples.push_float(time, value),
                    Value::Histogram(histogram) => {
                        samples.push_histogram(time, Arc::clone(&histogram.get().inner));
                    }
                }
                samples.set_start(starts.get(index).copied().unwrap_or(0));
            }
            Ok((labels.into_iter().collect(), samples))
        })
        .collect::<PyResult<_>>()?;
    let inner = engine::series_from_samples(&query.context, given).map_err(to_py)?;
    Ok(SeriesSet { inner })
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Fold>()?;
    module.add_function(wrap_pyfunction!(select_instant, module)?)?;
    module.add_function(wrap_pyfunction!(select_range, module)?)?;
    module.add_function(wrap_pyfunction!(aggregate_instant, module)?)?;
    module.add_function(wrap_pyfunction!(aggregate_range, module)?)?;
    module.add_function(wrap_pyfunction!(as_series, module)?)?;
    module.add_function(wrap_pyfunction!(histogram_statistics, module)?)?;
    module.add_function(wrap_pyfunction!(series_from_samples, module)?)
}
