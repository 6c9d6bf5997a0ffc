//! The interface of a family of tokenizers: finding units, and encoding them.

use fearless_simd::Simd;

use super::memo::View;
use super::output::{Ids, StoredId};
use super::stretches::Cuts;
use super::unit::{Stretch, Unit};

/// A family of tokenizers that differ only in their tables.
pub trait Family: Send + Sync {
    /// The working memory of one thread.
    type Scratch: Default + Send;

    /// Maximum bytes of a unit that is worth remembering.
    const REMEMBERED: usize = usize::MAX;

    /// Find the units of a stretch, in order, and replace the contents of `units` by them. Must always be
    /// inlined.
    ///
    /// Returns the bytes that the units refer to: those of the stretch, or of `buffer` if the text must
    /// be normalized first. `None` leaves the whole stretch to the library; the contents of `units`
    /// are then undefined.
    fn scan<'t, S: Simd>(
        &self,
        simd: S,
        stretch: Stretch<'t>,
        buffer: &'t mut String,
        units: &mut Vec<Unit>,
    ) -> Option<&'t [u8]>;

    /// Whether a stretch may begin with a line break. If documents get a space before their first word,
    /// the library would also insert one before the line break.
    fn cuts_at_line_breaks(&self) -> bool {
        true
    }

    /// Whether the library puts a space before every text. The space that a stretch within a document
    /// begins with is then not passed on.
    fn library_prepends(&self) -> bool {
        false
    }

    /// The most bytes of a stretch; longer ones are left to the library.
    fn longest_stretch(&self) -> usize {
        usize::MAX
    }

    /// Append the ids of a stretch that has no units, or one of whose units cannot be encoded without the
    /// others. False leaves it to the library; the contents of `ids` are then undefined.
    fn encode_stretch(&self, _: Stretch<'_>, _: &mut Self::Scratch, _: &mut Vec<u32>) -> bool {
        false
    }

    /// The first position from `at` on where `text` can be cut, so that both sides are encoded
    /// independently, or its end. `cuts` are the positions that suit every family.
    fn cut_after(&self, text: &[u8], at: usize, cuts: Cuts<'_>) -> usize {
        cuts.after(text, at)
    }

    /// Append the ids of a stretch whose units are too short to look up. `None` if the family does not
    /// do that; false leaves the stretch to the library.
    fn write<T: StoredId>(
        &self,
        _stretch: Stretch<'_>,
        _buffer: &mut String,
        _ids: &mut Ids<T>,
    ) -> Option<bool> {
        None
    }

    /// What normalization makes of `text`, a stretch or a unit, which may lie in `buffer`. Only asked for
    /// if there are added tokens to be matched in it.
    fn normalized<'t>(&self, text: &'t str, _: &'t mut String) -> &'t str {
        text
    }

    /// Whether all parts of a stretch's normalized text are encoded as if they were stretches, since
    /// nothing would be normalized in them.
    fn is_settled(&self, _text: &str, _normalized: &str) -> bool {
        false
    }

    /// Append the ids of a unit that is not in the memo. False leaves its stretch to the library; the
    /// contents of `ids` are then undefined. The memo may help to encode it.
    fn encode(
        &self,
        unit: &[u8],
        memo: &View<'_>,
        scratch: &mut Self::Scratch,
        ids: &mut Vec<u32>,
    ) -> bool;

    /// Fill a memo with units whose ids are known without encoding, the most frequent first. None of them
    /// may show an added token when it is normalized, if units are normalized separately.
    fn prefill(&self, memo: &mut View<'_>);
}
