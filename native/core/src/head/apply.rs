//! From log records to samples in lanes.

use hashbrown::HashMap;

use crate::log::{LogRecord, RecordKind};
use crate::model::Millis;
use crate::wire::{BatchSeries, LabelSets, SplitBatch};

use super::generation::Generations;
use super::instance::Instance;
use super::lane::{Lane, Outcome, Scratch};
use super::{Head, State};

/// Series applied while a head is locked: about 100 µs.
const SERIES_PER_TURN: usize = 1024;

impl Head {
    /// Applies records in order to every head they concern, and returns the offset after the last. Heads have distinct partitions.
    pub fn apply<'r>(heads: &[&Self], records: impl IntoIterator<Item = &'r LogRecord>) -> Option<u64> {
        let places: HashMap<u16, usize> = heads
            .iter()
            .enumerate()
            .map(|(at, h)| (h.partition, at))
            .collect();
        let mut shares: Vec<Vec<u32>> = vec![Vec::new(); heads.len()];
        let mut next = None;
        for record in records {
            next = Some(record.offset + 1);
            match &record.kind {
                RecordKind::Write { batches } => {
                    for batch in batches {
                        deal(batch, &places, &mut shares);
                        for (head, share) in heads.iter().zip(&shares) {
                            let mut label_sets = batch.label_sets();
                            for turn in share.chunks(SERIES_PER_TURN) {
                                head.state.write().apply(batch, &mut label_sets, turn, record);
                            }
                            head.apply_metadata(batch);
                            head.apply_exemplars(batch);
                        }
                    }
                }
                RecordKind::Seal { partition, windows } => {
                    if let Some(&at) = places.get(partition) {
                        let mut state = heads[at].state.write();
                        for &window in windows {
                            state.generations.seal(window, record.offset);
                        }
                    }
                }
            }
        }
        next
    }

    fn apply_metadata(&self, batch: &SplitBatch) {
        let Some(uid) = batch.uid else { return };
        let own = || {
            batch
                .metadata
                .iter()
                .filter(|entry| entry.partition == self.partition)
        };
        if own().next().is_none() {
            return;
        }
        let mut state = self.state.write();
        let instance = state.instances.entry(uid).or_default();
        for entry in own() {
            instance.metadata.say(entry);
        }
    }
}

/// Sorts the series of a batch by head, in their order.
fn deal(batch: &SplitBatch, places: &HashMap<u16, usize>, shares: &mut [Vec<u32>]) {
    for share in shares.iter_mut() {
        share.clear();
    }
    let mut last = None;
    for (at, series) in (0..).zip(&batch.series) {
        let place = match last {
            Some((partition, place)) if partition == series.partition => place,
            _ => places.get(&series.partition).copied(),
        };
        last = Some((series.partition, place));
        if let Some(place) = place {
            shares[place].push(at);
        }
    }
}

impl State {
    /// `label_sets` are those of the batch, which the next turn reads on.
    fn apply(
        &mut self,
        batch: &SplitBatch,
        label_sets: &mut LabelSets<'_>,
        turn: &[u32],
        record: &LogRecord,
    ) {
        let Some(uid) = batch.uid else { return };
        let samples = turn.iter().map(|&at| batch.series[at as usize].len()).sum();
        self.recent.entry(uid).or_default().add(record.now_ms, samples);
        let mut writer = Writer {
            generations: &mut self.generations,
            instance: self.instances.entry(uid).or_default(),
            offset: record.offset,
            target: Target::NONE,
            conflicts: 0,
            unreadable: 0,
            scratch: &mut self.scratch,
        };
        for &at in turn {
            writer.add(batch, label_sets, &batch.series[at as usize]);
        }
        writer.settle();
        self.conflicts += writer.conflicts;
        self.unreadable += writer.unreadable;
    }
}

/// The window of the last sample, and where its samples go.
struct Target {
    start: Millis,
    end: Millis,
    /// `None`: the store has them.
    generation: Option<u32>,
    sheet: usize,
    samples: u64,
    grown: isize,
}

impl Target {
    const NONE: Self = Self {
        start: 0,
        end: 0,
        generation: None,
        sheet: 0,
        samples: 0,
        grown: 0,
    };
}

