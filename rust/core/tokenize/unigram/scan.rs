//! Finding units: they end at ASCII white space, unless something joins across it.

use fearless_simd::prelude::*;
use fearless_simd::u8x64;

use super::alphabet::WHITE;
use super::edges::Edges;
use super::runs::Runs;
use super::words::Tables;
use crate::tokenize::unit::Unit;

const BLOCK: usize = 64;

/// Finds units.
#[derive(Debug)]
pub struct Scanner {
    /// The bytes at which units end, possibly with duplicates.
    white: [u8; 4],
    /// How runs of white space become words, where they do.
    pub(super) runs: Option<Runs>,
    pub(super) edges: Edges,
}

/// Bytes that may have a border on both sides: the visible ASCII characters.
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic()
}

impl Scanner {
    /// Units end at the bytes `white`, at least one and at most four. `None` if a visible ASCII
    /// character joins with white space.
    #[must_use]
    pub fn new(white: &[u8], runs: Option<Runs>, tables: &Tables) -> Option<Self> {
        let mut bytes = [*white.first()?; 4];
        bytes.get_mut(..white.len())?.copy_from_slice(white);
        let scanner = Self { white: bytes, runs, edges: Edges::new(runs.is_some()) };
        let fits = |byte| {
            let edge = scanner.edges.of(char::from(byte), tables);
            edge.starts() && edge.ends()
        };
        (0..0x80).filter(|&byte| is_plain(byte)).all(fits).then_some(scanner)
    }

    /// Find the units of `text`.
    pub fn scan<S: Simd>(&self, simd: S, text: &str, tables: &Tables, units: &mut Vec<Unit>) {
        let odd = simd.vectorize(
            #[inline(always)]
            || self.find(simd, text.as_bytes(), units),
        );
        if let Some(runs) = self.runs {
            self.with_runs(text, runs, tables, units);
        } else if odd {
            self.join(text, tables, units);
        }
    }

    /// Whether units end at line breaks.
    #[must_use]
    pub fn ends_at_line_breaks(&self) -> bool {
        self.is_white(b'\n')
    }

    /// Whether `byte` ends units.
    #[inline]
    #[must_use]
    pub fn is_white(&self, byte: u8) -> bool {
        self.white.contains(&byte)
    }

    /// Whether nothing but the unit itself decides its words. Its own characters do not show where a space
    /// at its edge comes from.
    #[must_use]
    pub fn is_certain(&self, unit: &str, codes: &[u32], space: u32, tables: &Tables) -> bool {
        let spaced = |code: Option<&u32>| code.is_none_or(|&code| code == space || code == WHITE);
        let starts = unit.chars().next().is_none_or(|first| self.starts(first, tables));
        let ends = unit.chars().next_back().is_none_or(|last| self.ends(last, tables));
        self.runs.is_none() || !(starts && spaced(codes.first()) || ends && spaced(codes.last()))
    }

    /// Find runs of bytes other than `white`; true if there are other bytes than these and visible ASCII.
    #[inline(always)]
    fn find<S: Simd>(&self, simd: S, text: &[u8], units: &mut Vec<Unit>) -> bool {
        // At most every other byte begins a unit.
        let most = text.len() / 2 + BLOCK;
        if units.len() < most {
            units.resize(most, Unit { start: 0, end: 0 });
        }
        let (mut starts, mut ends) = (0, 0);
        let (mut base, mut before, mut odd) = (0_u32, 1, 0);
        let (blocks, tail) = text.as_chunks::<BLOCK>();
        // White space after the text ends its last unit.
        let mut last = [self.white[0]; BLOCK];
        last[..tail.len()].copy_from_slice(tail);
        for block in blocks.iter().chain([&last]) {
            let (white, plain) = self.masks(simd, block);
            odd |= !(white | plain);
            let edges = white ^ (white << 1 | before);
            before = white >> 63;
            // The next block overwrites what is written after the last edge.
            let mut bits = edges & !white;
            let more = bits.count_ones() as usize;
            for four in units[starts..].chunks_exact_mut(4).take(more.div_ceil(4)) {
                for unit in four {
                    unit.start = base.wrapping_add(bits.trailing_zeros());
                    bits &= bits.wrapping_sub(1);
                }
            }
            starts += more;
            let mut bits = edges & white;
            let more = bits.count_ones() as usize;
            for four in units[ends..].chunks_exact_mut(4).take(more.div_ceil(4)) {
                for unit in four {
                    unit.end = base.wrapping_add(bits.trailing_zeros());
                    bits &= bits.wrapping_sub(1);
                }
            }
            ends += more;
            base = base.wrapping_add(64);
        }
        units.truncate(starts);
        odd != 0
    }

