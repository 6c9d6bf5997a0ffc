//! Runs of spaces that are added tokens, the longest first.

use crate::tokenize::file::AddedToken;
use crate::tokenize::unit::Unit;

/// The ids of runs of 2, 3, 4 ... spaces.
#[derive(Debug, Default)]
pub struct Spaces {
    ids: Vec<u32>,
}

impl Spaces {
    /// Whether this token consists of two or more spaces only.
    pub fn is_one(token: &AddedToken) -> bool {
        token.content.len() >= 2 && token.content.bytes().all(|byte| byte == b' ')
    }

    /// The runs among `tokens`. `None` if a length between two and the longest is missing, or if a token
    /// also strips white space around it.
    pub fn new<'a>(tokens: impl Iterator<Item = &'a AddedToken>) -> Option<Self> {
        let mut runs: Vec<_> = tokens.filter(|token| Self::is_one(token)).collect();
        runs.sort_by_key(|token| token.content.len());
        let plain = |token: &AddedToken| !(token.single_word || token.lstrip || token.rstrip);
        let in_order =
            |(length, token): (usize, &&AddedToken)| token.content.len() == length && plain(token);
        let all = (2..).zip(&runs).all(in_order);
        all.then(|| Self { ids: runs.iter().map(|token| token.id).collect() })
    }

    /// Whether there are no runs.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Number of spaces in the longest run; 0 if there are none.
    pub fn longest(&self) -> usize {
        if self.ids.is_empty() { 0 } else { self.ids.len() + 1 }
    }

    /// The id of a word, if it is such a run.
    #[inline]
    pub fn id(&self, word: &[u8]) -> Option<u32> {
        if self.ids.is_empty() || !word.starts_with(b"  ") {
            return None;
        }
        // Only a run of spaces begins with two spaces.
        self.ids.get(word.len() - 2).copied()
    }

    /// Cut runs that are longer than the longest token. False if a single space remains, since it
    /// belongs to the word after it.
    pub fn cut(&self, text: &[u8], units: &mut Vec<Unit>) -> bool {
        let longest = self.longest();
        let is_long = |unit: &Unit| {
            let word = &text[unit.start as usize..unit.end as usize];
            word.len() > longest && word.starts_with(b"  ")
        };
        if !units.iter().any(is_long) {
            return true;
        }
        for unit in std::mem::take(units) {
            let Unit { mut start, end } = unit;
            if is_long(&unit) {
                let step = u32::try_from(longest).unwrap_or(u32::MAX);
                while end - start > step {
                    units.push(Unit { start, end: start + step });
                    start += step;
                }
                if end - start == 1 {
                    return false;
                }
            }
            units.push(Unit { start, end });
        }
        true
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn token(content: &str, id: u32) -> AddedToken {
        AddedToken {
            id,
            content: content.into(),
            single_word: false,
            lstrip: false,
            rstrip: false,
            normalized: true,
            special: false,
        }
    }

    #[test]
    fn long_runs_are_cut_from_the_left() {
        let tokens = [token("    ", 7), token("  ", 9), token("x", 1), token("   ", 8)];
        let spaces = Spaces::new(tokens.iter()).unwrap();
        assert_eq!(
            [b"  ".as_slice(), b"    ", b" x"].map(|word| spaces.id(word)),
            [Some(9), Some(7), None]
        );
        let cut = |count: u32| {
            let mut units = vec![Unit { start: 0, end: count }];
            let fits = spaces.cut(&vec![b' '; count as usize], &mut units);
            (fits, units.iter().map(|unit| unit.end - unit.start).collect::<Vec<_>>())
        };
        assert_eq!(cut(4), (true, vec![4]));
        assert_eq!(cut(10), (true, vec![4, 4, 2]));
        assert!(!cut(9).0);
        assert!(Spaces::new([token("   ", 1)].iter()).is_none());
        assert!(Spaces::new([token("x", 1)].iter()).unwrap().is_empty());
    }
}
