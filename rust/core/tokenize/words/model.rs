//! The model: a word's id, or that of the unknown token.

use rustc_hash::FxHashMap;

use crate::tokenize::model::Ids;

/// Word -> id.
pub struct WordIds {
    ids: FxHashMap<Box<str>, u32>,
    unknown: Option<u32>,
}

impl WordIds {
    /// Hold `vocab`; other words are `unknown`, if the vocabulary has that.
    pub fn new(vocab: &Ids<'_>, unknown: &str) -> Self {
        let ids = vocab.iter().map(|(word, &id)| (Box::from(&**word), id)).collect();
        Self { ids, unknown: vocab.get(unknown).copied() }
    }

    /// A word's id. `None` if it is unknown and there is no unknown token: the library's error.
    #[inline]
    pub fn id(&self, word: &str) -> Option<u32> {
        self.ids.get(word).copied().or(self.unknown)
    }

    /// The first `count` words in the order of their ids.
    pub fn first(&self, count: usize) -> Vec<(&str, u32)> {
        let mut words: Vec<(&str, u32)> =
            self.ids.iter().map(|(word, &id)| (&**word, id)).collect();
        words.sort_unstable_by_key(|&(word, id)| (id, word));
        words.truncate(count);
        words
    }
}
