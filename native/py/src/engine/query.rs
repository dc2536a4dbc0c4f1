use std::sync::Arc;

use headrace_core::engine::{Limits, Note, Options, QueryContext};
use pyo3::prelude::*;

/// The symbols, budget, notes and cancel flag of one query.
#[pyclass(frozen, module = "shared._native")]
#[derive(Debug)]
pub struct Query {
    pub context: Arc<QueryContext>,
}

#[pymethods]
impl Query {
    #[new]
    #[pyo3(signature = (*, max_samples=None, max_series=None, max_bytes=None, delays_names=false, uses_starts=false, uses_types=false))]
    fn new(
        max_samples: Option<u64>,
        max_series: Option<u64>,
        max_bytes: Option<u64>,
        delays_names: bool,
        uses_starts: bool,
        uses_types: bool,
    ) -> Self {
        let default = Limits::default();
        let limits = Limits {
            samples: max_samples.unwrap_or(default.samples),
            series: max_series.unwrap_or(default.series),
            bytes: max_bytes.unwrap_or(default.bytes),
        };
        Self {
            context: Arc::new(QueryContext::with_options(
                limits,
                Options {
                    delays_names,
                    uses_starts,
                    uses_types,
                },
            )),
        }
    }

    #[getter]
    fn max_samples(&self) -> u64 {
        self.context.limits().samples
    }

    #[getter]
    fn delays_names(&self) -> bool {
        self.context.delays_names()
    }

    #[getter]
    fn uses_starts(&self) -> bool {
        self.context.uses_starts()
    }

    #[getter]
    fn uses_types(&self) -> bool {
        self.context.uses_types()
    }

    #[getter]
    fn max_series(&self) -> u64 {
        self.context.limits().series
    }

    #[getter]
    fn max_bytes(&self) -> u64 {
        self.context.limits().bytes
    }

    fn cancel(&self) {
        self.context.cancel();
    }

    fn take_notes(&self) -> Vec<Note> {
        self.context.take_notes()
    }

    #[getter]
    fn samples_read(&self) -> u64 {
        self.context.samples_read()
    }

    #[getter]
    fn peak_samples(&self) -> u64 {
        self.context.peak_samples()
    }

    #[getter]
    fn peak_bytes(&self) -> u64 {
        self.context.peak_bytes()
    }
}
