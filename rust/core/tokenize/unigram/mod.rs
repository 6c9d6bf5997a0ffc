//! Unigram models, as in XLM-R, T5 and `XLNet`.

mod alone;
mod alphabet;
mod charsmap;
mod edges;
mod graphemes;
mod lead;
mod normalizers;
mod pipeline;
mod runs;
mod scan;
mod sentences;
mod splitting;
mod stage;
mod stages;
mod strip;
mod tails;
mod trie;
mod viterbi;
mod words;

use fearless_simd::Simd;

use super::added::{Added, Surroundings};
use super::encode::Encoder;
use super::family::Family;
use super::file::TokenizerFile;
use super::memo::View;
use super::model::Model;
use super::stretches::{Bar, Cuts};
use super::unit::{Stretch, Unit};
use crate::Result;
use alphabet::WHITE;
use lead::{Before, Leads};
use scan::Scanner;
use splitting::{Prepend, Splitting};
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
    leads: Leads,
    /// Words that are frequent in the training text of the vocabulary.
    frequent: Vec<String>,
}

/// A thread's buffers.
#[derive(Debug, Default)]
pub struct Scratch {
    words: Words,
    lattice: Lattice,
}

/// How much of a text is encoded at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grade {
    /// A unit of it.
    Unit,
    /// As much as the library normalizes and splits, or a stretch of that.
    Whole,
}

