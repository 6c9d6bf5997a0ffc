//! Finding units, 64 bytes at a time.

use fearless_simd::prelude::*;
use fearless_simd::{i8x64, u8x64};

use super::super::unit::Unit;
use super::classes::{Classes, Kind};

const BLOCK: usize = 64;

/// The classes of 64 bytes, one bit per byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Masks {
    /// Space, tabulator, line feed, carriage return.
    space: u64,
    /// ASCII punctuation.
    alone: u64,
    /// Non-ASCII bytes.
    high: u64,
}

/// Appends units to a buffer.
struct UnitWriter<'a> {
    units: &'a mut Vec<Unit>,
    count: usize,
    /// Whether the last unit may continue.
    open: bool,
}

/// Put the units of `text` into `units`. False if the library must encode it.
pub fn scan<S: Simd>(simd: S, text: &str, classes: &Classes, units: &mut Vec<Unit>) -> bool {
    simd.vectorize(
        #[inline(always)]
        || find(simd, text, classes, units),
    )
}

#[inline(always)]
fn find<S: Simd>(simd: S, text: &str, classes: &Classes, units: &mut Vec<Unit>) -> bool {
    let bytes = text.as_bytes();
    if u32::try_from(bytes.len() + BLOCK).is_err() {
        return false;
    }
    let mut writer = UnitWriter { units, count: 0, open: false };
    let mut at = 0;
    while at < bytes.len() {
        let mut padded = [b' '; BLOCK];
        let rest = &bytes[at..];
        let (block, length) = if let Some(block) = rest.first_chunk() {
            (block, BLOCK)
        } else {
            padded[..rest.len()].copy_from_slice(rest);
            (&padded, rest.len())
        };
        let masks = masks_of(simd, block);
        let ascii = (masks.high.trailing_zeros() as usize).min(length);
        if ascii > 0 {
            writer.block(at, ascii, masks);
            at += ascii;
        }
        if masks.high != 0 {
            let Some(after) = writer.characters(text, at, classes) else { return false };
            at = after;
        }
    }
    let UnitWriter { units, count, .. } = writer;
    units.truncate(count);
    true
}

impl UnitWriter<'_> {
    /// The first `length` bytes of a block of ASCII at `base`.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)] // `scan` looks at the text's length
    fn block(&mut self, base: usize, length: usize, masks: Masks) {
        if self.units.len() < self.count + BLOCK {
            self.units.resize(2 * (self.count + BLOCK), Unit { start: 0, end: 0 });
        }
        let here = u64::MAX >> (BLOCK - length);
        let word = !(masks.space | masks.alone) & here;
        let alone = masks.alone & here;
        let word_before = word << 1 | u64::from(self.open);
        let mut starts = alone | word & !word_before;
        // A unit that is open at the end of the block ends there, unless the next block extends it.
        let mut ends = (alone << 1 | word_before & !word) & here;
        if length < BLOCK {
            ends |= 1 << length;
        }
        let base = base as u32;
        // The previous unit, if it is open; else an element that the next unit overwrites.
        self.units[self.count - usize::from(self.open)].end = base + ends.trailing_zeros();
        ends &= ends.wrapping_sub(u64::from(self.open));
        let more = starts.count_ones() as usize;
        let room = &mut self.units[self.count..self.count + BLOCK];
        for four in room.chunks_exact_mut(4).take(more.div_ceil(4)) {
            for unit in four {
                unit.start = base + starts.trailing_zeros();
                unit.end = base + ends.trailing_zeros();
                starts &= starts.wrapping_sub(1);
                ends &= ends.wrapping_sub(1);
            }
        }
        self.count += more;
        self.open = word >> (length - 1) & 1 != 0;
    }

    /// Add characters from `from` on, as long as most are not ASCII. Return their end; `None` if one is
    /// left to the library.
    #[inline(always)]
    fn characters(&mut self, text: &str, from: usize, classes: &Classes) -> Option<usize> {
        let bytes = text.as_bytes();
        for (offset, character) in text[from..].char_indices() {
            let at = from + offset;
            if character.is_ascii() && bytes.get(at + 1).is_none_or(u8::is_ascii) {
                return Some(at);
            }
            self.character(at, character, classes)?;
        }
        Some(text.len())
    }

    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)] // `scan` looks at the text's length
    fn character(&mut self, at: usize, character: char, classes: &Classes) -> Option<()> {
        let end = (at + character.len_utf8()) as u32;
        let kind = classes.of(character).kind();
        match kind {
            Kind::Space => {}
            Kind::Library => return None,
            Kind::Word if self.open => self.units[self.count - 1].end = end,
            Kind::Word | Kind::Alone => {
                if self.units.len() == self.count {
                    self.units.resize(2 * self.count + BLOCK, Unit { start: 0, end: 0 });
                }
                self.units[self.count] = Unit { start: at as u32, end };
                self.count += 1;
            }
        }
        self.open = kind == Kind::Word;
        Some(())
    }
}

