//! The parts of Headrace that touch every byte. No Python, no sockets: bytes and files in, bytes and columns out.
//!
//! | module | what it does |
//! |---|---|
//! | [`model`] | instances, samples, label tables, matchers: the words everything else speaks |
//! | [`wire`] | remote-write bodies: bounded snappy, one-pass split, label rules, log records |
//! | [`exposition`] | text formats of metrics, read |
//! | [`fs`] | the file layer: the real one, and one that loses what was not synced |
//! | [`push`] | pushed groups: operations, what a partition keeps of them, what is due |
//! | [`log`] | segment files with group commit |
//! | [`records`] | records of one partition each, for a log elsewhere: written, collected on their way out, read |
//! | [`store`] | pack files for payload and a journal for metadata |
//! | [`codec`] | timestamp and value codecs, always bit-exact |
//! | [`block`] | block writer, reader and merge |
//! | [`head`] | what was written lately, by series and window |
//! | [`select`] | series found in heads and blocks, read as one column each |
//! | [`kernel`] | range-vector functions |
//! | [`engine`] | columnar PromQL operators and JSON |
//! | [`load`] | made-up traffic that can be computed again, for the load generator |

pub mod block;
pub mod codec;
pub mod engine;
pub mod error;
pub mod exposition;
pub mod fs;
pub mod head;
pub mod kernel;
pub mod load;
pub mod log;
pub mod model;
pub mod push;
pub mod records;
pub mod select;
pub mod store;
pub mod wire;

pub use error::{Error, Result};
