//! Reading a tokenizer.json, which must contain nothing that is not implemented here.

use rustc_hash::FxHashMap;

use super::pairs::Pairs;
use super::scan::Scanner;
use super::symbols::{Others, Symbols};
use super::{Prepend, SPACE, SentencePieceBpe};
use crate::Result;
use crate::tokenize::added::{Added, Surroundings};
use crate::tokenize::bpe::merges::Merges;
use crate::tokenize::bpe::read::{check_plain, pairs, refused};
use crate::tokenize::encode::Encoder;
use crate::tokenize::file::{Behavior, Normalizer, Pattern, PreTokenizer, TokenizerFile};
use crate::tokenize::model::{Ids, Model};

/// Maximum number of words that a memo is filled with, and maximum bytes of each.
const FREQUENT: usize = 1 << 14;
const FREQUENT_LENGTH: usize = 15;

/// What happens to spaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Spaces {
    /// Whether the sign for spaces replaces them.
    replaced: bool,
    prepend: Prepend,
    /// Whether the text is split before each.
    split: bool,
}

impl SentencePieceBpe {
    /// Read the parts of `file`. Stretches with one of the code points of `exceptions` are left to
    /// the library.
    ///
    /// # Errors
    /// A part or an option is not supported.
    pub fn from_file(file: &TokenizerFile<'_>, exceptions: &[u32]) -> Result<Encoder<Self>> {
        if exceptions.iter().any(|&code| code < 0x80) {
            return Err(refused("characters", &"ASCII is treated otherwise"));
        }
        let spaces = normalized(file.normalizer.as_ref())?;
        let Spaces { prepend, split, .. } = split(file.pre_tokenizer.as_ref(), spaces)?;
        let added = added(file, prepend)?;
        let Model::Bpe { vocab, merges, ignore_merges, .. } = &file.model else {
            return Err(refused("model", &"not BPE"));
        };
        let symbols = symbols(&file.model)?;
        let mut joined = Pairs::default();
        let last_first =
            |(left, right): (&str, &str)| Some((left.chars().next_back()?, right.chars().next()?));
        for merge in merges {
            let (left, right) =
                merge.pair().and_then(last_first).ok_or_else(|| refused("merge", merge))?;
            joined.add(left, right);
        }
        if split {
            joined.cut_before_spaces();
        } else if joined.has_spaces_within() {
            return Err(refused("merges", &"spaces within words"));
        }
        if *ignore_merges && !split {
            return Err(refused("ignore_merges", &"without a pre-tokenizer"));
        }
        // Words must be whole to be looked up, and the unknown characters of a run together.
        if *ignore_merges || !symbols.covers_all() {
            if symbols.fuses() && !symbols.has_space() {
                return Err(refused("vocabulary", &"no token for a space"));
            }
            joined.join_words();
        }
        let merges = Merges::new(&pairs(merges, vocab)?)
            .ok_or_else(|| refused("vocabulary", &"too large"))?;
        let family = Self {
            prepend,
            scanner: Scanner::new(&joined, exceptions),
            symbols,
            merges,
            whole: if *ignore_merges { whole(vocab) } else { FxHashMap::default() },
            frequent: frequent(vocab),
        };
        Ok(Encoder::new(family, added))
    }
}

/// The added tokens, if they are found in a text as it is.
fn added(file: &TokenizerFile<'_>, prepend: Prepend) -> Result<Added> {
    for token in &file.added_tokens {
        // In normalized text, spaces are signs.
        let content = &token.content;
        let differs = content.contains([' ', SPACE]) || token.lstrip || token.rstrip;
        let is_late = token.normalized && file.normalizer.is_some();
        // The library gets stretches without the space that it prepends.
        let begins = |c: char| c.is_ascii_alphanumeric() || c.is_whitespace();
        let is_torn = prepend == Prepend::Always && content.starts_with(begins);
        if is_torn || is_late && (differs || prepend == Prepend::Always) {
            return Err(refused("added token", content));
        }
    }
    let surroundings = Surroundings {
        normalize: &str::to_owned,
        keeps_letters: true,
        has_units: false,
        is_familys: &|_| false,
    };
    Added::new(&file.added_tokens, &surroundings)
}

/// What the normalizer does to spaces.
fn normalized(normalizer: Option<&Normalizer>) -> Result<Spaces> {
    let parts = match normalizer {
        None => &[],
        Some(Normalizer::Sequence { normalizers }) => normalizers.as_slice(),
        Some(only) => std::slice::from_ref(only),
    };
    let is_sign = |text: &str| text.chars().eq([SPACE]);
    let mut spaces = Spaces { replaced: false, prepend: Prepend::No, split: false };
    for part in parts {
        match part {
            Normalizer::Prepend { prepend } if is_sign(prepend) && !spaces.replaced => {
                if spaces.prepend == Prepend::Always {
                    return Err(refused("normalizer", parts));
                }
                spaces.prepend = Prepend::Always;
            }
            Normalizer::Replace { pattern: Pattern::String(pattern), content }
                if pattern == " " && is_sign(content) =>
            {
                spaces.replaced = true;
            }
            _ => return Err(refused("normalizer", part)),
        }
    }
    Ok(spaces)
}

