//! Metadata entries of a request: type, help and unit by metric family.

use super::batch::MetadataEntry;
use super::limits::WriteLimits;
use super::proto::{BYTES, Reader, VARINT, expect_wire};
use super::refusal::{Reason, Refusal, refuse};
use crate::{Error, Result};

/// Senders batch 2,000. An entry takes far more memory than its shortest message has bytes, so their number is bounded.
pub const MAX_ENTRIES: usize = 1 << 16;

/// The highest number of `MetricMetadata.MetricType`.
const MAX_KIND: u64 = 7;

/// Decodes the `MetricMetadata` messages at `extents` of `decoded`; `partition` places a family.
pub fn entries(
    decoded: &[u8],
    extents: &[(u32, u32)],
    limits: &WriteLimits,
    refused: &mut Vec<Refusal>,
    partition: impl Fn(&str) -> u16,
) -> Result<Vec<MetadataEntry>> {
    if extents.len() > MAX_ENTRIES {
        return Err(Error::TooLarge(format!(
            "{} metadata entries in one request, the limit is {MAX_ENTRIES}; send smaller batches",
            extents.len()
        )));
    }
    let mut entries = Vec::with_capacity(extents.len());
    for &(start, len) in extents {
        let start = start as usize;
        let raw = decode(Reader::over(decoded, start..start + len as usize))?;
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
    Ok(entries)
}

#[derive(Default)]
struct Raw<'a> {
    kind: u64,
    family: &'a [u8],
    help: &'a [u8],
    unit: &'a [u8],
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
                    "the {what} of metric family {:?} has {} bytes, the limit is {limit}",
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
