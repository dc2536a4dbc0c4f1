//! What was refused, counted by reason with an example each.

/// Why samples were refused. Its name is part of metrics and of the rejections endpoint, so it never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    MissingName,
    EmptyLabelName,
    InvalidUtf8,
    DuplicateLabel,
    TooManyLabels,
    LabelNameTooLong,
    LabelValueTooLong,
    TooOld,
    TooFarInFuture,
    InvalidHistogram,
    InvalidMetadata,
    SeriesLimit,
    MetricSeriesLimit,
    /// Remote write 2.0: references that the table of symbols does not hold, or a name without a value.
    InvalidSymbols,
    /// Counts exemplars.
    InvalidExemplar,
    /// Remote write 2.0: a series without samples.
    EmptySeries,
}

impl Reason {
    pub fn name(self) -> &'static str {
        match self {
            Self::MissingName => "missing_name",
            Self::EmptyLabelName => "empty_label_name",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::DuplicateLabel => "duplicate_label",
            Self::TooManyLabels => "too_many_labels",
            Self::LabelNameTooLong => "label_name_too_long",
            Self::LabelValueTooLong => "label_value_too_long",
            Self::TooOld => "too_old",
            Self::TooFarInFuture => "too_far_in_future",
            Self::InvalidHistogram => "invalid_histogram",
            Self::InvalidMetadata => "invalid_metadata",
            Self::SeriesLimit => "series_limit",
            Self::MetricSeriesLimit => "metric_series_limit",
            Self::InvalidSymbols => "invalid_symbols",
            Self::InvalidExemplar => "invalid_exemplar",
            Self::EmptySeries => "empty_series",
        }
    }
}

/// All that was refused of a request for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub reason: Reason,
    /// Samples; of [`Reason::InvalidMetadata`] metadata entries.
    pub samples: u64,
    /// One line about the first of them: what was seen, what the limit is, and the series.
    pub message: String,
}

/// Counts what is refused for a reason; `message` is asked for the first of each only.
pub fn refuse(refused: &mut Vec<Refusal>, reason: Reason, samples: u64, message: impl FnOnce() -> String) {
    if samples == 0 {
        return;
    }
    match refused.iter_mut().find(|refusal| refusal.reason == reason) {
        Some(refusal) => refusal.samples += samples,
        None => refused.push(Refusal {
            reason,
            samples,
            message: message(),
        }),
    }
}
