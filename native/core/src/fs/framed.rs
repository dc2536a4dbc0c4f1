//! Framed files: created whole, opened with every checksum verified, a torn tail repaired, anything else refused.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::framing::{FRAME_BYTES, Format, Frame, HEADER_BYTES, Header, Salt, finish_frames};
use super::{File, FileLayer, folder_of};
use crate::{Error, Result};

/// Bytes read at a time: large enough that system calls do not count, small enough to stay in the cache.
const CHUNK: usize = 1 << 20;

/// A write that failed, and what that means for the next one.
#[derive(Debug)]
pub struct Setback {
    pub error: Error,
    /// True: nobody knows what the disk holds now, so nothing may be written until the file was opened again. False: nothing of the
    /// write is left, and it can be tried again, for instance when a full disk has room.
    pub is_final: bool,
}

impl Setback {
    fn passing(error: Error) -> Self {
        Self {
            error,
            is_final: false,
        }
    }

    fn lasting(error: Error) -> Self {
        Self {
            error,
            is_final: true,
        }
    }
}

impl From<Setback> for Error {
    fn from(setback: Setback) -> Self {
        setback.error
    }
}

/// A framed file that is open for appending.
#[derive(Debug, Clone)]
pub struct Framed {
    pub file: Arc<dyn File>,
    pub salt: Salt,
    pub first: u64,
    /// The number that the next frame gets.
    pub next: u64,
    pub bytes: u64,
}

impl Framed {
    /// A reader of the frames from the byte `position`, where a frame must begin.
    pub fn reader(&self, position: u64) -> FrameReader {
        FrameReader::new(self.file.clone(), self.salt, position, self.bytes)
    }

    /// Where the first frame is.
    pub const START: u64 = HEADER_BYTES as u64;

    /// Writes whole frames at the end and syncs them; `next` is the number of the frame that will follow.
    pub fn append(&mut self, frames: &mut [u8], next: u64) -> Result<(), Setback> {
        finish_frames(frames, self.salt, self.next);
        if let Err(error) = self.file.write_at(self.bytes, frames) {
            // Not synced yet, so it can be taken back. Left there, it could pass for frames behind those of a shorter write.
            return Err(match self.file.truncate(self.bytes) {
                Ok(()) => Setback::passing(error),
                Err(_) => Setback::lasting(error),
            });
        }
        self.file.sync_data().map_err(Setback::lasting)?;
        self.bytes += frames.len() as u64;
        self.next = next;
        Ok(())
    }
}

/// Creates a file that holds `frames`, numbered from `first`, replacing any of that name. Data and name are durable when it returns,
/// and a power cut leaves either nothing or all of it.
pub fn create_framed(
    files: &dyn FileLayer,
    path: &Path,
    format: &Format,
    first: u64,
    next: u64,
    mut frames: Vec<u8>,
) -> Result<Framed, Setback> {
    let unborn = unborn_name(path);
    let bytes = (HEADER_BYTES + frames.len()) as u64;
    let header = Header {
        first,
        salt: Salt::random(),
        settled: bytes,
    };
    finish_frames(&mut frames, header.salt, first);
    if let Err(error) = write_unborn(files, &unborn, &header.encode(format), &frames) {
        // Gives its room back; if that fails too, the next attempt or the next start removes it.
        let _ = files.remove(&unborn);
        return Err(Setback::passing(error));
    }
    files.rename(&unborn, path).map_err(Setback::lasting)?;
    files.sync_directory(&folder_of(path)).map_err(Setback::lasting)?;
    // Opened again, so that errors name the file as it is called now.
    let file = files.open(path).map_err(Setback::lasting)?;
    Ok(Framed {
        file,
        salt: header.salt,
        first,
        next,
        bytes,
    })
}

