//! What one family of tokenizers knows: where its words end and what they become.

use fearless_simd::Simd;

use super::memo::Memo;
use super::unit::{Stretch, Unit};

/// A family of tokenizers that differ in their tables alone.
pub trait Family: Send + Sync {
    /// The working memory of one thread.
    type Scratch: Default + Send;

    /// Bytes of the longest unit that is worth remembering.
    const REMEMBERED: usize = usize::MAX;

    /// Find the units of a stretch, in order; `units` then holds them alone. To be inlined always.
    ///
    /// Returns the bytes that the units point into: those of the stretch, or of `buffer` where the
    /// text has to be changed first. `None` leaves the whole stretch to the library; `units` may
    /// then hold anything.
    fn scan<'t, S: Simd>(
        &self,
        simd: S,
        stretch: Stretch<'t>,
        buffer: &'t mut String,
        units: &mut Vec<Unit>,
    ) -> Option<&'t [u8]>;

    /// Can a stretch begin with a line break? Where documents get a space in front of their first
    /// word, the library would put it in front of a line break too.
    fn cuts_at_line_breaks(&self) -> bool {
        true
    }

    /// Append the ids of a unit that the memo does not know. False leaves the stretch that it came
    /// from to the library; `ids` may then hold anything. What the memo knows may be of help.
    fn encode(
        &self,
        unit: &[u8],
        memo: &Memo,
        scratch: &mut Self::Scratch,
        ids: &mut Vec<u32>,
    ) -> bool;

    /// Fill a memo with units whose ids are certain without encoding them, the frequent ones first.
    fn prefill(&self, memo: &mut Memo);
}
