//! Remote-write bodies: bounded snappy, one-pass split, label rules, log records.

mod batch;

pub use batch::{BatchSeries, MetadataEntry, SplitBatch};
