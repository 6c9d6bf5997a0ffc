//! Masks for masked language modelling: which tokens are hidden, and what replaces them.
//!
//! The distribution is BERT's (Devlin et al. 2019), as `DataCollatorForLanguageModeling` draws it:
//! each token that is not special is chosen with `mlm_probability`; of the chosen ones a share of
//! `mask_replace_prob` becomes the mask token, a share of `random_replace_prob` a word drawn
//! uniformly from the vocabulary, and the rest stays. Gaps are drawn over all tokens and hits on
//! special tokens are dropped, which leaves every other token's probability as it is.
//!
//! The order of the draws and their keys are a documented format: `docs/masks.md`.

use std::sync::Arc;

use crate::choose::{ChoiceKeys, Chooser, Scratch};
use crate::ids::IdSet;
pub use crate::ids::{OutputId, TokenId};
pub use crate::mask_rate::MaskRate;
pub use crate::options::{MaskOptions, Mode};
pub use crate::output::{ChosenTokens, IGNORE, Output};
use crate::replace::Replacement;
use crate::rng::{EpochKey, Purpose, content_hash};
use crate::row_masker::{DrawBuffers, RowMasker};
pub use crate::row_source::{RowSource, Shards};
use crate::{Error, Result, check_length, parallel};

/// Minimum number of tokens per thread that makes starting it worthwhile.
const GRAIN: usize = 1 << 18;

/// Where a row's random numbers come from.
#[derive(Debug, Clone, Copy)]
pub enum Address<'a> {
    /// The rows are the blocks of these numbers.
    Blocks(&'a [u64]),
    /// A row is addressed by its own content, without the padding around it.
    Content {
        /// The padding id, if there is one.
        pad_id: Option<u32>,
    },
}

/// A batch to be masked, of rows of equal length.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a, I> {
    /// Token ids.
    pub rows: RowSource<'a, I>,
    /// Tokens a row.
    pub length: usize,
    /// A flag for each token: true where it must not be chosen.
    pub special_tokens_mask: Option<&'a [bool]>,
    /// Where the rows' random numbers come from.
    pub address: Address<'a>,
    /// Refuse ids outside of the vocabulary. Outputs of 32 bits always do.
    pub strict: bool,
}

/// Options that have been checked, and the tables made from them.
#[derive(Debug, Clone)]
pub struct Masker {
    chooser: Chooser,
    replacement: Arc<Replacement>,
    special: Arc<IdSet>,
    vocab_size: u32,
}

/// The keys of an epoch.
struct Keys {
    choice: ChoiceKeys,
    replacement: EpochKey,
}

impl Masker {
    /// Check the options.
    ///
    /// # Errors
    /// A probability outside of 0..=1, replacement shares of more than 1 in all, a mask token or
    /// special id outside of the vocabulary, an empty vocabulary, a flag list of another length,
    /// exactly so many tokens of whole words.
    pub fn new(options: &MaskOptions) -> Result<Self> {
        options.mlm_probability.check()?;
        for (name, value) in [
            ("mask_replace_prob", options.mask_replace_prob),
            ("random_replace_prob", options.random_replace_prob),
        ] {
            if !(0.0..=1.0).contains(&value) {
                return Err(Error::Probability { name, value: value.to_string() });
            }
        }
        let vocab_size = options.vocab_size;
        if i32::try_from(vocab_size).is_err() || vocab_size == 0 {
            return Err(Error::VocabSize(vocab_size.into()));
        }
        let ids = options.special_ids.iter().map(|&id| ("special id", id));
        for (name, id) in ids.chain([("mask_token_id", options.mask_token_id)]) {
            if id >= vocab_size {
                let (value, vocab_size) = (id.into(), vocab_size.into());
                return Err(Error::OptionOutsideVocabulary { name, value, vocab_size });
            }
        }
        Ok(Self {
            chooser: Chooser::new(options)?,
            replacement: Replacement::new(options)?.into(),
            special: IdSet::new(vocab_size, &options.special_ids).into(),
            vocab_size,
        })
    }

