//! What a selection hands to the engine.

use std::ops::Range;
use std::sync::Arc;

use super::rows::{Place, Places};
use crate::engine::{Charge, Folded};
use crate::model::{Merge, Millis, SampleReader, SampleSource, Samples, SeriesTable, TimesKeys};
use crate::{Error, Result};

/// Label sets, and a source whose row numbers are those of the table. Ids belong to the query's symbols.
#[derive(Debug, Clone)]
pub struct SeriesSet {
    pub table: Arc<SeriesTable>,
    pub source: Arc<dyn SampleSource>,
    /// Further series, in sets of their own: only an aggregation can read them.
    pub apart: Vec<Apart>,
}

/// What an aggregation reads of one partition, none of whose series is in another one, at some of its steps.
#[derive(Debug, Clone)]
pub struct Apart {
    /// May end behind the last one. What else there is of the partition covers other steps.
    pub steps: Range<usize>,
    pub rows: ApartRows,
}

#[derive(Debug, Clone)]
pub enum ApartRows {
    Read {
        table: Arc<SeriesTable>,
        source: Arc<dyn SampleSource>,
    },
    /// What they came to where they were held.
    Folded(Arc<Folded>),
}

impl SeriesSet {
    pub fn new(table: impl Into<Arc<SeriesTable>>, source: Arc<dyn SampleSource>) -> Self {
        Self {
            table: table.into(),
            source,
            apart: Vec::new(),
        }
    }

    /// Fails if there are series apart.
    pub fn check_at_hand(&self) -> Result<()> {
        if self.apart.is_empty() {
            return Ok(());
        }
        Err(Error::BadData(
            "these series were selected for an aggregation: nothing else can read them".into(),
        ))
    }

    /// All series that are still to be read.
    pub fn unread(&self) -> usize {
        let apart = self.apart.iter().map(|apart| match &apart.rows {
            ApartRows::Read { table, .. } => table.len(),
            ApartRows::Folded(_) => 0,
        });
        self.len() + apart.sum::<usize>()
    }

    /// The series at hand.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }
}

/// Rows whose samples lie in one or several sources. At equal times the earlier source counts.
#[derive(Debug)]
pub struct SetSource {
    sources: Vec<Box<dyn SampleSource>>,
    places: Places,
    /// Memory of the sources, given back with them.
    _charge: Charge,
}

impl SetSource {
    pub fn new(sources: Vec<Box<dyn SampleSource>>, places: Places, charge: Charge) -> Self {
        Self {
            sources,
            places,
            _charge: charge,
        }
    }
}

impl SampleSource for SetSource {
    fn rows(&self) -> usize {
        self.places.len()
    }

    fn reader(&self) -> Box<dyn SampleReader + '_> {
        if let [source] = &self.sources[..] {
            return source.reader();
        }
        Box::new(SetReader {
            set: self,
            readers: self.sources.iter().map(|_| None).collect(),
            merge: Merge::default(),
            keys: TimesKeys::default(),
            origin: Vec::new(),
        })
    }
}

struct SetReader<'a> {
    set: &'a SetSource,
    readers: Vec<Option<Box<dyn SampleReader + 'a>>>,
    merge: Merge,
    keys: TimesKeys,
    /// (source, times key) of each column of the row at hand.
    origin: Vec<(u32, u64)>,
}

impl<'a> SetReader<'a> {
    fn open<'r>(
        set: &'a SetSource,
        readers: &'r mut [Option<Box<dyn SampleReader + 'a>>],
        source: u32,
    ) -> &'r mut (dyn SampleReader + 'a) {
        let source = source as usize;
        readers[source]
            .get_or_insert_with(|| set.sources[source].reader())
            .as_mut()
    }
}

impl SampleReader for SetReader<'_> {
    fn read(&mut self, row: usize, min: Millis, max: Millis) -> Result<Samples<'_>> {
        let (first, further) = self.set.places.of(row);
        self.origin.clear();
        if further.is_empty() {
            let Place { source, row } = first;
            let samples = Self::open(self.set, &mut self.readers, source).read(row as usize, min, max)?;
            self.origin.push((source, samples.times_key));
            let times_key = self.keys.of(&self.origin);
            return Ok(Samples { times_key, ..samples });
        }
        self.merge.clear();
        for &Place { source, row } in std::iter::once(&first).chain(further) {
            let samples = Self::open(self.set, &mut self.readers, source).read(row as usize, min, max)?;
            if !samples.times.is_empty() {
                self.merge.add(samples);
                self.origin.push((source, samples.times_key));
            }
        }
        let times_key = self.keys.of(&self.origin);
        Ok(Samples {
            times_key,
            ..self.merge.samples()
        })
    }
}
