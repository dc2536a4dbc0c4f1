//! The words everything else speaks.

pub mod histogram;
mod keys;
mod matcher;
mod merge;
mod re2;
mod samples;
mod table;

pub use histogram::{Histogram, ResetHint};
pub use keys::TimesKeys;
pub use matcher::{MatchOp, Matcher, compile_anchored};
pub use merge::Merge;
pub use samples::{SampleBuf, SampleReader, SampleSource, Samples};
pub use table::{SeriesTable, Symbols};

/// Milliseconds since the Unix epoch.
pub type Millis = i64;

/// The bits of the stale marker. Compare bits, never values: it is a NaN.
pub const STALE_BITS: u64 = 0x7ff0_0000_0000_0002;

/// Whether a value is the stale marker.
#[inline]
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_BITS
}

/// The immutable random identity of an instance. Names can be used again, uids cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uid(pub [u8; 16]);

/// The first millisecond of the aligned window of `width` that holds `time`.
#[inline]
pub fn window_of(time: Millis, width: Millis) -> Millis {
    time.div_euclid(width).saturating_mul(width)
}
