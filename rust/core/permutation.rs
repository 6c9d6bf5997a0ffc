//! The order of the blocks in an epoch: a keyed bijection that needs no memory.
//!
//! A Feistel network (Luby and Rackoff 1988) permutes the numbers of the next power of two, and
//! what comes out at or past the count goes through it again until it is below ("cycle walking",
//! Black and Rogaway 2002), which leaves a permutation of the count.

use crate::rng::{Key, Purpose};

/// Rounds of the network, half of them on each side.
const ROUNDS: u64 = 8;
/// Bits of the smallest network: a few numbers walk a little longer for an order that is as good.
const LEAST_BITS: u32 = 8;
/// Largest number of elements: a side of the network has 31 bits then.
const LARGEST: u64 = 1 << 62;

/// A permutation of `0..count` that is a pure function of (seed, epoch, count).
#[derive(Debug, Clone, Copy)]
pub struct Permutation {
    key: Key,
    count: u64,
    left_bits: u32,
    right_bits: u32,
}

impl Permutation {
    /// The order of `count` elements in an epoch; `None` for more than 2^62.
    #[must_use]
    pub fn new(count: u64, seed: u64, epoch: u64) -> Option<Self> {
        Self::with_key(count, Key::new(seed, epoch, 0, Purpose::Permutation))
    }

    /// The order of `count` elements by a key; `None` for more than 2^62.
    #[must_use]
    pub fn with_key(count: u64, key: Key) -> Option<Self> {
        if count > LARGEST {
            return None;
        }
        let bits = (u64::BITS - count.saturating_sub(1).leading_zeros()).max(LEAST_BITS);
        Some(Self { key, count, left_bits: bits / 2, right_bits: bits - bits / 2 })
    }

    /// The element at `index`, which must be below the count.
    #[must_use]
    pub fn at(&self, index: u64) -> Option<u64> {
        if index >= self.count {
            return None;
        }
        let mut value = self.step(index);
        while value >= self.count {
            value = self.step(value);
        }
        Some(value)
    }

    fn step(&self, value: u64) -> u64 {
        let mut left = value >> self.right_bits;
        let mut right = value & ((1 << self.right_bits) - 1);
        for round in 0..ROUNDS {
            if round % 2 == 0 {
                left ^= self.key.at(round << 32 | right) >> (64 - self.left_bits);
            } else {
                right ^= self.key.at(round << 32 | left) >> (64 - self.right_bits);
            }
        }
        left << self.right_bits | right
    }
}
