//! A bounded reader of protobuf fields. Positions in errors count from the start of the decoded body.

use std::ops::Range;

use crate::{Error, Result};

pub const VARINT: u8 = 0;
pub const FIXED64: u8 = 1;
pub const BYTES: u8 = 2;
pub const FIXED32: u8 = 5;

/// A cursor over one message inside `buf`.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    buf: &'a [u8],
    pos: usize,
}

impl<'a> Reader<'a> {
    pub fn new(buf: &'a [u8]) -> Self {
        Self { buf, pos: 0 }
    }

    /// A reader of the message at `range`, which must have come from this buffer's own reader.
    pub fn over(buf: &'a [u8], range: Range<usize>) -> Self {
        Self {
            buf: &buf[..range.end],
            pos: range.start,
        }
    }

    #[inline]
    pub fn position(&self) -> usize {
        self.pos
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.pos >= self.buf.len()
    }

    #[inline]
    pub fn varint(&mut self) -> Result<u64> {
        match self.buf[self.pos..] {
            [byte, ..] if byte < 0x80 => {
                self.pos += 1;
                Ok(u64::from(byte))
            }
            [low, high, ..] if high < 0x80 => {
                self.pos += 2;
                Ok(u64::from(low & 0x7f) | u64::from(high) << 7)
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64> {
        let start = self.pos;
        let mut value = 0u64;
        for (i, &byte) in self.buf[start..].iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                // The tenth byte holds the 64th bit and nothing else.
                if i == 9 && byte > 1 {
                    break;
                }
                self.pos = start + i + 1;
                return Ok(value);
            }
        }
        if self.buf.len() - start < 10 {
            return Err(truncated(start, "a varint"));
        }
        Err(Error::BadData(format!(
            "damaged protobuf: the varint at byte {start} does not fit 64 bits"
        )))
    }

    /// Field number and wire type of the next field.
    #[inline]
    pub fn tag(&mut self) -> Result<(u32, u8)> {
        let at = self.pos;
        let tag = self.varint()?;
        let field = u32::try_from(tag >> 3)
            .ok()
            .filter(|field| (1..1 << 29).contains(field));
        let Some(field) = field else {
            return Err(Error::BadData(format!(
                "damaged protobuf: impossible field number {} at byte {at}",
                tag >> 3
            )));
        };
        Ok((field, (tag & 7) as u8))
    }

    /// The extent of a length-delimited field, which is stepped over.
    #[inline]
    pub fn extent(&mut self) -> Result<Range<usize>> {
        let at = self.pos;
        let len = self.varint()?;
        let left = self.buf.len() - self.pos;
        match usize::try_from(len) {
            Ok(len) if len <= left => {
                let start = self.pos;
                self.pos += len;
                Ok(start..self.pos)
            }
            _ => Err(Error::BadData(format!(
                "truncated protobuf: the field at byte {at} declares {len} bytes and {left} are left"
            ))),
        }
    }

    /// The extent of the next field if it has this tag and, as labels and samples mostly do, tag and length of one byte each.
    #[inline]
    pub fn short_field(&mut self, tag: u8) -> Option<Range<usize>> {
        match self.buf[self.pos..] {
            [found, len, ref rest @ ..] if found == tag && len < 0x80 && usize::from(len) <= rest.len() => {
                let start = self.pos + 2;
                self.pos = start + usize::from(len);
                Some(start..self.pos)
            }
            _ => None,
        }
    }

    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let extent = self.extent()?;
        Ok(&self.buf[extent])
    }

    #[inline]
    pub fn fixed64(&mut self) -> Result<u64> {
        let Some(bytes) = self.buf[self.pos..].first_chunk() else {
            return Err(truncated(self.pos, "a fixed 64-bit number"));
        };
        self.pos += 8;
        Ok(u64::from_le_bytes(*bytes))
    }

