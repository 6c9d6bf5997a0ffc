//! White space, other characters and line breaks in GPT-4's way to split text.

use super::block::{BLOCK, Block};
use super::classes::{CLASS, Classes, WHITE};
use super::utf8;

/// What one block passes to the next, in the lowest bit of each.
#[derive(Default)]
pub struct Carry {
    /// Line breaks that belong to the other characters before them.
    taken: u64,
    /// Other line breaks.
    line: u64,
    /// White space that a letter takes before it.
    blank: u64,
    rest: u64,
    /// The first of other characters, which ends there.
    lone: u64,
}

/// The bytes of a block by class.
pub struct Masks {
    pub letter: u64,
    pub other: u64,
    pub white: u64,
    /// Whether the block before ended in another character.
    pub before_other: u64,
    /// The first bytes of runs of other characters that do not follow a single space.
    pub others: u64,
    /// Bytes that continue a character.
    pub continues: u64,
}

/// Where words begin.
pub struct Starts {
    /// In white space.
    pub white: u64,
    /// Letters that belong to the character before them.
    pub taken_letters: u64,
    /// White space that is no line break, nor one that other characters take.
    pub blank: u64,
}

/// Find the words of white space, and what letters take before them.
///
/// Other characters take the line breaks after them. In the rest of a run of white space, a word ends
/// after the last line break, and then the last character belongs to what follows. A letter takes the
/// character before it, if that is white space or the only one of other characters.
#[inline(always)]
pub fn starts(
    text: &[u8],
    base: usize,
    classes: &Classes,
    block: &Block,
    masks: &Masks,
    carry: &mut Carry,
) -> Starts {
    let Masks { letter, other, white, before_other, others, continues } = *masks;
    let line = block.line & white;
    let seeds = line & (other << 1 | before_other | carry.taken);
    let taken = line & !line.wrapping_add(seeds);
    let rest = white & !taken;
    let blank = rest & !line;

    let mut after_line = blank & (line << 1 | carry.line);
    let mut candidates = after_line;
    while candidates != 0 {
        let at = candidates.trailing_zeros();
        candidates &= candidates - 1;
        let end = at + (blank >> at).trailing_ones();
        let goes_on = if end < u64::BITS {
            line >> end & 1 == 1
        } else {
            line_follows(text, base + BLOCK, classes)
        };
        if goes_on {
            after_line &= !(1 << at);
        }
    }

    let (ends, over) = continues.overflowing_add(others << 1 | carry.lone);
    let taken_letters = letter & (blank << 1 | carry.blank | ends & !continues);
    let first = rest & !(rest << 1 | carry.rest);
    *carry = Carry {
        taken: taken >> (BLOCK - 1),
        line: line >> (BLOCK - 1),
        blank: blank >> (BLOCK - 1),
        rest: rest >> (BLOCK - 1),
        lone: others >> (BLOCK - 1) | u64::from(over),
    };
    Starts { white: first | after_line, taken_letters, blank }
}

/// Whether the white space from `at` on holds a line break; `at` may be within a character of it.
#[inline(never)]
fn line_follows(text: &[u8], mut at: usize, classes: &Classes) -> bool {
    while text.get(at).is_some_and(|&byte| utf8::continues(byte)) {
        at += 1;
    }
    while let Some((code, length)) = utf8::decode(text, at) {
        if matches!(code, 0xa | 0xd) {
            return true;
        }
        let white = if code < 0x80 {
            matches!(code, 0x20 | 0x9 | 0xb | 0xc)
        } else {
            classes.of(code) & CLASS == WHITE
        };
        if !white {
            return false;
        }
        at += length;
    }
    false
}
