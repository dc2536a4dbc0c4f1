//! Samples of lanes as columns, for the cut and the comparison.

use std::ops::Range;

use crate::model::{Millis, SampleBuf, Samples};

use super::columns::Run;
use super::histograms::Timed;
use super::instance::Sheet;
use super::lane::Lane;
use super::starts::{Starts, starts_at};

/// Native histograms are larger than floats: who has decoded so many bytes of them gives the lock back.
pub const HISTOGRAMS_PER_LOCK: usize = 16 << 20;

/// Decoded samples of a few series of one sheet, one after the other.
#[derive(Debug, Default)]
pub struct Decoded {
    ends: Vec<usize>,
    samples: SampleBuf,
    /// Where the times in `lane_times` lie, if that is all they are: series scraped together have the same.
    times_of: Option<Run>,
    lane_times: Vec<u32>,
    lane_values: Vec<f64>,
    lane_histograms: Vec<Timed>,
    histogram_bytes: usize,
}

impl Decoded {
    /// Forgets the series, and keeps memory for the next ones of the same sheet.
    pub fn clear(&mut self) {
        self.ends.clear();
        self.samples.clear();
        self.histogram_bytes = 0;
    }

    /// Bytes of the histograms decoded since the last `clear`.
    pub fn histogram_bytes(&self) -> usize {
        self.histogram_bytes
    }

    /// Where the samples of each series end.
    pub fn ends(&self) -> &[usize] {
        &self.ends
    }

    /// Adds a series that has no samples.
    pub fn push_nothing(&mut self) {
        self.ends.push(self.samples.times.len());
    }

    /// Adds what the sheet has of the series with this ref.
    pub fn push(&mut self, sheet: &Sheet, window: Millis, series: u32, lane: &Lane) {
        match lane.single_run() {
            Some(run) if !lane.is_empty() => {
                if self.times_of != Some(run) {
                    self.lane_times.clear();
                    sheet.columns.read(run, &mut self.lane_times);
                    self.times_of = Some(run);
                }
                self.lane_values.clear();
                lane.read_values(sheet, &mut self.lane_values);
            }
            _ => {
                lane.read(sheet, &mut self.lane_times, &mut self.lane_values);
                self.times_of = None;
            }
        }
        self.lane_histograms.clear();
        if let Some(held) = sheet.histograms.get(&series) {
            held.read(&mut self.lane_histograms);
        }
        self.push_row(window, sheet.starts.get(&series));
        self.ends.push(self.samples.times.len());
    }

    /// A time has either a float or a histogram.
    fn push_row(&mut self, window: Millis, starts: Option<&Starts>) {
        let time = |offset: u32| window + Millis::from(offset);
        let first = self.samples.times.len();
        if self.lane_histograms.is_empty() {
            let samples = &mut self.samples;
            samples.times.extend(self.lane_times.iter().map(|&at| time(at)));
            samples.values.extend_from_slice(&self.lane_values);
            if !samples.histograms.is_empty() {
                samples.histograms.resize(samples.times.len(), None);
            }
        } else {
            let mut floats = self.lane_times.iter().zip(&self.lane_values).peekable();
            for (at, histogram) in self.lane_histograms.drain(..) {
                while let Some((&at, &value)) = floats.next_if(|(time, _)| **time < at) {
                    self.samples.push_float(time(at), value);
                }
                self.histogram_bytes += histogram.bytes();
                self.samples.push_histogram(time(at), histogram);
            }
            for (&at, &value) in floats {
                self.samples.push_float(time(at), value);
            }
        }
        self.push_starts(first, window, starts);
    }

    /// Adds the starts of the samples from `first` on.
    fn push_starts(&mut self, first: usize, window: Millis, starts: Option<&Starts>) {
        let SampleBuf {
            times, starts: all, ..
        } = &mut self.samples;
        if let Some(starts) = starts {
            let offsets = times[first..].iter().map(|&time| (time - window) as u32);
            all.resize(first, 0);
            all.extend(starts_at(starts.changes(), offsets));
        } else if !all.is_empty() {
            all.resize(times.len(), 0);
        }
    }

    /// Those of one series.
    pub fn samples(&self, places: Range<usize>) -> Samples<'_> {
        let mut samples = self.samples.as_samples().slice(places);
        if samples.histograms.iter().all(Option::is_none) {
            samples.histograms = &[];
        }
        if samples.starts.iter().all(|&start| start == 0) {
            samples.starts = &[];
        }
        samples
    }
}
