//! Best-fit decreasing: packing whole documents greedily into few blocks.

/// A document in a block, or a piece of a document that is longer than a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment {
    /// Number of the document.
    pub document: usize,
    /// Tokens of the document before this piece.
    pub start: usize,
    /// Tokens of this piece.
    pub len: usize,
}

/// Fragments in the order of their blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// Block by block; within a block in the documents' order.
    pub fragments: Vec<Fragment>,
    /// Block `b` holds `fragments[ends[b]..ends[b + 1]]`; one entry more than there are blocks.
    pub ends: Vec<usize>,
}

/// Pack documents of `lengths` (none empty) into blocks of `capacity` tokens, `gap` of which separate
/// consecutive documents of a block.
///
/// A document longer than `capacity` is first cut into pieces of `capacity` tokens; nothing else is
/// cut.
/// Documents are placed from the longest to the shortest, ties in their order, each into the block
/// with the least remaining space that fits it (best-fit decreasing, as TRL's `bfd`). The blocks are
/// sorted by their first documents, not by creation, so that a store that is read without shuffling
/// does not begin with all the long documents.
///
/// Takes O(documents + capacity) steps: sizes are small integers, so a counting sort suffices, and a
/// bitmap of the available spaces finds the best one.
#[must_use]
pub fn best_fit(lengths: &[usize], capacity: usize, gap: usize) -> Packed {
    let fragments = cut(lengths, capacity);
    let total: usize = fragments.iter().map(|fragment| fragment.len + gap).sum();
    // Each document costs a gap, the last of a block into space that no token can use.
    let capacity = (capacity + gap).min(total);
    let longest = fragments.iter().map(|fragment| fragment.len).max().unwrap_or(0);
    let shortest = fragments.iter().map(|fragment| fragment.len).min().unwrap_or(0);
    let mut open = OpenBlocks::new(capacity);
    let mut block_of = vec![0; fragments.len()];
    for number in by_falling_length(&fragments, longest) {
        let weight = fragments[number].len + gap;
        let (block, space) = open.best(weight);
        block_of[number] = block;
        if space - weight >= shortest + gap {
            open.put(block, space - weight);
        }
    }
    arrange(&fragments, &block_of, open.count())
}

fn cut(lengths: &[usize], capacity: usize) -> Vec<Fragment> {
    let mut fragments = Vec::with_capacity(lengths.len());
    for (document, &length) in lengths.iter().enumerate() {
        let mut start = 0;
        while start < length {
            let len = capacity.min(length - start);
            fragments.push(Fragment { document, start, len });
            start += len;
        }
    }
    fragments
}

/// Numbers of the fragments, longest first, equal ones in their order.
fn by_falling_length(fragments: &[Fragment], longest: usize) -> Vec<usize> {
    let mut next = vec![0; longest + 2];
    for fragment in fragments {
        next[longest - fragment.len + 1] += 1;
    }
    for at in 1..next.len() {
        next[at] += next[at - 1];
    }
    let mut order = vec![0; fragments.len()];
    for (number, fragment) in fragments.iter().enumerate() {
        let slot = &mut next[longest - fragment.len];
        order[*slot] = number;
        *slot += 1;
    }
    order
}

fn arrange(fragments: &[Fragment], block_of: &[usize], blocks: usize) -> Packed {
    let mut renumbered = vec![usize::MAX; blocks];
    let mut ends = vec![0; blocks + 1];
    let mut seen = 0;
    for &block in block_of {
        if renumbered[block] == usize::MAX {
            renumbered[block] = seen;
            seen += 1;
        }
        ends[renumbered[block] + 1] += 1;
    }
    for at in 1..ends.len() {
        ends[at] += ends[at - 1];
    }
    let mut next = ends.clone();
    let mut arranged = vec![Fragment { document: 0, start: 0, len: 0 }; fragments.len()];
    for (fragment, &block) in fragments.iter().zip(block_of) {
        let slot = &mut next[renumbered[block]];
        arranged[*slot] = *fragment;
        *slot += 1;
    }
    Packed { fragments: arranged, ends }
}

const NONE: usize = usize::MAX;

/// Blocks by the space they have left: a stack of blocks for each space, and a bitmap of the
/// spaces whose stack is not empty, with a bitmap of its words above it, and so on.
struct OpenBlocks {
    capacity: usize,
    tops: Vec<usize>,
    below: Vec<usize>,
    levels: Vec<Vec<u64>>,
}

impl OpenBlocks {
    fn new(capacity: usize) -> Self {
        let mut levels = Vec::new();
        let mut bits = capacity + 1;
        loop {
            let words = bits.div_ceil(64);
            levels.push(vec![0; words]);
            if words == 1 {
                break;
            }
            bits = words;
        }
        Self { capacity, tops: vec![NONE; capacity + 1], below: Vec::new(), levels }
    }

    fn count(&self) -> usize {
        self.below.len()
    }

    /// Take the block with the least space that fits `weight`, or a new one; return it with its space.
    fn best(&mut self, weight: usize) -> (usize, usize) {
        let Some(space) = self.at_least(weight) else {
            self.below.push(NONE);
            return (self.below.len() - 1, self.capacity);
        };
        let block = self.tops[space];
        self.tops[space] = self.below[block];
        if self.tops[space] == NONE {
            let mut at = space;
            for level in &mut self.levels {
                level[at / 64] &= !(1 << (at % 64));
                if level[at / 64] != 0 {
                    break;
                }
                at /= 64;
            }
        }
        (block, space)
    }

    fn put(&mut self, block: usize, space: usize) {
        self.below[block] = self.tops[space];
        self.tops[space] = block;
        let mut at = space;
        for level in &mut self.levels {
            level[at / 64] |= 1 << (at % 64);
            at /= 64;
        }
    }

    /// The least space from `weight` up that a block has.
    fn at_least(&self, weight: usize) -> Option<usize> {
        let mut at = weight;
        for (height, level) in self.levels.iter().enumerate() {
            let word = level.get(at / 64)? & (u64::MAX << (at % 64));
            if word != 0 {
                at = at / 64 * 64 + word.trailing_zeros() as usize;
                for lower in self.levels[..height].iter().rev() {
                    at = at * 64 + lower[at].trailing_zeros() as usize;
                }
                return Some(at);
            }
            at = at / 64 + 1;
        }
        None
    }
}
