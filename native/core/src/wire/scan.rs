//! The hot pass over a decoded request: where labels lie, what the samples are. No label is decoded here.

use std::ops::Range;

use super::batch::{BatchHistogram, BatchSeries};
use super::encode::{PUSH_FIELD, START_FIELD};
use super::exemplar::Exemplars;
use super::histogram::{MAX_HISTOGRAM_BYTES, SentHistogram};
use super::keys::InstanceKeys;
use super::proto::{BYTES, FIXED64, Reader, VARINT, expect_wire};
use crate::Result;
use crate::model::{Millis, STALE_BITS};

/// Fields 1 and 2 with length-delimited content: `Label` and `Sample` inside a `TimeSeries`.
const LABEL_TAG: u8 = 0x0a;
const SAMPLE_TAG: u8 = 0x12;

/// What a recorded scrape takes per series; columns are reserved by it.
const BYTES_PER_SERIES: usize = 128;

/// What a pass found.
#[derive(Debug, Default)]
pub struct Found {
    /// In order, with `partition` still to be set. Series without samples are here only if they are in `exceptions`.
    pub series: Vec<BatchSeries>,
    pub times: Vec<Millis>,
    pub values: Vec<f64>,
    /// When the counter of each row began; empty if that is said of none.
    pub starts: Vec<Millis>,
    pub histograms: Vec<BatchHistogram>,
    /// The extents of `MetricMetadata` messages.
    pub metadata: Vec<(u32, u32)>,
    /// Likewise of operations on pushed groups.
    pub pushes: Vec<(u32, u32)>,
    /// Label bytes that did not lie in one piece, put together. Positions count on from the end of the decoded body.
    pub gathered: Vec<u8>,
    pub exemplars: Exemplars,
    /// Series of which something was left out, in order.
    pub exceptions: Vec<Exception>,
}

/// What was left out of one series.
#[derive(Debug)]
pub struct Exception {
    /// Its number in [`Found::series`].
    pub series: usize,
    pub too_old: u32,
    pub too_new: u32,
    pub oldest: Millis,
    pub newest: Millis,
    /// Histograms that break a rule, and which rule the first of them does.
    pub invalid: u32,
    pub why: String,
}

impl Exception {
    /// How many were left out.
    pub fn samples(&self) -> u64 {
        u64::from(self.too_old) + u64::from(self.too_new) + u64::from(self.invalid)
    }
}

/// Walks a `WriteRequest`. Samples outside of `bounds` (both ends belong to them) are left out.
pub fn scan(decoded: &[u8], keys: &InstanceKeys, bounds: (Millis, Millis)) -> Result<Found> {
    let mut scan = Scan::new(decoded, keys, bounds, decoded.len() / BYTES_PER_SERIES);
    let mut request = Reader::new(decoded);
    while !request.is_empty() {
        let (field, wire) = request.tag()?;
        match field {
            1 => {
                expect_wire(wire, BYTES, "a time series", request.position())?;
                scan.series(request.extent()?)?;
            }
            3 => {
                expect_wire(wire, BYTES, "a metadata entry", request.position())?;
                let extent = request.extent()?;
                scan.found
                    .metadata
                    .push((extent.start as u32, extent.len() as u32));
            }
            PUSH_FIELD => {
                expect_wire(wire, BYTES, "an operation on a pushed group", request.position())?;
                let extent = request.extent()?;
                scan.found.pushes.push((extent.start as u32, extent.len() as u32));
            }
            _ => request.skip(wire)?,
        }
    }
    Ok(scan.finish())
}

pub struct Scan<'a> {
    pub decoded: &'a [u8],
    pub keys: &'a InstanceKeys,
    pub bounds: (Millis, Millis),
    /// The field of a `Sample` that holds its start timestamp.
    pub start_field: u32,
    pub found: Found,
}

impl<'a> Scan<'a> {
    /// With room for so many series of one sample each.
    pub fn new(decoded: &'a [u8], keys: &'a InstanceKeys, bounds: (Millis, Millis), expected: usize) -> Self {
        let found = Found {
            series: Vec::with_capacity(expected),
            times: Vec::with_capacity(expected),
            values: Vec::with_capacity(expected),
            ..Found::default()
        };
        Self {
            decoded,
            keys,
            bounds,
            start_field: START_FIELD,
            found,
        }
    }

    pub fn finish(self) -> Found {
        let mut found = self.found;
        if !found.starts.is_empty() {
            found.starts.resize(found.times.len(), 0);
        }
        found
    }

