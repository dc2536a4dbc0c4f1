//! The file layer: the real one, and one that loses what was not synced.
//!
//! Log, journal and packs see only these two traits, so that the power-cut tests run the code that users run.
//! Errors are [`crate::Error::Io`] and name the path.

mod framed;
mod framing;
mod lock;
mod real;
mod simulated;

use std::fmt::Debug;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{Error, Result};

pub use framed::{Damage, FrameReader, Framed, Setback, Step, create_framed, open_framed, remove_unborn};
pub use framing::{FRAME_BYTES, Format, Frame, HEADER_BYTES, Salt, begin_frame, end_frame, finish_frames};
pub use lock::FolderLock;
pub use real::RealFiles;
#[cfg(test)]
pub(crate) use simulated::Random;
pub use simulated::{SimulatedFiles, SyncKind};

/// Folders and the names in them. Only what a `sync_directory` covered is sure to be there after a power cut.
pub trait FileLayer: Send + Sync + Debug {
    /// Creates an empty file that must not exist yet. Its name is durable after `sync_directory`.
    fn create(&self, path: &Path) -> Result<Arc<dyn File>>;

    /// Opens an existing file for reading and writing.
    fn open(&self, path: &Path) -> Result<Arc<dyn File>>;

    /// The names of the files in a folder, ascending.
    fn list(&self, folder: &Path) -> Result<Vec<String>>;

    /// Moves a file to another name in the same folder, replacing what had that name. After a power cut it has happened wholly or
    /// not at all.
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;

    /// Removes a name. Open handles go on reading the file.
    fn remove(&self, path: &Path) -> Result<()>;

    /// Makes creations, renames and removals in a folder durable.
    fn sync_directory(&self, folder: &Path) -> Result<()>;

    /// Creates a folder and its parents where they are missing; durable when it returns.
    fn make_folder(&self, folder: &Path) -> Result<()>;

    /// Takes the folder for this process. Fails at once if another holds it.
    fn lock(&self, folder: &Path) -> Result<FolderLock>;
}

/// An open file. Safe to share between threads.
pub trait File: Send + Sync + Debug {
    fn path(&self) -> &Path;

    /// Fills the buffer from `position` on; fewer bytes are read only at the end of the file.
    fn read_at(&self, position: u64, buffer: &mut [u8]) -> Result<usize>;

    /// Writes all bytes at `position`; durable after `sync_data`.
    fn write_at(&self, position: u64, bytes: &[u8]) -> Result<()>;

    /// Cuts the file to `size`; durable when it returns.
    fn truncate(&self, size: u64) -> Result<()>;

    /// Makes everything written so far durable. After an error nothing is known about what was written, and trying again proves
    /// nothing: the kernel may have dropped the pages and call them clean.
    fn sync_data(&self) -> Result<()>;

    fn size(&self) -> Result<u64>;
}

/// The folder of a file; a bare name lies in the current one.
pub fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Numbers of the system's errors that are the same on every Unix.
mod errno {
    pub const ENOENT: i32 = 2;
    pub const EIO: i32 = 5;
    pub const EEXIST: i32 = 17;
    pub const ENOSPC: i32 = 28;
}

/// The error of something that takes no more after a failed write or sync.
pub fn stopped(why: impl Into<String>) -> Error {
    Error::io(why, std::io::Error::from_raw_os_error(errno::EIO))
}

/// The error of a folder that another owner has.
fn in_use(folder: &Path, owner: &str) -> Error {
    let what_to_do = std::io::Error::new(ErrorKind::ResourceBusy, "stop it, or choose another data folder");
    Error::io(format!("{} is in use by {owner}", folder.display()), what_to_do)
}

/// Names verb and path in an I/O error.
fn refused(verb: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let context = format!("cannot {verb} {}", path.display());
    move |source| Error::io(context, source)
}

#[cfg(test)]
mod tests;
