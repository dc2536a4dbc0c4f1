//! Label bytes of series in a row, each as what differs from those of the series before: neighbours of a scrape share most of theirs.
//!
//! A series is three numbers, how many bytes it begins with that the one before begins with, how many it ends with, and how many lie
//! between, and those bytes.

use std::ops::Range;

use super::encode::{MAX_VARINT, put_varint};
use super::proto::Reader;
use crate::{Error, Result};

/// What [`FrontWriter::put`] appends at most beside the bytes it is given.
pub const FRONT_OVERHEAD: usize = 3 * MAX_VARINT;

/// Writes label bytes one after the other.
#[derive(Debug, Default)]
pub struct FrontWriter {
    last: Vec<u8>,
}

impl FrontWriter {
    #[inline]
    pub fn put(&mut self, out: &mut Vec<u8>, labels: &[u8]) {
        let prefix = common_prefix(&self.last, labels);
        let suffix = common_suffix(&self.last[prefix..], &labels[prefix..]);
        let middle = &labels[prefix..labels.len() - suffix];
        put_varint(out, prefix as u64);
        put_varint(out, suffix as u64);
        put_varint(out, middle.len() as u64);
        out.extend_from_slice(middle);
        replace(&mut self.last, prefix, suffix, middle);
    }

    /// The next one has nothing before it.
    pub fn begin_anew(&mut self) {
        self.last.clear();
    }

    pub fn capacity(&self) -> usize {
        self.last.capacity()
    }
}

/// Reads them.
#[derive(Debug)]
pub struct FrontReader<'a> {
    packed: &'a [u8],
    reader: Reader<'a>,
    last: Vec<u8>,
}

impl<'a> FrontReader<'a> {
    pub fn new(packed: &'a [u8]) -> Self {
        Self {
            packed,
            reader: Reader::new(packed),
            last: Vec::new(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.reader.is_empty()
    }

    /// Those of the next series.
    #[inline]
    pub fn read(&mut self) -> Result<&[u8]> {
        let (prefix, suffix) = (self.reader.varint()?, self.reader.varint()?);
        let middle = &self.packed[self.reader.extent()?];
        let before = self.last.len();
        if prefix.checked_add(suffix).is_none_or(|both| both > before as u64) {
            return Err(Error::BadData(format!(
                "labels begin with {prefix} and end with {suffix} bytes of {before}"
            )));
        }
        replace(&mut self.last, prefix as usize, suffix as usize, middle);
        Ok(&self.last)
    }
}

/// Finds those of one series among those of many, by where they would begin if all lay one behind the other. Of those that nobody
/// asks for nothing is kept.
#[derive(Debug)]
pub struct FrontCursor<'a> {
    labels: FrontReader<'a>,
    /// Where those read last would lie.
    at: Range<usize>,
}

impl<'a> FrontCursor<'a> {
    pub fn new(packed: &'a [u8]) -> Self {
        Self {
            labels: FrontReader::new(packed),
            at: 0..0,
        }
    }

    /// Reads on to them, or from the beginning if it is past them: cheap in ascending order. Nothing, if there are none there.
    pub fn find(&mut self, wanted: Range<usize>) -> &[u8] {
        if wanted.start < self.at.start {
            *self = Self::new(self.labels.packed);
        }
        while self.at != wanted && self.at.end <= wanted.start {
            let Ok(labels) = self.labels.read() else {
                return &[];
            };
            self.at = self.at.end..self.at.end + labels.len();
        }
        if self.at == wanted { &self.labels.last } else { &[] }
    }
}

/// Makes what follows `last` of it: its first and last bytes with others between.
#[inline]
fn replace(last: &mut Vec<u8>, prefix: usize, suffix: usize, middle: &[u8]) {
    let (old, end) = (last.len(), prefix + middle.len());
    let new = end + suffix;
    if new > old {
        last.resize(new, 0);
    }
    if new != old {
        last.copy_within(old - suffix..old, end);
        last.truncate(new);
    }
    last[prefix..end].copy_from_slice(middle);
}

/// How many bytes both begin with, eight at a time.
#[inline]
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let words = a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0);
    let mut same = 0;
    for (a, b) in words {
        let differ = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
        if differ != 0 {
            return same + differ.trailing_zeros() as usize / 8;
        }
        same += 8;
    }
    let rest = a[same..].iter().zip(&b[same..]);
    same + rest.take_while(|(a, b)| a == b).count()
}

/// How many bytes both end with.
#[inline]
fn common_suffix(a: &[u8], b: &[u8]) -> usize {
    let words = a.as_rchunks::<8>().1.iter().rev();
    let mut same = 0;
    for (a, b) in words.zip(b.as_rchunks::<8>().1.iter().rev()) {
        let differ = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
        if differ != 0 {
            return same + differ.leading_zeros() as usize / 8;
        }
        same += 8;
    }
    let rest = a[..a.len() - same].iter().rev();
    same + rest
        .zip(b[..b.len() - same].iter().rev())
        .take_while(|(a, b)| a == b)
        .count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(all: &[Vec<u8>]) -> Vec<u8> {
        let (mut writer, mut packed) = (FrontWriter::default(), Vec::new());
        for labels in all {
            let before = packed.len();
            writer.put(&mut packed, labels);
            assert!(packed.len() - before <= labels.len() + FRONT_OVERHEAD);
        }
        packed
    }

    proptest! {
        /// Of two letters, so that much is shared, also where prefix and suffix would overlap.
        #[test]
        fn what_is_read_is_what_was_written(all in prop::collection::vec(prop::collection::vec(b'a'..=b'b', 0..40), 0..20)) {
            let packed = written(&all);
            let mut reader = FrontReader::new(&packed);
            for labels in &all {
                prop_assert_eq!(reader.read().unwrap(), labels.as_slice());
            }
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn those_that_are_asked_for_are_found(
            all in prop::collection::vec(prop::collection::vec(b'a'..=b'b', 1..40), 1..20),
            asked in prop::collection::vec(any::<prop::sample::Index>(), 1..20),
        ) {
            let packed = written(&all);
            let mut cursor = FrontCursor::new(&packed);
            for index in asked {
                let number = index.index(all.len());
                let start = all[..number].iter().map(Vec::len).sum::<usize>();
                let end = start + all[number].len();
                prop_assert_eq!(cursor.find(start..end), all[number].as_slice());
                prop_assert_eq!(cursor.find(start..end + 1), &[]);
            }
        }

        #[test]
        fn any_bytes_are_an_answer(packed in prop::collection::vec(0..20_u8, 0..100), start in 0..100_usize, len in 0..100_usize) {
            let mut reader = FrontReader::new(&packed);
            while let (false, Ok(labels)) = (reader.is_empty(), reader.read()) {
                prop_assert!(labels.len() <= packed.len());
            }
            let mut cursor = FrontCursor::new(&packed);
            let found = cursor.find(start..start + len).len();
            prop_assert!(found == 0 || found == len);
        }
    }

    #[test]
    fn neighbours_take_what_differs() {
        let all = [&b"__name__=up,pod=a1,zone=z"[..], b"__name__=up,pod=b2,zone=z"].map(<[u8]>::to_vec);
        let packed = written(&all);
        let expected = [&[0, 0, 25][..], &all[0], &[16, 7, 2], b"b2"].concat();
        assert_eq!(packed, expected);
    }
}
