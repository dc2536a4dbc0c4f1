//! What one commit of the journal changes, in memory and as bytes.

use std::collections::BTreeMap;

use crate::{Error, Result};

/// Keys to remove, then keys to set.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Transaction {
    pub deletes: Vec<String>,
    pub puts: Vec<(String, Vec<u8>)>,
}

/// Bytes of a key, a value and their two lengths.
pub(super) fn pair_bytes(key: &str, value: &[u8]) -> u64 {
    (8 + key.len() + value.len()) as u64
}

impl Transaction {
    pub fn is_empty(&self) -> bool {
        self.deletes.is_empty() && self.puts.is_empty()
    }

    /// Bytes it takes in a frame.
    pub(super) fn bytes(&self) -> u64 {
        let deletes: u64 = self.deletes.iter().map(|k| 4 + k.len() as u64).sum();
        let puts: u64 = self.puts.iter().map(|(k, v)| pair_bytes(k, v)).sum();
        8 + deletes + puts
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        push_number(out, self.deletes.len());
        for key in &self.deletes {
            push_bytes(out, key.as_bytes());
        }
        push_number(out, self.puts.len());
        for (key, value) in &self.puts {
            push_bytes(out, key.as_bytes());
            push_bytes(out, value);
        }
    }

    /// Reads what `encode` wrote. Lengths are checked against what is there before anything is copied.
    pub(super) fn decode(mut bytes: &[u8]) -> Result<Self> {
        let rest = &mut bytes;
        let mut transaction = Self::default();
        for _ in 0..take_number(rest)? {
            transaction.deletes.push(take_text(rest)?);
        }
        for _ in 0..take_number(rest)? {
            transaction
                .puts
                .push((take_text(rest)?, take_bytes(rest)?.to_owned()));
        }
        if rest.is_empty() {
            Ok(transaction)
        } else {
            Err(malformed("has bytes left over"))
        }
    }

    /// Applies it, and keeps `live`, the `pair_bytes` of everything in the map, up to date.
    pub(super) fn apply(self, map: &mut BTreeMap<String, Vec<u8>>, live: &mut u64) {
        for key in self.deletes {
            if let Some(old) = map.remove(&key) {
                *live -= pair_bytes(&key, &old);
            }
        }
        for (key, value) in self.puts {
            *live += pair_bytes(&key, &value);
            let bytes = (8 + key.len()) as u64;
            if let Some(old) = map.insert(key, value) {
                *live -= bytes + old.len() as u64;
            }
        }
    }
}

fn push_number(out: &mut Vec<u8>, number: usize) {
    out.extend_from_slice(&(number as u32).to_le_bytes());
}

fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    push_number(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn take_number(rest: &mut &[u8]) -> Result<usize> {
    let (number, tail) = rest
        .split_first_chunk()
        .ok_or_else(|| malformed("ends inside a number"))?;
    *rest = tail;
    Ok(u32::from_le_bytes(*number) as usize)
}

fn take_bytes<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8]> {
    let length = take_number(rest)?;
    let (bytes, tail) = rest
        .split_at_checked(length)
        .ok_or_else(|| malformed("ends inside a key or value"))?;
    *rest = tail;
    Ok(bytes)
}

fn take_text(rest: &mut &[u8]) -> Result<String> {
    String::from_utf8(take_bytes(rest)?.to_owned()).map_err(|_| malformed("has a key that is not UTF-8"))
}

fn malformed(what: &str) -> Error {
    Error::Corrupt(format!("a transaction of the journal {what}"))
}
