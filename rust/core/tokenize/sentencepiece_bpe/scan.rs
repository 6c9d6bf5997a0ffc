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
