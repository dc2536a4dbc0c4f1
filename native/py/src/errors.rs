//! Each kind of core error meets its Python exception here, and nowhere else.

use headrace_core::Error;
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyOSError};
use pyo3::prelude::*;

create_exception!(_native, BadDataError, PyException);
create_exception!(_native, TooLargeError, BadDataError);
create_exception!(_native, ExecutionError, PyException);
create_exception!(_native, CanceledError, PyException);
create_exception!(_native, CorruptError, PyException);
create_exception!(_native, UnsupportedError, PyException);

pub fn to_py(error: Error) -> PyErr {
    let text = error.to_string();
    match error {
        Error::BadData(_) => BadDataError::new_err(text),
        Error::TooLarge(_) => TooLargeError::new_err(text),
        Error::Execution(_) => ExecutionError::new_err(text),
        Error::Canceled(_) => CanceledError::new_err(text),
        Error::Corrupt(_) => CorruptError::new_err(text),
        Error::Unsupported(_) => UnsupportedError::new_err(text),
        Error::Io { source, .. } => PyOSError::new_err((source.raw_os_error().unwrap_or(0), text)),
    }
}

/// Runs a long native call without the GIL and translates its error.
pub fn detached<T: Send>(
    py: Python<'_>,
    call: impl FnOnce() -> headrace_core::Result<T> + Send,
) -> PyResult<T> {
    py.detach(call).map_err(to_py)
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("BadDataError", py.get_type::<BadDataError>())?;
    module.add("TooLargeError", py.get_type::<TooLargeError>())?;
    module.add("ExecutionError", py.get_type::<ExecutionError>())?;
    module.add("CanceledError", py.get_type::<CanceledError>())?;
    module.add("CorruptError", py.get_type::<CorruptError>())?;
    module.add("UnsupportedError", py.get_type::<UnsupportedError>())?;
    Ok(())
}