    /// Samples and histograms so far.
    #[inline]
    pub fn position(&self) -> (usize, usize) {
        (self.found.times.len(), self.found.histograms.len())
    }

    fn series(&mut self, extent: Range<usize>) -> Result<()> {
        let mut reader = Reader::over(self.decoded, extent);
        let first = self.position();
        let first_label = reader.position();
        while reader.short_field(LABEL_TAG).is_some() {}
        let mut labels = first_label..reader.position();
        while !reader.is_empty() {
            match reader.short_field(SAMPLE_TAG) {
                Some(sample) => self.sample(sample)?,
                None => self.other_field(&mut reader, &mut labels)?,
            }
        }
        self.finish_series(&labels, first);
        Ok(())
    }

    /// A field of a `TimeSeries` that is not a sample of the usual length.
    fn other_field(&mut self, reader: &mut Reader<'_>, labels: &mut Range<usize>) -> Result<()> {
        let at = reader.position();
        let (field, wire) = reader.tag()?;
        match field {
            1 => {
                expect_wire(wire, BYTES, "a label", at)?;
                reader.extent()?;
                *labels = self.gather(labels.clone(), at..reader.position());
                Ok(())
            }
            2 => {
                expect_wire(wire, BYTES, "a sample", at)?;
                let sample = reader.extent()?;
                self.sample(sample)
            }
            3 => {
                expect_wire(wire, BYTES, "an exemplar", at)?;
                let message = Reader::over(self.decoded, reader.extent()?);
                let series = self.found.series.len();
                self.found.exemplars.add(series, message, self.bounds)
            }
            4 => {
                expect_wire(wire, BYTES, "a histogram", at)?;
                let histogram = reader.extent()?;
                self.histogram(histogram)
            }
            _ => reader.skip(wire),
        }
    }

    #[inline]
    fn finish_series(&mut self, labels: &Range<usize>, (first_row, first_histogram): (usize, usize)) {
        let rows = self.found.times.len() - first_row;
        let histograms = self.found.histograms.len() - first_histogram;
        if rows + histograms == 0 && !self.is_excepted() {
            return;
        }
        let bytes = if labels.start < self.decoded.len() {
            &self.decoded[labels.clone()]
        } else {
            let base = self.decoded.len();
            &self.found.gathered[labels.start - base..labels.end - base]
        };
        self.found.series.push(BatchSeries {
            partition: 0,
            key: self.keys.hash(bytes),
            labels: (labels.start as u32, labels.len() as u32),
            samples: (first_row as u32, rows as u32),
            histograms: (first_histogram as u32, histograms as u32),
        });
    }

    /// Whether something of the series that is being read was left out, or it has exemplars.
    #[inline]
    pub fn is_excepted(&self) -> bool {
        let series = self.found.series.len();
        let last = self.found.exceptions.last();
        last.is_some_and(|last| last.series == series) || self.found.exemplars.concern(series)
    }

    /// Takes back what was read of the series that is being read, from its first row and histogram on: so many samples.
    #[cold]
    pub fn take_back(&mut self, (first_row, first_histogram): (usize, usize)) -> u64 {
        let found = &mut self.found;
        let mut samples = (found.times.len() - first_row + found.histograms.len() - first_histogram) as u64;
        found.times.truncate(first_row);
        found.values.truncate(first_row);
        found.starts.truncate(first_row);
        found.histograms.truncate(first_histogram);
        let number = found.series.len();
        if let Some(exception) = found.exceptions.pop_if(|last| last.series == number) {
            samples += exception.samples();
        }
        samples + found.exemplars.take_back(number)
    }

    #[inline]
    pub fn sample(&mut self, extent: Range<usize>) -> Result<()> {
        let (time, value, start) = match plain_sample(&self.decoded[extent.clone()]) {
            Some((time, value)) => (time, value, 0),
            None => any_sample(Reader::over(self.decoded, extent), self.start_field)?,
        };
        if time < self.bounds.0 || time > self.bounds.1 {
            self.out_of_bounds(time);
            return Ok(());
        }
        self.float(time, value, start);
        Ok(())
    }

    #[inline]
    fn float(&mut self, time: Millis, value: f64, start: Millis) {
        let found = &mut self.found;
        if start != 0 {
            // Rows without one are filled up when the next has one, and at the end.
            found.starts.resize(found.times.len(), 0);
            found.starts.push(start);
        }
        found.times.push(time);
        found.values.push(value);
    }

