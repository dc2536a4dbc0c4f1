//! Made-up traffic: the door to `headrace_core::load`.

use headrace_core::load;
use headrace_core::model::Millis;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors::{detached, to_py};

#[pyclass(frozen, get_all, module = "shared._native")]
#[derive(Debug)]
pub struct LoadCheck {
    right: u64,
    unsure: u64,
    missing: u64,
    wrong: u64,
    doubled: u64,
    unexpected: u64,
    examples: Vec<String>,
    warnings: Vec<String>,
}

#[pyclass(frozen, module = "shared._native")]
#[derive(Debug)]
pub struct LoadModel(load::Model);

#[pymethods]
impl LoadModel {
    #[new]
    #[expect(clippy::too_many_arguments, reason = "Python gives them by name")]
    #[pyo3(signature = (
        *,
        seed,
        run,
        series,
        batch,
        start_ms,
        interval_ms,
        jitter_ms = 0,
        lifetime = 0,
        uptime = 0,
        histograms = 0.0,
        late = 0.0,
        twice = 0.0,
        altered = 0.0,
    ))]
    fn new(
        seed: u64,
        run: String,
        series: usize,
        batch: usize,
        start_ms: Millis,
        interval_ms: Millis,
        jitter_ms: Millis,
        lifetime: u32,
        uptime: u32,
        histograms: f64,
        late: f64,
        twice: f64,
        altered: f64,
    ) -> PyResult<Self> {
        let plan = load::Plan {
            seed,
            run,
            series,
            batch,
            start_ms,
            interval_ms,
            jitter_ms,
            lifetime,
            uptime,
            histograms,
            late,
            twice,
            altered,
        };
        Ok(Self(load::Model::new(plan).map_err(to_py)?))
    }

    #[getter]
    fn targets(&self) -> usize {
        self.0.targets()
    }

    fn samples(&self, target: usize) -> PyResult<usize> {
        self.0.samples(target).map_err(to_py)
    }

    fn phase_ms(&self, target: usize) -> PyResult<Millis> {
        self.0.phase_ms(target).map_err(to_py)
    }

    fn matchers(&self, target: usize) -> PyResult<Vec<(&'static str, String)>> {
        self.0.matchers(target).map_err(to_py)
    }

    fn turns(&self, target: usize, step: u32) -> PyResult<Vec<(&'static str, u32)>> {
        let turns = self.0.turns(target, step).map_err(to_py)?;
        Ok(turns
            .into_iter()
            .map(|turn| match turn {
                load::Turn::OnTime(step) => ("on_time", step),
                load::Turn::Late(step) => ("late", step),
                load::Turn::Again(step) => ("again", step),
                load::Turn::Altered(step) => ("altered", step),
            })
            .collect())
    }

    #[pyo3(signature = (target, step, *, altered = false))]
    fn body<'py>(
        &self,
        py: Python<'py>,
        target: usize,
        step: u32,
        altered: bool,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let body = detached(py, || self.0.body(target, step, altered))?;
        Ok(PyBytes::new(py, &body))
    }

    #[pyo3(signature = (answer, *, target, first_step, before, after))]
    fn check(
        &self,
        py: Python<'_>,
        answer: &[u8],
        target: usize,
        first_step: u32,
        before: &[u8],
        after: &[u8],
    ) -> PyResult<LoadCheck> {
        let page = load::Page {
            target,
            first_step,
            before,
            after,
        };
        let checked = detached(py, || load::check(&self.0, page, answer))?;
        Ok(LoadCheck {
            right: checked.right,
            unsure: checked.unsure,
            missing: checked.missing,
            wrong: checked.wrong,
            doubled: checked.doubled,
            unexpected: checked.unexpected,
            examples: checked.examples,
            warnings: checked.warnings,
        })
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<LoadCheck>()?;
    module.add_class::<LoadModel>()?;
    Ok(())
}
