//! `WordPiece` with BERT's normalizer and pre-tokenizer.
//!
//! White space and ASCII punctuation always end a word, and so do ideographs (if spaces are put around
//! them) and Unicode punctuation that normalization leaves unchanged. Cleaning, accent stripping and
//! lowercasing work character by character or reorder the marks after a letter; the text between two
//! such word ends is therefore a unit.

mod classes;
mod normalize;
mod pieces;
mod scan;

use fearless_simd::{Simd, dispatch};

use self::classes::{Classes, Options};
use self::normalize::Normalizer;
use self::pieces::Pieces;
use super::added::{Added, Surroundings};
use super::encode::Encoder;
use super::family::Family;
use super::file::{self, PreTokenizer, TokenizerFile};
use super::memo::View;
use super::model::Model;
use super::simd;
use super::unit::{Stretch, Unit};
use crate::{Error, Result};

/// Number of vocabulary words that a memo is filled with, small enough for the caches.
const PREFILLED: usize = 1 << 16;

/// BERT's tokenizers.
pub struct WordPiece {
    normalizer: Normalizer,
    pieces: Pieces,
    /// The vocabulary's words without continuation pieces, in the order of their ids.
    words: Vec<String>,
}

/// Buffers for units that are not in the memo.
#[derive(Debug, Default)]
pub struct Scratch {
    text: normalize::Buffers,
}

impl WordPiece {
    /// Read a tokenizer's file.
    ///
    /// # Errors
    /// The pipeline is not BERT's.
    pub fn from_file(file: &TokenizerFile<'_>, exceptions: &[u32]) -> Result<Encoder<Self>> {
        let refuse = |part, found: String| Error::Pipeline { part, found };
        let Some(file::Normalizer::BertNormalizer {
            clean_text,
            handle_chinese_chars,
            strip_accents,
            lowercase,
        }) = file.normalizer
        else {
            return Err(refuse("normalizer", format!("{:?}", file.normalizer)));
        };
        if file.pre_tokenizer != Some(PreTokenizer::BertPreTokenizer) {
            return Err(refuse("pre-tokenizer", format!("{:?}", file.pre_tokenizer)));
        }
        let Model::WordPiece {
            vocab,
            unk_token,
            continuing_subword_prefix,
            max_input_chars_per_word,
        } = &file.model
        else {
            return Err(refuse("model", "no WordPiece".into()));
        };
        if let Some(&code) = exceptions.iter().find(|&&code| code < 128) {
            return Err(refuse("treatment of ASCII", format!("U+{code:04X}")));
        }
        let options = Options {
            clean: clean_text,
            ideographs_apart: handle_chinese_chars,
            strip: strip_accents.unwrap_or(lowercase),
            lowercase,
        };
        let normalizer = Normalizer::new(options, Classes::new(options, exceptions));
        let surroundings = Surroundings {
            normalize: &|text| normalizer.whole(text),
            keeps_letters: true,
            has_units: false,
            is_familys: &|_| false,
        };
        let added = Added::new(&file.added_tokens, &surroundings)?;
        let mut entries: Vec<(&str, u32)> =
            vocab.iter().map(|(token, &id)| (&**token, id)).collect();
        entries.sort_unstable_by_key(|&(token, id)| (id, token));
        let pieces = Pieces::new(
            &entries,
            continuing_subword_prefix,
            vocab.get(unk_token.as_str()).copied(),
            *max_input_chars_per_word,
        )?;
        let words = entries
            .iter()
            .filter(|(token, _)| !token.starts_with(continuing_subword_prefix.as_str()))
            .take(PREFILLED)
            .map(|&(token, _)| token.to_owned())
            .collect();
        let family = Self { normalizer, pieces, words };
        Ok(Encoder::new(family, added))
    }
}

impl Family for WordPiece {
    type Scratch = Scratch;

    #[inline(always)]
    fn scan<'t, S: Simd>(
        &self,
        simd: S,
        stretch: Stretch<'t>,
        _: &'t mut String,
        units: &mut Vec<Unit>,
    ) -> Option<&'t [u8]> {
        scan::scan(simd, stretch.text, self.normalizer.classes(), units)
            .then_some(stretch.text.as_bytes())
    }

    fn normalized<'t>(&self, text: &'t str, buffer: &'t mut String) -> &'t str {
        self.normalizer.whole_into(text, buffer);
        buffer
    }

    fn is_settled(&self, text: &str, _: &str) -> bool {
        normalize::is_visible(text)
    }

    fn encode(&self, unit: &[u8], _: &View<'_>, scratch: &mut Scratch, ids: &mut Vec<u32>) -> bool {
        let Ok(unit) = str::from_utf8(unit) else { return false };
        self.normalizer.words(unit, &mut scratch.text, |word| self.pieces.encode(word, ids))
    }

    fn prefill(&self, memo: &mut View<'_>) {
        let (mut units, mut scratch, mut ids) = (Vec::new(), Scratch::default(), Vec::new());
        for word in &self.words {
            units.clear();
            ids.clear();
            let bytes = word.as_bytes();
            let classes = self.normalizer.classes();
            if dispatch!(simd::level(), simd => scan::scan(simd, word, classes, &mut units))
                && let [Unit { start: 0, end }] = *units
                && end as usize == bytes.len()
                && self.encode(bytes, memo, &mut scratch, &mut ids)
            {
                memo.insert(bytes, &ids);
            }
        }
    }
}
