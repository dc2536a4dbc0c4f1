//! Asks heads and blocks for the series of one selector.

use std::sync::Arc;

use super::rows::Rows;
use super::set::{SeriesSet, SetSource};
use crate::Result;
use crate::engine::{Charge, QueryContext};
use crate::head::Head;
use crate::model::{Matcher, Millis, SampleSource, SeriesTable, Uid};

/// One selector's series between two times, both included. Sources are added in log order: at equal times the earlier one counts.
#[derive(Debug)]
pub struct Selection {
    context: Arc<QueryContext>,
    matchers: Vec<Matcher>,
    range: (Millis, Millis),
    rows: Rows,
    sources: Vec<Box<dyn SampleSource>>,
    charge: Charge,
    charged: usize,
    counted: usize,
}

impl Selection {
    pub fn new(context: Arc<QueryContext>, matchers: Vec<Matcher>, min: Millis, max: Millis) -> Result<Self> {
        let charge = context.charge(0, 0)?;
        Ok(Self {
            context,
            matchers,
            range: (min, max),
            rows: Rows::default(),
            sources: Vec::new(),
            charge,
            charged: 0,
            counted: 0,
        })
    }

    /// Adds what a head holds of an instance, after the blocks of its partition.
    pub fn add_head(&mut self, head: &Head, uid: Uid) -> Result<()> {
        let found = {
            let context = &self.context;
            let mut symbols = context.symbols();
            head.select(uid, &self.matchers, self.range, &mut symbols, &|| context.check())?
        };
        if found.table.is_empty() {
            return Ok(());
        }
        let bytes = found.samples.bytes();
        self.add(found.table, Box::new(found.samples), bytes)
    }

    /// Adds a source that holds `bytes`; its rows are those of the table.
    fn add(&mut self, table: SeriesTable, source: Box<dyn SampleSource>, bytes: usize) -> Result<()> {
        self.rows.add(self.sources.len() as u32, table);
        self.sources.push(source);
        self.context.add_series(self.rows.len() - self.counted)?;
        self.counted = self.rows.len();
        let rows = self.rows.bytes();
        self.charge.grow(0, bytes + rows.saturating_sub(self.charged))?;
        self.charged = rows;
        Ok(())
    }

    pub fn finish(self) -> SeriesSet {
        let (table, places) = self.rows.finish();
        let source = SetSource::new(self.sources, places, self.charge);
        SeriesSet {
            table: Arc::new(table),
            source: Arc::new(source),
        }
    }
}
