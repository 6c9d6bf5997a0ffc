//! The masks' distribution and determinism. Every bound of a statistical test is five standard
//! deviations wide, so that a right kernel passes for (almost) any seed and a biased one fails:
//! the last test breaks the kernel's inputs on purpose and watches the bounds notice.
#![allow(clippy::unwrap_used, clippy::cast_precision_loss, clippy::cast_possible_truncation)]
#![allow(clippy::cast_sign_loss, clippy::cast_possible_wrap, missing_docs)]

use mlmfast_core::Error;
use mlmfast_core::mask::{Address, Batch, IGNORE, MaskOptions, Masker};
use proptest::prelude::*;

const VOCAB: u32 = 1_000;
const MASK: u32 = 4;
const SPECIAL: [u32; 5] = [0, 1, 2, 3, MASK];

fn options() -> MaskOptions {
    MaskOptions {
        mask_token_id: MASK,
        vocab_size: VOCAB,
        special_ids: SPECIAL.to_vec(),
        word_starts: None,
        mlm_probability: 0.15,
        mask_replace_prob: 0.8,
        random_replace_prob: 0.1,
    }
}

struct Masked {
    input_ids: Vec<i64>,
    labels: Vec<i64>,
    positions: Vec<i64>,
}

fn batch<'a>(ids: &'a [u16], length: usize, blocks: &'a [u64]) -> Batch<'a, u16> {
    let address = Address::Blocks(blocks);
    Batch { input_ids: ids, length, special_tokens_mask: None, address, strict: true }
}

fn mask(options: &MaskOptions, batch: &Batch<'_, u16>, key: (u64, u64), threads: usize) -> Masked {
    let total = batch.input_ids.len();
    let (mut input_ids, mut labels) = (vec![-1; total], vec![-1; total]);
    let out = (input_ids.as_mut_slice(), labels.as_mut_slice());
    let positions = Masker::new(options).unwrap().mask(batch, key, out, Some(threads)).unwrap();
    Masked { input_ids, labels, positions }
}

/// Ordinary ids 5..VOCAB, with a special token at both ends of each row.
fn text(rows: usize, length: usize) -> Vec<u16> {
    (0..rows * length)
        .map(|at| match at % length {
            0 => 0,
            last if last == length - 1 => 2,
            _ => (5 + (at * 7919) % (VOCAB as usize - 5)) as u16,
        })
        .collect()
}

/// How many standard deviations `count` of `trials` lies from `probability`.
fn deviations(count: usize, trials: usize, probability: f64) -> f64 {
    let (count, trials) = (count as f64, trials as f64);
    let deviation = (trials * probability * (1.0 - probability)).sqrt();
    (count - trials * probability).abs() / deviation.max(1e-9)
}

/// The worst deviation of the rates that `options` asks for, over a million tokens.
fn worst_deviation(asked: &MaskOptions, drawn: &MaskOptions) -> f64 {
    let (rows, length) = (2_000, 514);
    let ids = text(rows, length);
    let blocks: Vec<u64> = (0..rows as u64).collect();
    let masked = mask(drawn, &batch(&ids, length, &blocks), (11, 3), 2);
    let chosen = masked.positions.len();
    let (mut hidden, mut random) = (0, 0);
    for &at in &masked.positions {
        let (id, label) = (masked.input_ids[at as usize], masked.labels[at as usize]);
        hidden += usize::from(id == i64::from(MASK));
        random += usize::from(id != i64::from(MASK) && id != label);
    }
    // A random word is the mask token, or the word itself, once in VOCAB each.
    let once = asked.random_replace_prob / f64::from(VOCAB);
    [
        deviations(chosen, rows * (length - 2), asked.mlm_probability),
        deviations(hidden, chosen, asked.mask_replace_prob + once),
        deviations(random, chosen, asked.random_replace_prob - 2.0 * once),
    ]
    .into_iter()
    .fold(0.0, f64::max)
}

#[test]
fn rates_are_those_asked_for() {
    for (rate, hide, random) in [(0.15, 0.8, 0.1), (0.3, 0.5, 0.4), (0.02, 0.0, 1.0)] {
        let options = MaskOptions {
            mlm_probability: rate,
            mask_replace_prob: hide,
            random_replace_prob: random,
            ..options()
        };
        let worst = worst_deviation(&options, &options);
        assert!(worst < 5.0, "{worst} deviations at {rate} {hide} {random}");
    }
}

