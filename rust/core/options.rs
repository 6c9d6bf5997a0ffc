//! The options of the masks, as their user gives them.

use crate::mask_rate::MaskRate;

/// What is chosen as one.
#[derive(Debug, Clone, PartialEq)]
pub enum Mode {
    /// Tokens, each on its own.
    Token,
    /// Words; each token of a chosen word is replaced on its own.
    WholeWord {
        /// For each id of the vocabulary, whether it begins a word.
        starts: Vec<bool>,
    },
    /// Spans (`SpanBERT`) until a row's share is masked; a span is replaced as one.
    Span {
        /// For each id of the vocabulary, whether it begins a word, where spans are of whole
        /// words; else they are of tokens.
        starts: Option<Vec<bool>>,
        /// Parameter of the geometric lengths.
        probability: f64,
        /// The longest length.
        longest: usize,
    },
}

/// The options of the masks, as their user gives them.
#[derive(Debug, Clone)]
pub struct MaskOptions {
    /// The id that hides a token.
    pub mask_token_id: u32,
    /// Random words are drawn from `0..vocab_size`.
    pub vocab_size: u32,
    /// Ids that are never chosen.
    pub special_ids: Vec<u32>,
    /// What is chosen as one.
    pub mode: Mode,
    /// Share of the tokens that are chosen.
    pub mlm_probability: MaskRate,
    /// Choose exactly this many tokens per row (all of them if a row has fewer), not a share.
    pub masks_per_row: Option<usize>,
    /// Choose at least one token (or word) in every row.
    pub at_least_one: bool,
    /// Share of the chosen tokens that become the mask token.
    pub mask_replace_prob: f64,
    /// Share of the chosen tokens that become a random word.
    pub random_replace_prob: f64,
    /// Whether a random word may be a special id or the mask token.
    pub random_specials: bool,
}
