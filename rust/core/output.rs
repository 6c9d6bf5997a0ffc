//! The output of masking: the batch's buffers and the chosen positions.

use crate::ids::{OutputId, TokenId};

/// The label of a position that takes no part in the loss.
pub const IGNORE: i64 = -100;
/// Output buffers of the batch's size.
#[derive(Debug)]
pub struct Output<'a, O> {
    /// The ids with the chosen tokens replaced.
    pub input_ids: &'a mut [O],
    /// The original ids of the chosen tokens and [`IGNORE`] elsewhere; if `None`, the labels are
    /// returned in [`ChosenTokens`].
    pub labels: Option<&'a mut [O]>,
    /// 0 where the ids are this padding id, else 1.
    pub attention_mask: Option<(u32, &'a mut [O])>,
}

/// The chosen tokens.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ChosenTokens<O> {
    /// Ascending, counted over the whole batch.
    pub positions: Vec<i64>,
    /// The original ids there; empty where the labels were written to a buffer.
    pub labels: Vec<O>,
}

impl<O: OutputId> Output<'_, O> {
    /// Cut the buffers into parts of `size` elements each; the last may be shorter.
    pub(crate) fn split(self, size: usize) -> impl Iterator<Item = Self> {
        let mut labels = self.labels.map(|labels| labels.chunks_mut(size));
        let mut attention = self.attention_mask.map(|(pad, mask)| (pad, mask.chunks_mut(size)));
        self.input_ids.chunks_mut(size).map(move |input_ids| Output {
            input_ids,
            labels: labels.as_mut().and_then(Iterator::next),
            attention_mask: attention
                .as_mut()
                .and_then(|(pad, chunks)| chunks.next().map(|mask| (*pad, mask))),
        })
    }

    /// Initialize the buffers as for a row without chosen tokens.
    pub(crate) fn prepare<I: TokenId>(&mut self, source: &[I]) {
        for (to, from) in self.input_ids.iter_mut().zip(source) {
            *to = O::from_wide(from.widen());
        }
        if let Some(labels) = &mut self.labels {
            labels.fill(O::from_wide(IGNORE));
        }
        if let Some((pad_id, mask)) = &mut self.attention_mask {
            for (to, from) in mask.iter_mut().zip(source) {
                *to = O::from_wide((from.widen() != i64::from(*pad_id)).into());
            }
        }
    }
}
