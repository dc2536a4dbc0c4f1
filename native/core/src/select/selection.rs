//! Puts together what heads and blocks hold of one selector.

use std::sync::Arc;

use super::block_rows::{self, BlockRows};
use super::part::{HeadPart, check_owner};
use super::rows::Rows;
use super::set::{Apart, ApartRows, SeriesSet, SetSource};
use crate::block::{BlockReader, PageBytes, PageSet};
use crate::engine::{Charge, Folded, QueryContext};
use crate::head::{HeadRows, HeadSnapshot};
use crate::model::{Matcher, Millis, SampleReader, SampleSource, SeriesTable};
use crate::{Error, Result};

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
    /// A block that waits for its pages.
    pending: Option<Pending>,
    apart: Vec<Apart>,
}

#[derive(Debug)]
struct Pending {
    reader: Arc<BlockReader>,
    rows: Vec<u32>,
    pages: Vec<u32>,
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
            pending: None,
            apart: Vec::new(),
        })
    }

    /// Adds what a block holds, in log order of the generations and before the head of the partition. Returns the pages to supply; if there
    /// are none, nothing need be supplied.
    pub fn add_block(&mut self, reader: &Arc<BlockReader>) -> Result<Vec<u32>> {
        self.expect_nothing_pending()?;
        let rows = block_rows::find(reader, &self.matchers, self.range);
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let pages = reader.pages_for(&rows, self.range, self.context.uses_starts());
        let pending = Pending {
            reader: Arc::clone(reader),
            rows,
            pages: pages.clone(),
        };
        if pages.is_empty() {
            self.add_pages::<Vec<u8>>(pending, Vec::new())?;
        } else {
            self.pending = Some(pending);
        }
        Ok(pages)
    }

    /// The pages that the last `add_block` asked for, in its order.
    pub fn supply<B: PageBytes>(&mut self, pages: Vec<B>) -> Result<()> {
        let Some(pending) = self.pending.take() else {
            return Err(Error::BadData(
                "no block waits for pages: call add_block first".into(),
            ));
        };
        if pages.len() != pending.pages.len() {
            let (got, want) = (pages.len(), pending.pages.len());
            return Err(Error::BadData(format!(
                "{got} pages supplied for the {want} that add_block named"
            )));
        }
        self.add_pages(pending, pages)
    }

    fn add_pages<B: PageBytes>(&mut self, pending: Pending, pages: Vec<B>) -> Result<()> {
        let Pending {
            reader,
            rows,
            pages: numbers,
        } = pending;
        self.context.check()?;
        let pages = PageSet::new(&reader, numbers.into_iter().zip(pages))?;
        let table = block_rows::table(&reader, &rows, &mut self.context.symbols());
        let source = BlockRows::new(reader, pages, rows, self.context.uses_starts());
        let bytes = source.bytes();
        self.add(table, Box::new(source), bytes)
    }

    fn expect_nothing_pending(&self) -> Result<()> {
        match &self.pending {
            Some(pending) => {
                let count = pending.pages.len();
                Err(Error::BadData(format!(
                    "the last block still waits for {count} pages: call supply first"
                )))
            }
            None => Ok(()),
        }
    }

    /// Adds what a head holds, behind the blocks of its partition.
    pub fn add_part(&mut self, part: HeadPart) -> Result<()> {
        self.expect_nothing_pending()?;
        let (found, charge) = part.into_rows(&self.context)?;
        let bytes = found.samples.bytes();
        drop(charge);
        self.add(found.table, Box::new(found.samples), bytes)
    }

    /// Adds all that there is of a partition whose series are in no other one, for an aggregation.
    pub fn add_whole(&mut self, part: HeadPart) -> Result<()> {
        let (HeadRows { table, samples }, charge) = part.into_rows(&self.context)?;
        self.context.add_series(table.len())?;
        self.add_read(0, Arc::new(table), Arc::new(samples), charge);
        Ok(())
    }

    /// As [`Self::add_whole`], of series that were folded where they are held.
    pub fn add_folded(&mut self, folded: Folded) -> Result<()> {
        self.context.add_series(folded.rows())?;
        self.add_late(folded, 0)
    }

    /// As [`Self::close`] after [`Self::add_part`], and the steps from `first` on need nothing but the part.
    pub fn close_split(&mut self, part: HeadPart, first: usize) -> Result<()> {
        self.expect_nothing_pending()?;
        let (HeadRows { table, samples }, mut charge) = part.into_rows(&self.context)?;
        let samples = Arc::new(samples);
        let late = Arc::new(table.clone());
        let bytes = samples.bytes();
        charge.resize(late.bytes())?;
        self.add(table, Box::new(Arc::clone(&samples)), bytes)?;
        self.close(first)?;
        self.add_read(first, late, samples, charge);
        Ok(())
    }

    /// As [`Self::close`], and the steps from then on were folded where the series are held.
    pub fn close_folded(&mut self, folded: Folded, first: usize) -> Result<()> {
        self.close(first)?;
        self.add_late(folded, first)
    }

    /// What was added since the last time is all that there is of a partition whose series are in no other one, for an
    /// aggregation at the steps before `end`.
    pub fn close(&mut self, end: usize) -> Result<()> {
        self.expect_nothing_pending()?;
        let charge = std::mem::replace(&mut self.charge, self.context.charge(0, 0)?);
        let rows = std::mem::take(&mut self.rows);
        let sources = std::mem::take(&mut self.sources);
        (self.charged, self.counted) = (0, 0);
        if rows.len() > 0 {
            let (table, places) = rows.finish();
            let source = SetSource::new(sources, places, charge);
            self.apart.push(Apart {
                steps: 0..end,
                rows: ApartRows::Read {
                    table: Arc::new(table),
                    source: Arc::new(source),
                },
            });
        }
        Ok(())
    }

    fn add_late(&mut self, folded: Folded, first: usize) -> Result<()> {
        check_owner(folded.context(), &self.context)?;
        folded.count_reading()?;
        self.apart.push(Apart {
            steps: first..usize::MAX,
            rows: ApartRows::Folded(Arc::new(folded)),
        });
        Ok(())
    }

    fn add_read(&mut self, first: usize, table: Arc<SeriesTable>, source: Arc<HeadSnapshot>, charge: Charge) {
        let source = Paid {
            source,
            _charge: charge,
        };
        self.apart.push(Apart {
            steps: first..usize::MAX,
            rows: ApartRows::Read {
                table,
                source: Arc::new(source),
            },
        });
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

    pub fn finish(self) -> Result<SeriesSet> {
        self.expect_nothing_pending()?;
        let (table, places) = self.rows.finish();
        let source = SetSource::new(self.sources, places, self.charge);
        let mut set = SeriesSet::new(table, Arc::new(source));
        set.apart = self.apart;
        Ok(set)
    }
}

/// The samples of a head, with what its query pays for them.
#[derive(Debug)]
struct Paid {
    source: Arc<HeadSnapshot>,
    _charge: Charge,
}

impl SampleSource for Paid {
    fn rows(&self) -> usize {
        self.source.rows()
    }

    fn reader(&self) -> Box<dyn SampleReader + '_> {
        self.source.reader()
    }
}