#[test]
fn a_biased_kernel_is_noticed() {
    let asked = options();
    for biased in [
        MaskOptions { mlm_probability: 0.152, ..options() },
        MaskOptions { mask_replace_prob: 0.81, ..options() },
        MaskOptions { random_replace_prob: 0.095, ..options() },
    ] {
        assert!(worst_deviation(&asked, &biased) > 5.0, "{biased:?}");
    }
}

#[test]
fn every_position_is_chosen_alike() {
    let (rows, length) = (40_000, 34);
    let ids = text(rows, length);
    let blocks: Vec<u64> = (0..rows as u64).collect();
    let masked = mask(&options(), &batch(&ids, length, &blocks), (5, 0), 2);
    for at in 1..length - 1 {
        let here = masked.positions.iter().filter(|&&p| p as usize % length == at).count();
        assert!(deviations(here, rows, 0.15) < 5.0, "position {at}: {here}");
    }
    // Neighbours are chosen independently of each other.
    let both = masked.positions.windows(2).filter(|pair| pair[1] == pair[0] + 1).count();
    assert!(deviations(both, rows * (length - 3), 0.15 * 0.15) < 5.0, "{both} pairs");
}

#[test]
fn random_words_are_uniform_over_the_whole_vocabulary() {
    let options = MaskOptions {
        mlm_probability: 1.0,
        mask_replace_prob: 0.0,
        random_replace_prob: 1.0,
        special_ids: vec![],
        ..options()
    };
    let (rows, length) = (2_000, 500);
    let ids = vec![7_u16; rows * length];
    let blocks: Vec<u64> = (0..rows as u64).collect();
    let masked = mask(&options, &batch(&ids, length, &blocks), (2, 2), 2);
    let mut counts = vec![0_usize; VOCAB as usize];
    masked.input_ids.iter().for_each(|&id| counts[id as usize] += 1);
    let expected = (rows * length) as f64 / f64::from(VOCAB);
    let square: f64 = counts.iter().map(|&n| (n as f64 - expected).powi(2) / expected).sum();
    // Chi-squared with VOCAB - 1 degrees of freedom: mean 999, standard deviation 44.7.
    assert!((square - 999.0).abs() < 5.0 * 44.7, "chi-squared {square}");
}

proptest! {
    #[test]
    fn outputs_are_consistent(
        length in 1_usize..80, rows in 0_usize..12, rate in 0.0..=1.0, seed: u64, epoch: u64,
    ) {
        let ids = text(rows, length);
        let blocks: Vec<u64> = (0..rows as u64).map(|row| row * 3).collect();
        let options = MaskOptions { mlm_probability: rate, ..options() };
        let masked = mask(&options, &batch(&ids, length, &blocks), (seed, epoch), 1);
        let chosen: Vec<i64> =
            (0..ids.len()).filter(|&at| masked.labels[at] != IGNORE).map(|at| at as i64).collect();
        prop_assert_eq!(&masked.positions, &chosen);
        for (at, &id) in ids.iter().enumerate() {
            if masked.labels[at] == IGNORE {
                prop_assert_eq!(masked.input_ids[at], i64::from(id));
            } else {
                prop_assert_eq!(masked.labels[at], i64::from(id));
                prop_assert!(!SPECIAL.contains(&u32::from(id)));
                prop_assert!((0..i64::from(VOCAB)).contains(&masked.input_ids[at]));
            }
        }
    }

    #[test]
    fn a_row_is_masked_alike_in_any_batch(
        length in 1_usize..60, rows in 1_usize..20, seed: u64, epoch: u64, pick: prop::sample::Index,
    ) {
        let ids = text(rows, length);
        let blocks: Vec<u64> = (100..100 + rows as u64).collect();
        let whole = mask(&options(), &batch(&ids, length, &blocks), (seed, epoch), 1);
        let row = pick.index(rows);
        let part = row * length..(row + 1) * length;
        let one = batch(&ids[part.clone()], length, &blocks[row..=row]);
        let alone = mask(&options(), &one, (seed, epoch), 1);
        prop_assert_eq!(&whole.input_ids[part.clone()], alone.input_ids.as_slice());
        prop_assert_eq!(&whole.labels[part], alone.labels.as_slice());
    }
}

#[test]
fn threads_do_not_matter_and_keys_do() {
    let (rows, length) = (3_000, 300);
    let ids = text(rows, length);
    let blocks: Vec<u64> = (0..rows as u64).collect();
    let batch = batch(&ids, length, &blocks);
    let serial = mask(&options(), &batch, (1, 1), 1);
    let parallel = mask(&options(), &batch, (1, 1), 4);
    assert_eq!(serial.input_ids, parallel.input_ids);
    assert_eq!(serial.labels, parallel.labels);
    assert_eq!(serial.positions, parallel.positions);
    assert_ne!(serial.labels, mask(&options(), &batch, (1, 2), 1).labels);
    assert_ne!(serial.labels, mask(&options(), &batch, (2, 1), 1).labels);
}

