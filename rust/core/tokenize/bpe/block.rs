//! Classes of 64 bytes at a time, as bit masks: bit n is byte n.

use fearless_simd::prelude::*;
use fearless_simd::{i8x64, u8x64};

use super::classes::{LETTER, NUMBER, OTHER, WHITE};
use crate::tokenize::unit::Unit;

/// Bytes of a block.
pub const BLOCK: usize = 64;

/// What the bytes of a block are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Block {
    /// One mask per class; bytes of non-ASCII characters are in none of them.
    pub classes: [u64; 4],
    /// Spaces (U+0020), which are also in the class of white space.
    pub space: u64,
    /// Apostrophes, which are also in the class of other characters.
    pub apostrophe: u64,
    /// `\r` and `\n`, which are also in the class of white space.
    pub line: u64,
    /// Bytes of non-ASCII characters.
    pub high: u64,
}

impl Block {
    /// Classify 64 bytes.
    #[inline(always)]
    pub fn of<S: Simd>(simd: S, bytes: &[u8; BLOCK]) -> Self {
        let bytes = u8x64::from_slice(simd, bytes);
        let space = bytes.simd_eq(b' ');
        let signed: i8x64<S> = bytes.bitcast();
        Self::with(
            ((bytes | 0x20) - b'a').simd_le(25).to_bitmask(),
            (bytes - b'0').simd_le(9).to_bitmask(),
            (space | (bytes - b'\t').simd_le(4)).to_bitmask(),
            space.to_bitmask(),
            bytes.simd_eq(b'\'').to_bitmask(),
            (bytes.simd_eq(b'\n') | bytes.simd_eq(b'\r')).to_bitmask(),
            signed.simd_lt(0).to_bitmask(),
        )
    }

    /// The same, byte by byte.
    #[cfg(test)]
    pub fn plainly(bytes: &[u8; BLOCK]) -> Self {
        let mask = |is: fn(u8) -> bool| {
            bytes.iter().rev().fold(0, |mask, &byte| mask << 1 | u64::from(is(byte)))
        };
        Self::with(
            mask(|byte| byte.is_ascii_alphabetic()),
            mask(|byte| byte.is_ascii_digit()),
            mask(|byte| matches!(byte, b' ' | b'\t'..=b'\r')),
            mask(|byte| byte == b' '),
            mask(|byte| byte == b'\''),
            mask(|byte| matches!(byte, b'\r' | b'\n')),
            mask(|byte| !byte.is_ascii()),
        )
    }

    #[inline(always)]
    fn with(
        letter: u64,
        number: u64,
        white: u64,
        space: u64,
        apostrophe: u64,
        line: u64,
        high: u64,
    ) -> Self {
        let mut classes = [0; 4];
        classes[usize::from(LETTER)] = letter;
        classes[usize::from(NUMBER)] = number;
        classes[usize::from(OTHER)] = !(letter | number | white | high);
        classes[usize::from(WHITE)] = white;
        Self { classes, space, apostrophe, line, high }
    }
}

/// The block of `text` at `base`, padded with zeros, and which of its bytes are those of the text.
#[inline(always)]
pub fn bytes_at<'t>(
    text: &'t [u8],
    base: usize,
    padded: &'t mut [u8; BLOCK],
) -> (&'t [u8; BLOCK], u64) {
    if let Some(bytes) = text[base..].first_chunk::<BLOCK>() {
        return (bytes, u64::MAX);
    }
    let rest = &text[base..];
    padded[..rest.len()].copy_from_slice(rest);
    (padded, (1 << rest.len()) - 1)
}

/// Reserve space after `count` units for those of a block, and a few more.
#[inline(always)]
pub fn reserve(units: &mut Vec<Unit>, count: usize) {
    if units.len() < count + BLOCK + 4 {
        units.resize(2 * (count + BLOCK), Unit { start: 0, end: 0 });
    }
}

/// Write the ends of a block's units, each of which is the start of the next; return their number.
/// The next block overwrites what is written after the last one.
#[inline(always)]
pub fn write_borders(mut places: &mut [Unit], base: u32, mut borders: u64) -> usize {
    let count = borders.count_ones() as usize;
    for _ in 0..count.div_ceil(4) {
        let Some(five) = places.first_chunk_mut::<5>() else { break };
        for place in 0..4 {
            let border = base.wrapping_add(borders.trailing_zeros());
            borders &= borders.wrapping_sub(1);
            five[place].end = border;
            five[place + 1].start = border;
        }
        places = &mut places[4..];
    }
    count
}

/// End the last of `count` units with the text, which has `length` bytes, and drop those after it.
pub fn end_units(units: &mut Vec<Unit>, mut count: usize, length: usize) {
    if let Ok(end) = u32::try_from(length)
        && end > units[count].start
    {
        units[count].end = end;
        count += 1;
    }
    units.truncate(count);
}

/// The bytes of a block that begin a non-ASCII character.
#[inline(always)]
pub fn leads<S: Simd>(simd: S, bytes: &[u8; BLOCK]) -> u64 {
    let bytes = u8x64::from_slice(simd, bytes);
    bytes.simd_ge(0xc0).to_bitmask()
}

/// Whether there are `length` consecutive ones; `length` is at least 1.
#[inline(always)]
pub fn has_run(mut mask: u64, length: usize) -> bool {
    let mut reached = 1;
    while reached < length && mask != 0 {
        let step = reached.min(length - reached);
        mask &= mask >> step;
        reached += step;
    }
    mask != 0
}

#[cfg(test)]
mod tests {
    use fearless_simd::dispatch;

    use super::*;
    use crate::tokenize::simd;

    #[test]
    fn many_at_a_time_is_one_at_a_time() {
        for first in 0..=u8::MAX {
            for step in [0_u8, 1, 3, 32, 64, 77, 128] {
                let mut bytes = [0; BLOCK];
                for (number, byte) in (0_u8..).zip(&mut bytes) {
                    *byte = first.wrapping_add(number.wrapping_mul(step));
                }
                let expected =
                    bytes.iter().rev().fold(0, |mask, &b| mask << 1 | u64::from(b >= 0xc0));
                for level in simd::levels() {
                    let block = dispatch!(level, simd => Block::of(simd, &bytes));
                    assert_eq!(block, Block::plainly(&bytes));
                    assert_eq!(dispatch!(level, simd => leads(simd, &bytes)), expected);
                }
            }
        }
    }
}
