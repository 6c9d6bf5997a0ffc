//! The normalizers that change characters one by one, or only compose and decompose them.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::tokenize::file::{Normalizer, Pattern};
use crate::{Error, Result};

#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    Nfc,
    Nfd,
    Nfkc,
    Nfkd,
    StripAccents,
    Lowercase,
    Replace(char, String),
}

/// All normalizers of a pipeline.
#[derive(Debug, Clone, Default)]
pub struct Normal {
    stages: Vec<Stage>,
}

impl Normal {
    /// The stages of `normalizer`.
    ///
    /// # Errors
    /// A normalizer is not supported.
    pub fn new(normalizer: Option<&Normalizer>) -> Result<Self> {
        let mut stages = Vec::new();
        if let Some(normalizer) = normalizer {
            collect(normalizer, &mut stages)?;
        }
        Ok(Self { stages })
    }

    /// Whether every text stays as it is.
    pub fn is_identity(&self) -> bool {
        self.stages.is_empty()
    }

    /// Whether ASCII changes in its case alone.
    pub fn keeps_ascii(&self) -> bool {
        !self.stages.iter().any(|stage| matches!(stage, Stage::Replace(..)))
    }

    /// A text, normalized.
    pub fn of(&self, text: &str) -> String {
        let mut out = String::new();
        self.apply(text, &mut out);
        out
    }

    /// Append `text`, normalized, to `out`.
    pub fn apply(&self, text: &str, out: &mut String) {
        let from = out.len();
        out.push_str(text);
        for stage in &self.stages {
            stage.apply(from, out);
        }
    }
}

impl Stage {
    /// Normalize what follows byte `from` of `text`.
    fn apply(&self, from: usize, text: &mut String) {
        let part = &text[from..];
        let new: String = match self {
            Self::Lowercase if part.is_ascii() => {
                text[from..].make_ascii_lowercase();
                return;
            }
            Self::Nfc | Self::Nfd | Self::Nfkc | Self::Nfkd | Self::StripAccents
                if part.is_ascii() =>
            {
                return;
            }
            Self::Lowercase => part.chars().flat_map(char::to_lowercase).collect(),
            Self::Nfc => part.nfc().collect(),
            Self::Nfd => part.nfd().collect(),
            Self::Nfkc => part.nfkc().collect(),
            Self::Nfkd => part.nfkd().collect(),
            Self::StripAccents => part.chars().filter(|&c| !is_combining_mark(c)).collect(),
            Self::Replace(from, to) => part.replace(*from, to),
        };
        text.truncate(from);
        text.push_str(&new);
    }
}

fn collect(normalizer: &Normalizer, stages: &mut Vec<Stage>) -> Result<()> {
    let refused = || Error::Pipeline { part: "normalizer", found: format!("{normalizer:?}") };
    stages.push(match normalizer {
        Normalizer::Nfc => Stage::Nfc,
        Normalizer::Nfd => Stage::Nfd,
        Normalizer::Nfkc => Stage::Nfkc,
        Normalizer::Nfkd => Stage::Nfkd,
        Normalizer::StripAccents => Stage::StripAccents,
        Normalizer::Lowercase => Stage::Lowercase,
        Normalizer::Replace { pattern: Pattern::String(text), content } => {
            let mut characters = text.chars();
            match (characters.next(), characters.next()) {
                (Some(one), None) => Stage::Replace(one, content.clone()),
                _ => return Err(refused()),
            }
        }
        Normalizer::Sequence { normalizers } => {
            return normalizers.iter().try_for_each(|each| collect(each, stages));
        }
        _ => return Err(refused()),
    });
    Ok(())
}
