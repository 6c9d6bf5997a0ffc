//! The masks' distribution and determinism. Every bound of a statistical test is five standard
//! deviations wide, so that a right kernel passes for (almost) any seed and a biased one fails:
//! the last test breaks the kernel's inputs on purpose and watches the bounds notice.

use mlmfast_core::Error;
use mlmfast_core::mask::{Address, Batch, IGNORE, MaskOptions, MaskRate, Masker, Output};
use proptest::prelude::*;

use crate::mask_cases::{
    MASK, SPECIAL, VOCAB, batch, chi_squared, deviations, mask, options, text,
};

/// The worst deviation of the rates that `options` asks for, over so many million tokens.
fn worst_deviation(asked: &MaskOptions, drawn: &MaskOptions, millions: u64) -> f64 {
    let (rows, length) = (2_000, 514);
    let ids = text(rows, length);
    let (mut chosen, mut hidden, mut random) = (0, 0, 0);
    for first in (0..millions).map(|million| million * rows as u64) {
        let blocks: Vec<u64> = (first..first + rows as u64).collect();
        let masked = mask(drawn, &batch(&ids, length, &blocks), (11, 3), 2);
        chosen += masked.positions.len();
        for &at in &masked.positions {
            let (id, label) = (masked.input_ids[at as usize], masked.labels[at as usize]);
            hidden += usize::from(id == i64::from(MASK));
            random += usize::from(id != i64::from(MASK) && id != label);
        }
    }
    let MaskRate::Fixed(rate) = asked.mlm_probability else { unreachable!() };
    // A random word is the mask token, or the word itself, once in VOCAB each.
    let once = asked.random_replace_prob / f64::from(VOCAB);
    let tokens = millions as usize * rows * (length - 2);
    [
        deviations(chosen, tokens, rate),
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
            mlm_probability: rate.into(),
            mask_replace_prob: hide,
            random_replace_prob: random,
            ..options()
        };
        let worst = worst_deviation(&options, &options, 100);
        assert!(worst < 5.0, "{worst} deviations at {rate} {hide} {random}");
    }
}

#[test]
fn a_biased_kernel_is_noticed() {
    let asked = options();
    for biased in [
        MaskOptions { mlm_probability: 0.1504.into(), ..options() },
        MaskOptions { mask_replace_prob: 0.801, ..options() },
        MaskOptions { random_replace_prob: 0.0993, ..options() },
    ] {
        let worst = worst_deviation(&asked, &biased, 100);
        assert!(worst > 5.0, "{worst} deviations with {biased:?}");
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
        mlm_probability: 1.0.into(),
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
    let worst = chi_squared(&counts, &vec![1.0; VOCAB as usize]);
    assert!(worst < 5.0, "{worst} deviations");
}

proptest! {
    #[test]
    fn outputs_are_consistent(
        length in 1_usize..80, rows in 0_usize..12, rate in 0.0..=1.0_f64, seed: u64, epoch: u64,
    ) {
        let ids = text(rows, length);
        let blocks: Vec<u64> = (0..rows as u64).map(|row| row * 3).collect();
        let options = MaskOptions { mlm_probability: rate.into(), ..options() };
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
    let options = MaskOptions { mlm_probability: 0.5.into(), ..options() };
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
fn flagged_tokens_are_never_chosen() {
    let ids = vec![7_u16; 400];
    let flags: Vec<bool> = (0..400).map(|at| at % 3 == 0).collect();
    let options = MaskOptions { mlm_probability: 1.0.into(), ..options() };
    let batch = Batch { special_tokens_mask: Some(&flags), ..batch(&ids, 100, &[0, 1, 2, 3]) };
    let masked = mask(&options, &batch, (0, 0), 1);
    assert!(masked.labels.iter().zip(&flags).all(|(&label, &flag)| (label == IGNORE) == flag));
}

#[test]
fn bad_options_and_ids_are_named() {
    let message = |options: MaskOptions| Masker::new(&options).unwrap_err().to_string();
    let low = message(MaskOptions { mlm_probability: MaskRate::Fixed(-0.1), ..options() });
    assert_eq!(low, "mlm_probability must be between 0 and 1, got -0.1");
    assert!(message(MaskOptions { mlm_probability: f64::NAN.into(), ..options() }).contains("NaN"));
    let high = message(MaskOptions { random_replace_prob: 0.3, ..options() });
    assert!(high.contains("must not exceed 1"), "{high}");
    let outside = message(MaskOptions { mask_token_id: VOCAB, ..options() });
    assert!(outside.contains("mask_token_id 1000 is outside of the vocabulary"), "{outside}");
    let ids = [7_u16, 8, 9, 1_000];
    let masker = Masker::new(&options()).unwrap();
    let batch = batch(&ids, 2, &[0, 1]);
    let run = |size: usize| {
        let (mut ids, mut labels) = (vec![0_i64; size], vec![0; 4]);
        let output =
            Output { input_ids: &mut ids, labels: Some(&mut labels), attention_mask: None };
        masker.mask(&batch, (0, 0), output, None).unwrap_err()
    };
    let expected =
        Error::OutsideVocabulary { row: 1, position: 1, value: 1_000, vocab_size: VOCAB.into() };
    assert_eq!(run(4), expected);
    let message = run(3).to_string();
    assert!(message.contains("out input_ids has 3 elements, expected 4"), "{message}");
}
