//! `BlockParts`, `BlockReader`, `merge_blocks`.

#![expect(clippy::needless_pass_by_value, reason = "PyO3 hands over what it extracted")]

use std::sync::Arc;

use headrace_core::block::{self, BlockCursor, PageSet};
use headrace_core::model::{Millis, Uid};
use headrace_core::{Error, Result};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyList};

use crate::errors::detached;

/// An encoded block.
#[pyclass(frozen, module = "shared._native")]
#[derive(Debug)]
pub struct BlockParts(block::BlockParts);

impl From<block::BlockParts> for BlockParts {
    fn from(parts: block::BlockParts) -> Self {
        Self(parts)
    }
}

#[pymethods]
impl BlockParts {
    #[getter]
    fn uid<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.uid.0)
    }

    #[getter]
    fn root<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.root)
    }

    #[getter]
    fn pages<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.0.pages.iter().map(|page| PyBytes::new(py, page)))
    }

    #[getter]
    fn series(&self) -> usize {
        self.0.series
    }

    #[getter]
    fn samples(&self) -> u64 {
        self.0.samples
    }

    #[getter]
    fn min_time(&self) -> Millis {
        self.0.min_time
    }

    #[getter]
    fn max_time(&self) -> Millis {
        self.0.max_time
    }

    #[getter]
    fn digest<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.digest.to_be_bytes())
    }
}

/// An opened root.
#[pyclass(frozen, module = "shared._native")]
#[derive(Debug)]
pub struct BlockReader(pub Arc<block::BlockReader>);

#[pymethods]
impl BlockReader {
    #[staticmethod]
    fn open(py: Python<'_>, root: PyBackedBytes) -> PyResult<Self> {
        detached(py, || block::BlockReader::open(&root)).map(|reader| Self(Arc::new(reader)))
    }

    #[getter]
    fn series(&self) -> usize {
        self.0.series()
    }

    #[getter]
    fn pages(&self) -> usize {
        self.0.pages()
    }

    #[getter]
    fn memory_bytes(&self) -> usize {
        self.0.memory_bytes()
    }

    fn verify<'py>(&self, py: Python<'py>, pages: Vec<PyBackedBytes>) -> PyResult<Bound<'py, PyBytes>> {
        let digest = detached(py, || verify(&self.0, &pages))?;
        Ok(PyBytes::new(py, &digest.to_be_bytes()))
    }
}

fn supplied(reader: &block::BlockReader, pages: &[PyBackedBytes]) -> Result<PageSet> {
    if pages.len() != reader.pages() {
        return Err(Error::Corrupt(format!(
            "{} pages of the {} of a block",
            pages.len(),
            reader.pages()
        )));
    }
    PageSet::new(reader, (0..).zip(pages.iter().map(|page| page.to_vec())))
}

fn verify(reader: &block::BlockReader, pages: &[PyBackedBytes]) -> Result<u128> {
    BlockCursor::new(reader, &supplied(reader, pages)?)?.verify()
}

#[pyfunction]
fn merge_blocks(
    py: Python<'_>,
    blocks: Vec<(PyRef<'_, BlockReader>, Vec<PyBackedBytes>)>,
    uid: [u8; 16],
) -> PyResult<BlockParts> {
    let blocks: Vec<_> = blocks
        .into_iter()
        .map(|(reader, pages)| (Arc::clone(&reader.0), pages))
        .collect();
    detached(py, || {
        let sets = blocks
            .iter()
            .map(|(reader, pages)| supplied(reader, pages))
            .collect::<Result<Vec<_>>>()?;
        let opened: Vec<_> = blocks
            .iter()
            .map(|(reader, _)| reader.as_ref())
            .zip(&sets)
            .collect();
        block::merge(Uid(uid), &opened)
    })
    .map(BlockParts)
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<BlockParts>()?;
    module.add_class::<BlockReader>()?;
    module.add_function(wrap_pyfunction!(merge_blocks, module)?)
}
