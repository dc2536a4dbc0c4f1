//! Blocks: one instance's part of one generation, as a small root and pages of compressed columns. `docs/formats.md` draws both.
//!
//! | module | what it does |
//! |---|---|
//! | [`writer`], [`merge`] | sorted series in, [`BlockParts`] out; several blocks become one |
//! | [`reader`] | an opened root: labels, matchers, which pages a query needs |
//! | [`decode`] | a cursor over supplied pages: samples of one row |
//! | [`digest`] | the order-independent fingerprint of a block's samples |
//! | [`summary`] | what a block would say of its content, without the block |
//! | `labels`, `select`, `times`, `group`, `histograms`, `starts`, `page` | the parts of the format |

pub mod decode;
pub mod digest;
mod group;
mod histograms;
mod labels;
pub mod merge;
mod page;
pub mod reader;
mod select;
mod slices;
mod starts;
pub mod summary;
mod times;
pub mod writer;

pub use decode::BlockCursor;
pub use digest::{Digest, series_key};
pub use merge::merge;
pub use page::{PageBytes, PageSet};
pub use reader::BlockReader;
pub use summary::{BlockSummary, Summing};
pub use writer::{BlockParts, BlockWriter};

#[cfg(test)]
mod tests;
