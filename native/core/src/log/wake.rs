//! A file descriptor that tells an event loop to look.

use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use crate::{Error, Result};

/// One byte per signal; a full pipe has told enough, so that signals are never waited for.
#[derive(Debug)]
pub struct Wake {
    signal: UnixStream,
    watch: UnixStream,
}

impl Wake {
    pub fn new() -> Result<Self> {
        let pair = || {
            let (signal, watch) = UnixStream::pair()?;
            signal.set_nonblocking(true)?;
            watch.set_nonblocking(true)?;
            Ok(Self { signal, watch })
        };
        pair().map_err(|e| Error::io("cannot create the log's wake-up pipe", e))
    }

    pub fn signal(&self) {
        // An error means that the buffer is full of signals nobody has read yet.
        let _ = (&self.signal).write(&[1]);
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.watch.as_fd()
    }
}
