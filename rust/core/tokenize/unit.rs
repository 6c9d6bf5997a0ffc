//! The parts of a text that are encoded independently: stretches, and units within them.

/// A byte range of a text: the smallest part whose ids do not depend on its surroundings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit {
    /// Its first byte.
    pub start: u32,
    /// One past its last byte.
    pub end: u32,
}

/// A part of a document that can be encoded independently (see [`super::stretches`]). The library
/// normalizes and splits each piece of a document by itself: pieces are the document and, where it has
/// added tokens, the texts between them.
#[derive(Debug, Clone, Copy)]
pub struct Stretch<'a> {
    /// The text.
    pub text: &'a str,
    /// Whether this is the start of the document.
    pub begins_document: bool,
    /// Whether this is the start of a piece.
    pub begins_piece: bool,
    /// Whether this is the end of a piece.
    pub ends_piece: bool,
}

impl Stretch<'_> {
    /// A part of it that the library would normalize and split by itself, unless it is the whole.
    #[must_use]
    pub fn between(&self, start: usize, end: usize) -> Self {
        Self {
            text: &self.text[start..end],
            begins_document: self.begins_document && start == 0,
            begins_piece: self.begins_piece || start > 0,
            ends_piece: self.ends_piece || end < self.text.len(),
        }
    }
}
