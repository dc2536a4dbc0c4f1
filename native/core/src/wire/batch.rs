//! A write request after the split: what the log stores and what a head applies.

use crate::model::{Millis, Uid};

/// One accepted series of a request.
#[derive(Debug, Clone, Copy)]
pub struct BatchSeries {
    pub partition: u16,
    /// Seeded 128-bit hash over the uid and the raw label bytes as the sender encoded them. Only a cache key: the same label set in
    /// another encoding has another key.
    pub key: u128,
    /// Where the canonical label bytes lie in [`SplitBatch::labels`].
    pub labels: (u32, u32),
    /// The rows of `times` and `values` that belong to it, start and length.
    pub samples: (u32, u32),
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
#[derive(Debug, Default)]
pub struct SplitBatch {
    pub uid: Option<Uid>,
    /// Raw protobuf bytes in which each series' labels lie: repeated `Label` fields of one `TimeSeries`, tags included
    /// (`0a <len> 0a <len> name 12 <len> value`), as sent: not necessarily sorted.
    pub labels: Vec<u8>,
    pub series: Vec<BatchSeries>,
    pub times: Vec<Millis>,
    pub values: Vec<f64>,
    pub metadata: Vec<MetadataEntry>,
}
