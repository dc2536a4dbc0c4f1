//! A record in the making.

use super::format::{Header, MAX_PLAIN_BYTES, Packer, SEAL, WRITE, stored};
use crate::model::{Millis, Uid};
use crate::wire::encode::{
    PUSH_OVERHEAD, Rows, max_metadata_len, put_metadata, put_push, put_rows, rows_len,
};
use crate::wire::exemplar::{BatchExemplar, max_exemplar_len, put_exemplar};
use crate::wire::{MAX_HISTOGRAM_BYTES, MAX_METADATA_ENTRIES, MetadataEntry, PushEntry, SplitBatch};
use crate::{Error, Result};

/// Instance, shards, length.
pub const SECTION_BYTES: usize = 16 + 2 + 4;

/// Tags and lengths around the samples of a series.
const SERIES_OVERHEAD: usize = 16;

/// Labels of one series, or one metadata entry, that leave half of a record for what goes with them.
const MAX_UNIT_BYTES: usize = MAX_PLAIN_BYTES / 2;

const _: () =
    assert!(MAX_UNIT_BYTES + MAX_HISTOGRAM_BYTES + SERIES_OVERHEAD + SECTION_BYTES < MAX_PLAIN_BYTES);

/// Buffers that are kept for the next drafts, altogether.
const SPARE_BYTES: usize = 16 << 20;

/// Whose a section is: the instance, and the shards it used.
type Owner = (Uid, u16);

/// What one record will hold, before it is compressed. What belongs to one instance stays in its order.
#[derive(Debug)]
pub struct Draft {
    sections: Vec<Section>,
    /// The section written to last.
    latest: usize,
    bytes: usize,
    /// The earliest clock by which something of it was validated.
    oldest: Millis,
    /// Who waits for it, each once.
    pub tickets: Vec<u64>,
}

#[derive(Debug)]
struct Section {
    owner: Owner,
    /// With room for the section's head before it.
    plain: Vec<u8>,
    entries: usize,
}

impl Draft {
    fn new() -> Self {
        Self {
            sections: Vec::new(),
            latest: 0,
            bytes: 0,
            oldest: Millis::MAX,
            tickets: Vec::new(),
        }
    }

    /// Where to write `bytes` and so many metadata entries of `owner`; `None`: there is no room for them.
    #[inline]
    fn section(
        &mut self,
        owner: Owner,
        bytes: usize,
        entries: usize,
        spare: &mut Spare,
    ) -> Option<&mut Section> {
        let fits =
            |section: &Section| section.owner == owner && section.entries + entries <= MAX_METADATA_ENTRIES;
        let known = match self.sections.get(self.latest) {
            Some(latest) if fits(latest) => Some(self.latest),
            _ => self.sections.iter().rposition(fits),
        };
        let head = if known.is_some() { 0 } else { SECTION_BYTES };
        if self.bytes + head + bytes > MAX_PLAIN_BYTES {
            return None;
        }
        let at = known.unwrap_or_else(|| {
            let mut plain = spare.take();
            plain.resize(SECTION_BYTES, 0);
            self.bytes += SECTION_BYTES;
            self.sections.push(Section {
                owner,
                plain,
                entries: 0,
            });
            self.sections.len() - 1
        });
        self.latest = at;
        let section = &mut self.sections[at];
        section.entries += entries;
        Some(section)
    }

    /// The record, and the draft's buffers for others.
    pub fn finish(
        mut self,
        partition: u16,
        packer: &mut Packer,
        scratch: &mut Vec<u8>,
        spare: &mut Spare,
    ) -> Result<Vec<u8>> {
        let header = Header {
            kind: WRITE,
            partition,
            time: self.oldest,
        };
        for section in &mut self.sections {
            section.write_head();
        }
        let value = if let [section] = self.sections.as_slice() {
            packer.record(header, &section.plain)
        } else {
            scratch.clear();
            for section in &self.sections {
                scratch.extend_from_slice(&section.plain);
            }
            packer.record(header, scratch)
        };
        for section in self.sections {
            spare.give(section.plain);
        }
        value
    }
}

impl Section {
    fn write_head(&mut self) {
        let (uid, shards) = self.owner;
        let len = (self.plain.len() - SECTION_BYTES) as u32;
        self.plain[..16].copy_from_slice(&uid.0);
        self.plain[16..18].copy_from_slice(&shards.to_le_bytes());
        self.plain[18..SECTION_BYTES].copy_from_slice(&len.to_le_bytes());
    }
}

/// Buffers of records that were written.
#[derive(Debug, Default)]
pub struct Spare {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

impl Spare {
    fn take(&mut self) -> Vec<u8> {
        let buffer = self.buffers.pop().unwrap_or_default();
        self.bytes -= buffer.capacity();
        buffer
    }

    fn give(&mut self, mut buffer: Vec<u8>) {
        if self.bytes + buffer.capacity() <= SPARE_BYTES {
            buffer.clear();
            self.bytes += buffer.capacity();
            self.buffers.push(buffer);
        }
    }

