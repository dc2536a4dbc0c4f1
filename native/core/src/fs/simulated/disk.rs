//! The state of a simulated disk: what programs see, what is durable, and what lies between.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::SyncKind;
use super::random::Random;
use crate::fs::errno::{EEXIST, ENOENT, ENOSPC};
use crate::fs::folder_of;

/// The unit that a disk writes whole or not at all.
const SECTOR: usize = 512;

/// What happens to a sync that a fault hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Honest,
    Lie,
    Fail,
}

#[derive(Debug)]
struct Fault {
    kind: SyncKind,
    /// Syncs of the kind until it strikes, this one included; `None` strikes always.
    left: Option<u64>,
    outcome: Outcome,
}

#[derive(Debug)]
pub struct Disk {
    off: bool,
    /// Operations until the power fails by itself.
    fuse: Option<u64>,
    random: Random,
    /// By id; removed files stay, since open handles may go on reading them.
    files: Vec<Contents>,
    folders: BTreeMap<PathBuf, Folder>,
    held: BTreeSet<PathBuf>,
    faults: Vec<Fault>,
    /// Bytes by which files may still grow; `None` is plenty. What is truncated or removed does not come back.
    room: Option<usize>,
}

impl Disk {
    pub fn new(seed: u64) -> Self {
        Self {
            off: false,
            fuse: None,
            random: Random::new(seed),
            files: Vec::new(),
            folders: BTreeMap::from([(PathBuf::from("."), Folder::default())]),
            held: BTreeSet::new(),
            faults: Vec::new(),
            room: None,
        }
    }

    pub fn is_off(&self) -> bool {
        self.off
    }

    /// Counts an operation; false if there is no power for it.
    pub fn spend(&mut self) -> bool {
        match &mut self.fuse {
            Some(0) => self.off = true,
            Some(left) => *left -= 1,
            None => {}
        }
        !self.off
    }

    pub fn burn_after(&mut self, operations: u64) {
        self.fuse = Some(operations);
    }

    /// Turns this disk off and returns what it holds.
    pub fn cut(&mut self) -> Self {
        self.off = true;
        let mut random = Random::new(self.random.next());
        let files = self.files.iter().map(|f| f.after_cut(&mut random)).collect();
        let folders = self
            .folders
            .iter()
            .map(|(path, f)| (path.clone(), f.after_cut(&mut random)))
            .collect();
        Self {
            off: false,
            fuse: None,
            random,
            files,
            folders,
            held: BTreeSet::new(),
            faults: Vec::new(),
            room: None,
        }
    }

    pub fn set_room(&mut self, bytes: Option<usize>) {
        self.room = bytes;
    }

    /// Writes as much as there is room for.
    pub fn write(&mut self, id: usize, position: usize, bytes: &[u8]) -> io::Result<()> {
        let file = &mut self.files[id];
        let growth = (position + bytes.len()).saturating_sub(file.size());
        let left = self.room.unwrap_or(usize::MAX);
        let lacking = growth.saturating_sub(left);
        file.write(position, &bytes[..bytes.len() - lacking.min(bytes.len())]);
        self.room = self.room.map(|room| room.saturating_sub(growth));
        if lacking > 0 {
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        Ok(())
    }

    pub fn add_fault(&mut self, kind: SyncKind, nth: Option<u64>, outcome: Outcome) {
        self.faults.push(Fault {
            kind,
            left: nth,
            outcome,
        });
    }

    pub fn file(&mut self, id: usize) -> &mut Contents {
        &mut self.files[id]
    }

    pub fn create(&mut self, path: &Path) -> io::Result<usize> {
        let id = self.files.len();
        let (folder, name) = self.folder(path)?;
        if folder.names.contains_key(&name) {
            return Err(io::Error::from_raw_os_error(EEXIST));
        }
        folder.change(Change::Create(name, id));
        self.files.push(Contents::default());
        Ok(id)
    }

    pub fn find(&mut self, path: &Path) -> io::Result<usize> {
        let (folder, name) = self.folder(path)?;
        folder.names.get(&name).copied().ok_or_else(missing)
    }

    pub fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let folder = self.folders.get(folder).ok_or_else(missing)?;
        Ok(folder.names.keys().cloned().collect())
    }

