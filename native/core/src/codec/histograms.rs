//! A chunk of native histograms of one series: each layout once, then a column for each number of it, coded as values are.
//!
//! Observations come in over time, so a bucket's counts are a slow counter, and neighbouring buckets rise alike: what [`super::values`]
//! does for the series of classic histograms it does here for the buckets of a native one.
//!
//! ```text
//! [count]  then, until there are so many histograms: [histograms of this layout] [layout] [columns]
//! layout:  [1: a gauge] [schema] [zero threshold, 8 bytes] [positive] [negative] [bounds: count, 8 bytes each]
//!          a sign: [spans, then (gap from the end of the one before, signed; length) each]
//! columns: count, zero count, sum, positive buckets, negative ones: [length] [run of values] each, leaning on the one before
//! ```

use std::sync::Arc;

use super::bytes::{Input, put_signed, put_varint};
use super::values::{self, RunEncoder, RunInts};
use crate::model::histogram::{Buckets, MAX_BUCKETS};
use crate::model::{Histogram, ResetHint};
use crate::{Error, Result};

/// The most histograms in a chunk: what a reader of one has to decode.
pub const CHUNK: usize = 64;

/// The most numbers in a chunk, unless a single histogram has more; so a chunk fits a page however badly it compresses.
const NUMBERS: usize = 6000;

/// The count, the zero count and the sum.
const TOTALS: usize = 3;

/// How many numbers a histogram adds to a chunk.
pub fn weight(histogram: &Histogram) -> usize {
    TOTALS + histogram.positive.len() + histogram.negative.len() + histogram.custom.len()
}

/// Whether a chunk of so many histograms with so many numbers takes another one of this weight.
pub const fn has_room(histograms: usize, numbers: usize, more: usize) -> bool {
    histograms < CHUNK && numbers + more <= NUMBERS
}

/// How many of the histograms, from the first, go into one chunk; and their numbers.
pub fn chunk_len<'h>(histograms: impl Iterator<Item = &'h Histogram>) -> (usize, usize) {
    let (mut len, mut numbers) = (0, 0);
    for histogram in histograms {
        let more = weight(histogram);
        if len > 0 && !has_room(len, numbers, more) {
            break;
        }
        (len, numbers) = (len + 1, numbers + more);
    }
    (len, numbers)
}

/// Encodes chunks. Holds scratch memory.
#[derive(Debug, Default)]
pub struct HistogramEncoder {
    values: RunEncoder,
    column: Vec<f64>,
    run: Vec<u8>,
}

impl HistogramEncoder {
    /// Appends a chunk of 1 to [`CHUNK`] histograms. Of their hints only that of a gauge is kept.
    pub fn encode(&mut self, histograms: &[&Histogram], out: &mut Vec<u8>) {
        debug_assert!((1..=CHUNK).contains(&histograms.len()));
        put_varint(out, histograms.len() as u64);
        let mut rest = histograms;
        while let Some(first) = rest.first() {
            let alike = rest.iter().take_while(|h| h.has_layout_of(first)).count();
            let (these, more) = rest.split_at(alike.max(1));
            put_varint(out, these.len() as u64);
            put_layout(first, out);
            self.columns(these, out);
            rest = more;
        }
    }

    fn columns(&mut self, histograms: &[&Histogram], out: &mut Vec<u8>) {
        let mut above = RunInts::default();
        let (positive, negative) = (histograms[0].positive.len(), histograms[0].negative.len());
        self.column(histograms, &mut above, out, |h| h.count);
        self.column(histograms, &mut above, out, |h| h.zero_count);
        self.column(histograms, &mut above, out, |h| h.sum);
        for bucket in 0..positive {
            self.column(histograms, &mut above, out, |h| h.positive.counts()[bucket]);
        }
        for bucket in 0..negative {
            self.column(histograms, &mut above, out, |h| h.negative.counts()[bucket]);
        }
    }

    fn column(
        &mut self,
        histograms: &[&Histogram],
        above: &mut RunInts,
        out: &mut Vec<u8>,
        number: impl Fn(&Histogram) -> f64,
    ) {
        self.column.clear();
        self.column
            .extend(histograms.iter().map(|histogram| number(histogram)));
        self.run.clear();
        self.values.encode(&self.column, above, true, &mut self.run);
        put_varint(out, self.run.len() as u64);
        out.extend_from_slice(&self.run);
    }
}

fn put_layout(histogram: &Histogram, out: &mut Vec<u8>) {
    out.push(u8::from(histogram.hint == ResetHint::Gauge));
    out.push(histogram.schema as u8);
    out.extend_from_slice(&histogram.zero_threshold.to_bits().to_le_bytes());
    for side in [&histogram.positive, &histogram.negative] {
        put_indexes(side.indexes(), out);
    }
    put_varint(out, histogram.custom.len() as u64);
    for bound in &*histogram.custom {
        out.extend_from_slice(&bound.to_bits().to_le_bytes());
    }
}