#[test]
fn content_addresses_do_not_see_the_padding() {
    let row: Vec<u16> = (10..40).collect();
    let options = MaskOptions { mlm_probability: 0.5, ..options() };
    let padded = |left: usize, right: usize| {
        let ids = [vec![1; left], row.clone(), vec![1; right]].concat();
        let address = Address::Content { pad_id: Some(1) };
        let batch = Batch { address, ..batch(&ids, ids.len(), &[]) };
        mask(&options, &batch, (1, 1), 1).input_ids[left..left + row.len()].to_vec()
    };
    assert_eq!(padded(0, 0), padded(0, 9));
    assert_eq!(padded(0, 0), padded(5, 2));
}

#[test]
fn whole_words_are_chosen_together() {
    // Ids from 500 on go on with a word.
    let starts: Vec<bool> = (0..VOCAB).map(|id| id < 500).collect();
    let options = MaskOptions { word_starts: Some(starts), ..options() };
    let word = [10_u16, 600, 700, 20, 800, 30];
    let (rows, length) = (20_000, 2 + 6 * 4);
    let row: Vec<u16> = [vec![0], word.repeat(4), vec![2]].concat();
    let ids = row.repeat(rows);
    let blocks: Vec<u64> = (0..rows as u64).collect();
    let masked = mask(&options, &batch(&ids, length, &blocks), (3, 1), 2);
    let mut words = 0;
    for (at, &id) in ids.iter().enumerate() {
        let chosen = masked.labels[at] != IGNORE;
        if id >= 500 {
            assert_eq!(chosen, masked.labels[at - 1] != IGNORE, "a word came apart at {at}");
        } else if !SPECIAL.contains(&u32::from(id)) {
            words += usize::from(chosen);
        }
    }
    assert!(deviations(words, rows * 12, 0.15) < 5.0, "{words} words");
    let hidden = masked.positions.iter().filter(|&&at| masked.input_ids[at as usize] == 4).count();
    let share = 0.8 + 0.1 / f64::from(VOCAB);
    assert!(deviations(hidden, masked.positions.len(), share) < 5.0, "80/10/10 is kept");
}

#[test]
fn flagged_tokens_are_never_chosen() {
    let ids = vec![7_u16; 400];
    let flags: Vec<bool> = (0..400).map(|at| at % 3 == 0).collect();
    let options = MaskOptions { mlm_probability: 1.0, ..options() };
    let batch = Batch { special_tokens_mask: Some(&flags), ..batch(&ids, 100, &[0, 1, 2, 3]) };
    let masked = mask(&options, &batch, (0, 0), 1);
    assert!(masked.labels.iter().zip(&flags).all(|(&label, &flag)| (label == IGNORE) == flag));
}

#[test]
fn bad_options_and_ids_are_named() {
    let message = |options: MaskOptions| Masker::new(&options).unwrap_err().to_string();
    let low = message(MaskOptions { mlm_probability: -0.1, ..options() });
    assert_eq!(low, "mlm_probability must be between 0 and 1, got -0.1");
    assert!(message(MaskOptions { mlm_probability: f64::NAN, ..options() }).contains("NaN"));
    let high = message(MaskOptions { random_replace_prob: 0.3, ..options() });
    assert!(high.contains("must not exceed 1"), "{high}");
    let outside = message(MaskOptions { mask_token_id: VOCAB, ..options() });
    assert!(outside.contains("mask_token_id 1000 is outside of the vocabulary"), "{outside}");
    let ids = [7_u16, 8, 9, 1_000];
    let mut out = (vec![0; 4], vec![0; 4]);
    let masker = Masker::new(&options()).unwrap();
    let batch = batch(&ids, 2, &[0, 1]);
    let error = masker.mask(&batch, (0, 0), (&mut out.0, &mut out.1), None).unwrap_err();
    let expected =
        Error::OutsideVocabulary { row: 1, position: 1, value: 1_000, vocab_size: VOCAB.into() };
    assert_eq!(error, expected);
    let error = masker.mask(&batch, (0, 0), (&mut out.0[..3], &mut out.1), None).unwrap_err();
    assert!(error.to_string().contains("out input_ids has 3 elements, expected 4"), "{error}");
}
