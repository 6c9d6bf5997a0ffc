//! Merging the bytes of a word.

use super::merges::{Merges, SHORT, Scratch};
use super::pair_ranks::{NONE, fits};

/// Merges of byte-level BPE.
pub struct ByteMerges {
    /// The ids of the bytes.
    bytes: [u32; 256],
    /// The ranks of pairs of bytes.
    first: Box<[u32]>,
    merges: Merges,
}

impl ByteMerges {
    /// `bytes` are the ids of the 256 bytes; `pairs` are those of [`Merges::new`].
    ///
    /// `None` if ids or ranks are too large.
    pub fn new(bytes: &[u32; 256], pairs: &[Option<(u32, u32, u32)>]) -> Option<Self> {
        if !bytes.iter().copied().all(fits) {
            return None;
        }
        let merges = Merges::new(pairs)?;
        let mut first = vec![NONE; 1 << 16].into_boxed_slice();
        for (both, rank) in first.iter_mut().enumerate() {
            *rank = merges.rank(bytes[both >> 8], bytes[both & 0xff]);
        }
        Some(Self { bytes: *bytes, first, merges })
    }

    /// Append the ids of `word`.
    pub fn apply(&self, word: &[u8], scratch: &mut Scratch, ids: &mut Vec<u32>) {
        if let [byte] = *word {
            return ids.push(self.bytes[usize::from(byte)]);
        }
        let symbols = word.iter().map(|&byte| self.bytes[usize::from(byte)]);
        if word.len() > SHORT {
            return self.merges.apply_long(symbols, scratch, ids);
        }
        for (place, symbol) in scratch.symbols.iter_mut().zip(symbols) {
            *place = symbol;
        }
        for (rank, two) in scratch.ranks.iter_mut().zip(word.windows(2)) {
            *rank = self.first[usize::from(two[0]) << 8 | usize::from(two[1])];
        }
        self.merges.apply_short(word.len(), scratch, ids);
    }
}
