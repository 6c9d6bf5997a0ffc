//! The words of a text, as hashes.
//!
//! A word is a run of letters, digits and marks. Case, accents (nonspacing marks) and the value of a
//! number, which is one `0`, make no difference. Scripts that are written without blanks have a word
//! for each character.

use unicode_normalization::char::decompose_canonical;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

use crate::rng::mix;

/// The offset and the prime of FNV-1a with 64 bits.
const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;
const NUMBER: u32 = b'0' as u32;

/// What ASCII characters are in words: themselves in lower case, or 0 between words.
const ASCII: [u8; 128] = {
    let mut table = [0; 128];
    let mut byte = 0_u8;
    while byte < 128 {
        if byte.is_ascii_alphanumeric() {
            table[byte as usize] = byte.to_ascii_lowercase();
        }
        byte += 1;
    }
    table
};

/// The word that is being read.
struct Reader<'a> {
    words: &'a mut Vec<u64>,
    hash: u64,
    within: bool,
    within_number: bool,
}

impl Reader<'_> {
    #[inline(always)]
    fn letter(&mut self, code: u32) {
        self.hash = (self.hash ^ u64::from(code)).wrapping_mul(PRIME);
        self.within = true;
        self.within_number = false;
    }

    #[inline(always)]
    fn digit(&mut self) {
        if !self.within_number {
            self.letter(NUMBER);
            self.within_number = true;
        }
    }

    #[inline(always)]
    fn end(&mut self) {
        if self.within {
            // FNV-1a leaves the low bits of short words weak.
            self.words.push(mix(self.hash));
            (self.hash, self.within, self.within_number) = (OFFSET, false, false);
        }
    }

    fn decomposed(&mut self, character: char) {
        match character.general_category() {
            GeneralCategory::NonspacingMark => {}
            GeneralCategory::DecimalNumber => self.digit(),
            _ if is_word(character) => {
                self.end();
                self.letter(character.into());
                self.end();
            }
            GeneralCategory::SpacingMark => self.letter(character.into()),
            _ if character.is_alphanumeric() => self.letter(character.into()),
            _ => self.end(),
        }
    }
}

/// Replace `words` by the hashes of the words of `text`, in order.
pub fn word_hashes(text: &str, words: &mut Vec<u64>) {
    words.clear();
    let mut reader = Reader { words, hash: OFFSET, within: false, within_number: false };
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if first.is_ascii() {
            let ascii = rest.bytes().take_while(u8::is_ascii);
            let mut length = 0;
            for byte in ascii {
                length += 1;
                match ASCII[usize::from(byte)] {
                    0 => reader.end(),
                    b'0'..=b'9' => reader.digit(),
                    letter => reader.letter(letter.into()),
                }
            }
            rest = &rest[length..];
        } else {
            for lower in first.to_lowercase() {
                decompose_canonical(lower, |part| reader.decomposed(part));
            }
            rest = &rest[first.len_utf8()..];
        }
    }
    reader.end();
}

/// Whether a character is a word by itself, since its script is written without blanks.
fn is_word(character: char) -> bool {
    matches!(u32::from(character),
        0x0e00..=0x0eff // Thai, Lao
        | 0x1000..=0x109f | 0xa9e0..=0xa9ff | 0xaa60..=0xaa7f // Myanmar
        | 0x1780..=0x17ff // Khmer
        | 0x3005..=0x3007 | 0x3040..=0x30ff | 0x31f0..=0x31ff | 0xff66..=0xff9f // kana
        | 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff | 0x2_0000..=0x3_ffff) // Han
        && (character.is_alphanumeric()
            || character.general_category() == GeneralCategory::SpacingMark)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<u64> {
        let mut words = vec![7];
        word_hashes(text, &mut words);
        words
    }

    #[test]
    fn case_accents_numbers_and_punctuation_make_no_difference() {
        for (one, other) in [
            ("The quick fox", "the  QUICK,\nfox!"),
            ("Äpfel für naïve", "apfel fu\u{308}r NAIVE"),
            ("in 1987 and 3", "in 20 and 444"),
            ("x12y", "X7Y"),
            ("٤٥ Fox", "9 fox"),
            ("don't", "don t"),
            ("Ελλάδα", "ΕΛΛΑΔΑ"),
        ] {
            assert_eq!(words(one), words(other), "{one} {other}");
            assert!(!words(one).is_empty());
        }
        assert_ne!(words("fox dog"), words("dog fox"));
        assert_ne!(words("foxdog"), words("fox dog"));
        assert_ne!(words("x0"), words("x 0"));
    }

    #[test]
    fn words_are_counted_as_they_are_written() {
        for (text, count) in [
            ("", 0),
            (" ... -- \u{2014} \u{301}", 0),
            ("a", 1),
            ("one two-three_four", 4),
            ("東京都に住む", 6),
            ("I visited 東京 twice", 5),
            ("ภาษา", 4),
            ("नमस्ते दुनिया", 2),
            ("한국어 문장", 2),
            ("Привет мир", 2),
            ("🦊 fox", 1),
        ] {
            assert_eq!(words(text).len(), count, "{text}");
        }
    }
}
