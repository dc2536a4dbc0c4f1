//! What a selection hands to the engine.

use std::sync::Arc;

use super::rows::{Place, Places};
use crate::Result;
use crate::engine::Charge;
use crate::model::{Merge, Millis, SampleReader, SampleSource, Samples, SeriesTable, TimesKeys};

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
