//! The sequence of normalizers, and their effect on single characters.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{canonical_combining_class, is_combining_mark};
use unicode_normalization::{
    IsNormalized, is_nfc_quick, is_nfd_quick, is_nfkc_quick, is_nfkd_quick,
};

use super::charsmap::Charsmap;
use super::graphemes::{joins_after, joins_before, joins_space_after, joins_space_before};
use crate::tokenize::file::{Normalizer, Pattern};
use crate::{Error, Result};

/// One normalizer.
#[derive(Debug, Clone)]
enum Stage {
    Nfc,
    Nfd,
    Nfkc,
    Nfkd,
    StripAccents,
    Lowercase,
    Nmt,
    Charsmap(Charsmap),
    Replace {
        pattern: String,
        content: String,
    },
    /// Runs of white space, or of two and more spaces, become one text.
    Squeeze {
        all: bool,
        content: String,
    },
}

/// All normalizers of a pipeline.
#[derive(Debug, Clone, Default)]
pub struct Stages {
    stages: Vec<Stage>,
}

/// A character normalized without neighbours.
#[derive(Debug, Clone)]
pub struct Alone {
    /// Its normalized text.
    pub text: String,
    /// Whether the result is the same beside any other character with this property.
    pub independent: bool,
    /// Whether the text up to and including white space before it is normalized independently.
    pub starts: bool,
    /// Whether the text from white space after it on is normalized independently.
    pub ends: bool,
}

impl Stages {
    /// The stages of `normalizer`.
    ///
    /// # Errors
    /// A normalizer is not supported, or not at this position.
    pub fn new(normalizer: Option<&Normalizer>) -> Result<Self> {
        let mut stages = Vec::new();
        if let Some(normalizer) = normalizer {
            collect(normalizer, &mut stages)?;
        }
        let charsmap = stages.iter().position(|stage| matches!(stage, Stage::Charsmap(_)));
        let last_sensitive = stages.iter().rposition(Stage::sees_neighbours);
        for (number, stage) in stages.iter().enumerate() {
            let refused = match stage {
                Stage::Charsmap(_) => charsmap != Some(number),
                // The characters on both sides of deleted text would become neighbours.
                Stage::Replace { content, .. } | Stage::Squeeze { content, .. } => {
                    last_sensitive.is_some_and(|last| last > number) && !is_plain(content)
                }
                _ => false,
            };
            if refused {
                return Err(unknown(normalizer));
            }
        }
        Ok(Self { stages })
    }

    /// A single stage with a precompiled map.
    #[cfg(test)]
    pub fn with_charsmap(map: Charsmap) -> Self {
        Self { stages: vec![Stage::Charsmap(map)] }
    }

    /// Whether there are no stages.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }

    /// Whether a precompiled map is the only stage. Then graphemes of characters of three and more bytes
    /// do not matter, since two of them are too long for the map.
    #[must_use]
    pub fn is_charsmap(&self) -> bool {
        matches!(self.stages[..], [Stage::Charsmap(_)])
    }

    /// Whether the library still recognizes the start of a document after normalization. It does not if
    /// the first characters were removed or replaced, white space aside.
    #[must_use]
    pub fn keep_beginnings(&self) -> bool {
        !self
            .stages
            .iter()
            .any(|stage| matches!(stage, Stage::StripAccents | Stage::Nmt | Stage::Replace { .. }))
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
        (0..0x80).filter(u8::is_ascii_alphanumeric).all(keeps) && !self.stages.iter().any(replaces)
    }

    /// Normalize `text` into `out`, which is cleared first; `spare` is a scratch buffer.
    pub fn apply(&self, text: &str, out: &mut String, spare: &mut String) {
        out.clear();
        out.push_str(text);
        for stage in &self.stages {
            std::mem::swap(out, spare);
            out.clear();
            stage.apply(spare, out);
        }
    }

    /// Return the normalized `text`.
    #[must_use]
    pub fn of(&self, text: &str) -> String {
        let (mut out, mut spare) = (String::new(), String::new());
        self.apply(text, &mut out, &mut spare);
        out
    }

    /// Normalize `character` without neighbours.
    #[must_use]
    pub fn alone(&self, character: char) -> Alone {
        let mut alone =
            Alone { text: character.into(), independent: true, starts: true, ends: true };
        for stage in &self.stages {
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
        alone
    }

    /// Whether `text`, which is white space, stays white space at every stage.
    #[must_use]
    pub fn keeps_white(&self, text: &str, also: char) -> bool {
        let mut text = text.to_owned();
        for stage in &self.stages {
            let mut out = String::new();
            stage.apply(&text, &mut out);
            text = out;
            if text.is_empty() || !text.chars().all(|c| c.is_whitespace() || c == also) {
                return false;
            }
        }
        true
    }
}

impl Stage {
    fn apply(&self, text: &str, out: &mut String) {
        match self {
            Self::Nfc if is_nfc_quick(text.chars()) != IsNormalized::Yes => out.extend(text.nfc()),
            Self::Nfd if is_nfd_quick(text.chars()) != IsNormalized::Yes => out.extend(text.nfd()),
            Self::Nfkc if is_nfkc_quick(text.chars()) != IsNormalized::Yes => {
                out.extend(text.nfkc());
            }
            Self::Nfkd if is_nfkd_quick(text.chars()) != IsNormalized::Yes => {
                out.extend(text.nfkd());
            }
            Self::Nfc | Self::Nfd | Self::Nfkc | Self::Nfkd => out.push_str(text),
            Self::StripAccents => out.extend(text.chars().filter(|&c| !is_combining_mark(c))),
            Self::Lowercase => out.extend(text.chars().flat_map(char::to_lowercase)),
            Self::Nmt => out.extend(text.chars().filter_map(nmt)),
            Self::Charsmap(map) => map.apply(text, out),
            Self::Replace { pattern, content } => {
                let mut parts = text.split(pattern.as_str());
                out.extend(parts.next());
                for part in parts {
                    out.push_str(content);
                    out.push_str(part);
                }
            }
            Self::Squeeze { all, content } => squeeze(text, *all, content, out),
        }
    }