/// Applies series of one record to one instance.
struct Writer<'a> {
    generations: &'a mut Generations,
    instance: &'a mut Instance,
    offset: u64,
    target: Target,
    conflicts: u64,
    unreadable: u64,
    scratch: &'a mut Scratch,
}

impl Writer<'_> {
    #[inline]
    fn add(&mut self, batch: &SplitBatch, label_sets: &mut LabelSets<'_>, series: &BatchSeries) {
        let mut place = None;
        let (times, values) = batch.samples_of(series);
        let mut starts = batch.starts_of(series).iter();
        for (&time, &value) in times.iter().zip(values) {
            let start = starts.next().copied().unwrap_or(0);
            if time < self.target.start || time >= self.target.end {
                self.aim(time);
            }
            // Before the look-up: a sample that is skipped creates no series.
            let Some(generation) = self.target.generation else {
                continue;
            };
            let resolved = place.or_else(|| self.instance.resolve(series.key, || label_sets.of(series)));
            let Some(found) = resolved else {
                self.unreadable += 1;
                return;
            };
            place = Some(found);
            let Some(held) = self.instance.slab.get_mut(found) else {
                continue;
            };
            let offset = (time - self.target.start) as u32;
            if self.instance.sheets[self.target.sheet].has_histogram(found, offset) {
                self.conflicts += 1;
                continue;
            }
            let lane = held.lane_for(generation);
            if lane.is_empty() {
                self.target.grown += size_of::<Lane>().cast_signed();
            }
            let sheet = &mut self.instance.sheets[self.target.sheet];
            match lane.append(sheet, offset, value, self.scratch, &mut self.target.grown) {
                Outcome::Stored => {
                    self.target.samples += 1;
                    sheet.note_start(found, offset, start, lane.newest());
                }
                Outcome::Repeated => {}
                Outcome::Conflict => self.conflicts += 1,
            }
        }
        if series.histograms.1 > 0 {
            self.add_histograms(batch, label_sets, series);
        }
    }

    #[cold]
    fn add_histograms(&mut self, batch: &SplitBatch, label_sets: &mut LabelSets<'_>, series: &BatchSeries) {
        for histogram in batch.histograms_of(series) {
            let time = histogram.time;
            if time < self.target.start || time >= self.target.end {
                self.aim(time);
            }
            let Some(generation) = self.target.generation else {
                continue;
            };
            let place = self.instance.resolve(series.key, || label_sets.of(series));
            let held = place.and_then(|place| Some((place, self.instance.slab.get_mut(place)?)));
            let (Some((place, held)), Some((histogram, start))) = (held, batch.histogram(histogram)) else {
                self.unreadable += 1;
                continue;
            };
            // The lane says that the series is part of the generation, even if it has no floats.
            let lane = held.lane_for(generation);
            let sheet = &mut self.instance.sheets[self.target.sheet];
            let offset = (time - self.target.start) as u32;
            let outcome = if lane.holds(sheet, offset) {
                Outcome::Conflict
            } else {
                sheet.append_histogram(place, offset, histogram, &mut self.scratch.histograms)
            };
            match outcome {
                Outcome::Stored => {
                    self.target.samples += 1;
                    sheet.note_start(place, offset, start, lane.newest());
                }
                Outcome::Repeated => {}
                Outcome::Conflict => self.conflicts += 1,
            }
        }
    }

    /// Turns to the window of `time`.
    #[cold]
    fn aim(&mut self, time: Millis) {
        self.settle();
        let (start, end) = self.generations.window(time);
        self.target = Target {
            start,
            end,
            ..Target::NONE
        };
        if !self.generations.is_skipped(start, self.offset) {
            let generation = self.generations.open(start, self.offset);
            self.target.generation = Some(generation);
            self.target.sheet = self.instance.sheet(generation);
        }
    }

    /// Books what was stored since the last turn.
    fn settle(&mut self) {
        if let Some(sheet) = self.instance.sheets.get_mut(self.target.sheet)
            && self.target.generation == Some(sheet.generation)
        {
            sheet.samples += self.target.samples;
            sheet.lane_bytes = sheet.lane_bytes.saturating_add_signed(self.target.grown);
            self.target.samples = 0;
            self.target.grown = 0;
        }
    }
}
