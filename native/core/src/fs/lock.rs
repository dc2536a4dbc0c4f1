//! One process per data folder.

use std::any::Any;
use std::fmt;

/// Holds a folder until it is dropped, or the process ends in whatever way.
pub struct FolderLock {
    _held: Box<dyn Any + Send + Sync>,
}

impl FolderLock {
    pub(super) fn new(held: impl Any + Send + Sync) -> Self {
        Self {
            _held: Box::new(held),
        }
    }
}

impl fmt::Debug for FolderLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FolderLock")
    }
}
