//! Unigram models, as in XLM-R, T5 and `XLNet`.

mod alphabet;
mod charsmap;
mod graphemes;
mod pipeline;
mod scan;
mod stages;
mod tails;
mod trie;
mod viterbi;
mod words;

use fearless_simd::Simd;

use super::added::{Added, Surroundings};
use super::encode::Encoder;
use super::family::Family;
use super::file::{Model, TokenizerFile};
use super::memo::Memo;
use super::unit::{Stretch, Unit};
use crate::Result;
use alphabet::WHITE;
use scan::Scanner;
use stages::Stages;
use tails::Tails;
use viterbi::{Lattice, Pieces};
use words::{Tables, Words};

/// Number of pieces, from the first on, that an empty memo is filled with.
const PREFILLED: usize = 1 << 13;

/// Tokenizers with a Unigram model.
pub struct Unigram {
    tables: Tables,
    scanner: Scanner,
    pieces: Pieces,
    tails: Tails,
    /// Words that are frequent in the training text of the vocabulary.
    frequent: Vec<String>,
}

/// A thread's buffers.
#[derive(Debug, Default)]
pub struct Scratch {
    words: Words,
    lattice: Lattice,
}

/// Make an encoder of `file`. Stretches with one of the code points of `exceptions` are left to the
/// library.
///
/// # Errors
/// The pipeline is not supported.
pub fn from_file(file: &TokenizerFile<'_>, exceptions: &[u32]) -> Result<Encoder<Unigram>> {
    let stages = Stages::new(file.normalizer.as_ref())?;
    let splitting = pipeline::splitting(file.pre_tokenizer.as_ref(), &stages)?;
    let surroundings = Surroundings {
        normalize: &|text| stages.of(text),
        keeps_letters: stages.keep_letters(),
        has_units: true,
        is_familys: &|_| false,
    };
    let added = Added::new(&file.added_tokens, &surroundings)?;
    let (alphabet, pieces) = pipeline::pieces(&file.model)?;
    let tails = pipeline::tails(&file.model, &alphabet, &pieces);
    let mut exceptions = exceptions.to_vec();
    exceptions.sort_unstable();
    let tables = Tables { stages, alphabet, splitting, exceptions };
    let scanner = pipeline::scanner(&tables)?;
    let mut frequent = frequent(&file.model, splitting.space);
    frequent.retain(|word| !added.late.is_in(&tables.stages.of(word)));
    Ok(Encoder::new(Unigram { tables, scanner, pieces, tails, frequent }, added))
}

fn frequent(model: &Model<'_>, space: char) -> Vec<String> {
    let Model::Unigram { vocab, .. } = model else { return Vec::new() };
    let words = vocab.iter().filter_map(|(piece, _)| piece.strip_prefix(space));
    let words = words.filter(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_graphic()));
    words.take(PREFILLED).map(String::from).collect()
}

impl Family for Unigram {
    type Scratch = Scratch;

    // Longer units are sentences of scripts without spaces, which rarely repeat.
    const REMEMBERED: usize = 48;

    #[inline(always)]
    fn scan<'t, S: Simd>(
        &self,
        simd: S,
        stretch: Stretch<'t>,
        _: &'t mut String,
        units: &mut Vec<Unit>,
    ) -> Option<&'t [u8]> {
        if self.tables.splitting.only_first && stretch.begins_piece && !stretch.begins_document {
            return None;
        }
        self.scanner.scan(simd, stretch.text, &self.tables, units);
        Some(stretch.text.as_bytes())
    }

    fn normalized<'t>(&self, text: &'t str, buffer: &'t mut String) -> &'t str {
        if self.tables.stages.is_empty() {
            return text;
        }
        self.tables.stages.apply(text, buffer, &mut String::new());
        buffer
    }

    fn is_settled(&self, _: &str, _: &str) -> bool {
        self.tables.stages.is_empty()
    }

    fn encode(&self, unit: &[u8], memo: &Memo, scratch: &mut Scratch, ids: &mut Vec<u32>) -> bool {
        let Ok(unit) = std::str::from_utf8(unit) else { return false };
        let Scratch { words, lattice } = scratch;
        if let Some((stem, last)) = self.tails.cut(unit, words, &self.tables)
            && let Some(known) = memo.get(stem.as_bytes())
        {
            ids.extend_from_slice(known);
            ids.push(last);
            return true;
        }
        self.encode_unit(unit, words, lattice, ids)
    }

    fn prefill(&self, memo: &mut Memo) {
        let (mut scratch, mut ids) = (Scratch::default(), Vec::new());
        for word in &self.frequent {
            ids.clear();
            if self.encode(word.as_bytes(), memo, &mut scratch, &mut ids) {
                memo.insert(word.as_bytes(), &ids);
            }
        }
    }
}

impl Unigram {
    /// The ids of a unit.
    fn encode_unit(
        &self,
        unit: &str,
        words: &mut Words,
        lattice: &mut Lattice,
        ids: &mut Vec<u32>,
    ) -> bool {
        if !words.read(unit, &self.tables) {
            return false;
        }
        let splitting = self.tables.splitting;
        let codes = &mut words.codes;
        let space = codes[0];
        if !splitting.at_white && !self.scanner.is_certain(unit, &codes[1..], space, &self.tables) {
            return false;
        }
        let mut from = 1;
        while from < codes.len() {
            let length = codes[from..].iter().position(|&code| code == WHITE);
            let end = length.map_or(codes.len(), |length| from + length);
            if from < end {
                // White space precedes the word, or the space that is prepended to the text.
                let prepend = splitting.prepend && codes[from] != space;
                let start = from - usize::from(prepend);
                if prepend {
                    codes[start] = space;
                }
                if !self.encode_word(&codes[start..end], space, lattice, ids) {
                    return false;
                }
            }
            from = end + 1;
        }
        true
    }

    /// The ids of a word, in which each space may begin another word.
    fn encode_word(
        &self,
        mut codes: &[u32],
        space: u32,
        lattice: &mut Lattice,
        ids: &mut Vec<u32>,
    ) -> bool {
        if self.tables.splitting.at_space {
            while let Some(at) = codes.iter().skip(1).position(|&code| code == space) {
                let (word, rest) = codes.split_at(at + 1);
                if !self.pieces.encode(word, &self.tables.alphabet, lattice, ids) {
                    return false;
                }
                codes = rest;
            }
        }
        self.pieces.encode(codes, &self.tables.alphabet, lattice, ids)
    }
}
