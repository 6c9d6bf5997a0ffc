//! Reading a tokenizer.json, which must contain nothing that is not implemented here.

use std::collections::HashMap;

use unicode_normalization::UnicodeNormalization;

use super::ByteLevelBpe;
use super::alphabet::Alphabet;
use super::classes::Classes;
use super::joins::Joins;
use super::merges::Merges;
use super::spaces::Spaces;
use crate::tokenize::added::{Added, Surroundings};
use crate::tokenize::encode::Encoder;
use crate::tokenize::entries::Merge;
use crate::tokenize::file::{Ids, Model, Normalizer, PreTokenizer, TokenizerFile};
use crate::{Error, Result};

/// Maximum number of words that a memo is filled with, and maximum bytes of each.
const FREQUENT: usize = 1 << 14;
const FREQUENT_LENGTH: usize = 15;

impl ByteLevelBpe {
    /// Read the parts of `file`. Stretches with one of the code points of `exceptions` are left to
    /// the library.
    ///
    /// # Errors
    /// A part or an option is not supported.
    pub fn from_file(file: &TokenizerFile<'_>, exceptions: &[u32]) -> Result<Encoder<Self>> {
        if exceptions.iter().any(|&code| code < 0x80) {
            return Err(refused("characters", &"ASCII is treated otherwise"));
        }
        let nfc = composes(file.normalizer.as_ref())?;
        let prefix_space = adds_prefix_space(file.pre_tokenizer.as_ref())?;

        // Runs of spaces with other rules are added tokens like others.
        let spaces = Spaces::new(file.added_tokens.iter()).filter(|_| !prefix_space);
        let spaces = spaces.unwrap_or_default();
        let surroundings = Surroundings {
            normalize: &|text| if nfc { text.nfc().collect() } else { text.to_owned() },
            keeps_letters: true,
            has_units: false,
            is_familys: &|token| !spaces.is_empty() && Spaces::is_one(token),
        };
        let added = Added::new(&file.added_tokens, &surroundings)?;

        let Vocabulary { bytes, pairs, words, ignores_merges } = Vocabulary::read(&file.model)?;
        let merges =
            Merges::new(&bytes, &pairs).ok_or_else(|| refused("vocabulary", &"too large"))?;
        let mut joins = if ignores_merges { Joins::all() } else { Joins::default() };
        for (word, _) in &words {
            joins.add(word);
        }
        let frequent = words.iter().map(|(word, _)| word);
        let frequent = frequent.filter(|word| word.len() <= FREQUENT_LENGTH && !word.is_empty());
        let family = Self {
            classes: Classes::new(nfc, &joins, exceptions),
            merges,
            frequent: frequent.take(FREQUENT).cloned().collect(),
            whole: if ignores_merges { words.into_iter().collect() } else { HashMap::new() },
            spaces,
            composed: added.late.clone(),
            nfc,
            prefix_space,
        };
        Ok(Encoder::new(family, added))
    }
}

/// Whether the text is normalized to NFC first.
fn composes(normalizer: Option<&Normalizer>) -> Result<bool> {
    match normalizer {
        None => Ok(false),
        Some(Normalizer::Nfc) => Ok(true),
        Some(Normalizer::Sequence { normalizers }) => match normalizers.as_slice() {
            [] => Ok(false),
            [only] => composes(Some(only)),
            _ => Err(refused("normalizer", normalizers)),
        },
        Some(other) => Err(refused("normalizer", other)),
    }
}

/// Whether each part of the text gets a leading space.
fn adds_prefix_space(pre_tokenizer: Option<&PreTokenizer>) -> Result<bool> {
    match pre_tokenizer {
        Some(PreTokenizer::ByteLevel { add_prefix_space, use_regex: true }) => {
            Ok(*add_prefix_space)
        }
        Some(PreTokenizer::Sequence { pretokenizers }) if pretokenizers.len() == 1 => {
            adds_prefix_space(pretokenizers.first())
        }
        other => Err(refused("pre-tokenizer", &other)),
    }
}

struct Vocabulary {
    bytes: [u32; 256],
    pairs: Vec<Option<(u32, u32, u32)>>,
    /// Tokens that words can become, by id.
    words: Vec<(Vec<u8>, u32)>,
    ignores_merges: bool,
}

impl Vocabulary {
    fn read(model: &Model<'_>) -> Result<Self> {
        let Model::Bpe {
            vocab,
            merges,
            dropout,
            continuing_subword_prefix,
            end_of_word_suffix,
            ignore_merges,
            // Options for symbols outside of the vocabulary, of which there are none here.
            unk_token: _,
            fuse_unk: _,
            byte_fallback: _,
        } = model
        else {
            return Err(refused("model", &"not BPE"));
        };
        if dropout.is_some_and(|rate| rate != 0.0) {
            return Err(refused("dropout", dropout));
        }
        for affix in [continuing_subword_prefix, end_of_word_suffix].into_iter().flatten() {
            if !affix.is_empty() {
                return Err(refused("prefix or suffix", affix));
            }
        }
        let mut ids: Vec<u32> = vocab.values().copied().collect();
        ids.sort_unstable();
        if ids.windows(2).any(|two| two[0] == two[1]) {
            return Err(refused("vocabulary", &"two tokens of one id"));
        }
        let alphabet = Alphabet::new();
        let mut words: Vec<_> =
            vocab.iter().filter_map(|(token, &id)| Some((alphabet.bytes(token)?, id))).collect();
        words.sort_unstable_by_key(|&(_, id)| id);
        let mut bytes = [None; 256];
        for (word, id) in &words {
            if let [byte] = word[..] {
                bytes[usize::from(byte)] = Some(*id);
            }
        }
        // Some bytes never occur in UTF-8, and some vocabularies omit them.
        let needed = |byte: u8| !matches!(byte, 0xc0 | 0xc1 | 0xf5..=0xff);
        if (0..=u8::MAX).any(|byte| needed(byte) && bytes[usize::from(byte)].is_none()) {
            return Err(refused("vocabulary", &"some bytes are missing"));
        }
        let bytes = bytes.map(Option::unwrap_or_default);
        let mut both = String::new();
        let pairs =
            merges.iter().map(|merge| pair(merge, vocab, &mut both)).collect::<Result<_>>()?;
        Ok(Self { bytes, pairs, words, ignores_merges: *ignore_merges })
    }
}

/// The ids of a merge's two tokens and of its result; `both` is a scratch buffer.
fn pair(merge: &Merge<'_>, vocab: &Ids<'_>, both: &mut String) -> Result<Option<(u32, u32, u32)>> {
    let find = |(left, right): (&str, &str)| {
        both.clear();
        both.push_str(left);
        both.push_str(right);
        Some((*vocab.get(left)?, *vocab.get(right)?, *vocab.get(both.as_str())?))
    };
    let ids = merge.pair().and_then(find);
    ids.map(Some).ok_or_else(|| refused("merge", merge))
}

fn refused(part: &'static str, found: &(impl std::fmt::Debug + ?Sized)) -> Error {
    Error::Pipeline { part, found: format!("{found:?}") }
}
