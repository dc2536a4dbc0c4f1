//! The snappy block format, bounded: a declared size is believed only as far as the compressed bytes could reach it.

use crate::{Error, Result};

/// The densest element is a copy of 64 bytes in 3, so no block grows by more than 64/3.
const MAX_RATIO: usize = 22;

/// Positions inside a decoded body, and inside the label bytes appended to it, are `u32`.
pub const MAX_DECODED: usize = 1 << 30;

/// Decompresses a block of at most `limit` bytes. Nothing is allocated before the declared size has been checked.
pub fn decompress(body: &[u8], limit: usize) -> Result<Vec<u8>> {
    let mut decoded = Vec::new();
    let len = decompress_into(body, limit, &mut decoded)?.len();
    decoded.truncate(len);
    Ok(decoded)
}

/// As `decompress`, into memory that is made longer if need be; what lay in it stands behind what is returned.
pub fn decompress_into<'a>(body: &[u8], limit: usize, memory: &'a mut Vec<u8>) -> Result<&'a [u8]> {
    let declared = snap::raw::decompress_len(body).map_err(|e| damaged(&e))?;
    let limit = limit.min(MAX_DECODED);
    if declared > limit {
        return Err(Error::TooLarge(format!(
            "the body declares {declared} bytes decompressed, the limit max_decoded_bytes is {limit}; send smaller batches"
        )));
    }
    if declared > body.len().saturating_mul(MAX_RATIO) {
        return Err(Error::BadData(format!(
            "damaged snappy body: {} bytes cannot decompress to the {declared} declared",
            body.len()
        )));
    }
    if memory.is_empty() {
        *memory = vec![0; declared]; // zeros of new pages cost nothing
    } else if memory.len() < declared {
        memory.resize(declared, 0);
    }
    let written = snap::raw::Decoder::new()
        .decompress(body, &mut memory[..])
        .map_err(|e| damaged(&e))?;
    Ok(&memory[..written])
}

pub fn compress(plain: &[u8]) -> Result<Vec<u8>> {
    snap::raw::Encoder::new().compress_vec(plain).map_err(|e| {
        Error::TooLarge(format!(
            "a body of {} bytes cannot be compressed: {e}",
            plain.len()
        ))
    })
}

fn damaged(error: &snap::Error) -> Error {
    Error::BadData(format!("damaged snappy body: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_of_text_and_nothing() {
        for plain in [&b""[..], b"up", &[7; 10_000]] {
            assert_eq!(decompress(&compress(plain).unwrap(), 10_000).unwrap(), plain);
        }
    }

    #[test]
    fn memory_that_is_used_again_shows_nothing_of_what_lay_in_it() {
        let mut memory = Vec::new();
        for plain in [&b"the longest of them"[..], b"short", b"", b"a little more"] {
            let body = compress(plain).unwrap();
            assert_eq!(decompress_into(&body, 100, &mut memory).unwrap(), plain);
            assert_eq!(memory.len(), 19);
        }
        assert!(decompress_into(&compress(&[0; 101]).unwrap(), 100, &mut memory).is_err());
        assert_eq!(memory.len(), 19);
    }

    #[test]
    fn the_highest_ratio_that_snappy_reaches_is_accepted() {
        let plain = vec![0; 8 << 20];
        let body = compress(&plain).unwrap();
        assert!(
            plain.len() / body.len() >= 20,
            "the encoder no longer comes near the highest ratio"
        );
        assert_eq!(decompress(&body, plain.len()).unwrap(), plain);
    }

    #[test]
    fn a_declared_size_above_the_limit_is_too_large() {
        let body = compress(&[0; 1000]).unwrap();
        let error = decompress(&body, 999).unwrap_err();
        assert!(
            matches!(&error, Error::TooLarge(m) if m.contains("1000 bytes") && m.contains("limit max_decoded_bytes is 999")),
            "{error}"
        );
    }

    #[test]
    fn declared_gigabytes_are_refused_before_they_are_allocated() {
        // uvarint(2^32 - 1), then a literal of one byte.
        let body = [0xff, 0xff, 0xff, 0xff, 0x0f, 0x00, b'x'];
        assert!(matches!(decompress(&body, usize::MAX), Err(Error::TooLarge(_))));
        // One gigabyte is within the hard bound, but 7 bytes cannot hold it.
        let body = [0x80, 0x80, 0x80, 0x80, 0x04, 0x00, b'x'];
        assert!(
            matches!(decompress(&body, usize::MAX), Err(Error::BadData(m)) if m.contains("cannot decompress"))
        );
    }

    #[test]
    fn damage_is_bad_data() {
        let mut body = compress(b"some words that are said, some words that are said again").unwrap();
        body.truncate(body.len() - 1);
        assert!(matches!(decompress(&body, 1000), Err(Error::BadData(_))));
        assert!(matches!(decompress(b"", 1000), Err(Error::BadData(_))));
        // A copy from before the first byte.
        assert!(matches!(
            decompress(&[4, 0b0000_0001, 9], 1000),
            Err(Error::BadData(_))
        ));
    }
}
