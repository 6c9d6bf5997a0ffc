//! Masking one row of a batch.

use std::hint::select_unpredictable;

use crate::gaps::{DRAWS, Gaps, PIECES, Step};
use crate::ids::{IdSet, OutputId, TokenId};
use crate::replace::Replacement;
use crate::rng::Key;

/// Buffers for the values drawn at once, which a thread reuses from row to row.
pub struct DrawBuffers {
    /// Number of values drawn at once.
    values: usize,
    steps: [[Step; PIECES]; DRAWS],
    /// Where each step ends.
    places: [u32; DRAWS * PIECES],
    /// Positions that become random words, with a spare element for one that does not.
    random: [u32; DRAWS * PIECES + 1],
}

impl DrawBuffers {
    /// Buffers for `values` (at most `DRAWS`) draws at once.
    pub fn new(values: usize) -> Self {
        Self {
            values: values.clamp(1, DRAWS),
            steps: [[Step::default(); PIECES]; DRAWS],
            places: [0; DRAWS * PIECES],
            random: [0; DRAWS * PIECES + 1],
        }
    }
}

/// Masks one row: holds its source, and the buffers with the copy to mask.
pub struct RowMasker<'a, I, O> {
    pub replacement: &'a Replacement,
    pub special: &'a IdSet,
    pub source: &'a [I],
    pub flags: Option<&'a [bool]>,
    /// Where the row's text begins.
    pub first: usize,
    /// The key of the replacement draws.
    pub key: Key,
    pub ids: &'a mut [O],
    /// Empty if the labels are not written to a buffer.
    pub labels: &'a mut [O],
    /// The row's place in the batch, in tokens.
    pub begin: i64,
    /// Receives the positions of the hidden tokens in the batch.
    pub positions: &'a mut Vec<i64>,
}

impl<I: TokenId, O: OutputId> RowMasker<'_, I, O> {
    /// Hide tokens at random gaps.
    // Several passes over a part of the row instead of one pass hit by hit: each pass keeps its state
    // in registers, and none stalls on an unpredictable branch of another.
    #[inline(never)]
    pub fn hide_tokens(&mut self, gaps: &Gaps, key: Key, drawn: &mut DrawBuffers) {
        let end = self.source.len();
        let DrawBuffers { values, steps, places, random } = drawn;
        let steps = &mut steps[..*values];
        #[allow(clippy::cast_possible_truncation)] // `mask` refuses rows of 2^31 and more
        let (mut next, last) = (self.first as u32, end as u32);
        let mut number = 0;
        while next < last {
            gaps.fill(key, number, steps);
            number += steps.len() as u64;
            let steps = steps.as_flattened();
            let mut count = 0;
            for (place, step) in places.iter_mut().zip(steps) {
                next += step.length();
                *place = next;
                count += usize::from(next <= last);
            }
            let words = if self.labels.is_empty() {
                self.hide_hits::<false>(&places[..count], steps, random)
            } else {
                self.hide_hits::<true>(&places[..count], steps, random)
            };
            for &at in &random[..words] {
                let at = at as usize;
                let value = self.key.at((at - self.first) as u64);
                self.ids[at] = O::from_wide(self.replacement.word(value));
            }
        }
    }

    /// Hide each token with a probability of `rate` / 2^64.
    // Tokens are drawn before any is hidden, since a branch for each draw would be mispredicted.
    pub fn hide_at_rate(&mut self, rate: u128, key: Key, drawn: &mut DrawBuffers) {
        let end = self.source.len();
        let mut start = self.first;
        while start < end {
            let part = start..end.min(start + drawn.places.len());
            let mut count = 0;
            for at in part.clone() {
                #[allow(clippy::cast_possible_truncation)] // `mask` refuses rows of 2^31 and more
                {
                    drawn.places[count] = at as u32;
                }
                count += usize::from(u128::from(key.at((at - self.first) as u64)) < rate);
            }
            for &at in &drawn.places[..count] {
                if self.may_hide(at as usize) {
                    self.hide(at as usize, at as usize);
                }
            }
            start = part.end;
        }
    }

    /// Hide the tokens before `places`, each according to its step's kind, except those that become
    /// random words: return their number, and leave their positions in `random`.
    #[inline]
    fn hide_hits<const LABELS: bool>(
        &mut self,
        places: &[u32],
        steps: &[Step],
        random: &mut [u32; DRAWS * PIECES + 1],
    ) -> usize {
        let (source, special, begin) = (self.source, self.special, self.begin);
        let ordinary = special.longest_gap();
        let before = self.positions.len();
        self.positions.resize(before + steps.len(), 0);
        let positions = &mut self.positions[before..];
        let mut count = 0;
        let ids = &mut self.ids[..source.len()];
        let labels = if LABELS { &mut self.labels[..source.len()] } else { &mut [] };
        let mask = self.replacement.mask_token_id();
        let places = places.iter().zip(steps).map(|(&place, &step)| (place as usize - 1, step));
        let mut words = 0;
        for (at, step) in places {
            let id = source[at].widen();
            // The first test nearly always suffices.
            if (!ordinary.contains(id) && special.contains(id))
                || step.is_skip()
                || self.flags.is_some_and(|flags| flags[at])
            {
                continue;
            }
            if LABELS {
                labels[at] = O::from_wide(id);
            }
            // A branch would be mispredicted one time in five.
            ids[at] = O::from_wide(select_unpredictable(step.is_hidden(), mask, id));
            #[allow(clippy::cast_possible_truncation)]
            {
                random[words] = at as u32;
            }
            words += usize::from(step.is_random());
            #[allow(clippy::cast_possible_wrap)] // slices end before 2^63
            {
                positions[count] = begin + at as i64;
            }
            count += 1;
        }
        self.positions.truncate(before + count);
        words
    }

    #[inline]
    pub fn may_hide(&self, at: usize) -> bool {
        !self.flags.is_some_and(|flags| flags[at])
            && !self.special.contains(self.source[at].widen())
    }

    /// Hide the token at `at`; the draw at `decider` decides its replacement.
    // Without the attribute, the compiler emits a call for every hidden token.
    #[allow(clippy::inline_always)]
    #[inline(always)]
    pub fn hide(&mut self, at: usize, decider: usize) {
        let id = self.source[at].widen();
        #[allow(clippy::cast_possible_wrap)]
        self.positions.push(self.begin + at as i64);
        if let Some(label) = self.labels.get_mut(at) {
            *label = O::from_wide(id);
        }
        let value = self.key.at((at - self.first) as u64);
        let replacement = self.replacement;
        self.ids[at] = O::from_wide(if at == decider {
            replacement.of(id, value)
        } else {
            replacement.of_span(id, self.key.at((decider - self.first) as u64), value)
        });
    }
}
