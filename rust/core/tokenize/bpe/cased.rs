//! Words whose letters are told apart by case or stand with marks, found one character at a time:
//! GPT-4o's, Mistral's and Qwen 3.5's patterns.
//!
//! With case, a word is any number of capitals and then small letters, with letters without case and
//! marks among both; a word of capitals alone may follow.

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

use super::classes::{
    Classes, EXCEPTION, MARK as COMBINES, NUMBER as NUMBERS, UNSTABLE, WHITE as WHITES,
};
use super::pattern::{Letters, Pattern};
use super::rules::ScanFlags;
use super::utf8;
use crate::tokenize::unit::Unit;

/// Kinds of characters, as bits.
const UPPER: u8 = 1;
const LOWER: u8 = 1 << 1;
const CASELESS: u8 = 1 << 2;
const MARK: u8 = 1 << 3;
const NUMBER: u8 = 1 << 4;
const WHITE: u8 = 1 << 5;
const LINE: u8 = 1 << 6;
const OTHER: u8 = 1 << 7;

const BLANK: u8 = WHITE | LINE;
/// What a word of letters may take before it.
const BEFORE: u8 = MARK | WHITE | OTHER;
const UPPERS: u8 = UPPER | CASELESS | MARK;
const LOWERS: u8 = LOWER | CASELESS | MARK;

/// The kind of each code point.
pub struct Kinds {
    table: Box<[u8]>,
}

impl Kinds {
    /// The kinds of all code points, by the properties in `classes`.
    pub fn new(classes: &Classes) -> Self {
        let mut table = vec![OTHER; 0x11_0000].into_boxed_slice();
        for (code, kind) in (0..).zip(&mut table) {
            *kind = match classes.of(code) & super::classes::CLASS {
                NUMBERS => NUMBER,
                WHITES if matches!(code, 0xa | 0xd) => LINE,
                WHITES => WHITE,
                _ => char::from_u32(code).map_or(OTHER, kind_of),
            };
        }
        Self { table }
    }

    /// The kind of the character at `at`, and where it ends; no kind at the end of the text.
    #[inline(always)]
    fn at(&self, text: &[u8], at: usize) -> (u8, usize) {
        match text.get(at) {
            None => (0, at),
            Some(&byte) if byte < 0x80 => (self.table[usize::from(byte)], at + 1),
            Some(_) => utf8::decode(text, at).map_or((0, at), |(code, length)| {
                (self.table.get(code as usize).copied().unwrap_or(OTHER), at + length)
            }),
        }
    }

    /// The end of the run of characters of some `kinds` that begins at `at`.
    #[inline(always)]
    fn run(&self, text: &[u8], mut at: usize, kinds: u8) -> usize {
        loop {
            let (kind, end) = self.at(text, at);
            if kind & kinds == 0 {
                return at;
            }
            at = end;
        }
    }

    /// Put the words of `text`, which is UTF-8 and shorter than 4 GB, into `units`.
    pub fn scan(
        &self,
        text: &[u8],
        classes: &Classes,
        pattern: Pattern,
        units: &mut Vec<Unit>,
    ) -> ScanFlags {
        units.clear();
        let mut flags = 0;
        let mut at = 0;
        while let Some(found) = text[at..].iter().position(|byte| !byte.is_ascii()) {
            let Some((code, length)) = utf8::decode(text, at + found) else { break };
            flags |= classes.of(code);
            at += found + length;
        }
        let mut start = 0;
        while start < text.len() {
            let end = self.word_end(text, start, pattern).max(start + 1);
            #[allow(clippy::cast_possible_truncation)] // texts of less than 4 GB
            units.push(Unit { start: start as u32, end: end as u32 });
            start = end;
        }
        ScanFlags {
            exception: flags & EXCEPTION != 0,
            unstable: flags & (UNSTABLE | COMBINES) != 0,
            many_spaces: false,
        }
    }

    /// The end of the word that begins at `start`.
    #[inline]
    fn word_end(&self, text: &[u8], start: usize, pattern: Pattern) -> usize {
        let (kind, next) = self.at(text, start);
        let cased = pattern.letters == Letters::Cased;
        if !cased
            && text[start] == b'\''
            && let Some(length) = pattern.contraction(&text[next..])
        {
            return next + length;
        }
        let word = if cased {
            self.cased(text, start, kind, next).map(|end| match text.get(end) {
                Some(b'\'') => end + pattern.contraction(&text[end + 1..]).map_or(0, |n| n + 1),
                _ => end,
            })
        } else {
            let letters = UPPERS | LOWERS;
            let from = if kind & BEFORE != 0 { next } else { start };
            let end = self.run(text, from, letters);
            // A mark may take the place of what is before.
            if end > from { Some(end) } else { (kind == MARK).then_some(next) }
        };
        if let Some(end) = word {
            return end;
        }
        if kind == NUMBER {
            let most = pattern.digits.unwrap_or(1);
            return (1..most).fold(next, |end, _| match self.at(text, end) {
                (NUMBER, next) => next,
                _ => end,
            });
        }
        let others = if cased { OTHER | MARK } else { OTHER };
        let from = start + usize::from(text[start] == b' ');
        let end = self.run(text, from, others);
        if end > from {
            let taken = |byte: &&u8| matches!(byte, b'\r' | b'\n') || cased && **byte == b'/';
            return end + text[end..].iter().take_while(taken).count();
        }
        self.white(text, start)
    }

