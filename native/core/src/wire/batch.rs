//! A write request after the split: what the log stores and what a head applies.

use hashbrown::HashSet;

use super::admission::Surplus;
use super::encode::{Rows, put_metadata, put_push, put_rows};
use super::exemplar::{BatchExemplar, put_exemplar};
use super::front::FrontCursor;
use super::histogram::SentHistogram;
use super::labels::series_text;
use super::refusal::{Refusal, refuse};
use super::snappy;
use crate::Result;
use crate::model::{Histogram, Millis, Uid};

/// One accepted series of a request. A label set that the sender wrote twice is two of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchSeries {
    pub partition: u16,
    /// Keyed 128-bit hash over the uid and the label bytes below. Only a cache key: the same label set in another encoding has another
    /// key.
    pub key: u128,
    /// Where the label bytes lie in [`SplitBatch::labels`], or in what [`SplitBatch::front`] holds if there is one, put
    /// together one behind the other; start and length.
    pub labels: (u32, u32),
    /// The rows of `times` and `values` that belong to it, start and length.
    pub samples: (u32, u32),
    /// Likewise of `histograms`; at least one of the two holds something. Of one time a float counts before a histogram.
    pub histograms: (u32, u32),
}

impl BatchSeries {
    /// Samples of both kinds.
    pub fn len(&self) -> u64 {
        u64::from(self.samples.1) + u64::from(self.histograms.1)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The label bytes of a batch's series. Those of a record are put together when somebody asks: cheap in the order of the series.
#[derive(Debug)]
pub enum LabelSets<'b> {
    Sent(&'b [u8]),
    Front(FrontCursor<'b>),
}

impl LabelSets<'_> {
    #[inline]
    pub fn of(&mut self, series: &BatchSeries) -> &[u8] {
        match self {
            Self::Sent(labels) => &labels[rows(series.labels)],
            Self::Front(cursor) => cursor.find(rows(series.labels)),
        }
    }
}

/// A native histogram that was found valid, and is no stale marker: those are floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHistogram {
    pub time: Millis,
    /// Where its `Histogram` message lies in [`SplitBatch::labels`], start and length.
    pub bytes: (u32, u32),
}

impl BatchHistogram {
    /// Its message in the bytes that hold it.
    pub fn message<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        &bytes[rows(self.bytes)]
    }
}

/// Which message a body holds.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// `prometheus.WriteRequest`, of remote write 1.0.
    #[default]
    V1,
    /// `io.prometheus.write.v2.Request`, of remote write 2.0.
    V2,
}

/// A change of a pushed group, which the partition keeps: `push::operation` writes and reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushEntry {
    pub partition: u16,
    pub operation: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataEntry {
    pub partition: u16,
    pub family: String,
    /// The numbers of `MetricMetadata.MetricType` in remote write 1.0.
    pub kind: u8,
    pub help: String,
    pub unit: String,
}

/// The accepted part of one request of one instance, in the order in which the sender wrote it.
#[derive(Debug, Default, Clone)]
pub struct SplitBatch {
    pub uid: Option<Uid>,
    /// How many partitions the instance used when this was split; replay needs it.
    pub shards: u16,
    /// Raw protobuf bytes in which each series' labels lie: repeated `Label` fields of one `TimeSeries`, tags included
    /// (`0a <len> 0a <len> name 12 <len> value`), valid UTF-8, names unique and never empty, values never empty, `__name__` among
    /// them, in the sender's order: not necessarily sorted. The messages of histograms lie there, too. What lies between is of no meaning.
    pub labels: Vec<u8>,
    /// Holds the labels of the series instead, each as what differs from those before (`front`), if they were read from a record that
    /// has them so. It was read through.
    pub front: Option<Vec<u8>>,
    /// Rows of `times` and `values`, and `histograms`, belong to the series in this order, without gaps.
    pub series: Vec<BatchSeries>,
    pub times: Vec<Millis>,
    pub values: Vec<f64>,
    /// When the counter of each row began, 0 where that is not known; empty if it is known of none.
    pub starts: Vec<Millis>,
    pub histograms: Vec<BatchHistogram>,
    pub metadata: Vec<MetadataEntry>,
    pub exemplars: Vec<BatchExemplar>,
    /// Never from a sender's message.
    pub pushes: Vec<PushEntry>,
    /// What a log of segment files keeps, in snappy. The sender's own bytes if nothing was refused, else written again, as remote write
    /// 1.0, from what was accepted. Empty in a batch that comes from replay.
    pub body: Vec<u8>,
    pub form: Form,
    /// What was refused, one entry per reason in the order of meeting them.
    pub refused: Vec<Refusal>,
}

