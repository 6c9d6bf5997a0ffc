//! Which of a row's tokens are masked.

use std::ops::Range;
use std::sync::Arc;

use crate::gaps::{Gaps, half_scale};
use crate::ids::IdSet;
use crate::mask_rate::MaskRate;
use crate::options::{MaskOptions, Mode};
use crate::rng::{EpochKey, Key, Purpose};
use crate::spans::{SpanLengths, UNCOVERED, cover_spans};
use crate::{Error, Result, check_length};

/// How tokens are chosen.
#[derive(Debug, Clone)]
pub struct Chooser {
    /// `None` where the rate is zero, or drawn for each row.
    gaps: Option<Arc<Gaps>>,
    /// Cumulative shares of the chosen tokens, as fractions of 2^63: masked; masked or random.
    shares: (u64, u64),
    rate: MaskRate,
    per_row: Option<usize>,
    at_least_one: bool,
    words: Option<Arc<IdSet>>,
    spans: Option<SpanLengths>,
}

/// The epoch's keys of the draws that choose.
#[derive(Debug, Clone, Copy)]
pub struct ChoiceKeys {
    gap: EpochKey,
    choice: EpochKey,
    span: EpochKey,
    rate: EpochKey,
}

impl ChoiceKeys {
    pub fn new(seed: u64, epoch: u64) -> Self {
        let key = |purpose| EpochKey::new(seed, epoch, purpose);
        Self {
            gap: key(Purpose::Gap),
            choice: key(Purpose::Choice),
            span: key(Purpose::Span),
            rate: key(Purpose::Rate),
        }
    }

    pub fn gap(&self, block: u64) -> Key {
        self.gap.block(block)
    }
}

/// Buffers that a thread reuses from row to row.
#[derive(Debug, Default)]
pub struct Scratch {
    units: Vec<Range<u32>>,
    taken: Vec<bool>,
    cover: Vec<u32>,
}

impl Chooser {
    /// Check the options.
    pub fn new(options: &MaskOptions) -> Result<Self> {
        let (words, spans) = match &options.mode {
            Mode::Token => (None, None),
            Mode::WholeWord { starts } => (Some(starts), None),
            Mode::Span { starts, probability, longest } => {
                (starts.as_ref(), Some(SpanLengths::new(*probability, *longest)?))
            }
        };
        if let Some(starts) = words {
            check_length("word_starts", starts.len(), options.vocab_size as usize)?;
        }
        match options.masks_per_row {
            Some(0) => return Err(Error::NoMasksPerRow),
            Some(_) if matches!(options.mode, Mode::WholeWord { .. }) => {
                return Err(Error::MasksPerRowOfWords);
            }
            Some(_) if options.mlm_probability.is_drawn() => {
                return Err(Error::MasksPerRowAtDrawnRate);
            }
            _ => {}
        }
        let hidden = half_scale(options.mask_replace_prob);
        let chooser = Self {
            gaps: None,
            shares: (hidden, hidden + half_scale(options.random_replace_prob)),
            rate: options.mlm_probability,
            per_row: options.masks_per_row,
            at_least_one: options.at_least_one,
            words: words.map(|starts| Arc::new(IdSet::of_flags(starts))),
            spans,
        };
        chooser.with_rate(options.mlm_probability)
    }

    /// A copy with another rate.
    pub fn with_rate(&self, rate: MaskRate) -> Result<Self> {
        rate.check()?;
        let gaps = match rate {
            MaskRate::Fixed(rate) => Gaps::new(rate, self.shares).map(Arc::new),
            // A table takes longer to make than a row to mask.
            MaskRate::Uniform { .. } | MaskRate::Beta { .. } => None,
        };
        Ok(Self { gaps, rate, ..self.clone() })
    }

    /// Whether each token is chosen independently of the others.
    fn is_of_tokens(&self) -> bool {
        self.words.is_none() && self.spans.is_none() && self.per_row.is_none()
    }

    /// The gaps between chosen tokens; `None` unless tokens are chosen independently at one rate.
    pub fn token_gaps(&self) -> Option<&Gaps> {
        if self.is_of_tokens() { self.gaps.as_deref() } else { None }
    }

    /// The rate of a row, times 2^64; `None` unless tokens are chosen independently at a rate that
    /// is drawn for each row.
    pub fn token_rate(&self, block: u64, keys: &ChoiceKeys) -> Option<u128> {
        (self.rate.is_drawn() && self.is_of_tokens()).then(|| self.row_rate(block, keys))
    }

    fn row_rate(&self, block: u64, keys: &ChoiceKeys) -> u128 {
        self.rate.of_row(keys.rate.block(block))
    }

    /// Approximate number of chosen tokens among `tokens`.
    pub fn estimate(&self, tokens: usize) -> usize {
        // The rate's high half: 2^32 for all tokens.
        let share =
            usize::try_from((tokens as u128 * (self.rate.mean() >> 32)) >> 32).unwrap_or(tokens);
        share + share / 16 + 64
    }

    pub fn at_least_one(&self) -> bool {
        self.at_least_one
    }

