//! Payload: each write makes one file of many values.
//!
//! Packs check their values themselves: a CRC-32C behind each value covers its position and its bytes, so that a caller never gets
//! a value that was changed, or another one than it asked for.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::fs::{File, FileLayer};
use crate::{Error, Result};

const SUFFIX: &str = ".pack";
const MAGIC: [u8; 4] = *b"HRPK";
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 8;
const CHECKSUM_BYTES: usize = 4;

/// Bytes gathered before they are written.
const WRITE_BYTES: usize = 1 << 20;

/// Packs that are kept open.
const OPEN_PACKS: usize = 256;

/// Where a value lies in its pack: position and length.
pub type Span = (u64, u64);

/// A folder of packs. Names are never used twice, so a pack never changes once it is written.
#[derive(Debug)]
pub struct Packs {
    files: Arc<dyn FileLayer>,
    folder: PathBuf,
    open: Mutex<OpenPacks>,
}

impl Packs {
    pub fn open(files: Arc<dyn FileLayer>, folder: &Path) -> Result<Self> {
        files.make_folder(folder)?;
        Ok(Self {
            files,
            folder: folder.to_owned(),
            open: Mutex::default(),
        })
    }

    /// Writes a pack; it and its name are durable when this returns. After an error the name may exist and holds nothing of worth.
    pub fn write<V: AsRef<[u8]>>(&self, name: &str, values: &[V]) -> Result<Vec<Span>> {
        let path = self.path_of(name)?;
        let file = self.files.create(&path)?;
        let written = write_values(file.as_ref(), values).and_then(|spans| {
            file.sync_data()?;
            self.files.sync_directory(&self.folder)?;
            Ok(spans)
        });
        if written.is_err() {
            // Nothing refers to it; if it cannot be removed either, it is an orphan that the sweep finds by `names`.
            let _ = self.files.remove(&path);
        }
        written
    }

    /// Opens a pack, or takes it from those that are open.
    pub fn pack(&self, name: &str) -> Result<Arc<Pack>> {
        if let Some(pack) = self.open.lock().get(name) {
            return Ok(pack);
        }
        let file = self.files.open(&self.path_of(name)?)?;
        let pack = Arc::new(Pack::open(file)?);
        self.open.lock().insert(name, pack.clone());
        Ok(pack)
    }

    /// Removes a pack. A power cut may bring it back as an orphan.
    pub fn remove(&self, name: &str) -> Result<()> {
        self.open.lock().forget(name);
        self.files.remove(&self.path_of(name)?)
    }

    /// The names of all packs, ascending; those of torn writes are among them.
    pub fn names(&self) -> Result<Vec<String>> {
        let names = self.files.list(&self.folder)?;
        Ok(names
            .iter()
            .filter_map(|n| n.strip_suffix(SUFFIX))
            .map(str::to_owned)
            .collect())
    }

    /// Bytes of a pack's file.
    pub fn size(&self, name: &str) -> Result<u64> {
        self.files.open(&self.path_of(name)?)?.size()
    }

    #[cfg(test)]
    pub(super) fn open_packs(&self) -> usize {
        self.open.lock().order.len()
    }

    fn path_of(&self, name: &str) -> Result<PathBuf> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.starts_with('.') || !name.chars().all(is_plain) {
            return Err(Error::BadData(format!(
                "{name:?} cannot name a pack; use letters, digits, '-', '_' and '.'"
            )));
        }
        Ok(self.folder.join(format!("{name}{SUFFIX}")))
    }
}

/// An open pack.
#[derive(Debug)]
pub struct Pack {
    file: Arc<dyn File>,
    size: u64,
}

impl Pack {
    fn open(file: Arc<dyn File>) -> Result<Self> {
        let mut header = [0; HEADER_BYTES];
        let read = file.read_at(0, &mut header)?;
        if read < HEADER_BYTES || header[..4] != MAGIC || header[4] == 0 {
            return Err(corrupt(file.path(), 0, "is not a pack"));
        }
        if header[4] > VERSION {
            return Err(Error::Unsupported(format!(
                "pack {} has format version {}, and this build reads versions up to {VERSION}; run the build that wrote it, or a newer one",
                file.path().display(),
                header[4]
            )));
        }
        let size = file.size()?;
        Ok(Self { file, size })
    }

    /// Checks that a span lies within the file, before anybody makes room for it.
    pub fn check(&self, (position, length): Span) -> Result<()> {
        let end = position
            .checked_add(length)
            .and_then(|e| e.checked_add(CHECKSUM_BYTES as u64));
        if position < HEADER_BYTES as u64 || end.is_none_or(|e| e > self.size) {
            let what = format!(
                "a value of {length} bytes at {position} does not lie within the {} bytes of the file",
                self.size
            );
            return Err(corrupt(self.file.path(), position, &what));
        }
        Ok(())
    }

    /// Reads the value at `position` into `value`, whose length is the span's.
    pub fn read(&self, position: u64, value: &mut [u8]) -> Result<()> {
        self.check((position, value.len() as u64))?;
        let mut checksum = [0; CHECKSUM_BYTES];
        let mut read = self.file.read_at(position, value)?;
        read += self.file.read_at(position + value.len() as u64, &mut checksum)?;
        if read < value.len() + CHECKSUM_BYTES || u32::from_le_bytes(checksum) != checksum_of(position, value)
        {
            return Err(corrupt(
                self.file.path(),
                position,
                "the value does not match its checksum",
            ));
        }
        Ok(())
    }
}

fn write_values<V: AsRef<[u8]>>(file: &dyn File, values: &[V]) -> Result<Vec<Span>> {
    let mut spans = Vec::with_capacity(values.len());
    let mut buffer = Vec::with_capacity(WRITE_BYTES);
    let mut written = 0;
    buffer.extend_from_slice(&MAGIC);
    buffer.extend_from_slice(&[VERSION, 0, 0, 0]);
    for value in values {
        let value = value.as_ref();
        let position = written + buffer.len() as u64;
        spans.push((position, value.len() as u64));
        buffer.extend_from_slice(value);
        buffer.extend_from_slice(&checksum_of(position, value).to_le_bytes());
        if buffer.len() >= WRITE_BYTES {
            file.write_at(written, &buffer)?;
            written += buffer.len() as u64;
            buffer.clear();
        }
    }
    file.write_at(written, &buffer)?;
    Ok(spans)
}

fn checksum_of(position: u64, value: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&position.to_le_bytes()), value)
}

fn corrupt(path: &Path, position: u64, what: &str) -> Error {
    Error::Corrupt(format!(
        "pack {}: {what} (byte {position}); restore the file from a copy",
        path.display()
    ))
}

/// Open packs, the longest open one going first.
#[derive(Debug, Default)]
struct OpenPacks {
    packs: HashMap<String, Arc<Pack>>,
    order: VecDeque<String>,
}

impl OpenPacks {
    fn get(&self, name: &str) -> Option<Arc<Pack>> {
        self.packs.get(name).cloned()
    }

    fn insert(&mut self, name: &str, pack: Arc<Pack>) {
        if self.packs.insert(name.to_owned(), pack).is_none() {
            self.order.push_back(name.to_owned());
        }
        while self.order.len() > OPEN_PACKS {
            if let Some(oldest) = self.order.pop_front() {
                self.packs.remove(&oldest);
            }
        }
    }

    fn forget(&mut self, name: &str) {
        if self.packs.remove(name).is_some() {
            self.order.retain(|n| n != name);
        }
    }
}
