//! The pairs that merge, with their ranks: one table by hash, and a small one that rules out most pairs.

/// Limits of the table's ids and ranks: a pair and its rank are one number of 64 bits.
const ID_BITS: u32 = 20;
const RANK_BITS: u32 = 64 - 2 * ID_BITS;
/// No merge, in ranks; larger than each of them.
pub const NONE: u32 = (1 << RANK_BITS) - 1;
/// No pair, in slots: its rank would be [`NONE`].
const EMPTY: u64 = u64::MAX;
/// Size of the bit table that rules out most pairs: ten bits for each of the usual 50,000 merges, and
/// fewer for more, so that the table stays in the second-level cache.
const FIRST_BITS: usize = 1 << 19;
const MOST_BITS: usize = 1 << 22;

/// The rank of each pair of ids.
pub struct PairRanks {
    /// Pair and rank, by hash.
    slots: Vec<u64>,
    shift: u32,
    /// One bit per pair, by hash: a small table that rules out most neighbours, which are no pair.
    bits: Vec<u64>,
    bits_shift: u32,
}

/// Whether an id is small enough for the table.
pub fn fits(id: u32) -> bool {
    id < (1 << ID_BITS) - 1
}

fn pair(left: u32, right: u32) -> u64 {
    u64::from(left) << ID_BITS | u64::from(right)
}

impl PairRanks {
    /// An empty table for so many pairs; `None` if their ranks are too large.
    pub fn with_capacity(pairs: usize) -> Option<Self> {
        if pairs >= NONE as usize {
            return None;
        }
        let size = (pairs * 2).next_power_of_two().max(2);
        let bits = (pairs * 8).next_power_of_two().clamp(FIRST_BITS, MOST_BITS);
        Some(Self {
            slots: vec![EMPTY; size],
            shift: 64 - size.trailing_zeros(),
            bits: vec![0; bits / 64],
            bits_shift: 64 - bits.trailing_zeros(),
        })
    }

    /// Set the rank of a pair; the later of two counts.
    pub fn insert(&mut self, left: u32, right: u32, rank: u32) {
        let key = pair(left, right);
        let mut at = self.place(key);
        while self.slots[at] != EMPTY && self.slots[at] >> RANK_BITS != key {
            at = (at + 1) & (self.slots.len() - 1);
        }
        self.slots[at] = key << RANK_BITS | u64::from(rank);
        let (word, bit) = self.bit_of(key);
        self.bits[word] |= bit;
    }

    /// Where a pair's bit is.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // the shift leaves the bits of an index
    fn bit_of(&self, key: u64) -> (usize, u64) {
        let at = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.bits_shift;
        (at as usize / 64, 1 << (at % 64))
    }

    #[inline]
    #[allow(clippy::cast_possible_truncation)] // the shift leaves the bits of an index
    fn place(&self, key: u64) -> usize {
        (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift) as usize
    }

    /// The rank of a pair, [`NONE`] if it does not merge.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // the mask leaves the bits of a rank
    pub fn of(&self, left: u32, right: u32) -> u32 {
        let key = pair(left, right);
        let (word, bit) = self.bit_of(key);
        if self.bits[word] & bit == 0 {
            return NONE;
        }
        let mut at = self.place(key);
        loop {
            let slot = self.slots[at];
            if slot >> RANK_BITS == key || slot == EMPTY {
                return slot as u32 & NONE;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }
}
