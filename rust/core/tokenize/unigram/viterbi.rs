//! The best segmentation of a text into pieces.
//!
//! Equal to the library's to the last bit: scores are added from the left, the first of equal
//! candidates stays, candidates for a place come by where they start, an unknown character costs ten
//! more than the least likely piece, and unknown neighbours are one token.

use super::alphabet::Alphabet;
use super::trie::Trie;

/// What an unknown character costs beyond the least score.
const PENALTY: f64 = 10.0;
/// Stands for an unknown character in place of a node.
const UNKNOWN: u32 = u32::MAX;

/// A vocabulary with scores.
#[derive(Debug, Clone)]
pub struct Pieces {
    /// The pieces by their codes.
    pub trie: Trie,
    /// The score of an unknown character.
    unknown_score: f64,
    /// The id of unknown text.
    unknown_id: Option<u32>,
    /// The ids of the 256 bytes, if unknown text is to be spelled with them.
    bytes: Option<Box<[u32; 256]>>,
}

/// The best way to a place between two characters.
#[derive(Debug, Clone, Copy)]
struct Best {
    score: f64,
    start: u32,
    node: u32,
}

const UNREACHED: Best = Best { score: f64::NEG_INFINITY, start: 0, node: UNKNOWN };

/// Room to work in.
#[derive(Debug, Clone, Default)]
pub struct Lattice {
    best: Vec<Best>,
    /// The nodes of the best way, from the end, and where they start.
    way: Vec<(u32, u32)>,
}

impl Pieces {
    /// Pieces of which the least likely has score `least`.
    #[must_use]
    pub fn new(
        trie: Trie,
        least: f64,
        unknown_id: Option<u32>,
        bytes: Option<Box<[u32; 256]>>,
    ) -> Self {
        Self { trie, unknown_score: least - PENALTY, unknown_id, bytes }
    }

    /// Append the ids of a text of these codes; false if something is unknown and there is no id
    /// for it.
    pub fn encode(
        &self,
        codes: &[u32],
        alphabet: &Alphabet,
        lattice: &mut Lattice,
        ids: &mut Vec<u32>,
    ) -> bool {
        self.find_ways(codes, lattice);
        lattice.trace(codes.len());
        let mut way = lattice.way.iter().rev().copied().peekable();
        let is_unknown = |node| node == UNKNOWN || Some(self.trie.id(node)) == self.unknown_id;
        while let Some((start, node)) = way.next() {
            if !is_unknown(node) {
                ids.push(self.trie.id(node));
                continue;
            }
            let Some(unknown) = self.unknown_id else { return false };
            while way.next_if(|&(_, node)| is_unknown(node)).is_some() {}
            let end = way.peek().map_or(codes.len(), |&(end, _)| end as usize);
            self.unknown(&codes[start as usize..end], unknown, alphabet, ids);
        }
        true
    }

    fn find_ways(&self, codes: &[u32], lattice: &mut Lattice) {
        let best = &mut lattice.best;
        best.clear();
        best.resize(codes.len() + 1, UNREACHED);
        best[0].score = 0.0;
        let trie = &self.trie;
        for (start, &code) in (0_u32..).zip(codes) {
            let (rest, ends) = (&codes[start as usize + 1..], &mut best[start as usize..]);
            let Some((till, ends)) = ends.split_first_mut() else { return };
            let mut found = trie.first(code);
            if found.is_none_or(|(_, node)| node.score == f64::NEG_INFINITY) {
                ends[0].offer(self.unknown_score + till.score, start, UNKNOWN);
            }
            let mut codes = rest.iter();
            for end in ends {
                let Some((place, node)) = found else { break };
                end.offer(node.score + till.score, start, place);
                found = codes.next().and_then(|&code| trie.next(place, node, code));
            }
        }
    }

    /// The ids of unknown text. What is put together from unknown characters may be a piece.
    fn unknown(&self, codes: &[u32], unknown: u32, alphabet: &Alphabet, ids: &mut Vec<u32>) {
        if let Some(id) = self.trie.find(codes) {
            ids.push(id);
        } else if let Some(bytes) = &self.bytes {
            let characters = codes.iter().filter_map(|&code| alphabet.character(code));
            let before = ids.len();
            for character in characters {
                let mut room = [0; 4];
                let spelled = character.encode_utf8(&mut room).bytes();
                ids.extend(spelled.map(|byte| bytes[usize::from(byte)]));
            }
            if ids[before..].contains(&UNKNOWN) {
                ids.truncate(before);
                ids.push(unknown);
            }
        } else {
            ids.push(unknown);
        }
    }
}

impl Best {
    #[inline]
    fn offer(&mut self, score: f64, start: u32, node: u32) {
        if score > self.score {
            *self = Self { score, start, node };
        }
    }
}

impl Lattice {
    fn trace(&mut self, length: usize) {
        self.way.clear();
        let mut end = length;
        while end > 0 {
            let Best { start, node, .. } = self.best[end];
            self.way.push((start, node));
            end = start as usize;
        }
    }
}
