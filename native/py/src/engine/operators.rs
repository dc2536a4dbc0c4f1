use headrace_core::engine::{self, Aggregation, BinaryOp, Cardinality, Matching, SetOp};
use pyo3::prelude::*;

use super::{Frame, GridTuple, Query, grid_of};
use crate::errors::{detached, to_py};

#[pyfunction]
#[pyo3(signature = (query, function, frame, params=Vec::new(), *, grid))]
fn apply_function(
    py: Python<'_>,
    query: &Query,
    function: &str,
    frame: &Frame,
    params: Vec<Bound<'_, Frame>>,
    grid: GridTuple,
) -> PyResult<Frame> {
    let grid = grid_of(grid)?;
    let params: Vec<&engine::Frame> = params.iter().map(|param| &*param.get().inner).collect();
    Ok(detached(py, || {
        engine::apply(&query.context, function, &frame.inner, &params, grid)
    })?
    .into())
}

#[pyfunction]
fn binary_scalars(op: &str, left: &Frame, right: &Frame) -> PyResult<Frame> {
    let frame = BinaryOp::named(op).and_then(|op| engine::scalars(op, &left.inner, &right.inner));
    Ok(frame.map_err(to_py)?.into())
}

#[pyfunction]
#[pyo3(signature = (query, op, frame, scalar, *, scalar_left, return_bool))]
fn binary_scalar(
    py: Python<'_>,
    query: &Query,
    op: &str,
    frame: &Frame,
    scalar: &Frame,
    scalar_left: bool,
    return_bool: bool,
) -> PyResult<Frame> {
    let frame = detached(py, || {
        let op = BinaryOp::named(op)?;
        engine::with_scalar(
            &query.context,
            op,
            &frame.inner,
            &scalar.inner,
            scalar_left,
            return_bool,
        )
    })?;
    Ok(frame.into())
}

#[pyfunction]
#[pyo3(signature = (
    query, op, left, right, *, card, on, labels, include, return_bool, fill_left=None, fill_right=None
))]
#[expect(clippy::too_many_arguments, reason = "the shape of the door")]
fn binary(
    py: Python<'_>,
    query: &Query,
    op: &str,
    left: &Frame,
    right: &Frame,
    card: &str,
    on: bool,
    labels: Vec<String>,
    include: Vec<String>,
    return_bool: bool,
    fill_left: Option<f64>,
    fill_right: Option<f64>,
) -> PyResult<Frame> {
    let frame = detached(py, || {
        let matching = Matching {
            cardinality: Cardinality::named(card)?,
            on,
            labels,
            include,
            return_bool,
            fill_many: fill_left,
            fill_one: fill_right,
        };
        engine::binary(
            &query.context,
            BinaryOp::named(op)?,
            &left.inner,
            &right.inner,
            &matching,
        )
    })?;
    Ok(frame.into())
}

#[pyfunction]
#[pyo3(signature = (query, op, left, right, *, on, labels))]
fn set_operator(
    py: Python<'_>,
    query: &Query,
    op: &str,
    left: &Frame,
    right: &Frame,
    on: bool,
    labels: Vec<String>,
) -> PyResult<Frame> {
    let frame = detached(py, || {
        engine::set_operator(
            &query.context,
            SetOp::named(op)?,
            &left.inner,
            &right.inner,
            on,
            &labels,
        )
    })?;
    Ok(frame.into())
}

#[pyfunction]
#[pyo3(signature = (query, op, frame, *, without, labels, param=None, text=None))]
#[expect(clippy::too_many_arguments, reason = "the shape of the door")]
fn aggregate(
    py: Python<'_>,
    query: &Query,
    op: &str,
    frame: &Frame,
    without: bool,
    labels: Vec<String>,
    param: Option<&Bound<'_, Frame>>,
    text: Option<&str>,
) -> PyResult<Frame> {
    let param = param.map(|param| &*param.get().inner);
    let aggregation = Aggregation {
        op,
        without,
        labels: &labels,
        param,
        text,
    };
    Ok(detached(py, || {
        engine::aggregate(&query.context, &frame.inner, aggregation)
    })?
    .into())
}

#[pyfunction]
fn label_replace(
    py: Python<'_>,
    query: &Query,
    frame: &Frame,
    dst: &str,
    replacement: &str,
    src: &str,
    regex: &str,
) -> PyResult<Frame> {
    let frame = detached(py, || {
        engine::label_replace(&query.context, &frame.inner, dst, replacement, src, regex)
    })?;
    Ok(frame.into())
}

#[pyfunction]
fn label_join(
    py: Python<'_>,
    query: &Query,
    frame: &Frame,
    dst: &str,
    separator: &str,
    sources: Vec<String>,
) -> PyResult<Frame> {
    let frame = detached(py, || {
        engine::label_join(&query.context, &frame.inner, dst, separator, &sources)
    })?;
    Ok(frame.into())
}

#[pyfunction]
fn histogram_quantile(py: Python<'_>, query: &Query, quantile: &Frame, frame: &Frame) -> PyResult<Frame> {
    let frame = detached(py, || {
        engine::histogram_quantile(&query.context, &quantile.inner, &frame.inner)
    })?;
    Ok(frame.into())
}

#[pyfunction]
fn histogram_fraction(
    py: Python<'_>,
    query: &Query,
    lower: &Frame,
    upper: &Frame,
    frame: &Frame,
) -> PyResult<Frame> {
    let frame = detached(py, || {
        engine::histogram_fraction(&query.context, &lower.inner, &upper.inner, &frame.inner)
    })?;
    Ok(frame.into())
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(apply_function, module)?)?;
    module.add_function(wrap_pyfunction!(binary_scalars, module)?)?;
    module.add_function(wrap_pyfunction!(binary_scalar, module)?)?;
    module.add_function(wrap_pyfunction!(binary, module)?)?;
    module.add_function(wrap_pyfunction!(set_operator, module)?)?;
    module.add_function(wrap_pyfunction!(aggregate, module)?)?;
    module.add_function(wrap_pyfunction!(label_replace, module)?)?;
    module.add_function(wrap_pyfunction!(label_join, module)?)?;
    module.add_function(wrap_pyfunction!(histogram_quantile, module)?)?;
    module.add_function(wrap_pyfunction!(histogram_fraction, module)?)
}
