//! Records for a log that lies elsewhere and keeps a sequence for each partition. `docs/formats.md` draws them.
//!
//! | file | what it does |
//! |---|---|
//! | `format` | the header of a record, and its payload compressed once |
//! | `draft` | a record in the making, with parts of many requests |
//! | `section` | what a record holds of one instance, column by column |
//! | `decode` | records as readers of the log see them |
//! | `outbox` | what waits to be sent, collected for some milliseconds, and who waits for it |
//!
//! Bytes that came from elsewhere never panic, and take no more memory than a record may.

mod decode;
mod draft;
mod format;
mod outbox;
mod section;

pub use decode::Decoder;
pub use draft::seal;
pub use format::MAX_VALUE_BYTES;
pub use outbox::{Finished, Outbox, OutboxOptions, Outgoing};

#[cfg(test)]
mod tests;
