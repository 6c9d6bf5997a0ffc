//! Punctuation after words, if no piece spans the border between them.
//!
//! Then the best path to the end is the best path to the punctuation plus the one piece that follows,
//! so that a word in the memo need not be segmented again with a comma after it.

use rustc_hash::FxHashSet;

use super::alphabet::{Alphabet, WHITE};
use super::words::{Tables, Words};

/// Characters that end units on their own.
#[derive(Debug, Default)]
pub struct Tails {
    /// By byte of ASCII: the code and the id of a piece of this character alone.
    pieces: Vec<Option<(u32, u32)>>,
    /// Such characters and the ones before them, by code, that some piece holds side by side.
    joined: FxHashSet<(u32, u32)>,
}

impl Tails {
    /// Tails of `pieces`; `id` returns the id of a piece.
    pub fn new<'a>(
        pieces: impl Iterator<Item = &'a str>,
        alphabet: &Alphabet,
        id: impl Fn(&[u32]) -> Option<u32>,
    ) -> Self {
        let known = |byte: u8| {
            let code = alphabet.code(char::from(byte));
            let lone = byte.is_ascii_punctuation().then(|| id(&[code]));
            Some((code, lone??))
        };
        let mut tails = Self { pieces: (0..0x80).map(known).collect(), ..Self::default() };
        for piece in pieces {
            let bytes = piece.as_bytes();
            for at in (1..bytes.len()).filter(|&at| bytes[at].is_ascii_punctuation()) {
                if let Some(before) = piece[..at].chars().next_back() {
                    let code = alphabet.code(char::from(bytes[at]));
                    tails.joined.insert((alphabet.code(before), code));
                }
            }
        }
        tails
    }

    /// The id of the last character of `unit`, and the text before it, if that text is encoded
    /// independently.
    pub fn cut<'u>(
        &self,
        unit: &'u str,
        words: &mut Words,
        tables: &Tables,
    ) -> Option<(&'u str, u32)> {
        let last = *unit.as_bytes().last()?;
        let (code, id) = (*self.pieces.get(usize::from(last))?)?;
        let stem = &unit[..unit.len() - 1];
        let before = words.lone_code(stem.chars().next_back()?, tables)?;
        let space = tables.alphabet.code(tables.splitting.space);
        let apart = before != WHITE && before != space && !self.joined.contains(&(before, code));
        (apart && words.lone_code(char::from(last), tables) == Some(code)).then_some((stem, id))
    }
}

#[cfg(test)]
mod tests {
    use super::super::charsmap::tests::charsmap;
    use super::super::splitting::{Apart, Prepend, Splitting};
    use super::super::stages::Stages;
    use super::*;

    #[test]
    fn punctuation_is_cut_where_no_piece_goes_across() {
        let mut alphabet = Alphabet::default();
        let pieces = ["\u{2581}", "a", "b", ",", ".", "b.", "é!", "!", "?"];
        for character in pieces.iter().flat_map(|piece| piece.chars()) {
            alphabet.add(character);
        }
        let id = |codes: &[u32]| (codes != [alphabet.code('?')]).then_some(codes[0]);
        let tails = Tails::new(pieces.into_iter(), &alphabet, id);
        let splitting = Splitting {
            space: '\u{2581}',
            at_white: true,
            prepend: Prepend::Always,
            at_space: true,
            apart: Apart::default(),
        };
        let stages = Stages::with_charsmap(charsmap(&[("B", "b"), ("\t", " ")]));
        let tables = Tables { stages, alphabet, splitting, exceptions: vec![u32::from('x')] };
        let mut words = Words::default();
        let mut cut = |unit| tails.cut(unit, &mut words, &tables).map(|(stem, _)| stem);
        assert_eq!(cut("ab,"), Some("ab"));
        assert_eq!(cut("aé."), Some("aé"));
        assert_eq!(cut("a,,"), Some("a,"));
        for whole in [
            "",
            ",",
            "ab",
            "ab.",
            "aB.",
            "aé!",
            "a?",
            "ax,",
            "a\u{301},",
            "\u{2581},",
            "a\t,",
            "a。",
        ] {
            assert_eq!(cut(whole), None, "{whole:?}");
        }
    }
}
