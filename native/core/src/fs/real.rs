//! Files of the operating system.

use std::fs::{self, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{File, FileLayer, FolderLock, folder_of, in_use, refused};
use crate::Result;

/// The lock file inside a locked folder. It stays behind, holding the last owner's process id for the error message.
const LOCK_NAME: &str = "LOCK";

#[derive(Debug, Clone, Copy, Default)]
pub struct RealFiles;

#[derive(Debug)]
struct RealFile {
    path: PathBuf,
    file: fs::File,
}

impl RealFile {
    fn share(path: &Path, file: fs::File) -> Arc<dyn File> {
        Arc::new(Self {
            path: path.to_owned(),
            file,
        })
    }
}

impl FileLayer for RealFiles {
    fn create(&self, path: &Path) -> Result<Arc<dyn File>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path);
        Ok(RealFile::share(path, file.map_err(refused("create", path))?))
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn File>> {
        let file = OpenOptions::new().read(true).write(true).open(path);
        Ok(RealFile::share(path, file.map_err(refused("open", path))?))
    }

    fn list(&self, folder: &Path) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder).map_err(refused("list", folder))? {
            let entry = entry.map_err(refused("list", folder))?;
            let is_file = entry.file_type().map_err(refused("list", folder))?.is_file();
            if let (true, Ok(name)) = (is_file, entry.file_name().into_string()) {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        fs::rename(from, to).map_err(refused("rename", from))
    }

    fn remove(&self, path: &Path) -> Result<()> {
        fs::remove_file(path).map_err(refused("remove", path))
    }

    fn sync_directory(&self, folder: &Path) -> Result<()> {
        fs::File::open(folder)
            .and_then(|f| f.sync_all())
            .map_err(refused("sync the folder", folder))
    }

    fn make_folder(&self, folder: &Path) -> Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        let parent = folder_of(folder);
        self.make_folder(&parent)?;
        match fs::create_dir(folder) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                Err(refused("create the folder", folder)(error))
            }
            _ => self.sync_directory(&parent),
        }
    }

    fn lock(&self, folder: &Path) -> Result<FolderLock> {
        self.make_folder(folder)?;
        let path = folder.join(LOCK_NAME);
        let options = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path);
        let file = options.map_err(refused("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let owner = fs::read_to_string(&path).unwrap_or_default();
                return Err(in_use(folder, &format!("process {owner}")));
            }
            Err(TryLockError::Error(error)) => return Err(refused("lock", &path)(error)),
        }
        let owner = std::process::id().to_string();
        file.set_len(0)
            .and_then(|()| file.write_all_at(owner.as_bytes(), 0))
            .map_err(refused("write", &path))?;
        Ok(FolderLock::new(file))
    }
}

impl File for RealFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn read_at(&self, position: u64, buffer: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.file.read_at(&mut buffer[filled..], position + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(refused("read", &self.path)(error)),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, position: u64, bytes: &[u8]) -> Result<()> {
        self.file
            .write_all_at(bytes, position)
            .map_err(refused("write", &self.path))
    }

    fn truncate(&self, size: u64) -> Result<()> {
        // sync_all, since a smaller size is not needed to find the data that is left, and fdatasync may leave it out.
        self.file
            .set_len(size)
            .and_then(|()| self.file.sync_all())
            .map_err(refused("truncate", &self.path))
    }

    fn sync_data(&self) -> Result<()> {
        self.file.sync_data().map_err(refused("sync", &self.path))
    }

    fn size(&self) -> Result<u64> {
        Ok(self
            .file
            .metadata()
            .map_err(refused("measure", &self.path))?
            .len())
    }
}
