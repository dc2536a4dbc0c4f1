//! Which rows have the same times.

use hashbrown::HashMap;

/// Keys for columns of times that are merged out of others. They count up from 1.
#[derive(Debug, Default)]
pub struct TimesKeys {
    known: HashMap<Vec<(u32, u64)>, u64>,
    last: Vec<(u32, u64)>,
    last_key: u64,
    given: u64,
}

/// Columns remembered; beyond it new keys are given, which costs only what sharing would have saved.
const KEYS: usize = 1 << 16;

impl TimesKeys {
    /// The key of what is merged out of these columns, given as (source, key there), in this order. 0 if one of them has none.
    pub fn of(&mut self, origin: &[(u32, u64)]) -> u64 {
        if origin.iter().any(|&(_, key)| key == 0) {
            return 0;
        }
        if self.last_key != 0 && self.last == origin {
            return self.last_key;
        }
        self.last.clear();
        self.last.extend_from_slice(origin);
        self.last_key = if let Some(&key) = self.known.get(origin) {
            key
        } else {
            if self.known.len() >= KEYS {
                self.known.clear();
            }
            self.given += 1;
            self.known.insert(origin.to_vec(), self.given);
            self.given
        };
        self.last_key
    }
}
