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

    /// In one number, if its own are small enough.
    #[inline]
    fn packed(self) -> Option<u64> {
        let is_small = self.kind < 1 << 16 && (self.help | self.unit) < 1 << 24;
        is_small.then(|| self.kind << 48 | u64::from(self.help) << 24 | u64::from(self.unit))
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

/// What was said of metrics last, by the reference of a name. Of names and descriptions with high references it remembers nothing.
#[derive(Debug)]
pub struct Latest {
    /// A description in one number; zero is none, for what is remembered says something.
    said: Vec<u64>,
}

impl Latest {
    /// `symbols`: how many references there are.
    pub fn new(symbols: usize) -> Self {
        Self {
            said: vec![0; symbols.min(MAX_REMEMBERED)],
        }
    }

    /// Whether this was said last.
    #[inline]
    pub fn is(&self, name: u32, description: Description) -> bool {
        let said = self.said.get(name as usize).copied().unwrap_or_default();
        said != 0 && Some(said) == description.packed()
    }

    pub fn set(&mut self, name: u32, description: Description) {
        if let Some(said) = self.said.get_mut(name as usize) {
            *said = description.packed().unwrap_or_default();
        }
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
        let other = Description { help: 3, ..one };
        let mut latest = Latest::new(5);
        assert!(!latest.is(1, one) && !latest.is(1, Description::default()));
        for name in [1, 4] {
            latest.set(name, one);
            assert!(latest.is(name, one) && !latest.is(name, other) && !latest.is(name - 1, one));
        }
        latest.set(4, other);
        assert!(latest.is(4, other) && !latest.is(4, one));
    }

    /// Two that look alike in the space of one number would hide what a sender says.
    #[test]
    fn what_cannot_be_remembered_is_said_anew() {
        let mut latest = Latest::new(5);
        let far = Description {
            kind: 1,
            help: 1 << 24,
            unit: 0,
        };
        for (name, description) in [(1, far), (7, Description { help: 2, ..far })] {
            latest.set(name, description);
            assert!(!latest.is(name, description));
        }
        latest.set(1, Description { kind: 1 << 16, ..far });
        assert!(!latest.is(1, Description { help: 0, ..far }));
    }
}
