//! Series found in heads and blocks, read as one column each.
//!
//! | module | what it does |
//! |---|---|
//! | `selection` | puts together what heads and blocks hold of one selector |
//! | `rows` | equal label sets of several sources become one row |
//! | `set` | a table with its source of samples; reads a row from all that hold it |
//! | `block_rows` | rows found in a block |
//! | `part` | what one head gives a query |
//! | `wire` | parts of heads between two processes |
//! | `names` | label names, values and sets for the metadata endpoints |

mod block_rows;
mod names;
mod part;
mod rows;
mod selection;
mod set;
mod wire;

pub use names::Names;
pub use part::{HeadPart, HeadSearch, NamesPart, NamesSearch};
pub use selection::Selection;
pub use set::{Apart, ApartRows, SeriesSet};
pub use wire::{Incoming, Outgoing};
