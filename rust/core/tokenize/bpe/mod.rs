//! Byte-level BPE, as in `RoBERTa`, `ModernBERT` and tokenizers that are trained like theirs.
//!
//! [`scan`] finds the words of GPT-2's pattern 64 bytes at a time ([`block`], [`classes`], [`wide`]), [`nfc`]
//! composes text that is not in NFC, [`spaces`] handles runs of spaces that are tokens, [`merges`] turns
//! a new word into ids, and [`joins`] shortens words of scripts that the vocabulary hardly covers.

mod alphabet;
mod block;
mod classes;
mod joins;
mod merges;
mod nfc;
#[cfg(test)]
mod plain;
mod read;
mod scan;
mod spaces;
mod utf8;
mod wide;

use std::collections::HashMap;

use fearless_simd::Simd;

use super::added::Matcher;
use super::family::Family;
use super::memo::Memo;
use super::unit::{Stretch, Unit};
use classes::Classes;
use merges::{Merges, Scratch};
use spaces::Spaces;

/// Byte-level BPE with the words of GPT-2.
pub struct ByteLevelBpe {
    classes: Classes,
    merges: Merges,
    /// Words that are tokens regardless of the merges.
    whole: HashMap<Vec<u8>, u32>,
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
        let longest_run = self.spaces.longest();
        let mut flags = scan::scan(simd, text.as_bytes(), &self.classes, longest_run, units);
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
            units.clear();
            flags = scan::scan(simd, buffer.as_bytes(), &self.classes, longest_run, units);
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

    fn encode(&self, unit: &[u8], _: &Memo, scratch: &mut Scratch, ids: &mut Vec<u32>) -> bool {
        if let Some(id) = self.spaces.id(unit).or_else(|| self.whole.get(unit).copied()) {
            ids.push(id);
        } else {
            self.merges.apply(unit, scratch, ids);
        }
        true
    }

    fn prefill(&self, memo: &mut Memo) {
        let mut scratch = Scratch::default();
        let mut ids = Vec::new();
        for word in &self.frequent {
            ids.clear();
            self.encode(word, memo, &mut scratch, &mut ids);
            memo.insert(word, &ids);
        }
    }
}
