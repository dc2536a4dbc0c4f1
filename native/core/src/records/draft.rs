//! A record in the making.

use super::format::{Header, MAX_PLAIN_BYTES, Packer, SEAL, VERSION, WRITE, stored};
use super::section::{Columns, Owner, SECTION_BYTES, SERIES_OVERHEAD, floats_in, max_len};
use crate::model::Millis;
use crate::wire::encode::{MAX_VARINT, PUSH_OVERHEAD, Rows, max_metadata_len, put_metadata, put_push};
use crate::wire::exemplar::{BatchExemplar, max_exemplar_len, put_exemplar};
use crate::wire::{MAX_HISTOGRAM_BYTES, MAX_METADATA_ENTRIES, MetadataEntry, PushEntry, SplitBatch};
use crate::{Error, Result};

/// Labels of one series, or one metadata entry, that leave half of a record for what goes with them.
const MAX_UNIT_BYTES: usize = MAX_PLAIN_BYTES / 2;

const _: () = assert!(
    MAX_UNIT_BYTES + MAX_HISTOGRAM_BYTES + MAX_VARINT + SERIES_OVERHEAD + SECTION_BYTES < MAX_PLAIN_BYTES
);

/// What the labels of a record's series have at most, put together. Readers take twice as much.
const MAX_LABEL_BYTES: usize = 4 << 20;

/// Buffers that are kept for the next drafts, altogether.
const SPARE_BYTES: usize = 16 << 20;

/// What one record will hold, before it is compressed. What belongs to one instance stays in its order.
#[derive(Debug)]
pub struct Draft {
    sections: Vec<Section>,
    /// The section written to last.
    latest: usize,
    bytes: usize,
    /// Of the labels of its series, put together.
    label_bytes: usize,
    /// The earliest clock by which something of it was validated.
    oldest: Millis,
    /// Who waits for it, each once.
    pub tickets: Vec<u64>,
}

#[derive(Debug)]
struct Section {
    owner: Owner,
    columns: Columns,
    entries: usize,
}

/// What one unit takes of a draft at most.
#[derive(Debug, Clone, Copy, Default)]
struct Room {
    bytes: usize,
    label_bytes: usize,
    /// Of metadata.
    entries: usize,
}

impl Draft {
    fn new() -> Self {
        Self {
            sections: Vec::new(),
            latest: 0,
            bytes: 0,
            label_bytes: 0,
            oldest: Millis::MAX,
            tickets: Vec::new(),
        }
    }

    /// Where to write something of `owner`; `None`: there is no room for it.
    #[inline]
    fn section(&mut self, owner: Owner, room: Room, spare: &mut Spare) -> Option<&mut Section> {
        let fits = |section: &Section| {
            section.owner == owner && section.entries + room.entries <= MAX_METADATA_ENTRIES
        };
        let known = match self.sections.get(self.latest) {
            Some(latest) if fits(latest) => Some(self.latest),
            _ => self.sections.iter().rposition(fits),
        };
        let head = if known.is_some() { 0 } else { SECTION_BYTES };
        if self.bytes + head + room.bytes > MAX_PLAIN_BYTES
            || self.label_bytes + room.label_bytes > MAX_LABEL_BYTES
        {
            return None;
        }
        let at = known.unwrap_or_else(|| {
            self.bytes += SECTION_BYTES;
            self.sections.push(Section {
                owner,
                columns: spare.take(),
                entries: 0,
            });
            self.sections.len() - 1
        });
        self.latest = at;
        self.label_bytes += room.label_bytes;
        let section = &mut self.sections[at];
        section.entries += room.entries;
        Some(section)
    }

    /// The record, and the draft's buffers for others.
    pub fn finish(
        self,
        partition: u16,
        packer: &mut Packer,
        scratch: &mut Vec<u8>,
        spare: &mut Spare,
    ) -> Result<Vec<u8>> {
        let header = Header {
            version: VERSION,
            kind: WRITE,
            partition,
            time: self.oldest,
        };
        scratch.clear();
        for section in &self.sections {
            section.columns.write(section.owner, scratch);
        }
        for section in self.sections {
            spare.give(section.columns);
        }
        packer.record(header, scratch)
    }
}

