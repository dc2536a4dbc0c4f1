//! What waits to be sent, collected for some milliseconds, and who waits for it.
//!
//! A *ticket* is one request, or one seal marker. A request is written into the drafts of records at once, while the processor's caches
//! still hold it; the request itself is not kept. Whoever sends takes what is due as records and reports what became of each; a ticket is
//! finished when every record with something of it is.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, ErrorKind};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::draft::{Adding, Draft, Drafts, Spare, check, seal};
use super::format::Packer;
use crate::fs::stopped;
use crate::log::Wake;
use crate::model::Millis;
use crate::wire::SplitBatch;
use crate::{Error, Result};

#[derive(Debug, Clone, Copy)]
pub struct OutboxOptions {
    /// Bounds what tickets that are not finished keep in memory.
    pub queue_bytes: usize,
    /// How long a request waits for others.
    pub linger: Duration,
    /// How long it waits at most when something was sent lately: after each sending the next one is due when `rest` has passed, and
    /// beyond that as long as keeps to `records_per_second`.
    pub max_linger: Duration,
    pub rest: Duration,
    pub records_per_second: u32,
    /// After this a ticket is given up; its records may still come through.
    pub deadline: Duration,
}

/// A record to send. Report `acked` or `failed` with its id.
#[derive(Debug, PartialEq, Eq)]
pub struct Outgoing {
    pub id: u64,
    pub partition: u16,
    pub value: Vec<u8>,
}

/// What became of a ticket: the offset of the last record of each partition, or why it is not known to be durable.
#[derive(Debug, PartialEq, Eq)]
pub struct Finished {
    pub ticket: u64,
    pub outcome: Result<Vec<(u16, u64)>, String>,
}

/// All methods may be called from any thread; `take` from one.
#[derive(Debug)]
pub struct Outbox {
    options: OutboxOptions,
    state: Mutex<State>,
    due: Condvar,
    packer: Mutex<(Packer, Vec<u8>)>,
    wake: Wake,
}

#[derive(Debug, Default)]
struct State {
    last_ticket: u64,
    last_record: u64,
    /// By partition.
    queues: Vec<Queue>,
    /// Partitions whose queues are not empty.
    waiting: Vec<u16>,
    /// A queue has a full draft.
    is_full: bool,
    /// When the oldest request came of which something still waits.
    oldest: Option<Instant>,
    /// Until when those that were sent last are as many as there may be.
    spent_until: Option<Instant>,
    spare: Spare,
    tickets: BTreeMap<u64, Ticket>,
    /// Taken and not reported.
    records: HashMap<u64, Sent>,
    finished: Vec<Finished>,
    held: usize,
    closed: bool,
}

/// What waits for one partition.
#[derive(Debug, Default)]
struct Queue {
    drafts: Drafts,
    seals: Vec<(u64, Vec<Millis>)>,
    listed: bool,
}

/// What is sent next.
#[derive(Debug)]
enum Due {
    Write(Draft),
    Seal(u64, Vec<Millis>),
}

#[derive(Debug)]
struct Ticket {
    since: Instant,
    bytes: usize,
    /// Drafts, markers and records that have something of it and were not reported.
    open: u32,
    offsets: Vec<(u16, u64)>,
    /// Its failure was told; it only waits for its records to be forgotten.
    told: bool,
}

#[derive(Debug)]
struct Sent {
    partition: u16,
    tickets: Vec<u64>,
}

impl Outbox {
    pub fn new(options: OutboxOptions) -> Result<Self> {
        Ok(Self {
            options,
            state: Mutex::default(),
            due: Condvar::new(),
            packer: Mutex::new((Packer::new()?, Vec::new())),
            wake: Wake::new()?,
        })
    }

    /// Queues a batch that holds something and returns its ticket. An `Io` error of kind `WouldBlock`: too much waits already. TooLarge:
    /// something of it has no room in a record.
    pub fn add(&self, batch: &SplitBatch, now_ms: Millis) -> Result<u64> {
        check(batch)?;
        let Some(uid) = batch.uid.filter(|_| !batch.is_empty()) else {
            return Err(Error::BadData(
                "a batch without an instance or without anything".to_owned(),
            ));
        };
        let mut state = self.state.lock();
        let ticket = state.ticket(batch.labels.len(), &self.options)?;
        let State {
            queues,
            waiting,
            spare,
            is_full,
            ..
        } = &mut *state;
        let mut adding = Adding {
            ticket,
            now: now_ms,
            owner: (uid, batch.shards),
            drafts: 0,
            bytes: 0,
            spare,
        };
        let mut full = false;
        let mut label_sets = batch.label_sets();
        for series in &batch.series {
            let drafts = &mut queue(queues, waiting, series.partition).drafts;
            drafts.add_series(&mut adding, label_sets.of(series), &batch.rows_of(series));
            full |= !drafts.full.is_empty();
        }
        for exemplar in &batch.exemplars {
            let drafts = &mut queue(queues, waiting, exemplar.partition).drafts;
            drafts.add_exemplar(&mut adding, batch, exemplar);
            full |= !drafts.full.is_empty();
        }
        for entry in &batch.metadata {
            let drafts = &mut queue(queues, waiting, entry.partition).drafts;
            drafts.add_metadata(&mut adding, entry);
            full |= !drafts.full.is_empty();
        }
        for entry in &batch.pushes {
            let drafts = &mut queue(queues, waiting, entry.partition).drafts;
            drafts.add_push(&mut adding, entry);
            full |= !drafts.full.is_empty();
        }
        *is_full |= full;
        let (drafts, bytes) = (adding.drafts, adding.bytes);
        state.opened(ticket, drafts, bytes);
        self.note_due(&mut state, full);
        Ok(ticket)
    }

