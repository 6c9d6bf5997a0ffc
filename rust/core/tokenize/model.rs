//! The model of a tokenizer.json, and its vocabulary.

use std::fmt::Formatter;

use rustc_hash::FxHashMap;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::entries::{Merge, Text};

/// Token -> id.
pub type Ids<'a> = FxHashMap<Text<'a>, u32>;

/// A model and its vocabulary.
#[derive(Debug)]
#[allow(missing_docs)] // names are the library's
pub enum Model<'a> {
    Bpe {
        vocab: Ids<'a>,
        merges: Vec<Merge<'a>>,
        dropout: Option<f32>,
        unk_token: Option<String>,
        continuing_subword_prefix: Option<String>,
        end_of_word_suffix: Option<String>,
        fuse_unk: bool,
        byte_fallback: bool,
        ignore_merges: bool,
    },
    WordPiece {
        vocab: Ids<'a>,
        unk_token: String,
        continuing_subword_prefix: String,
        max_input_chars_per_word: usize,
    },
    Unigram {
        vocab: Vec<(Text<'a>, f64)>,
        unk_id: Option<usize>,
        byte_fallback: bool,
    },
    WordLevel {
        vocab: Ids<'a>,
        unk_token: String,
    },
    Unknown {
        kind: String,
    },
}

/// The fields of all models. An internally tagged enum would be read into a tree first, which takes
/// longer than everything else for a large vocabulary.
#[derive(Deserialize)]
struct AnyModel<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    vocab: Option<Vocab<'a>>,
    #[serde(borrow)]
    merges: Option<Vec<Merge<'a>>>,
    dropout: Option<f32>,
    unk_token: Option<String>,
    unk_id: Option<usize>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    max_input_chars_per_word: Option<usize>,
    #[serde(default)]
    fuse_unk: bool,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    ignore_merges: bool,
}

enum Vocab<'a> {
    Ids(Ids<'a>),
    Scores(Vec<(Text<'a>, f64)>),
}

impl<'de: 'a, 'a> Deserialize<'de> for Vocab<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Vocab<'de>;

            fn expecting(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a vocabulary")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Vocab<'de>, A::Error> {
                Deserialize::deserialize(MapAccessDeserializer::new(map)).map(Vocab::Ids)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Vocab<'de>, A::Error> {
                Deserialize::deserialize(SeqAccessDeserializer::new(seq)).map(Vocab::Scores)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Model<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(AnyModel::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl<'a> TryFrom<AnyModel<'a>> for Model<'a> {
    type Error = &'static str;

    fn try_from(any: AnyModel<'a>) -> Result<Self, Self::Error> {
        Ok(match (&any.kind[..], any.vocab) {
            ("BPE", Some(Vocab::Ids(vocab))) => Self::Bpe {
                vocab,
                merges: any.merges.ok_or("a BPE model without merges")?,
                dropout: any.dropout,
                unk_token: any.unk_token,
                continuing_subword_prefix: any.continuing_subword_prefix,
                end_of_word_suffix: any.end_of_word_suffix,
                fuse_unk: any.fuse_unk,
                byte_fallback: any.byte_fallback,
                ignore_merges: any.ignore_merges,
            },
            ("WordPiece", Some(Vocab::Ids(vocab))) => Self::WordPiece {
                vocab,
                unk_token: any.unk_token.ok_or("a WordPiece model without unk_token")?,
                continuing_subword_prefix: any
                    .continuing_subword_prefix
                    .ok_or("a WordPiece model without continuing_subword_prefix")?,
                max_input_chars_per_word: any
                    .max_input_chars_per_word
                    .ok_or("a WordPiece model without max_input_chars_per_word")?,
            },
            ("Unigram", Some(Vocab::Scores(vocab))) => {
                Self::Unigram { vocab, unk_id: any.unk_id, byte_fallback: any.byte_fallback }
            }
            ("WordLevel", Some(Vocab::Ids(vocab))) => Self::WordLevel {
                vocab,
                unk_token: any.unk_token.ok_or("a WordLevel model without unk_token")?,
            },
            ("BPE" | "WordPiece" | "Unigram" | "WordLevel", _) => {
                return Err("a model without its vocabulary");
            }
            _ => Self::Unknown { kind: any.kind },
        })
    }
}