    /// Whether the result of a character depends on its neighbours.
    fn sees_neighbours(&self) -> bool {
        match self {
            Self::StripAccents | Self::Lowercase | Self::Nmt => false,
            Self::Replace { pattern, .. } => pattern.chars().nth(1).is_some(),
            _ => true,
        }
    }

    /// How this stage treats a text that begins with `first` and ends in `last`.
    fn look(&self, first: char, last: char, alone: &mut Alone) {
        match self {
            Self::Nfc | Self::Nfd | Self::Nfkc | Self::Nfkd => {
                let mut head = [first].into_iter().nfkd();
                let stays = head.next().is_none_or(|head| {
                    canonical_combining_class(head) == 0
                        && is_nfkc_quick([head].into_iter()) == IsNormalized::Yes
                });
                alone.independent &= stays;
                alone.starts &= stays;
            }
            Self::Charsmap(_) => {
                alone.independent &= !joins_before(first) && !joins_after(last);
                alone.starts &= !joins_space_before(first);
                alone.ends &= !joins_space_after(last) && last != '\r';
            }
            Self::Replace { pattern, .. } if self.sees_neighbours() => {
                alone.independent &= !alone.text.contains(|c| pattern.contains(c));
            }
            Self::Squeeze { .. } => {
                alone.independent &= !alone.text.contains(char::is_whitespace);
                alone.starts &= !first.is_whitespace();
                alone.ends &= !last.is_whitespace();
            }
            Self::StripAccents | Self::Lowercase | Self::Nmt | Self::Replace { .. } => {}
        }
    }
}

fn collect(normalizer: &Normalizer, stages: &mut Vec<Stage>) -> Result<()> {
    let stage = match normalizer {
        Normalizer::Sequence { normalizers } => {
            return normalizers.iter().try_for_each(|one| collect(one, stages));
        }
        Normalizer::Nfc => Stage::Nfc,
        Normalizer::Nfd => Stage::Nfd,
        Normalizer::Nfkc => Stage::Nfkc,
        Normalizer::Nfkd => Stage::Nfkd,
        Normalizer::StripAccents => Stage::StripAccents,
        Normalizer::Lowercase => Stage::Lowercase,
        Normalizer::Nmt => Stage::Nmt,
        Normalizer::Precompiled { precompiled_charsmap } => Stage::Charsmap(
            Charsmap::from_base64(precompiled_charsmap).ok_or_else(|| unknown(Some(normalizer)))?,
        ),
        Normalizer::Replace { pattern: Pattern::String(pattern), content }
            if !pattern.is_empty()
                && !pattern.contains(char::is_whitespace)
                && !content.contains(char::is_whitespace) =>
        {
            Stage::Replace { pattern: pattern.clone(), content: content.clone() }
        }
        Normalizer::Replace { pattern: Pattern::Regex(pattern), content }
            if matches!(pattern.as_str(), r"\s+" | " {2,}") =>
        {
            Stage::Squeeze { all: pattern == r"\s+", content: content.clone() }
        }
        _ => return Err(unknown(Some(normalizer))),
    };
    stages.push(stage);
    Ok(())
}

/// Whether `content` begins and ends with characters that join with nothing.
fn is_plain(content: &str) -> bool {
    let plain = |c: char| c == ' ' || c == '\u{2581}' || c.is_ascii_graphic();
    content.chars().next().is_some_and(plain) && content.chars().next_back().is_some_and(plain)
}

fn squeeze(text: &str, all: bool, content: &str, out: &mut String) {
    let is_white = |c: char| c == ' ' || all && c.is_whitespace();
    let mut rest = text;
    while let Some(start) = rest.find(is_white) {
        let (before, run) = rest.split_at(start);
        let end = run.find(|c| !is_white(c)).unwrap_or(run.len());
        let (run, after) = run.split_at(end);
        out.push_str(before);
        out.push_str(if all || end > 1 { content } else { run });
        rest = after;
    }
    out.push_str(rest);
}

/// The `Nmt` rules: remove controls, replace unusual white space by a space.
fn nmt(character: char) -> Option<char> {
    match character {
        '\u{1}'..='\u{8}' | '\u{b}' | '\u{e}'..='\u{1f}' | '\u{7f}' | '\u{8f}' | '\u{9f}' => None,
        '\t'
        | '\n'
        | '\u{c}'
        | '\r'
        | '\u{1680}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'
        | '\u{2029}'
        | '\u{2581}'
        | '\u{feff}'
        | '\u{fffd}' => Some(' '),
        other => Some(other),
    }
}

fn unknown(normalizer: Option<&Normalizer>) -> Error {
    let mut found = format!("{normalizer:?}");
    if let Some((end, _)) = found.char_indices().nth(200) {
        found.truncate(end);
    }
    Error::Pipeline { part: "normalizer", found }
}
