//! What is put before the first word of a text, where it is not what other words have before them.
//!
//! A unit's ids depend on its bytes alone, since they are remembered. So the first unit of some texts
//! begins with a mark, a character that texts do not have.

use super::splitting::{Prepend, Splitting};
use super::stages::Stages;
use crate::tokenize::unit::Stretch;

/// Begins a unit that nothing is put before. It is no character of Unicode, nor will it be one.
const NOTHING: &str = "\u{10fffe}";
/// Begins a unit that gets a space by the rule for words, not by white space before it.
const PREFIX: &str = "\u{10ffff}";
/// The first byte of the marks.
const MARK: u8 = NOTHING.as_bytes()[0];

/// What there is before a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// A space, of white space before it or put there.
    Space,
    /// A space that was put there; the unit begins a text.
    Prefix,
    /// Nothing.
    Nothing,
}

/// What texts begin with.
#[derive(Debug, Clone, Copy)]
pub struct Leads {
    /// A normalizer puts a space before each text.
    always_one: bool,
    /// White space is dropped, and what is before words does not depend on it.
    by_words: bool,
    /// What there is before a text that begins a document.
    document: Before,
    /// What there is before other texts that do not begin with white space: those after added tokens.
    other: Before,
}

impl Leads {
    /// What texts begin with in this pipeline.
    pub fn new(stages: &Stages, splitting: &Splitting) -> Self {
        let always_one = stages.prepend();
        let always = if splitting.apart.is_any() { Before::Prefix } else { Before::Space };
        let (document, other) = match splitting.prepend {
            _ if splitting.at_white || always_one => (Before::Space, Before::Space),
            Prepend::Always => (always, always),
            Prepend::First => (always, Before::Nothing),
            Prepend::Never => (Before::Nothing, Before::Nothing),
        };
        Self { always_one, by_words: splitting.at_white, document, other }
    }

    /// What is to be put before `text`, that of `stretch`; `None` if the library must encode it.
    pub fn of(self, stretch: Stretch<'_>, text: &str, begins_white: bool) -> Option<&'static str> {
        if self.has_marks() && memchr::memchr(MARK, text.as_bytes()).is_some() {
            return None;
        }
        if self.always_one {
            // The white space before other stretches is that of the document.
            return Some(if stretch.begins_piece && !text.is_empty() { " " } else { "" });
        }
        if begins_white {
            return Some("");
        }
        Some(match if stretch.begins_document { self.document } else { self.other } {
            Before::Space => "",
            Before::Prefix => PREFIX,
            Before::Nothing => NOTHING,
        })
    }

    /// What there is before the text of `stretch` as a whole. One that is cut off another begins with
    /// white space of its own.
    pub fn before(self, stretch: Stretch<'_>) -> Before {
        if self.by_words {
            return Before::Space;
        }
        if self.always_one || !stretch.begins_piece {
            return Before::Nothing;
        }
        match if stretch.begins_document { self.document } else { self.other } {
            Before::Space => Before::Prefix,
            other => other,
        }
    }

    /// What there is before `unit`, and the unit without its mark.
    #[inline]
    pub fn take(self, unit: &str) -> (Before, &str) {
        if !self.has_marks() || unit.as_bytes().first() != Some(&MARK) {
            return (Before::Space, unit);
        }
        match (unit.strip_prefix(NOTHING), unit.strip_prefix(PREFIX)) {
            (Some(unit), _) => (Before::Nothing, unit),
            (_, Some(unit)) => (Before::Prefix, unit),
            _ => (Before::Space, unit),
        }
    }

    fn has_marks(self) -> bool {
        self.document != Before::Space || self.other != Before::Space
    }
}