    #[cold]
    pub fn histogram(&mut self, extent: Range<usize>) -> Result<()> {
        let sent = SentHistogram::decode(self.decoded, extent.clone())?;
        if sent.time < self.bounds.0 || sent.time > self.bounds.1 {
            self.out_of_bounds(sent.time);
        } else if sent.is_stale() {
            self.float(sent.time, f64::from_bits(STALE_BITS), sent.start);
        } else if extent.len() > MAX_HISTOGRAM_BYTES {
            self.invalid(|| {
                format!(
                    "it has {} bytes, at most {MAX_HISTOGRAM_BYTES} are taken",
                    extent.len()
                )
            });
        } else if let Err(rule) = sent.histogram() {
            self.invalid(|| format!("{rule} ({})", sent.outline()));
        } else {
            let bytes = (extent.start as u32, extent.len() as u32);
            let time = sent.time;
            self.found.histograms.push(BatchHistogram { time, bytes });
        }
        Ok(())
    }

    /// Adds a label that need not follow the labels found before it.
    fn gather(&mut self, labels: Range<usize>, more: Range<usize>) -> Range<usize> {
        if labels.is_empty() {
            return more;
        }
        if labels.end == more.start {
            return labels.start..more.end;
        }
        let base = self.decoded.len();
        let gathered = &mut self.found.gathered;
        let start = if labels.start < base {
            let start = base + gathered.len();
            gathered.extend_from_slice(&self.decoded[labels]);
            start
        } else {
            labels.start
        };
        gathered.extend_from_slice(&self.decoded[more]);
        start..base + gathered.len()
    }

    #[cold]
    fn out_of_bounds(&mut self, time: Millis) {
        let (min, _) = self.bounds;
        let exception = self.exception();
        if time < min {
            exception.too_old += 1;
            exception.oldest = exception.oldest.min(time);
        } else {
            exception.too_new += 1;
            exception.newest = exception.newest.max(time);
        }
    }

    fn invalid(&mut self, why: impl FnOnce() -> String) {
        let exception = self.exception();
        if exception.invalid == 0 {
            exception.why = why();
        }
        exception.invalid += 1;
    }

    /// The exception of the series that is being read.
    #[cold]
    pub fn exception(&mut self) -> &mut Exception {
        let series = self.found.series.len();
        let exceptions = &mut self.found.exceptions;
        if exceptions.last().is_none_or(|last| last.series != series) {
            exceptions.push(Exception {
                series,
                too_old: 0,
                too_new: 0,
                oldest: Millis::MAX,
                newest: Millis::MIN,
                invalid: 0,
                why: String::new(),
            });
        }
        let last = exceptions.len() - 1;
        &mut exceptions[last]
    }
}

/// A sample as nearly every sender writes it: a value, unless it is zero, then a timestamp.
#[inline]
fn plain_sample(message: &[u8]) -> Option<(Millis, f64)> {
    let (bits, rest) = match message {
        [0x09, rest @ ..] => rest
            .split_first_chunk()
            .map(|(bits, rest)| (u64::from_le_bytes(*bits), rest))?,
        _ => (0, message),
    };
    let [0x10, time @ ..] = rest else {
        return None;
    };
    let (&last, head) = time.split_last()?;
    if last >= 0x80 || head.len() > 8 {
        return None;
    }
    let mut value = u64::from(last);
    for &byte in head.iter().rev() {
        if byte < 0x80 {
            return None;
        }
        value = value << 7 | u64::from(byte & 0x7f);
    }
    Some((value as Millis, f64::from_bits(bits)))
}

/// A sample in any encoding: what is missing is zero, of what is repeated the last counts.
#[cold]
fn any_sample(mut reader: Reader<'_>, start_field: u32) -> Result<(Millis, f64, Millis)> {
    let (mut time, mut bits, mut start) = (0, 0, 0);
    while !reader.is_empty() {
        let (field, wire) = reader.tag()?;
        match field {
            1 => {
                expect_wire(wire, FIXED64, "a sample's value", reader.position())?;
                bits = reader.fixed64()?;
            }
            2 => {
                expect_wire(wire, VARINT, "a sample's timestamp", reader.position())?;
                time = reader.varint()?;
            }
            _ if field == start_field => {
                expect_wire(wire, VARINT, "a sample's start timestamp", reader.position())?;
                start = reader.varint()?;
            }
            _ => reader.skip(wire)?,
        }
    }
    Ok((time as Millis, f64::from_bits(bits), start as Millis))
}
