//! Classifying non-ASCII characters one by one, since they are rare in most texts.

use unicode_normalization::char::canonical_combining_class;

use super::block::{BLOCK, Block};
use super::classes::{CLASS, Classes, LETTER, MARK, WHITE};
use super::joins::{JOINS_AFTER, JOINS_BEFORE};
use super::utf8;

/// The bits that non-ASCII characters add to a block; bits from 64 on belong to the next block.
#[derive(Default)]
pub struct Wide {
    pub forced: u128,
    pub flags: u8,
    pub disorder: bool,
    /// The end of the last combining mark, and its code point.
    mark: Option<(usize, u32)>,
}

/// Add the non-ASCII characters that begin at the bytes `leads` of the block.
#[inline(never)]
pub fn add_wide(
    text: &[u8],
    base: usize,
    mut leads: u64,
    classes: &Classes,
    block: &mut Block,
    spill: &mut [u64; 4],
    wide: &mut Wide,
) {
    for (class, spilt) in block.classes.iter_mut().zip(&mut *spill) {
        *class |= std::mem::take(spilt);
    }
    let mut later = [0; 4];
    let (mut letters, mut forced) = (0, 0);
    while leads != 0 {
        let bit = leads.trailing_zeros() as usize;
        leads &= leads - 1;
        let at = base + bit;
        let Some((code, length)) = utf8::decode(text, at) else { continue };
        let flags = classes.of(code);
        wide.flags |= flags;
        if flags & (CLASS | MARK) == LETTER && bit + length < BLOCK {
            // Most characters: the rest does the same in two halves.
            letters |= ((1 << length) - 1) << bit;
            forced |= u64::from(flags & JOINS_BEFORE == 0) << bit;
            forced |= u64::from(flags & JOINS_AFTER == 0) << (bit + length);
            continue;
        }
        let class = usize::from(flags & CLASS);
        let [now, over] = halves(((1 << length) - 1) << bit);
        block.classes[class] |= now;
        later[class] |= over;
        wide.forced |= u128::from(flags & JOINS_BEFORE == 0) << bit;
        wide.forced |= u128::from(flags & JOINS_AFTER == 0) << (bit + length);
        if class == usize::from(WHITE) && is_solid(text, at + length, classes) {
            wide.forced |= 1 << bit;
        }
        if flags & MARK != 0 {
            if let Some((end, before)) = wide.mark
                && end == at
                && combining(before) > combining(code)
            {
                wide.disorder = true;
            }
            wide.mark = Some((at + length, code));
        }
    }
    block.classes[usize::from(LETTER)] |= letters;
    wide.forced |= u128::from(forced);
    *spill = later;
}

fn combining(code: u32) -> u8 {
    char::from_u32(code).map_or(0, canonical_combining_class)
}

/// Whether there is a character other than white space at `at`.
#[inline(always)]
pub fn is_solid(text: &[u8], at: usize, classes: &Classes) -> bool {
    match text.get(at) {
        None => false,
        Some(byte) if byte.is_ascii() => !matches!(byte, b' ' | b'\t'..=b'\r'),
        // Never called within a character, so any value will do.
        Some(_) => {
            utf8::decode(text, at).is_some_and(|(code, _)| classes.of(code) & CLASS != WHITE)
        }
    }
}

/// The lower half, and the upper.
#[inline(always)]
#[allow(clippy::cast_possible_truncation)] // which is the point
pub fn halves(bits: u128) -> [u64; 2] {
    [bits as u64, (bits >> BLOCK) as u64]
}
