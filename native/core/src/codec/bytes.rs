//! Varints (LEB128) and a reader that cannot run off its bytes.

use crate::{Error, Result};

pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(out, zigzag(value));
}

/// Small magnitudes of either sign become small numbers.
#[inline]
pub fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[inline]
pub fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Reads from the front of a byte string. Every error names the position and what was expected there.
#[derive(Debug, Clone)]
pub struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub fn position(&self) -> usize {
        self.at
    }

    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    pub fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        match self.bytes.get(self.at..).and_then(|rest| rest.get(..len)) {
            Some(part) => {
                self.at += len;
                Ok(part)
            }
            None => Err(self.short(len)),
        }
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        match self.bytes[self.at..].first_chunk::<N>() {
            Some(part) => {
                self.at += N;
                Ok(*part)
            }
            None => Err(self.short(N)),
        }
    }

    pub fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    #[inline]
    pub fn varint(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let Some(&byte) = self.bytes.get(self.at) else {
                return Err(self.short(1));
            };
            self.at += 1;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Error::Corrupt(format!(
            "the varint that ends at byte {} has more than 64 bits",
            self.at
        )))
    }

    #[inline]
    pub fn signed(&mut self) -> Result<i64> {
        Ok(unzigzag(self.varint()?))
    }

    /// A varint that may be at most `limit`; `what` names it in the error.
    #[inline]
    pub fn bounded(&mut self, limit: usize, what: &str) -> Result<usize> {
        let value = self.varint()?;
        match usize::try_from(value) {
            Ok(small) if small <= limit => Ok(small),
            _ => Err(Error::Corrupt(format!(
                "{what} is {value} at byte {}, which cannot be more than {limit}",
                self.at
            ))),
        }
    }

    /// Fails if bytes are left over.
    pub fn end(&self, what: &str) -> Result<()> {
        if self.remaining() == 0 {
            return Ok(());
        }
        Err(Error::Corrupt(format!(
            "{} bytes too many after the {} bytes of {what}",
            self.remaining(),
            self.at
        )))
    }

    #[cold]
    fn short(&self, wanted: usize) -> Error {
        Error::Corrupt(format!(
            "bytes end early: {wanted} wanted at byte {} of {}",
            self.at,
            self.bytes.len()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(values: Vec<u64>, signed: Vec<i64>) {
            let mut out = Vec::new();
            for &value in &values {
                put_varint(&mut out, value);
            }
            for &value in &signed {
                put_signed(&mut out, value);
            }
            let mut input = Input::new(&out);
            for v in values {
                prop_assert_eq!(input.varint().unwrap(), v);
            }
            for v in signed {
                prop_assert_eq!(input.signed().unwrap(), v);
            }
            prop_assert!(input.end("list").is_ok());
        }

        #[test]
        fn any_bytes_are_safe(bytes: Vec<u8>) {
            let mut input = Input::new(&bytes);
            while input.varint().is_ok() {}
            prop_assert!(input.take(bytes.len() + 1).is_err());
        }
    }

    #[test]
    fn a_varint_of_65_bits_is_refused() {
        let mut bytes = vec![0xff; 9];
        bytes.push(0x02);
        assert!(Input::new(&bytes).varint().is_err());
        bytes[9] = 0x01;
        assert_eq!(Input::new(&bytes).varint().unwrap(), u64::MAX);
    }
}