    /// White and plain bytes of a block.
    #[inline(always)]
    fn masks<S: Simd>(&self, simd: S, block: &[u8; BLOCK]) -> (u64, u64) {
        let bytes = u8x64::from_slice(simd, block);
        let [a, b, c, d] = self.white.map(|byte| bytes.simd_eq(byte));
        let plain = (bytes - b'!').simd_le(b'~' - b'!');
        ((a | b | c | d).to_bitmask(), plain.to_bitmask())
    }

    /// Join units that are not independent.
    fn join(&self, text: &str, tables: &Tables, units: &mut Vec<Unit>) {
        let Some(first) = units.first_mut() else { return };
        if !self.begins_at(text, first.start, tables) {
            first.start = 0;
        }
        let mut kept = 0;
        for number in 1..units.len() {
            let (unit, next) = (units[kept], units[number]);
            if self.is_border(text, unit.end, next.start, tables) {
                kept += 1;
                units[kept] = next;
            } else {
                units[kept].end = next.end;
            }
        }
        units.truncate(kept + 1);
        let last = &mut units[kept];
        if !self.ends_at(text, last.end, tables) {
            last.end = u32::try_from(text.len()).unwrap_or(u32::MAX);
        }
    }

    /// The same as [`Self::join`], where white space is more than a border.
    fn with_runs(&self, text: &str, runs: Runs, tables: &Tables, units: &mut Vec<Unit>) {
        let whole = Unit { start: 0, end: u32::try_from(text.len()).unwrap_or(u32::MAX) };
        let found = units.len();
        let Some(&first) = units.first() else {
            units.extend((whole.end > 0).then_some(whole));
            return;
        };
        let mut unit = first;
        if self.begins_at(text, first.start, tables) {
            runs.add(text, 0, &mut unit, units);
        } else {
            unit.start = 0;
        }
        for number in 1..found {
            let mut next = units[number];
            if self.is_border(text, unit.end, next.start, tables) {
                units.push(unit);
                runs.add(text, unit.end, &mut next, units);
                unit = next;
            } else {
                unit.end = next.end;
            }
        }
        let rest = Unit { start: unit.end, end: whole.end };
        if self.ends_at(text, unit.end, tables) {
            units.push(unit);
            units.extend((rest.start < rest.end).then_some(rest));
        } else {
            units.push(Unit { end: whole.end, ..unit });
        }
        units.drain(..found);
    }

    fn is_border(&self, text: &str, end: u32, start: u32, tables: &Tables) -> bool {
        self.ends_at(text, end, tables) && self.begins_at(text, start, tables)
    }

    #[inline]
    fn begins_at(&self, text: &str, start: u32, tables: &Tables) -> bool {
        let start = start as usize;
        is_plain(text.as_bytes()[start])
            || text[start..].chars().next().is_none_or(|first| self.starts(first, tables))
    }

    #[inline]
    fn ends_at(&self, text: &str, end: u32, tables: &Tables) -> bool {
        let end = end as usize;
        is_plain(text.as_bytes()[end - 1])
            || text[..end].chars().next_back().is_none_or(|last| self.ends(last, tables))
    }

    fn starts(&self, character: char, tables: &Tables) -> bool {
        self.edges.of(character, tables).starts()
    }

