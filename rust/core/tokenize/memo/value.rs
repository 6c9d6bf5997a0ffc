//! The ids of a word in the space that a slot has for them.

/// Ids in lanes of 16 or 32 bits, the first in the lowest; the last lane is their number, or
/// all ones if the ids are in the arena: then the first half is their place, and their number above it.
pub type Packed = [u64; 2];

/// The width of a memo's lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// Up to seven ids below 65,536.
    Narrow,
    /// Up to three ids.
    Wide,
}

impl Width {
    /// Bits of a lane.
    #[inline(always)]
    const fn bits(self) -> u32 {
        match self {
            Self::Narrow => 16,
            Self::Wide => 32,
        }
    }

    /// Ids in a value.
    #[must_use]
    pub const fn inline(self) -> usize {
        128 / self.bits() as usize - 1
    }

    /// The value that holds `ids`; `None` if they are too many.
    #[must_use]
    pub fn pack(self, ids: &[u32]) -> Option<Packed> {
        (ids.len() <= self.inline()).then(|| {
            let mut all = (ids.len() as u128) << (128 - self.bits());
            for (at, &id) in (0..).zip(ids) {
                all |= u128::from(id) << (at * self.bits());
            }
            halves(all)
        })
    }

    /// The value of `count` ids at a place of the arena.
    #[must_use]
    pub fn elsewhere(self, place: u32, count: u32) -> Packed {
        [u64::from(count) << 32 | u64::from(place), u64::MAX << (64 - self.bits())]
    }

    /// The last lane: the number of ids, unless they are in the arena.
    #[inline(always)]
    #[must_use]
    #[allow(clippy::cast_possible_truncation)] // a lane
    pub const fn count(self, value: Packed) -> usize {
        (value[1] >> (64 - self.bits())) as usize
    }

    /// Whether the ids are in the arena.
    #[inline(always)]
    #[must_use]
    pub const fn is_elsewhere(self, value: Packed) -> bool {
        value[1] >= u64::MAX << (64 - self.bits())
    }

    /// The lane of an id.
    #[inline(always)]
    #[must_use]
    #[allow(clippy::cast_possible_truncation)] // a lane
    pub const fn lane(self, value: Packed, at: usize) -> u32 {
        let (bits, per_half) = (self.bits(), 64 / self.bits() as usize);
        let lane = value[at / per_half] >> (at % per_half * bits as usize);
        (lane & (u64::MAX >> (64 - bits))) as u32
    }
}

/// Where the ids of a value are in the arena, and their number.
#[inline(always)]
#[allow(clippy::cast_possible_truncation)] // taken apart as it was put together
pub const fn place(value: Packed) -> (u32, usize) {
    (value[0] as u32, (value[0] >> 32) as usize)
}

#[allow(clippy::cast_possible_truncation)]
const fn halves(all: u128) -> Packed {
    [all as u64, (all >> 64) as u64]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_found() {
        for (width, largest) in [(Width::Narrow, u32::from(u16::MAX)), (Width::Wide, u32::MAX)] {
            for count in 0..=width.inline() {
                let ids: Vec<u32> = (0..).take(count).map(|at| largest - at).collect();
                let value = width.pack(&ids).unwrap();
                assert!(!width.is_elsewhere(value));
                assert_eq!(width.count(value), count);
                let found: Vec<u32> = (0..count).map(|at| width.lane(value, at)).collect();
                assert_eq!(found, ids);
            }
            assert_eq!(width.pack(&vec![0; width.inline() + 1]), None);
            let value = width.elsewhere(u32::MAX, 5);
            assert!(width.is_elsewhere(value));
            assert_eq!(place(value), (u32::MAX, 5));
        }
    }
}
