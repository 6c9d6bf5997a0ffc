//! Masked-language-modelling masks: which tokens are hidden, and what stands in their place.
//!
//! The distribution is BERT's (Devlin et al. 2019), as `DataCollatorForLanguageModeling` draws it:
//! each token that is not special is chosen with `mlm_probability`; of the chosen ones a share of
//! `mask_replace_prob` becomes the mask token, a share of `random_replace_prob` a word drawn
//! uniformly from the vocabulary, and the rest stays. Gaps are drawn over all tokens and hits on
//! special tokens are dropped, which leaves every other token's probability as it is.

use crate::gaps::{Gaps, scale};
use crate::rng::{Key, Purpose, content_hash};
use crate::{Error, Result, parallel};

/// The label of a position that takes no part in the loss.
pub const IGNORE: i64 = -100;
/// Tokens a thread must have to mask before it is worth starting.
const GRAIN: usize = 1 << 18;

/// The options of the masks, as their user gives them.
#[derive(Debug, Clone)]
pub struct MaskOptions {
    /// The id that hides a token.
    pub mask_token_id: u32,
    /// Random words are drawn from `0..vocab_size`.
    pub vocab_size: u32,
    /// Ids that are never chosen.
    pub special_ids: Vec<u32>,
    /// Whole-word masking: for each id of the vocabulary, whether it begins a word. Words instead
    /// of tokens are then chosen; each token of a chosen word is replaced on its own.
    pub word_starts: Option<Vec<bool>>,
    /// Share of the tokens that are chosen.
    pub mlm_probability: f64,
    /// Share of the chosen tokens that become the mask token.
    pub mask_replace_prob: f64,
    /// Share of the chosen tokens that become a random word.
    pub random_replace_prob: f64,
}

/// Where a row's random numbers come from.
#[derive(Debug, Clone, Copy)]
pub enum Address<'a> {
    /// The rows are the blocks of these numbers.
    Blocks(&'a [u64]),
    /// A row is addressed by its own content, without the padding around it.
    Content {
        /// The id of the padding, where there is any.
        pad_id: Option<u32>,
    },
}

/// A batch to be masked, of rows of equal length.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a, I> {
    /// Token ids, row after row.
    pub input_ids: &'a [I],
    /// Tokens a row.
    pub length: usize,
    /// A flag for each token: true where it must not be chosen.
    pub special_tokens_mask: Option<&'a [bool]>,
    /// Where the rows' random numbers come from.
    pub address: Address<'a>,
    /// Refuse ids outside of the vocabulary.
    pub strict: bool,
}

/// A type that token ids come in.
pub trait TokenId: Copy + Send + Sync {
    /// The id as a number that holds all of them.
    fn widen(self) -> i64;
}

macro_rules! token_id {
    ($($native:ty),*) => {$(
        impl TokenId for $native {
            #[inline]
            fn widen(self) -> i64 {
                i64::from(self)
            }
        }
    )*};
}
token_id!(u8, u16, u32, i8, i16, i32, i64);

/// Options that have been checked, and the tables made from them.
#[derive(Debug, Clone)]
pub struct Masker {
    gaps: Option<Gaps>,
    // Shares of 2^63.
    mask_below: u64,
    random_below: u64,
    mask_token_id: i64,
    vocab_size: u32,
    special: Vec<u64>,
    word_starts: Option<Vec<bool>>,
}

/// What masking a row writes to.
struct Out<'a> {
    ids: &'a mut [i64],
    labels: &'a mut [i64],
    positions: &'a mut Vec<i64>,
}