fn put_indexes(indexes: &[i32], out: &mut Vec<u8>) {
    let spans = || indexes.chunk_by(|a, b| a.wrapping_add(1) == *b);
    put_varint(out, spans().count() as u64);
    let mut end = 0;
    for span in spans() {
        let first = i64::from(span[0]);
        put_signed(out, first - end);
        put_varint(out, span.len() as u64);
        end = first + span.len() as i64;
    }
}

/// Decodes chunks. Holds scratch memory.
#[derive(Debug, Default)]
pub struct HistogramDecoder {
    /// The columns of a layout, one behind the other.
    columns: Vec<f64>,
    numbers: Vec<i64>,
    above: Vec<i64>,
}

impl HistogramDecoder {
    /// Appends the histograms of a chunk. What is known of resets is found by comparing each with the one before it in the chunk.
    pub fn decode(&mut self, bytes: &[u8], out: &mut Vec<Arc<Histogram>>) -> Result<()> {
        let mut input = Input::new(bytes);
        let mut left = input.bounded(CHUNK, "the histograms of a chunk")?;
        let first = out.len();
        while left > 0 {
            let alike = input.bounded(left, "the histograms of a layout")?;
            if alike == 0 {
                return Err(Error::Corrupt("a layout of no histograms".into()));
            }
            left -= alike;
            let layout = take_layout(&mut input)?;
            self.take_columns(&mut input, &layout, alike)?;
            for at in 0..alike {
                let mut histogram = self.histogram(&layout, alike, at);
                let before = (out.len() > first).then(|| out.last()).flatten();
                histogram.hint = histogram.hint_behind(before.map(|before| &**before));
                out.push(Arc::new(histogram));
            }
        }
        input.end("chunk of histograms")
    }

    fn take_columns(&mut self, input: &mut Input<'_>, layout: &Layout, len: usize) -> Result<()> {
        self.columns.clear();
        self.above.clear();
        for _ in 0..TOTALS + layout.positive.len() + layout.negative.len() {
            let bytes = input.bounded(input.remaining(), "the length of a column")?;
            values::decode(
                input.take(bytes)?,
                len,
                Some(&self.above),
                &mut self.numbers,
                &mut self.columns,
            )?;
            std::mem::swap(&mut self.above, &mut self.numbers);
        }
        Ok(())
    }

    fn histogram(&self, layout: &Layout, len: usize, at: usize) -> Histogram {
        let number = |column: usize| self.columns[column * len + at];
        let side = |indexes: &Arc<[i32]>, from: usize| {
            let counts = (from..from + indexes.len()).map(number).collect();
            Buckets::new(Arc::clone(indexes), counts)
        };
        Histogram {
            hint: if layout.is_gauge {
                ResetHint::Gauge
            } else {
                ResetHint::Unknown
            },
            schema: layout.schema,
            zero_threshold: layout.zero_threshold,
            count: number(0),
            zero_count: number(1),
            sum: number(2),
            positive: side(&layout.positive, TOTALS),
            negative: side(&layout.negative, TOTALS + layout.positive.len()),
            custom: Arc::clone(&layout.custom),
        }
    }
}

struct Layout {
    is_gauge: bool,
    schema: i8,
    zero_threshold: f64,
    positive: Arc<[i32]>,
    negative: Arc<[i32]>,
    custom: Arc<[f64]>,
}

fn take_layout(input: &mut Input<'_>) -> Result<Layout> {
    let is_gauge = input.bounded(1, "whether histograms are gauges")? == 1;
    let schema = input.u8()? as i8;
    let zero_threshold = f64::from_bits(input.u64()?);
    let (positive, negative) = (take_indexes(input)?, take_indexes(input)?);
    let bounds = input.bounded(input.remaining() / 8, "the bounds of a layout")?;
    let mut custom = Vec::with_capacity(bounds);
    for _ in 0..bounds {
        custom.push(f64::from_bits(input.u64()?));
    }
    Ok(Layout {
        is_gauge,
        schema,
        zero_threshold,
        positive,
        negative,
        custom: custom.into(),
    })
}