    /// Queues a seal marker.
    pub fn add_seal(&self, partition: u16, windows: Vec<Millis>) -> Result<u64> {
        let mut state = self.state.lock();
        let bytes = windows.len() * 8;
        let ticket = state.ticket(bytes, &self.options)?;
        let State { queues, waiting, .. } = &mut *state;
        queue(queues, waiting, partition).seals.push((ticket, windows));
        state.opened(ticket, 1, bytes);
        self.note_due(&mut state, false);
        Ok(ticket)
    }

    /// Waits for records that are due; empty if there were none in time. `None`: closed, and nothing is left.
    pub fn take(&self, timeout: Duration) -> Option<Vec<Outgoing>> {
        let deadline = Instant::now() + timeout;
        let mut state = self.state.lock();
        loop {
            let now = Instant::now();
            let taken = state.take_due(now, &self.options);
            if !taken.is_empty() {
                drop(state);
                return Some(self.encode(taken));
            }
            if state.closed {
                return None;
            }
            if now >= deadline {
                return Some(Vec::new());
            }
            let until = state
                .due_at(&self.options)
                .map_or(deadline, |due| due.min(deadline));
            self.due.wait_until(&mut state, until);
        }
    }

    /// The record is durable.
    pub fn acked(&self, id: u64, offset: u64) {
        self.report(id, |ticket, partition| {
            match ticket.offsets.iter_mut().find(|(p, _)| *p == partition) {
                Some((_, known)) => *known = offset.max(*known),
                None => ticket.offsets.push((partition, offset)),
            }
            None
        });
    }

    /// The record is not known to be durable.
    pub fn failed(&self, id: u64, why: &str) {
        self.report(id, |_, _| Some(why.to_owned()));
    }

    /// Gives up what is older than the deadline.
    pub fn expire(&self) {
        let mut state = self.state.lock();
        let deadline = self.options.deadline;
        let told = state.finished.len();
        let old: Vec<u64> = state
            .tickets
            .iter()
            .take_while(|(_, ticket)| ticket.since.elapsed() >= deadline)
            .filter(|(_, ticket)| !ticket.told)
            .map(|(&number, _)| number)
            .collect();
        for number in old {
            let why = format!("no acknowledgement within {} s", deadline.as_secs_f64());
            state.give_up(number, &why);
        }
        self.tell(&state, told);
    }

    /// What was finished since the last call.
    pub fn finished(&self) -> Vec<Finished> {
        std::mem::take(&mut self.state.lock().finished)
    }

    /// Readable when something is finished; whoever reads the descriptor calls [`Outbox::finished`] afterwards.
    pub fn wake_fd(&self) -> BorrowedFd<'_> {
        self.wake.fd()
    }

    /// Takes no more. What is queued is due at once.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.due.notify_all();
    }

    /// Bytes of tickets that are not finished.
    pub fn held_bytes(&self) -> usize {
        self.state.lock().held
    }

    /// Tickets that are not finished.
    pub fn waiting(&self) -> usize {
        self.state.lock().tickets.len()
    }

    /// Wakes the sender if it has to look at the clock anew.
    fn note_due(&self, state: &mut State, full: bool) {
        let first = state.oldest.is_none();
        if first {
            state.oldest = Some(Instant::now());
        }
        if first || full {
            self.due.notify_one();
        }
    }

    /// Without the lock: it compresses.
    fn encode(&self, taken: Vec<(u16, Due)>) -> Vec<Outgoing> {
        let mut outgoing = Vec::with_capacity(taken.len());
        let mut packer = self.packer.lock();
        let (packer, scratch) = &mut *packer;
        let mut spare = Spare::default();
        for (partition, due) in taken {
            let (tickets, value) = match due {
                Due::Write(mut draft) => (
                    std::mem::take(&mut draft.tickets),
                    draft.finish(partition, packer, scratch, &mut spare),
                ),
                Due::Seal(ticket, windows) => (vec![ticket], seal(partition, &windows)),
            };
            let mut state = self.state.lock();
            match value {
                Ok(value) => outgoing.push(state.outgoing(partition, value, tickets)),
                Err(error) => {
                    let told = state.finished.len();
                    for ticket in tickets {
                        state.close_one(ticket, Some(&error.to_string()));
                    }
                    self.tell(&state, told);
                }
            }
            state.spare.append(&mut spare);
        }
        outgoing
    }

    fn report(&self, id: u64, mut note: impl FnMut(&mut Ticket, u16) -> Option<String>) {
        let mut state = self.state.lock();
        let Some(sent) = state.records.remove(&id) else {
            return;
        };
        let told = state.finished.len();
        for number in sent.tickets {
            let why = state
                .tickets
                .get_mut(&number)
                .and_then(|ticket| note(ticket, sent.partition));
            state.close_one(number, why.as_deref());
        }
        self.tell(&state, told);
    }

    /// Signals unless there was something finished before, of which the signal is still to be read.
    fn tell(&self, state: &State, before: usize) {
        if before == 0 && !state.finished.is_empty() {
            self.wake.signal();
        }
    }
}

