//! Records for a log that lies elsewhere and keeps a sequence for each partition. `docs/formats.md` draws them.
//!
//! | file | what it does |
//! |---|---|
//! | `format` | the header of a record, and its payload compressed once |
//! | `part` | what of a batch lies in which partition |
//! | `encode` | parts of many requests in as few records as hold them |
//! | `decode` | records as readers of the log see them |
//! | `outbox` | what waits to be sent, collected for some milliseconds, and who waits for it |
//!
//! Bytes that came from elsewhere never panic, and take no more memory than a record may.

mod decode;
mod encode;
mod format;
mod outbox;
mod part;

pub use decode::Decoder;
pub use encode::{Encoded, Encoder, seal};
pub use format::MAX_VALUE_BYTES;
pub use outbox::{Finished, Outbox, OutboxOptions, Outgoing};
pub use part::Part;

#[cfg(test)]
mod tests;
