//! Metadata entries of a request: type, help and unit by metric family.

use super::batch::MetadataEntry;
use super::cache::LabelCache;
use super::keys::InstanceKeys;
use super::limits::WriteLimits;
use super::proto::{BYTES, Reader, VARINT, expect_wire};
use super::refusal::{Reason, Refusal, refuse};
use crate::model::Millis;
use crate::{Error, Result};

/// Senders batch 2,000. An entry takes far more memory than its shortest message has bytes, so their number is bounded.
pub const MAX_ENTRIES: usize = 1 << 16;

/// The highest number of `MetricMetadata.MetricType`.
const MAX_KIND: u64 = 7;

/// An entry as it came.
#[derive(Debug, Default, Clone, Copy)]
pub struct Raw<'a> {
    pub kind: u64,
    pub family: &'a [u8],
    pub help: &'a [u8],
    pub unit: &'a [u8],
}

/// Decodes the `MetricMetadata` messages at `extents` of `decoded`.
pub fn read<'a>(decoded: &'a [u8], extents: &[(u32, u32)]) -> Result<Vec<Raw<'a>>> {
    check_number(extents.len())?;
    extents
        .iter()
        .map(|&(start, len)| {
            let start = start as usize;
            decode(Reader::over(decoded, start..start + len as usize))
        })
        .collect()
}

/// The valid ones; `partition` places a family.
pub fn entries(
    raw: &[Raw<'_>],
    limits: &WriteLimits,
    refused: &mut Vec<Refusal>,
    partition: impl Fn(&str) -> u16,
) -> Vec<MetadataEntry> {
    let mut entries = Vec::with_capacity(raw.len());
    for raw in raw {
        match raw.check(limits) {
            Ok((family, help, unit)) => entries.push(MetadataEntry {
                partition: partition(family),
                family: family.to_owned(),
                // Numbers that a later version may add mean nothing here: unknown.
                kind: if raw.kind > MAX_KIND { 0 } else { raw.kind as u8 },
                help: help.to_owned(),
                unit: unit.to_owned(),
            }),
            Err(why) => refuse(refused, Reason::InvalidMetadata, 1, || why),
        }
    }
    entries
}

/// TooLarge: a sender gives more entries than one request may have.
pub fn check_number(entries: usize) -> Result<()> {
    if entries > MAX_ENTRIES {
        return Err(Error::TooLarge(format!(
            "{entries} metadata entries in one request, the limit is {MAX_ENTRIES}; send smaller batches"
        )));
    }
    Ok(())
}

/// Descriptions that were passed on lately. Senders of remote write 2.0 repeat them with every series of every request; the log
/// would hold little else.
#[derive(Debug)]
pub struct Described {
    cache: LabelCache,
}

/// A description is passed on again so often: if the request that it came with never reached the log, the next after this does.
const REPEATED_MS: Millis = 300_000;

impl Described {
    /// Remembers in at most so many bytes.
    pub fn new(bytes: usize) -> Self {
        Self {
            cache: LabelCache::new(bytes),
        }
    }

    /// Keeps those entries that were not passed on for this instance in the present interval, and remembers them.
    pub fn retain_new(&mut self, entries: &mut Vec<Raw<'_>>, keys: &InstanceKeys, now: Millis) {
        let interval = now.div_euclid(REPEATED_MS) as u64;
        // All looked up at once: the table is seldom in the processor's caches, and so its loads overlap.
        let mut known: Vec<(u128, bool)> = entries
            .iter()
            .map(|entry| (entry.key(keys, interval), false))
            .collect();
        for (key, is_known) in &mut known {
            *is_known = self.cache.get(*key).is_some();
        }
        let mut known = known.into_iter();
        entries.retain(|_| {
            let Some((key, false)) = known.next() else {
                return false;
            };
            self.cache.insert(key, 0);
            true
        });
    }
}

fn decode(mut reader: Reader<'_>) -> Result<Raw<'_>> {
    let mut raw = Raw::default();
    while !reader.is_empty() {
        let (field, wire) = reader.tag()?;
        match field {
            1 => {
                expect_wire(wire, VARINT, "a metric type", reader.position())?;
                raw.kind = reader.varint()?;
            }
            2 | 4 | 5 => {
                expect_wire(wire, BYTES, "a metadata text", reader.position())?;
                let text = reader.bytes()?;
                match field {
                    2 => raw.family = text,
                    4 => raw.help = text,
                    _ => raw.unit = text,
                }
            }
            _ => reader.skip(wire)?,
        }
    }
    Ok(raw)
}

impl<'a> Raw<'a> {
    /// One number for all that is said, and when. A cache leaves out the lowest bits of keys, so nothing differs in them alone.
    #[inline]
    fn key(&self, keys: &InstanceKeys, interval: u64) -> u128 {
        let family = keys.hash(self.family).rotate_left(43);
        let help = keys.hash(self.help).rotate_left(86);
        let unit = if self.unit.is_empty() {
            0
        } else {
            keys.hash(self.unit)
        };
        let kind = u128::from(self.kind) << 32;
        family ^ help ^ unit ^ kind ^ u128::from(interval) << 64
    }

    /// Family, help and unit, or why they are refused.
    fn check(&self, limits: &WriteLimits) -> Result<(&'a str, &'a str, &'a str), String> {
        if self.family.is_empty() {
            return Err("a metadata entry names no metric family".into());
        }
        let name = || String::from_utf8_lossy(&self.family[..self.family.len().min(80)]);
        let text = |bytes: &'a [u8], what: &str| {
            if bytes.len() > limits.max_value_bytes {
                let limit = limits.max_value_bytes;
                return Err(format!(
                    "the {what} of metric family {:?} has {} bytes, the limit max_value_bytes is {limit}",
                    name(),
                    bytes.len()
                ));
            }
            std::str::from_utf8(bytes)
                .map_err(|_| format!("the {what} of metric family {:?} is not valid UTF-8", name()))
        };
        Ok((
            text(self.family, "name")?,
            text(self.help, "help")?,
            text(self.unit, "unit")?,
        ))
    }
}