    /// A masker with another rate, the same for all rows, that shares the tables of the vocabulary.
    ///
    /// # Errors
    /// A probability outside of 0..=1.
    pub fn with_probability(&self, mlm_probability: f64) -> Result<Self> {
        Ok(Self { chooser: self.chooser.with_rate(mlm_probability.into())?, ..self.clone() })
    }

    /// Mask a batch into buffers of its size. Every element of them is written.
    ///
    /// # Errors
    /// Buffers of another size; with `strict`, an id outside of the vocabulary; a block that the
    /// shards do not have.
    pub fn mask<I: TokenId, O: OutputId>(
        &self,
        batch: &Batch<'_, I>,
        (seed, epoch): (u64, u64),
        output: Output<'_, O>,
        threads: Option<usize>,
    ) -> Result<ChosenTokens<O>> {
        let rows = batch.rows.count(batch.length);
        check(batch, rows, &output)?;
        if rows == 0 {
            return Ok(ChosenTokens { positions: Vec::new(), labels: Vec::new() });
        }
        let keys = Keys {
            choice: ChoiceKeys::new(seed, epoch),
            replacement: EpochKey::new(seed, epoch, Purpose::Replacement),
        };
        let threads = parallel::thread_count(threads, rows * batch.length, GRAIN);
        let share = rows.div_ceil(threads);
        let parts = output.split(share * batch.length).enumerate().collect();
        let results = parallel::run(parts, threads, |(part, output)| {
            self.mask_rows(batch, part * share, output, &keys)
        });
        let mut results = results.into_iter();
        let Some(mut all) = results.next().transpose()? else {
            return Ok(ChosenTokens { positions: Vec::new(), labels: Vec::new() });
        };
        for part in results {
            let part = part?;
            all.positions.extend(part.positions);
            all.labels.extend(part.labels);
        }
        Ok(all)
    }

    /// Mask as many rows as `output` holds, from `first_row` on.
    fn mask_rows<I: TokenId, O: OutputId>(
        &self,
        batch: &Batch<'_, I>,
        first_row: usize,
        output: Output<'_, O>,
        keys: &Keys,
    ) -> Result<ChosenTokens<O>> {
        let length = batch.length;
        let guess = self.chooser.estimate(output.input_ids.len());
        let mut chosen = ChosenTokens {
            positions: Vec::with_capacity(guess),
            labels: Vec::with_capacity(if output.labels.is_some() { 0 } else { guess }),
        };
        let mut scratch = Scratch::default();
        let values = self.chooser.token_gaps().map_or(0, |gaps| gaps.draws(length));
        let mut drawn = DrawBuffers::new(values);
        for (offset, mut out) in output.split(length).enumerate() {
            let row = first_row + offset;
            let source = batch.rows.row(row, length)?;
            if batch.strict || !O::HOLDS_ALL {
                self.check_ids(row, source)?;
            }
            out.prepare(source);
            let dense = out.labels.is_some();
            let before = chosen.positions.len();
            let memory = (&mut scratch, &mut drawn, &mut chosen.positions);
            self.mask_row(batch, row, source, out, keys, memory);
            if !dense {
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // of this row
                let ids =
                    chosen.positions[before..].iter().map(|&at| source[at as usize - row * length]);
                chosen.labels.extend(ids.map(|id| O::from_wide(id.widen())));
            }
        }
        Ok(chosen)
    }

