//! The parts of a tokenizer.json that the core supports.

use serde::Deserialize;

use super::model::Model;
use crate::{Error, Result};

/// A tokenizer.json, in the format that the library writes today.
#[derive(Debug, Deserialize)]
pub struct TokenizerFile<'a> {
    /// Normalizes the text first.
    pub normalizer: Option<Normalizer>,
    /// Splits it into words.
    pub pre_tokenizer: Option<PreTokenizer>,
    /// Turns words into tokens.
    #[serde(borrow)]
    pub model: Model<'a>,
    /// Tokens that are matched in the text before anything else.
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
    /// Whether it matches only as a whole word.
    #[serde(default)]
    pub single_word: bool,
    /// Whether it also strips the white space before it.
    #[serde(default)]
    pub lstrip: bool,
    /// Whether it also strips the white space after it.
    #[serde(default)]
    pub rstrip: bool,
    /// Whether it is matched after normalization.
    #[serde(default)]
    pub normalized: bool,
    /// Whether decoding can skip it.
    #[serde(default)]
    pub special: bool,
}

/// The pattern of `Replace` and `Split`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub enum Pattern {
    /// A text.
    String(String),
    /// A regular expression of Oniguruma.
    Regex(String),
}

/// A step of a kind that the core does not know, or whose options it does not.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct UnknownStep {
    /// Its kind.
    #[serde(rename = "type")]
    pub kind: String,
}

/// A normalizer, or a sequence of them.
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
    Strip {
        strip_left: bool,
        strip_right: bool,
    },
    Prepend {
        prepend: String,
    },
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
    #[serde(untagged)]
    Unknown(UnknownStep),
}

/// What becomes of the text that a pre-tokenizer splits at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[allow(missing_docs)] // names are the library's
pub enum Behavior {
    Removed,
    Isolated,
    MergedWithPrevious,
    MergedWithNext,
    Contiguous,
}

/// A pre-tokenizer, or a sequence of them.
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
    CharDelimiterSplit {
        delimiter: char,
    },
    Digits {
        individual_digits: bool,
    },
    Punctuation {
        #[serde(default = "isolated")]
        behavior: Behavior,
    },
    Split {
        pattern: Pattern,
        behavior: Behavior,
        #[serde(default)]
        invert: bool,
    },
    Whitespace,
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
    #[serde(untagged)]
    Unknown(UnknownStep),
}

impl<'a> TokenizerFile<'a> {
    /// Read a tokenizer.json.
    ///
    /// # Errors
    /// The file has another format.
    pub fn parse(json: &'a str) -> Result<Self> {
        serde_json::from_str(json)
            .map_err(|error| Error::Pipeline { part: "tokenizer.json", found: error.to_string() })
    }

    /// Refuse a file with a step of a kind that no family knows.
    ///
    /// # Errors
    /// There is such a step.
    pub fn require_known_steps(&self) -> Result<()> {
        let steps = [
            ("normalizer", self.normalizer.as_ref().and_then(Normalizer::unknown)),
            ("pre-tokenizer", self.pre_tokenizer.as_ref().and_then(PreTokenizer::unknown)),
        ];
        match steps.into_iter().find_map(|(part, kind)| Some((part, kind?))) {
            Some((part, kind)) => Err(Error::Pipeline { part, found: kind.to_owned() }),
            None => Ok(()),
        }
    }
}

impl Normalizer {
    fn unknown(&self) -> Option<&str> {
        match self {
            Self::Sequence { normalizers } => normalizers.iter().find_map(Self::unknown),
            Self::Unknown(step) => Some(&step.kind),
            _ => None,
        }
    }
}

impl PreTokenizer {
    fn unknown(&self) -> Option<&str> {
        match self {
            Self::Sequence { pretokenizers } => pretokenizers.iter().find_map(Self::unknown),
            Self::Unknown(step) => Some(&step.kind),
            _ => None,
        }
    }
}

fn yes() -> bool {
    true
}

fn always() -> String {
    "always".into()
}

fn isolated() -> Behavior {
    Behavior::Isolated
}
