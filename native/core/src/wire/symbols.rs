//! The string table of a remote-write 2.0 request.

use super::labels::METRIC_NAME;
use super::proto::Reader;
use crate::{Error, Result};

/// A string's reference as it stands where no table holds it: `uint32` ends far below.
const NOWHERE: u32 = u32::MAX;

/// Where each string of a request lies.
#[derive(Debug)]
pub struct Symbols<'a> {
    decoded: &'a [u8],
    /// Start and length.
    spans: Vec<(u32, u32)>,
    /// A reference of the label that names a metric, once one was found.
    metric_name: u32,
}

impl<'a> Symbols<'a> {
    pub fn new(decoded: &'a [u8]) -> Self {
        Self {
            decoded,
            spans: Vec::with_capacity(decoded.len() / 64),
            metric_name: NOWHERE,
        }
    }

    pub fn push(&mut self, extent: std::ops::Range<usize>) {
        self.spans.push((extent.start as u32, extent.len() as u32));
    }

    /// The request that holds the strings.
    pub fn decoded(&self) -> &'a [u8] {
        self.decoded
    }

    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// The first string must be the empty one: reference 0 means "none" in many places.
    pub fn check(&self) -> Result<()> {
        match self.spans.first() {
            Some(&(_, len)) if len > 0 => Err(Error::BadData(
                "symbols[0] of a remote write 2.0 request must be the empty string".to_owned(),
            )),
            _ => Ok(()),
        }
    }

    /// Where a string lies in the decoded request: start and length.
    #[inline]
    pub fn span(&self, reference: u32) -> Option<(u32, u32)> {
        self.spans.get(reference as usize).copied()
    }

    #[inline]
    pub fn get(&self, reference: u32) -> Option<&'a [u8]> {
        let (start, len) = self.span(reference)?;
        Some(&self.decoded[start as usize..start as usize + len as usize])
    }

    /// The string that follows `__name__` among the references of a series.
    #[inline]
    pub fn name_of(&mut self, refs: &[u32]) -> Option<u32> {
        let (pairs, _) = refs.as_chunks::<2>();
        match pairs.first() {
            Some(&[name, value]) if name == self.metric_name => Some(value),
            _ => self.find_name(pairs),
        }
    }

    fn find_name(&mut self, pairs: &[[u32; 2]]) -> Option<u32> {
        let found = pairs
            .iter()
            .find(|[name, _]| self.get(*name) == Some(METRIC_NAME))?;
        self.metric_name = found[0];
        Some(found[1])
    }

    /// What is wrong with a series' references; the words are those of Prometheus.
    #[cold]
    pub fn fault(&self, refs: &[u32]) -> String {
        if !refs.len().is_multiple_of(2) {
            return format!("invalid labelRefs length {}", refs.len());
        }
        let size = self.len();
        let outside = refs.iter().position(|&reference| reference as usize >= size);
        let at = outside.unwrap_or_default();
        let (name, value) = (refs[at & !1], refs[at | 1]);
        format!(
            "labelRefs {} (name) = {} (value) outside of symbols table (size {size})",
            name_of_ref(name),
            name_of_ref(value)
        )
    }
}

/// References beyond `uint32` are kept as one number that is in no table.
fn name_of_ref(reference: u32) -> String {
    if reference == NOWHERE {
        ">= 4294967295".to_owned()
    } else {
        reference.to_string()
    }
}

/// Appends the references of a packed field.
#[inline]
pub fn read_refs(mut packed: Reader<'_>, refs: &mut Vec<u32>) -> Result<()> {
    while !packed.is_empty() {
        refs.push(to_ref(packed.varint()?));
    }
    Ok(())
}

/// The two references at `at` of a packed field, each of one byte or two as nearly all are, and where they end. `None`: they are
/// others, or bytes are missing.
#[inline]
pub fn read_pair(packed: &[u8], at: usize) -> Option<([u32; 2], usize)> {
    let bytes = u32::from_le_bytes(*packed.get(at..)?.first_chunk()?);
    let (name, name_len) = read_short(bytes)?;
    let (value, value_len) = read_short(bytes >> (8 * name_len))?;
    Some(([name, value], at + (name_len + value_len) as usize))
}

/// The number in the lowest one or two bytes, and how many they are, without a branch that depends on that.
#[inline]
fn read_short(bytes: u32) -> Option<(u32, u32)> {
    let goes_on = bytes >> 7 & 1;
    let high = (bytes >> 1 & 0x7f << 7) * goes_on;
    (goes_on & bytes >> 15 == 0).then_some((bytes & 0x7f | high, 1 + goes_on))
}

#[inline]
pub fn to_ref(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(NOWHERE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table<'a>(decoded: &'a mut Vec<u8>, strings: &[&str]) -> Symbols<'a> {
        let mut extents = Vec::new();
        for text in strings {
            extents.push(decoded.len()..decoded.len() + text.len());
            decoded.extend_from_slice(text.as_bytes());
        }
        let mut symbols = Symbols::new(decoded);
        for extent in extents {
            symbols.push(extent);
        }
        symbols
    }

    #[test]
    fn the_metric_is_what_the_first_name_says() {
        let mut decoded = Vec::new();
        let mut symbols = table(&mut decoded, &["", "__name__", "up", "job", "x", "__name__"]);
        assert_eq!(symbols.name_of(&[3, 1]), None);
        assert_eq!(symbols.name_of(&[]), None);
        // Whichever was found before: the table may hold the string twice.
        for _ in 0..2 {
            assert_eq!(symbols.name_of(&[3, 4, 1, 2]), Some(2));
            assert_eq!(symbols.name_of(&[1, 2, 5, 4]), Some(2));
            assert_eq!(symbols.name_of(&[5, 4, 1, 2]), Some(4));
        }
    }

    #[test]
    fn pairs_of_short_references_are_read_in_one_go() {
        use crate::wire::encode::put_varint;

        let lengths = [0, 1, 127, 128, 300, 16_383, 16_384, u64::MAX];
        for name in lengths {
            for value in lengths {
                let mut packed = vec![7];
                put_varint(&mut packed, name);
                put_varint(&mut packed, value);
                let end = packed.len();
                packed.extend_from_slice(&[0x80; 3]);
                let is_short = name.max(value) < 1 << 14;
                let expected = is_short.then_some(([to_ref(name), to_ref(value)], end));
                assert_eq!(read_pair(&packed, 1), expected, "{name} {value}");
                assert_eq!(read_pair(&packed[..end], packed.len()), None);
            }
        }
    }

    #[test]
    fn references_are_checked() {
        let mut decoded = Vec::new();
        let symbols = table(&mut decoded, &["", "a", "b"]);
        assert_eq!(symbols.fault(&[1, 2, 1]), "invalid labelRefs length 3");
        assert_eq!(
            symbols.fault(&[0, 0, 1, 9]),
            "labelRefs 1 (name) = 9 (value) outside of symbols table (size 3)"
        );
        assert_eq!(to_ref(1 << 40), NOWHERE);
    }
}
