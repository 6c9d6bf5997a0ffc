//! Exact deduplication: a set of the 128-bit hashes of texts.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use arrow_array::{Array, LargeStringArray};
use twox_hash::XxHash3_128;

/// A hasher that uses the low half of the hashes, which are uniformly distributed already.
#[derive(Default)]
pub struct LowHalf(u64);

impl Hasher for LowHalf {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    #[allow(clippy::cast_possible_truncation)] // the low half is intended
    fn write_u128(&mut self, value: u128) {
        self.0 = value as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Bytes of a serialized hash.
pub const KEY_BYTES: usize = 16;

/// The XXH3-128 hashes of the texts so far. A text takes 20 to 40 bytes, including the table's spare
/// capacity. Among a billion different texts, the probability of a collision is 1 in 10^21.
#[derive(Default)]
pub struct TextHashSet {
    keys: HashSet<u128, BuildHasherDefault<LowHalf>>,
}

impl TextHashSet {
    /// Number of different texts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are no texts yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Add texts; return for each whether it is new, and the hashes of the new ones in order, 16
    /// little-endian bytes each. A null is never new.
    pub fn add(&mut self, texts: &LargeStringArray) -> (Vec<bool>, Vec<u8>) {
        let mut keys = Vec::new();
        let fresh = (0..texts.len())
            .map(|row| {
                if texts.is_null(row) {
                    return false;
                }
                let key = XxHash3_128::oneshot(texts.value(row).as_bytes());
                let new = self.keys.insert(key);
                if new {
                    keys.extend_from_slice(&key.to_le_bytes());
                }
                new
            })
            .collect();
        (fresh, keys)
    }

    /// Add hashes returned by `add`; bytes after the last whole hash are ignored.
    pub fn load(&mut self, keys: &[u8]) {
        let (whole, _) = keys.as_chunks::<KEY_BYTES>();
        self.keys.extend(whole.iter().map(|key| u128::from_le_bytes(*key)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(rows: &[Option<&str>]) -> LargeStringArray {
        rows.iter().copied().collect()
    }

    #[test]
    fn a_text_is_new_once() {
        let mut seen = TextHashSet::default();
        let rows = texts(&[Some("a"), Some("b"), None, Some("a"), Some(""), Some("")]);
        let (fresh, keys) = seen.add(&rows.slice(0, 4));
        assert_eq!(fresh, [true, true, false, false]);
        assert_eq!(keys.len(), 2 * KEY_BYTES);
        assert_eq!(seen.add(&rows.slice(3, 3)).0, [false, true, false]);
        assert_eq!(seen.len(), 3);
    }

    #[test]
    fn what_was_written_down_is_known_again() {
        let mut seen = TextHashSet::default();
        let (_, keys) = seen.add(&texts(&[Some("a"), Some("b")]));
        let mut again = TextHashSet::default();
        assert!(again.is_empty());
        again.load(&keys);
        assert_eq!(again.add(&texts(&[Some("b"), Some("c"), Some("a")])).0, [false, true, false]);
    }
}
