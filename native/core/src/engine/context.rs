//! What the operators of one query share: strings, budget, notes and the cancel flag.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};

use crate::model::Symbols;
use crate::{Error, Result};

/// What one query may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Samples held at one time: cells of live results plus what one row's windows hold, as Prometheus counts them.
    pub samples: u64,
    /// Series that the selectors of a query may find, summed over selectors.
    pub series: u64,
    /// Heap bytes of label tables, strings and cells held at one time.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            samples: 50_000_000,
            series: 2_000_000,
            bytes: 4 << 30,
        }
    }
}

/// What Prometheus hides behind flags, as far as operators have to know.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Names are dropped at the end.
    pub delays_names: bool,
    /// Start times of samples are looked at.
    pub uses_starts: bool,
    /// The label `__type__` tells what is a counter, not the name.
    pub uses_types: bool,
}

/// Safe to share between threads; `cancel` may come from any of them.
#[derive(Debug, Default)]
pub struct QueryContext {
    symbols: Mutex<Symbols>,
    limits: Limits,
    options: Options,
    canceled: AtomicBool,
    samples_read: AtomicU64,
    series: AtomicU64,
    held_samples: AtomicU64,
    peak_samples: AtomicU64,
    held_bytes: AtomicU64,
    peak_bytes: AtomicU64,
    notes: Mutex<Notes>,
}