    /// The end of a word of letters with case, before its contraction; the character at `start` has the
    /// given kind and ends at `next`.
    #[inline]
    fn cased(&self, text: &[u8], start: usize, kind: u8, next: usize) -> Option<usize> {
        if kind & BEFORE == 0 {
            return match self.with_small(text, start) {
                (Some(end), _) => Some(end),
                (None, end) => (end > start).then_some(end),
            };
        }
        match self.with_small(text, next) {
            (Some(end), _) => Some(end),
            // A mark is a word by itself before it is what capitals take before them.
            _ if kind == MARK => Some(next),
            (None, end) => (end > next).then_some(end),
        }
    }

    /// The end of a word at `start` whose last letter is none that has another case and is a capital,
    /// and the end of the capitals and letters without case.
    #[inline(always)]
    fn with_small(&self, text: &[u8], start: usize) -> (Option<usize>, usize) {
        let (mut at, mut last) = (start, None);
        loop {
            let (kind, end) = self.at(text, at);
            if kind == LOWER {
                return (Some(self.run(text, end, LOWERS)), at);
            }
            if kind & UPPERS == 0 {
                return (last, at);
            }
            if kind != UPPER {
                last = Some(end);
            }
            at = end;
        }
    }

    /// The end of a word of white space.
    #[inline]
    fn white(&self, text: &[u8], start: usize) -> usize {
        let (mut end, mut line, mut last) = (start, None, start);
        loop {
            let (kind, next) = self.at(text, end);
            if kind & BLANK == 0 {
                break;
            }
            last = end;
            end = next;
            if kind == LINE {
                line = Some(end);
            }
        }
        match line {
            Some(line) => line,
            None if end < text.len() && last > start => last,
            None => end,
        }
    }
}

/// The kind of a character that is neither a number nor white space.
fn kind_of(c: char) -> u8 {
    if c.is_ascii() {
        return match c {
            'A'..='Z' => UPPER,
            'a'..='z' => LOWER,
            _ => OTHER,
        };
    }
    match c.general_category() {
        GeneralCategory::UppercaseLetter | GeneralCategory::TitlecaseLetter => UPPER,
        GeneralCategory::LowercaseLetter => LOWER,
        GeneralCategory::ModifierLetter | GeneralCategory::OtherLetter => CASELESS,
        GeneralCategory::NonspacingMark
        | GeneralCategory::SpacingMark
        | GeneralCategory::EnclosingMark => MARK,
        _ => OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenize::bpe::joins::Joins;
    use crate::tokenize::bpe::pattern::Contractions;

    fn words(text: &str, letters: Letters, contractions: Contractions) -> Vec<&str> {
        let classes = Classes::new(false, &Joins::all(), &[]);
        let pattern = Pattern { contractions, digits: Some(3), letters };
        let mut units = Vec::new();
        Kinds::new(&classes).scan(text.as_bytes(), &classes, pattern, &mut units);
        units.iter().map(|unit| &text[unit.start as usize..unit.end as usize]).collect()
    }

    #[test]
    fn words_with_case() {
        let words = |text| words(text, Letters::Cased, Contractions::AnyCase);
        assert_eq!(words("HelloWorld ABCdef XYZ"), ["Hello", "World", " ABCdef", " XYZ"]);
        assert_eq!(words("it'Sx's don't 's's"), ["it'S", "x's", " don't", " '", "s's"]);
        // What has no case may end a word, or go before a capital.
        assert_eq!(
            words("本AB A本B A本b b本A \u{301}AB !\u{301}x !!\u{301}x"),
            [
                "本",
                "AB",
                " A本",
                "B",
                " A本b",
                " b本",
                "A",
                " \u{301}",
                "AB",
                " !\u{301}",
                "x",
                " !!\u{301}",
                "x"
            ]
        );
        assert_eq!(words("12345/\n/\n \n  x  "), ["123", "45", "/\n/\n", " \n", " ", " x", "  "]);
    }

    #[test]
    fn words_with_marks() {
        let words = |text| words(text, Letters::Marked, Contractions::AnyCase);
        assert_eq!(
            words("AbC कि!\u{301}x 'S !/\n"),
            ["AbC", " कि", "!\u{301}x", " '", "S", " !/\n"]
        );
    }
}