fn take_indexes(input: &mut Input<'_>) -> Result<Arc<[i32]>> {
    let spans = input.bounded(input.remaining() / 2, "the spans of a layout")?;
    let mut indexes: Vec<i32> = Vec::new();
    let mut end = 0_i64;
    for span in 0..spans {
        let gap = input.signed()?;
        let length = input.bounded(MAX_BUCKETS - indexes.len(), "the length of a span")? as i64;
        let first = end.checked_add(gap).filter(|_| span == 0 || gap > 0);
        let fits = first.and_then(|first| {
            let last = first.checked_add(length - 1)?;
            Some((i32::try_from(first).ok()?, i32::try_from(last).ok()?))
        });
        let Some((first, last)) = fits.filter(|_| length > 0) else {
            return Err(Error::Corrupt(format!(
                "a span of {length} buckets, {gap} behind the one before"
            )));
        };
        indexes.extend(first..=last);
        end = i64::from(last) + 1;
    }
    Ok(indexes.into())
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use proptest::prelude::*;

    fn side() -> impl Strategy<Value = Buckets> {
        let index = prop_oneof![8 => -20..20_i32, 1 => any::<i32>()];
        let count =
            prop_oneof![8 => (0..50_u32).prop_map(f64::from), 1 => any::<u64>().prop_map(f64::from_bits)];
        prop::collection::btree_map(index, count, 0..8).prop_map(Buckets::of)
    }

    /// Any histogram, also such as no sender would be let in with.
    pub fn histogram() -> impl Strategy<Value = Histogram> {
        let totals = prop::array::uniform3(prop_oneof![
            8 => (0..1000_u32).prop_map(|n| f64::from(n) / 8.0),
            1 => any::<u64>().prop_map(f64::from_bits),
        ]);
        let custom = prop::collection::vec(any::<f64>(), 0..4);
        (totals, side(), side(), -53..9_i8, any::<bool>(), custom).prop_map(
            |([count, zero_count, sum], positive, negative, schema, is_gauge, custom)| Histogram {
                hint: if is_gauge {
                    ResetHint::Gauge
                } else {
                    ResetHint::Unknown
                },
                schema,
                zero_threshold: 0.25,
                zero_count,
                count,
                sum,
                positive,
                negative,
                custom: custom.into(),
            },
        )
    }

    /// Histograms that mostly share a layout, as those of a series do.
    pub fn series() -> impl Strategy<Value = Vec<Histogram>> {
        let steps = prop::collection::vec((0..20_u32, 0..40_u32, histogram()), 1..CHUNK);
        (histogram(), steps).prop_map(|(mut now, steps)| {
            let grow = |now: &mut Histogram, by: u32| {
                now.count += f64::from(by);
                now.sum += f64::from(by) / 4.0;
                for (place, count) in now.positive.counts_mut().iter_mut().enumerate() {
                    *count += f64::from(by >> place.min(8));
                }
            };
            steps
                .into_iter()
                .map(|(by, change, other)| {
                    if change == 0 {
                        now = other;
                    }
                    grow(&mut now, by);
                    now.clone()
                })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn histograms_come_back(histograms in series()) {
            let all: Vec<&Histogram> = histograms.iter().collect();
            let mut bytes = Vec::new();
            HistogramEncoder::default().encode(&all, &mut bytes);
            let mut back = Vec::new();
            HistogramDecoder::default().decode(&bytes, &mut back).unwrap();
            prop_assert_eq!(back.len(), all.len());
            for (at, (back, was)) in back.iter().zip(&all).enumerate() {
                prop_assert_eq!(back.fingerprint(), was.fingerprint());
                prop_assert_eq!(back.hint, was.hint_behind(at.checked_sub(1).map(|before| all[before])));
            }
        }

        #[test]
        fn damaged_chunks_never_panic(
            histograms in series(),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            cut in prop::option::of(any::<prop::sample::Index>()),
        ) {
            let all: Vec<&Histogram> = histograms.iter().collect();
            let mut bytes = Vec::new();
            HistogramEncoder::default().encode(&all, &mut bytes);
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            let _ = HistogramDecoder::default().decode(&bytes, &mut Vec::new());
        }
    }

    /// An hour of a busy series with 60 buckets.
    #[test]
    fn a_sample_takes_a_few_dozen_bytes() {
        let noise = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 59;
        let mut counts = vec![0.0; 60];
        let histograms: Vec<Histogram> = (0..CHUNK as u64)
            .map(|at| {
                for (bucket, count) in (0_u64..).zip(&mut counts) {
                    let busy = 30_u64.saturating_sub(bucket.abs_diff(25)) / 4;
                    *count += (noise(at * 64 + bucket) * busy / 16) as f64;
                }
                let count: f64 = counts.iter().sum();
                Histogram {
                    schema: 3,
                    count,
                    sum: count * 1.25,
                    positive: Buckets::of((0..).zip(counts.iter().copied())),
                    ..Histogram::default()
                }
            })
            .collect();
        let all: Vec<&Histogram> = histograms.iter().collect();
        let mut bytes = Vec::new();
        HistogramEncoder::default().encode(&all, &mut bytes);
        assert!(bytes.len() / CHUNK < 60, "{} bytes a sample", bytes.len() / CHUNK);
    }

    #[test]
    fn a_chunk_ends_before_it_outgrows_a_page() {
        let large = Histogram {
            positive: Buckets::of(
                (0..MAX_BUCKETS as i32 / 2).map(|index| (index * 2, f64::from(index) * 0.3)),
            ),
            negative: Buckets::of(
                (0..MAX_BUCKETS as i32 / 2).map(|index| (index * 3, f64::from(index) / 0.7)),
            ),
            ..Histogram::default()
        };
        let small = Histogram::default();
        assert_eq!(chunk_len([&large, &large].into_iter()).0, 1);
        assert_eq!(chunk_len([&small, &large, &small, &small].into_iter()).0, 4);
        assert_eq!(chunk_len(std::iter::repeat_n(&small, 100)).0, CHUNK);
        let mut bytes = Vec::new();
        HistogramEncoder::default().encode(&[&large], &mut bytes);
        assert!(bytes.len() < 120_000, "{}", bytes.len());
    }
}
