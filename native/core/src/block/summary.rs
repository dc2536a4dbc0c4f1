//! What a block holds, without its bytes: counted by who writes one, and by who only compares.

use super::digest::{Digest, series_key_in};
use super::times::MAX_SAMPLES;
use crate::model::{Millis, Samples, Uid};
use crate::{Error, Result};

/// What a block holds, without its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockSummary {
    pub uid: Uid,
    pub series: usize,
    pub samples: u64,
    /// Of the first and the last sample; 0 and -1 without samples.
    pub min_time: Millis,
    pub max_time: Millis,
    pub digest: u128,
}

/// Sums up series in whatever order.
#[derive(Debug)]
pub struct Summing {
    uid: Uid,
    digest: Digest,
    series: usize,
    samples: u64,
    span: Option<(Millis, Millis)>,
    /// Memory for keys of series.
    scratch: Vec<u8>,
}

impl Summing {
    pub fn new(uid: Uid) -> Self {
        Self {
            uid,
            digest: Digest::default(),
            series: 0,
            samples: 0,
            span: None,
            scratch: Vec::new(),
        }
    }

    pub fn uid(&self) -> Uid {
        self.uid
    }

    /// Series so far.
    pub fn series(&self) -> usize {
        self.series
    }

    /// Adds one series. `labels` sorted by name; at least one sample, times ascending.
    pub fn add<'a>(
        &mut self,
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
        samples: Samples<'_>,
    ) -> Result<()> {
        check(samples)?;
        let times = samples.times;
        self.digest
            .add(series_key_in(&mut self.scratch, self.uid, labels), samples);
        self.series += 1;
        self.samples += times.len() as u64;
        let (first, last) = (times[0], times[times.len() - 1]);
        let (min, max) = self.span.unwrap_or((first, last));
        self.span = Some((min.min(first), max.max(last)));
        Ok(())
    }

    pub fn summary(&self) -> BlockSummary {
        let (min_time, max_time) = self.span.unwrap_or((0, -1));
        BlockSummary {
            uid: self.uid,
            series: self.series,
            samples: self.samples,
            min_time,
            max_time,
            digest: self.digest.value(),
        }
    }
}

fn check(samples: Samples<'_>) -> Result<()> {
    let Samples {
        times,
        values,
        histograms,
        starts,
        ..
    } = samples;
    if times.is_empty() || times.len() != values.len() || times.len() > MAX_SAMPLES {
        return Err(Error::BadData(format!(
            "a series of a block needs 1 to {MAX_SAMPLES} samples; got {} times and {} values",
            times.len(),
            values.len()
        )));
    }
    for (len, what) in [(histograms.len(), "histograms"), (starts.len(), "starts")] {
        if len != 0 && len != times.len() {
            let samples = times.len();
            return Err(Error::BadData(format!(
                "{len} places for {what} in {samples} samples"
            )));
        }
    }
    if times.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err(Error::BadData("times of a series must ascend".into()));
    }
    Ok(())
}