impl Masker {
    /// Check the options.
    ///
    /// # Errors
    /// A probability outside of 0..=1, replacement shares of more than 1 in all, a mask token or
    /// special id outside of the vocabulary, an empty vocabulary.
    pub fn new(options: &MaskOptions) -> Result<Self> {
        for (name, value) in [
            ("mlm_probability", options.mlm_probability),
            ("mask_replace_prob", options.mask_replace_prob),
            ("random_replace_prob", options.random_replace_prob),
        ] {
            if !(0.0..=1.0).contains(&value) {
                return Err(Error::Probability { name, value: value.to_string() });
            }
        }
        let replaced = options.mask_replace_prob + options.random_replace_prob;
        // 0.9 + 0.1 and the like may come out an ulp above 1.
        if replaced > 1.0 + 1e-9 {
            return Err(Error::ReplaceProbabilities(replaced.to_string()));
        }
        let vocab_size = options.vocab_size;
        if i32::try_from(vocab_size).is_err() || vocab_size == 0 {
            return Err(Error::VocabSize(vocab_size.into()));
        }
        let mut special = vec![0; vocab_size.div_ceil(64) as usize];
        let ids = options.special_ids.iter().map(|&id| ("special id", id));
        for (name, id) in ids.chain([("mask_token_id", options.mask_token_id)]) {
            if id >= vocab_size {
                let (value, vocab_size) = (id.into(), vocab_size.into());
                return Err(Error::OptionOutsideVocabulary { name, value, vocab_size });
            }
        }
        for &id in &options.special_ids {
            special[id as usize / 64] |= 1 << (id % 64);
        }
        if let Some(starts) = &options.word_starts {
            check_length("word_starts", starts.len(), vocab_size as usize)?;
        }
        let mask_below = half_scale(options.mask_replace_prob);
        Ok(Self {
            gaps: Gaps::new(options.mlm_probability),
            mask_below,
            random_below: mask_below + half_scale(options.random_replace_prob),
            mask_token_id: options.mask_token_id.into(),
            vocab_size,
            special,
            word_starts: options.word_starts.clone(),
        })
    }

    /// Mask a batch into buffers of its size: `input_ids` gets the ids with the chosen tokens
    /// replaced, `labels` the original ids of the chosen tokens and [`IGNORE`] elsewhere. Returns
    /// the chosen positions, ascending, counted over the whole batch.
    ///
    /// # Errors
    /// Buffers of another size; with `strict`, an id outside of the vocabulary.
    pub fn mask<I: TokenId>(
        &self,
        batch: &Batch<'_, I>,
        (seed, epoch): (u64, u64),
        (input_ids, labels): (&mut [i64], &mut [i64]),
        threads: Option<usize>,
    ) -> Result<Vec<i64>> {
        let (total, length) = (batch.input_ids.len(), batch.length);
        let rows = total.checked_div(length).unwrap_or(0);
        check_length("out input_ids", input_ids.len(), total)?;
        check_length("out labels", labels.len(), total)?;
        check_length("input_ids", total, rows * length)?;
        if let Some(flags) = batch.special_tokens_mask {
            check_length("special_tokens_mask", flags.len(), total)?;
        }
        if let Address::Blocks(ids) = batch.address {
            check_length("block_ids", ids.len(), rows)?;
        }
        if rows == 0 {
            return Ok(Vec::new());
        }
        let work: Vec<_> = input_ids
            .chunks_exact_mut(length)
            .zip(labels.chunks_exact_mut(length))
            .enumerate()
            .collect();
        let threads = parallel::thread_count(threads, total, GRAIN);
        let share = rows.div_ceil(threads);
        let mut work = work.into_iter();
        let mut parts = Vec::with_capacity(threads);
        loop {
            let part: Vec<_> = work.by_ref().take(share).collect();
            if part.is_empty() {
                break;
            }
            parts.push(part);
        }
        let found = parallel::run(parts, threads, |part| {
            let mut positions = Vec::with_capacity(part.len() * length / 4);
            for (row, (ids, labels)) in part {
                let out = Out { ids, labels, positions: &mut positions };
                self.mask_row(batch, row, (seed, epoch), out)?;
            }
            Ok(positions)
        });
        let mut found = found.into_iter();
        let mut positions = found.next().unwrap_or_else(|| Ok(Vec::new()))?;
        for part in found {
            positions.extend(part?);
        }
        Ok(positions)
    }

