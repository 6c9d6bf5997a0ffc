//! What replaces a masked token: the mask token, a random word, or the token itself.

use std::hint::select_unpredictable;

use crate::gaps::half_scale;
use crate::options::MaskOptions;
use crate::{Error, Result};

/// The shares of the three replacements, and the words to draw from.
#[derive(Debug, Clone)]
pub struct Replacement {
    // Shares of 2^63.
    mask_below: u64,
    random_below: u64,
    mask_token_id: i64,
    /// Number of ids that a random word is drawn from.
    count: u32,
    /// These ids, unless they are simply `0..count`.
    words: Option<Vec<u32>>,
}

impl Replacement {
    /// Check the shares and collect the words.
    pub fn new(options: &MaskOptions) -> Result<Self> {
        let replaced = options.mask_replace_prob + options.random_replace_prob;
        // 0.9 + 0.1 and the like may come out an ulp above 1.
        if replaced > 1.0 + 1e-9 {
            return Err(Error::ReplaceProbabilities(replaced.to_string()));
        }
        let mut count = options.vocab_size;
        let mut words = None;
        if !options.random_specials {
            let mut ordinary = vec![true; count as usize];
            for &id in options.special_ids.iter().chain([&options.mask_token_id]) {
                ordinary[id as usize] = false;
            }
            let left: Vec<u32> =
                (0..).zip(&ordinary).filter_map(|(id, &keep)| keep.then_some(id)).collect();
            // Not longer than the vocabulary.
            count = u32::try_from(left.len()).unwrap_or(u32::MAX);
            if count == 0 {
                return Err(Error::NoOrdinaryIds(options.vocab_size));
            }
            words = Some(left);
        }
        let mask_below = half_scale(options.mask_replace_prob);
        Ok(Self {
            mask_below,
            random_below: mask_below + half_scale(options.random_replace_prob),
            mask_token_id: options.mask_token_id.into(),
            count,
            words,
        })
    }

    pub fn mask_token_id(&self) -> i64 {
        self.mask_token_id
    }

    /// The random word of a draw.
    #[inline]
    pub fn word(&self, value: u64) -> i64 {
        self.split(value).1
    }

    /// The replacement of `id`: one draw decides both its kind and the random word.
    #[inline]
    pub fn of(&self, id: i64, value: u64) -> i64 {
        let (share, word) = self.split(value);
        self.choose(id, share, word)
    }

    /// The replacement of a token of a span, whose kind is decided by `first`, the draw of its first
    /// token.
    pub fn of_span(&self, id: i64, first: u64, value: u64) -> i64 {
        self.choose(id, self.split(first).0, self.split(value).1)
    }

    /// The high half of `value * count` is a word, uniform to 1 part in 2^64 / `count`; the low
    /// half, less a bit, is the position of the draw between that word and the next, and is uniform
    /// for each word.
    #[inline]
    fn split(&self, value: u64) -> (u64, i64) {
        let product = u128::from(value) * u128::from(self.count);
        #[allow(clippy::cast_possible_truncation)] // the two halves are intended
        let (share, word) = ((product as u64) >> 1, (product >> 64) as usize);
        #[allow(clippy::cast_possible_wrap)] // below 2^31
        let word = self.words.as_ref().map_or(word as i64, |words| words[word].into());
        (share, word)
    }

    #[inline]
    fn choose(&self, id: i64, share: u64, word: i64) -> i64 {
        // A branch would be mispredicted one time in five, and cost more than all the rest.
        let other = select_unpredictable(share < self.random_below, word, id);
        select_unpredictable(share < self.mask_below, self.mask_token_id, other)
    }
}
