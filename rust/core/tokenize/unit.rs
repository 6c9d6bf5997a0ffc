//! The parts of a text that are encoded independently: stretches, and units within them.

/// A byte range of a text: the smallest part whose ids do not depend on its surroundings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit {
    /// Its first byte.
    pub start: u32,
    /// One past its last byte.
    pub end: u32,
}

/// A part of a document that can be encoded independently (see [`super::stretches`]).
#[derive(Debug, Clone, Copy)]
pub struct Stretch<'a> {
    /// The text.
    pub text: &'a str,
    /// Whether this is the start of the document.
    pub begins_document: bool,
}