    /// Steps over a field that nobody asked for.
    pub fn skip(&mut self, wire: u8) -> Result<()> {
        match wire {
            VARINT => self.varint().map(drop),
            FIXED64 => self.fixed64().map(drop),
            BYTES => self.extent().map(drop),
            FIXED32 if self.buf.len() - self.pos >= 4 => {
                self.pos += 4;
                Ok(())
            }
            FIXED32 => Err(truncated(self.pos, "a fixed 32-bit number")),
            _ => Err(Error::BadData(format!(
                "damaged protobuf: wire type {wire} before byte {} is none of proto3",
                self.pos
            ))),
        }
    }
}

/// A known field with another wire type than its own: the sender means another message.
pub fn expect_wire(found: u8, expected: u8, what: &str, position: usize) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::BadData(format!(
        "damaged protobuf: {what} before byte {position} has wire type {found} instead of {expected}"
    )))
}

fn truncated(position: usize, what: &str) -> Error {
    Error::BadData(format!(
        "truncated protobuf: the body ends inside {what} at byte {position}"
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::encode::put_varint;

    #[test]
    fn varints_at_their_edges() {
        assert_eq!(Reader::new(&[0]).varint().unwrap(), 0);
        assert_eq!(Reader::new(&[0xe8, 0x07]).varint().unwrap(), 1000);
        let max = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(Reader::new(&max).varint().unwrap(), u64::MAX);
    }

    #[test]
    fn varints_that_are_cut_or_too_long_say_where() {
        let error = Reader::over(&[1, 0x80, 0x80], 1..3).varint().unwrap_err();
        assert!(
            error.to_string().contains("ends inside a varint at byte 1"),
            "{error}"
        );
        let mut long = [0xff; 11];
        assert!(
            Reader::new(&long)
                .varint()
                .unwrap_err()
                .to_string()
                .contains("does not fit 64 bits")
        );
        long[9] = 2;
        assert!(
            Reader::new(&long)
                .varint()
                .unwrap_err()
                .to_string()
                .contains("does not fit 64 bits")
        );
    }

    #[test]
    fn lengths_beyond_the_message_are_truncation() {
        let error = Reader::new(&[5, 1, 2]).bytes().unwrap_err();
        assert!(
            error.to_string().contains("declares 5 bytes and 2 are left"),
            "{error}"
        );
        let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert!(Reader::new(&huge).bytes().is_err());
        // A message ends where its own length says, however much follows.
        assert!(Reader::over(&[5, 1, 2, 3, 4, 5], 0..3).bytes().is_err());
    }

    #[test]
    fn field_zero_and_groups_are_damage() {
        assert!(Reader::new(&[0x02]).tag().is_err());
        for wire in [3, 4, 6, 7] {
            assert!(Reader::new(&[0; 16]).skip(wire).is_err());
        }
    }

    #[test]
    fn unknown_fields_are_stepped_over() {
        for (wire, len) in [(VARINT, 1), (FIXED64, 8), (BYTES, 4), (FIXED32, 4)] {
            let mut reader = Reader::new(&[3, 0, 0, 0, 0, 0, 0, 0]);
            reader.skip(wire).unwrap();
            assert_eq!(reader.position(), len);
        }
    }

    #[test]
    fn a_short_field_needs_its_tag_a_one_byte_length_and_all_of_its_bytes() {
        let mut reader = Reader::new(&[0x0a, 2, 7, 7, 0x12, 0]);
        assert_eq!(reader.short_field(0x12), None);
        assert_eq!(reader.short_field(0x0a), Some(2..4));
        assert_eq!(reader.short_field(0x12), Some(6..6));
        assert_eq!(reader.short_field(0x12), None);
        assert_eq!(Reader::new(&[0x0a, 3, 7, 7]).short_field(0x0a), None);
        assert_eq!(Reader::new(&[0x0a, 0x80, 0x00]).short_field(0x0a), None);
    }

    proptest! {
        #[test]
        fn varint_round_trip(value: u64) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.varint().unwrap(), value);
            prop_assert!(reader.is_empty());
        }
    }
}
