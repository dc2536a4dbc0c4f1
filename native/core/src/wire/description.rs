//! What a series of a remote-write 2.0 request says of its metric.

use std::ops::Range;

use super::proto::{Reader, VARINT, expect_wire};
use super::symbols::to_ref;
use crate::Result;

/// Metrics of which a request's descriptions are remembered. A request may have millions of symbols, each of one byte.
const MAX_REMEMBERED: usize = 1 << 16;

const HISTOGRAM: u64 = 3;
const GAUGE_HISTOGRAM: u64 = 4;
const SUMMARY: u64 = 5;

/// A `Metadata` message: the number of a type, and references. What is missing is zero.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Description {
    pub kind: u64,
    pub help: u32,
    pub unit: u32,
}

impl Description {
    /// Adds what the message at `extent` says. Of what is repeated the last counts.
    #[inline]
    pub fn read(&mut self, decoded: &[u8], extent: Range<usize>) -> Result<()> {
        if let Some(read) = self.with_short(&decoded[extent.clone()]) {
            *self = read;
            return Ok(());
        }
        self.read_any(Reader::over(decoded, extent))
    }

    /// This and what a message says whose fields are known and have numbers of one byte or two, as nearly all do.
    #[inline]
    fn with_short(mut self, mut message: &[u8]) -> Option<Self> {
        while let &[tag, low, ref rest @ ..] = message {
            let mut number = u32::from(low);
            message = rest;
            if low >= 0x80 {
                let (&high, rest) = rest.split_first().filter(|&(&high, _)| high < 0x80)?;
                number = number & 0x7f | u32::from(high) << 7;
                message = rest;
            }
            match tag {
                0x08 => self.kind = number.into(),
                0x18 => self.help = number,
                0x20 => self.unit = number,
                _ => return None,
            }
        }
        message.is_empty().then_some(self)
    }

    #[cold]
    fn read_any(&mut self, mut reader: Reader<'_>) -> Result<()> {
        while !reader.is_empty() {
            let (field, wire) = reader.tag()?;
            match field {
                1 | 3 | 4 => {
                    expect_wire(wire, VARINT, "metadata of a series", reader.position())?;
                    let number = reader.varint()?;
                    match field {
                        1 => self.kind = number,
                        3 => self.help = to_ref(number),
                        _ => self.unit = to_ref(number),
                    }
                }
                _ => reader.skip(wire)?,
            }
        }
        Ok(())
    }

    /// The metric family of a series' name: the message does not say it, and series of classic histograms and summaries have suffixes.
    pub fn family_of(self, name: &[u8]) -> &[u8] {
        let suffixes: &[&[u8]] = match self.kind {
            HISTOGRAM => &[b"_bucket", b"_count", b"_sum"],
            GAUGE_HISTOGRAM => &[b"_bucket", b"_gcount", b"_gsum", b"_count", b"_sum"],
            SUMMARY => &[b"_count", b"_sum"],
            _ => &[],
        };
        let stripped = suffixes.iter().find_map(|suffix| name.strip_suffix(*suffix));
        stripped.filter(|family| !family.is_empty()).unwrap_or(name)
    }
}

/// What was said of metrics, by the reference of a name. It may forget: one place holds whatever was said there last.
#[derive(Debug, Default)]
pub struct Latest {
    /// One more than the position in `said`. None until something is said, then a power of two.
    places: Vec<u32>,
    said: Vec<(u32, Description)>,
}

impl Latest {
    #[inline]
    pub fn is(&self, name: u32, description: Description) -> bool {
        let place = name as usize & self.places.len().wrapping_sub(1);
        let at = self.places.get(place).copied().unwrap_or_default();
        let said = self.said.get((at as usize).wrapping_sub(1));
        said == Some(&(name, description))
    }

    /// `symbols`: how many references there are.
    pub fn set(&mut self, name: u32, description: Description, symbols: usize) {
        if self.places.is_empty() {
            self.places = vec![0; symbols.next_power_of_two().min(MAX_REMEMBERED)];
        }
        self.said.push((name, description));
        let place = name as usize & (self.places.len() - 1);
        self.places[place] = self.said.len() as u32;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::encode::put_varint;

    fn message(fields: &[(u8, u64)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for &(field, number) in fields {
            bytes.push(field << 3);
            put_varint(&mut bytes, number);
        }
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Description> {
        let mut description = Description::default();
        description.read(bytes, 0..bytes.len())?;
        Ok(description)
    }

    proptest! {
        /// Short numbers are read in another way than long ones.
        #[test]
        fn the_last_of_each_field_counts(
            fields in prop::collection::vec((prop::sample::select(vec![1u8, 3, 4, 9]), 0u64..1 << 15), 0..6),
        ) {
            let bytes = message(&fields);
            let last = |field| fields.iter().rfind(|(number, _)| *number == field).map_or(0, |&(_, value)| value);
            let expected = Description { kind: last(1), help: last(3) as u32, unit: last(4) as u32 };
            prop_assert_eq!(read(&bytes).unwrap(), expected);
        }

        #[test]
        fn both_ways_agree_on_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            if let Some(short) = Description::default().with_short(&bytes) {
                let mut any = Description::default();
                any.read_any(Reader::new(&bytes)).unwrap();
                prop_assert_eq!(short, any);
            }
        }
    }

    #[test]
    fn a_message_that_is_cut_is_damage() {
        for bytes in [&[0x08][..], &[0x18, 0x80], &[0x08, 1, 0x20]] {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn a_family_is_the_name_without_the_suffix_of_its_kind() {
        let family = |kind, name: &'static [u8]| {
            let description = Description {
                kind,
                ..Description::default()
            };
            description.family_of(name)
        };
        assert_eq!(family(HISTOGRAM, b"a_bucket"), b"a");
        assert_eq!(family(SUMMARY, b"a_bucket"), b"a_bucket");
        assert_eq!(family(GAUGE_HISTOGRAM, b"a_gsum"), b"a");
        assert_eq!(family(HISTOGRAM, b"_sum"), b"_sum");
    }

    #[test]
    fn the_latest_description_of_a_metric_is_remembered() {
        let one = Description {
            kind: 1,
            help: 2,
            unit: 0,
        };
        let other = Description {
            kind: 1,
            help: 3,
            unit: 0,
        };
        let mut latest = Latest::default();
        assert!(!latest.is(1, one));
        for name in [1, 4, 1 << 20] {
            latest.set(name, one, 5);
            assert!(latest.is(name, one) && !latest.is(name, other) && !latest.is(name + 1, one));
        }
        latest.set(4, other, 5);
        assert!(latest.is(4, other) && !latest.is(4, one));
    }
}
