//! What the samples of a row give occasion to tell the reader of the answer.

/// One occasion. Those up to `StartsOverlap` name the metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum RowNote {
    /// Floats and histograms where only one kind makes sense.
    MixedKinds,
    /// Histograms with exponential and with custom buckets.
    MixedLayouts,
    /// A gauge histogram where a counter is expected.
    NotACounter,
    /// A counter histogram where a gauge is expected.
    NotAGauge,
    /// Only the floats of a range were looked at.
    IgnoredHistograms,
    /// Samples claim to count what others of their series have counted. Told with how often.
    StartsOverlap,
    /// Custom bounds differed in an addition.
    ReconciledByAddition,
    ReconciledBySubtraction,
    ReconciledByAggregation,
    /// Counters that started again and such that went on were added.
    HintsCollide,
}

impl RowNote {
    pub const ALL: [Self; 10] = [
        Self::MixedKinds,
        Self::MixedLayouts,
        Self::NotACounter,
        Self::NotAGauge,
        Self::IgnoredHistograms,
        Self::StartsOverlap,
        Self::ReconciledByAddition,
        Self::ReconciledBySubtraction,
        Self::ReconciledByAggregation,
        Self::HintsCollide,
    ];

    pub const fn names_metric(self) -> bool {
        (self as u8) <= Self::StartsOverlap as u8
    }
}

/// A set of notes, and how often starts overlapped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowNotes {
    set: u16,
    pub overlaps: u64,
}

impl RowNotes {
    pub fn add(&mut self, note: RowNote) {
        self.set |= 1 << note as u8;
        self.overlaps += u64::from(note == RowNote::StartsOverlap);
    }

    pub fn add_if(&mut self, is_so: bool, note: RowNote) {
        if is_so {
            self.add(note);
        }
    }

    pub fn merge(&mut self, other: Self) {
        self.set |= other.set;
        self.overlaps += other.overlaps;
    }

    pub fn is_empty(self) -> bool {
        self.set == 0
    }

    pub fn has(self, note: RowNote) -> bool {
        self.set & 1 << note as u8 != 0
    }
}
