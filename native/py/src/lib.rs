//! `shared._native`: translation only. What a function means is written in headrace-core and in `shared/_native.pyi`.

use pyo3::prelude::*;

mod block;
mod checksum;
mod engine;
mod errors;
mod exposition;
mod files;
mod head;
mod load;
mod push;
mod records;
mod select;
mod wire;

// Many small, short-lived allocations on several threads: glibc's malloc spends more CPU on them and returns less memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    errors::register(module)?;
    checksum::register(module)?;
    files::register(module)?;
    wire::register(module)?;
    exposition::register(module)?;
    block::register(module)?;
    head::register(module)?;
    load::register(module)?;
    records::register(module)?;
    push::register(module)?;
    select::register(module)?;
    engine::register(module)?;
    Ok(())
}
