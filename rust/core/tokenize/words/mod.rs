//! Vocabularies of whole words and of characters (`WordLevel`, or BPE without merges) behind the simple
//! pre-tokenizers: words, amino acids, bases, k-mers.
//!
//! A unit is a word of the pre-tokenizer. Where words are single characters, or the pieces that a choice
//! between literal texts cuts out (as the tokenizers of ESM and Nucleotide Transformer do), their ids
//! are written without units and memo.

mod literals;
mod model;
mod normal;
mod patterns;
mod same_length;
mod short;
mod steps;

use fearless_simd::Simd;

use self::model::WordIds;
use self::normal::Normal;
use self::short::Short;
use self::steps::Steps;
use super::added::{Added, Surroundings};
use super::encode::Encoder;
use super::family::Family;
use super::file::{Behavior, Pattern, PreTokenizer, TokenizerFile};
use super::memo::View;
use super::model::{Ids as Vocabulary, Model};
use super::output::{Ids, StoredId};
use super::stretches::Cuts;
use super::unit::{Stretch, Unit};
use crate::{Error, Result};

/// Number of vocabulary words that a memo is filled with, small enough for the caches.
const PREFILLED: usize = 1 << 16;

/// Tokenizers with a vocabulary of words.
pub struct Words {
    normal: Normal,
    steps: Steps,
    model: WordIds,
    short: Option<Short>,
    exceptions: Exceptions,
    /// Whether texts can be cut between words at white space.
    cuts_at_spaces: bool,
}

/// The code points whose stretches are left to the library, one bit each.
struct Exceptions(Vec<u64>);

impl Exceptions {
    fn new(points: &[u32]) -> Self {
        let mut bits = vec![0; 0x11_0000 / 64];
        for &point in points {
            if let Some(word) = bits.get_mut(point as usize / 64) {
                *word |= 1 << (point % 64);
            }
        }
        Self(bits)
    }

    fn are_in(&self, text: &str) -> bool {
        !text.is_ascii()
            && text.chars().any(|c| self.0[c as usize / 64] >> (c as u32 % 64) & 1 == 1)
    }
}

impl Words {
    /// Read a tokenizer's file.
    ///
    /// # Errors
    /// The pipeline is another one.
    pub fn from_file(file: &TokenizerFile<'_>, exceptions: &[u32]) -> Result<Encoder<Self>> {
        let (vocab, unk_token, splits_characters) = match &file.model {
            Model::WordLevel { vocab, unk_token } => (vocab, unk_token, false),
            model => match characters_of(model) {
                Some((vocab, unk_token)) => (vocab, unk_token, true),
                None => {
                    return Err(Error::Pipeline { part: "model", found: "no WordLevel".into() });
                }
            },
        };
        if let Some(&code) = exceptions.iter().find(|&&code| code < 128) {
            let found = format!("U+{code:04X}");
            return Err(Error::Pipeline { part: "treatment of ASCII", found });
        }
        let mut pre_tokenizers: Vec<PreTokenizer> = file.pre_tokenizer.iter().cloned().collect();
        if splits_characters {
            pre_tokenizers.push(between_characters());
        }
        if pre_tokenizers.is_empty() {
            return Err(steps::refused("none"));
        }
        let normal = Normal::new(file.normalizer.as_ref())?;
        let (choice, rest) = literal_choice(&pre_tokenizers);
        let steps = Steps::new(&rest)?;
        let model = WordIds::new(vocab, unk_token);
        let surroundings = Surroundings {
            normalize: &|text| normal.of(text),
            keeps_letters: normal.keeps_ascii(),
            has_units: false,
            is_familys: &|_| false,
        };
        let added = Added::new(&file.added_tokens, &surroundings)?;
        let short = match choice {
            Some((literals, removed)) => {
                if !normal.is_identity() {
                    return Err(steps::refused("a choice between texts behind a normalizer"));
                }
                Some(Short::literals(&literals, removed, &steps, &model))
            }
            None if steps.are_characters() => Some(Short::characters(&steps, &model)),
            None => None,
        };
        let short = short.map(|short| {
            if normal.keeps_ascii() { short.with_cuts(&file.added_tokens) } else { short }
        });
        let cuts_at_spaces = cuts_at_spaces(&normal, &steps)
            && short.as_ref().is_none_or(Short::keeps_white_space_apart);
        let exceptions = Exceptions::new(exceptions);
        let family = Self { normal, steps, model, short, exceptions, cuts_at_spaces };
        Ok(Encoder::new(family, added))
    }

    /// The normalized text; `None` leaves it to the library.
    fn normalize<'t>(&self, text: &'t str, buffer: &'t mut String) -> Option<&'t str> {
        if self.exceptions.are_in(text) {
            return None;
        }
        Some(self.normalized(text, buffer))
    }
}

