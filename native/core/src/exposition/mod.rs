//! Exposition formats, read: what scrapers and the Pushgateway take.
//!
//! | module | what it does |
//! |---|---|
//! | [`encoding`] | compressed bodies within a bound |
//! | [`line`] | one line of text, in each dialect |
//! | [`number`] | Go's floats, and boundaries in canonical form |
//! | [`family`] | metric families, and the series that a scrape makes of them |
//! | [`native`] | native histograms of a client, as remote write has them |
//! | [`families`] | a whole text as families, all or nothing |
//! | [`protobuf`] | families as protobuf messages |
//! | [`import`] | back-fill: text with timestamps, bad lines left out |

pub mod encoding;
pub mod families;
pub mod family;
pub mod import;
pub mod line;
pub mod native;
pub mod number;
pub mod protobuf;
