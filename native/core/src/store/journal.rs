//! A small key-value store: all of it in memory, every transaction one append and one sync.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::transaction::{Transaction, pair_bytes};
use crate::fs::{
    FileLayer, Format, Framed, Setback, begin_frame, create_framed, end_frame, folder_of, open_framed,
    stopped,
};
use crate::{Error, Result};

const FORMAT: Format = Format {
    magic: *b"HRJN",
    version: 1,
    name: "journal",
    advice: "restore the file; it is the only record of what the store holds, so do not start without it",
};

/// The only kind of frame there is.
const TRANSACTION: u8 = 1;

/// A journal below this size is not worth rewriting.
const FLOOR_BYTES: u64 = 256 << 10;

/// A rewritten journal holds frames of about this size.
const SNAPSHOT_FRAME_BYTES: u64 = 1 << 20;

/// A transaction above this is refused; it keeps frame lengths within their 32 bits.
const MAX_TRANSACTION_BYTES: u64 = 1 << 30;

/// Checksummed transactions in one file. When the file has grown to more than twice what is live, plus a floor, it is written anew.
///
/// Readers never wait for a disk: they see the map, which changes only once a transaction is durable.
#[derive(Debug)]
pub struct Journal {
    files: Arc<dyn FileLayer>,
    path: PathBuf,
    floor: u64,
    /// Held for a whole commit, so that commits are one after the other.
    writer: Mutex<Writer>,
    map: RwLock<BTreeMap<String, Vec<u8>>>,
}

#[derive(Debug)]
struct Writer {
    framed: Framed,
    live: u64,
    stopped: Option<String>,
}

impl Journal {
    /// Opens or creates a journal. A torn tail is cut off; any other damage is Corrupt.
    pub fn open(files: Arc<dyn FileLayer>, path: &Path) -> Result<Self> {
        Self::open_with_floor(files, path, FLOOR_BYTES)
    }

    pub(super) fn open_with_floor(files: Arc<dyn FileLayer>, path: &Path, floor: u64) -> Result<Self> {
        let folder = folder_of(path);
        files.make_folder(&folder)?;
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let mut map = BTreeMap::new();
        let mut live = 0;
        let framed = if files.list(&folder)?.iter().any(|n| n == name) {
            open_framed(files.as_ref(), path, &FORMAT, true, |position, frame, payload| {
                if frame.kind != TRANSACTION {
                    return Err(Error::Unsupported(format!(
                        "journal {} holds a record of kind {} at byte {position}, which a newer build wrote; run that build, or a newer one",
                        path.display(),
                        frame.kind
                    )));
                }
                Transaction::decode(payload)?.apply(&mut map, &mut live);
                Ok(())
            })?
        } else {
            create_framed(files.as_ref(), path, &FORMAT, 0, 0, Vec::new())?
        };
        Ok(Self {
            files,
            path: path.to_owned(),
            floor,
            writer: Mutex::new(Writer {
                framed,
                live,
                stopped: None,
            }),
            map: RwLock::new(map),
        })
    }

    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.map.read().get(key).cloned()
    }

    /// Keys that start with `prefix`, ascending, with their values.
    pub fn scan(&self, prefix: &str) -> Vec<(String, Vec<u8>)> {
        self.map
            .read()
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    /// Applies a transaction if every key of `expect` has the value given (`None`: does not exist). True: it is durable. False: nothing
    /// was done. After a failed sync the journal takes nothing more until it is opened again; a failed write, as on a full disk, is
    /// taken back and may be tried again.
    pub fn commit(&self, transaction: Transaction, expect: &[(String, Option<Vec<u8>>)]) -> Result<bool> {
        let mut writer = self.writer.lock();
        if let Some(why) = &writer.stopped {
            return Err(stopped(why.clone()));
        }
        {
            let map = self.map.read();
            if expect.iter().any(|(key, value)| map.get(key) != value.as_ref()) {
                return Ok(false);
            }
        }
        if transaction.is_empty() {
            return Ok(true);
        }
        if transaction.bytes() > MAX_TRANSACTION_BYTES {
            return Err(Error::TooLarge(format!(
                "a transaction of {} bytes; the journal takes up to {MAX_TRANSACTION_BYTES}",
                transaction.bytes()
            )));
        }
        if let Err(Setback { error, is_final }) = self.write(&mut writer, &transaction) {
            if is_final {
                writer.stopped = Some(format!("the journal cannot be written until a restart: {error}"));
            }
            return Err(error);
        }
        transaction.apply(&mut self.map.write(), &mut writer.live);
        Ok(true)
    }

    /// Takes no more transactions. Everything committed is durable already.
    pub fn close(&self) {
        self.writer
            .lock()
            .stopped
            .get_or_insert_with(|| format!("{} was closed", self.path.display()));
    }

    fn write(&self, writer: &mut Writer, transaction: &Transaction) -> Result<(), Setback> {
        if writer.framed.bytes > 2 * writer.live + self.floor {
            writer.framed = self.rewrite(writer.framed.next)?;
        }
        let framed = &mut writer.framed;
        let mut buffer = Vec::new();
        push_transaction(&mut buffer, framed.next, transaction);
        framed.append(&mut buffer, framed.next + 1)
    }

    /// Replaces the file by one that holds just the map.
    fn rewrite(&self, first: u64) -> Result<Framed, Setback> {
        let map = self.map.read();
        let mut buffer = Vec::new();
        let mut next = first;
        let mut part = Transaction::default();
        let mut bytes = 0;
        for (key, value) in map.iter() {
            bytes += pair_bytes(key, value);
            part.puts.push((key.clone(), value.clone()));
            if bytes >= SNAPSHOT_FRAME_BYTES {
                push_transaction(&mut buffer, next, &std::mem::take(&mut part));
                (bytes, next) = (0, next + 1);
            }
        }
        if !part.is_empty() {
            push_transaction(&mut buffer, next, &part);
            next += 1;
        }
        create_framed(self.files.as_ref(), &self.path, &FORMAT, first, next, buffer)
    }
}

fn push_transaction(buffer: &mut Vec<u8>, number: u64, transaction: &Transaction) {
    let start = begin_frame(buffer, TRANSACTION, 0, number, 0);
    transaction.encode(buffer);
    end_frame(buffer, start);
}
