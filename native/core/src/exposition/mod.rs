//! Exposition formats, read: what scrapers and the Pushgateway take.
//!
//! | module | what it does |
//! |---|---|
//! | [`encoding`] | compressed bodies within a bound |
//! | [`line`] | one line of text, in each dialect |
//! | [`number`] | Go's floats, and boundaries in canonical form |
//! | [`import`] | back-fill: text with timestamps, bad lines left out |

pub mod encoding;
pub mod import;
pub mod line;
pub mod number;
