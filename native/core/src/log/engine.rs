//! Append, commit, read, trim: everything but the thread, so that tests decide what is committed when.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::queue::{Ending, Failure, Group, Queue};
use super::record::{LogRecord, RecordKind, Replay};
use super::replay::ReplayCursor;
use super::segment::{Segment, first_offsets};
use super::tail::Tail;
use super::wake::Wake;
use crate::fs::{FileLayer, Framed, Setback, remove_unborn};
use crate::model::Millis;
use crate::wire::SplitBatch;
use crate::{Error, Result};

#[derive(Debug, Clone, Copy)]
pub struct LogOptions {
    /// A segment that would grow beyond this is closed and a new one begun.
    pub segment_bytes: u64,
    /// Bounds what waits to be written.
    pub queue_bytes: usize,
    /// Bounds the decoded records that wait to be read. What passes it is read back from disk, at the price of decoding it again.
    pub tail_bytes: usize,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            queue_bytes: 64 << 20,
            tail_bytes: 16 << 20,
        }
    }
}

/// What a reader of the log keeps between its reads.
#[derive(Debug, Default)]
pub struct Reading {
    cursor: ReplayCursor,
    woken: AtomicBool,
}

pub struct Engine {
    files: Arc<dyn FileLayer>,
    folder: PathBuf,
    options: LogOptions,
    replay: Box<Replay>,
    /// Held while segments are unlinked, oldest first.
    trimming: Mutex<()>,
    /// The active segment as far as it is written.
    writer: Mutex<Framed>,
    queue: Mutex<Queue>,
    work: Condvar,
    tail: Mutex<Tail>,
    readable: Condvar,
    committed: AtomicU64,
    reading: Reading,
    wake: Wake,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("folder", &self.folder)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Engine {
    pub fn open(
        files: Arc<dyn FileLayer>,
        folder: &Path,
        options: LogOptions,
        replay: Box<Replay>,
    ) -> Result<Self> {
        files.make_folder(folder)?;
        let names = files.list(folder)?;
        remove_unborn(files.as_ref(), folder, &names)?;
        let segments = open_segments(files.as_ref(), folder, &first_offsets(&names))?;
        let Some(active) = segments.last().map(|s| s.framed.clone()) else {
            return Err(Error::Corrupt(format!("{} holds no segment", folder.display())));
        };
        let next = active.next;
        Ok(Self {
            files,
            folder: folder.to_owned(),
            options,
            replay,
            trimming: Mutex::new(()),
            writer: Mutex::new(active),
            queue: Mutex::new(Queue::new(next, options.queue_bytes)),
            work: Condvar::new(),
            tail: Mutex::new(Tail::new(segments, next, options.tail_bytes)),
            readable: Condvar::new(),
            committed: AtomicU64::new(next),
            reading: Reading::default(),
            wake: Wake::new()?,
        })
    }

    pub fn append(&self, batch: Arc<SplitBatch>, now_ms: Millis) -> Result<u64> {
        self.push(now_ms, RecordKind::write(batch))
    }

    pub fn append_seal(&self, partition: u16, windows: &[Millis]) -> Result<u64> {
        self.push(
            0,
            RecordKind::Seal {
                partition,
                windows: windows.to_owned(),
            },
        )
    }

    fn push(&self, now_ms: Millis, kind: RecordKind) -> Result<u64> {
        let offset = self.queue.lock().push(now_ms, kind)?;
        self.work.notify_one();
        Ok(offset)
    }

    /// Waits for work; false once there is none and there will be none.
    pub fn wait_for_work(&self) -> bool {
        let mut queue = self.queue.lock();
        while queue.is_empty() && queue.ending.is_none() {
            self.work.wait(&mut queue);
        }
        match queue.ending {
            Some(Ending::Abandon) => false,
            Some(Ending::Flush) => !queue.is_empty(),
            None => true,
        }
    }

    /// Writes and syncs all that is queued, then publishes it. After a failed sync nothing is accepted any more: it may succeed when it
    /// is tried again without having written anything. A failed write is taken back, and [`Engine::resume`] goes on.
    pub fn commit(&self) {
        let mut writer = self.writer.lock();
        let mut group = self.queue.lock().take();
        if group.records.is_empty() {
            return;
        }
        if let Err(Setback { error, is_final }) = self.write(&mut writer, &mut group) {
            return self.fail(format!("the log cannot be written: {error}"), is_final);
        }
        let held = group.held();
        {
            let mut tail = self.tail.lock();
            if let Some(active) = tail.segments.last_mut() {
                active.grow(group.frames.len() as u64, writer.next);
            }
            tail.publish(group.records);
            self.committed.store(tail.committed, Ordering::Release);
            self.readable.notify_all();
        }
        self.queue.lock().done(held, group.frames);
        drop(writer);
        self.wake.signal();
    }

    fn write(&self, writer: &mut Framed, group: &mut Group) -> Result<(), Setback> {
        let bytes = group.frames.len() as u64;
        if writer.bytes > Framed::START && writer.bytes + bytes > self.options.segment_bytes {
            self.roll(writer)?;
        }
        let next = writer.next + group.records.len() as u64;
        writer.append(&mut group.frames, next)
    }

    /// Begins a new segment. It and its name are durable before anything is written to it.
    fn roll(&self, writer: &mut Framed) -> Result<(), Setback> {
        let segment = Segment::create(self.files.as_ref(), &self.folder, writer.next)?;
        *writer = segment.framed.clone();
        self.tail.lock().segments.push(segment);
        Ok(())
    }

    pub fn fail(&self, why: String, is_final: bool) {
        self.queue.lock().fail(Failure { why, is_final });
        self.wake.signal();
    }

    pub fn failure(&self) -> Option<Failure> {
        self.queue.lock().failure().cloned()
    }

    /// Accepts records again after a failure that was not final. To be called once everybody who waits for a record that is not
    /// committed knows that it is lost: the next records get the numbers of the lost ones.
    pub fn resume(&self) {
        self.queue.lock().resume(self.committed());
    }

    pub fn committed(&self) -> u64 {
        self.committed.load(Ordering::Acquire)
    }

    pub fn first(&self) -> u64 {
        self.tail.lock().first()
    }

    pub fn bytes(&self) -> u64 {
        self.tail.lock().bytes()
    }

    /// Bytes of records that are kept for readers.
    #[cfg(test)]
    pub fn live_bytes(&self) -> usize {
        self.tail.lock().live_bytes()
    }

    pub fn wake_fd(&self) -> BorrowedFd<'_> {
        self.wake.fd()
    }