    fn ends(&self, character: char, tables: &Tables) -> bool {
        self.edges.of(character, tables).ends()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use super::super::alphabet::Alphabet;
    use super::super::charsmap::tests::charsmap;
    use super::super::splitting::{Apart, Prepend, Splitting};
    use super::super::stages::Stages;
    use super::*;
    use crate::tokenize::simd;
    use fearless_simd::{Level, dispatch};
    use proptest::prelude::*;

    pub fn tables(rules: &[(&str, &str)], at_white: bool) -> Tables {
        let splitting = Splitting {
            space: '\u{2581}',
            at_white,
            prepend: Prepend::Always,
            at_space: true,
            apart: Apart::default(),
        };
        let stages = Stages::with_charsmap(charsmap(rules));
        Tables { stages, alphabet: Alphabet::default(), splitting, exceptions: Vec::new() }
    }

    fn scan(text: &str, tables: &Tables, runs: Option<Runs>) -> Vec<String> {
        let scanner = Scanner::new(b" \n\r\t", runs, tables).unwrap();
        let mut units = Vec::new();
        for level in simd::levels() {
            dispatch!(level, simd => scanner.scan(simd, text, tables, &mut units));
            let found = units.clone();
            dispatch!(Level::fallback(), simd => scanner.scan(simd, text, tables, &mut units));
            assert_eq!(found, units, "{text:?}");
        }
        units.iter().map(|unit| text[unit.start as usize..unit.end as usize].into()).collect()
    }

    #[test]
    fn units_end_at_white_space_that_nothing_joins_with() {
        let tables = tables(&[("\n", " ")], true);
        let found = |text| scan(text, &tables, None).join("|");
        assert_eq!(found("  one two.\tthree\r\n"), "one|two.|three");
        assert_eq!(found("हिन्दी की किताब 吾輩は 猫"), "हिन्दी|की|किताब|吾輩は|猫");
        assert_eq!(found("a \u{301}b c"), "a \u{301}b|c");
        assert_eq!(found(" \u{301}b c\u{600} "), " \u{301}b|c\u{600} ");
        assert_eq!(found("a\u{600} b c\u{301} d"), "a\u{600} b|c\u{301}|d");
        assert_eq!(found(" "), "");
    }

    #[test]
    fn white_space_beyond_a_border_is_a_unit_of_its_own() {
        let tables = tables(&[("\u{3000}", " "), ("\r", " ")], false);
        let found = |text, runs| scan(text, &tables, Some(runs)).join("|");
        let single = Runs::Single { line_end: true };
        assert_eq!(found("a b   c\r\nd \r\ne \n", single), "a|b|  |c|d| |e| \n");
        assert_eq!(found("  a \u{3000}b", single), " |a \u{3000}b");
        assert_eq!(found(" \u{2581}b", single), " \u{2581}b");
        assert_eq!(found("  ", single), "  ");
        assert_eq!(found("  a  b ", Runs::Squeezed), "a|b| ");
        assert_eq!(found("  a b  c\r\nd ", Runs::WithWord), "  a|b|  c|\r\nd| ");
        assert_eq!(found(" a \u{3000}b  c  ", Runs::WithWord), "a \u{3000}b|  c|  ");
    }

    proptest! {
        #[test]
        fn blocks_and_single_bytes_say_the_same(
            bytes in prop::collection::vec(prop::sample::select(b" \n\r\tab!~\x0b\x7f\0\xc3\xa9".to_vec()), 0..300),
        ) {
            let tables = tables(&[], true);
            let scanner = Scanner::new(b" \n\r\t", None, &tables).unwrap();
            let is_white = |byte: &u8| b" \n\r\t".contains(byte);
            for level in simd::levels() {
                let mut units = Vec::new();
                let odd = dispatch!(level, simd => scanner.find(simd, &bytes, &mut units));
                let words = bytes.split(is_white).filter(|word| !word.is_empty());
                let found = units.iter().map(|unit| &bytes[unit.start as usize..unit.end as usize]);
                prop_assert!(words.eq(found));
                prop_assert_eq!(odd, bytes.iter().any(|b| !is_white(b) && !is_plain(*b)));
            }
        }
    }
}