/// What kind of note, what it says, and of which metric ("" if that is not known).
pub type Note = (&'static str, String, String);

#[derive(Debug, Default)]
struct Notes {
    fresh: Vec<Note>,
    seen: HashSet<Note>,
    /// Kind, metric, and how often.
    counted: Vec<(&'static str, String, u64)>,
}

impl QueryContext {
    pub fn new(limits: Limits) -> Self {
        Self::with_options(limits, Options::default())
    }

    pub fn with_options(limits: Limits, options: Options) -> Self {
        Self {
            limits,
            options,
            ..Self::default()
        }
    }

    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The strings of this query. Hold the guard for the part that needs strings, never across a read of samples.
    pub fn symbols(&self) -> MutexGuard<'_, Symbols> {
        self.symbols.lock()
    }

    pub fn cancel(&self) {
        self.canceled.store(true, Ordering::Relaxed);
    }

    /// Whether names are only dropped at the end of the query, where each was marked before.
    pub fn delays_names(&self) -> bool {
        self.options.delays_names
    }

    /// Whether the start times of samples are looked at, or taken for unknown.
    pub fn uses_starts(&self) -> bool {
        self.options.uses_starts
    }

    /// Whether the label `__type__` tells what is a counter.
    pub fn uses_types(&self) -> bool {
        self.options.uses_types
    }

    /// Fails once the query was cancelled. Cheap enough to call for every row.
    pub fn check(&self) -> Result<()> {
        if self.canceled.load(Ordering::Relaxed) {
            return Err(Error::Canceled(
                "query was canceled in expression evaluation".into(),
            ));
        }
        Ok(())
    }

    /// Counts series that a selector found.
    pub fn add_series(&self, count: usize) -> Result<()> {
        self.series.fetch_add(count as u64, Ordering::Relaxed);
        self.check_series(0)
    }

    /// Fails if `more` series would be too many.
    pub fn check_series(&self, more: usize) -> Result<()> {
        let total = self.series.load(Ordering::Relaxed).saturating_add(more as u64);
        if total > self.limits.series {
            let limit = self.limits.series;
            return Err(Error::Execution(format!(
                "the query selects more than {limit} series, the instance's limit max_query_series: {total} or more; \
                 narrow its selectors"
            )));
        }
        Ok(())
    }

    /// Counts samples that were read from heads and blocks, each once. Statistics only: reading is not holding.
    pub fn add_samples_read(&self, count: u64) {
        self.samples_read.fetch_add(count, Ordering::Relaxed);
    }

    /// Accounts for memory until the charge is dropped.
    pub fn charge(self: &Arc<Self>, samples: usize, bytes: usize) -> Result<Charge> {
        let mut charge = Charge {
            context: Arc::clone(self),
            samples: 0,
            bytes: 0,
        };
        charge.grow(samples, bytes)?;
        Ok(charge)
    }

    /// Fails if holding `extra` samples for a moment, on top of what is held, would pass the limit.
    pub fn check_samples(&self, extra: u64) -> Result<()> {
        let held = self.held_samples.load(Ordering::Relaxed).saturating_add(extra);
        self.peak_samples.fetch_max(held, Ordering::Relaxed);
        if held > self.limits.samples {
            return Err(too_many_samples(held, self.limits.samples));
        }
        Ok(())
    }

    /// Notes something that the answer should mention, once. The kinds are listed in `_native.pyi`.
    pub fn note(&self, kind: &'static str, detail: impl Into<String>) {
        self.note_of(kind, detail, "");
    }

    /// Notes something of a metric.
    pub fn note_of(&self, kind: &'static str, detail: impl Into<String>, metric: &str) {
        let mut notes = self.notes.lock();
        let note = (kind, detail.into(), metric.to_owned());
        if notes.seen.insert(note.clone()) {
            notes.fresh.push(note);
        }
    }

    /// Notes something of a metric that is told together with how often it was noted.
    pub fn count_of(&self, kind: &'static str, times: u64, metric: &str) {
        let mut notes = self.notes.lock();
        match notes
            .counted
            .iter_mut()
            .find(|(of, name, _)| *of == kind && name == metric)
        {
            Some((_, _, count)) => *count += times,
            None => notes.counted.push((kind, metric.to_owned(), times)),
        }
    }

    /// The notes since the last call, in order, then those that are counted. What was noted before may be noted again.
    pub fn take_notes(&self) -> Vec<Note> {
        let mut notes = self.notes.lock();
        notes.seen.clear();
        let mut fresh = std::mem::take(&mut notes.fresh);
        let counted = notes.counted.drain(..);
        fresh.extend(counted.map(|(kind, metric, times)| (kind, times.to_string(), metric)));
        fresh
    }

    pub fn samples_read(&self) -> u64 {
        self.samples_read.load(Ordering::Relaxed)
    }

    pub fn peak_samples(&self) -> u64 {
        self.peak_samples.load(Ordering::Relaxed)
    }

    pub fn peak_bytes(&self) -> u64 {
        self.peak_bytes.load(Ordering::Relaxed)
    }
}

/// Prometheus's text, by which clients know the error, and then what was seen.
fn too_many_samples(samples: u64, limit: u64) -> Error {
    Error::Execution(format!(
        "query processing would load too many samples into memory in query execution: more than {limit} at a time, \
         the instance's limit max_query_samples: {samples} or more"
    ))
}

/// A part of a query's budget in use; given back when dropped.
#[derive(Debug)]
pub struct Charge {
    context: Arc<QueryContext>,
    samples: u64,
    bytes: u64,
}

impl Charge {
    /// The query that pays.
    pub fn context(&self) -> &Arc<QueryContext> {
        &self.context
    }

    /// Adds to the charge, or fails and leaves it as it was.
    pub fn grow(&mut self, samples: usize, bytes: usize) -> Result<()> {
        if samples == 0 && bytes == 0 {
            return Ok(());
        }
        let (samples, bytes) = (samples as u64, bytes as u64);
        let context = &self.context;
        let held = context.held_samples.fetch_add(samples, Ordering::Relaxed) + samples;
        let held_bytes = context.held_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.samples += samples;
        self.bytes += bytes;
        context.peak_samples.fetch_max(held, Ordering::Relaxed);
        context.peak_bytes.fetch_max(held_bytes, Ordering::Relaxed);
        let refusal = if held > context.limits.samples {
            Some(too_many_samples(held, context.limits.samples))
        } else if held_bytes > context.limits.bytes {
            let limit = context.limits.bytes;
            Some(Error::Execution(format!(
                "the query needs more than {limit} bytes of memory, the instance's limit max_query_bytes: {held_bytes} \
                 or more; narrow its selectors or take fewer steps"
            )))
        } else {
            None
        };
        if let Some(error) = refusal {
            self.shrink(samples, bytes);
            return Err(error);
        }
        Ok(())
    }

    /// Makes the charge one of so many bytes.
    pub fn resize(&mut self, bytes: usize) -> Result<()> {
        let held = self.bytes as usize;
        if bytes > held {
            return self.grow(0, bytes - held);
        }
        self.shrink(0, (held - bytes) as u64);
        Ok(())
    }

    fn shrink(&mut self, samples: u64, bytes: u64) {
        self.context.held_samples.fetch_sub(samples, Ordering::Relaxed);
        self.context.held_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.samples -= samples;
        self.bytes -= bytes;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if self.samples != 0 || self.bytes != 0 {
            self.shrink(self.samples, self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(samples: u64) -> Arc<QueryContext> {
        let limits = Limits {
            samples,
            series: 10,
            bytes: 1000,
        };
        Arc::new(QueryContext::new(limits))
    }

    #[test]
    fn a_charge_is_given_back() {
        let context = context(10);
        let charge = context.charge(6, 100).unwrap();
        assert!(context.charge(5, 0).is_err());
        drop(charge);
        drop(context.charge(10, 1000).unwrap());
        assert!(context.charge(0, 1001).is_err());
        assert_eq!(context.held_samples.load(Ordering::Relaxed), 0);
        assert_eq!(context.held_bytes.load(Ordering::Relaxed), 0);
        assert_eq!(context.peak_samples(), 11);
    }

    #[test]
    fn cancel_reaches_the_next_check() {
        let context = context(1);
        assert!(context.check().is_ok());
        context.cancel();
        assert!(matches!(context.check(), Err(Error::Canceled(_))));
    }

    #[test]
    fn notes_come_once_and_in_order() {
        let context = context(1);
        for detail in ["2", "-1", "2"] {
            context.note("quantile", detail);
        }
        let notes = context.take_notes();
        let details: Vec<_> = notes.iter().map(|(_, detail, _)| detail.as_str()).collect();
        assert_eq!(details, ["2", "-1"]);
        assert!(context.take_notes().is_empty());
        context.note("quantile", "2");
        assert_eq!(context.take_notes().len(), 1, "each operator tells its own notes");
    }

    #[test]
    fn series_are_limited_over_all_selectors() {
        let context = context(1);
        context.add_series(10).unwrap();
        assert!(matches!(context.add_series(1), Err(Error::Execution(_))));
    }
}
