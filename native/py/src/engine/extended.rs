//! What only experimental features of the language use: extended range selectors, `info` and sorting by labels.

use headrace_core::engine::{self, InfoJoin, RowPlan};
use headrace_core::kernel::{Edges, ExtendedRanges, Ranges};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::{Frame, GridTuple, Query, grid_of};
use crate::errors::{detached, to_py};
use crate::select::{Matcher, SeriesSet};

pub fn edges_of(name: &str) -> PyResult<Edges> {
    match name {
        "anchored" => Ok(Edges::Anchored),
        "smoothed" => Ok(Edges::Smoothed),
        _ => Err(PyValueError::new_err(format!(
            "edges are anchored or smoothed, not {name:?}"
        ))),
    }
}

#[pyfunction]
#[pyo3(signature = (query, series, grid, function, *, range_ms, offset_ms, lookback_ms, edges))]
#[expect(clippy::too_many_arguments, reason = "the shape of the door")]
fn select_extended(
    py: Python<'_>,
    query: &Query,
    series: &SeriesSet,
    grid: GridTuple,
    function: &str,
    range_ms: i64,
    offset_ms: i64,
    lookback_ms: i64,
    edges: &str,
) -> PyResult<Frame> {
    let edges = edges_of(edges)?;
    let extended = ExtendedRanges {
        ranges: Ranges {
            grid: grid_of(grid)?,
            range: range_ms,
            offset: offset_ms,
        },
        edges,
        lookback: lookback_ms,
    };
    let plan = RowPlan::extended(function, extended).map_err(to_py)?;
    Ok(detached(py, || engine::select(&query.context, &series.inner, &plan))?.into())
}

#[pyfunction]
#[pyo3(signature = (query, series, grid, *, offset_ms, lookback_ms))]
fn select_smoothed(
    py: Python<'_>,
    query: &Query,
    series: &SeriesSet,
    grid: GridTuple,
    offset_ms: i64,
    lookback_ms: i64,
) -> PyResult<Frame> {
    let plan = RowPlan::Smoothed(ExtendedRanges {
        ranges: Ranges {
            grid: grid_of(grid)?,
            range: 0,
            offset: offset_ms,
        },
        edges: Edges::Smoothed,
        lookback: lookback_ms,
    });
    Ok(detached(py, || engine::select(&query.context, &series.inner, &plan))?.into())
}

#[pyfunction]
#[pyo3(signature = (query, frame, labels, *, descending))]
fn sort_by_label(
    py: Python<'_>,
    query: &Query,
    frame: &Frame,
    labels: Vec<String>,
    descending: bool,
) -> PyResult<Frame> {
    let inner = detached(py, || {
        engine::sort_by_label(&query.context, &frame.inner, &labels, descending)
    })?;
    Ok(Frame { inner })
}

#[pyfunction]
#[pyo3(signature = (query, frame, times, *, names, labels, drops_unmatched))]
fn info(
    py: Python<'_>,
    query: &Query,
    frame: &Frame,
    times: &Frame,
    names: Vec<Bound<'_, Matcher>>,
    labels: Vec<String>,
    drops_unmatched: bool,
) -> PyResult<Frame> {
    let join = InfoJoin {
        names: names.iter().map(|matcher| &matcher.get().0).collect(),
        labels,
        drops_unmatched,
    };
    let joined = detached(py, || {
        engine::info(&query.context, &frame.inner, &times.inner, &join)
    })?;
    Ok(joined.into())
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(select_extended, module)?)?;
    module.add_function(wrap_pyfunction!(select_smoothed, module)?)?;
    module.add_function(wrap_pyfunction!(info, module)?)?;
    module.add_function(wrap_pyfunction!(sort_by_label, module)?)
}
