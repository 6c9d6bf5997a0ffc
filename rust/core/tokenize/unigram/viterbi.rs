//! The best segmentation of a text into pieces.
//!
//! It matches the library to the last bit: scores are added from the left, the first of equal
//! candidates wins, candidates are ordered by their start, an unknown character costs ten more than
//! the least likely piece, and adjacent unknown characters form one token.
//!
//! Where a text is a part of what the library segments, its sums begin with another number than 0, and
//! are rounded otherwise. [`Pieces::encode_part`] finds the paths that are the best of all in any case.

use super::alphabet::Alphabet;
use super::sentences::LONGEST;
use super::trie::Trie;

/// The cost of an unknown character beyond the lowest score.
pub const PENALTY: f64 = 10.0;
/// Marks an unknown character in place of a node.
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
    /// The ids of the 256 bytes, if unknown text is encoded as bytes.
    bytes: Option<Box<[u32; 256]>>,
    /// By code: no piece that begins with it has a higher score. Empty if there are positive
    /// scores.
    bounds: Vec<f64>,
    /// For each code of a text, two sums that differ by more than this are in the same order wherever in a
    /// document of at most [`LONGEST`] codes they begin.
    rounding: f64,
}

/// Texts of more codes than this are segmented without look-ahead, which would not pay off.
const LOOK_AHEAD: usize = 96;

/// The best path to a position between two characters.
#[derive(Debug, Clone, Copy)]
struct Best {
    score: f64,
    start: u32,
    node: u32,
}

const UNREACHED: Best = Best { score: f64::NEG_INFINITY, start: 0, node: UNKNOWN };

/// Buffers of a thread.
#[derive(Debug, Clone, Default)]
pub struct Lattice {
    best: Vec<Best>,
    /// The second best score to each position, where it is asked for.
    second: Vec<f64>,
    /// The nodes of the best path, from the end, and their starts.
    way: Vec<(u32, u32)>,
}

impl Pieces {
    /// Pieces with scores from `least` to `most`; `bounds` holds, for each code, the highest score of
    /// pieces that begin with it.
    #[must_use]
    pub fn new(
        trie: Trie,
        (least, most): (f64, f64),
        mut bounds: Vec<f64>,
        unknown_id: Option<u32>,
        bytes: Option<Box<[u32; 256]>>,
    ) -> Self {
        let unknown_score = least - PENALTY;
        for bound in &mut bounds {
            *bound = bound.max(unknown_score);
        }
        if unknown_score > 0.0 || bounds.iter().any(|&bound| bound > 0.0) {
            bounds.clear();
        }
        // Each of a path's sums is rounded by at most half of the last bit of the largest one.
        let largest = f64::from(LONGEST) * unknown_score.abs().max(most);
        let rounding = 4.0 * largest * f64::EPSILON;
        Self { trie, unknown_score, unknown_id, bytes, bounds, rounding }
    }

    /// The id of the piece of these codes, if it does not stand for what is unknown.
    pub fn known(&self, codes: &[u32]) -> Option<u32> {
        self.trie.find(codes).filter(|&id| Some(id) != self.unknown_id)
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
        self.find_ways::<false>(codes, 0.0, lattice);
        lattice.trace(codes.len());
        self.write(codes, alphabet, lattice, ids)
    }

    /// The same for a part of a text, which ends where no piece goes on; false also if another path could
    /// be as good, depending on the text before.
    pub fn encode_part(
        &self,
        codes: &[u32],
        alphabet: &Alphabet,
        lattice: &mut Lattice,
        ids: &mut Vec<u32>,
    ) -> bool {
        #[allow(clippy::cast_precision_loss)] // a unit's length
        let slack = self.rounding * (codes.len() + 1) as f64;
        self.find_ways::<true>(codes, slack, lattice);
        lattice.trace(codes.len());
        lattice.leads_by(slack, codes.len()) && self.write(codes, alphabet, lattice, ids)
    }

