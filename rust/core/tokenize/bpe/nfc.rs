//! Normalizing to NFC texts that are mostly in NFC already.

use unicode_normalization::UnicodeNormalization;

use super::classes::{Classes, MARK, UNSTABLE};

/// Append `text` in NFC to `into`. Starters that never change are copied; the others are composed,
/// together with the character before them.
pub fn compose(text: &str, classes: &Classes, into: &mut String) {
    let moves = |c: char| !c.is_ascii() && classes.of(c as u32) & (UNSTABLE | MARK) != 0;
    let (mut copied, mut before) = (0, 0);
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        if !moves(c) {
            before = at;
            continue;
        }
        let end = loop {
            match characters.next() {
                Some((at, c)) if !moves(c) => break at,
                Some(_) => {}
                None => break text.len(),
            }
        };
        into.push_str(&text[copied..before]);
        into.extend(text[before..end].nfc());
        (copied, before) = (end, end);
    }
    into.push_str(&text[copied..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenize::bpe::joins::Joins;

    #[test]
    fn it_is_nfc() {
        let classes = Classes::new(true, &Joins::default(), &[]);
        let alphabet = [
            'a',
            'e',
            ' ',
            'é',
            '\u{301}',
            '\u{327}',
            '\u{338}',
            '<',
            '\u{212b}',
            '가',
            '\u{1100}',
            '\u{1161}',
            '\u{11a8}',
            'か',
            '\u{3099}',
            '\u{f900}',
            '\u{9cb}',
            '\u{9c7}',
            '\u{9be}',
            '\u{958}',
            '\u{345}',
            '\u{1d15e}',
            '\u{5b0}',
            'x',
            '\u{1f71}',
        ];
        let mut state = 1_u32;
        for length in 0..4000 {
            let mut text = String::new();
            for _ in 0..length % 40 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                text.push(alphabet[(state >> 16) as usize % alphabet.len()]);
            }
            let mut composed = String::new();
            compose(&text, &classes, &mut composed);
            assert_eq!(composed, text.nfc().collect::<String>(), "{text:?}");
        }
    }
}
