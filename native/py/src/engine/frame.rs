use std::collections::BTreeMap;
use std::sync::Arc;

use headrace_core::engine::{self, Element};
use pyo3::prelude::*;

use super::histogram::{Histogram, Value};
use super::{GridTuple, Query, grid_of};
use crate::errors::{detached, to_py};

/// Rows × steps of cells with one label set per row.
#[pyclass(frozen, module = "shared._native")]
#[derive(Debug)]
pub struct Frame {
    pub inner: Arc<engine::Frame>,
}

impl From<engine::Frame> for Frame {
    fn from(frame: engine::Frame) -> Self {
        Self {
            inner: Arc::new(frame),
        }
    }
}

#[pymethods]
impl Frame {
    #[getter]
    fn rows(&self) -> usize {
        self.inner.rows()
    }

    #[getter]
    fn steps(&self) -> usize {
        self.inner.steps
    }

    #[getter]
    fn bytes(&self) -> usize {
        self.inner.bytes()
    }
}

/// The labels of a row, and what stands at each step.
type Row = (BTreeMap<String, String>, Vec<Option<Value>>);

#[pyfunction]
fn elements(py: Python<'_>, query: &Query, frame: &Frame) -> PyResult<Vec<Row>> {
    let symbols = query.context.symbols();
    let frame = &frame.inner;
    (0..frame.rows())
        .map(|row| {
            let pairs = frame.table.row(row).iter();
            let labels =
                pairs.map(|&(name, value)| (symbols.get(name).to_owned(), symbols.get(value).to_owned()));
            let values = (0..frame.steps).map(|step| match frame.get(row, step) {
                None => Ok(None),
                Some(Element::Float(value)) => Ok(Some(Value::Float(value))),
                Some(Element::Histogram(histogram)) => {
                    let inner = Arc::clone(histogram);
                    Ok(Some(Value::Histogram(Py::new(py, Histogram { inner })?)))
                }
            });
            Ok((labels.collect(), values.collect::<PyResult<_>>()?))
        })
        .collect()
}

#[pyfunction]
fn number(value: f64, steps: usize) -> Frame {
    engine::Frame::scalar(vec![value; steps]).into()
}

#[pyfunction]
fn time_of(grid: GridTuple) -> PyResult<Frame> {
    let seconds = grid_of(grid)?.times().map(|time| time as f64 / 1e3).collect();
    Ok(engine::Frame::scalar(seconds).into())
}

#[pyfunction]
fn broadcast(py: Python<'_>, frame: &Frame, steps: usize) -> PyResult<Frame> {
    let inner = detached(py, || engine::broadcast(&frame.inner, steps))?;
    Ok(Frame { inner })
}

#[pyfunction]
fn drop_names(py: Python<'_>, query: &Query, frame: &Frame) -> PyResult<Frame> {
    let inner = detached(py, || engine::drop_names(&query.context, &frame.inner))?;
    Ok(Frame { inner })
}

#[pyfunction]
fn finish_names(py: Python<'_>, query: &Query, frame: &Frame) -> PyResult<Frame> {
    let inner = detached(py, || engine::finish_names(&query.context, &frame.inner))?;
    Ok(Frame { inner })
}

#[pyfunction]
fn to_scalar(frame: &Frame) -> Frame {
    engine::to_scalar(&frame.inner).into()
}

#[pyfunction]
fn to_vector(scalar: &Frame) -> PyResult<Frame> {
    let inner = engine::to_vector(&scalar.inner).map_err(to_py)?;
    Ok(Frame { inner })
}

#[pyfunction]
fn absent(py: Python<'_>, query: &Query, frame: &Frame, labels: Vec<(String, String)>) -> PyResult<Frame> {
    Ok(detached(py, || engine::absent(&query.context, &frame.inner, &labels))?.into())
}

#[pyfunction]
#[pyo3(signature = (query, frame, *, descending))]
fn sort(py: Python<'_>, query: &Query, frame: &Frame, descending: bool) -> PyResult<Frame> {
    let inner = detached(py, || engine::sort(&query.context, &frame.inner, descending))?;
    Ok(Frame { inner })
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(elements, module)?)?;
    module.add_function(wrap_pyfunction!(number, module)?)?;
    module.add_function(wrap_pyfunction!(time_of, module)?)?;
    module.add_function(wrap_pyfunction!(broadcast, module)?)?;
    module.add_function(wrap_pyfunction!(drop_names, module)?)?;
    module.add_function(wrap_pyfunction!(finish_names, module)?)?;
    module.add_function(wrap_pyfunction!(absent, module)?)?;
    module.add_function(wrap_pyfunction!(sort, module)?)?;
    module.add_function(wrap_pyfunction!(to_scalar, module)?)?;
    module.add_function(wrap_pyfunction!(to_vector, module)?)
}
