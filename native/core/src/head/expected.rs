//! What a head should hold, as maps, and batches as a splitter would make them.

use std::collections::BTreeMap;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_128;

use super::labels;
use crate::block::BlockReader;
use crate::model::histogram::{Buckets, bounds};
use crate::model::{Histogram, MatchOp, Matcher, Millis, ResetHint, Samples, Uid};
use crate::wire::encode::histogram_message;
use crate::wire::{BatchHistogram, BatchSeries, SplitBatch};

pub const WIDTH: Millis = 1000;
pub const UIDS: [Uid; 2] = [Uid([1; 16]), Uid([2; 16])];

pub type LabelSet = Vec<(&'static str, &'static str)>;

pub fn label_sets() -> Vec<LabelSet> {
    vec![
        vec![("__name__", "up"), ("job", "a")],
        vec![("__name__", "up"), ("job", "b")],
        vec![("__name__", "up"), ("job", "b"), ("pod", "x")],
        vec![("Zone", "z"), ("__name__", "down"), ("job", "a")],
        vec![("__name__", "down"), ("pod", "y")],
    ]
}

/// Samples of one label set in a batch: which set, in which order its labels were sent, (time, value)s, times with seeds of
/// histograms, and when all of them began to count.
#[derive(Debug, Clone, Default)]
pub struct Write {
    pub set: usize,
    pub reversed: bool,
    pub samples: Vec<(Millis, f64)>,
    pub histograms: Vec<(Millis, u32)>,
    pub start: Millis,
}

/// Histograms of four layouts, whose counts rise with the seed.
pub fn histogram(seed: u32) -> Histogram {
    let count = f64::from(seed / 4);
    let all = |buckets: Buckets, sum: f64| Histogram {
        schema: 2,
        count: buckets.counts().iter().sum(),
        sum,
        positive: buckets,
        ..Histogram::default()
    };
    let buckets = Buckets::of([(-1, count), (0, count * 2.0), (4, 1.0)]);
    match seed % 4 {
        0 => all(buckets, count / 8.0),
        1 => Histogram {
            hint: ResetHint::Gauge,
            ..all(buckets, count / 3.0)
        },
        2 => Histogram {
            zero_threshold: 0.5,
            negative: Buckets::of([(3, count)]),
            count: count * 4.0 + 1.0,
            ..all(buckets, f64::NAN)
        },
        _ => Histogram {
            schema: bounds::CUSTOM,
            custom: [0.5, 1.0, 7.0].into(),
            ..all(Buckets::of([(0, count), (3, 2.0)]), 1.0)
        },
    }
}

pub fn matchers(number: usize) -> Vec<Matcher> {
    let one = |name, op, value| Matcher::new(name, op, value).unwrap();
    match number {
        0 => vec![one("__name__", MatchOp::Equal, "up")],
        1 => vec![one("__name__", MatchOp::Regex, ".+")],
        2 => vec![
            one("job", MatchOp::Regex, "a|b"),
            one("__name__", MatchOp::Equal, "up"),
        ],
        3 => vec![one("pod", MatchOp::Equal, "")],
        4 => vec![
            one("pod", MatchOp::NotEqual, "x"),
            one("job", MatchOp::NotRegex, "a.*"),
        ],
        5 => vec![one("nothing", MatchOp::Equal, "here")],
        6 => vec![
            one("__name__", MatchOp::Regex, "(do|u).+"),
            one("pod", MatchOp::Regex, "x|"),
        ],
        _ => vec![one("nothing", MatchOp::NotEqual, "here")],
    }
}

