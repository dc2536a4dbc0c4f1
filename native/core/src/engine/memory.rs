//! Samples that are in memory already: the inner frame of a subquery, and series given sample by sample.

use std::ops::Range;
use std::sync::Arc;

use super::cells::{ABSENT, Element, HISTOGRAM};
use super::context::QueryContext;
use super::frame::{Frame, Grid};
use crate::model::{
    Histogram, Millis, ResetHint, SampleBuf, SampleReader, SampleSource, Samples, SeriesTable,
};
use crate::select::SeriesSet;
use crate::{Error, Result};

/// The inner frame of a subquery as a source of samples: one per present cell, at the time of its step.
pub fn frame_as_series(frame: &Arc<Frame>, grid: Grid) -> Result<SeriesSet> {
    if frame.steps != 1 && frame.steps != grid.steps {
        let (steps, want) = (frame.steps, grid.steps);
        return Err(Error::BadData(format!(
            "a frame of {steps} steps has no times on a grid of {want}"
        )));
    }
    let source = FrameSource {
        frame: Arc::clone(frame),
        times: grid.times().collect(),
    };
    Ok(SeriesSet::new(Arc::clone(&frame.table), Arc::new(source)))
}

#[derive(Debug)]
struct FrameSource {
    frame: Arc<Frame>,
    times: Vec<Millis>,
}

impl SampleSource for FrameSource {
    fn rows(&self) -> usize {
        self.frame.rows()
    }

    fn reader(&self) -> Box<dyn SampleReader + '_> {
        Box::new(FrameReader {
            source: self,
            present: SampleBuf::default(),
            bounds: None,
            key: 0,
        })
    }
}

struct FrameReader<'a> {
    source: &'a FrameSource,
    present: SampleBuf,
    /// The time bounds of the last read; rows without a gap have the same times as long as these stay.
    bounds: Option<(Millis, Millis)>,
    key: u64,
}

impl SampleReader for FrameReader<'_> {
    fn read(&mut self, row: usize, min: Millis, max: Millis) -> Result<Samples<'_>> {
        if self.bounds != Some((min, max)) {
            self.bounds = Some((min, max));
            self.key += 1;
        }
        let times = &self.source.times;
        let (kind, value) = self.source.frame.row(row);
        let first = times.partition_point(|&time| time < min);
        let last = times.partition_point(|&time| time <= max).max(first);
        let times = &times[first..last];
        let kinds = if self.source.frame.steps > 1 {
            &kind[first..last]
        } else {
            kind
        };
        if self.source.frame.has_histograms() && kinds.contains(&HISTOGRAM) {
            return Ok(self.read_elements(row, first..last));
        }
        if self.source.frame.steps > 1 && !kinds.contains(&ABSENT) {
            return Ok(Samples::floats(times, &value[first..last], self.key));
        }
        self.present.clear();
        for (i, &time) in times.iter().enumerate() {
            let cell = if self.source.frame.steps == 1 {
                0
            } else {
                first + i
            };
            if kind[cell] != ABSENT {
                self.present.times.push(time);
                self.present.values.push(value[cell]);
            }
        }
        Ok(self.present.as_samples())
    }
}

impl FrameReader<'_> {
    /// A row with histograms. Of resets that their hints speak of a subquery may have left out one side.
    fn read_elements(&mut self, row: usize, steps: Range<usize>) -> Samples<'_> {
        self.present.clear();
        for step in steps {
            let time = self.source.times[step];
            match self.source.frame.get(row, step) {
                None => {}
                Some(Element::Float(value)) => self.present.push_float(time, value),
                Some(Element::Histogram(histogram)) => {
                    let histogram = match histogram.hint {
                        ResetHint::Unknown | ResetHint::Gauge => Arc::clone(histogram),
                        ResetHint::Reset | ResetHint::NotReset => Arc::new(Histogram {
                            hint: ResetHint::Unknown,
                            ..Histogram::clone(histogram)
                        }),
                    };
                    self.present.push_histogram(time, histogram);
                }
            }
        }
        self.present.as_samples()
    }
}

/// Series whose samples were given one by one; rows as given.
#[derive(Debug)]
pub struct MemorySeries {
    rows: Vec<SampleBuf>,
}

/// A label set and its samples.
pub type Given = (Vec<(String, String)>, SampleBuf);

/// Series of given labels, times (strictly ascending) and values. Labels with an empty value do not count.
pub fn series_from_samples(context: &QueryContext, given: Vec<Given>) -> Result<SeriesSet> {
    let mut table = SeriesTable::new();
    let mut rows = Vec::with_capacity(given.len());
    let mut symbols = context.symbols();
    for (mut labels, samples) in given {
        labels.sort();
        if let Some(pair) = labels.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(Error::BadData(format!("label {:?} is given twice", pair[0].0)));
        }
        if samples.times.len() != samples.values.len() {
            let (times, values) = (samples.times.len(), samples.values.len());
            return Err(Error::BadData(format!(
                "{times} times do not match {values} values"
            )));
        }
        if !samples.times.is_sorted_by(|a, b| a < b) {
            return Err(Error::BadData("times must be strictly ascending".into()));
        }
        let pairs = labels.iter().filter(|(_, value)| !value.is_empty());
        let pairs: Vec<_> = pairs
            .map(|(name, value)| (symbols.intern(name), symbols.intern(value)))
            .collect();
        table.push(pairs);
        rows.push(samples);
    }
    Ok(SeriesSet::new(table, Arc::new(MemorySeries { rows })))
}

impl SampleSource for MemorySeries {
    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn reader(&self) -> Box<dyn SampleReader + '_> {
        Box::new(MemoryReader { rows: &self.rows })
    }
}

struct MemoryReader<'a> {
    rows: &'a [SampleBuf],
}

impl SampleReader for MemoryReader<'_> {
    fn read(&mut self, row: usize, min: Millis, max: Millis) -> Result<Samples<'_>> {
        let samples = self.rows[row].as_samples();
        let first = samples.times.partition_point(|&time| time < min);
        let last = samples.times.partition_point(|&time| time <= max).max(first);
        Ok(samples.slice(first..last))
    }
}
