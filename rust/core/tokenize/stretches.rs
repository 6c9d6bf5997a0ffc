//! Splitting documents into stretches: where a text can be cut so that both sides are encoded
//! independently.
//!
//! One kind of position is valid in every pipeline of [`super::family`]: between an ASCII letter or
//! digit and a single space or line break that another ASCII letter or digit follows. The white space
//! belongs to the right side. Normalizers work within graphemes, which end there; words of byte-level
//! BPE include the space before them; tokenizers with added tokens that contain white space are
//! refused. Some pipelines (see [`super::family::Family::cuts_at_line_breaks`]) can be cut at spaces
//! only.

/// Approximate bytes of a stretch, the unit that is sent to the library and that the buffers hold.
/// Small enough for the first-level cache.
pub const STRETCH: usize = 2048;

/// The first position from `at` on where `text` can be cut, or its end.
#[must_use]
pub fn cut_after(text: &[u8], at: usize, line_breaks: bool) -> usize {
    let from = at.max(1) - 1;
    let Some(rest) = text.get(from..) else { return text.len() };
    let is_letter = |at: usize| rest.get(at).is_some_and(u8::is_ascii_alphanumeric);
    memchr::memchr2_iter(b' ', if line_breaks { b'\n' } else { b' ' }, rest)
        .find(|&at| at > 0 && is_letter(at - 1) && is_letter(at + 1))
        .map_or(text.len(), |found| from + found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_are_before_single_white_space_between_words() {
        assert_eq!(cut_after(b"one two", 0, true), 3);
        assert_eq!(cut_after(b"one two", 3, true), 3);
        assert_eq!(cut_after(b"one two", 4, true), 7);
        assert_eq!(cut_after(b"one  two\nthree", 0, true), 8);
        assert_eq!(cut_after(b"one, <two> \xc3\xa9 x.", 0, true), 16);
        assert_eq!(cut_after(b"", 0, true), 0);
        assert_eq!(cut_after(b"a b", 100, true), 3);
        assert_eq!(cut_after(b"a\nb c", 0, false), 3);
    }
}
