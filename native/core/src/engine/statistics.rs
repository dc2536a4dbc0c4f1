//! Series of which only the number and the sum of observations are asked for.

use std::sync::Arc;

use crate::Result;
use crate::model::{Histogram, Millis, SampleReader, SampleSource, Samples};
use crate::select::{Apart, ApartRows, SeriesSet};

/// The same series with histograms that hold count and sum only. Whether a counter started again is found out before the
/// buckets go, from each histogram and the one before it among those read.
pub fn histogram_statistics(series: &SeriesSet) -> SeriesSet {
    let of = |whole: &Arc<dyn SampleSource>| -> Arc<dyn SampleSource> {
        Arc::new(Statistics {
            whole: Arc::clone(whole),
        })
    };
    let apart = series.apart.iter().map(|apart| Apart {
        steps: apart.steps.clone(),
        rows: match &apart.rows {
            ApartRows::Read { table, source } => ApartRows::Read {
                table: Arc::clone(table),
                source: of(source),
            },
            // Of floats: histograms are not folded elsewhere.
            ApartRows::Folded(folded) => ApartRows::Folded(Arc::clone(folded)),
        },
    });
    SeriesSet {
        table: Arc::clone(&series.table),
        source: of(&series.source),
        apart: apart.collect(),
    }
}

#[derive(Debug)]
struct Statistics {
    whole: Arc<dyn SampleSource>,
}

impl SampleSource for Statistics {
    fn rows(&self) -> usize {
        self.whole.rows()
    }

    fn reader(&self) -> Box<dyn SampleReader + '_> {
        Box::new(StatisticsReader {
            whole: self.whole.reader(),
            reduced: Vec::new(),
        })
    }
}

struct StatisticsReader<'a> {
    whole: Box<dyn SampleReader + 'a>,
    reduced: Vec<Option<Arc<Histogram>>>,
}

impl SampleReader for StatisticsReader<'_> {
    fn read(&mut self, row: usize, min: Millis, max: Millis) -> Result<Samples<'_>> {
        let samples = self.whole.read(row, min, max)?;
        if !samples.has_histograms() {
            return Ok(samples);
        }
        self.reduced.clear();
        let mut before: Option<&Histogram> = None;
        for histogram in samples.histograms {
            let reduced = histogram.as_ref().map(|histogram| {
                if histogram.is_stale() {
                    return Arc::clone(histogram);
                }
                let reduced = histogram.statistics_behind(before);
                before = Some(histogram);
                Arc::new(reduced)
            });
            self.reduced.push(reduced);
        }
        Ok(Samples {
            histograms: &self.reduced,
            ..samples
        })
    }
}