impl State {
    /// A new ticket that will take about so many bytes. An empty outbox takes one of any size.
    fn ticket(&mut self, bytes: usize, options: &OutboxOptions) -> Result<u64> {
        if self.closed {
            return Err(stopped("the log is closed"));
        }
        if self.held > 0 && self.held + bytes > options.queue_bytes {
            let context = format!(
                "writes of {} bytes wait for the log, the limit is {}",
                self.held, options.queue_bytes
            );
            return Err(Error::io(context, io::Error::from(ErrorKind::WouldBlock)));
        }
        self.last_ticket += 1;
        Ok(self.last_ticket)
    }

    fn opened(&mut self, number: u64, open: u32, bytes: usize) {
        self.held += bytes;
        let ticket = Ticket {
            since: Instant::now(),
            bytes,
            open,
            offsets: Vec::with_capacity(open as usize),
            told: false,
        };
        self.tickets.insert(number, ticket);
    }

    /// When all that is queued is to be sent.
    fn due_at(&self, options: &OutboxOptions) -> Option<Instant> {
        let oldest = self.oldest?;
        let first = oldest + options.linger;
        let last = oldest + options.max_linger.max(options.linger);
        Some(self.spent_until.map_or(first, |until| until.clamp(first, last)))
    }

    /// Everything, once the oldest of it has waited long enough, or the drafts that are full.
    fn take_due(&mut self, now: Instant, options: &OutboxOptions) -> Vec<(u16, Due)> {
        let Some(due) = self.due_at(options) else {
            return Vec::new();
        };
        let all = self.closed || now >= due;
        let mut taken = Vec::new();
        if all || self.is_full {
            self.is_full = false;
            for &partition in &self.waiting {
                let queue = &mut self.queues[usize::from(partition)];
                let drafts = &mut queue.drafts;
                taken.extend(drafts.full.drain(..).map(|draft| (partition, Due::Write(draft))));
                if all {
                    taken.extend(drafts.open.take().map(|draft| (partition, Due::Write(draft))));
                    let seals = queue.seals.drain(..);
                    taken.extend(seals.map(|(ticket, windows)| (partition, Due::Seal(ticket, windows))));
                    queue.listed = false;
                }
            }
        }
        if all {
            self.waiting.clear();
            self.oldest = None;
            let spent = Duration::from_secs(1) * taken.len() as u32 / options.records_per_second.max(1);
            self.spent_until = Some(now + options.rest + spent);
        }
        taken
    }

    fn outgoing(&mut self, partition: u16, value: Vec<u8>, tickets: Vec<u64>) -> Outgoing {
        self.last_record += 1;
        let id = self.last_record;
        self.records.insert(id, Sent { partition, tickets });
        Outgoing { id, partition, value }
    }

    /// A record of the ticket is done with, `why` if it failed.
    fn close_one(&mut self, number: u64, why: Option<&str>) {
        if let Some(why) = why {
            self.give_up(number, why);
        }
        let Some(ticket) = self.tickets.get_mut(&number) else {
            return;
        };
        ticket.open -= 1;
        if ticket.open == 0
            && let Some(ticket) = self.tickets.remove(&number)
        {
            self.held -= ticket.bytes;
            if !ticket.told {
                let outcome = Ok(ticket.offsets);
                self.finished.push(Finished {
                    ticket: number,
                    outcome,
                });
            }
        }
    }

    /// Tells a failure, once.
    fn give_up(&mut self, number: u64, why: &str) {
        if let Some(ticket) = self.tickets.get_mut(&number).filter(|ticket| !ticket.told) {
            ticket.told = true;
            self.finished.push(Finished {
                ticket: number,
                outcome: Err(why.to_owned()),
            });
        }
    }
}

/// The queue of a partition, which is listed as waiting from now on.
#[inline]
fn queue<'a>(queues: &'a mut Vec<Queue>, waiting: &mut Vec<u16>, partition: u16) -> &'a mut Queue {
    let at = usize::from(partition);
    if at >= queues.len() {
        queues.resize_with(at + 1, Queue::default);
    }
    let queue = &mut queues[at];
    if !queue.listed {
        queue.listed = true;
        waiting.push(partition);
    }
    queue
}
