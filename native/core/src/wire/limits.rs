//! What one instance may send.

use crate::model::Millis;

/// Bounds of one write request. Sizes are bytes; ages are relative to the time the request is validated at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteLimits {
    /// The body as it came, in snappy.
    pub max_body_bytes: usize,
    /// The body's size once decompressed.
    pub max_decoded_bytes: usize,
    /// Labels of one series, its metric name included.
    pub max_labels: usize,
    pub max_name_bytes: usize,
    pub max_value_bytes: usize,
    /// `None`: any age.
    pub max_age_ms: Option<Millis>,
    /// `None`: any time ahead.
    pub max_future_ms: Option<Millis>,
}

impl Default for WriteLimits {
    fn default() -> Self {
        Self {
            max_body_bytes: 32 << 20,
            max_decoded_bytes: 32 << 20,
            max_labels: 64,
            max_name_bytes: 1024,
            max_value_bytes: 4096,
            max_age_ms: None,
            max_future_ms: Some(600_000),
        }
    }
}

impl WriteLimits {
    /// For bodies that were accepted before: whatever the limits are by now, the log's content stands.
    pub(super) const REPLAY: Self = Self {
        max_body_bytes: usize::MAX,
        max_decoded_bytes: usize::MAX,
        max_labels: usize::MAX,
        max_name_bytes: usize::MAX,
        max_value_bytes: usize::MAX,
        max_age_ms: None,
        max_future_ms: None,
    };

    /// The oldest and the newest sample time that are accepted at `now`.
    pub(super) fn time_bounds(&self, now: Millis) -> (Millis, Millis) {
        (
            self.max_age_ms.map_or(Millis::MIN, |age| now.saturating_sub(age)),
            self.max_future_ms
                .map_or(Millis::MAX, |ahead| now.saturating_add(ahead)),
        )
    }
}
