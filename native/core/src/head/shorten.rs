//! A snapshot without its latest samples: what is left when those were folded where the head is.

use crate::model::Millis;

use super::chunks;
use super::snapshot::{Axes, HeadSnapshot, Piece};

impl HeadSnapshot {
    /// An estimate of what the values of samples later than `last` take, from their number.
    pub fn bytes_after(&self, last: Millis) -> usize {
        let kept = self.kept(last);
        let (mut all, mut late) = (0, 0);
        for piece in &self.pieces {
            all += piece.count as usize;
            late += (piece.count - piece.until(&kept)) as usize;
        }
        let values = self.encoded.len() + self.plain.len() * 8;
        // A product of two sizes may be more than a size.
        (values as u128 * late as u128 / (all.max(1) as u128)) as usize
    }

    /// Drops the samples later than `last`; rows stay, even without any. There must be no histograms.
    pub fn keep_until(&mut self, last: Millis) {
        debug_assert!(!self.has_histograms(), "histograms count the pieces before them");
        let kept = self.kept(last);
        let mut axes = Axes::default();
        for (axis, &kept) in (0..).zip(&kept) {
            axes.push(self.axes.get(axis)[..kept as usize].iter().copied());
        }
        let (mut pieces, mut encoded, mut plain) = (Vec::new(), Vec::new(), Vec::new());
        let mut start = 0;
        for end in &mut self.ends {
            for piece in &self.pieces[start..*end as usize] {
                let count = piece.until(&kept);
                if count == 0 {
                    continue;
                }
                let shortened = Piece {
                    count,
                    encoded: piece.encoded.min(count),
                    encoded_at: encoded.len(),
                    plain_at: plain.len(),
                    ..*piece
                };
                if shortened.encoded > 0 {
                    let values = (shortened.skipped + shortened.encoded) as usize;
                    encoded.extend_from_slice(chunks::first_of(&self.encoded[piece.encoded_at..], values));
                }
                let values = (count - shortened.encoded) as usize;
                plain.extend_from_slice(&self.plain[piece.plain_at..piece.plain_at + values]);
                pieces.push(shortened);
            }
            start = *end as usize;
            *end = pieces.len() as u32;
        }
        pieces.shrink_to_fit();
        encoded.shrink_to_fit();
        plain.shrink_to_fit();
        self.axes = axes;
        self.pieces = pieces;
        self.encoded = encoded;
        self.plain = plain;
    }

    /// How many times of each axis are not later than `last`.
    fn kept(&self, last: Millis) -> Vec<u32> {
        (0..self.axes.len() as u32)
            .map(|axis| self.axes.get(axis).partition_point(|&time| time <= last) as u32)
            .collect()
    }
}

impl Piece {
    /// How many of its samples lie on the first `kept` places of their axis.
    fn until(&self, kept: &[u32]) -> u32 {
        kept[self.axis as usize]
            .saturating_sub(self.first)
            .min(self.count)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use crate::engine::{Limits, QueryContext};
    use crate::head::expected::{Columns, UIDS, WIDTH, Write, batch, columns};
    use crate::head::{Asked, Head, HeadRows, Tests};
    use crate::log::{LogRecord, RecordKind};
    use crate::model::{Millis, SampleReader, SampleSource};

    const END: Millis = 100_000;

    /// Rows of several windows, with runs, blocks and plain values, gaps, and samples that came late.
    fn selected(writes: &[(usize, Millis)], from: Millis) -> HeadRows {
        let head = Head::new(0, WIDTH).unwrap();
        for (offset, &(set, time)) in (0..).zip(writes) {
            let write = Write {
                set,
                reversed: false,
                samples: vec![(time, time as f64 / 8.0)],
                histograms: Vec::new(),
                start: if set > 1 { time / 700 * 700 } else { 0 },
            };
            let kind = RecordKind::Write {
                batches: vec![Arc::new(batch(0, &[write]))],
            };
            let record = LogRecord {
                offset,
                now_ms: 0,
                kind,
            };
            Head::apply(&[&head], [&record]);
        }
        let context = QueryContext::new(Limits::default());
        head.select(
            UIDS[0],
            &mut Tests::new(&[]),
            Asked {
                range: (from, END),
                labels: &|_| true,
                starts: true,
            },
            &mut context.symbols(),
            &mut |_| Ok(()),
        )
        .unwrap()
    }

    fn read(reader: &mut dyn SampleReader, row: usize, from: Millis, last: Millis) -> Columns {
        columns(reader.read(row, from, last).unwrap())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        #[test]
        fn what_is_not_later_stays(
            scrapes in 1..220_u32,
            late in prop::collection::vec((0..4_usize, 0..40_i64), 0..12),
            (from, last) in (0..9_000_i64, -10..10_000_i64),
        ) {
            let mut writes: Vec<(usize, Millis)> = (0..i64::from(scrapes))
                .flat_map(|scrape| (0..4).map(move |set| (set, scrape * 40 + 3)))
                .filter(|&(set, time)| (time / 40 + set as i64) % (7 + set as i64) != 0)
                .collect();
            writes.extend(late.into_iter().map(|(set, place)| (set, place * 200 + 1)));
            let whole = selected(&writes, from);
            let mut shortened = selected(&writes, from).samples;
            let estimate = shortened.bytes_after(last);
            prop_assert!(estimate <= shortened.bytes());
            shortened.keep_until(last);
            prop_assert_eq!(shortened.rows(), whole.samples.rows());
            prop_assert_eq!(shortened.bytes_after(last), 0);
            let (mut mine, mut all) = (shortened.reader(), whole.samples.reader());
            for row in 0..shortened.rows() {
                prop_assert_eq!(
                    read(mine.as_mut(), row, Millis::MIN, Millis::MAX),
                    read(all.as_mut(), row, Millis::MIN, last)
                );
                prop_assert_eq!(
                    read(mine.as_mut(), row, last - 900, last - 100),
                    read(all.as_mut(), row, last - 900, last - 100)
                );
            }
        }
    }
}
