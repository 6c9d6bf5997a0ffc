//! The merges of BPE: the pair of lowest rank first, the leftmost among equals.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use fearless_simd::{Simd, dispatch};

use crate::tokenize::bpe::pair_ranks::{NONE, PairRanks, fits};
use crate::tokenize::simd;

/// Maximum symbols of words that are merged in plain arrays; longer words use a heap.
pub const SHORT: usize = 160;

/// The merges.
pub struct Merges {
    ranks: PairRanks,
    /// The ids that merges produce, by rank.
    made: Vec<u32>,
}

/// Places of arrays for [`SHORT`] symbols: any number of eight bits is one.
const PLACES: usize = 1 << 8;
/// Ranks of which the lowest is found at once.
const LANES: usize = 16;

/// Working memory of a merge.
pub struct Scratch {
    pub symbols: [u32; PLACES],
    /// The rank of each symbol and the next; the last does not count.
    pub ranks: [u32; PLACES],
    /// The place of the symbol before each, and of the one after.
    previous: [u8; PLACES],
    next: [u8; PLACES],
    list: Vec<Symbol>,
    heap: BinaryHeap<Reverse<u64>>,
}

#[derive(Clone, Copy)]
struct Symbol {
    id: u32,
    /// The rank of this one and the next.
    rank: u32,
    previous: u32,
    next: u32,
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            symbols: [0; PLACES],
            ranks: [0; PLACES],
            previous: [0; PLACES],
            next: [0; PLACES],
            list: Vec::new(),
            heap: BinaryHeap::new(),
        }
    }
}

impl Merges {
    /// `pairs` lists by rank which ids merge into which. If a pair occurs twice, the later rank counts.
    ///
    /// `None` if ids or ranks are too large.
    pub fn new(pairs: &[Option<(u32, u32, u32)>]) -> Option<Self> {
        let mut ranks = PairRanks::with_capacity(pairs.len())?;
        let mut made = Vec::with_capacity(pairs.len());
        for (rank, found) in (0..).zip(pairs) {
            if let Some((left, right, new)) = *found {
                if ![left, right, new].into_iter().all(fits) {
                    return None;
                }
                ranks.insert(left, right, rank);
            }
            made.push(found.map_or(0, |(_, _, new)| new));
        }
        Some(Self { ranks, made })
    }

    /// The rank of a pair, [`NONE`] if it does not merge.
    #[inline]
    pub fn rank(&self, left: u32, right: u32) -> u32 {
        self.ranks.of(left, right)
    }

    /// Append what the symbols `word` merge into.
    pub fn apply(&self, word: &[u32], scratch: &mut Scratch, ids: &mut Vec<u32>) {
        if word.len() > SHORT {
            return self.apply_long(word.iter().copied(), scratch, ids);
        }
        scratch.symbols[..word.len()].copy_from_slice(word);
        for (rank, two) in scratch.ranks.iter_mut().zip(word.windows(2)) {
            *rank = self.rank(two[0], two[1]);
        }
        self.apply_short(word.len(), scratch, ids);
    }

    /// The same for up to [`SHORT`] symbols in `scratch`, with the ranks of each two.
    pub fn apply_short(&self, count: usize, scratch: &mut Scratch, ids: &mut Vec<u32>) {
        if count == 0 {
            return;
        }
        dispatch!(simd::level(), simd => simd.vectorize(
            #[inline(always)]
            || self.merge(count, scratch)
        ));
        let mut at = 0;
        while at < count {
            ids.push(scratch.symbols[at]);
            at = usize::from(scratch.next[at]);
        }
    }

    /// Symbols stay at their places, in a linked list. Ranks with the places below them in one number: the
    /// lowest of these is the leftmost of the lowest ranks.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)] // places have eight bits
    fn merge(&self, count: usize, scratch: &mut Scratch) {
        let Scratch { symbols, ranks, previous, next, .. } = scratch;
        let place = |lowest: u32| lowest as u8;
        for at in 0..count {
            ranks[at] = ranks[at] << 8 | at as u32;
            next[at] = at as u8 + 1;
            previous[at] = (at as u8).wrapping_sub(1);
        }
        let used = count.next_multiple_of(LANES).min(PLACES);
        ranks[count - 1..used].fill(u32::MAX);
        loop {
            let (lanes, _) = ranks[..used].as_chunks::<LANES>();
            let lowest = lanes.iter().fold([u32::MAX; LANES], |lowest, lanes| {
                std::array::from_fn(|lane| lowest[lane].min(lanes[lane]))
            });
            let lowest = lowest.into_iter().fold(u32::MAX, u32::min);
            if lowest >> 8 == NONE {
                break;
            }
            let at = usize::from(place(lowest));
            let new = self.made[(lowest >> 8) as usize];
            let gone = usize::from(next[at]);
            let (before, after) = (usize::from(previous[at]), usize::from(next[gone]));
            symbols[at] = new;
            next[at] = next[gone];
            ranks[gone] = u32::MAX;
            ranks[at] = u32::MAX;
            if after < count {
                previous[after] = at as u8;
                ranks[at] = self.rank(new, symbols[after]) << 8 | at as u32;
            }
            if at > 0 {
                ranks[before] = self.rank(symbols[before], new) << 8 | before as u32;
            }
        }
    }

