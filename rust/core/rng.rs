//! Random numbers by address: every value is a pure function of a key and an index.
//!
//! There is no shared stream, so the value at an index is the same for every thread, worker and
//! machine, and in any order of access. `docs/masks.md` documents the format.

/// 2^64 divided by the golden ratio, odd: the increment of `SplitMix64`.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// What a key is for: keys for different purposes share nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Distances from one masked position to the next.
    Gap = 1,
    /// What a masked position is replaced by.
    Replacement = 2,
    /// The order of the blocks in an epoch.
    Permutation = 3,
    /// Which of a row's tokens are masked, if their number is given.
    Choice = 4,
    /// The starts and lengths of spans.
    Span = 5,
    /// The rate of a row, if each has its own.
    Rate = 6,
    /// Which documents of a length share the rows that are packed.
    Packing = 7,
}

/// The finaliser of `SplitMix64` (Steele, Lea and Flood 2014, constants by Stafford): a bijection
/// of 64 bits in which every input bit reaches every output bit.
#[must_use]
pub const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The part of a key that all blocks of an epoch have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochKey(u64);

impl EpochKey {
    /// The key of one epoch for one purpose.
    ///
    /// Each word is mixed before it is absorbed and the state is mixed after, so that neighbouring
    /// seeds, epochs and blocks give unrelated keys, and no two of them cancel out.
    #[must_use]
    pub const fn new(seed: u64, epoch: u64, purpose: Purpose) -> Self {
        Self(absorb(absorb(absorb(0, purpose as u64), seed), epoch))
    }

    /// The key of one block in this epoch.
    #[must_use]
    pub const fn block(self, block: u64) -> Key {
        Key(absorb(self.0, block))
    }
}

/// A key made of (seed, epoch, block, purpose).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key(u64);

impl Key {
    /// The key of one block in one epoch for one purpose.
    #[must_use]
    pub const fn new(seed: u64, epoch: u64, block: u64, purpose: Purpose) -> Self {
        EpochKey::new(seed, epoch, purpose).block(block)
    }

    /// The value at `index`: number `index` of the `SplitMix64` sequence that starts at the key.
    #[must_use]
    #[inline]
    pub const fn at(self, index: u64) -> u64 {
        mix(self.0.wrapping_add(index.wrapping_add(1).wrapping_mul(GOLDEN)))
    }

    /// The value at `index` as a number below `bound`, uniform to 1 part in 2^64 / `bound`.
    #[must_use]
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // below `bound`
    pub const fn below(self, index: u64, bound: usize) -> usize {
        ((self.at(index) as u128 * bound as u128) >> 64) as usize
    }
}

const fn absorb(state: u64, word: u64) -> u64 {
    mix(state ^ mix(word.wrapping_add(GOLDEN)))
}

/// A hash of a row's token ids, used as its block number if the row has no other address.
#[must_use]
pub fn content_hash(ids: impl Iterator<Item = u64>) -> u64 {
    ids.fold(GOLDEN, |state: u64, id| (state.rotate_left(5) ^ id).wrapping_mul(GOLDEN))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PURPOSES: [Purpose; 7] = [
        Purpose::Gap,
        Purpose::Replacement,
        Purpose::Permutation,
        Purpose::Choice,
        Purpose::Span,
        Purpose::Rate,
        Purpose::Packing,
    ];

    #[test]
    fn neighbouring_keys_share_no_values() {
        let mut seen = std::collections::HashSet::new();
        for seed in 0..8 {
            for epoch in 0..8 {
                for block in 0..64 {
                    for purpose in PURPOSES {
                        let key = Key::new(seed, epoch, block, purpose);
                        for index in 0..4 {
                            assert!(seen.insert(key.at(index)));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn swapped_words_give_other_keys() {
        assert_ne!(Key::new(1, 2, 3, Purpose::Gap), Key::new(2, 1, 3, Purpose::Gap));
        assert_ne!(Key::new(1, 2, 3, Purpose::Gap), Key::new(1, 3, 2, Purpose::Gap));
    }

    #[test]
    fn content_hash_tells_order_and_length() {
        assert_ne!(content_hash([1, 2].into_iter()), content_hash([2, 1].into_iter()));
        assert_ne!(content_hash([7, 7].into_iter()), content_hash([7].into_iter()));
    }
}
