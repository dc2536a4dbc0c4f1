//! What a selection hands to the engine.

use std::sync::Arc;

use crate::model::{SampleSource, SeriesTable};

/// Label sets, and a source whose row numbers are those of the table. Ids belong to the query's symbols.
#[derive(Debug, Clone)]
pub struct SeriesSet {
    pub table: Arc<SeriesTable>,
    pub source: Arc<dyn SampleSource>,
}

impl SeriesSet {
    pub fn len(&self) -> usize {
        self.table.len()
    }

    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }
}
