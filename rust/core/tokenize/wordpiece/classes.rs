//! How BERT's normalizer and pre-tokenizer treat each character, in one byte.

use unicode_normalization::char::{canonical_combining_class, decompose_canonical};
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// The normalizer's options.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::struct_excessive_bools)] // the library's own
pub struct Options {
    /// Remove control characters, make all white space a space.
    pub clean: bool,
    /// Put spaces around ideographs.
    pub ideographs_apart: bool,
    /// Decompose and remove the marks.
    pub strip: bool,
    /// Lowercase each character.
    pub lowercase: bool,
}

/// How a character takes part in units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Joined with its neighbours.
    Word,
    /// Not part of a unit: it separates units.
    Space,
    /// A unit by itself.
    Alone,
    /// Its stretch is left to the library.
    Library,
}

/// A character's treatment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Class(u8);

const KIND: u8 = 3;
const CHANGES: u8 = 4;
const PUNCTUATION: u8 = 8;
const WHITE: u8 = 16;
const DELETED: u8 = 32;
const MARK: u8 = 64;

impl Class {
    /// How it takes part in units.
    #[inline]
    pub fn kind(self) -> Kind {
        match self.0 & KIND {
            0 => Kind::Word,
            1 => Kind::Space,
            2 => Kind::Alone,
            _ => Kind::Library,
        }
    }

    /// Whether it, or its normalized form, is anything but a single letter of a word.
    #[inline]
    pub fn changes(self) -> bool {
        self.0 & CHANGES != 0
    }

    /// Whether it is a separate word after normalization.
    #[inline]
    pub fn is_punctuation(self) -> bool {
        self.0 & PUNCTUATION != 0
    }

    /// Whether it separates words after normalization.
    #[inline]
    pub fn is_white(self) -> bool {
        self.0 & WHITE != 0
    }

    /// Whether cleaning, if enabled, removes it.
    #[inline]
    pub fn is_deleted(self) -> bool {
        self.0 & DELETED != 0
    }

    /// Whether stripping accents, if enabled, removes it.
    #[inline]
    pub fn is_mark(self) -> bool {
        self.0 & MARK != 0
    }
}

/// Ranges of characters that are treated alike: ideographs, Hangul syllables, private use and planes
/// without characters.
const BULK: [std::ops::Range<u32>; 14] = [
    0x3400..0x4dc0,
    0x4e00..0xa000,
    0xac00..0xd7a4,
    0xe000..0xf900,
    0x2_0000..0x2_a6e0,
    0x2_a6e0..0x2_a700,
    0x2_a700..0x2_b820,
    0x2_b820..0x2_b920,
    0x2_b920..0x2_ceb0,
    0x2_ceb0..0x2_f800,
    0x2_fa20..0xe_0000,
    0xe_0200..0xf_0000,
    0xf_0000..0xf_fffe,
    0x10_0000..0x10_fffe,
];

/// All characters' classes.
pub struct Classes(Vec<Class>);

impl Classes {
    /// Classify every character; those of `exceptions` are left to the library.
    pub fn new(options: Options, exceptions: &[u32]) -> Self {
        let mut all = vec![Class(0); 0x11_0000];
        let mut code = 0;
        while code < 0x11_0000 {
            // The class of the first character holds for the whole range.
            let end = BULK.iter().find(|bulk| bulk.start == code).map_or(code + 1, |bulk| bulk.end);
            if let Some(character) = char::from_u32(code) {
                all[code as usize..end as usize].fill(Class(class_of(character, options)));
            }
            code = end;
        }
        for &code in exceptions {
            if let Some(class) = all.get_mut(code as usize) {
                class.0 |= KIND;
            }
        }
        Self(all)
    }

    /// A character's class.
    #[inline]
    pub fn of(&self, character: char) -> Class {
        self.0[character as usize]
    }
}

/// The Unicode blocks around whose characters the library puts spaces.
pub fn is_ideograph(character: char) -> bool {
    matches!(
        u32::from(character),
        0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff | 0x2_0000..=0x2_a6df
            | 0x2_a700..=0x2_b81f | 0x2_b920..=0x2_ceaf | 0x2_f800..=0x2_fa1f
    )
}

/// The bits that depend on the character alone.
fn properties(character: char) -> u8 {
    use GeneralCategory as Is;
    let code = u32::from(character);
    // Large ranges of letters and planes without characters need no table lookups.
    if matches!(code, 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xac00..=0xd7a3 | 0x2_0000..=0xd_ffff) {
        return 0;
    }
    let white = if character.is_whitespace() { WHITE } else { 0 };
    let other = match character.general_category() {
        Is::ConnectorPunctuation
        | Is::DashPunctuation
        | Is::OpenPunctuation
        | Is::ClosePunctuation
        | Is::InitialPunctuation
        | Is::FinalPunctuation
        | Is::OtherPunctuation => PUNCTUATION,
        Is::Control if matches!(character, '\t' | '\n' | '\r') => 0,
        Is::Control | Is::Format | Is::PrivateUse => DELETED,
        Is::NonspacingMark => MARK,
        _ if character == '\u{fffd}' => DELETED,
        _ if character.is_ascii_punctuation() => PUNCTUATION,
        _ => 0,
    };
    white | other
}

fn class_of(character: char, options: Options) -> u8 {
    let own = properties(character);
    if options.clean && own & DELETED != 0 {
        return own | CHANGES;
    }
    let apart = options.ideographs_apart && is_ideograph(character);
    let (mut count, mut same) = (0, true);
    let (mut all, mut any, mut all_start) = (WHITE | PUNCTUATION, 0, true);
    let mut put = |part: char| {
        count += 1;
        same &= part == character;
        let bits = properties(part);
        (all, any) = (all & bits, any | bits);
    };
    let mut lower = |part: char| {
        if options.lowercase { part.to_lowercase().for_each(&mut put) } else { put(part) }
    };
    if options.clean && own & WHITE != 0 {
        lower(' ');
    } else if options.strip {
        decompose_canonical(character, |part| {
            all_start &= canonical_combining_class(part) == 0;
            if properties(part) & MARK == 0 {
                lower(part);
            }
        });
    } else {
        lower(character);
    }
    let kind = if character.is_ascii() {
        match character {
            ' ' | '\t' | '\n' | '\r' => Kind::Space,
            _ if character.is_ascii_punctuation() => Kind::Alone,
            _ => Kind::Word,
        }
    } else if !all_start {
        // Marks that are kept, and that the library may not reorder.
        let moves = count > 0 && u32::from(character) > 0xffff && own & MARK == 0;
        if moves { Kind::Library } else { Kind::Word }
    } else if count > 0 && all & WHITE != 0 {
        Kind::Space
    } else if apart || count > 0 && all & PUNCTUATION != 0 {
        Kind::Alone
    } else {
        Kind::Word
    };
    let plain = same && count == 1 && all_start;
    let splits = any & WHITE != 0 || any & PUNCTUATION != 0 && kind == Kind::Word;
    own | kind as u8 | if plain && !splits { 0 } else { CHANGES }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_alike() {
        for number in 0..16 {
            let is = |bit: u32| number >> bit & 1 == 1;
            let options =
                Options { clean: is(0), ideographs_apart: is(1), strip: is(2), lowercase: is(3) };
            let classes = Classes::new(options, &[]);
            for character in '\0'..=char::MAX {
                let class = Class(class_of(character, options));
                assert_eq!(classes.of(character), class, "{character:?}");
            }
        }
    }
}