/// Classify a block.
#[inline(always)]
fn masks_of<S: Simd>(simd: S, block: &[u8; BLOCK]) -> Masks {
    let bytes = u8x64::from_slice(simd, block);
    let signed: i8x64<S> = bytes.bitcast();
    let is = |byte: u8| bytes.simd_eq(byte);
    let space = is(b' ') | is(b'\t') | is(b'\n') | is(b'\r');
    let letter = ((bytes | 0x20) - b'a').simd_le(b'z' - b'a');
    let digit = (bytes - b'0').simd_le(9);
    let visible = (bytes - b'!').simd_le(b'~' - b'!');
    Masks {
        space: space.to_bitmask(),
        // Not `visible & !(letter | digit)`: with AVX2 and SSE the compiler then goes byte by byte.
        alone: visible.to_bitmask() & !(letter | digit).to_bitmask(),
        high: signed.simd_lt(0).to_bitmask(),
    }
}

#[cfg(test)]
mod tests {
    use fearless_simd::dispatch;
    use proptest::prelude::*;

    use super::super::classes::Options;
    use super::*;
    use crate::tokenize::simd;

    fn classes() -> Classes {
        let options = Options { clean: true, ideographs_apart: true, strip: true, lowercase: true };
        Classes::new(options, &[0x2e48])
    }

    /// The same, character by character.
    fn slow(text: &str, classes: &Classes) -> Option<Vec<Unit>> {
        let mut units = Vec::new();
        let mut writer = UnitWriter { units: &mut units, count: 0, open: false };
        for (at, character) in text.char_indices() {
            writer.character(at, character, classes)?;
        }
        let count = writer.count;
        units.truncate(count);
        Some(units)
    }

    fn fast(text: &str, classes: &Classes) -> Option<Vec<Unit>> {
        let results = simd::levels().into_iter().map(|level| {
            let mut units = Vec::new();
            let known = dispatch!(level, simd => scan(simd, text, classes, &mut units));
            known.then_some(units)
        });
        let results: Vec<_> = results.collect();
        assert!(results.iter().all(|one| one == &results[0]), "{text:?}");
        results[0].clone()
    }

    #[test]
    fn every_ascii_character_has_its_place() {
        let classes = classes();
        for byte in 0..128_u8 {
            for around in ["", "a", "  ", ".."] {
                for before in 0..70 {
                    let text = format!("{}{around}{}{around}", "x".repeat(before), byte as char);
                    assert_eq!(fast(&text, &classes), slow(&text, &classes), "{text:?}");
                }
            }
        }
    }

    #[test]
    fn ideographs_and_punctuation_stand_alone() {
        let texts = |text: &str| -> Vec<String> {
            let units = fast(text, &classes()).unwrap_or_default();
            units.iter().map(|unit| text[unit.start as usize..unit.end as usize].into()).collect()
        };
        assert_eq!(
            texts("a 吾輩は猫で\u{3000}ある。"),
            ["a", "吾", "輩", "は", "猫", "で", "ある", "。"]
        );
        assert_eq!(texts("x\u{0}y\u{b}z “no” a≮b"), ["x\u{0}y\u{b}z", "“", "no", "”", "a≮b"]);
        assert_eq!(fast("a \u{2e48}", &classes()), None);
    }

    proptest! {
        #[test]
        fn blocks_give_what_characters_give(
            text in "([ -~]{0,40}|[a-z \n]{0,70}|[\\PC]{0,9}|[“” ’é猫。а-я]{0,30}|\\s|\\x00){0,12}",
        ) {
            let classes = CLASSES.get_or_init(classes);
            prop_assert_eq!(fast(&text, classes), slow(&text, classes));
        }
    }

    static CLASSES: std::sync::OnceLock<Classes> = std::sync::OnceLock::new();
}