fn write_unborn(files: &dyn FileLayer, unborn: &Path, header: &[u8], frames: &[u8]) -> Result<()> {
    remove_if_there(files, unborn)?;
    let file = files.create(unborn)?;
    file.write_at(0, header)?;
    file.write_at(Framed::START, frames)?;
    file.sync_data()
}

/// Opens a file and hands every frame to `visit`, with its position. The last file of a sequence may have a torn tail, which is cut
/// off; any other damage is [`crate::Error::Corrupt`].
pub fn open_framed(
    files: &dyn FileLayer,
    path: &Path,
    format: &Format,
    is_last: bool,
    mut visit: impl FnMut(u64, &Frame, &[u8]) -> Result<()>,
) -> Result<Framed> {
    let file = files.open(path)?;
    let size = file.size()?;
    let mut header = [0; HEADER_BYTES];
    let read = file.read_at(0, &mut header)?;
    let Header { first, salt, settled } = Header::parse(&header[..read], format, path)?;
    if size < settled {
        let what = format!("the file ends at byte {size}, and {settled} bytes of it were durable");
        return Err(format.corrupt(path, &what));
    }

    let mut framed = Framed {
        file,
        salt,
        first,
        next: first,
        bytes: size,
    };
    let mut last_commit = (first, Framed::START);
    let mut reader = framed.reader(Framed::START);
    loop {
        let (position, damage) = match reader.step()? {
            Step::End => break,
            Step::Frame(position, frame, payload) => {
                if frame.number != framed.next || frame.commit > frame.number {
                    let (found, wanted) = (frame.number, framed.next);
                    let what = format!("record {found} stands at byte {position}, where {wanted} belongs");
                    return Err(format.corrupt(path, &what));
                }
                if frame.commit != last_commit.0 {
                    last_commit = (frame.commit, position);
                }
                visit(position, &frame, payload)?;
                framed.next += 1;
                continue;
            }
            Step::Damaged(position, damage) => (position, damage),
        };
        let what = format!("record {} is damaged at byte {position} ({damage})", framed.next);
        if !is_last || position < settled {
            return Err(format.corrupt(path, &what));
        }
        if let Some(later) = find_later_commit(&framed, position)? {
            let what = format!("{what}; it is no torn tail, since a later commit follows at byte {later}");
            return Err(format.corrupt(path, &what));
        }
        framed.file.truncate(position)?;
        framed.bytes = position;
        break;
    }
    if is_last {
        settle(&framed, last_commit.1)?;
    }
    Ok(framed)
}

/// Removes what a power cut left of files that were being created.
pub fn remove_unborn(files: &dyn FileLayer, folder: &Path, names: &[String]) -> Result<()> {
    for name in names.iter().filter(|n| n.ends_with(UNBORN)) {
        files.remove(&folder.join(name))?;
    }
    Ok(())
}

const UNBORN: &str = ".new";

fn unborn_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(UNBORN);
    name.into()
}

