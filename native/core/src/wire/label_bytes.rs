//! Label bytes of remote write 1.0, written from the references of a remote-write 2.0 request.

use std::ops::Range;

use super::encode::put_label;
use super::symbols::{Symbols, read_pair};
use crate::{Error, Result};

/// Labels up to this length are copied again in one piece of it, and strings in half of it, whatever follows them.
const WIDE: usize = 64;
const HALF: usize = WIDE / 2;

/// What protobuf adds to one label: three tags and as many lengths of at most five bytes.
const LABEL_OVERHEAD: usize = 18;

/// What it adds inside of one whose lengths take a byte each: two tags and as many lengths.
const SHORT_OVERHEAD: usize = 4;

/// Symbols for which a label is remembered. A request may have millions, each of one byte.
const MAX_PIECES: usize = 1 << 16;

/// Label bytes of all series of a request, one behind the other.
///
/// Series of a request share most of their labels. Each label is put together once: where it is met again with the same two
/// references, and is short, its bytes are copied from where they were written first.
#[derive(Debug)]
pub struct LabelBytes {
    buffer: Vec<u8>,
    limit: usize,
    /// By the reference of its value, the label that was written last.
    pieces: Vec<Piece>,
}

/// A label that was written: the reference of its name, and where it lies. Without a length there is none, for no label is that short.
#[derive(Debug, Default, Clone, Copy)]
struct Piece {
    name: u32,
    start: u32,
    len: u32,
}

impl LabelBytes {
    /// Of references into a table of so many symbols, probably some `expected` bytes, at most `limit`.
    pub fn new(symbols: usize, expected: usize, limit: usize) -> Self {
        Self {
            buffer: Vec::with_capacity(expected + WIDE),
            limit,
            pieces: vec![Piece::default(); symbols.min(MAX_PIECES)],
        }
    }

    pub fn finish(self) -> Vec<u8> {
        self.buffer
    }

    pub fn get(&self, (start, len): (u32, u32)) -> &[u8] {
        &self.buffer[start as usize..start as usize + len as usize]
    }

    /// The label bytes of pairs of references; where they lie. `None`: a reference is outside of the table, or one has no partner. A
    /// small request can name long strings again and again, so what they come to is bounded: TooLarge.
    pub fn write(&mut self, symbols: &Symbols<'_>, refs: &[u32]) -> Result<Option<(u32, u32)>> {
        let start = self.buffer.len();
        let (pairs, rest) = refs.as_chunks::<2>();
        for &pair in pairs {
            if !self.put(symbols, pair)? {
                return Ok(None);
            }
        }
        Ok(rest.is_empty().then(|| self.since(start)))
    }

    /// As `write`, of references as they stand in a packed field at `extent` of the request. `None` also if they are not all short:
    /// then they have to be read one by one.
    #[inline]
    pub fn write_packed(
        &mut self,
        symbols: &Symbols<'_>,
        extent: &Range<usize>,
    ) -> Result<Option<(u32, u32)>> {
        let start = self.buffer.len();
        let mut at = extent.start;
        while at < extent.end {
            let Some((pair, next)) = read_pair(symbols.decoded(), at) else {
                return Ok(None);
            };
            if next > extent.end || !self.put(symbols, pair)? {
                return Ok(None);
            }
            at = next;
        }
        Ok(Some(self.since(start)))
    }

    /// What was written from `start` on.
    #[inline]
    fn since(&self, start: usize) -> (u32, u32) {
        (start as u32, (self.buffer.len() - start) as u32)
    }

    /// Appends something else that lies between label bytes; where it lies.
    pub fn put_bytes(&mut self, bytes: &[u8]) -> Result<(u32, u32)> {
        self.check_room(bytes.len())?;
        let start = self.buffer.len();
        self.buffer.extend_from_slice(bytes);
        Ok(self.since(start))
    }