    /// Append the ids of the path that was found.
    fn write(
        &self,
        codes: &[u32],
        alphabet: &Alphabet,
        lattice: &Lattice,
        ids: &mut Vec<u32>,
    ) -> bool {
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

    /// Fill the lattice for `codes`.
    ///
    /// A position is skipped if no path through it can be the best: scores are not positive, so that a
    /// path's score only falls, rounded or not, and the score of one complete path is known. If `SECOND`,
    /// the second best scores are found, too, where they are less than `slack` below the best.
    fn find_ways<const SECOND: bool>(&self, codes: &[u32], slack: f64, lattice: &mut Lattice) {
        let Lattice { best, second, .. } = lattice;
        if SECOND {
            second.clear();
            second.resize(codes.len() + 1, f64::NEG_INFINITY);
        }
        best.clear();
        best.resize(codes.len() + 1, UNREACHED);
        best[0].score = 0.0;
        self.offer_from::<SECOND>(0, codes, best, second);
        let known = if codes.len() > LOOK_AHEAD || self.bounds.is_empty() {
            f64::NEG_INFINITY
        } else {
            self.look_ahead(codes, best) - slack
        };
        for (start, &code) in codes.iter().enumerate().skip(1) {
            let bound = match self.bounds.get(code as usize) {
                Some(&bound) => bound,
                None if self.bounds.is_empty() => 0.0,
                None => self.unknown_score,
            };
            if best[start].score + bound >= known {
                self.offer_from::<SECOND>(start, codes, best, second);
            }
        }
    }

    /// Add all pieces that begin at `start`.
    #[inline]
    fn offer_from<const SECOND: bool>(
        &self,
        start: usize,
        codes: &[u32],
        best: &mut [Best],
        second: &mut [f64],
    ) {
        let Some((till, ends)) = best[start..].split_first_mut() else { return };
        let Some((&code, rest)) = codes[start..].split_first() else { return };
        #[allow(clippy::cast_possible_truncation)] // a unit's length fits 32 bits
        let from = start as u32;
        let mut offer = |end: &mut Best, at: usize, score: f64, node: u32| {
            if SECOND {
                let second = &mut second[start + 1 + at];
                *second = second.max(score.min(end.score));
            }
            end.offer(score, from, node);
        };
        let mut next = self.trie.first(code);
        if next.is_none_or(|(_, node)| node.score == f64::NEG_INFINITY) {
            offer(&mut ends[0], 0, self.unknown_score + till.score, UNKNOWN);
        }
        let mut codes = rest.iter();
        for (at, end) in ends.iter_mut().enumerate() {
            let Some((place, node)) = next else { break };
            offer(end, at, node.score + till.score, place);
            next = codes.next().and_then(|&code| self.trie.next(place, node, code));
        }
    }

    /// The score of one complete path: greedily the longest pieces, from the left.
    fn look_ahead(&self, codes: &[u32], best: &[Best]) -> f64 {
        let reached = best.iter().rposition(|best| best.score > f64::NEG_INFINITY).unwrap_or(0);
        let (mut start, mut score) = (reached, best[reached].score);
        while let Some((&code, rest)) = codes.get(start..).and_then(<[u32]>::split_first) {
            let (mut length, mut longest) = (1, self.unknown_score);
            let mut next = self.trie.first(code);
            let mut codes = rest.iter();
            for reach in 1.. {
                let Some((place, node)) = next else { break };
                if node.score > f64::NEG_INFINITY {
                    (length, longest) = (reach, node.score);
                }
                next = codes.next().and_then(|&code| self.trie.next(place, node, code));
            }
            score += longest;
            start += length;
        }
        score
    }

    /// The ids of unknown text, which may be a piece as a whole.
    fn unknown(&self, codes: &[u32], unknown: u32, alphabet: &Alphabet, ids: &mut Vec<u32>) {
        if let Some(id) = self.trie.find(codes) {
            ids.push(id);
        } else if let Some(bytes) = &self.bytes {
            let characters = codes.iter().filter_map(|&code| alphabet.character(code));
            let before = ids.len();
            for character in characters {
                let mut buffer = [0; 4];
                let spelled = character.encode_utf8(&mut buffer).bytes();
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
    /// Whether the path's score leads by more than `slack` at each of its places, up to the end at
    /// `length`.
    fn leads_by(&self, slack: f64, length: usize) -> bool {
        let leads = |end: usize| self.best[end].score - self.second[end] > slack;
        leads(length) && self.way.iter().all(|&(start, _)| start == 0 || leads(start as usize))
    }

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
