//! Parts of many requests in as few records as hold them.

use super::format::{Header, MAX_PLAIN_BYTES, Packer, SEAL, WRITE, stored};
use super::part::Part;
use crate::model::{Millis, Uid};
use crate::wire::MAX_METADATA_ENTRIES;
use crate::wire::encode::{MAX_SAMPLE, max_metadata_len, put_metadata, put_series, series_len};
use crate::{Error, Result};

/// Instance, shards, length.
pub const SECTION_BYTES: usize = 16 + 2 + 4;

/// Tags and lengths around the samples of a series.
const SERIES_OVERHEAD: usize = 16;

/// What became of some parts.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    pub values: Vec<Vec<u8>>,
    /// For each part, in the order given, the numbers of the first and the last value that hold something of it.
    pub spans: Vec<(u32, u32)>,
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

/// Writes records; keeps its buffers for the next ones.
#[derive(Debug)]
pub struct Encoder {
    packer: Packer,
    plain: Vec<u8>,
}

impl Encoder {
    pub fn new() -> Result<Self> {
        Ok(Self {
            packer: Packer::new()?,
            plain: Vec::with_capacity(MAX_PLAIN_BYTES),
        })
    }

    /// Records with parts of one partition, each with the time at which it was validated. What belongs to one instance stays in its order,
    /// within a record and over all of them; what is of several instances is put together by instance.
    pub fn writes(&mut self, partition: u16, parts: &[(Part, Millis)]) -> Result<Encoded> {
        let mut order: Vec<usize> = (0..parts.len()).collect();
        order.sort_by_key(|&at| (parts[at].0.batch().uid, parts[at].0.batch().shards));
        let mut writing = Writing {
            packer: &mut self.packer,
            plain: &mut self.plain,
            partition,
            oldest: Millis::MAX,
            section: None,
            values: Vec::new(),
        };
        writing.plain.clear();
        let mut spans = vec![(0, 0); parts.len()];
        for at in order {
            let (part, now) = &parts[at];
            spans[at] = writing.part(part, *now)?;
        }
        writing.finish()?;
        let values = writing.values;
        Ok(Encoded { values, spans })
    }
}

struct Writing<'a> {
    packer: &'a mut Packer,
    plain: &'a mut Vec<u8>,
    partition: u16,
    /// Validation time of what the open record holds.
    oldest: Millis,
    section: Option<Section>,
    values: Vec<Vec<u8>>,
}

struct Section {
    owner: (Uid, u16),
    start: usize,
    entries: usize,
}

impl Writing<'_> {
    /// The numbers of the first and the last record that hold something of it.
    fn part(&mut self, part: &Part, now: Millis) -> Result<(u32, u32)> {
        let batch = part.batch();
        let Some(uid) = batch.uid else {
            return Err(Error::BadData(
                "a batch without an instance cannot be logged".to_owned(),
            ));
        };
        let owner = (uid, batch.shards);
        let mut first = None;
        for series in part.series() {
            let labels = batch.labels_of(series);
            let (times, values) = batch.samples_of(series);
            let room = MAX_PLAIN_BYTES - SECTION_BYTES - SERIES_OVERHEAD - labels.len();
            let rows = if series_len(labels, times, values) <= room {
                times.len().max(1)
            } else {
                room / MAX_SAMPLE
            };
            for (times, values) in times.chunks(rows).zip(values.chunks(rows)) {
                self.make_room(owner, series_len(labels, times, values), 0, now)?;
                first.get_or_insert(self.values.len());
                put_series(self.plain, labels, times, values);
            }
        }
        for entry in part.metadata() {
            let len = max_metadata_len(&entry.family, &entry.help, &entry.unit);
            self.make_room(owner, len, 1, now)?;
            first.get_or_insert(self.values.len());
            put_metadata(self.plain, entry.kind, &entry.family, &entry.help, &entry.unit);
        }
        let last = self.values.len() as u32;
        Ok((first.map_or(last, |first| first as u32), last))
    }

    /// Sees to it that `bytes` and metadata `entries` of `owner` fit into the open section, and notes when they were validated.
    fn make_room(&mut self, owner: (Uid, u16), bytes: usize, entries: usize, now: Millis) -> Result<()> {
        if let Some(section) = &mut self.section
            && section.owner == owner
            && self.plain.len() + bytes <= MAX_PLAIN_BYTES
            && section.entries + entries <= MAX_METADATA_ENTRIES
        {
            section.entries += entries;
            self.oldest = self.oldest.min(now);
            return Ok(());
        }
        self.close_section();
        if self.plain.len() + SECTION_BYTES + bytes > MAX_PLAIN_BYTES {
            self.finish()?;
        }
        let (uid, shards) = owner;
        self.plain.extend_from_slice(&uid.0);
        self.plain.extend_from_slice(&shards.to_le_bytes());
        self.plain.extend_from_slice(&[0; 4]);
        self.section = Some(Section {
            owner,
            start: self.plain.len(),
            entries,
        });
        self.oldest = self.oldest.min(now);
        Ok(())
    }

    fn close_section(&mut self) {
        if let Some(section) = self.section.take() {
            let len = (self.plain.len() - section.start) as u32;
            self.plain[section.start - 4..section.start].copy_from_slice(&len.to_le_bytes());
        }
    }

    /// Closes the open record, if it holds anything.
    fn finish(&mut self) -> Result<()> {
        self.close_section();
        if self.plain.is_empty() {
            return Ok(());
        }
        let header = Header {
            kind: WRITE,
            partition: self.partition,
            time: self.oldest,
        };
        self.values.push(self.packer.record(header, self.plain)?);
        self.plain.clear();
        self.oldest = Millis::MAX;
        Ok(())
    }
}
