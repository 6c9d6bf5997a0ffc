//! One encoder type for all families.

use super::bpe::ByteLevelBpe;
use super::encode::{Around, Encoder};
use super::file::{PreTokenizer, TokenizerFile};
use super::model::Model;
use super::output::{Encoded, StoredId};
use super::sentencepiece_bpe::SentencePieceBpe;
use super::texts::Texts;
use super::unigram::{self, Unigram};
use super::wordpiece::WordPiece;
use super::words::{self, Words};
use crate::{Error, Result};

/// An encoder of any supported family.
pub enum Tokenizer {
    /// The family of BERT.
    WordPiece(Box<Encoder<WordPiece>>),
    /// The family of `RoBERTa` and `ModernBERT`, GPT-4, Llama 3 and Qwen.
    ByteLevelBpe(Box<Encoder<ByteLevelBpe>>),
    /// The family of Llama 2, Mistral and Gemma.
    SentencePieceBpe(Box<Encoder<SentencePieceBpe>>),
    /// The family of XLM-R, T5 and `XLNet`.
    Unigram(Box<Encoder<Unigram>>),
    /// Vocabularies of words, characters and k-mers.
    Words(Box<Encoder<Words>>),
}

impl Tokenizer {
    /// Read tokenizer.json. Stretches that hold one of the code points of `exceptions` are left to
    /// the library.
    ///
    /// # Errors
    /// The pipeline belongs to none of the families.
    pub fn from_json(json: &str, exceptions: &[u32]) -> Result<Self> {
        let file = TokenizerFile::parse(json)?;
        file.require_known_steps()?;
        match &file.model {
            Model::WordPiece { .. } => {
                WordPiece::from_file(&file, exceptions).map(Box::new).map(Self::WordPiece)
            }
            model
                if words::characters_of(model).is_some()
                    && !is_byte_level(file.pre_tokenizer.as_ref()) =>
            {
                Words::from_file(&file, exceptions).map(Box::new).map(Self::Words)
            }
            Model::Bpe { .. } if !is_byte_level(file.pre_tokenizer.as_ref()) => {
                SentencePieceBpe::from_file(&file, exceptions)
                    .map(Box::new)
                    .map(Self::SentencePieceBpe)
            }
            Model::Bpe { .. } => {
                ByteLevelBpe::from_file(&file, exceptions).map(Box::new).map(Self::ByteLevelBpe)
            }
            Model::Unigram { .. } => {
                unigram::from_file(&file, exceptions).map(Box::new).map(Self::Unigram)
            }
            Model::WordLevel { .. } => {
                Words::from_file(&file, exceptions).map(Box::new).map(Self::Words)
            }
            Model::Unknown { kind } => Err(Error::Pipeline { part: "model", found: kind.clone() }),
        }
    }

    /// The family's name.
    #[must_use]
    pub fn family(&self) -> &'static str {
        match self {
            Self::WordPiece(_) => "WordPiece",
            Self::ByteLevelBpe(_) => "byte-level BPE",
            Self::SentencePieceBpe(_) => "SentencePiece BPE",
            Self::Unigram(_) => "Unigram",
            Self::Words(_) => "WordLevel",
        }
    }

    /// See [`super::encode::Encoder::encode`].
    ///
    /// # Errors
    /// As there.
    pub fn encode<T: StoredId>(
        &self,
        texts: &Texts,
        around: Around<'_>,
        threads: Option<usize>,
    ) -> Result<Encoded<T>> {
        match self {
            Self::WordPiece(encoder) => encoder.encode(texts, around, threads),
            Self::ByteLevelBpe(encoder) => encoder.encode(texts, around, threads),
            Self::SentencePieceBpe(encoder) => encoder.encode(texts, around, threads),
            Self::Unigram(encoder) => encoder.encode(texts, around, threads),
            Self::Words(encoder) => encoder.encode(texts, around, threads),
        }
    }
}

fn is_byte_level(pre_tokenizer: Option<&PreTokenizer>) -> bool {
    match pre_tokenizer {
        Some(PreTokenizer::ByteLevel { .. }) => true,
        Some(PreTokenizer::Sequence { pretokenizers }) => {
            pretokenizers.iter().any(|part| is_byte_level(Some(part)))
        }
        _ => false,
    }
}
