//! The properties of each code point that the scan needs, in one byte.

use unicode_normalization::char::canonical_combining_class;
use unicode_normalization::{IsNormalized, is_nfc_quick};
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

use super::joins::Joins;

/// The bits that hold the class.
pub const CLASS: u8 = 3;
/// `\p{L}`.
pub const LETTER: u8 = 0;
/// `\p{N}`.
pub const NUMBER: u8 = 1;
/// Everything else.
pub const OTHER: u8 = 2;
/// `\s`.
pub const WHITE: u8 = 3;
/// A stretch with this code point is left to the library.
pub const EXCEPTION: u8 = 1 << 2;
/// NFC may change this code point, or the one before it.
pub const UNSTABLE: u8 = 1 << 3;
/// Its combining class is not 0: NFC may move it.
pub const MARK: u8 = 1 << 4;

/// Number of code points.
const ALL: usize = 0x11_0000;
/// Planes with characters that are letters, numbers or change in NFC; all others hold none.
const PLANES: [std::ops::Range<u32>; 2] = [0..0x4_0000, 0xe_0000..0xe_1000];

/// Large ranges of letters that NFC never changes.
const LETTERS: [std::ops::Range<u32>; 4] =
    [0x3400..0x4dc0, 0x4e00..0xa000, 0xac00..0xd7a4, 0x2_0000..0x2_a6e0];

fn is_bulk(code: u32) -> bool {
    LETTERS.iter().any(|bulk| bulk.contains(&code))
}

/// A byte for each code point.
pub struct Classes {
    table: Box<[u8]>,
}

impl Classes {
    /// Classes for a vocabulary with the given `joins`; `nfc` if text is normalized to NFC.
    pub fn new(nfc: bool, joins: &Joins, exceptions: &[u32]) -> Self {
        let mut table = vec![OTHER; ALL].into_boxed_slice();
        for bulk in LETTERS {
            table[bulk.start as usize..bulk.end as usize].fill(LETTER);
        }
        for code in PLANES.into_iter().flatten().filter(|code| !is_bulk(*code)) {
            let Some(c) = char::from_u32(code) else { continue };
            let mut class = class_of(c);
            if nfc && code >= 0xc0 {
                if is_nfc_quick(std::iter::once(c)) != IsNormalized::Yes {
                    class |= UNSTABLE;
                }
                if canonical_combining_class(c) != 0 {
                    class |= MARK;
                }
            }
            table[code as usize] = class;
        }
        joins.mark(&mut table);
        for &code in exceptions {
            if let Some(class) = table.get_mut(code as usize) {
                *class |= EXCEPTION;
            }
        }
        Self { table }
    }

    /// The properties of a code point.
    #[inline]
    pub fn of(&self, code: u32) -> u8 {
        self.table.get(code as usize).copied().unwrap_or(EXCEPTION)
    }
}

/// The class of a character according to Oniguruma.
pub fn class_of(c: char) -> u8 {
    if c.is_whitespace() {
        return WHITE;
    }
    if c.is_ascii() {
        return match c {
            'a'..='z' | 'A'..='Z' => LETTER,
            '0'..='9' => NUMBER,
            _ => OTHER,
        };
    }
    match c.general_category_group() {
        GeneralCategoryGroup::Letter => LETTER,
        GeneralCategoryGroup::Number => NUMBER,
        _ => OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_planes_hold_nothing_of_interest() {
        let classes = Classes::new(true, &Joins::default(), &[]);
        for c in (0..=0x10_ffff).filter_map(char::from_u32) {
            let code = c as u32;
            assert_eq!(classes.of(code) & CLASS, class_of(c), "{code:x}");
            let stable = is_nfc_quick(std::iter::once(c)) == IsNormalized::Yes;
            assert_eq!(classes.of(code) & UNSTABLE == 0, stable, "{code:x}");
            let starter = canonical_combining_class(c) == 0;
            assert_eq!(classes.of(code) & MARK == 0, starter, "{code:x}");
        }
    }

    #[test]
    fn exceptions_are_marked() {
        let classes = Classes::new(false, &Joins::default(), &[0x2e48, 0x11_0000]);
        assert_ne!(classes.of(0x2e48) & EXCEPTION, 0);
        assert_eq!(classes.of(0x2e49) & EXCEPTION, 0);
        assert_ne!(classes.of(0x11_0000) & EXCEPTION, 0);
    }
}