    /// Find the units of a row that are chosen as a whole: each token that may be hidden, or each
    /// word. A word begins at a token that starts words, or after a token that may not be hidden,
    /// and ends before the next such token.
    ///
    /// `tokens` are the row's positions from its first token on; `id` and `may_hide` return a
    /// position's id and whether it may be chosen.
    pub fn find_units(
        &self,
        tokens: Range<usize>,
        id: impl Fn(usize) -> i64,
        may_hide: impl Fn(usize) -> bool,
        scratch: &mut Scratch,
    ) {
        let units = &mut scratch.units;
        units.clear();
        units.resize(tokens.len(), 0..0);
        let mut count = 0;
        let mut end = u32::MAX;
        for at in tokens {
            #[allow(clippy::cast_possible_truncation)] // `mask` refuses rows of 2^31 and more
            let position = at as u32;
            if !may_hide(at) {
                continue;
            }
            let begins = self.words.as_ref().is_none_or(|starts| starts.contains(id(at)));
            // Conditional moves instead of branches, since word starts are unpredictable.
            #[allow(clippy::needless_bitwise_bool)]
            let new = begins | (end != position);
            count += usize::from(new);
            let unit = &mut units[count - 1];
            unit.start = if new { position } else { unit.start };
            end = position + 1;
            unit.end = end;
        }
        units.truncate(count);
    }

    /// Choose among the units of `scratch`: call `hide` for each chosen token in ascending
    /// order, with its position and that of the token whose draw decides what replaces it (its
    /// own, or its span's first).
    pub fn choose_units(
        &self,
        tokens: Range<usize>,
        block: u64,
        keys: &ChoiceKeys,
        scratch: &mut Scratch,
        mut hide: impl FnMut(usize, usize),
    ) {
        let hide = &mut hide;
        if let Some(lengths) = &self.spans {
            let rate = self.row_rate(block, keys);
            self.choose_spans(lengths, tokens, (keys.span.block(block), rate), scratch, hide);
        } else if let Some(wanted) = self.per_row {
            choose_exactly(wanted, keys.choice.block(block), scratch, hide);
        } else if self.words.is_some() {
            self.choose_words(block, keys, &scratch.units, hide);
        } else if self.at_least_one {
            hide_one(&scratch.units, keys.choice.block(block), hide);
        }
    }

    fn choose_words(
        &self,
        block: u64,
        keys: &ChoiceKeys,
        words: &[Range<u32>],
        hide: &mut impl FnMut(usize, usize),
    ) {
        let mut none = true;
        let mut hide_word = |at: usize| {
            hide_unit(&words[at], hide);
            none = false;
        };
        let key = keys.gap.block(block);
        if let Some(gaps) = &self.gaps {
            gaps.walk(key, words.len(), hide_word);
        } else if self.rate.is_drawn() {
            let rate = self.row_rate(block, keys);
            let hit = |at: &usize| u128::from(key.at(*at as u64)) < rate;
            (0..words.len()).filter(hit).for_each(&mut hide_word);
        }
        if none && self.at_least_one {
            hide_one(words, keys.choice.block(block), hide);
        }
    }

    fn choose_spans(
        &self,
        lengths: &SpanLengths,
        tokens: Range<usize>,
        (key, rate): (Key, u128),
        scratch: &mut Scratch,
        hide: &mut impl FnMut(usize, usize),
    ) {
        let count: usize = scratch.units.iter().map(ExactSizeIterator::len).sum();
        let budget = self.per_row.unwrap_or_else(|| {
            // Rounded up or down at random, so that the rate is exact on average.
            let share = (count as u128 * rate + u128::from(key.at(0))) >> 64;
            usize::try_from(share).unwrap_or(count).max(self.at_least_one.into())
        });
        scratch.cover.clear();
        scratch.cover.resize(tokens.end, UNCOVERED);
        cover_spans(&scratch.units, lengths, budget, key, &mut scratch.cover);
        for (at, &first) in scratch.cover.iter().enumerate().skip(tokens.start) {
            if first != UNCOVERED {
                hide(at, first as usize);
            }
        }
    }
}

/// Choose exactly `wanted` of the units (all if there are fewer), every subset equally likely
/// (Floyd's algorithm, Bentley and Floyd 1987).
fn choose_exactly(
    wanted: usize,
    key: Key,
    scratch: &mut Scratch,
    hide: &mut impl FnMut(usize, usize),
) {
    let Scratch { units, taken, .. } = scratch;
    taken.clear();
    taken.resize(units.len(), false);
    for (draw, last) in (units.len().saturating_sub(wanted)..units.len()).enumerate() {
        let drawn = key.below(draw as u64, last + 1);
        let chosen = if taken[drawn] { last } else { drawn };
        taken[chosen] = true;
    }
    units
        .iter()
        .zip(taken)
        .filter(|(_, taken)| **taken)
        .for_each(|(unit, _)| hide_unit(unit, hide));
}

fn hide_one(units: &[Range<u32>], key: Key, hide: &mut impl FnMut(usize, usize)) {
    if let Some(unit) = units.get(key.below(0, units.len())) {
        hide_unit(unit, hide);
    }
}

fn hide_unit(unit: &Range<u32>, hide: &mut impl FnMut(usize, usize)) {
    for at in unit.clone() {
        hide(at as usize, at as usize);
    }
}
