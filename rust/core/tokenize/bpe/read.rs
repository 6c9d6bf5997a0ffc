//! Reading a tokenizer.json, which must contain nothing that is not implemented here.

use rustc_hash::FxHashMap;
use unicode_normalization::UnicodeNormalization;

use super::ByteLevelBpe;
use super::alphabet::Alphabet;
use super::bytes::ByteMerges;
use super::cased::Kinds;
use super::classes::Classes;
use super::joins::Joins;
use super::pattern::{Letters, Pattern};
use super::spaces::Spaces;
use crate::tokenize::added::{Added, Surroundings};
use crate::tokenize::encode::Encoder;
use crate::tokenize::entries::Merge;
use crate::tokenize::file::{
    AddedToken, Behavior, Normalizer, Pattern as Regex, PreTokenizer, TokenizerFile,
};
use crate::tokenize::model::{Ids, Model};
use crate::{Error, Result};

/// Maximum number of words that a memo is filled with, and maximum bytes of each.
const FREQUENT: usize = 1 << 14;
const FREQUENT_LENGTH: usize = 15;
/// Characters of a part that an error shows.
const SHOWN: usize = 200;

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
        let (pattern, prefix_space) = splitting(file.pre_tokenizer.as_ref())?;

        // Where a token that must be a whole word is none, the library has still passed over it, with
        // the spaces in it: then runs of spaces, as those with other rules, are added tokens like others.
        let hides = |token: &AddedToken| token.single_word && token.content.contains(' ');
        let spaces = Spaces::new(file.added_tokens.iter()).filter(|_| {
            !prefix_space && pattern.digits.is_none() && !file.added_tokens.iter().any(hides)
        });
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
            ByteMerges::new(&bytes, &pairs).ok_or_else(|| refused("vocabulary", &"too large"))?;
        let mut joins = if ignores_merges { Joins::all() } else { Joins::default() };
        for (word, _) in &words {
            joins.add(word);
        }
        let frequent = words.iter().map(|(word, _)| word);
        let frequent = frequent.filter(|word| word.len() <= FREQUENT_LENGTH && !word.is_empty());
        let classes = Classes::new(nfc, &joins, exceptions);
        let family = Self {
            pattern,
            kinds: (pattern.letters != Letters::Plain).then(|| Kinds::new(&classes)),
            classes,
            merges,
            frequent: frequent.take(FREQUENT).cloned().collect(),
            whole: if ignores_merges { words.into_iter().collect() } else { FxHashMap::default() },
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

/// The pattern of words, and whether each part of the text gets a leading space.
fn splitting(pre_tokenizer: Option<&PreTokenizer>) -> Result<(Pattern, bool)> {
    let parts = match pre_tokenizer {
        Some(PreTokenizer::Sequence { pretokenizers }) => pretokenizers.as_slice(),
        Some(only) => std::slice::from_ref(only),
        None => &[],
    };
    let found = match parts {
        [PreTokenizer::Sequence { .. }] => return splitting(parts.first()),
        [PreTokenizer::ByteLevel { add_prefix_space, use_regex: true }] => {
            Some((Pattern::GPT2, *add_prefix_space))
        }
        [
            PreTokenizer::Split { pattern: Regex::Regex(regex), behavior, invert },
            PreTokenizer::ByteLevel { add_prefix_space: false, use_regex: false },
        ] => {
            // Every character is in some word, so to keep the words is to remove what is none.
            let keeps_words =
                matches!((behavior, invert), (Behavior::Isolated, _) | (Behavior::Removed, true));
            Pattern::of(regex).filter(|_| keeps_words).map(|pattern| (pattern, false))
        }
        _ => None,
    };
    found.ok_or_else(|| refused("pre-tokenizer", &pre_tokenizer))
}

/// Check that a model merges always, without marking the parts of words, and that ids are unique.
///
/// # Errors
/// It does not.
pub fn check_plain(
    vocab: &Ids<'_>,
    dropout: Option<f32>,
    affixes: [&Option<String>; 2],
) -> Result<()> {
    if dropout.is_some_and(|rate| rate != 0.0) {
        return Err(refused("dropout", &dropout));
    }
    for affix in affixes.into_iter().flatten() {
        if !affix.is_empty() {
            return Err(refused("prefix or suffix", affix));
        }
    }
    let mut ids: Vec<u32> = vocab.values().copied().collect();
    ids.sort_unstable();
    if ids.windows(2).any(|two| two[0] == two[1]) {
        return Err(refused("vocabulary", &"two tokens of one id"));
    }
    Ok(())
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
        check_plain(vocab, *dropout, [continuing_subword_prefix, end_of_word_suffix])?;
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
        Ok(Self { bytes, pairs: pairs(merges, vocab)?, words, ignores_merges: *ignore_merges })
    }
}

/// The ids of each merge's two tokens and of its result.
///
/// # Errors
/// One of them is not in the vocabulary.
pub fn pairs(merges: &[Merge<'_>], vocab: &Ids<'_>) -> Result<Vec<Option<(u32, u32, u32)>>> {
    let mut both = String::new();
    let mut find = |(left, right): (&str, &str)| {
        both.clear();
        both.push_str(left);
        both.push_str(right);
        Some((*vocab.get(left)?, *vocab.get(right)?, *vocab.get(both.as_str())?))
    };
    let ids = |merge: &Merge<'_>| {
        let ids = merge.pair().and_then(&mut find);
        ids.map(Some).ok_or_else(|| refused("merge", merge))
    };
    merges.iter().map(ids).collect()
}

/// An error about a part of the file, with the start of the part: some hold long tables.
pub fn refused(part: &'static str, found: &(impl std::fmt::Debug + ?Sized)) -> Error {
    let mut found = format!("{found:?}");
    if let Some((end, _)) = found.char_indices().nth(SHOWN) {
        found.truncate(end);
    }
    Error::Pipeline { part, found }
}
