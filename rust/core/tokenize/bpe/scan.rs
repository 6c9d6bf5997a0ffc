//! Finding the words of a pattern.
//!
//! Words begin where the class changes, but a space belongs to the word after it, and the last
//! character of a run of white space is separate; [`super::lines`] and [`super::numbers`] find what
//! GPT-4's way to split does otherwise. Runs of two and more spaces may be added tokens: then they are a
//! class of their own, and text restarts after them.

use fearless_simd::Simd;

use super::block::{BLOCK, Block, bytes_at, end_units, has_run, leads, reserve, write_borders};
use super::classes::{Classes, EXCEPTION, UNSTABLE, WHITE};
use super::lines::{self, Masks};
use super::numbers::number_starts;
use super::rules::{Rules, ScanFlags};
use super::wide::{Wide, add_wide, halves, is_solid};
use crate::tokenize::unit::Unit;

/// State that one block passes to the next: in the lowest bit of each mask, in `forced` and `removed`
/// in as many bits as needed.
#[derive(Default)]
struct Carry {
    classes: [u64; 4],
    space: u64,
    single: u64,
    double: u64,
    /// Classes of the bytes that a character has in the next block.
    spill: [u64; 4],
    /// Word starts at positions where the classes imply none, and the reverse.
    forced: u64,
    removed: u64,
    lines: lines::Carry,
    /// Characters of the number that the block ends in.
    digits: u32,
}

/// Put the words of `text`, which is UTF-8 and shorter than 4 GB, into `units`.
pub fn scan<S: Simd>(
    simd: S,
    text: &[u8],
    classes: &Classes,
    rules: Rules,
    units: &mut Vec<Unit>,
) -> ScanFlags {
    if rules.pattern.digits.is_some() {
        simd.vectorize(
            #[inline(always)]
            || find::<S, true>(simd, text, classes, rules, units),
        )
    } else {
        simd.vectorize(
            #[inline(always)]
            || find::<S, false>(simd, text, classes, rules, units),
        )
    }
}