/// Buffers of records that were written.
#[derive(Debug, Default)]
pub struct Spare {
    buffers: Vec<Columns>,
    bytes: usize,
}

impl Spare {
    fn take(&mut self) -> Columns {
        let buffer = self.buffers.pop().unwrap_or_default();
        self.bytes -= buffer.capacity();
        buffer
    }

    fn give(&mut self, mut buffer: Columns) {
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
        let room = Room {
            bytes: labels.len() + SERIES_OVERHEAD + max_len(rows),
            label_bytes: labels.len(),
            entries: 0,
        };
        if room.bytes <= MAX_PLAIN_BYTES - SECTION_BYTES {
            self.write(adding, room, |columns| columns.add_series(labels, rows));
        } else {
            self.add_long_series(adding, labels, rows);
        }
    }

    #[cold]
    fn add_long_series(&mut self, adding: &mut Adding<'_>, labels: &[u8], rows: &Rows<'_>) {
        let free = MAX_PLAIN_BYTES - SECTION_BYTES - SERIES_OVERHEAD - labels.len();
        let (floats, step) = (rows.times.len(), floats_in(free));
        for start in (0..floats).step_by(step) {
            let piece = rows.some_floats(start..floats.min(start + step));
            self.add_series(adding, labels, &piece);
        }
        let mut rest = rows.histograms;
        while !rest.is_empty() {
            let mut left = free;
            let fits = rest.iter().take_while(|histogram| {
                let len = histogram.field_len();
                let fits = len <= left;
                left = left.saturating_sub(len);
                fits
            });
            let (piece, more) = rest.split_at(fits.count().max(1));
            self.add_series(adding, labels, &rows.only(piece));
            rest = more;
        }
    }

    pub fn add_push(&mut self, adding: &mut Adding<'_>, entry: &PushEntry) {
        let room = Room {
            bytes: PUSH_OVERHEAD + entry.operation.len(),
            ..Room::default()
        };
        self.write(adding, room, |columns| {
            put_push(&mut columns.rest, &entry.operation);
        });
    }

    pub fn add_metadata(&mut self, adding: &mut Adding<'_>, entry: &MetadataEntry) {
        let room = Room {
            bytes: max_metadata_len(&entry.family, &entry.help, &entry.unit),
            entries: 1,
            ..Room::default()
        };
        self.write(adding, room, |columns| {
            put_metadata(
                &mut columns.rest,
                entry.kind,
                &entry.family,
                &entry.help,
                &entry.unit,
            );
        });
    }

    pub fn add_exemplar(&mut self, adding: &mut Adding<'_>, batch: &SplitBatch, exemplar: &BatchExemplar) {
        let (series, labels) = batch.exemplar_labels(exemplar);
        let room = Room {
            bytes: max_exemplar_len(series, labels),
            ..Room::default()
        };
        self.write(adding, room, |columns| {
            put_exemplar(&mut columns.rest, series, labels, exemplar.time, exemplar.value);
        });
    }

    /// Writes one unit, which has room in an empty draft.
    #[inline]
    fn write(&mut self, adding: &mut Adding<'_>, room: Room, put: impl FnOnce(&mut Columns)) {
        let draft = self.open.get_or_insert_with(Draft::new);
        if let Some(section) = draft.section(adding.owner, room, adding.spare) {
            let before = section.columns.len();
            put(&mut section.columns);
            let written = section.columns.len() - before;
            draft.bytes += written;
            adding.bytes += written;
        } else {
            self.full.extend(self.open.take());
            return self.write(adding, room, put);
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
        version: VERSION,
        kind: SEAL,
        partition,
        time: 0,
    };
    Ok(stored(header, &plain))
}