impl SplitBatch {
    /// The label bytes of its series, wherever they lie.
    pub fn label_sets(&self) -> LabelSets<'_> {
        match &self.front {
            None => LabelSets::Sent(&self.labels),
            Some(packed) => LabelSets::Front(FrontCursor::new(packed)),
        }
    }

    /// Those of a series in a batch that a sender's message was split into.
    pub(super) fn labels_of(&self, series: &BatchSeries) -> &[u8] {
        &self.labels[rows(series.labels)]
    }

    /// Those that hold something of the batch, ascending.
    pub fn partitions(&self) -> Vec<u16> {
        let mut met = [0_u64; 1 << 10];
        let series = self.series.iter().map(|s| s.partition);
        let others = self.metadata.iter().map(|m| m.partition);
        let pushes = self.pushes.iter().map(|push| push.partition);
        let exemplars = self.exemplars.iter().map(|exemplar| exemplar.partition);
        for partition in series.chain(others).chain(pushes).chain(exemplars) {
            met[usize::from(partition >> 6)] |= 1 << (partition & 63);
        }
        let words = (0..=u16::MAX).step_by(64).zip(met).filter(|&(_, word)| word != 0);
        words
            .flat_map(|(first, word)| {
                (0..64)
                    .filter(move |bit| word >> bit & 1 == 1)
                    .map(move |bit| first + bit)
            })
            .collect()
    }

    pub fn samples_of(&self, series: &BatchSeries) -> (&[Millis], &[f64]) {
        (
            &self.times[rows(series.samples)],
            &self.values[rows(series.samples)],
        )
    }

    /// When the counters of a series' rows began; empty if it is known of none in the batch.
    pub fn starts_of(&self, series: &BatchSeries) -> &[Millis] {
        self.starts.get(rows(series.samples)).unwrap_or_default()
    }

    pub fn histograms_of(&self, series: &BatchSeries) -> &[BatchHistogram] {
        &self.histograms[rows(series.histograms)]
    }

    /// A histogram of the batch, and when it began to count, 0 if that is not known. `None`: it cannot be read, though it could be when
    /// it was split.
    pub fn histogram(&self, histogram: &BatchHistogram) -> Option<(Histogram, Millis)> {
        let sent = SentHistogram::decode(&self.labels, rows(histogram.bytes)).ok()?;
        Some((sent.histogram().ok()?, sent.start))
    }

    /// Takes a `Histogram` message that was found valid before, for the series that comes next.
    pub fn add_histogram(&mut self, message: &[u8]) -> Result<()> {
        let bytes = (self.labels.len() as u32, message.len() as u32);
        self.labels.extend_from_slice(message);
        let time = SentHistogram::decode(&self.labels, rows(bytes))?.time;
        self.histograms.push(BatchHistogram { time, bytes });
        Ok(())
    }

    /// All samples of a series.
    pub fn rows_of(&self, series: &BatchSeries) -> Rows<'_> {
        let (times, values) = self.samples_of(series);
        Rows {
            times,
            values,
            starts: self.starts_of(series),
            histograms: self.histograms_of(series),
            bytes: &self.labels,
        }
    }

    /// The label bytes of an exemplar's series, and its own.
    pub fn exemplar_labels(&self, exemplar: &BatchExemplar) -> (&[u8], &[u8]) {
        (
            &self.labels[rows(exemplar.series)],
            &self.labels[rows(exemplar.labels)],
        )
    }

    /// The batch without those series for whose number `surplus` says why; they are counted as refused.
    pub fn retain(&self, mut surplus: impl FnMut(usize) -> Option<Surplus>) -> Result<Self> {
        let mut kept = self.clone();
        let mut refused = std::mem::take(&mut kept.refused);
        let mut all = true;
        let mut label_sets = self.label_sets();
        kept.retain_series(|i| {
            let Some(surplus) = surplus(i) else { return true };
            all = false;
            let series = &self.series[i];
            let labels = label_sets.of(series);
            let example = || format!("{}: {}", surplus.why(labels), series_text(labels));
            refuse(&mut refused, surplus.reason(), series.len(), example);
            false
        });
        kept.refused = refused;
        if !all {
            let gone: HashSet<u128> = self.series.iter().map(|series| series.key).collect();
            let left: HashSet<u128> = kept.series.iter().map(|series| series.key).collect();
            kept.exemplars
                .retain(|exemplar| left.contains(&exemplar.key) || !gone.contains(&exemplar.key));
            kept.encode_body()?;
        }
        Ok(kept)
    }

    /// Drops series and closes the gaps they leave in the columns.
    pub(super) fn retain_series(&mut self, mut keep: impl FnMut(usize) -> bool) {
        let (mut end, mut histograms_end) = (0, 0);
        let mut number = 0;
        let (times, values, histograms) = (&mut self.times, &mut self.values, &mut self.histograms);
        let has_starts = !self.starts.is_empty();
        let starts = &mut self.starts;
        self.series.retain_mut(|series| {
            let kept = keep(number);
            number += 1;
            if kept {
                let from = rows(series.samples);
                series.samples.0 = end as u32;
                times.copy_within(from.clone(), end);
                values.copy_within(from.clone(), end);
                if has_starts {
                    starts.copy_within(from.clone(), end);
                }
                end += from.len();
                let from = rows(series.histograms);
                series.histograms.0 = histograms_end as u32;
                histograms.copy_within(from.clone(), histograms_end);
                histograms_end += from.len();
            }
            kept
        });
        times.truncate(end);
        values.truncate(end);
        histograms.truncate(histograms_end);
        starts.truncate(end);
    }

    /// Heap bytes that it keeps alive.
    pub fn held_bytes(&self) -> usize {
        let metadata: usize = self
            .metadata
            .iter()
            .map(|m| 80 + m.family.len() + m.help.len() + m.unit.len())
            .sum();
        self.body.len()
            + self.labels.len()
            + self.front.as_ref().map_or(0, Vec::len)
            + size_of_val(self.series.as_slice())
            + self.times.len() * 16
            + self.starts.len() * 8
            + size_of_val(self.histograms.as_slice())
            + self
                .pushes
                .iter()
                .map(|push| 48 + push.operation.len())
                .sum::<usize>()
            + size_of_val(self.exemplars.as_slice())
            + metadata
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty() && self.metadata.is_empty() && self.pushes.is_empty()
    }

    /// Makes the body one that holds exactly this batch.
    pub(crate) fn encode_body(&mut self) -> Result<()> {
        self.body = self.encode()?;
        self.form = Form::V1;
        Ok(())
    }

    /// A body of remote write 1.0 that holds exactly this batch.
    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let mut plain = Vec::new();
        let mut label_sets = self.label_sets();
        for series in &self.series {
            put_rows(&mut plain, label_sets.of(series), &self.rows_of(series));
        }
        for exemplar in &self.exemplars {
            let (series, labels) = self.exemplar_labels(exemplar);
            put_exemplar(&mut plain, series, labels, exemplar.time, exemplar.value);
        }
        for entry in &self.metadata {
            put_metadata(&mut plain, entry.kind, &entry.family, &entry.help, &entry.unit);
        }
        for push in &self.pushes {
            put_push(&mut plain, &push.operation);
        }
        snappy::compress(&plain)
    }
}

fn rows((start, len): (u32, u32)) -> std::ops::Range<usize> {
    start as usize..start as usize + len as usize
}