    /// The same in O(n log n): symbols as a linked list, pairs in a heap, from which outdated pairs are
    /// discarded when they come up.
    pub fn apply_long(
        &self,
        word: impl Iterator<Item = u32>,
        scratch: &mut Scratch,
        ids: &mut Vec<u32>,
    ) {
        const END: u32 = u32::MAX;
        let Scratch { list, heap, .. } = scratch;
        list.clear();
        heap.clear();
        for (at, id) in (0_u32..).zip(word) {
            if let Some(before) = list.last_mut() {
                before.rank = self.rank(before.id, id);
                if before.rank != NONE {
                    heap.push(Reverse(u64::from(before.rank) << 32 | u64::from(at - 1)));
                }
            }
            list.push(Symbol { id, rank: NONE, previous: at.wrapping_sub(1), next: at + 1 });
        }
        if let Some(last) = list.last_mut() {
            last.next = END;
        }
        #[allow(clippy::cast_possible_truncation)] // taken apart as it was put together
        while let Some(Reverse(top)) = heap.pop() {
            let (rank, at) = ((top >> 32) as u32, top as u32);
            let Symbol { rank: current, previous, next, .. } = list[at as usize];
            if current != rank {
                continue;
            }
            let gone = list[next as usize];
            list[next as usize].rank = NONE;
            let new = self.made[rank as usize];
            let mut merged = Symbol { id: new, rank: NONE, previous, next: gone.next };
            if let Some(after) = list.get_mut(gone.next as usize) {
                after.previous = at;
                merged.rank = self.rank(new, after.id);
                if merged.rank != NONE {
                    heap.push(Reverse(u64::from(merged.rank) << 32 | u64::from(at)));
                }
            }
            list[at as usize] = merged;
            if let Some(before) = list.get_mut(previous as usize) {
                before.rank = self.rank(before.id, new);
                if before.rank != NONE {
                    heap.push(Reverse(u64::from(before.rank) << 32 | u64::from(previous)));
                }
            }
        }
        let mut at = 0;
        while let Some(symbol) = list.get(at as usize) {
            ids.push(symbol.id);
            at = symbol.next;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Pairs of early letters merge, by an order that is not theirs.
    fn some() -> Merges {
        let mut pairs = Vec::new();
        let mut known: Vec<u32> = (97..101).collect();
        let mut state = 1_u32;
        for new in 256..400 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let left = known[(state >> 8) as usize % known.len()];
            let right = known[(state >> 20) as usize % known.len()];
            pairs.push(Some((left, right, new)));
            known.push(new);
        }
        Merges::new(&pairs).unwrap()
    }

    /// The rule, word for word.
    fn plainly(merges: &Merges, word: &[u32]) -> Vec<u32> {
        let mut ids = word.to_vec();
        loop {
            let ranks = ids.windows(2).map(|two| merges.rank(two[0], two[1]));
            let Some((rank, at)) = ranks.zip(0..).filter(|&(rank, _)| rank != NONE).min() else {
                return ids;
            };
            ids.splice(at..at + 2, [merges.made[rank as usize]]);
        }
    }

    #[test]
    fn short_and_long_words_follow_the_rule() {
        let merges = some();
        let mut scratch = Scratch::default();
        let mut state = 7_u32;
        for length in (1..400).chain([SHORT - 1, SHORT, SHORT + 1]) {
            let word: Vec<u32> = (0..length)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    97 + (state >> 24) % 5
                })
                .collect();
            let expected = plainly(&merges, &word);
            let mut ids = Vec::new();
            merges.apply(&word, &mut scratch, &mut ids);
            assert_eq!(ids, expected);
            ids.clear();
            merges.apply_long(word.iter().copied(), &mut scratch, &mut ids);
            assert_eq!(ids, expected);
        }
    }

    #[test]
    fn a_megabyte_is_no_trap() {
        let merges = some();
        let mut ids = Vec::new();
        merges.apply(&vec![97; 1 << 20], &mut Scratch::default(), &mut ids);
        assert!(!ids.is_empty());
    }

    #[test]
    fn the_later_of_two_equal_pairs_counts() {
        let pairs = [Some((97, 98, 256)), Some((98, 99, 257)), Some((97, 98, 256))];
        let merges = Merges::new(&pairs).unwrap();
        let mut ids = Vec::new();
        merges.apply(&[97, 98, 99], &mut Scratch::default(), &mut ids);
        assert_eq!(ids, [97, 257]);
        assert!(Merges::new(&[Some((1 << 20, 98, 256))]).is_none());
    }
}
