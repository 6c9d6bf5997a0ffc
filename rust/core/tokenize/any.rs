//! The families under one name.

use super::bpe::ByteLevelBpe;
use super::encode::Encoder;
use super::file::{Model, TokenizerFile};
use super::output::{Encoded, StoredId};
use super::texts::Texts;
use crate::{Error, Result};

/// A tokenizer of a family that is encoded here.
pub enum Tokenizer {
    /// That of `RoBERTa` and `ModernBERT`.
    ByteLevelBpe(Encoder<ByteLevelBpe>),
}

impl Tokenizer {
    /// Read tokenizer.json. Stretches that hold one of the code points of `exceptions` are left to
    /// the library.
    ///
    /// # Errors
    /// A pipeline that belongs to none of the families.
    pub fn from_json(json: &str, exceptions: &[u32]) -> Result<Self> {
        let file = TokenizerFile::parse(json)?;
        match &file.model {
            Model::Bpe { .. } => {
                Ok(Self::ByteLevelBpe(ByteLevelBpe::from_file(&file, exceptions)?))
            }
            Model::WordPiece { .. } => Err(unknown("WordPiece")),
            Model::Unigram { .. } => Err(unknown("Unigram")),
            Model::Unknown => Err(unknown("unknown")),
        }
    }

    /// The family's name.
    #[must_use]
    pub fn family(&self) -> &'static str {
        match self {
            Self::ByteLevelBpe(_) => "byte-level BPE",
        }
    }

    /// See [`super::encode::Encoder::encode`].
    ///
    /// # Errors
    /// As there.
    pub fn encode<T: StoredId>(&self, texts: &Texts, threads: Option<usize>) -> Result<Encoded<T>> {
        match self {
            Self::ByteLevelBpe(encoder) => encoder.encode(texts, threads),
        }
    }
}

fn unknown(found: &str) -> Error {
    Error::Pipeline { part: "model", found: found.into() }
}
