//! Cutting a text where no merge joins what is on both sides.

use fearless_simd::Simd;

use super::SPACE;
use super::pairs::{CLASSES, HIGH, Pairs};
use crate::tokenize::bpe::block::{
    BLOCK, Block, bytes_at, end_units, leads, reserve, write_borders,
};
use crate::tokenize::bpe::classes::EXCEPTION;
use crate::tokenize::bpe::joins::{JOINS_AFTER, JOINS_BEFORE};
use crate::tokenize::bpe::utf8;
use crate::tokenize::bpe::wide::halves;
use crate::tokenize::unit::Unit;

/// The tables for cutting.
pub struct Scanner {
    /// Pairs of classes between which texts are cut.
    cuts: Vec<(usize, usize)>,
    at_line_breaks: bool,
    /// Properties of all code points.
    table: Box<[u8]>,
}

impl Scanner {
    /// Cut between what is not in `pairs`; leave texts with one of `exceptions` to the library.
    pub fn new(pairs: &Pairs, exceptions: &[u32]) -> Self {
        let mut table = vec![0; 0x11_0000].into_boxed_slice();
        pairs.joins.mark(&mut table);
        // A text may hold the sign for spaces itself.
        for &code in exceptions.iter().chain(&[SPACE as u32]) {
            if let Some(flags) = table.get_mut(code as usize) {
                *flags |= EXCEPTION;
            }
        }
        Self { cuts: pairs.cuts(), at_line_breaks: pairs.cuts_at_line_breaks(), table }
    }

    /// Whether texts can be cut between a letter or digit and a line break.
    pub fn cuts_at_line_breaks(&self) -> bool {
        self.at_line_breaks
    }

    /// Put the units of `text`, which is UTF-8 and shorter than 4 GB, into `units`. False if the library
    /// must encode it.
    pub fn scan<S: Simd>(&self, simd: S, text: &[u8], units: &mut Vec<Unit>) -> bool {
        simd.vectorize(
            #[inline(always)]
            || self.find(simd, text, units),
        )
    }

    #[inline(always)]
    fn find<S: Simd>(&self, simd: S, text: &[u8], units: &mut Vec<Unit>) -> bool {
        let (mut carry, mut forced, mut count) = ([0; CLASSES], 0, 0);
        reserve(units, count);
        units[0].start = 0;
        for base in (0..text.len()).step_by(BLOCK) {
            let mut padded = [0; BLOCK];
            let (bytes, valid) = bytes_at(text, base, &mut padded);
            let Block { classes: [letter, number, other, white], space, high, .. } =
                Block::of(simd, bytes);
            let classes = [letter, number, other, white & !space, space, high];
            let mut firsts = classes;
            let mut starts = forced;
            forced = 0;
            if high != 0 {
                firsts[HIGH] = leads(simd, bytes);
                let Some(more) = self.wide(text, base, firsts[HIGH]) else { return false };
                let [now, later] = halves(more);
                starts |= now;
                forced = later;
            }
            let mut before = carry;
            for (before, class) in before.iter_mut().zip(&classes) {
                *before |= class << 1;
            }
            for &(left, right) in &self.cuts {
                starts |= before[left] & firsts[right];
            }
            starts &= valid;
            carry = classes.map(|class| class >> (BLOCK - 1));
            if base == 0 {
                starts &= !1;
            }
            #[allow(clippy::cast_possible_truncation)] // texts of less than 4 GB
            let base = base as u32;
            reserve(units, count);
            count += write_borders(&mut units[count..], base, starts);
        }
        end_units(units, count, text.len());
        true
    }

