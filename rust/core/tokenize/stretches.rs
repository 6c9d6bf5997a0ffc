//! Splitting documents into stretches: where a text can be cut so that both sides are encoded
//! independently.
//!
//! One kind of position is valid in every pipeline of [`super::family`]: between an ASCII letter or
//! digit and a single space or line break that another ASCII letter or digit follows. The white space
//! belongs to the right side. Normalizers work within graphemes, which end there; words of byte-level
//! BPE include the space before them. Some pipelines (see
//! [`super::family::Family::cuts_at_line_breaks`]) can be cut at spaces only, and some added tokens bar
//! positions beside their own letters.

use super::file::AddedToken;

/// Approximate bytes of a stretch, the unit that is sent to the library and that the buffers hold.
/// Small enough for the first-level cache.
pub const STRETCH: usize = 2048;

/// Letters or digits between which a text must not be cut, since an added token may lie there. They are
/// in lower case; `None` stands for each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bar {
    before: Option<u8>,
    after: Option<u8>,
}

/// Where texts can be cut.
#[derive(Debug, Clone, Copy)]
pub struct Cuts<'a> {
    /// Whether a stretch may begin with a line break.
    pub line_breaks: bool,
    /// Where not.
    pub bars: &'a [Bar],
}

impl Bar {
    /// Texts must not be cut at all.
    pub const EVERYWHERE: Self = Self { before: None, after: None };

    /// The bars of a token, whose `content` is normalized if it is matched in normalized text, where the
    /// characters `white` may stand for white space.
    ///
    /// Texts must not be cut within the token, nor before the white space that it strips after itself,
    /// nor before a token that begins with white space and matches only after a word's end: the right
    /// side alone does not show the word.
    #[must_use]
    pub fn all_of(token: &AddedToken, content: &str, white: &str) -> Vec<Self> {
        let is_white = |c: &char| c.is_whitespace() || white.contains(*c);
        let letter = |c: &char| {
            u8::try_from(*c).ok().filter(u8::is_ascii_alphanumeric).map(|b| b.to_ascii_lowercase())
        };
        let characters: Vec<char> = content.chars().collect();
        let mut bars = Vec::new();
        for (at, _) in characters.iter().enumerate().filter(|(_, c)| is_white(c)) {
            let before = at.checked_sub(1).map(|before| &characters[before]);
            if before.is_some_and(|before| letter(before).is_none())
                || before.is_none() && !token.single_word
            {
                continue;
            }
            let after = characters.get(at + 1);
            if after.is_none_or(|after| letter(after).is_some()) {
                let (before, after) = (before.and_then(letter), after.and_then(letter));
                bars.push(Self { before, after });
            }
        }
        let last = characters.last().and_then(letter);
        if token.rstrip && last.is_some() {
            bars.push(Self { before: last, after: None });
        }
        bars
    }

    fn is_at(self, before: u8, after: u8) -> bool {
        self.before.is_none_or(|barred| barred == before.to_ascii_lowercase())
            && self.after.is_none_or(|barred| barred == after.to_ascii_lowercase())
    }
}

impl Cuts<'_> {
    /// The first position from `at` on where `text` can be cut, or its end.
    #[must_use]
    pub fn after(&self, text: &[u8], at: usize) -> usize {
        let from = at.max(1) - 1;
        let Some(rest) = text.get(from..) else { return text.len() };
        memchr::memchr2_iter(b' ', if self.line_breaks { b'\n' } else { b' ' }, rest)
            .find(|&white| {
                let before = white.checked_sub(1).and_then(|before| rest.get(before));
                let (Some(&before), Some(&after)) = (before, rest.get(white + 1)) else {
                    return false;
                };
                before.is_ascii_alphanumeric()
                    && after.is_ascii_alphanumeric()
                    && !self.bars.iter().any(|bar| bar.is_at(before, after))
            })
            .map_or(text.len(), |found| from + found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Cuts<'_> = Cuts { line_breaks: true, bars: &[] };

    #[test]
    fn cuts_are_before_single_white_space_between_words() {
        assert_eq!(ALL.after(b"one two", 0), 3);
        assert_eq!(ALL.after(b"one two", 3), 3);
        assert_eq!(ALL.after(b"one two", 4), 7);
        assert_eq!(ALL.after(b"one  two\nthree", 0), 8);
        assert_eq!(ALL.after(b"one, <two> \xc3\xa9 x.", 0), 16);
        let spaces = Cuts { line_breaks: false, ..ALL };
        assert_eq!(spaces.after(b"one\ntwo three", 0), 7);
        assert_eq!(ALL.after(b"", 0), 0);
        assert_eq!(ALL.after(b"a b", 100), 3);
    }

    #[test]
    fn no_cut_lies_in_an_added_token_or_depends_on_one() {
        let token = |content: &str| AddedToken {
            id: 0,
            content: content.into(),
            single_word: false,
            lstrip: false,
            rstrip: false,
            normalized: false,
            special: true,
        };
        let cut = |token: &AddedToken, text: &str| {
            let bars = Bar::all_of(token, &token.content, "\u{2581}");
            Cuts { line_breaks: true, bars: &bars }.after(text.as_bytes(), 0)
        };
        assert_eq!(cut(&token("New York"), "a New York is"), 1);
        assert_eq!(cut(&token("New York"), "new\nyork is"), 8);
        assert_eq!(cut(&token("ab c d"), "ab c d e"), 6);
        assert_eq!(cut(&token("x "), "x y z"), 3);
        assert_eq!(cut(&token("New\u{2581}York"), "New York is"), 8);
        // The right side holds all of these.
        for content in [" two", "<two", "- two"] {
            assert_eq!(cut(&token(content), "one two"), 3);
        }
        let single_word = AddedToken { single_word: true, ..token(" two") };
        assert_eq!(cut(&single_word, "one two x"), 7);
        let rstrip = AddedToken { rstrip: true, ..token("two") };
        assert_eq!(cut(&rstrip, "one two three"), 3);
        assert_eq!(cut(&rstrip, "ontwo three-o x y"), 15);
        assert_eq!(cut(&AddedToken { single_word: true, ..token(" ") }, "one two"), 7);
    }
}
