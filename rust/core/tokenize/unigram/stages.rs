//! The sequence of normalizers, and their effect on single characters.

use super::alone::{Alone, Stripped};
use super::stage::Stage;

/// All normalizers of a pipeline.
#[derive(Debug, Clone, Default)]
pub struct Stages {
    pub(super) all: Vec<Stage>,
    /// White space that is removed around a text.
    pub(super) strip: Option<Strip>,
    /// A text that is put before every text that is not empty, and normalized with it.
    pub(super) prepend: Option<String>,
}

/// Which ends of a text lose their white space, and after how many stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strip {
    /// At its start.
    pub left: bool,
    /// At its end.
    pub right: bool,
    pub(super) after: usize,
}

impl Stages {
    /// A single stage with a precompiled map.
    #[cfg(test)]
    pub fn with_charsmap(map: super::charsmap::Charsmap) -> Self {
        Self { all: vec![Stage::Charsmap(map)], ..Self::default() }
    }

    /// Whether there are no stages.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty() && self.strip.is_none() && self.prepend.is_none()
    }

    /// Whether a precompiled map is the only stage. Then graphemes of characters of three and more bytes
    /// do not matter, since two of them are too long for the map.
    #[must_use]
    pub fn is_charsmap(&self) -> bool {
        matches!(self.all[..], [Stage::Charsmap(_)])
    }

    /// Whether the library still recognizes the start of a document after normalization. It does not if
    /// the first characters were removed or replaced, white space aside.
    #[must_use]
    pub fn keep_beginnings(&self) -> bool {
        !self
            .all
            .iter()
            .any(|stage| matches!(stage, Stage::StripAccents | Stage::Nmt | Stage::Replace { .. }))
    }

    /// Which white space around a text is removed.
    #[must_use]
    pub fn strip(&self) -> Option<Strip> {
        self.strip
    }

    /// Whether a text gets a prefix of its own.
    #[must_use]
    pub fn prepend(&self) -> bool {
        self.prepend.is_some()
    }

    /// Whether a single character stands for white space after normalization: the one that stands for a
    /// run of white space, or for each space.
    #[must_use]
    pub fn space(&self) -> Option<char> {
        self.all.iter().find_map(|stage| match stage {
            Stage::Squeeze { content, .. } if !content.contains(char::is_whitespace) => {
                content.chars().next()
            }
            Stage::Spaces(content) => Some(*content),
            _ => None,
        })
    }

    /// The most characters that are made of one.
    #[must_use]
    pub fn growth(&self) -> usize {
        self.all.iter().map(Stage::growth).fold(1, usize::saturating_mul)
    }

    /// Whether ASCII letters and digits stay as they are, case aside.
    #[must_use]
    pub fn keep_letters(&self) -> bool {
        let keeps = |byte: u8| {
            self.of(&char::from(byte).to_string())
                .eq_ignore_ascii_case(&char::from(byte).to_string())
        };
        let replaces = |stage: &Stage| match stage {
            Stage::Replace { pattern, .. } => pattern.contains(|c: char| c.is_ascii_alphanumeric()),
            _ => false,
        };
        (0..0x80).filter(u8::is_ascii_alphanumeric).all(keeps) && !self.all.iter().any(replaces)
    }

    /// Normalize `text` into `out`, which is cleared first; `spare` is a scratch buffer. White space around
    /// it stays, and nothing is prepended.
    pub fn apply(&self, text: &str, out: &mut String, spare: &mut String) {
        out.clear();
        out.push_str(text);
        for stage in &self.all {
            std::mem::swap(out, spare);
            out.clear();
            stage.apply(spare, out);
        }
    }

    /// Return the normalized `text`, as by [`Self::apply`].
    #[must_use]
    pub fn of(&self, text: &str) -> String {
        let (mut out, mut spare) = (String::new(), String::new());
        self.apply(text, &mut out, &mut spare);
        out
    }

    /// Return the normalized `text`, as by [`Self::apply_whole`].
    #[must_use]
    pub fn whole(&self, text: &str) -> String {
        let (mut out, mut spare) = (String::new(), String::new());
        self.apply_whole(text, (true, true), &mut out, &mut spare);
        out
    }

    /// What is prepended, normalized.
    #[must_use]
    pub fn prefix(&self) -> Option<String> {
        self.prepend.as_ref().map(|text| self.of(text))
    }

    /// Normalize `character` without neighbours.
    #[must_use]
    pub fn alone(&self, character: char) -> Alone {
        let mut alone = Alone {
            text: character.into(),
            independent: true,
            starts: true,
            ends: true,
            stripped: Stripped::default(),
        };
        for (number, stage) in self.all.iter().enumerate() {
            if self.strip.is_some_and(|strip| strip.after == number) {
                alone.stripped = alone.look_stripped();
            }
            if stage.sees_neighbours() && alone.text.is_empty() {
                // Its neighbours become adjacent.
                (alone.independent, alone.starts, alone.ends) = (false, false, false);
            }
            if let (Some(first), Some(last)) =
                (alone.text.chars().next(), alone.text.chars().next_back())
            {
                stage.look(first, last, &mut alone);
            }
            let mut out = String::new();
            stage.apply(&alone.text, &mut out);
            alone.text = out;
        }
        if self.strip.is_some_and(|strip| strip.after == self.all.len()) {
            alone.stripped = alone.look_stripped();
        }
        alone
    }

    /// Whether `text`, which is white space, stays white space at every stage. `also` counts as such, but
    /// is not removed around a text.
    #[must_use]
    pub fn keeps_white(&self, text: &str, also: char) -> bool {
        let mut text = text.to_owned();
        let strips = |at, text: &str| {
            self.strip.is_none_or(|strip| strip.after != at)
                || text.chars().all(char::is_whitespace)
        };
        for (number, stage) in self.all.iter().enumerate() {
            if !strips(number, &text) {
                return false;
            }
            let mut out = String::new();
            stage.apply(&text, &mut out);
            text = out;
            if text.is_empty() || !text.chars().all(|c| c.is_whitespace() || c == also) {
                return false;
            }
        }
        strips(self.all.len(), &text)
    }

    /// Normalize a piece of text as a whole into `out`, which is cleared first: white space around it is
    /// removed where it `begins` or `ends` a text, and what is prepended to a text that it begins is there.
    pub fn apply_whole(
        &self,
        text: &str,
        (begins, ends): (bool, bool),
        out: &mut String,
        spare: &mut String,
    ) {
        out.clear();
        if let Some(prefix) = self.prepend.as_ref().filter(|_| begins && !text.is_empty()) {
            out.push_str(prefix);
        }
        out.push_str(text);
        for number in 0..=self.all.len() {
            if let Some(strip) = self.strip.filter(|strip| strip.after == number) {
                if strip.right && ends {
                    out.truncate(out.trim_end().len());
                }
                if strip.left && begins {
                    out.drain(..out.len() - out.trim_start().len());
                }
            }
            if let Some(stage) = self.all.get(number) {
                std::mem::swap(out, spare);
                out.clear();
                stage.apply(spare, out);
            }
        }
    }
}
