//! A disk in memory that takes its contract literally: what was not synced may be gone.
//!
//! Everything works as on a real disk until [`SimulatedFiles::power_cut`]. File data is durable only after `sync_data` of that
//! file; a new name, a rename or a removal only after `sync_directory` of its folder. All chance comes from one seed.

mod disk;
mod random;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::{File, FileLayer, FolderLock, in_use, refused};
use crate::Result;
use disk::Disk;
#[cfg(test)]
pub(crate) use random::Random;

/// The two kinds of sync, for faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncKind {
    Data,
    Directory,
}

#[derive(Debug, Clone)]
pub struct SimulatedFiles {
    disk: Arc<Mutex<Disk>>,
}

impl SimulatedFiles {
    pub fn new(seed: u64) -> Self {
        Self {
            disk: Arc::new(Mutex::new(Disk::new(seed))),
        }
    }

    /// What the disk holds after the power failed now: all that was synced, and of the rest a random part, torn anywhere, with
    /// unwritten sectors zero. This layer and every handle of it fail from now on.
    #[must_use]
    pub fn power_cut(&self) -> Self {
        Self {
            disk: Arc::new(Mutex::new(self.disk.lock().cut())),
        }
    }

    /// The power fails by itself after so many more operations: `power_cut` then tells what that moment left.
    pub fn fail_power_after(&self, operations: u64) {
        self.disk.lock().burn_after(operations);
    }

    /// Makes the nth (1: the next; `None`: every) later sync of a kind a lie, to prove that a test would notice.
    pub fn ignore_sync(&self, kind: SyncKind, nth: Option<u64>) {
        self.disk.lock().add_fault(kind, nth, disk::Outcome::Lie);
    }

    /// Makes the nth later sync of a kind fail. What it should have written is dropped and counts as clean, as Linux does it.
    pub fn fail_sync(&self, kind: SyncKind, nth: u64) {
        self.disk.lock().add_fault(kind, Some(nth), disk::Outcome::Fail);
    }

    /// Files may grow by so many more bytes together, then the disk is full; `None`: it never is.
    pub fn set_room(&self, bytes: Option<usize>) {
        self.disk.lock().set_room(bytes);
    }

    pub fn has_power(&self) -> bool {
        !self.disk.lock().is_off()
    }

    /// The disk, unless the power is off.
    fn powered(&self, verb: &'static str, path: &Path) -> Result<MutexGuard<'_, Disk>> {
        let mut disk = self.disk.lock();
        if !disk.spend() {
            return Err(refused(verb, path)(io::Error::other("the power is off")));
        }
        Ok(disk)
    }

    fn handle(&self, path: &Path, id: usize) -> Arc<dyn File> {
        Arc::new(SimulatedFile {
            files: self.clone(),
            path: path.to_owned(),
            id,
        })
    }
}

impl FileLayer for SimulatedFiles {
    fn create(&self, path: &Path) -> Result<Arc<dyn File>> {
        let id = self
            .powered("create", path)?
            .create(path)
            .map_err(refused("create", path))?;
        Ok(self.handle(path, id))
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn File>> {
        let id = self
            .powered("open", path)?
            .find(path)
            .map_err(refused("open", path))?;
        Ok(self.handle(path, id))
    }

    fn list(&self, folder: &Path) -> Result<Vec<String>> {
        self.powered("list", folder)?
            .list(folder)
            .map_err(refused("list", folder))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.powered("rename", from)?
            .rename(from, to)
            .map_err(refused("rename", from))
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.powered("remove", path)?
            .remove(path)
            .map_err(refused("remove", path))
    }

    fn sync_directory(&self, folder: &Path) -> Result<()> {
        let verb = "sync the folder";
        self.powered(verb, folder)?
            .sync_directory(folder)
            .map_err(refused(verb, folder))
    }

    fn make_folder(&self, folder: &Path) -> Result<()> {
        self.powered("create the folder", folder)?.make_folder(folder);
        Ok(())
    }

    fn lock(&self, folder: &Path) -> Result<FolderLock> {
        let mut disk = self.powered("lock", folder)?;
        disk.make_folder(folder);
        if !disk.hold(folder) {
            return Err(in_use(folder, "another handle"));
        }
        Ok(FolderLock::new(Held {
            disk: self.disk.clone(),
            folder: folder.to_owned(),
        }))
    }
}

/// A locked folder of a simulated disk.
struct Held {
    disk: Arc<Mutex<Disk>>,
    folder: PathBuf,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.disk.lock().let_go(&self.folder);
    }
}

#[derive(Debug)]
struct SimulatedFile {
    files: SimulatedFiles,
    path: PathBuf,
    id: usize,
}

impl File for SimulatedFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn read_at(&self, position: u64, buffer: &mut [u8]) -> Result<usize> {
        Ok(self
            .files
            .powered("read", &self.path)?
            .file(self.id)
            .read(position, buffer))
    }

    fn write_at(&self, position: u64, bytes: &[u8]) -> Result<()> {
        self.files
            .powered("write", &self.path)?
            .write(self.id, position as usize, bytes)
            .map_err(refused("write", &self.path))
    }

    fn truncate(&self, size: u64) -> Result<()> {
        let mut disk = self.files.powered("truncate", &self.path)?;
        disk.file(self.id).truncate(size as usize);
        disk.sync_data(self.id).map_err(refused("truncate", &self.path))
    }

    fn sync_data(&self) -> Result<()> {
        self.files
            .powered("sync", &self.path)?
            .sync_data(self.id)
            .map_err(refused("sync", &self.path))
    }

    fn size(&self) -> Result<u64> {
        Ok(self.files.powered("measure", &self.path)?.file(self.id).size() as u64)
    }
}

#[cfg(test)]
mod tests;
