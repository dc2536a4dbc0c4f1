//! Segment files with group commit: the log of a standalone server.
//!
//! | file | what it does |
//! |---|---|
//! | `record` | what a reader gets, and how it lies in a frame |
//! | `queue` | what waits to be written, bounded in bytes |
//! | `segment` | the files and where in them an offset is found |
//! | `tail` | what is committed: the segments, and the newest records with their columns |
//! | `replay` | reading back from disk |
//! | `engine` | append, commit, read, trim: everything but the thread |
//! | `local` | the thread |
//!
//! Locks are taken in the order trimming, writer, queue, tail; no lock but the first two is held during I/O.
//! The replay cursor's is too, and nests in none of them.

mod engine;
mod local;
mod queue;
mod record;
mod replay;
mod segment;
mod tail;
mod wake;

pub use engine::LogOptions;
pub use local::{LocalLog, LogReader};
pub use queue::Failure;
pub use record::{LogRecord, RecordKind, Replay};
pub(crate) use wake::Wake;

#[cfg(test)]
mod tests;
