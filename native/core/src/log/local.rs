//! The log with its committing thread.

use std::os::fd::BorrowedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;

use super::engine::{Engine, LogOptions, Reading};
use super::queue::{Ending, Failure};
use super::record::{LogRecord, Replay};
use crate::fs::FileLayer;
use crate::model::Millis;
use crate::wire::SplitBatch;
use crate::{Error, Result};

/// Checksummed segment files under one folder; one sequence of records for all partitions.
///
/// A thread takes all that is queued when the last sync ended, writes it in one piece, syncs once, and signals once.
/// Dropping the log without [`LocalLog::close`] is a crash: what was queued and not committed is lost.
#[derive(Debug)]
pub struct LocalLog {
    engine: Arc<Engine>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl LocalLog {
    /// Verifies every record and repairs a torn tail. Corrupt, naming file and position, if bytes before it were changed.
    pub fn open(
        files: Arc<dyn FileLayer>,
        folder: &Path,
        options: LogOptions,
        replay: Box<Replay>,
    ) -> Result<Self> {
        let engine = Arc::new(Engine::open(files, folder, options, replay)?);
        let thread = {
            let engine = engine.clone();
            thread::Builder::new()
                .name("log-commit".to_owned())
                .spawn(move || run(&engine))
                .map_err(|e| Error::io("cannot start the log's thread", e))?
        };
        Ok(Self {
            engine,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Queues a batch and returns its offset; durable once `committed` is above it. An `Io` error of kind `WouldBlock`: the queue is
    /// full.
    pub fn append(&self, batch: Arc<SplitBatch>, now_ms: Millis) -> Result<u64> {
        self.engine.append(batch, now_ms)
    }

    /// Queues a seal marker.
    pub fn append_seal(&self, partition: u16, windows: &[Millis]) -> Result<u64> {
        self.engine.append_seal(partition, windows)
    }

    /// The first offset that is not durable yet.
    pub fn committed(&self) -> u64 {
        self.engine.committed()
    }

    /// The first offset still held.
    pub fn first(&self) -> u64 {
        self.engine.first()
    }

    /// Bytes of all segment files.
    pub fn bytes(&self) -> u64 {
        self.engine.bytes()
    }

    /// Readable after `committed` moved or the log failed, until it is drained.
    pub fn wake_fd(&self) -> BorrowedFd<'_> {
        self.engine.wake_fd()
    }

    /// Why the log takes nothing more, until [`LocalLog::resume`] or, if it is final, until it is opened again.
    pub fn failure(&self) -> Option<Failure> {
        self.engine.failure()
    }

    /// Takes records again after a failure that was not final, such as a full disk. What was queued at the failure is lost, and its
    /// offsets are given anew: call it only when nobody waits for them any more.
    pub fn resume(&self) {
        self.engine.resume();
    }

    /// Records from `offset` on, in order; waits for the first one. Canceled once the log is closed; Corrupt if the log does not reach
    /// from `first` to `offset`.
    pub fn read(&self, offset: u64, max_records: usize, timeout: Duration) -> Result<Vec<LogRecord>> {
        self.engine.read(offset, max_records, timeout)
    }

    /// A reader of its own for each thread that reads.
    pub fn reader(&self) -> LogReader {
        LogReader {
            engine: self.engine.clone(),
            reading: Reading::default(),
        }
    }

    /// Everything below `offset` may go.
    pub fn trim(&self, offset: u64) -> Result<()> {
        self.engine.trim(offset)
    }

    /// Commits what is queued and stops; `failure` tells if that was not possible. Again: nothing.
    pub fn close(&self) {
        self.stop(Ending::Flush);
    }

    fn stop(&self, ending: Ending) {
        self.engine.end(ending);
        if let Some(thread) = self.thread.lock().take() {
            // A panic of the thread is caught inside it and told by `failure`.
            let _ = thread.join();
        }
        self.engine.close_readers();
    }
}

impl Drop for LocalLog {
    fn drop(&mut self) {
        self.stop(Ending::Abandon);
    }
}

/// Reads a log; remembers where in the files it is.
#[derive(Debug)]
pub struct LogReader {
    engine: Arc<Engine>,
    reading: Reading,
}

impl LogReader {
    /// As [`LocalLog::read`]; empty too after [`LogReader::wake`].
    pub fn read(&self, offset: u64, max_records: usize, timeout: Duration) -> Result<Vec<LogRecord>> {
        self.engine.read_by(&self.reading, offset, max_records, timeout)
    }

    /// Ends the wait of a read in another thread, or that of the next one which would have to wait.
    pub fn wake(&self) {
        self.engine.wake_reader(&self.reading);
    }
}

fn run(engine: &Engine) {
    let committing = AssertUnwindSafe(|| {
        while engine.wait_for_work() {
            engine.commit();
        }
    });
    if catch_unwind(committing).is_err() {
        engine.fail(
            "the log's thread stopped by a bug; the process must be restarted".to_owned(),
            true,
        );
    }
}