#[inline(always)]
fn find<S: Simd, const LINES: bool>(
    simd: S,
    text: &[u8],
    classes: &Classes,
    rules: Rules,
    units: &mut Vec<Unit>,
) -> ScanFlags {
    let Rules { pattern, longest_run } = rules;
    let longest_run = if LINES { 0 } else { longest_run };
    let mut carry = Carry::default();
    let mut wide = Wide::default();
    // If a run is longer than the longest token and crosses a block boundary, at least half of it is
    // on one side.
    let part_of_run = (longest_run / 2 + 1).min(BLOCK);
    let mut many_spaces = false;
    let mut count = 0;
    reserve(units, count);
    units[0].start = 0;
    for base in (0..text.len()).step_by(BLOCK) {
        let mut padded = [0; BLOCK];
        let (bytes, valid) = bytes_at(text, base, &mut padded);
        let mut block = Block::of(simd, bytes);
        let ascii_white = block.classes[usize::from(WHITE)];
        let mut forced = carry.forced;
        carry.forced = 0;
        let mut continues = 0;
        if block.high != 0 {
            wide.forced = 0;
            let leads = leads(simd, bytes);
            continues = block.high & !leads;
            add_wide(text, base, leads, classes, &mut block, &mut carry.spill, &mut wide);
            let [now, later] = halves(wide.forced);
            forced |= now;
            carry.forced = later;
        }
        let space = block.space;
        let double = if longest_run > 0 {
            let next = u64::from(text.get(base + BLOCK) == Some(&b' '));
            space & (space << 1 | carry.space | space >> 1 | next << (BLOCK - 1))
        } else {
            0
        };
        many_spaces |= double != 0 && has_run(double, part_of_run);
        let single = space & !double;
        let [letter, number, other, white] = block.classes.map(|class| class & valid);
        let white = white & !double;
        let solid = letter | number | other;
        let ahead = u64::from(is_solid(text, base + BLOCK, classes));

        let [before_letter, before_number, before_other, before_white] = carry.classes;
        let first = |class: u64, before: u64| class & !(class << 1 | before);
        let after_single = single << 1 | carry.single;
        let others = first(other, before_other) & !after_single;
        // What takes the place of white space whose last character is separate.
        let (blank, mut starts);
        if LINES {
            let masks = Masks { letter, other, white, before_other, others, continues };
            let found = lines::starts(text, base, classes, &block, &masks, &mut carry.lines);
            let most = pattern.digits.unwrap_or(1);
            let numbers = number_starts(number, continues, before_number, most, &mut carry.digits);
            starts = first(letter, before_letter) & !found.taken_letters | numbers | found.white;
            blank = found.blank;
        } else {
            let runs = first(letter, before_letter) | first(number, before_number);
            starts =
                (runs & !after_single) | first(white, before_white) | first(double, carry.double);
            blank = white;
        }
        starts |= others | ascii_white & blank & (solid >> 1 | ahead << (BLOCK - 1));
        let mut removed = carry.removed;
        carry.removed = 0;

        let mut apostrophes =
            block.apostrophe & !(other << 1 | before_other) & !after_single & valid;
        while apostrophes != 0 {
            let at = apostrophes.trailing_zeros() as usize;
            apostrophes &= apostrophes - 1;
            if let Some(length) = pattern.contraction(&text[base + at + 1..]) {
                let [now, later] = halves(2 << at);
                removed |= now;
                carry.removed |= later;
                let [now, later] = halves(1 << (at + 1 + length));
                forced |= now;
                carry.forced |= later;
            }
        }
        starts = (starts & !removed | forced) & valid;
        carry.classes = [letter, number, other, white].map(|class| class >> (BLOCK - 1));
        carry.space = space >> (BLOCK - 1);
        carry.single = single >> (BLOCK - 1);
        carry.double = double >> (BLOCK - 1);

        if base == 0 {
            starts &= !1;
        }
        #[allow(clippy::cast_possible_truncation)] // texts of less than 4 GB
        let base = base as u32;
        reserve(units, count);
        count += write_borders(&mut units[count..], base, starts);
    }
    end_units(units, count, text.len());
    ScanFlags {
        exception: wide.flags & EXCEPTION != 0,
        unstable: wide.flags & UNSTABLE != 0 || wide.disorder,
        many_spaces,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use fearless_simd::dispatch;

    use super::*;
    use crate::tokenize::bpe::joins::Joins;
    use crate::tokenize::bpe::pattern::{Contractions, Pattern};
    use crate::tokenize::bpe::plain::scan_plainly;
    use crate::tokenize::simd;

    fn classes() -> Classes {
        let mut joins = Joins::default();
        for token in ["éa", "aé", "語本", "本語", " é", "\u{a0}\u{a0}", "\n\u{3000}", "\u{3000}本"]
        {
            joins.add(token.as_bytes());
        }
        Classes::new(true, &joins, &[])
    }

    const LLAMA3: Pattern =
        Pattern { contractions: Contractions::AnyCase, digits: Some(3), ..Pattern::GPT2 };
    const QWEN: Pattern = Pattern { digits: Some(1), ..LLAMA3 };

    fn gpt2(longest_run: usize) -> Rules {
        Rules { pattern: Pattern::GPT2, longest_run }
    }

    fn words(text: &str, doubles: bool) -> Vec<String> {
        words_of(text, gpt2(if doubles { 24 } else { 0 }))
    }

    fn words_of(text: &str, rules: Rules) -> Vec<String> {
        // GPT-4's words with everything joined, so that the numbers of characters are seen.
        static CLASSES: [OnceLock<Classes>; 2] = [OnceLock::new(), OnceLock::new()];
        let classes = if rules.pattern.digits.is_some() {
            CLASSES[1].get_or_init(|| Classes::new(true, &Joins::all(), &[]))
        } else {
            CLASSES[0].get_or_init(classes)
        };
        let plain = scan_plainly(text, classes, rules.pattern, rules.longest_run > 0);
        let mut units = Vec::new();
        for level in simd::levels() {
            dispatch!(level, simd => scan(simd, text.as_bytes(), classes, rules, &mut units));
            assert_eq!(units, plain, "{text:?} with {}", simd::name(level));
        }
        units.iter().map(|unit| text[unit.start as usize..unit.end as usize].into()).collect()
    }

    #[test]
    fn words_of_gpt_4_and_its_successors() {
        let words = |text: &str| words_of(text, Rules { pattern: LLAMA3, longest_run: 0 });
        assert_eq!(
            words("I'M  here, it'Sure 1234567 (so)\t\tsaid"),
            [
                "I", "'M", " ", " here", ",", " it", "'S", "ure", " ", "123", "456", "7", " (",
                "so", ")", "\t", "\tsaid"
            ]
        );
        assert_eq!(
            words("(a ((b “c \"\u{1f600}d\n\n  e.\r\n \n\n   f \n"),
            [
                "(a",
                " ((",
                "b",
                " “",
                "c",
                " \"\u{1f600}",
                "d",
                "\n\n",
                " ",
                " e",
                ".\r\n",
                " \n\n",
                "  ",
                " f",
                " \n"
            ]
        );
        let qwen = words_of("a 12\u{663}½", Rules { pattern: QWEN, longest_run: 0 });
        assert_eq!(qwen, ["a", " ", "1", "2", "\u{663}", "½"]);
    }

    #[test]
    fn words_end_where_the_pattern_says() {
        assert_eq!(
            words("I'm  here, it's 42nd!", false),
            ["I", "'m", " ", " here", ",", " it", "'s", " 42", "nd", "!"]
        );
        assert_eq!(
            words("a 's ''s 'sure 're 'r x'llama", false),
            ["a", " '", "s", " ''", "s", " '", "sure", " '", "re", " '", "r", " x", "'ll", "ama"]
        );
        assert_eq!(
            words("'tis\n'tis \n\n x\r\n", false),
            ["'t", "is", "\n", "'t", "is", " \n\n", " x", "\r\n"]
        );
        assert_eq!(
            words("é日本語 x\u{a0}\u{a0}y", false),
            ["é", "日", "本語", " x", "\u{a0}", "\u{a0}", "y"]
        );
        assert_eq!(words("", false), [""; 0]);
    }

    #[test]
    fn runs_of_spaces_are_words_and_text_begins_anew() {
        assert_eq!(
            words("a  b   's \n  x\n\t  y ", true),
            ["a", "  ", "b", "   ", "'s", " \n", "  ", "x", "\n\t", "  ", "y", " "]
        );
    }

    #[test]
    fn blocks_are_the_pattern_at_every_offset() {
        let alphabet = [
            "a", "b", "'", "s", "ll", "re", "'ve", " ", "  ", "\n", "\t", "1", "9", ".", "-", "é",
            "語", "本", "\u{3000}", "\u{a0}", "\u{85}", "\u{301}", "😀", "\u{200d}", "٣", "\0",
            "ing", "\r", "\r\n", "S", "\u{17f}", "123", "(", "—",
        ];
        let mut state = 1_u32;
        for length in 0..3000 {
            let mut text = String::new();
            for _ in 0..length % 150 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                text += alphabet[(state >> 16) as usize % alphabet.len()];
            }
            words(&text, false);
            words(&text, true);
            words_of(&text, Rules { pattern: LLAMA3, longest_run: 0 });
            words_of(&text, Rules { pattern: QWEN, longest_run: 0 });
        }
    }

    #[test]
    fn what_nfc_may_change_is_seen() {
        let classes = Classes::new(true, &Joins::default(), &[0x1f4a9]);
        let flags = |text: &str| {
            let flags = simd::levels().into_iter().map(|level| {
                let text = text.as_bytes();
                dispatch!(level, simd => scan(simd, text, &classes, gpt2(24), &mut Vec::new()))
            });
            let flags: Vec<_> = flags.collect();
            assert!(flags.iter().all(|one| one == &flags[0]), "{text:?}");
            flags[0]
        };
        for stable in ["é", "Tiếng Việt", "กู้ที่", "한국어", "日本語", "عربي"]
        {
            assert_eq!(flags(stable), ScanFlags::default(), "{stable}");
        }
        for unstable in
            ["e\u{301}", "\u{212b}", "\u{1112}\u{1161}", "か\u{3099}", "a\u{307}\u{5b0}"]
        {
            assert!(flags(unstable).unstable, "{unstable}");
        }
        assert!(flags("x💩").exception);
    }

    #[test]
    fn runs_longer_than_the_longest_token_are_seen_wherever_they_lie() {
        let classes = Classes::new(false, &Joins::default(), &[]);
        for longest in (2..=70).chain([127, 128, 200]) {
            for from in 0..=BLOCK {
                let text = "x".repeat(from) + &" ".repeat(longest + 1) + "y";
                for level in simd::levels() {
                    let text = text.as_bytes();
                    let flags = dispatch!(level, simd => scan(simd, text, &classes, gpt2(longest), &mut Vec::new()));
                    assert!(flags.many_spaces, "{longest} at {from}");
                }
            }
            let short = "x ".repeat(BLOCK);
            let flags = dispatch!(simd::level(), simd =>
                scan(simd, short.as_bytes(), &classes, gpt2(longest), &mut Vec::new()));
            assert!(!flags.many_spaces);
        }
    }
}