pub fn batch(uid: usize, writes: &[Write]) -> SplitBatch {
    let mut batch = SplitBatch {
        uid: Some(UIDS[uid]),
        ..SplitBatch::default()
    };
    for write in writes {
        let mut set = label_sets()[write.set].clone();
        if write.reversed {
            set.reverse();
        }
        let start = batch.labels.len();
        labels::encode(&set, &mut batch.labels);
        let mut keyed = UIDS[uid].0.to_vec();
        keyed.extend(&batch.labels[start..]);
        batch.series.push(BatchSeries {
            partition: 0,
            key: xxh3_128(&keyed),
            labels: (start as u32, (batch.labels.len() - start) as u32),
            samples: (batch.times.len() as u32, write.samples.len() as u32),
            histograms: (batch.histograms.len() as u32, write.histograms.len() as u32),
        });
        batch.times.extend(write.samples.iter().map(|s| s.0));
        batch.values.extend(write.samples.iter().map(|s| s.1));
        batch.starts.extend(write.samples.iter().map(|_| write.start));
        for &(time, seed) in &write.histograms {
            let message = histogram_message(time, write.start, &histogram(seed), seed % 8 < 4);
            let bytes = (batch.labels.len() as u32, message.len() as u32);
            batch.labels.extend_from_slice(&message);
            batch.histograms.push(BatchHistogram { time, bytes });
        }
    }
    if batch.starts.iter().all(|&start| start == 0) {
        batch.starts.clear();
    }
    batch
}

/// The bits of floats and the fingerprints of histograms, and their starts.
pub type Columns = BTreeMap<Millis, (u64, Millis)>;

pub fn columns(samples: Samples<'_>) -> Columns {
    let bits = samples
        .values
        .iter()
        .enumerate()
        .map(|(place, value)| match samples.histograms.get(place) {
            Some(Some(histogram)) => histogram.fingerprint(),
            _ => value.to_bits(),
        });
    let starts = samples.starts.iter().copied().chain(std::iter::repeat(0));
    samples.times.iter().copied().zip(bits.zip(starts)).collect()
}

/// What one generation should hold.
#[derive(Debug, Clone)]
pub struct Expected {
    pub window: Millis,
    pub first_offset: u64,
    pub sealed: Option<u64>,
    pub series: BTreeMap<(usize, usize), Columns>,
}

impl Expected {
    pub fn samples(&self) -> u64 {
        self.series.values().map(|column| column.len() as u64).sum()
    }
}

/// Generations in log order; those released come with their blocks.
#[derive(Debug, Default)]
pub struct Model {
    pub held: Vec<Expected>,
    pub stored: Vec<(Expected, Vec<Arc<BlockReader>>)>,
    pub conflicts: u64,
}

impl Model {
    pub fn write(&mut self, uid: usize, writes: &[Write], offset: u64) {
        for write in writes {
            let floats = write.samples.iter().map(|&(time, value)| (time, value.to_bits()));
            let histograms = write.histograms.iter();
            let histograms = histograms.map(|&(time, seed)| (time, histogram(seed).fingerprint()));
            for (time, bits) in floats.chain(histograms) {
                let window = time.div_euclid(WIDTH) * WIDTH;
                let at = self
                    .held
                    .iter()
                    .position(|g| g.window == window && g.sealed.is_none());
                let at = at.unwrap_or_else(|| {
                    let series = BTreeMap::new();
                    self.held.push(Expected {
                        window,
                        first_offset: offset,
                        sealed: None,
                        series,
                    });
                    self.held.len() - 1
                });
                let column = self.held[at].series.entry((uid, write.set)).or_default();
                let (held, _) = *column.entry(time).or_insert((bits, write.start));
                self.conflicts += u64::from(held != bits);
            }
        }
    }

    pub fn query(
        &self,
        uid: usize,
        (min, max): (Millis, Millis),
        matchers: &[Matcher],
    ) -> BTreeMap<LabelSet, Columns> {
        let mut found: BTreeMap<LabelSet, Columns> = BTreeMap::new();
        for generation in self.stored.iter().map(|stored| &stored.0).chain(&self.held) {
            for ((owner, set), column) in &generation.series {
                let labels = label_sets()[*set].clone();
                let value = |name: &str| labels.iter().find(|l| l.0 == name).map_or("", |l| l.1);
                if *owner != uid || !matchers.iter().all(|m| m.matches(value(&m.name))) {
                    continue;
                }
                for (&time, &sample) in column.range(min..=max) {
                    found
                        .entry(labels.clone())
                        .or_default()
                        .entry(time)
                        .or_insert(sample);
                }
            }
        }
        found
    }
}
