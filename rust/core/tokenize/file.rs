//! tokenizer.json, as far as the core understands it.

use std::collections::HashMap;

use serde::Deserialize;

use crate::{Error, Result};

/// A tokenizer's file, in the form in which its library writes it today.
#[derive(Debug, Deserialize)]
pub struct TokenizerFile {
    /// Changes the text first.
    pub normalizer: Option<Normalizer>,
    /// Splits it into words.
    pub pre_tokenizer: Option<PreTokenizer>,
    /// Turns words into tokens.
    pub model: Model,
    /// Tokens that are found in the text before anything else.
    #[serde(default)]
    pub added_tokens: Vec<AddedToken>,
}

/// A token that was added to a model's vocabulary, special or not.
#[derive(Debug, Clone, Deserialize)]
#[allow(clippy::struct_excessive_bools)] // the file's own
pub struct AddedToken {
    /// Its id.
    pub id: u32,
    /// Its text.
    pub content: String,
    /// Only as a word of its own.
    #[serde(default)]
    pub single_word: bool,
    /// Takes white space before it along.
    #[serde(default)]
    pub lstrip: bool,
    /// Takes white space after it along.
    #[serde(default)]
    pub rstrip: bool,
    /// Is looked for in the text after normalization.
    #[serde(default)]
    pub normalized: bool,
    /// Is left out of decoded text.
    #[serde(default)]
    pub special: bool,
}

/// What is replaced, in `Replace` and `Split`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub enum Pattern {
    /// A text.
    String(String),
    /// A regular expression of Oniguruma.
    Regex(String),
}

/// A normalizer, or several in turn.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "type")]
#[allow(missing_docs)] // names are the library's
pub enum Normalizer {
    BertNormalizer {
        clean_text: bool,
        handle_chinese_chars: bool,
        strip_accents: Option<bool>,
        lowercase: bool,
    },
    #[serde(rename = "NFC")]
    Nfc,
    #[serde(rename = "NFD")]
    Nfd,
    #[serde(rename = "NFKC")]
    Nfkc,
    #[serde(rename = "NFKD")]
    Nfkd,
    Nmt,
    StripAccents,
    Lowercase,
    Replace {
        pattern: Pattern,
        content: String,
    },
    Precompiled {
        precompiled_charsmap: String,
    },
    Sequence {
        normalizers: Vec<Normalizer>,
    },
    #[serde(other)]
    Unknown,
}

/// A pre-tokenizer, or several in turn.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "type")]
#[allow(missing_docs)] // names are the library's
pub enum PreTokenizer {
    BertPreTokenizer,
    ByteLevel {
        add_prefix_space: bool,
        #[serde(default = "yes")]
        use_regex: bool,
    },
    WhitespaceSplit,
    Metaspace {
        replacement: char,
        #[serde(default = "always")]
        prepend_scheme: String,
        #[serde(default = "yes")]
        split: bool,
    },
    Sequence {
        pretokenizers: Vec<PreTokenizer>,
    },
    #[serde(other)]
    Unknown,
}

/// A model and its vocabulary.
#[derive(Debug, Deserialize)]
#[serde(tag = "type")]
#[allow(missing_docs)] // names are the library's
pub enum Model {
    #[serde(rename = "BPE")]
    Bpe {
        vocab: HashMap<String, u32>,
        merges: Vec<Merge>,
        dropout: Option<f32>,
        unk_token: Option<String>,
        continuing_subword_prefix: Option<String>,
        end_of_word_suffix: Option<String>,
        #[serde(default)]
        fuse_unk: bool,
        #[serde(default)]
        byte_fallback: bool,
        #[serde(default)]
        ignore_merges: bool,
    },
    WordPiece {
        vocab: HashMap<String, u32>,
        unk_token: String,
        continuing_subword_prefix: String,
        max_input_chars_per_word: usize,
    },
    Unigram {
        vocab: Vec<(String, f64)>,
        unk_id: Option<usize>,
        #[serde(default)]
        byte_fallback: bool,
    },
    #[serde(other)]
    Unknown,
}

/// Two tokens that become one.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Merge {
    /// As it is written today.
    Pair(String, String),
    /// As it was written once, with a space between the two.
    Text(String),
}

impl Merge {
    /// The two tokens.
    #[must_use]
    pub fn pair(&self) -> Option<(&str, &str)> {
        match self {
            Self::Pair(left, right) => Some((left, right)),
            Self::Text(both) => both.split_once(' '),
        }
    }
}

impl TokenizerFile {
    /// Read a tokenizer.json.
    ///
    /// # Errors
    /// A file of another form.
    pub fn parse(json: &str) -> Result<Self> {
        serde_json::from_str(json)
            .map_err(|error| Error::Pipeline { part: "tokenizer.json", found: error.to_string() })
    }
}

fn yes() -> bool {
    true
}

fn always() -> String {
    "always".into()
}
