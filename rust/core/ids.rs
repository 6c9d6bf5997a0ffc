//! The integer types of token ids, as input and as output.

/// An input type of token ids.
pub trait TokenId: Copy + Send + Sync {
    /// The id as an `i64`, which holds the ids of every type.
    fn widen(self) -> i64;

    /// Whether any of `ids` lies outside of `0..vocab_size`, for a `vocab_size` of 1 to 2^31 - 1.
    /// The folds have no branch and no 64-bit comparison, so that they run on the vectors that
    /// every processor has.
    fn any_outside(ids: &[Self], vocab_size: u32) -> bool;
}

macro_rules! narrow_unsigned {
    ($($native:ty),*) => {$(
        impl TokenId for $native {
            #[inline]
            fn widen(self) -> i64 {
                i64::from(self)
            }

            fn any_outside(ids: &[Self], vocab_size: u32) -> bool {
                let largest = Self::try_from(vocab_size - 1).unwrap_or(Self::MAX);
                ids.iter().fold(0, |over, id| over | id.saturating_sub(largest)) != 0
            }
        }
    )*};
}
narrow_unsigned!(u8, u16);

macro_rules! wide_or_signed {
    ($($native:ty),*) => {$(
        impl TokenId for $native {
            #[inline]
            fn widen(self) -> i64 {
                i64::from(self)
            }

            fn any_outside(ids: &[Self], vocab_size: u32) -> bool {
                let largest = Self::try_from(vocab_size - 1).unwrap_or(Self::MAX);
                // An id has the top bit, or is larger than `largest`, and then the difference does.
                let bits = ids.iter().fold(0, |bits, &id| bits | id | largest.wrapping_sub(id));
                bits >> (Self::BITS - 1) != 0
            }
        }
    )*};
}
wide_or_signed!(u32, i8, i16, i32, i64);

/// An output type of masked batches.
pub trait OutputId: Copy + Send + Sync {
    /// Whether every `i64` fits.
    const HOLDS_ALL: bool;

    /// The number as this type; it fits, or `HOLDS_ALL` is false and nobody checked the ids.
    fn from_wide(value: i64) -> Self;
}

impl OutputId for i64 {
    const HOLDS_ALL: bool = true;

    #[inline]
    fn from_wide(value: i64) -> Self {
        value
    }
}

impl OutputId for i32 {
    const HOLDS_ALL: bool = false;

    #[inline]
    #[allow(clippy::cast_possible_truncation)] // vocabularies end before 2^31, and -100 fits
    fn from_wide(value: i64) -> Self {
        value as Self
    }
}

/// A bit set of ids of a vocabulary, small enough for the first-level cache.
#[derive(Debug, Clone)]
pub struct IdSet {
    words: Vec<u64>,
    /// Whether ids outside of the vocabulary belong to the set.
    outside: bool,
    longest_gap: Run,
}

/// A range of consecutive ids.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Run {
    first: i64,
    length: u64,
}

impl Run {
    #[inline]
    pub fn contains(self, id: i64) -> bool {
        id.wrapping_sub(self.first).cast_unsigned() < self.length
    }
}

impl IdSet {
    /// The set of `members`, all of which are below `vocab_size`.
    pub fn new(vocab_size: u32, members: &[u32]) -> Self {
        let mut words = vec![0; vocab_size.div_ceil(64) as usize];
        for &id in members {
            words[id as usize / 64] |= 1 << (id % 64);
        }
        let mut longest_gap = Run::default();
        let mut first = 0;
        let mut members = members.to_vec();
        members.sort_unstable();
        for member in members.into_iter().chain([vocab_size]) {
            let length = u64::from(member.saturating_sub(first));
            if length > longest_gap.length {
                longest_gap = Run { first: first.into(), length };
            }
            first = member + 1;
        }
        Self { words, outside: false, longest_gap }
    }

    /// The set of ids whose flag is set, and of all ids outside of the vocabulary.
    pub fn of_flags(flags: &[bool]) -> Self {
        // The last word's bits past the vocabulary stay set.
        let push = |word: u64, &flag: &bool| word << 1 | u64::from(flag);
        let word = |flags: &[bool]| flags.iter().rev().fold(u64::MAX, push);
        Self {
            words: flags.chunks(64).map(word).collect(),
            outside: true,
            longest_gap: Run::default(),
        }
    }

    /// The longest range of ids without members: with few members, it holds most ids and is faster
    /// to test than the set. (Unknown for a set made of flags.)
    pub fn longest_gap(&self) -> Run {
        self.longest_gap
    }

    #[inline]
    pub fn contains(&self, id: i64) -> bool {
        usize::try_from(id)
            .ok()
            .and_then(|id| self.words.get(id / 64).map(|word| word >> (id % 64) & 1 == 1))
            .unwrap_or(self.outside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<I: TokenId + TryFrom<i64>>() {
        let edges = [i64::MIN, -40_000, -100, -1, 0, 1, 99, 100, 101, 127, 128, 255, 256];
        let wide = [32_767, 32_768, 65_535, 65_536, (1 << 31) - 1, 1 << 31, u32::MAX.into()];
        for vocab_size in [1, 2, 100, 128, 256, 32_768, 50_000, 65_536, 65_537, (1 << 31) - 1] {
            for value in edges.into_iter().chain(wide) {
                let Ok(id) = I::try_from(value) else { continue };
                let outside = !(0..i64::from(vocab_size)).contains(&value);
                let zero = I::try_from(0).unwrap_or(id);
                assert_eq!(I::any_outside(&[zero, id, zero], vocab_size), outside, "{value}");
            }
        }
    }

    #[test]
    fn sets_hold_their_members_alone() {
        let members = [0, 3, 63, 64, 129];
        let set = IdSet::new(130, &members);
        let flags: Vec<bool> = (0..130).map(|id| members.contains(&id)).collect();
        let flagged = IdSet::of_flags(&flags);
        for id in 0..130 {
            assert_eq!(set.contains(id.into()), members.contains(&id), "{id}");
            assert_eq!(flagged.contains(id.into()), members.contains(&id), "{id}");
        }
        for id in [-1, 130, 191, 192, 1 << 40] {
            assert!(!set.contains(id) && flagged.contains(id), "{id}");
        }
    }

    #[test]
    fn the_longest_gap_lies_between_members() {
        for (members, first, length) in [
            (vec![], 0, 130),
            (vec![129, 0, 1, 60], 61, 68),
            (vec![100], 0, 100),
            (vec![9], 10, 120),
        ] {
            let gap = IdSet::new(130, &members).longest_gap();
            assert_eq!(gap, Run { first, length });
            assert!(!gap.contains(first - 1) && gap.contains(first));
            assert!(gap.contains(first + 67) && !gap.contains(130) && !gap.contains(-1));
        }
    }

    #[test]
    fn ids_outside_of_the_vocabulary_are_seen_in_every_type() {
        check::<u8>();
        check::<u16>();
        check::<u32>();
        check::<i8>();
        check::<i16>();
        check::<i32>();
        check::<i64>();
    }
}
