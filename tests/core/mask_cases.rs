//! What the tests of the masks share: a vocabulary, texts, and how far a count is from its mean.

use mlmfast_core::mask::{Address, Batch, MaskOptions, Masker, Mode, Output, RowSource};

pub const VOCAB: u32 = 1_000;
pub const MASK: u32 = 4;
pub const SPECIAL: [u32; 5] = [0, 1, 2, 3, MASK];

pub fn options() -> MaskOptions {
    MaskOptions {
        mask_token_id: MASK,
        vocab_size: VOCAB,
        special_ids: SPECIAL.to_vec(),
        mode: Mode::Token,
        mlm_probability: 0.15.into(),
        masks_per_row: None,
        at_least_one: false,
        mask_replace_prob: 0.8,
        random_replace_prob: 0.1,
        random_specials: true,
    }
}

pub struct Masked {
    pub input_ids: Vec<i64>,
    pub labels: Vec<i64>,
    pub positions: Vec<i64>,
}

pub fn batch<'a>(ids: &'a [u16], length: usize, blocks: &'a [u64]) -> Batch<'a, u16> {
    let address = Address::Blocks(blocks);
    let rows = RowSource::Matrix(ids);
    Batch { rows, length, special_tokens_mask: None, address, strict: true }
}

/// Mask into buffers that hold nonsense, so that an element left out shows.
pub fn mask(
    options: &MaskOptions,
    batch: &Batch<'_, u16>,
    key: (u64, u64),
    threads: usize,
) -> Masked {
    let RowSource::Matrix(ids) = batch.rows else { unreachable!() };
    let (mut input_ids, mut labels) = (vec![-7; ids.len()], vec![-7; ids.len()]);
    let output =
        Output { input_ids: &mut input_ids, labels: Some(&mut labels), attention_mask: None };
    let masker = Masker::new(options).unwrap();
    let found = masker.mask(batch, key, output, Some(threads)).unwrap();
    assert!(found.labels.is_empty());
    Masked { input_ids, labels, positions: found.positions }
}

/// Ordinary ids 5..VOCAB, with a special token at both ends of each row.
pub fn text(rows: usize, length: usize) -> Vec<u16> {
    (0..rows * length)
        .map(|at| match at % length {
            0 => 0,
            last if last == length - 1 => 2,
            _ => (5 + (at * 7919) % (VOCAB as usize - 5)) as u16,
        })
        .collect()
}

/// How many standard deviations `count` of `trials` lies from `probability`.
pub fn deviations(count: usize, trials: usize, probability: f64) -> f64 {
    let (count, trials) = (count as f64, trials as f64);
    let deviation = (trials * probability * (1.0 - probability)).sqrt();
    (count - trials * probability).abs() / deviation.max(1e-9)
}

/// How many standard deviations the chi-squared statistic of `counts` lies from its mean, where
/// the expected counts are in proportion to `weights`.
pub fn chi_squared(counts: &[usize], weights: &[f64]) -> f64 {
    let total = counts.iter().sum::<usize>() as f64 / weights.iter().sum::<f64>();
    let square: f64 = counts
        .iter()
        .zip(weights)
        .map(|(&count, weight)| (count as f64 - total * weight).powi(2) / (total * weight))
        .sum();
    let freedom = counts.len() as f64 - 1.0;
    (square - freedom).abs() / (2.0 * freedom).sqrt()
}
