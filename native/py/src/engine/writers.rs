use headrace_core::engine::{json, number};
use headrace_core::kernel::Pinned;
use headrace_core::model::Millis;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use super::extended::edges_of;
use super::{Frame, GridTuple, Query, grid_of};
use crate::errors::{detached, to_py};
use crate::select::SeriesSet;

type Written<'py> = (Bound<'py, PyBytes>, bool);

#[pyfunction]
fn json_vector<'py>(
    py: Python<'py>,
    query: &Query,
    frame: &Frame,
    grid: GridTuple,
    limit: usize,
) -> PyResult<Written<'py>> {
    let grid = grid_of(grid)?;
    let (text, cut) = detached(py, || json::vector(&query.context, &frame.inner, grid, limit))?;
    Ok((PyBytes::new(py, &text), cut))
}

#[pyfunction]
fn json_matrix<'py>(
    py: Python<'py>,
    query: &Query,
    frame: &Frame,
    grid: GridTuple,
    limit: usize,
) -> PyResult<Written<'py>> {
    let grid = grid_of(grid)?;
    let (text, cut) = detached(py, || json::matrix(&query.context, &frame.inner, grid, limit))?;
    Ok((PyBytes::new(py, &text), cut))
}

#[pyfunction]
fn json_samples<'py>(
    py: Python<'py>,
    query: &Query,
    series: &SeriesSet,
    min_time: Millis,
    max_time: Millis,
    limit: usize,
) -> PyResult<Written<'py>> {
    let bounds = (min_time, max_time);
    let (text, cut) = detached(py, || json::samples(&query.context, &series.inner, bounds, limit))?;
    Ok((PyBytes::new(py, &text), cut))
}

#[expect(
    clippy::too_many_arguments,
    reason = "a window, how it is read, and what of it is shown"
)]
#[pyfunction]
#[pyo3(signature = (query, series, start, end, limit, *, edges, lookback_ms))]
fn json_pinned_samples<'py>(
    py: Python<'py>,
    query: &Query,
    series: &SeriesSet,
    start: Millis,
    end: Millis,
    limit: usize,
    edges: &str,
    lookback_ms: Millis,
) -> PyResult<Written<'py>> {
    let pinned = Pinned {
        start,
        end,
        edges: edges_of(edges)?,
        lookback: lookback_ms,
    };
    let (text, cut) = detached(py, || {
        json::pinned_samples(&query.context, &series.inner, pinned, limit)
    })?;
    Ok((PyBytes::new(py, &text), cut))
}

#[pyfunction]
fn json_scalar<'py>(py: Python<'py>, frame: &Frame, time_ms: Millis) -> PyResult<Bound<'py, PyBytes>> {
    let value = frame.inner.as_number().map_err(to_py)?;
    Ok(PyBytes::new(py, &json::scalar(value, time_ms)))
}

#[pyfunction]
fn json_exemplars(py: Python<'_>, parts: Vec<PyBackedBytes>) -> PyResult<Bound<'_, PyBytes>> {
    let text = detached(py, || {
        let parts: Vec<&[u8]> = parts.iter().map(|part| &**part).collect();
        headrace_core::engine::exemplars(&parts)
    })?;
    Ok(PyBytes::new(py, &text))
}

#[pyfunction]
fn json_string<'py>(py: Python<'py>, text: &str, time_ms: Millis) -> Bound<'py, PyBytes> {
    PyBytes::new(py, &json::string(text, time_ms))
}

#[pyfunction]
fn format_float(value: f64) -> String {
    number::api_value(value)
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(json_vector, module)?)?;
    module.add_function(wrap_pyfunction!(json_matrix, module)?)?;
    module.add_function(wrap_pyfunction!(json_samples, module)?)?;
    module.add_function(wrap_pyfunction!(json_pinned_samples, module)?)?;
    module.add_function(wrap_pyfunction!(json_scalar, module)?)?;
    module.add_function(wrap_pyfunction!(json_exemplars, module)?)?;
    module.add_function(wrap_pyfunction!(json_string, module)?)?;
    module.add_function(wrap_pyfunction!(format_float, module)?)
}