impl Family for Words {
    type Scratch = ();

    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)] // the text's length is looked at
    fn scan<'t, S: Simd>(
        &self,
        _: S,
        stretch: Stretch<'t>,
        buffer: &'t mut String,
        units: &mut Vec<Unit>,
    ) -> Option<&'t [u8]> {
        let text = self.normalize(stretch.text, buffer)?;
        u32::try_from(text.len()).ok()?;
        units.clear();
        self.steps
            .words(text, |start, end| units.push(Unit { start: start as u32, end: end as u32 }));
        Some(text.as_bytes())
    }

    fn write<T: StoredId>(
        &self,
        stretch: Stretch<'_>,
        buffer: &mut String,
        ids: &mut Ids<T>,
    ) -> Option<bool> {
        let short = self.short.as_ref()?;
        let Some(text) = self.normalize(stretch.text, buffer) else { return Some(false) };
        Some(short.write(text, &self.steps, &self.model, ids))
    }

    fn cut_after(&self, text: &[u8], at: usize, cuts: Cuts<'_>) -> usize {
        if let Some(cut) = self.short.as_ref().and_then(|short| short.cut_after(text, at)) {
            return cut;
        }
        if self.cuts_at_spaces { cuts.after(text, at) } else { text.len() }
    }

    fn normalized<'t>(&self, text: &'t str, buffer: &'t mut String) -> &'t str {
        if self.normal.is_identity() {
            return text;
        }
        buffer.clear();
        self.normal.apply(text, buffer);
        buffer
    }

    fn is_settled(&self, text: &str, _: &str) -> bool {
        self.normal.is_identity() || self.normal.keeps_ascii() && text.is_ascii()
    }

    fn encode(&self, unit: &[u8], _: &View<'_>, (): &mut (), ids: &mut Vec<u32>) -> bool {
        let id = std::str::from_utf8(unit).ok().and_then(|word| self.model.id(word));
        ids.extend(id);
        id.is_some()
    }

    fn prefill(&self, memo: &mut View<'_>) {
        if self.short.is_none() {
            for (word, id) in self.model.first(PREFILLED) {
                memo.insert(word.as_bytes(), &[id]);
            }
        }
    }
}

/// The vocabulary and the unknown token of a BPE without merges: each character is a token of its own,
/// as for ESM-C.
#[must_use]
pub fn characters_of<'m>(model: &'m Model<'_>) -> Option<(&'m Vocabulary<'m>, &'m String)> {
    let Model::Bpe {
        vocab,
        merges,
        dropout: _, // of merges
        unk_token: Some(unk_token),
        continuing_subword_prefix,
        end_of_word_suffix,
        fuse_unk: false,
        byte_fallback: false,
        ignore_merges: false,
    } = model
    else {
        return None;
    };
    let adds = |affix: &Option<String>| affix.as_ref().is_some_and(|affix| !affix.is_empty());
    let changed = adds(continuing_subword_prefix) || adds(end_of_word_suffix);
    let known = vocab.contains_key(unk_token.as_str());
    (merges.is_empty() && !changed && known).then_some((vocab, unk_token))
}

/// A pre-tokenizer that makes every character a word.
fn between_characters() -> PreTokenizer {
    PreTokenizer::Split {
        pattern: Pattern::String(String::new()),
        behavior: Behavior::Isolated,
        invert: false,
    }
}

/// Literal texts, and whether they are removed.
type Choice = (Vec<String>, bool);

/// The texts of a `Split` at a choice between some, and the pre-tokenizers behind it; without such a
/// `Split`, all pre-tokenizers.
fn literal_choice(pre_tokenizers: &[PreTokenizer]) -> (Option<Choice>, Vec<&PreTokenizer>) {
    let mut all: Vec<&PreTokenizer> = Vec::new();
    for each in pre_tokenizers {
        match each {
            PreTokenizer::Sequence { pretokenizers } => all.extend(pretokenizers),
            one => all.push(one),
        }
    }
    if let Some((PreTokenizer::Split { pattern, behavior, invert: false }, rest)) =
        all.split_first()
        && matches!(behavior, Behavior::Isolated | Behavior::Removed)
    {
        let literals = match pattern {
            Pattern::String(text) if text.is_empty() => None,
            Pattern::String(text) => Some(vec![text.clone()]),
            Pattern::Regex(regex) => patterns::alternatives(regex),
        };
        let longer = |all: &Vec<String>| all.len() > 1 || all[0].chars().nth(1).is_some();
        if let Some(literals) = literals.filter(longer) {
            return (Some((literals, *behavior == Behavior::Removed)), rest.to_vec());
        }
    }
    (None, all)
}

/// Whether a word ends at white space between ASCII letters and digits, however the normalizer changes
/// these characters.
fn cuts_at_spaces(normal: &Normal, steps: &Steps) -> bool {
    let letters: Vec<char> = ('0'..='z').filter(char::is_ascii_alphanumeric).collect();
    letters.iter().all(|&letter| {
        let whole = normal.of(&letter.to_string());
        [' ', '\n'].iter().all(|&space| {
            let white = normal.of(&space.to_string());
            let (Some(last), Some(first)) = (whole.chars().last(), white.chars().next()) else {
                return false;
            };
            normal.of(&format!("{letter}{space}{letter}")) == format!("{whole}{white}{whole}")
                && steps.separates(steps.class(last), steps.class(first))
        })
    })
}