    pub fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        if folder_of(from) != folder_of(to) {
            return Err(ErrorKind::CrossesDevices.into());
        }
        self.find(from)?;
        let (_, target) = self.folder(to)?;
        let (folder, name) = self.folder(from)?;
        folder.change(Change::Rename(name, target));
        Ok(())
    }

    pub fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.find(path)?;
        let (folder, name) = self.folder(path)?;
        folder.change(Change::Remove(name));
        Ok(())
    }

    pub fn sync_directory(&mut self, path: &Path) -> io::Result<()> {
        let outcome = self.next_outcome(SyncKind::Directory);
        let folder = self.folders.get_mut(path).ok_or_else(missing)?;
        match outcome {
            Outcome::Honest => folder.sync(),
            Outcome::Lie => {}
            Outcome::Fail => return Err(io::Error::other("simulated failure")),
        }
        Ok(())
    }

    pub fn make_folder(&mut self, folder: &Path) {
        for ancestor in folder.ancestors().filter(|a| !a.as_os_str().is_empty()) {
            self.folders.entry(ancestor.to_owned()).or_default();
        }
    }

    pub fn sync_data(&mut self, id: usize) -> io::Result<()> {
        match self.next_outcome(SyncKind::Data) {
            Outcome::Honest => self.files[id].sync(),
            Outcome::Lie => {}
            Outcome::Fail => {
                self.files[id].dirty.clear();
                return Err(io::Error::other("simulated failure"));
            }
        }
        Ok(())
    }

    /// Whether the folder was free.
    pub fn hold(&mut self, folder: &Path) -> bool {
        self.held.insert(folder.to_owned())
    }

    pub fn let_go(&mut self, folder: &Path) {
        self.held.remove(folder);
    }

    fn folder(&mut self, path: &Path) -> io::Result<(&mut Folder, String)> {
        let name = path
            .file_name()
            .and_then(|n| n.to_str())
            .ok_or(ErrorKind::InvalidInput)?;
        let folder = self.folders.get_mut(&folder_of(path)).ok_or_else(missing)?;
        Ok((folder, name.to_owned()))
    }

    fn next_outcome(&mut self, kind: SyncKind) -> Outcome {
        let mut outcome = Outcome::Honest;
        for fault in self.faults.iter_mut().filter(|f| f.kind == kind) {
            if fault.left.is_none_or(|left| left == 1) {
                outcome = fault.outcome;
            }
            fault.left = fault.left.map(|left| left.saturating_sub(1));
        }
        outcome
    }
}

/// The bytes of one file.
#[derive(Debug, Default)]
pub struct Contents {
    current: Vec<u8>,
    durable: Vec<u8>,
    /// Written since the last sync, so that the disk may or may not have it.
    dirty: Vec<Range<usize>>,
}

impl Contents {
    pub fn size(&self) -> usize {
        self.current.len()
    }

    pub fn read(&self, position: u64, buffer: &mut [u8]) -> usize {
        let rest = usize::try_from(position)
            .ok()
            .and_then(|p| self.current.get(p..))
            .unwrap_or_default();
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        length
    }

    fn write(&mut self, position: usize, bytes: &[u8]) {
        let end = position + bytes.len();
        self.current.resize(self.current.len().max(end), 0);
        self.current[position..end].copy_from_slice(bytes);
        self.dirty.push(position..end);
    }

    pub fn truncate(&mut self, size: usize) {
        self.current.resize(size, 0);
    }

    fn sync(&mut self) {
        self.durable.resize(self.current.len(), 0);
        for range in self.dirty.drain(..) {
            let range = range.start.min(self.current.len())..range.end.min(self.current.len());
            self.durable[range.clone()].copy_from_slice(&self.current[range]);
        }
    }

    /// Any size between the durable and the current one, and any subset of the unsynced sectors; the rest reads as zero.
    fn after_cut(&self, random: &mut Random) -> Self {
        let (low, high) = (
            self.durable.len().min(self.current.len()),
            self.durable.len().max(self.current.len()),
        );
        let size = match random.below(3) {
            0 => self.durable.len(),
            1 => self.current.len(),
            _ => low + random.below(high - low + 1),
        };
        let mut bytes = self.durable.clone();
        bytes.resize(size, 0);
        // Half of the cuts find the disk idle: all of it or nothing, which is what makes clean prefixes likely.
        let survival = random.below(4);
        for range in &self.dirty {
            let mut at = range.start;
            while at < range.end.min(size) {
                let end = ((at / SECTOR + 1) * SECTOR).min(range.end).min(size);
                let survives = match survival {
                    0 => false,
                    1 => true,
                    _ => random.below(2) == 0,
                };
                if survives && end <= self.current.len() {
                    bytes[at..end].copy_from_slice(&self.current[at..end]);
                }
                at = end;
            }
        }
        Self {
            current: bytes.clone(),
            durable: bytes,
            dirty: Vec::new(),
        }
    }
}

#[derive(Debug, Clone)]
enum Change {
    Create(String, usize),
    Rename(String, String),
    Remove(String),
}

/// The names in one folder, with the id of the file each leads to.
#[derive(Debug, Default)]
struct Folder {
    names: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    /// Made since the last sync, in order.
    pending: Vec<Change>,
}

impl Folder {
    fn change(&mut self, change: Change) {
        apply(&mut self.names, &change);
        self.pending.push(change);
    }

    fn sync(&mut self) {
        self.durable.clone_from(&self.names);
        self.pending.clear();
    }

    /// Any subset of the pending changes has happened, each wholly, in order.
    fn after_cut(&self, random: &mut Random) -> Self {
        let mut names = self.durable.clone();
        for change in &self.pending {
            if random.below(2) == 0 {
                apply(&mut names, change);
            }
        }
        Self {
            durable: names.clone(),
            names,
            pending: Vec::new(),
        }
    }
}

fn apply(names: &mut BTreeMap<String, usize>, change: &Change) {
    match change {
        Change::Create(name, id) => {
            names.insert(name.clone(), *id);
        }
        Change::Rename(from, to) => {
            if let Some(id) = names.remove(from) {
                names.insert(to.clone(), id);
            }
        }
        Change::Remove(name) => {
            names.remove(name);
        }
    }
}

fn missing() -> io::Error {
    io::Error::from_raw_os_error(ENOENT)
}