    pub fn end(&self, ending: Ending) {
        self.queue.lock().ending.get_or_insert(ending);
        self.work.notify_all();
    }

    /// Readers that wait return at once, and so do later ones.
    pub fn close_readers(&self) {
        self.tail.lock().closed = true;
        self.readable.notify_all();
    }

    /// Ends the wait of a read, or that of the next one which would have to wait.
    pub fn wake_reader(&self, reading: &Reading) {
        reading.woken.store(true, Ordering::Relaxed);
        // Under the lock, so that the reader is either waiting or has yet to look at the flag.
        let _tail = self.tail.lock();
        self.readable.notify_all();
    }

    /// As `read_by`, for who reads alone.
    pub fn read(&self, offset: u64, max_records: usize, timeout: Duration) -> Result<Vec<LogRecord>> {
        self.read_by(&self.reading, offset, max_records, timeout)
    }

    /// Up to `max_records` records from `offset` on; empty if none was committed in time, or if the reader was woken.
    pub fn read_by(
        &self,
        reading: &Reading,
        offset: u64,
        max_records: usize,
        timeout: Duration,
    ) -> Result<Vec<LogRecord>> {
        let deadline = Instant::now() + timeout;
        let mut tail = self.tail.lock();
        loop {
            check_range(&tail, offset)?;
            if offset < tail.committed {
                break;
            }
            if reading.woken.swap(false, Ordering::Relaxed) {
                return Ok(Vec::new());
            }
            if self.readable.wait_until(&mut tail, deadline).timed_out() && offset >= tail.committed {
                return Ok(Vec::new());
            }
        }
        let taken = tail.take(offset, max_records);
        let Some(segment) = tail.segment_of(offset).filter(|_| taken.is_empty()).cloned() else {
            return Ok(taken);
        };
        let until = tail.live_from();
        drop(tail);
        reading
            .cursor
            .read(&segment, offset, until, max_records, self.replay.as_ref())
    }

    /// Unlinks every segment that holds only records below `offset`; the active one is rolled first if that lets it go. Commits go on
    /// while files are unlinked.
    pub fn trim(&self, offset: u64) -> Result<()> {
        let _one_at_a_time = self.trimming.lock();
        // Before the roll, since a full disk has no room for a new segment.
        self.unlink_below(offset)?;
        if self.roll_if_below(offset)? {
            self.unlink_below(offset)?;
        }
        Ok(())
    }

    /// Begins a new segment if the active one holds records, and only such as lie below `offset`.
    fn roll_if_below(&self, offset: u64) -> Result<bool> {
        let mut writer = self.writer.lock();
        let all_may_go = writer.next <= offset && writer.next > writer.first;
        if !all_may_go || self.failure().is_some() {
            return Ok(false);
        }
        let rolled = self.roll(&mut writer);
        if let Err(Setback {
            error,
            is_final: true,
        }) = &rolled
        {
            self.fail(format!("the log cannot begin a new segment: {error}"), true);
        }
        rolled?;
        Ok(true)
    }

    fn unlink_below(&self, offset: u64) -> Result<()> {
        let removable = self.tail.lock().remove_below(offset);
        for segment in removable {
            self.files.remove(&segment.path())?;
            // One by one and oldest first: a power cut must not bring back an old segment behind a hole.
            self.files.sync_directory(&self.folder)?;
        }
        Ok(())
    }
}

fn check_range(tail: &Tail, offset: u64) -> Result<()> {
    if tail.closed {
        return Err(Error::Canceled("the log is closed".to_owned()));
    }
    if offset < tail.first() {
        return Err(Error::Corrupt(format!(
            "record {offset} was asked for, and the log begins with {}: it was trimmed, or segments are missing from its folder",
            tail.first()
        )));
    }
    if offset > tail.committed {
        return Err(Error::Corrupt(format!(
            "record {offset} was asked for, and the log ends before {}: segments are missing from its folder, or the folder is another one's",
            tail.committed
        )));
    }
    Ok(())
}

fn open_segments(files: &dyn FileLayer, folder: &Path, firsts: &[u64]) -> Result<Vec<Segment>> {
    let mut segments: Vec<Segment> = Vec::with_capacity(firsts.len());
    for (i, &first) in firsts.iter().enumerate() {
        if let Some(before) = segments.last().filter(|s| s.framed.next != first) {
            return Err(Error::Corrupt(format!(
                "log folder {}: records {} to {first} are missing, between {} and the next segment; restore the missing files, or move all segments before the gap out of the folder",
                folder.display(),
                before.framed.next,
                before.path().display(),
            )));
        }
        segments.push(Segment::open(files, folder, first, i + 1 == firsts.len())?);
    }
    if segments.is_empty() {
        segments.push(Segment::create(files, folder, 0)?);
    }
    Ok(segments)
}
