//! The records that go through files: a key and the number of the document that has it.

use arrow_array::{Array, LargeStringArray};

use super::minhash::{MinHash, Scratch};
use crate::{Error, Result, check_length};

/// Bytes of a record: a little-endian key of 64 bits, then a number of 32 bits.
pub const RECORD_BYTES: usize = 12;
/// The number of buckets; a record's bucket is the first byte of its key.
pub const BUCKETS: usize = 256;

/// Records, one bucket after the other.
pub struct Buckets {
    /// The records.
    pub records: Vec<u8>,
    /// Where each bucket begins in `records`, and their end.
    pub bounds: [usize; BUCKETS + 1],
}

impl MinHash {
    /// The records of documents with their numbers, in buckets. A null has none.
    ///
    /// # Errors
    /// There is not one number for each text, or a number has more than 32 bits.
    pub fn records(&self, texts: &LargeStringArray, numbers: &[u64]) -> Result<Buckets> {
        check_length("numbers", numbers.len(), texts.len())?;
        let mut keys = Vec::with_capacity(texts.len() * self.bands());
        let mut documents = Vec::with_capacity(texts.len());
        let mut scratch = Scratch::default();
        for (row, &number) in numbers.iter().enumerate() {
            if texts.is_valid(row) {
                documents.push(u32::try_from(number).map_err(|_| Error::TooLarge)?);
                self.append_keys(texts.value(row), &mut scratch, &mut keys);
            }
        }
        let mut bounds = [0; BUCKETS + 1];
        for &key in &keys {
            bounds[bucket(key) + 1] += RECORD_BYTES;
        }
        for at in 1..=BUCKETS {
            bounds[at] += bounds[at - 1];
        }
        let mut ends = bounds;
        let mut records = vec![0; keys.len() * RECORD_BYTES];
        for (keys, number) in keys.chunks_exact(self.bands()).zip(documents) {
            for &key in keys {
                let end = &mut ends[bucket(key)];
                let record = &mut records[*end..*end + RECORD_BYTES];
                record[..8].copy_from_slice(&key.to_le_bytes());
                record[8..].copy_from_slice(&number.to_le_bytes());
                *end += RECORD_BYTES;
            }
        }
        Ok(Buckets { records, bounds })
    }
}

#[allow(clippy::cast_possible_truncation)] // a byte
fn bucket(key: u64) -> usize {
    (key >> 56) as usize
}

/// The pairs of documents that have an equal key: the lowest number of those that have it, and each
/// of the others, as two numbers one after the other. Bytes after the last whole record are ignored.
#[must_use]
#[allow(clippy::cast_possible_truncation)] // four bytes
pub fn equal_keys(records: &[u8]) -> Vec<u32> {
    let (records, _) = records.as_chunks::<RECORD_BYTES>();
    let mut keys: Vec<(u64, u32)> = records
        .iter()
        .map(|record| {
            let number =
                |bytes: &[u8]| bytes.iter().rev().fold(0, |n, &byte| n << 8 | u64::from(byte));
            (number(&record[..8]), number(&record[8..]) as u32)
        })
        .collect();
    keys.sort_unstable();
    let mut pairs = Vec::new();
    for equal in keys.chunk_by(|(one, _), (other, _)| one == other) {
        if let [(_, first), others @ ..] = equal {
            pairs.extend(others.iter().flat_map(|&(_, other)| [*first, other]));
        }
    }
    pairs
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn records_come_by_bucket_whatever_the_batch() {
        let minhash = MinHash::new(2, 4, 2).unwrap();
        let texts: LargeStringArray =
            (0..50).map(|n| (n % 7 != 3).then(|| format!("some text {}", "x".repeat(n)))).collect();
        let numbers: Vec<u64> = (100..150).collect();
        let whole = minhash.records(&texts, &numbers).unwrap();
        assert_eq!(whole.records.len(), 43 * 4 * RECORD_BYTES);
        assert_eq!(whole.bounds[BUCKETS], whole.records.len());
        let parts: Vec<_> = [(0, 20), (20, 30)]
            .map(|(first, count)| {
                minhash.records(&texts.slice(first, count), &numbers[first..first + count]).unwrap()
            })
            .into();
        for at in 0..BUCKETS {
            let of = |part: &Buckets| part.records[part.bounds[at]..part.bounds[at + 1]].to_vec();
            assert_eq!(of(&whole), parts.iter().flat_map(of).collect::<Vec<_>>());
            assert!(of(&whole).chunks(RECORD_BYTES).all(|record| usize::from(record[7]) == at));
        }
        assert!(minhash.records(&texts, &numbers[1..]).is_err());
        assert!(minhash.records(&texts.slice(0, 1), &[1 << 32]).is_err());
    }

    #[test]
    fn pairs_hold_the_lowest_number_of_a_key() {
        let records: Vec<u8> = [(5_u64, 9_u32), (1, 2), (5, 3), (5, 7), (2, 2), (1, 2)]
            .iter()
            .flat_map(|(key, number)| [&key.to_le_bytes()[..], &number.to_le_bytes()].concat())
            .collect();
        assert_eq!(equal_keys(&records), [2, 2, 3, 7, 3, 9]);
        assert_eq!(equal_keys(&records[..RECORD_BYTES + 5]), [0; 0]);
    }
}
