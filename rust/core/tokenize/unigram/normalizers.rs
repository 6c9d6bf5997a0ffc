//! Reading the supported normalizers.

use super::charsmap::Charsmap;
use super::stage::{Stage, White};
use super::stages::{Stages, Strip};
use crate::tokenize::bpe::read::refused;
use crate::tokenize::file::{Normalizer, Pattern};
use crate::{Error, Result};

impl Stages {
    /// The stages of `normalizer`.
    ///
    /// # Errors
    /// A normalizer is not supported, or not at this position.
    pub fn new(normalizer: Option<&Normalizer>) -> Result<Self> {
        let mut sequence = Self::default();
        if let Some(normalizer) = normalizer {
            sequence.collect(normalizer)?;
        }
        let stages = &sequence.all;
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
        // What is prepended must stay, and nothing else may disappear or join with it.
        let is_simple = |stage: &Stage| matches!(stage, Stage::Lowercase | Stage::Spaces(_));
        if sequence.prepend.is_some() && !(sequence.strip.is_none() && stages.iter().all(is_simple))
        {
            return Err(unknown(normalizer));
        }
        Ok(sequence)
    }

    fn collect(&mut self, normalizer: &Normalizer) -> Result<()> {
        let refused = || Err(unknown(Some(normalizer)));
        let stage = match normalizer {
            Normalizer::Sequence { normalizers } => {
                return normalizers.iter().try_for_each(|one| self.collect(one));
            }
            &Normalizer::Strip { strip_left, strip_right } => {
                if self.strip.is_some() {
                    return refused();
                }
                let after = self.all.len();
                self.strip = Some(Strip { left: strip_left, right: strip_right, after });
                return Ok(());
            }
            Normalizer::Prepend { prepend } => {
                // Only before all others, so that it is normalized with the text.
                if !self.is_empty() || prepend.is_empty() {
                    return refused();
                }
                self.prepend = Some(prepend.clone());
                return Ok(());
            }
            Normalizer::Nfc => Stage::Nfc,
            Normalizer::Nfd => Stage::Nfd,
            Normalizer::Nfkc => Stage::Nfkc,
            Normalizer::Nfkd => Stage::Nfkd,
            Normalizer::StripAccents => Stage::StripAccents,
            Normalizer::Lowercase => Stage::Lowercase,
            Normalizer::Nmt => Stage::Nmt,
            Normalizer::Precompiled { precompiled_charsmap } => {
                match Charsmap::from_base64(precompiled_charsmap) {
                    Some(map) => Stage::Charsmap(map),
                    None => return refused(),
                }
            }
            Normalizer::Replace { pattern: Pattern::String(pattern), content }
                if pattern == " " && content.chars().count() == 1 =>
            {
                match content.chars().next() {
                    Some(content) if !content.is_whitespace() => Stage::Spaces(content),
                    _ => return refused(),
                }
            }
            Normalizer::Replace { pattern: Pattern::String(pattern), content }
                if !pattern.is_empty()
                    && !pattern.contains(char::is_whitespace)
                    && !content.contains(char::is_whitespace) =>
            {
                Stage::Replace { pattern: pattern.clone(), content: content.clone() }
            }
            Normalizer::Replace { pattern: Pattern::Regex(pattern), content } => {
                match White::of_pattern(pattern) {
                    Some(white) => Stage::Squeeze { white, content: content.clone() },
                    None => return refused(),
                }
            }
            _ => return refused(),
        };
        self.all.push(stage);
        Ok(())
    }
}

/// Whether `content` begins and ends with characters that join with nothing.
fn is_plain(content: &str) -> bool {
    let plain = |c: char| c == ' ' || c == '\u{2581}' || c.is_ascii_graphic();
    content.chars().next().is_some_and(plain) && content.chars().next_back().is_some_and(plain)
}

fn unknown(normalizer: Option<&Normalizer>) -> Error {
    refused("normalizer", &normalizer)
}
