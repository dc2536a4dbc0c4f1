//! Segment files: their names, their format, and a sparse index of each.

use std::path::{Path, PathBuf};

use super::record::check;
use crate::fs::{FileLayer, Format, Framed, Setback, create_framed, open_framed};
use crate::{Error, Result};

pub const FORMAT: Format = Format {
    magic: *b"HRLG",
    version: 1,
    name: "log segment",
    advice: "restore the file, or move it and every later segment out of the folder to go on without the records in them",
};

const SUFFIX: &str = ".log";

/// Bytes between two entries of a segment's index: what a look-up reads in vain at most.
const INDEX_BYTES: u64 = 1 << 20;

/// One file of the log.
#[derive(Debug, Clone)]
pub struct Segment {
    pub framed: Framed,
    /// (offset, position) of some records, ascending; the first record's is left out.
    index: Vec<(u64, u64)>,
}

impl Segment {
    pub fn create(files: &dyn FileLayer, folder: &Path, first: u64) -> Result<Self, Setback> {
        let framed = create_framed(files, &path_of(folder, first), &FORMAT, first, first, Vec::new())?;
        Ok(Self {
            framed,
            index: Vec::new(),
        })
    }

    /// Verifies a whole segment.
    pub fn open(files: &dyn FileLayer, folder: &Path, first: u64, is_last: bool) -> Result<Self> {
        let path = path_of(folder, first);
        let mut index = Index::default();
        let framed = open_framed(files, &path, &FORMAT, is_last, |position, frame, payload| {
            index.note(frame.number, position);
            check(frame, payload)
        })?;
        if framed.first != first {
            return Err(Error::Corrupt(format!(
                "log segment {} says that it begins with record {}; restore its name",
                path.display(),
                framed.first
            )));
        }
        Ok(Self {
            framed,
            index: index.0,
        })
    }

    pub fn path(&self) -> PathBuf {
        self.framed.file.path().to_owned()
    }

    /// A commit of `bytes` was written at the end; records up to `next` are in it now.
    pub fn grow(&mut self, bytes: u64, next: u64) {
        let mut index = Index(std::mem::take(&mut self.index));
        index.note(self.framed.next, self.framed.bytes);
        self.index = index.0;
        self.framed.bytes += bytes;
        self.framed.next = next;
    }

    /// An offset at or below the one asked for, and where its record begins.
    pub fn locate(&self, offset: u64) -> (u64, u64) {
        let after = self.index.partition_point(|entry| entry.0 <= offset);
        match after.checked_sub(1) {
            Some(i) => self.index[i],
            None => (self.framed.first, Framed::START),
        }
    }
}

#[derive(Default)]
struct Index(Vec<(u64, u64)>);

impl Index {
    fn note(&mut self, offset: u64, position: u64) {
        let last = self.0.last().map_or(Framed::START, |entry| entry.1);
        if position - last >= INDEX_BYTES {
            self.0.push((offset, position));
        }
    }
}

/// The first offsets of the segments in a folder, ascending. Other files are left alone.
pub fn first_offsets(names: &[String]) -> Vec<u64> {
    let mut firsts: Vec<u64> = names
        .iter()
        .filter_map(|n| n.strip_suffix(SUFFIX))
        .filter(|n| n.len() == 20)
        .filter_map(|n| n.parse().ok())
        .collect();
    firsts.sort_unstable();
    firsts
}

fn path_of(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}{SUFFIX}"))
}
