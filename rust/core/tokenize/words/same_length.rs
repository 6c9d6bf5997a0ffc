//! A choice between literal texts most of which have one length, as the 6-mers of Nucleotide Transformer.
//!
//! Walking the tree of [`Literals`], each byte waits for the one before it. Here a word is looked up as a
//! whole, and the next one begins at a place that is known beforehand, so that the processor works on
//! several at once.

use std::collections::HashSet;

use super::literals::Literals;

/// Maximum length of a literal in bytes: one load has it all.
const LOADED: usize = 8;
/// Marks a slot without a word.
const NONE: u32 = u32::MAX;
/// An odd number with irregular bits, for hashing.
const MIXER: u64 = 0x9e37_79b9_7f4a_7c15;

/// The ids of literals of one length that win wherever they occur.
pub struct SameLength {
    length: usize,
    /// The bits of a loaded word that belong to the literal.
    mask: u64,
    shift: u32,
    /// Literals and their ids, at the first free place from the hash on.
    slots: Vec<(u64, u32)>,
}

impl SameLength {
    /// The literals of the most frequent length that have one id each, according to `id_of` their
    /// numbers; `None` if the lengths of most of them differ.
    pub fn new(
        literals: &[String],
        tree: &Literals,
        id_of: impl Fn(usize) -> Option<u32>,
    ) -> Option<Self> {
        let mut counts = [0_usize; LOADED + 1];
        for literal in literals.iter().filter(|literal| literal.len() <= LOADED) {
            counts[literal.len()] += 1;
        }
        let length = (2..=LOADED).max_by_key(|&length| counts[length])?;
        if counts[length] == 0 || counts[length] * 2 < literals.len() {
            return None;
        }
        let places = (counts[length] * 2).next_power_of_two();
        let mut all = Self {
            length,
            mask: u64::MAX >> (64 - 8 * length),
            shift: 64 - places.trailing_zeros(),
            slots: vec![(0, NONE); places],
        };
        // The beginnings of longer literals that win over their beginning.
        let of_longer: HashSet<&[u8]> = literals
            .iter()
            .map(String::as_bytes)
            .filter(|bytes| bytes.len() > length)
            .filter(|bytes| tree.at(bytes).is_some_and(|(_, found)| found != length))
            .map(|bytes| &bytes[..length])
            .collect();
        for literal in literals.iter().filter(|literal| literal.len() == length) {
            let bytes = literal.as_bytes();
            if let Some((number, found)) = tree.at(bytes)
                && found == length
                && !of_longer.contains(bytes)
                && let Some(id) = id_of(number)
            {
                let place = all.find(load(bytes));
                all.slots[place] = (load(bytes), id);
            }
        }
        all.slots.iter().any(|&(_, id)| id != NONE).then_some(all)
    }

    /// The slot of a word, or the free one where it would be.
    #[inline(always)]
    fn find(&self, word: u64) -> usize {
        let mut place = self.place(word);
        while self.slots[place].0 != word && self.slots[place].1 != NONE {
            place = (place + 1) & (self.slots.len() - 1); // a power of two
        }
        place
    }

    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)] // there are as many slots as the rest counts
    fn place(&self, word: u64) -> usize {
        (word.wrapping_mul(MIXER) >> self.shift) as usize
    }

    /// Give `sink` the ids of the literals that `text` begins with; return their length together.
    ///
    /// It stops before the end of the text and at whatever the tree must decide.
    #[inline(always)]
    pub fn ids(&self, text: &[u8], mut sink: impl FnMut(u32)) -> usize {
        let mut at = 0;
        while let Some(bytes) = text.get(at..at + LOADED) {
            let (_, id) = self.slots[self.find(load(bytes) & self.mask)];
            if id == NONE {
                break;
            }
            sink(id);
            at += self.length;
        }
        at
    }
}

/// The first bytes of a text as a number.
#[inline(always)]
fn load(text: &[u8]) -> u64 {
    let mut bytes = [0; LOADED];
    let length = text.len().min(LOADED);
    bytes[..length].copy_from_slice(&text[..length]);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::rng::mix;

    /// One of `all`.
    fn pick<'a, T>(all: &'a [T], draw: &mut dyn FnMut(u64) -> u64) -> &'a T {
        &all[usize::try_from(draw(all.len() as u64)).unwrap()]
    }

    /// What the tree finds one after the other, as the ids of the literals: their numbers.
    fn by_tree(tree: &Literals, text: &[u8]) -> (Vec<u32>, usize) {
        let (mut ids, mut at) = (Vec::new(), 0);
        while let Some((number, length)) = tree.at(&text[at..]) {
            ids.push(u32::try_from(number).unwrap());
            at += length;
        }
        (ids, at)
    }

    #[test]
    fn what_it_finds_is_what_the_tree_finds() {
        let mut draws = 0..;
        let mut draw = |below: u64| mix(draws.next().unwrap()) % below;
        for round in 0..300_u64 {
            let length = 2 + draw(7);
            let alphabet = &["A", "C", "G", "é"][..if round % 2 == 0 { 3 } else { 4 }];
            let word = |draw: &mut dyn FnMut(u64) -> u64, length: u64| -> String {
                (0..length).map(|_| *pick(alphabet, draw)).collect()
            };
            let count = 1 + draw(60);
            let mut literals: Vec<_> = (0..count)
                .map(|_| {
                    let other = if draw(5) == 0 { 1 + draw(10) } else { length };
                    word(&mut draw, other)
                })
                .collect();
            literals.dedup();
            let tree = Literals::new(&literals);
            let found = SameLength::new(&literals, &tree, |number| u32::try_from(number).ok());
            let Some(fast) = found else { continue };
            for _ in 0..20 {
                let text: String = (0..draw(12))
                    .map(|_| match draw(8) {
                        0 => word(&mut draw, 1),
                        _ => pick(&literals, &mut draw).clone(),
                    })
                    .collect();
                let (expected, _) = by_tree(&tree, text.as_bytes());
                let mut ids = Vec::new();
                let end = fast.ids(text.as_bytes(), |id| ids.push(id));
                assert!(expected.starts_with(&ids), "{literals:?} in {text:?}");
                let (rest, _) = by_tree(&tree, &text.as_bytes()[end..]);
                assert_eq!([ids, rest].concat(), expected, "{literals:?} in {text:?}");
            }
        }
    }

    #[test]
    fn most_words_are_found_without_the_tree() {
        let literals: Vec<String> = (0..64)
            .map(|number| (0..3).map(|at| ["A", "C", "G", "T"][number >> (2 * at) & 3]).collect())
            .chain(["A", "C", "G", "T", "N"].map(String::from))
            .collect();
        let tree = Literals::new(&literals);
        let fast = SameLength::new(&literals, &tree, |number| u32::try_from(number).ok()).unwrap();
        let text = "ACGTTGCAACGTACGTACGT";
        let mut count = 0;
        assert_eq!(fast.ids(text.as_bytes(), |_| count += 1), 15);
        assert_eq!(count, 5);
        assert_eq!(fast.ids(b"ACGNACGTACGT", |_| ()), 3);
    }
}