/// Make an encoder of `file`. Stretches with one of the code points of `exceptions` are left to the
/// library.
///
/// # Errors
/// The pipeline is not supported.
pub fn from_file(file: &TokenizerFile<'_>, exceptions: &[u32]) -> Result<Encoder<Unigram>> {
    let stages = Stages::new(file.normalizer.as_ref())?;
    let splitting = Splitting::new(file.pre_tokenizer.as_ref(), &stages)?;
    if splitting.is_whole() {
        sentences::check(&file.model, splitting.space)?;
    }
    let surroundings = Surroundings {
        normalize: &|text| stages.whole(text),
        keeps_letters: stages.keep_letters(),
        has_units: true,
        is_familys: &|_| false,
    };
    let mut added = Added::new(&file.added_tokens, &surroundings)?;
    if stages.strip().is_some_and(|strip| strip.left) && !added.late.is_empty() {
        // The library would strip the white space between a word and such a token.
        added.bars.push(Bar::EVERYWHERE);
    }
    let (alphabet, pieces) = pipeline::pieces(&file.model)?;
    let tails = if splitting.apart.is_any() {
        Tails::default()
    } else {
        pipeline::tails(&file.model, &alphabet, &pieces)
    };
    let leads = Leads::new(&stages, &splitting);
    let mut exceptions = exceptions.to_vec();
    exceptions.sort_unstable();
    let tables = Tables { stages, alphabet, splitting, exceptions };
    let scanner = pipeline::scanner(&tables)?;
    let mut frequent = frequent(&file.model, splitting.space);
    frequent.retain(|word| !added.late.is_in(&tables.stages.of(word)));
    Ok(Encoder::new(Unigram { tables, scanner, pieces, tails, leads, frequent }, added))
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
        buffer: &'t mut String,
        units: &mut Vec<Unit>,
    ) -> Option<&'t [u8]> {
        let tables = &self.tables;
        let text = match tables.stages.strip() {
            Some(strip) => self.scanner.strip(stretch.text, strip, tables)?,
            None => stretch.text,
        };
        let begins_white = text.bytes().next().is_none_or(|byte| self.scanner.is_white(byte));
        let text = match self.leads.of(stretch, text, begins_white)? {
            "" => text,
            lead => {
                buffer.clear();
                buffer.push_str(lead);
                buffer.push_str(text);
                buffer
            }
        };
        self.scanner.scan(simd, text, tables, units);
        Some(text.as_bytes())
    }

    fn cuts_at_line_breaks(&self) -> bool {
        self.scanner.ends_at_line_breaks()
    }

    fn cut_after(&self, text: &[u8], at: usize, cuts: Cuts<'_>) -> usize {
        if self.tables.splitting.is_whole() { text.len() } else { cuts.after(text, at) }
    }

    fn longest_stretch(&self) -> usize {
        if self.tables.splitting.is_whole() {
            usize::try_from(sentences::LONGEST).unwrap_or(usize::MAX) / self.tables.stages.growth()
        } else {
            usize::MAX
        }
    }

    fn encode_stretch(
        &self,
        stretch: Stretch<'_>,
        scratch: &mut Scratch,
        ids: &mut Vec<u32>,
    ) -> bool {
        let Scratch { words, lattice } = scratch;
        words.read_whole(stretch, &self.tables)
            && self.encode_parts(words, self.leads.before(stretch), Grade::Whole, lattice, ids)
    }

    fn normalized<'t>(&self, text: &'t str, buffer: &'t mut String) -> &'t str {
        if self.tables.stages.is_empty() {
            return text;
        }
        self.tables.stages.apply_whole(text, (true, true), buffer, &mut String::new());
        buffer
    }

    fn is_settled(&self, _: &str, _: &str) -> bool {
        self.tables.stages.is_empty()
    }

    fn encode(
        &self,
        unit: &[u8],
        memo: &View<'_>,
        scratch: &mut Scratch,
        ids: &mut Vec<u32>,
    ) -> bool {
        let Ok(unit) = std::str::from_utf8(unit) else { return false };
        let Scratch { words, lattice } = scratch;
        let (before, unit) = self.leads.take(unit);
        if before == Before::Space
            && let Some((stem, last)) = self.tails.cut(unit, words, &self.tables)
            && memo.append(stem.as_bytes(), ids)
        {
            ids.push(last);
            return true;
        }
        self.encode_unit(unit, before, words, lattice, ids)
    }

    fn prefill(&self, memo: &mut View<'_>) {
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
    /// The ids of a unit, before which there is `before`.
    fn encode_unit(
        &self,
        unit: &str,
        before: Before,
        words: &mut Words,
        lattice: &mut Lattice,
        ids: &mut Vec<u32>,
    ) -> bool {
        if !words.read(unit, &self.tables) {
            return false;
        }
        let codes = &words.codes;
        self.scanner.is_certain(unit, &codes[1..], codes[0], &self.tables)
            && self.encode_parts(words, before, Grade::Unit, lattice, ids)
    }

    /// The ids of the codes of `words`.
    fn encode_parts(
        &self,
        words: &mut Words,
        before: Before,
        grade: Grade,
        lattice: &mut Lattice,
        ids: &mut Vec<u32>,
    ) -> bool {
        let codes = &mut words.codes;
        let mut from = 1;
        while from < codes.len() {
            let length = codes[from..].iter().position(|&code| code == WHITE);
            let end = length.map_or(codes.len(), |length| from + length);
            if from < end
                && !self.encode_part(&mut codes[..end], from, (before, grade), lattice, ids)
            {
                return false;
            }
            from = end + 1;
        }
        true
    }

    /// The ids of a unit's part from code `from` on, in which there is no white space. The codes before it
    /// are no longer needed; the first of all is a space.
    fn encode_part(
        &self,
        codes: &mut [u32],
        mut from: usize,
        (before, grade): (Before, Grade),
        lattice: &mut Lattice,
        ids: &mut Vec<u32>,
    ) -> bool {
        let Tables { splitting, alphabet, .. } = &self.tables;
        let space = alphabet.code(splitting.space);
        let always = splitting.prepend == Prepend::Always;
        let mut prepend = match before {
            Before::Space if splitting.at_white => always,
            Before::Space if splitting.apart.is_apart(codes[from], alphabet) => {
                // The space belongs to what is before the unit.
                if !self.encode_word(&[space], grade, lattice, ids) {
                    return false;
                }
                always
            }
            Before::Space | Before::Prefix => true,
            Before::Nothing => false,
        };
        while from < codes.len() {
            let end = from + splitting.apart.first(&codes[from..], alphabet);
            let mut start = from;
            if prepend && codes[from] != space {
                start = from - 1;
                codes[start] = space;
            }
            if !self.encode_word(&codes[start..end], grade, lattice, ids) {
                return false;
            }
            from = end;
            prepend = always;
        }
        true
    }

    /// The ids of a word, in which each space may begin another word.
    fn encode_word(
        &self,
        mut codes: &[u32],
        grade: Grade,
        lattice: &mut Lattice,
        ids: &mut Vec<u32>,
    ) -> bool {
        let Tables { splitting, alphabet, .. } = &self.tables;
        if splitting.is_whole() && grade == Grade::Unit {
            return self.pieces.encode_part(codes, alphabet, lattice, ids);
        }
        if splitting.at_space {
            let space = alphabet.code(splitting.space);
            while let Some(at) = codes.iter().skip(1).position(|&code| code == space) {
                let (word, rest) = codes.split_at(at + 1);
                if !self.pieces.encode(word, alphabet, lattice, ids) {
                    return false;
                }
                codes = rest;
            }
        }
        self.pieces.encode(codes, alphabet, lattice, ids)
    }
}