    fn check_room(&self, more: usize) -> Result<()> {
        if self.buffer.len() + more > self.limit {
            return Err(self.too_large());
        }
        Ok(())
    }

    /// Appends a label. False: a reference is outside of the table.
    #[inline]
    fn put(&mut self, symbols: &Symbols<'_>, label: [u32; 2]) -> Result<bool> {
        if self.repeat(label) {
            return Ok(true);
        }
        self.put_new(symbols, label)
    }

    /// Appends a label as it was written before, if it was, is short, and has room.
    #[inline]
    fn repeat(&mut self, [name, value]: [u32; 2]) -> bool {
        let Some(&piece) = self.pieces.get(value as usize) else {
            return false;
        };
        let len = piece.len as usize;
        if piece.name != name || len == 0 || len > WIDE || self.buffer.len() + len > self.limit {
            return false;
        }
        let start = piece.start as usize;
        match self.buffer[start..].first_chunk() {
            Some(&wide) => self.put_wide::<WIDE>(wide, len),
            None => self.buffer.extend_from_within(start..start + len),
        }
        true
    }

    #[inline(never)]
    fn put_new(&mut self, symbols: &Symbols<'_>, [name, value]: [u32; 2]) -> Result<bool> {
        let (Some(names), Some(values)) = (symbols.span(name), symbols.span(value)) else {
            return Ok(false);
        };
        let (name_len, value_len) = (names.1 as usize, values.1 as usize);
        self.check_room(name_len + value_len + LABEL_OVERHEAD)?;
        let start = self.buffer.len();
        let inner = name_len + value_len + SHORT_OVERHEAD;
        if inner < 0x80 {
            let head = [0x0a, inner as u8, 0x0a, name_len as u8];
            self.buffer.extend_from_slice(&head);
            self.put_string(symbols.decoded(), names);
            self.buffer.extend_from_slice(&[0x12, value_len as u8]);
            self.put_string(symbols.decoded(), values);
        } else {
            let text = |reference| symbols.get(reference).unwrap_or_default();
            put_label(&mut self.buffer, text(name), text(value));
        }
        let (start, len) = self.since(start);
        if let Some(piece) = self.pieces.get_mut(value as usize) {
            *piece = Piece { name, start, len };
        }
        Ok(true)
    }

    #[inline]
    fn put_string(&mut self, decoded: &[u8], (start, len): (u32, u32)) {
        let (start, len) = (start as usize, len as usize);
        match decoded[start..].first_chunk() {
            Some(&wide) if len <= HALF => self.put_wide::<HALF>(wide, len),
            _ => self.buffer.extend_from_slice(&decoded[start..start + len]),
        }
    }

    /// Appends the first `len` bytes: a length that is known beforehand takes a few instructions, any other a call.
    #[inline]
    fn put_wide<const N: usize>(&mut self, wide: [u8; N], len: usize) {
        let end = self.buffer.len() + len;
        self.buffer.extend_from_slice(&wide);
        self.buffer.truncate(end);
    }

