//! Timestamp and value codecs. All are bit-exact; decoders take bytes from outside and answer with `Corrupt`, never a panic.
//!
//! | module | what it does |
//! |---|---|
//! | [`bytes`] | varints and a bounds-checked reader |
//! | [`squeeze`] | zstd where it pays, with every length checked before memory is taken |
//! | [`times`] | one column of irregular timestamps |
//! | [`rice`] | unsigned numbers in few bits |
//! | [`ints`] | a run of integers as differences from a prediction |
//! | [`values`] | one run of float64 values |
//! | [`histograms`] | a chunk of native histograms, column by column |

pub mod bytes;
pub mod histograms;
pub mod ints;
pub mod rice;
pub mod squeeze;
pub mod times;
pub mod values;

/// The longest run: readers decode whole runs, so an instant query pays for at most this many samples.
pub const RUN: usize = 240;
