//! Which characters can form a grapheme with a neighbour.
//!
//! The segmentation crate finds graphemes, but does not expose the classes behind them, so each
//! character is tested beside others that join with its class.

use unicode_segmentation::UnicodeSegmentation;

fn is_one(text: &str) -> bool {
    text.graphemes(true).nth(1).is_none()
}

fn joined(before: &str, character: char, after: &str) -> bool {
    let mut text = String::with_capacity(16);
    text.push_str(before);
    text.push(character);
    text.push_str(after);
    is_one(&text)
}

/// Whether `character` can extend the grapheme of a preceding character without [`joins_after`].
#[must_use]
pub fn joins_before(character: char) -> bool {
    // A Hangul syllable joins with marks, as all letters do, and with vowel and final jamo.
    !character.is_ascii()
        && (joined("\u{ac00}", character, "") || joined("\u{1f468}", character, ""))
}

/// Whether `character` can form a grapheme with a following character without [`joins_before`].
#[must_use]
pub fn joins_after(character: char) -> bool {
    if character.is_ascii() {
        return character == '\r';
    }
    // Initial jamo and prepended marks; flags; emoji sequences; conjuncts.
    character == '\u{200d}'
        || joined("", character, "\u{ac00}")
        || joined("", character, "\u{1f1e6}")
        || joined("\u{1f468}", character, "\u{1f468}")
        || joined("\u{915}", character, "\u{915}")
        || joined("\u{915}\u{94d}", character, "\u{915}")
}

/// Whether a space before `character` forms one grapheme with it.
#[must_use]
pub fn joins_space_before(character: char) -> bool {
    !character.is_ascii() && joined(" ", character, "")
}

/// Whether a space after `character` forms one grapheme with it.
#[must_use]
pub fn joins_space_after(character: char) -> bool {
    !character.is_ascii() && joined("", character, " ")
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation)]
mod tests {
    use super::*;

    /// A cut between two characters of which neither joins is a cut between graphemes.
    #[test]
    fn what_joins_nowhere_ends_a_grapheme() {
        let mut characters: Vec<char> = ('\0'..='\u{ff}').collect();
        characters
            .extend("क्षত্ৰ\u{93c}\u{94d}\u{200d}\u{200c}\u{301}\u{323}\u{fe0f}\u{20e3}".chars());
        characters.extend("👩👨🏽❤🇩🇪\u{1100}\u{1161}\u{11a8}가각\u{600}\u{d4e}가ำำา".chars());
        characters.extend("あがア\u{3099}漢\u{e000}\u{378}\u{feff}\u{ad}\u{2028}\u{110bd}".chars());
        let mut state = 1_u64;
        let mut next = |count: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % count
        };
        for _ in 0..60_000 {
            let text: String =
                (0..2 + next(8)).map(|_| characters[next(characters.len())]).collect();
            let starts: Vec<usize> = text.grapheme_indices(true).map(|(at, _)| at).collect();
            for ((_, before), (at, after)) in text.char_indices().zip(text.char_indices().skip(1)) {
                if !joins_after(before) && !joins_before(after) {
                    assert!(starts.contains(&at), "{text:?} at {at}");
                }
            }
        }
    }
}
