//! Which characters merges join.
//!
//! A merge joins two adjacent symbols: the last character of the left one, and the first of the right
//! one. Between two characters that no merge joins so, those on the left do not affect those on the
//! right, so a text can be cut there.

use super::SPACE;
use crate::tokenize::bpe::classes::{LETTER, NUMBER, OTHER, WHITE};
use crate::tokenize::bpe::joins::Joins;

/// Classes of characters: four of ASCII as in byte-level BPE (white space without spaces), spaces, and
/// all others.
pub const CLASSES: usize = 6;
/// U+0020.
pub const SPACES: usize = 4;
/// Characters that are not ASCII.
pub const HIGH: usize = 5;
/// `\n` and its like.
pub const LINES: usize = WHITE as usize;

/// The pairs of characters that are joined, by class, and for those that are not ASCII one by one.
#[derive(Default)]
pub struct Pairs {
    joined: [[bool; CLASSES]; CLASSES],
    /// Characters that are not ASCII.
    pub joins: Joins,
}

fn class_of(c: char) -> usize {
    usize::from(match c {
        ' ' | SPACE => return SPACES,
        'a'..='z' | 'A'..='Z' => LETTER,
        '0'..='9' => NUMBER,
        '\t'..='\r' => WHITE,
        _ if c.is_ascii() => OTHER,
        _ => return HIGH,
    })
}

impl Pairs {
    /// Record that a merge joins `left` and `right`.
    pub fn add(&mut self, left: char, right: char) {
        self.joined[class_of(left)][class_of(right)] = true;
        if !(left.is_ascii() && right.is_ascii()) {
            let plain = |c| if c == SPACE { ' ' } else { c };
            let mut both = String::new();
            both.extend([left, right].map(plain));
            self.joins.add(both.as_bytes());
        }
    }

    /// Join all pairs but those with a space on the right.
    pub fn join_words(&mut self) {
        self.joins = Joins::all();
        for joined in &mut self.joined {
            joined[..SPACES].fill(true);
            joined[HIGH] = true;
        }
    }

    /// Join nothing to a space after it.
    pub fn cut_before_spaces(&mut self) {
        for joined in &mut self.joined {
            joined[SPACES] = false;
        }
    }

    /// Whether some merge joins a space to a character of another class before it.
    pub fn has_spaces_within(&self) -> bool {
        self.joined.iter().enumerate().any(|(left, joined)| left != SPACES && joined[SPACES])
    }

    /// Whether a text may be cut between a letter or digit and a line break.
    pub fn cuts_at_line_breaks(&self) -> bool {
        [LETTER, NUMBER].iter().all(|&class| !self.joined[usize::from(class)][LINES])
    }

    /// The pairs of classes that no merge joins.
    pub fn cuts(&self) -> Vec<(usize, usize)> {
        let all = (0..CLASSES).flat_map(|left| (0..CLASSES).map(move |right| (left, right)));
        all.filter(|&(left, right)| !self.joined[left][right]).collect()
    }
}
