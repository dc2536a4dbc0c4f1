//! Segment files with group commit.

mod record;

pub use record::{LogRecord, RecordKind};
