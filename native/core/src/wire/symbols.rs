//! The string table of a remote-write 2.0 request, and label bytes written from references into it.

use super::labels::METRIC_NAME;
use super::proto::Reader;
use crate::{Error, Result};

/// Strings up to this length are copied in one piece of it, whatever follows them.
const WIDE: usize = 32;

/// A string's reference as it stands where no table holds it: `uint32` ends far below.
const NOWHERE: u32 = u32::MAX;

/// What protobuf adds to one label: three tags and as many lengths of at most five bytes.
const LABEL_OVERHEAD: usize = 18;

/// Where each string of a request lies.
#[derive(Debug)]
pub struct Symbols<'a> {
    decoded: &'a [u8],
    /// Start and length.
    spans: Vec<(u32, u32)>,
}

impl<'a> Symbols<'a> {
    pub fn new(decoded: &'a [u8]) -> Self {
        Self {
            decoded,
            spans: Vec::with_capacity(decoded.len() / 64),
        }
    }

    pub fn push(&mut self, extent: std::ops::Range<usize>) {
        self.spans.push((extent.start as u32, extent.len() as u32));
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

    #[inline]
    pub fn get(&self, reference: u32) -> Option<&'a [u8]> {
        let &(start, len) = self.spans.get(reference as usize)?;
        Some(&self.decoded[start as usize..start as usize + len as usize])
    }

    /// The string that follows `__name__` among the references of a series.
    pub fn name_of(&self, refs: &[u32]) -> Option<u32> {
        let (pairs, _) = refs.as_chunks::<2>();
        let found = pairs
            .iter()
            .find(|[name, _]| self.get(*name) == Some(METRIC_NAME))?;
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

#[inline]
pub fn to_ref(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(NOWHERE)
}

/// Label bytes of all series of a request, one behind the other, in the form in which remote write 1.0 sends them.
#[derive(Debug, Default)]
pub struct LabelBytes {
    /// Longer than what is written, so that strings can be copied in wide pieces.
    buffer: Vec<u8>,
    len: usize,
    limit: usize,
}

impl LabelBytes {
    /// Of at most `limit` bytes altogether.
    pub fn new(expected: usize, limit: usize) -> Self {
        Self {
            buffer: vec![0; expected],
            len: 0,
            limit,
        }
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.buffer.truncate(self.len);
        self.buffer
    }

    pub fn get(&self, (start, len): (u32, u32)) -> &[u8] {
        &self.buffer[start as usize..start as usize + len as usize]
    }

    /// Takes back what was written behind `start`.
    pub fn truncate(&mut self, start: u32) {
        self.len = self.len.min(start as usize);
    }

    /// The label bytes of pairs of references; where they lie. `None`: a reference is outside of the table, or one has no partner. A
    /// small request can name long strings again and again, so what they come to is bounded: TooLarge.
    #[inline]
    pub fn write(&mut self, symbols: &Symbols<'_>, refs: &[u32]) -> Result<Option<(u32, u32)>> {
        let (pairs, rest) = refs.as_chunks::<2>();
        if !rest.is_empty() {
            return Ok(None);
        }
        let mut most = 0;
        for &reference in refs {
            let Some(&(_, len)) = symbols.spans.get(reference as usize) else {
                return Ok(None);
            };
            most += len as usize;
        }
        most += pairs.len() * LABEL_OVERHEAD;
        let start = self.len;
        if start + most > self.limit {
            return Err(self.too_large());
        }
        if start + most + 2 * WIDE > self.buffer.len() {
            self.buffer.resize((start + most + 2 * WIDE) * 2, 0);
        }
        for &[name, value] in pairs {
            let (name, value) = (symbols.spans[name as usize], symbols.spans[value as usize]);
            self.put_label(symbols.decoded, name, value);
        }
        Ok(Some((start as u32, (self.len - start) as u32)))
    }

    /// Appends something else that lies between label bytes; where it lies.
    pub fn put_bytes(&mut self, bytes: &[u8]) -> Result<(u32, u32)> {
        let start = self.len;
        if start + bytes.len() > self.limit {
            return Err(self.too_large());
        }
        if start + bytes.len() > self.buffer.len() {
            self.buffer.resize((start + bytes.len()) * 2, 0);
        }
        self.len += bytes.len();
        self.buffer[start..self.len].copy_from_slice(bytes);
        Ok((start as u32, bytes.len() as u32))
    }

    #[inline]
    fn put_label(&mut self, decoded: &[u8], name: (u32, u32), value: (u32, u32)) {
        let inner = 2 + varint_len(name.1) + name.1 + varint_len(value.1) + value.1;
        self.put_head(0x0a, inner);
        self.put_head(0x0a, name.1);
        self.put_string(decoded, name);
        self.put_head(0x12, value.1);
        self.put_string(decoded, value);
    }

    #[inline]
    fn put_head(&mut self, tag: u8, mut len: u32) {
        self.buffer[self.len] = tag;
        self.len += 1;
        while len >= 0x80 {
            self.buffer[self.len] = len as u8 | 0x80;
            self.len += 1;
            len >>= 7;
        }
        self.buffer[self.len] = len as u8;
        self.len += 1;
    }

    #[inline]
    fn put_string(&mut self, decoded: &[u8], (start, len): (u32, u32)) {
        let (start, len) = (start as usize, len as usize);
        let from = decoded.get(start..start + WIDE).filter(|_| len <= WIDE);
        if let (Some(from), Some(to)) = (from, self.buffer.get_mut(self.len..self.len + WIDE)) {
            to.copy_from_slice(from);
        } else {
            self.buffer[self.len..self.len + len].copy_from_slice(&decoded[start..start + len]);
        }
        self.len += len;
    }

    #[cold]
    fn too_large(&self) -> Error {
        Error::TooLarge(format!(
            "the labels of the request come to more than {} bytes once its symbols are put in, which is the limit of a decoded request; \
             send smaller batches",
            self.limit
        ))
    }
}

fn varint_len(value: u32) -> u32 {
    (32 - (value | 1).leading_zeros()).div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::encode::put_label;

    fn table<'a>(decoded: &'a mut Vec<u8>, strings: &[&str]) -> Symbols<'a> {
        let mut spans = Vec::new();
        for text in strings {
            spans.push((decoded.len() as u32, text.len() as u32));
            decoded.extend_from_slice(text.as_bytes());
        }
        Symbols { decoded, spans }
    }