    /// All that another one has.
    pub fn append(&mut self, other: &mut Self) {
        for buffer in std::mem::take(other).buffers {
            self.give(buffer);
        }
    }
}

/// What waits for one partition: full drafts, then one that takes more.
#[derive(Debug, Default)]
pub struct Drafts {
    pub full: Vec<Draft>,
    pub open: Option<Draft>,
}

/// Who adds, to whom, and how many drafts have something of it.
#[derive(Debug)]
pub struct Adding<'a> {
    pub ticket: u64,
    pub now: Millis,
    pub owner: Owner,
    pub drafts: u32,
    pub bytes: usize,
    pub spare: &'a mut Spare,
}

impl Drafts {
    /// One series, in as many pieces as there have to be.
    #[inline]
    pub fn add_series(&mut self, adding: &mut Adding<'_>, labels: &[u8], rows: &Rows<'_>) {
        let most = labels.len() + SERIES_OVERHEAD + rows.max_len();
        if most <= MAX_PLAIN_BYTES - SECTION_BYTES {
            self.write(adding, most, 0, |plain| put_rows(plain, labels, rows));
        } else {
            self.add_long_series(adding, labels, rows);
        }
    }

    #[cold]
    fn add_long_series(&mut self, adding: &mut Adding<'_>, labels: &[u8], rows: &Rows<'_>) {
        let room = MAX_PLAIN_BYTES - SECTION_BYTES - SERIES_OVERHEAD - labels.len();
        let mut add = |rows: &Rows<'_>| {
            let len = rows_len(labels, rows);
            self.write(adding, len, 0, |plain| put_rows(plain, labels, rows));
        };
        let (floats, step) = (rows.times.len(), room / rows.max_sample());
        for start in (0..floats).step_by(step) {
            add(&rows.some_floats(start..floats.min(start + step)));
        }
        let mut rest = rows.histograms;
        while !rest.is_empty() {
            let mut left = room;
            let fits = rest.iter().take_while(|histogram| {
                let len = histogram.field_len();
                let fits = len <= left;
                left = left.saturating_sub(len);
                fits
            });
            let (piece, more) = rest.split_at(fits.count().max(1));
            add(&rows.only(piece));
            rest = more;
        }
    }

    pub fn add_push(&mut self, adding: &mut Adding<'_>, entry: &PushEntry) {
        let most = PUSH_OVERHEAD + entry.operation.len();
        self.write(adding, most, 0, |plain| put_push(plain, &entry.operation));
    }

    pub fn add_metadata(&mut self, adding: &mut Adding<'_>, entry: &MetadataEntry) {
        let most = max_metadata_len(&entry.family, &entry.help, &entry.unit);
        self.write(adding, most, 1, |plain| {
            put_metadata(plain, entry.kind, &entry.family, &entry.help, &entry.unit);
        });
    }

    pub fn add_exemplar(&mut self, adding: &mut Adding<'_>, batch: &SplitBatch, exemplar: &BatchExemplar) {
        let (series, labels) = batch.exemplar_labels(exemplar);
        self.write(adding, max_exemplar_len(series, labels), 0, |plain| {
            put_exemplar(plain, series, labels, exemplar.time, exemplar.value);
        });
    }

    /// Writes at most `most` bytes of one unit, which has room in an empty draft.
    #[inline]
    fn write(
        &mut self,
        adding: &mut Adding<'_>,
        most: usize,
        entries: usize,
        put: impl FnOnce(&mut Vec<u8>),
    ) {
        let draft = self.open.get_or_insert_with(Draft::new);
        if let Some(section) = draft.section(adding.owner, most, entries, adding.spare) {
            let before = section.plain.len();
            put(&mut section.plain);
            let written = section.plain.len() - before;
            draft.bytes += written;
            adding.bytes += written;
        } else {
            self.full.extend(self.open.take());
            return self.write(adding, most, entries, put);
        }
        draft.oldest = draft.oldest.min(adding.now);
        if draft.tickets.last() != Some(&adding.ticket) {
            draft.tickets.push(adding.ticket);
            adding.drafts += 1;
        }
    }
}

/// TooLarge: something of the batch has no room in a record.
pub fn check(batch: &SplitBatch) -> Result<()> {
    let labels = batch.series.iter().map(|series| series.labels.1 as usize);
    let metadata = batch
        .metadata
        .iter()
        .map(|m| m.family.len() + m.help.len() + m.unit.len());
    let pushes = batch.pushes.iter().map(|push| push.operation.len());
    let exemplars = batch
        .exemplars
        .iter()
        .map(|exemplar| exemplar.series.1 as usize + exemplar.labels.1 as usize);
    let others = metadata.chain(pushes).chain(exemplars);
    let largest = labels.chain(others).max().unwrap_or_default();
    if largest > MAX_UNIT_BYTES {
        return Err(Error::TooLarge(format!(
            "the labels of a series, the texts of a metadata entry, or a pushed group have {largest} bytes, a record of the log takes {MAX_UNIT_BYTES}"
        )));
    }
    Ok(())
}

/// A seal marker.
pub fn seal(partition: u16, windows: &[Millis]) -> Result<Vec<u8>> {
    let plain: Vec<u8> = windows.iter().flat_map(|window| window.to_le_bytes()).collect();
    if plain.len() > MAX_PLAIN_BYTES {
        return Err(Error::TooLarge(format!(
            "{} windows in one marker",
            windows.len()
        )));
    }
    let header = Header {
        kind: SEAL,
        partition,
        time: 0,
    };
    Ok(stored(header, &plain))
}
