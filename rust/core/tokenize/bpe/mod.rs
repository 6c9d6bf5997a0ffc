//! Byte-level BPE, as in `RoBERTa`, `ModernBERT`, GPT-4, Llama 3, Qwen and tokenizers that are trained
//! like theirs.
//!
//! [`scan`] finds the words of a [`pattern`] 64 bytes at a time ([`block`], [`classes`], [`wide`]), [`nfc`]
//! composes text that is not in NFC, [`spaces`] handles runs of spaces that are tokens, [`merges`] turns
//! a new word into ids by the [`pair_ranks`], and [`joins`] shortens words of scripts that the vocabulary hardly covers.

mod alphabet;
pub(super) mod block;
mod bytes;
mod cased;
pub(super) mod classes;
pub(super) mod joins;
mod lines;
pub(super) mod merges;
mod nfc;
mod numbers;
mod pair_ranks;
mod pattern;
#[cfg(test)]
mod plain;
pub(super) mod read;
mod rules;
mod scan;
mod spaces;
pub(super) mod utf8;
pub(super) mod wide;

use fearless_simd::Simd;
use rustc_hash::FxHashMap;

use super::added::Matcher;
use super::family::Family;
use super::memo::View;
use super::unit::{Stretch, Unit};
use bytes::ByteMerges;
use cased::Kinds;
use classes::Classes;
use merges::Scratch;
use pattern::Pattern;
use rules::{Rules, ScanFlags};
use spaces::Spaces;

/// Byte-level BPE with the words of a pattern.
pub struct ByteLevelBpe {
    pattern: Pattern,
    /// For patterns that need more than classes.
    kinds: Option<Kinds>,
    classes: Classes,
    merges: ByteMerges,
    /// Words that are tokens regardless of the merges.
    whole: FxHashMap<Vec<u8>, u32>,
    spaces: Spaces,
    /// Tokens that are matched in normalized text.
    composed: Matcher,
    /// Whether text is normalized to NFC.
    nfc: bool,
    /// Whether a piece that does not begin with a space gets one.
    prefix_space: bool,
    /// Tokens that may be words, the most frequent first.
    frequent: Vec<Vec<u8>>,
}

impl Family for ByteLevelBpe {
    type Scratch = Scratch;

    #[inline(always)]
    fn scan<'t, S: Simd>(
        &self,
        simd: S,
        stretch: Stretch<'t>,
        buffer: &'t mut String,
        units: &mut Vec<Unit>,
    ) -> Option<&'t [u8]> {
        let Stretch { text, begins_piece, .. } = stretch;
        if u32::try_from(text.len()).is_err() {
            return None;
        }
        let mut flags = self.words(simd, text.as_bytes(), units);
        if flags.exception {
            return None;
        }
        let prefix = self.prefix_space && begins_piece && !text.starts_with(' ');
        let text = if prefix || flags.unstable {
            buffer.clear();
            if prefix {
                buffer.push(' ');
            }
            if flags.unstable {
                nfc::compose(text, &self.classes, buffer);
                if self.composed.is_in(buffer) {
                    return None;
                }
            } else {
                buffer.push_str(text);
            }
            flags = self.words(simd, buffer.as_bytes(), units);
            buffer.as_bytes()
        } else {
            text.as_bytes()
        };
        if flags.many_spaces && !self.spaces.cut(text, units) {
            return None;
        }
        Some(text)
    }

    fn is_settled(&self, text: &str, _: &str) -> bool {
        !self.nfc || text.is_ascii()
    }

    fn cuts_at_line_breaks(&self) -> bool {
        !self.prefix_space
    }

    fn encode(&self, unit: &[u8], _: &View<'_>, scratch: &mut Scratch, ids: &mut Vec<u32>) -> bool {
        if let Some(id) = self.spaces.id(unit).or_else(|| self.whole.get(unit).copied()) {
            ids.push(id);
        } else {
            self.merges.apply(unit, scratch, ids);
        }
        true
    }

    fn prefill(&self, memo: &mut View<'_>) {
        let mut scratch = Scratch::default();
        let mut ids = Vec::new();
        for word in &self.frequent {
            ids.clear();
            self.encode(word, memo, &mut scratch, &mut ids);
            memo.insert(word, &ids);
        }
    }
}

impl ByteLevelBpe {
    /// Put the words of `text` into `units`.
    #[inline(always)]
    fn words<S: Simd>(&self, simd: S, text: &[u8], units: &mut Vec<Unit>) -> ScanFlags {
        if let Some(kinds) = &self.kinds {
            return kinds.scan(text, &self.classes, self.pattern, units);
        }
        let rules = Rules { pattern: self.pattern, longest_run: self.spaces.longest() };
        scan::scan(simd, text, &self.classes, rules, units)
    }
}
