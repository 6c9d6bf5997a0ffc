//! BERT's normalizer, and the words that its pre-tokenizer makes of the result.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{canonical_combining_class, decompose_canonical};

use super::classes::{Class, Classes, Options, is_ideograph};

/// Working memory.
#[derive(Debug, Default)]
pub struct Buffers {
    cleaned: String,
    normalized: String,
    characters: Vec<char>,
}

/// The normalizer.
pub struct Normalizer {
    options: Options,
    classes: Classes,
    /// By character, what it becomes whatever is around it, if that is no word by itself.
    alone: Box<[char]>,
}

/// What it becomes is another case.
const OTHERWISE: char = '\0';
/// It disappears.
const GONE: char = char::MAX;
/// The characters from here on are looked at in the normalizer.
const DIRECT: u32 = 0xac00;

impl Normalizer {
    /// Normalize by `options`, for which `classes` were made.
    pub fn new(options: Options, classes: Classes) -> Self {
        let mut normalizer = Self { options, classes, alone: Box::default() };
        let mut buffers = Buffers::default();
        let alone = |character: char| {
            if !normalizer.classes.of(character).changes() {
                return character;
            }
            let text = character.encode_utf8(&mut [0; 4]).to_owned();
            let Buffers { cleaned, normalized: whole, .. } = &mut buffers;
            normalizer.normalize(&text, cleaned, whole);
            let mut parts = whole.chars();
            match (parts.next(), parts.next()) {
                (None, _) => GONE,
                // A mark that is kept may change places with others.
                (Some(part), None)
                    if canonical_combining_class(part) == 0
                        && !splits(normalizer.classes.of(part)) =>
                {
                    part
                }
                _ => OTHERWISE,
            }
        };
        let alone = (0..DIRECT).filter_map(char::from_u32).map(alone).collect();
        normalizer.alone = alone;
        normalizer
    }

    /// The characters' classes.
    pub fn classes(&self) -> &Classes {
        &self.classes
    }

    /// Pass the words of a unit on, until one is rejected; return whether all were accepted.
    pub fn words(
        &self,
        unit: &str,
        buffers: &mut Buffers,
        mut word: impl FnMut(&[char]) -> bool,
    ) -> bool {
        let Buffers { cleaned, normalized, characters } = buffers;
        characters.clear();
        if self.read_alone(unit, characters) {
            return characters.is_empty() || word(characters);
        }
        characters.clear();
        if unit.chars().all(|character| !self.classes.of(character).changes()) {
            characters.extend(unit.chars());
            return word(characters);
        }
        self.normalize(unit, cleaned, normalized);
        characters.extend(normalized.chars());
        let mut start = 0;
        for (at, &character) in characters.iter().enumerate() {
            let class = self.classes.of(character);
            if !splits(class) {
                continue;
            }
            if start < at && !word(&characters[start..at]) {
                return false;
            }
            start = at + 1;
            if !class.is_white() && !word(&characters[at..start]) {
                return false;
            }
        }
        start == characters.len() || word(&characters[start..])
    }

    /// Read the characters of a unit, if each of them is normalized whatever is around it.
    fn read_alone(&self, unit: &str, characters: &mut Vec<char>) -> bool {
        unit.chars().all(|character| match self.alone.get(character as usize) {
            None | Some(&OTHERWISE) => false,
            Some(&GONE) => true,
            Some(&part) => {
                characters.push(part);
                true
            }
        })
    }

    /// A whole text, normalized.
    pub fn whole(&self, text: &str) -> String {
        let mut normalized = String::new();
        self.whole_into(text, &mut normalized);
        normalized
    }

    /// The same in place of the contents of `normalized`.
    pub fn whole_into(&self, text: &str, normalized: &mut String) {
        if !is_visible(text) {
            self.normalize(text, &mut String::new(), normalized);
            return;
        }
        normalized.clear();
        normalized.push_str(text);
        if self.options.clean {
            let white = |c| matches!(c, '\t' | '\n' | '\r');
            if text.contains(white) {
                *normalized = text.replace(white, " ");
            }
        }
        if self.options.lowercase {
            normalized.make_ascii_lowercase();
        }
    }

    fn normalize(&self, text: &str, cleaned: &mut String, normalized: &mut String) {
        cleaned.clear();
        normalized.clear();
        let Options { clean, ideographs_apart, strip, lowercase } = self.options;
        for character in text.chars() {
            let class = self.classes.of(character);
            if clean && class.is_deleted() {
            } else if clean && class.is_white() {
                cleaned.push(' ');
            } else if ideographs_apart && is_ideograph(character) {
                cleaned.extend([' ', character, ' ']);
            } else {
                cleaned.push(character);
            }
        }
        let mut put = |character: char| {
            if lowercase {
                normalized.extend(character.to_lowercase());
            } else {
                normalized.push(character);
            }
        };
        if !strip {
            cleaned.chars().for_each(put);
            return;
        }
        // Without marks, nothing is left to reorder, except for the few spacing marks.
        let stays = |part: char| !self.classes.of(part).is_mark();
        let mut moves = false;
        for character in cleaned.chars() {
            if self.classes.of(character).changes() {
                decompose_canonical(character, |part| {
                    if stays(part) {
                        moves |= canonical_combining_class(part) != 0;
                        put(part);
                    }
                });
            } else {
                put(character);
            }
        }
        if moves {
            normalized.clear();
            for part in cleaned.nfd().filter(|&part| stays(part)) {
                if lowercase {
                    normalized.extend(part.to_lowercase());
                } else {
                    normalized.push(part);
                }
            }
        }
    }
}

/// Whether `text` has visible ASCII characters, spaces, tabs and line ends only.
pub fn is_visible(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~'))
}

fn splits(class: Class) -> bool {
    class.is_white() || class.is_punctuation()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_character_becomes_alone_it_becomes_in_any_text() {
        for number in 0..16 {
            let is = |bit: u32| number >> bit & 1 == 1;
            let options =
                Options { clean: is(0), ideographs_apart: is(1), strip: is(2), lowercase: is(3) };
            let normalizer = Normalizer::new(options, Classes::new(options, &[]));
            let mut seen = 0;
            for character in (0..DIRECT).filter_map(char::from_u32) {
                if is_ideograph(character) {
                    continue; // always a unit by itself, or no different from other letters
                }
                for text in [format!("{character}"), format!("aЖ{character}か{character}ÉB")] {
                    let mut characters = Vec::new();
                    if normalizer.read_alone(&text, &mut characters) {
                        let alone: String = characters.into_iter().collect();
                        assert_eq!(alone, normalizer.whole(&text), "{text:?} {options:?}");
                        seen += 1;
                    }
                }
            }
            assert!(seen > 20_000, "{seen}");
        }
    }
}
