//! One row of a batch while it is masked.

use crate::gaps::Gaps;
use crate::ids::{IdSet, OutputId, TokenId};
use crate::replace::Replacement;
use crate::rng::Key;

/// A row on its way: what it was, and where its copy is masked.
pub struct Row<'a, I, O> {
    pub replacement: &'a Replacement,
    pub special: &'a IdSet,
    pub source: &'a [I],
    pub flags: Option<&'a [bool]>,
    /// Where the row's text begins.
    pub first: usize,
    /// Of the replacements.
    pub key: Key,
    pub ids: &'a mut [O],
    /// Empty where the labels are not written here.
    pub labels: &'a mut [O],
    /// Gets the positions of the hidden tokens.
    pub chosen: &'a mut [usize],
}

impl<I: TokenId, O: OutputId> Row<'_, I, O> {
    /// Hide tokens at random gaps; returns how many.
    // On its own, so that the loop's state stays in registers.
    #[inline(never)]
    pub fn hide_tokens(&mut self, gaps: &Gaps, key: Key) -> usize {
        let mut draws = key.values();
        let (mut next, mut count) = (self.first, 0);
        while let Some(at) = gaps.next_hit(&mut draws, next, self.source.len()) {
            if self.may_hide(at) {
                self.hide(count, at, at);
                count += 1;
            }
            next = at + 1;
        }
        count
    }

    #[inline]
    pub fn may_hide(&self, at: usize) -> bool {
        !self.flags.is_some_and(|flags| flags[at])
            && !self.special.contains(self.source[at].widen())
    }

    /// Hide the token at `at`, the row's number `count`; the draw at `decider` says by what.
    // Left alone, the compiler makes a call of it, once for every hidden token.
    #[allow(clippy::inline_always)]
    #[inline(always)]
    pub fn hide(&mut self, count: usize, at: usize, decider: usize) {
        let id = self.source[at].widen();
        self.chosen[count] = at;
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