    #[test]
    fn label_bytes_are_those_of_remote_write_1() {
        let long = "x".repeat(40);
        let longer = "y".repeat(20_000);
        let strings = ["", "__name__", "up", "job", "ü", &long, &longer];
        let mut decoded = Vec::new();
        let symbols = table(&mut decoded, &strings);
        let mut bytes = LabelBytes::new(0, 1 << 20);
        for refs in [&[1, 2][..], &[1, 2, 3, 4], &[1, 5, 5, 6, 6, 0], &[], &[0, 0]] {
            let mut expected = Vec::new();
            for pair in refs.chunks(2) {
                put_label(
                    &mut expected,
                    strings[pair[0] as usize].as_bytes(),
                    strings[pair[1] as usize].as_bytes(),
                );
            }
            let at = bytes.write(&symbols, refs).unwrap().unwrap();
            assert_eq!(bytes.get(at), expected, "{refs:?}");
        }
        assert_eq!(symbols.name_of(&[3, 4, 1, 2]), Some(2));
        assert_eq!(symbols.name_of(&[3, 1]), None);
    }

    #[test]
    fn references_are_checked() {
        let mut decoded = Vec::new();
        let symbols = table(&mut decoded, &["", "a", "b"]);
        let mut bytes = LabelBytes::new(0, 1 << 20);
        assert_eq!(bytes.write(&symbols, &[1, 2, 1]).unwrap(), None);
        assert_eq!(bytes.write(&symbols, &[1, 2, 1, 9]).unwrap(), None);
        assert_eq!(symbols.fault(&[1, 2, 1]), "invalid labelRefs length 3");
        assert_eq!(
            symbols.fault(&[0, 0, 1, 9]),
            "labelRefs 1 (name) = 9 (value) outside of symbols table (size 3)"
        );
        assert_eq!(to_ref(1 << 40), NOWHERE);
    }

    #[test]
    fn a_long_string_named_often_is_bounded() {
        let long = "x".repeat(1000);
        let mut decoded = Vec::new();
        let symbols = table(&mut decoded, &["", "a", &long]);
        let mut bytes = LabelBytes::new(0, 5000);
        let failed = (0..10).find_map(|_| bytes.write(&symbols, &[1, 2]).err());
        assert!(matches!(failed, Some(Error::TooLarge(m)) if m.contains("5000 bytes")));
    }
}