    #[cold]
    fn too_large(&self) -> Error {
        Error::TooLarge(format!(
            "the labels of the request come to more than {} bytes once its symbols are put in, which is the limit max_decoded_bytes; \
             send smaller batches",
            self.limit
        ))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::encode::{put_label, put_varint};

    /// Writes series of references into `strings`, with `limit`: one by one and as packed fields, which must come to the same.
    fn write(strings: &[String], series: &[Vec<u32>], limit: usize) -> Result<Vec<Option<Vec<u8>>>> {
        let mut decoded = strings.concat().into_bytes();
        let mut packed = Vec::new();
        for refs in series {
            let start = decoded.len();
            for &reference in refs {
                put_varint(&mut decoded, reference.into());
            }
            packed.push(start..decoded.len());
        }
        decoded.extend_from_slice(&[0; 3]);
        let mut symbols = Symbols::new(&decoded);
        let mut end = 0;
        for text in strings {
            symbols.push(end..end + text.len());
            end += text.len();
        }
        let mut bytes = LabelBytes::new(strings.len(), 0, limit);
        let written = series.iter().map(|refs| bytes.write(&symbols, refs));
        let written = written.collect::<Result<Vec<_>>>()?;
        let get = |bytes: &LabelBytes, at: Option<(u32, u32)>| at.map(|at| bytes.get(at).to_vec());
        let written: Vec<_> = written.into_iter().map(|at| get(&bytes, at)).collect();
        let mut bytes = LabelBytes::new(strings.len(), 0, limit);
        for ((packed, refs), written) in packed.iter().zip(series).zip(&written) {
            let at = bytes.write_packed(&symbols, packed)?;
            let is_short = refs.iter().all(|&reference| reference < 1 << 14);
            assert!(get(&bytes, at) == *written || !is_short && at.is_none());
        }
        Ok(written)
    }

    fn expected(strings: &[String], refs: &[u32]) -> Vec<u8> {
        let mut out = Vec::new();
        for pair in refs.chunks(2) {
            let [name, value] = [pair[0], pair[1]].map(|reference| strings[reference as usize].as_bytes());
            put_label(&mut out, name, value);
        }
        out
    }

    fn texts(strings: &[&str]) -> Vec<String> {
        strings.iter().map(ToString::to_string).collect()
    }

    proptest! {
        /// Whatever was written before with the same value, by another name or the same.
        #[test]
        fn label_bytes_are_those_of_remote_write_1(
            lengths in prop::collection::vec(prop_oneof![8 => 0..70_usize, 1 => 100..20_000_usize], 1..9),
            series in prop::collection::vec(prop::collection::vec((0..9_u32, 0..9_u32), 0..6), 0..12),
        ) {
            let strings: Vec<String> = lengths
                .iter()
                .zip("abcdefghi".chars())
                .map(|(&len, c)| c.to_string().repeat(len))
                .collect();
            let known = strings.len() as u32;
            let series: Vec<Vec<u32>> = series
                .iter()
                .map(|pairs| pairs.iter().flat_map(|&(name, value)| [name % known, value % known]).collect())
                .collect();
            let written = write(&strings, &series, 1 << 30).unwrap();
            for (written, refs) in written.iter().zip(&series) {
                prop_assert_eq!(written.as_ref(), Some(&expected(&strings, refs)));
            }
        }
    }

    #[test]
    fn symbols_beyond_those_that_are_remembered_are_written_each_time() {
        let mut strings = vec![String::new(); MAX_PIECES];
        strings.extend(texts(&["far", "out"]));
        let far = MAX_PIECES as u32;
        let series = vec![vec![far, far + 1], vec![far, far + 1, 0, 0], vec![0, 0]];
        let written = write(&strings, &series, 1 << 20).unwrap();
        for (written, refs) in written.iter().zip(&series) {
            assert_eq!(written.as_ref(), Some(&expected(&strings, refs)));
        }
    }

    #[test]
    fn references_without_partner_or_string_are_told() {
        let strings = texts(&["", "a", "b"]);
        let series = [
            vec![1, 2],
            vec![1, 2, 1],
            vec![1, 2, 1, 3],
            vec![3, 1],
            vec![1, 2],
        ];
        let written = write(&strings, &series, 1 << 20).unwrap();
        let is_written: Vec<bool> = written.iter().map(Option::is_some).collect();
        assert_eq!(is_written, [true, false, false, false, true]);
        assert_eq!(written[0], written[4]);
    }

    #[test]
    fn a_long_string_named_often_is_bounded() {
        let strings = texts(&["", "a", &"x".repeat(1000)]);
        let series = |count| vec![vec![1, 2]; count];
        assert_eq!(write(&strings, &series(4), 5000).unwrap().len(), 4);
        let failed = write(&strings, &series(5), 5000);
        assert!(matches!(failed, Err(Error::TooLarge(m)) if m.contains("5000 bytes")));
    }
}
