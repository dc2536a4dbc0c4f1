//! Remote-write bodies: bounded snappy, one-pass split, label rules, and bodies written again.
//!
//! | module | what it does |
//! |---|---|
//! | [`snappy`] | the block format, its declared size checked before anything is allocated |
//! | [`proto`] | a bounded reader of protobuf fields |
//! | [`scan`] | the hot pass over a decoded request: where labels lie, what the samples are |
//! | [`v2`] | the same of a remote-write 2.0 request |
//! | [`symbols`] | its table of strings |
//! | [`label_bytes`] | its labels, written from references in the form of 1.0 |
//! | [`labels`] | the label rules, and label bytes as text |
//! | [`keys`] | keyed hashes: label keys and partitions |
//! | [`cache`] | label bytes already known to be valid |
//! | [`exemplar`] | exemplars decoded, checked and written |
//! | [`split`] | the whole: body in, [`SplitBatch`] out; live and on replay |
//! | [`batch`] | the accepted part of a request |
//! | [`histogram`] | native histograms: what was sent, and whether it is valid |
//! | [`encode`] | remote-write 1.0 messages written |
//! | [`front`] | label bytes of neighbours, each as what differs from the one before |
//! | [`known`] | which series the heads are known to hold, for the limits of series |
//! | [`admission`] | which new series an instance has room for |
//! | [`refusal`] | what was refused, counted by reason with an example each |

mod admission;
mod batch;
mod cache;
mod description;
pub mod encode;
pub mod exemplar;
pub(crate) mod front;
mod histogram;
mod keys;
pub mod known;
mod label_bytes;
pub mod labels;
mod limits;
mod metadata;
pub(crate) mod proto;
mod refusal;
mod scan;
pub(crate) mod snappy;
mod split;
mod symbols;
mod v2;

#[cfg(test)]
mod properties;

pub use admission::{Admitted, SeriesLimits, Surplus};
pub use batch::{BatchHistogram, BatchSeries, Form, LabelSets, MetadataEntry, PushEntry, SplitBatch};
pub use exemplar::BatchExemplar;
pub use histogram::MAX_HISTOGRAM_BYTES;
pub(crate) use histogram::SentHistogram;
pub(crate) use keys::{InstanceKeys, Placement};
pub use known::KnownSeries;
pub use limits::WriteLimits;
pub use metadata::MAX_ENTRIES as MAX_METADATA_ENTRIES;
pub use refusal::{Reason, Refusal};
pub use split::Splitter;