    fn mask_row<I: TokenId>(
        &self,
        batch: &Batch<'_, I>,
        row: usize,
        (seed, epoch): (u64, u64),
        mut out: Out<'_>,
    ) -> Result<()> {
        let begin = row * batch.length;
        let source = &batch.input_ids[begin..begin + batch.length];
        for (to, from) in out.ids.iter_mut().zip(source) {
            *to = from.widen();
        }
        out.labels.fill(IGNORE);
        if batch.strict {
            self.check_ids(row, out.ids)?;
        }
        let Some(gaps) = &self.gaps else { return Ok(()) };
        let (block, first) = match batch.address {
            Address::Blocks(blocks) => (blocks[row], 0),
            Address::Content { pad_id } => address_by_content(out.ids, pad_id),
        };
        let gap_key = Key::new(seed, epoch, block, Purpose::Gap);
        let replacement_key = Key::new(seed, epoch, block, Purpose::Replacement);
        let mut drawn = 0;
        let mut next_gap = || {
            gaps.draw(|| {
                drawn += 1;
                gap_key.at(drawn - 1)
            })
        };
        let flags = batch.special_tokens_mask.map(|flags| &flags[begin..begin + batch.length]);
        let may_hide =
            |at: usize, id| !flags.is_some_and(|flags| flags[at]) && !self.is_special(id);
        let hide = |at: usize, out: &mut Out<'_>| {
            let id = out.ids[at];
            out.labels[at] = id;
            // A slice has at most i64::MAX elements.
            #[allow(clippy::cast_possible_wrap)]
            out.positions.push((begin + at) as i64);
            out.ids[at] = self.replacement(id, replacement_key.at((at - first) as u64));
        };
        if let Some(starts) = &self.word_starts {
            let words = words_of(out.ids, first, starts, may_hide);
            let mut at = next_gap();
            while let Some(&(start, end)) = words.get(at) {
                (start..end).for_each(|at| hide(at, &mut out));
                at += 1 + next_gap();
            }
            return Ok(());
        }
        let mut at = first + next_gap();
        while at < out.ids.len() {
            if may_hide(at, out.ids[at]) {
                hide(at, &mut out);
            }
            at += 1 + next_gap();
        }
        Ok(())
    }

    /// What stands in the place of `id`: one draw decides both whether and by which word. The high
    /// half of `value * vocab_size` is a word, uniform to 1 part in 2^64 / `vocab_size`; the low
    /// half, less a bit, says how far the draw lay between that word and the next, and is uniform
    /// for each.
    #[inline]
    fn replacement(&self, id: i64, value: u64) -> i64 {
        let product = u128::from(value) * u128::from(self.vocab_size);
        #[allow(clippy::cast_possible_truncation)] // the two halves are what is wanted
        let (share, word) = ((product as u64) >> 1, (product >> 64) as i64);
        // Selections rather than branches, which would be mispredicted once in five times.
        let other = if share < self.random_below { word } else { id };
        if share < self.mask_below { self.mask_token_id } else { other }
    }

    #[inline]
    fn is_special(&self, id: i64) -> bool {
        // Ids outside of the vocabulary have no flag: they are ordinary tokens.
        usize::try_from(id)
            .ok()
            .and_then(|id| self.special.get(id / 64).map(|word| word >> (id % 64) & 1 == 1))
            .unwrap_or(false)
    }

    fn check_ids(&self, row: usize, ids: &[i64]) -> Result<()> {
        let vocab_size = u64::from(self.vocab_size);
        // Negative ids are huge as unsigned numbers. A fold without a branch runs on vectors.
        if ids.iter().fold(0, |largest: u64, &id| largest.max(id.cast_unsigned())) < vocab_size {
            return Ok(());
        }
        let outside = ids.iter().enumerate().find(|&(_, &id)| id.cast_unsigned() >= vocab_size);
        match outside {
            Some((position, &value)) => {
                Err(Error::OutsideVocabulary { row, position, value, vocab_size })
            }
            None => Ok(()),
        }
    }
}

/// `probability` times 2^63, so that a share of 1 is a number too.
fn half_scale(probability: f64) -> u64 {
    u64::try_from(scale(probability) >> 1).unwrap_or(1 << 63)
}

/// Start and end of every word: it begins at a token that begins words, or after one that may not
/// be hidden, and ends before the next such token.
fn words_of(
    ids: &[i64],
    first: usize,
    starts: &[bool],
    may_hide: impl Fn(usize, i64) -> bool,
) -> Vec<(usize, usize)> {
    let mut words: Vec<(usize, usize)> = Vec::with_capacity(ids.len() - first);
    for (at, &id) in ids.iter().enumerate().skip(first) {
        if !may_hide(at, id) {
            continue;
        }
        let begins = usize::try_from(id).is_ok_and(|id| starts.get(id).copied().unwrap_or(true));
        match words.last_mut() {
            Some(last) if last.1 == at && !begins => last.1 = at + 1,
            _ => words.push((at, at + 1)),
        }
    }
    words
}

/// A row's hash and the position of its first token, both without the padding on either side, so
/// that a text is masked alike whatever it was padded to.
fn address_by_content(ids: &[i64], pad_id: Option<u32>) -> (u64, usize) {
    let is_text = |id: &i64| pad_id.is_none_or(|pad| *id != i64::from(pad));
    let first = ids.iter().position(is_text).unwrap_or(0);
    let end = ids.iter().rposition(is_text).map_or(first, |last| last + 1);
    (content_hash(ids[first..end].iter().map(|&id| id.cast_unsigned())), first)
}

fn check_length(name: &'static str, found: usize, expected: usize) -> Result<()> {
    if found == expected { Ok(()) } else { Err(Error::Length { name, found, expected }) }
}
