//! Bodies that were compressed by something else than block snappy, decompressed within a bound.

use std::io::Read;

use crate::{Error, Result};

/// How a body may be compressed. gzip is left to the caller, who has zlib.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// The stream format, with its magic; not the block format of remote write.
    SnappyFrames,
    Zstd,
}

/// Decompresses a body of at most `limit` bytes. TooLarge beyond; BadData for what is none.
pub fn decompress(body: &[u8], encoding: Encoding, limit: usize) -> Result<Vec<u8>> {
    match encoding {
        Encoding::SnappyFrames => bounded(snap::read::FrameDecoder::new(body), "snappy", limit),
        Encoding::Zstd => {
            // The window of a frame decides how much memory its decoder takes.
            let mut decoder = zstd::Decoder::new(body).map_err(|e| damaged("zstd", &e))?;
            decoder
                .window_log_max(MAX_WINDOW_LOG)
                .map_err(|e| damaged("zstd", &e))?;
            bounded(decoder, "zstd", limit)
        }
    }
}

/// 8 MiB, as RFC 8878 asks decoders to support.
const MAX_WINDOW_LOG: u32 = 23;

fn bounded(decoder: impl Read, name: &str, limit: usize) -> Result<Vec<u8>> {
    let mut plain = Vec::new();
    decoder
        .take(limit as u64 + 1)
        .read_to_end(&mut plain)
        .map_err(|e| damaged(name, &e))?;
    if plain.len() > limit {
        return Err(Error::TooLarge(format!(
            "the body has more than {limit} bytes decompressed, which is the limit max_decoded_bytes; send smaller ones"
        )));
    }
    Ok(plain)
}

fn damaged(name: &str, error: &std::io::Error) -> Error {
    Error::BadData(format!("damaged {name} body: {error}"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn snappy(plain: &[u8]) -> Vec<u8> {
        let mut encoder = snap::write::FrameEncoder::new(Vec::new());
        encoder.write_all(plain).unwrap();
        encoder.into_inner().unwrap()
    }

    #[test]
    fn bodies_are_read_up_to_their_limit() {
        let plain = b"up 1\n".repeat(1000);
        for (encoding, body) in [
            (Encoding::SnappyFrames, snappy(&plain)),
            (Encoding::Zstd, zstd::encode_all(&plain[..], 3).unwrap()),
        ] {
            assert_eq!(decompress(&body, encoding, 5000).unwrap(), plain);
            assert!(matches!(
                decompress(&body, encoding, 4999),
                Err(Error::TooLarge(_))
            ));
            assert!(decompress(&body[..body.len() - 3], encoding, 5000).is_err());
            assert!(matches!(
                decompress(b"up 1\n", encoding, 5000),
                Err(Error::BadData(_))
            ));
        }
    }

    #[test]
    fn a_bomb_takes_no_more_than_the_limit() {
        let body = zstd::encode_all(&vec![0; 100 << 20][..], 3).unwrap();
        assert!(body.len() < 100 << 10);
        assert!(matches!(
            decompress(&body, Encoding::Zstd, 1 << 20),
            Err(Error::TooLarge(_))
        ));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            for encoding in [Encoding::SnappyFrames, Encoding::Zstd] {
                let _ = decompress(&body, encoding, 1 << 16);
                let mut framed = snappy(b"");
                framed.extend_from_slice(&body);
                let _ = decompress(&framed, encoding, 1 << 16);
            }
        }
    }
}