/// What the pre-tokenizer does to them in addition.
fn split(pre_tokenizer: Option<&PreTokenizer>, before: Spaces) -> Result<Spaces> {
    let spaces = match pre_tokenizer {
        None => before,
        Some(PreTokenizer::Sequence { pretokenizers }) if pretokenizers.len() == 1 => {
            return split(pretokenizers.first(), before);
        }
        Some(PreTokenizer::Metaspace { replacement: SPACE, prepend_scheme, split }) => {
            let prepend = match (before.prepend, &prepend_scheme[..]) {
                (Prepend::No, "always") => Prepend::Pieces,
                (Prepend::No, "first") => Prepend::Documents,
                (prepend, "always" | "first" | "never") => prepend,
                _ => return Err(refused("pre-tokenizer", &pre_tokenizer)),
            };
            Spaces { replaced: true, prepend, split: *split }
        }
        Some(PreTokenizer::Split {
            pattern: Pattern::String(pattern),
            behavior,
            invert: false,
        }) => {
            let is_sign = pattern.chars().eq([SPACE]);
            match &pattern[..] {
                // There is none left.
                " " if before.replaced => before,
                _ if is_sign && before.replaced && *behavior == Behavior::MergedWithNext => {
                    Spaces { split: true, ..before }
                }
                _ => return Err(refused("pre-tokenizer", &pre_tokenizer)),
            }
        }
        Some(other) => return Err(refused("pre-tokenizer", other)),
    };
    if spaces.replaced { Ok(spaces) } else { Err(refused("normalizer", &"spaces are kept")) }
}

/// The symbols of characters.
fn symbols(model: &Model<'_>) -> Result<Symbols> {
    let Model::Bpe {
        vocab,
        merges,
        dropout,
        unk_token,
        continuing_subword_prefix,
        end_of_word_suffix,
        fuse_unk,
        byte_fallback,
        ignore_merges: _,
    } = model
    else {
        return Err(refused("model", &"not BPE"));
    };
    check_plain(vocab, *dropout, [continuing_subword_prefix, end_of_word_suffix])?;
    let spelled: Vec<String> = (0..=u8::MAX).map(|byte| format!("<0x{byte:02X}>")).collect();
    let bytes = || -> Option<Box<[u32; 256]>> {
        let ids: Option<Vec<u32>> =
            spelled.iter().map(|byte| vocab.get(byte.as_str()).copied()).collect();
        ids?.try_into().ok()
    };
    let others = match unk_token {
        _ if *byte_fallback => {
            Others::Bytes(bytes().ok_or_else(|| refused("vocabulary", &"some bytes are missing"))?)
        }
        Some(unknown) => {
            let id = vocab.get(unknown.as_str());
            let id = *id.ok_or_else(|| refused("unknown token", unknown))?;
            Others::Unknown { id, fused: *fuse_unk }
        }
        // Unknown characters are left out, and merges join what is on both sides.
        None => return Err(refused("unknown token", unk_token)),
    };
    // These stand for characters that their names do not hold.
    let is_symbol = |token: &str| {
        unk_token.as_deref() == Some(token)
            || *byte_fallback && token.len() == 6 && spelled.iter().any(|byte| byte == token)
    };
    for merge in merges {
        if merge.pair().is_none_or(|(left, right)| is_symbol(left) || is_symbol(right)) {
            return Err(refused("merge", merge));
        }
    }
    Ok(Symbols::new(vocab, others))
}

/// All tokens, with spaces for their signs.
fn whole(vocab: &Ids<'_>) -> FxHashMap<String, u32> {
    let tokens = vocab.iter().filter(|(token, _)| !token.contains(' '));
    tokens.map(|(token, &id)| (token.replace(SPACE, " "), id)).collect()
}

fn frequent(vocab: &Ids<'_>) -> Vec<String> {
    let words = vocab.iter().filter_map(|(token, &id)| {
        let word = token.strip_prefix(SPACE)?;
        let is_word = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphabetic());
        (is_word && word.len() < FREQUENT_LENGTH).then(|| (id, format!(" {word}")))
    });
    let mut words: Vec<_> = words.collect();
    words.sort_unstable();
    words.into_iter().map(|(_, word)| word).take(FREQUENT).collect()
}
