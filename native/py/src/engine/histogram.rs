use std::sync::Arc;

use headrace_core::model::histogram::Buckets;
use headrace_core::model::{self, ResetHint};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// A native histogram, where Python has to look at single ones: in tests and tools.
#[pyclass(frozen, module = "shared._native")]
#[derive(Debug)]
pub struct Histogram {
    pub inner: Arc<model::Histogram>,
}

impl From<model::Histogram> for Histogram {
    fn from(histogram: model::Histogram) -> Self {
        Self {
            inner: Arc::new(histogram),
        }
    }
}

const HINTS: [(&str, ResetHint); 4] = [
    ("unknown", ResetHint::Unknown),
    ("reset", ResetHint::Reset),
    ("not_reset", ResetHint::NotReset),
    ("gauge", ResetHint::Gauge),
];

/// Bucket indexes, strictly ascending, with their counts.
fn buckets(pairs: &[(i32, f64)]) -> PyResult<Buckets> {
    if !pairs.is_sorted_by(|a, b| a.0 < b.0) {
        return Err(PyValueError::new_err("bucket indexes must be strictly ascending"));
    }
    Ok(Buckets::of(pairs.iter().copied()))
}

#[pymethods]
impl Histogram {
    #[new]
    #[pyo3(signature = (
        *, schema=0, count=0.0, total=0.0, zero_threshold=0.0, zero_count=0.0,
        positive=Vec::new(), negative=Vec::new(), custom_values=Vec::new(), hint="unknown"
    ))]
    #[expect(clippy::too_many_arguments, reason = "the fields of a histogram")]
    fn new(
        schema: i8,
        count: f64,
        total: f64,
        zero_threshold: f64,
        zero_count: f64,
        positive: Vec<(i32, f64)>,
        negative: Vec<(i32, f64)>,
        custom_values: Vec<f64>,
        hint: &str,
    ) -> PyResult<Self> {
        let hint = HINTS
            .iter()
            .find(|(name, _)| *name == hint)
            .ok_or_else(|| PyValueError::new_err(format!("{hint:?} is not what is known of resets")))?
            .1;
        Ok(model::Histogram {
            hint,
            schema,
            zero_threshold,
            zero_count,
            count,
            sum: total,
            positive: buckets(&positive)?,
            negative: buckets(&negative)?,
            custom: custom_values.into(),
        }
        .into())
    }

    fn plus(&self, other: &Self) -> PyResult<Self> {
        let mut sum = model::Histogram::clone(&self.inner);
        sum.add(&other.inner)
            .map_err(|_| PyValueError::new_err("exponential and custom buckets do not add up"))?;
        Ok(sum.into())
    }

    fn minus(&self, other: &Self) -> PyResult<Self> {
        let mut difference = model::Histogram::clone(&self.inner);
        difference
            .subtract(&other.inner)
            .map_err(|_| PyValueError::new_err("exponential and custom buckets do not add up"))?;
        Ok(difference.into())
    }

    fn compacted(&self) -> Self {
        model::Histogram::clone(&self.inner).compacted().into()
    }

    #[pyo3(signature = (before))]
    fn stored_behind(&self, before: Option<&Self>) -> Self {
        model::Histogram {
            hint: self.inner.hint_behind(before.map(|before| &*before.inner)),
            ..model::Histogram::clone(&self.inner)
        }
        .into()
    }

    #[getter]
    fn schema(&self) -> i8 {
        self.inner.schema
    }

    #[getter]
    fn count(&self) -> f64 {
        self.inner.count
    }

    #[getter]
    fn total(&self) -> f64 {
        self.inner.sum
    }

    #[getter]
    fn zero_threshold(&self) -> f64 {
        self.inner.zero_threshold
    }

    #[getter]
    fn zero_count(&self) -> f64 {
        self.inner.zero_count
    }

    #[getter]
    fn positive(&self) -> Vec<(i32, f64)> {
        self.inner.positive.iter().collect()
    }

    #[getter]
    fn negative(&self) -> Vec<(i32, f64)> {
        self.inner.negative.iter().collect()
    }

    #[getter]
    fn custom_values(&self) -> Vec<f64> {
        self.inner.custom.to_vec()
    }

    #[getter]
    fn hint(&self) -> &'static str {
        HINTS
            .iter()
            .find(|(_, hint)| *hint == self.inner.hint)
            .map_or("unknown", |(name, _)| name)
    }

    fn __str__(&self) -> String {
        self.inner.to_string()
    }
}

/// What stands in a cell, or a sample.
#[derive(Debug, FromPyObject, IntoPyObject)]
pub enum Value {
    Histogram(Py<Histogram>),
    Float(f64),
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Histogram>()
}