    /// Where the characters that begin at `leads` cut the text; `None` if one is for the library.
    #[inline(never)]
    fn wide(&self, text: &[u8], base: usize, mut leads: u64) -> Option<u128> {
        let mut forced = 0;
        while leads != 0 {
            let bit = leads.trailing_zeros() as usize;
            leads &= leads - 1;
            let Some((code, length)) = utf8::decode(text, base + bit) else { continue };
            let flags = self.table.get(code as usize).copied().unwrap_or(EXCEPTION);
            if flags & EXCEPTION != 0 {
                return None;
            }
            forced |= u128::from(flags & JOINS_BEFORE == 0) << bit;
            forced |= u128::from(flags & JOINS_AFTER == 0) << (bit + length);
        }
        Some(forced)
    }
}

#[cfg(test)]
mod tests {
    use fearless_simd::dispatch;

    use super::*;
    use crate::tokenize::simd;

    /// The rule, two characters at a time.
    fn plainly<'t>(text: &'t str, joined: &dyn Fn(char, char) -> bool) -> Vec<&'t str> {
        let mut units = Vec::new();
        let mut start = 0;
        for ((_, left), (at, right)) in text.char_indices().zip(text.char_indices().skip(1)) {
            if !joined(left, right) {
                units.push(&text[start..at]);
                start = at;
            }
        }
        units.extend(Some(&text[start..]).filter(|rest| !rest.is_empty()));
        units
    }

    fn units<'t>(scanner: &Scanner, text: &'t str) -> Option<Vec<&'t str>> {
        let mut all = simd::levels().into_iter().map(|level| {
            let mut units = Vec::new();
            let known = dispatch!(level, simd => scanner.scan(simd, text.as_bytes(), &mut units));
            let text_of = |unit: &Unit| &text[unit.start as usize..unit.end as usize];
            known.then(|| units.iter().map(text_of).collect::<Vec<_>>())
        });
        let first = all.next().flatten();
        assert!(all.all(|other| other == first), "{text:?}");
        first
    }

    #[test]
    fn texts_are_cut_where_no_merge_joins() {
        let mut pairs = Pairs::default();
        for (left, right) in
            [(SPACE, SPACE), (SPACE, 'a'), ('a', 'b'), ('a', 'é'), ('é', '語'), ('.', ')')]
        {
            pairs.add(left, right);
        }
        assert!(!pairs.has_spaces_within() && pairs.cuts_at_line_breaks());
        let scanner = Scanner::new(&pairs, &[0x1f4a9]);
        let class = |c: char| match c {
            ' ' => 0,
            _ if c.is_ascii_alphabetic() => 1,
            _ if c.is_ascii_digit() => 2,
            '\t'..='\r' => 3,
            _ if c.is_ascii() => 4,
            _ => 5,
        };
        let joined = |left, right| match (class(left), class(right)) {
            (0, 0 | 1) | (1, 1) | (4, 4) => true,
            (1, 5) => matches!(right, 'é' | '語'),
            // One joins with what is after it, the other with what is before it.
            (5, 5) => left == 'é' && matches!(right, 'é' | '語'),
            _ => false,
        };
        let alphabet =
            [" ", "  ", "a", "Z", "1", ".", "\n", "é", "語", "本", "😀", "aé", "é語", "\0"];
        let mut state = 1_u32;
        for length in 0..2000 {
            let mut text = String::new();
            for _ in 0..length % 100 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                text += alphabet[(state >> 16) as usize % alphabet.len()];
            }
            assert_eq!(units(&scanner, &text), Some(plainly(&text, &joined)), "{text:?}");
        }
        assert_eq!(units(&scanner, "a 💩"), None);
        assert_eq!(units(&scanner, "a\u{2581}b"), None);
    }

    #[test]
    fn words_stay_whole() {
        let mut pairs = Pairs::default();
        pairs.add('a', SPACE);
        assert!(pairs.has_spaces_within());
        pairs.cut_before_spaces();
        pairs.join_words();
        assert!(!pairs.has_spaces_within() && !pairs.cuts_at_line_breaks());
        let scanner = Scanner::new(&pairs, &[]);
        let found = units(&scanner, "a.é語\n1  b 😀");
        assert_eq!(found, Some(vec!["a.é語\n1", " ", " b", " 😀"]));
    }
}
