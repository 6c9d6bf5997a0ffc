//! BERT's normalizer, and the words that its pre-tokenizer makes of the result.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{canonical_combining_class, decompose_canonical};

use super::classes::{Class, Classes, Options, is_ideograph};

/// Working memory.
#[derive(Debug, Default)]
pub struct Buffers {
    cleaned: String,
    normalized: String,
}

/// The normalizer.
pub struct Normalizer {
    options: Options,
    classes: Classes,
}

impl Normalizer {
    /// Normalize by `options`, for which `classes` were made.
    pub fn new(options: Options, classes: Classes) -> Self {
        Self { options, classes }
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
        mut word: impl FnMut(&str) -> bool,
    ) -> bool {
        if unit.chars().all(|character| !self.classes.of(character).changes()) {
            return word(unit);
        }
        let Buffers { cleaned, normalized } = buffers;
        if unit.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            normalized.clear();
            normalized.push_str(unit);
            normalized.make_ascii_lowercase();
            return word(normalized);
        }
        self.normalize(unit, cleaned, normalized);
        let mut start = 0;
        for (at, character) in normalized.char_indices() {
            let class = self.classes.of(character);
            if !splits(class) {
                continue;
            }
            if start < at && !word(&normalized[start..at]) {
                return false;
            }
            start = at + character.len_utf8();
            if !class.is_white() && !word(&normalized[at..start]) {
                return false;
            }
        }
        start == normalized.len() || word(&normalized[start..])
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
