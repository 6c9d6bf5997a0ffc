//! What a family cuts a text into before it looks anything up: stretches, and units within them.

/// A word in a text, in bytes: the smallest part whose ids depend on nothing around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit {
    /// Its first byte.
    pub start: u32,
    /// One past its last byte.
    pub end: u32,
}

/// A stretch of a document that can be encoded on its own (see [`super::stretches`]).
#[derive(Debug, Clone, Copy)]
pub struct Stretch<'a> {
    /// The text.
    pub text: &'a str,
    /// Does the document begin here?
    pub begins_document: bool,
}
