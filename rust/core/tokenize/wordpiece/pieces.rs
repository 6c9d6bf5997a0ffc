//! The model: greedy longest match from left to right.

use crate::{Error, Result};

/// Marks a node at which no token ends.
const NONE: u32 = u32::MAX;
/// The roots of the tries for the starts of words and for their continuations.
const WORD: u32 = 0;
const REST: u32 = 1;

/// Bits of a node's number, and of a character.
const BITS: u32 = 21;

/// Characters below this have their edges from the roots in a table by themselves: those of a script lie side
/// by side in it.
const DIRECT: usize = 0x1_0000;

/// The vocabulary as two trees of characters, their edges in one table.
pub struct Pieces {
    /// An edge: its target in the low bits, above it its source node and character; 0 if empty.
    edges: Vec<u64>,
    /// By character, the targets of the edges from both roots; 0 if there is none.
    starts: [Box<[u32]>; 2],
    nodes: Vec<Node>,
    unknown: Option<u32>,
    longest: usize,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    /// The token that ends here.
    token: u32,
    /// Whether some token goes on.
    goes_on: bool,
}

const NO_NODE: Node = Node { token: NONE, goes_on: false };

impl Pieces {
    /// Hold the tokens of `vocabulary`; words of more than `longest` characters are unknown, and
    /// ASCII punctuation is a separate word.
    ///
    /// # Errors
    /// A vocabulary of more than a million characters in all.
    pub fn new(
        vocabulary: &[(&str, u32)],
        prefix: &str,
        unknown: Option<u32>,
        longest: usize,
    ) -> Result<Self> {
        let all: usize = vocabulary.iter().map(|(token, _)| token.chars().count()).sum();
        // A token may be in both trees.
        if all >= 1 << (BITS - 1) {
            let found = format!("a vocabulary of {all} characters");
            return Err(Error::Pipeline { part: "model", found });
        }
        let mut pieces = Self {
            edges: vec![0; 1 << 12],
            starts: [0; 2].map(|none| vec![none; DIRECT].into()),
            nodes: vec![NO_NODE; 2],
            unknown,
            longest,
        };
        for &(token, id) in vocabulary {
            // A word may begin with any token, prefix and all, if words can look like that.
            if token.len() == 1 || !token.starts_with(|first: char| first.is_ascii_punctuation()) {
                pieces.insert(WORD, token, id);
            }
            if let Some(rest) = token.strip_prefix(prefix) {
                pieces.insert(REST, rest, id);
            }
        }
        Ok(pieces)
    }

    /// Append the ids of a word; false if it is unknown and there is no unknown token.
    pub fn encode(&self, word: &[char], ids: &mut Vec<u32>) -> bool {
        let before = ids.len();
        if word.len() > self.longest {
            return self.give_up(before, ids);
        }
        let (mut start, mut root) = (0, WORD);
        while start < word.len() {
            let (mut node, mut end, mut found) = (root, start, None);
            while let Some(&character) = word.get(end) {
                let next = if node == root {
                    self.first(root, character)
                } else {
                    self.next(node, character)
                };
                let Some(next) = next else { break };
                node = next;
                end += 1;
                let Node { token, goes_on } = self.nodes[node as usize];
                if token != NONE {
                    found = Some((end, token));
                }
                if !goes_on {
                    break;
                }
            }
            let Some((end, token)) = found else { return self.give_up(before, ids) };
            ids.push(token);
            start = end;
            root = REST;
        }
        true
    }

    /// The node behind a root.
    #[inline]
    fn first(&self, root: u32, character: char) -> Option<u32> {
        match self.starts[root as usize].get(character as usize) {
            Some(0) => None,
            Some(&node) => Some(node),
            None => self.next(root, character),
        }
    }

    /// The node behind another one.
    #[inline]
    fn next(&self, node: u32, character: char) -> Option<u32> {
        let edge = self.edges[self.place(key(node, character))];
        (edge != 0).then(|| target(edge))
    }

    fn give_up(&self, before: usize, ids: &mut Vec<u32>) -> bool {
        ids.truncate(before);
        ids.extend(self.unknown);
        self.unknown.is_some()
    }

    fn insert(&mut self, root: u32, token: &str, id: u32) {
        let mut node = root;
        for character in token.chars() {
            let key = key(node, character);
            let place = self.place(key);
            let edge = self.edges[place];
            if edge != 0 {
                node = target(edge);
                continue;
            }
            let next = u32::try_from(self.nodes.len()).unwrap_or(NONE);
            self.nodes[node as usize].goes_on = true;
            if node == root
                && let Some(start) = self.starts[root as usize].get_mut(character as usize)
            {
                *start = next;
            }
            self.nodes.push(NO_NODE);
            self.edges[place] = key << BITS | u64::from(next);
            node = next;
            if self.nodes.len() * 2 > self.edges.len() {
                self.grow();
            }
        }
        self.nodes[node as usize].token = id;
    }

    fn grow(&mut self) {
        let larger = vec![0; self.edges.len() * 2];
        for edge in std::mem::replace(&mut self.edges, larger) {
            if edge != 0 {
                let place = self.place(edge >> BITS);
                self.edges[place] = edge;
            }
        }
    }

    /// The index of the edge with this key, or of its empty slot.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // half of the bits are enough
    fn place(&self, key: u64) -> usize {
        let last = self.edges.len() - 1;
        let mut at = (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize & last;
        loop {
            let edge = self.edges[at];
            if edge == 0 || edge >> BITS == key {
                return at;
            }
            at = (at + 1) & last;
        }
    }
}

#[inline]
fn key(node: u32, character: char) -> u64 {
    u64::from(node) << BITS | u64::from(character)
}

#[inline]
#[allow(clippy::cast_possible_truncation)] // the lowest bits
fn target(edge: u64) -> u32 {
    edge as u32 & ((1 << BITS) - 1)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn ids(pieces: &Pieces, word: &str) -> Option<Vec<u32>> {
        let mut ids = Vec::new();
        let word: Vec<char> = word.chars().collect();
        pieces.encode(&word, &mut ids).then_some(ids)
    }

    #[test]
    fn the_longest_piece_comes_first_and_is_not_taken_back() {
        let vocabulary = [
            ("un", 1),
            ("una", 2),
            ("##able", 3),
            ("##ble", 4),
            ("é", 5),
            ("##é", 6),
            ("😀x", 7),
            ("##😀", 8),
        ];
        let pieces = Pieces::new(&vocabulary, "##", Some(0), 6).unwrap();
        assert_eq!(ids(&pieces, "unable"), Some(vec![2, 4]));
        assert_eq!(ids(&pieces, "unéable"), Some(vec![0]));
        assert_eq!(ids(&pieces, "éé"), Some(vec![5, 6]));
        assert_eq!(ids(&pieces, "ééééééé"), Some(vec![0]));
        assert_eq!(ids(&pieces, "unx"), Some(vec![0]));
        assert_eq!(ids(&pieces, "😀x😀"), Some(vec![7, 8]));
        assert_eq!(ids(&pieces, "😀"), Some(vec![0]));
        assert_eq!(ids(&pieces, "able"), Some(vec![0]));
        assert_eq!(ids(&pieces, "##able"), Some(vec![0]));
        assert_eq!(ids(&Pieces::new(&vocabulary, "##", None, 6).unwrap(), "x"), None);
    }
}