fn remove_if_there(files: &dyn FileLayer, path: &Path) -> Result<()> {
    match files.remove(path) {
        Err(crate::Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The position of a frame behind `damaged` that belongs to a later commit than the damaged frame: proof that the damaged
/// frame was durable once. Frames of the same commit prove nothing, since a disk writes sectors in any order.
fn find_later_commit(framed: &Framed, damaged: u64) -> Result<Option<u64>> {
    let lost = framed.next;
    let possible = (framed.bytes - damaged) / FRAME_BYTES as u64;
    let mut buffer = vec![0; CHUNK];
    let mut start = damaged + 1;
    while start < framed.bytes {
        let read = framed.file.read_at(start, &mut buffer)?;
        for (at, window) in buffer[..read].windows(FRAME_BYTES).enumerate() {
            let Some(window) = window.first_chunk() else {
                continue;
            };
            let (number, commit) = Frame::claims(window);
            let is_later = commit > lost && number >= commit && number - lost <= possible;
            if is_later && Frame::parse(window, framed.salt).is_some() {
                return Ok(Some(start + at as u64));
            }
        }
        start += (read.max(FRAME_BYTES) - FRAME_BYTES + 1) as u64;
    }
    Ok(None)
}

/// Makes everything in the file durable, whatever happened to the process that wrote it. The last commit is written again first: if its
/// sync had failed, the kernel may show its bytes, call them clean, and never write them.
fn settle(framed: &Framed, mut position: u64) -> Result<()> {
    let mut buffer = vec![0; CHUNK];
    while position < framed.bytes {
        let wanted = buffer.len().min((framed.bytes - position) as usize);
        let read = framed.file.read_at(position, &mut buffer[..wanted])?;
        framed.file.write_at(position, &buffer[..read])?;
        position += read.max(1) as u64;
    }
    framed.file.sync_data()
}

/// One step of a [`FrameReader`]; positions are bytes from the start of the file.
#[derive(Debug)]
pub enum Step<'a> {
    Frame(u64, Frame, &'a [u8]),
    End,
    /// Nothing can be read beyond this position.
    Damaged(u64, Damage),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    Short,
    Header,
    Payload,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Short => "the file ends inside it",
            Self::Header => "its header does not match its checksum",
            Self::Payload => "its payload does not match its checksum",
        })
    }
}

/// Reads frames one after the other in large chunks. Memory: a chunk, or the largest frame if that is larger; the length of a frame is
/// believed only if its header matches its checksum and the file is that long.
#[derive(Debug)]
pub struct FrameReader {
    file: Arc<dyn File>,
    salt: Salt,
    buffer: Vec<u8>,
    /// The part of `buffer` that holds bytes not consumed yet.
    at: usize,
    filled: usize,
    /// The position in the file of `buffer[at]`, and where reading ends.
    position: u64,
    end: u64,
}

impl FrameReader {
    fn new(file: Arc<dyn File>, salt: Salt, position: u64, end: u64) -> Self {
        Self {
            file,
            salt,
            buffer: Vec::new(),
            at: 0,
            filled: 0,
            position,
            end,
        }
    }

    /// Lets the reader go on to a later end of a file that has grown.
    pub fn extend(&mut self, end: u64) {
        self.end = self.end.max(end);
    }

    pub fn step(&mut self) -> Result<Step<'_>> {
        let position = self.position;
        if position >= self.end {
            return Ok(Step::End);
        }
        if !self.fill(FRAME_BYTES)? {
            return Ok(Step::Damaged(position, Damage::Short));
        }
        let header = self.buffer[self.at..].first_chunk::<FRAME_BYTES>();
        let Some(frame) = header.and_then(|h| Frame::parse(h, self.salt)) else {
            return Ok(Step::Damaged(position, Damage::Header));
        };
        let length = FRAME_BYTES + frame.payload_bytes as usize;
        if !self.fill(length)? {
            return Ok(Step::Damaged(position, Damage::Short));
        }
        let payload = &self.buffer[self.at + FRAME_BYTES..self.at + length];
        if crc32c::crc32c(payload) != frame.payload_checksum {
            return Ok(Step::Damaged(position, Damage::Payload));
        }
        self.at += length;
        self.position += length as u64;
        Ok(Step::Frame(position, frame, payload))
    }

    /// Makes `wanted` unconsumed bytes available; false if the file ends before.
    fn fill(&mut self, wanted: usize) -> Result<bool> {
        let held = self.filled - self.at;
        if held >= wanted {
            return Ok(true);
        }
        if self.end - self.position < wanted as u64 {
            return Ok(false);
        }
        self.buffer.copy_within(self.at..self.filled, 0);
        (self.at, self.filled) = (0, held);
        let room = wanted.max(CHUNK).min((self.end - self.position) as usize);
        if self.buffer.len() < room {
            self.buffer.resize(room, 0);
        }
        let from = self.position + held as u64;
        self.filled += self.file.read_at(from, &mut self.buffer[held..room])?;
        Ok(self.filled >= wanted)
    }
}