    /// Mask a row that `out` holds a copy of, and append the positions of its chosen tokens.
    fn mask_row<I: TokenId, O: OutputId>(
        &self,
        batch: &Batch<'_, I>,
        number: usize,
        source: &[I],
        out: Output<'_, O>,
        keys: &Keys,
        (scratch, drawn, positions): (&mut Scratch, &mut DrawBuffers, &mut Vec<i64>),
    ) {
        let begin = number * batch.length;
        let (block, first) = match batch.address {
            Address::Blocks(blocks) => (blocks[number], 0),
            Address::Content { pad_id } => address_by_content(source, pad_id),
        };
        let mut row = RowMasker {
            replacement: &self.replacement,
            special: &self.special,
            source,
            flags: batch.special_tokens_mask.map(|flags| &flags[begin..begin + batch.length]),
            first,
            key: keys.replacement.block(block),
            ids: out.input_ids,
            labels: out.labels.unwrap_or_default(),
            #[allow(clippy::cast_possible_wrap)] // a slice has at most i64::MAX elements
            begin: begin as i64,
            positions,
        };
        let before = row.positions.len();
        let mut independent = true;
        if let Some(gaps) = self.chooser.token_gaps() {
            row.hide_tokens(gaps, keys.choice.gap(block), drawn);
        } else if let Some(rate) = self.chooser.token_rate(block, &keys.choice) {
            row.hide_at_rate(rate, keys.choice.gap(block), drawn);
        } else {
            independent = false;
        }
        if independent && (row.positions.len() > before || !self.chooser.at_least_one()) {
            return;
        }
        let RowMasker { source, first, .. } = row;
        let rest = |at: usize| source[at].widen();
        let may_hide = |at: usize| row.may_hide(at);
        self.chooser.find_units(first..source.len(), rest, may_hide, scratch);
        self.chooser.choose_units(
            first..source.len(),
            block,
            &keys.choice,
            scratch,
            |at, decider| row.hide(at, decider),
        );
    }

    fn check_ids<I: TokenId>(&self, row: usize, ids: &[I]) -> Result<()> {
        if !I::any_outside(ids, self.vocab_size) {
            return Ok(());
        }
        let allowed = 0..i64::from(self.vocab_size);
        let outside =
            ids.iter().map(|id| id.widen()).enumerate().find(|(_, id)| !allowed.contains(id));
        outside.map_or(Ok(()), |(position, value)| {
            let vocab_size = self.vocab_size.into();
            Err(Error::OutsideVocabulary { row, position, value, vocab_size })
        })
    }
}

fn check<I, O>(batch: &Batch<'_, I>, rows: usize, output: &Output<'_, O>) -> Result<()> {
    let total = rows.checked_mul(batch.length).ok_or(Error::TooLarge)?;
    if i32::try_from(batch.length).is_err() {
        return Err(Error::BlockSize(batch.length));
    }
    match batch.rows {
        RowSource::Matrix(ids) => check_length("input_ids", ids.len(), total)?,
        RowSource::Blocks(shards, _) => check_length("block", shards.length(), batch.length)?,
    }
    check_length("out input_ids", output.input_ids.len(), total)?;
    if let Some(labels) = &output.labels {
        check_length("out labels", labels.len(), total)?;
    }
    if let Some((_, mask)) = &output.attention_mask {
        check_length("out attention_mask", mask.len(), total)?;
    }
    if let Some(flags) = batch.special_tokens_mask {
        check_length("special_tokens_mask", flags.len(), total)?;
    }
    if let Address::Blocks(ids) = batch.address {
        check_length("block_ids", ids.len(), rows)?;
    }
    Ok(())
}

/// A row's hash and the position of its first token, both ignoring padding on either side, so that the
/// masks of a text do not depend on its padding.
fn address_by_content<I: TokenId>(ids: &[I], pad_id: Option<u32>) -> (u64, usize) {
    let is_text = |id: &I| pad_id.is_none_or(|pad| id.widen() != i64::from(pad));
    let first = ids.iter().position(is_text).unwrap_or(0);
    let end = ids.iter().rposition(is_text).map_or(first, |last| last + 1);
    (content_hash(ids[first..end].iter().map(|id| id.widen().cast_unsigned())), first)
}
