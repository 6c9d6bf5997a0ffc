//! BPE over characters with `▁` for spaces, as in Llama 2, Mistral and Gemma.
//!
//! Most of these pipelines merge a whole document at once. [`pairs`] computes from the merges which
//! characters they never join; [`scan`] cuts the text between those, 64 bytes at a time; [`symbols`] turns
//! a unit into the symbols that merge.

mod pairs;
mod pipeline;
mod scan;
mod symbols;

use fearless_simd::Simd;
use rustc_hash::FxHashMap;

use super::bpe::merges::{self, Merges};
use super::family::Family;
use super::memo::View;
use super::unit::{Stretch, Unit};
use scan::Scanner;
use symbols::Symbols;

/// What stands for a space.
const SPACE: char = '\u{2581}';

/// What gets a space before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Prepend {
    /// Nothing.
    No,
    /// A document that does not begin with one.
    Documents,
    /// Each piece of a document that does not begin with one.
    Pieces,
    /// Each piece of a document, even if it begins with one.
    Always,
}

/// BPE over characters.
pub struct SentencePieceBpe {
    prepend: Prepend,
    scanner: Scanner,
    symbols: Symbols,
    merges: Merges,
    /// Words that are tokens regardless of the merges.
    whole: FxHashMap<String, u32>,
    /// Words that are tokens, the most frequent first.
    frequent: Vec<String>,
}

/// A thread's buffers.
#[derive(Default)]
pub struct Scratch {
    symbols: Vec<u32>,
    merges: merges::Scratch,
}

impl Family for SentencePieceBpe {
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
        let Stretch { text, begins_document, begins_piece, .. } = stretch;
        if u32::try_from(text.len()).is_err() {
            return None;
        }
        let prepend = match self.prepend {
            Prepend::No => false,
            Prepend::Documents => begins_document && !text.starts_with(' '),
            Prepend::Pieces => begins_piece && !text.starts_with(' '),
            Prepend::Always => begins_piece,
        };
        let text = if prepend {
            buffer.clear();
            buffer.push(' ');
            buffer.push_str(text);
            buffer.as_bytes()
        } else {
            text.as_bytes()
        };
        self.scanner.scan(simd, text, units).then_some(text)
    }

    fn cuts_at_line_breaks(&self) -> bool {
        self.prepend == Prepend::No && self.scanner.cuts_at_line_breaks()
    }

    // Tokens that are matched in normalized text have no spaces, nor strip any.
    fn is_settled(&self, _: &str, _: &str) -> bool {
        true
    }

    fn library_prepends(&self) -> bool {
        self.prepend == Prepend::Always
    }

    fn encode(&self, unit: &[u8], _: &View<'_>, scratch: &mut Scratch, ids: &mut Vec<u32>) -> bool {
        let Ok(unit) = std::str::from_utf8(unit) else { return false };
        if !self.whole.is_empty()
            && let Some(&id) = self.whole.get(unit)
        {
            ids.push(id);
            return true;
        }
        let Scratch { symbols, merges } = scratch;
        symbols.clear();
        self.symbols.append(unit, symbols);
        self.merges.apply(symbols, merges, ids);
        true
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
