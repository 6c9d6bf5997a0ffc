//! Mask rates that are drawn for each row. The number of masks in a row of n tokens then has a
//! mixed binomial distribution, which is computed here; bounds are five standard deviations wide,
//! and a test compares draws with other distributions and watches the bounds notice.

use mlmfast_core::mask::{IGNORE, MaskOptions, MaskRate, Masker, Mode};

use crate::mask_cases::{Masked, VOCAB, batch, chi_squared, deviations, mask, options, text};

/// Tokens of a row that may be chosen.
const TOKENS: usize = 20;
const LENGTH: usize = TOKENS + 2;
const ROWS: usize = 50_000;
const UNIFORM: MaskRate = MaskRate::Uniform { low: 0.05, high: 0.5 };
const BETA: MaskRate = MaskRate::Beta { a: 3.0, b: 9.0 };

fn at_rate(mlm_probability: MaskRate) -> MaskOptions {
    MaskOptions { mlm_probability, ..options() }
}

fn masked_rows(options: &MaskOptions) -> Masked {
    let blocks: Vec<u64> = (0..ROWS as u64).collect();
    mask(options, &batch(&text(ROWS, LENGTH), LENGTH, &blocks), (5, 2), 2)
}

/// How many rows have 0, 1, 2 ... masks.
fn histogram(masked: &Masked) -> Vec<usize> {
    let mut counts = vec![0; TOKENS + 1];
    for row in masked.labels.chunks(LENGTH) {
        counts[row.iter().filter(|&&label| label != IGNORE).count()] += 1;
    }
    counts
}

/// The probability of 0, 1, 2 ... hits among `TOKENS` at one rate.
fn binomial(rate: f64) -> Vec<f64> {
    let hits = |k: usize| {
        let ways: f64 = (0..k).map(|i| (TOKENS - i) as f64 / (i + 1) as f64).product();
        ways * rate.powi(k as i32) * (1.0 - rate).powi((TOKENS - k) as i32)
    };
    (0..=TOKENS).map(hits).collect()
}

/// The same where the rates are of a distribution: the mean over its density.
fn mixture(rate: MaskRate) -> Vec<f64> {
    let density = |x: f64| match rate {
        MaskRate::Uniform { low, high } => f64::from(u8::from((low..=high).contains(&x))),
        MaskRate::Beta { a, b } => x.powf(a - 1.0) * (1.0 - x).powf(b - 1.0),
        MaskRate::Fixed(_) => unreachable!(),
    };
    let mut mean = vec![0.0; TOKENS + 1];
    for step in 0..20_000 {
        let x = (f64::from(step) + 0.5) / 20_000.0;
        mean.iter_mut().zip(binomial(x)).for_each(|(sum, hits)| *sum += density(x) * hits);
    }
    mean
}

/// The deviation of the counts, with the rare counts at the end taken together.
fn deviation(counts: &[usize], weights: &[f64]) -> f64 {
    let all: f64 = weights.iter().sum();
    let rare = |&at: &usize| weights[at..].iter().sum::<f64>() / all < 20.0 / ROWS as f64;
    let end = (0..weights.len()).find(rare).unwrap_or(weights.len()) - 1;
    let merged = [&counts[..end], &[counts[end..].iter().sum()]].concat();
    let expected = [&weights[..end], &[weights[end..].iter().sum()]].concat();
    chi_squared(&merged, &expected)
}

#[test]
fn rows_have_as_many_masks_as_the_distribution_says() {
    let narrow = MaskRate::Beta { a: 0.5, b: 0.7 };
    for rate in [UNIFORM, BETA, narrow, MaskRate::Uniform { low: 0.0, high: 1.0 }] {
        let worst = deviation(&histogram(&masked_rows(&at_rate(rate))), &mixture(rate));
        assert!(worst < 5.0, "{rate:?}: {worst} deviations");
    }
}

#[test]
fn a_wrong_distribution_of_the_same_mean_is_noticed() {
    let wrong = [
        (BETA, mixture(MaskRate::Beta { a: 3.2, b: 9.6 })),
        (BETA, binomial(0.25)),
        (UNIFORM, mixture(MaskRate::Uniform { low: 0.06, high: 0.49 })),
    ];
    for (rate, weights) in wrong {
        let counts = histogram(&masked_rows(&at_rate(rate)));
        assert!(deviation(&counts, &weights) > 5.0, "{rate:?}");
    }
    // One rate for all rows, though each should have its own.
    let counts = histogram(&masked_rows(&at_rate(0.25.into())));
    assert!(deviation(&counts, &mixture(BETA)) > 5.0);
}

#[test]
fn every_token_of_a_row_has_the_same_rate_and_the_replacement_shares_are_kept() {
    let masked = masked_rows(&at_rate(BETA));
    let mut places = [0_usize; TOKENS];
    masked.positions.iter().for_each(|&at| places[at as usize % LENGTH - 1] += 1);
    let worst = chi_squared(&places, &[1.0; TOKENS]);
    assert!(worst < 5.0, "{worst} deviations");
    let hidden = masked.positions.iter().filter(|&&at| masked.input_ids[at as usize] == 4).count();
    let share = 0.8 + 0.1 / f64::from(VOCAB);
    assert!(deviations(hidden, masked.positions.len(), share) < 5.0);
}

#[test]
fn words_and_spans_are_chosen_at_the_rate_of_their_row() {
    let whole = Mode::WholeWord { starts: vec![true; VOCAB as usize] };
    let counts = histogram(&masked_rows(&MaskOptions { mode: whole, ..at_rate(UNIFORM) }));
    let worst = deviation(&counts, &mixture(UNIFORM));
    assert!(worst < 5.0, "{worst} deviations");
    let mode = Mode::Span { starts: None, probability: 0.2, longest: 10 };
    let rates = MaskRate::Uniform { low: 0.2, high: 0.4 };
    let counts = histogram(&masked_rows(&MaskOptions { mode, ..at_rate(rates) }));
    // Of 20 tokens between 4 and 8, each count as often as the next but for the ends.
    assert_eq!(counts[..4].iter().chain(&counts[9..]).sum::<usize>(), 0, "{counts:?}");
    let worst = chi_squared(&counts[4..9], &[0.5, 1.0, 1.0, 1.0, 0.5]);
    assert!(worst < 5.0, "{worst} deviations: {counts:?}");
}

#[test]
fn a_row_keeps_its_masks_in_any_batch_and_has_others_in_the_next_epoch() {
    let options = at_rate(UNIFORM);
    let ids = text(1, LENGTH).repeat(8);
    let all = mask(&options, &batch(&ids, LENGTH, &[0, 1, 2, 3, 4, 5, 6, 7]), (1, 0), 1);
    let alone = mask(&options, &batch(&ids[..LENGTH], LENGTH, &[5]), (1, 0), 1);
    assert_eq!(all.input_ids[5 * LENGTH..6 * LENGTH], alone.input_ids);
    let later = mask(&options, &batch(&ids[..LENGTH], LENGTH, &[5]), (1, 1), 1);
    assert_ne!(later.labels, alone.labels);
}

#[test]
fn at_least_one_holds_at_drawn_rates() {
    let rate = MaskRate::Uniform { low: 0.0, high: 0.01 };
    let counts = histogram(&masked_rows(&MaskOptions { at_least_one: true, ..at_rate(rate) }));
    assert!(counts[0] == 0 && counts[1] > ROWS * 8 / 10, "{counts:?}");
}

#[test]
fn invalid_rates_are_refused() {
    let message = |options: MaskOptions| Masker::new(&options).unwrap_err().to_string();
    let uniform = |low, high| message(at_rate(MaskRate::Uniform { low, high }));
    assert_eq!(
        uniform(0.5, 0.05),
        "mlm_probability 'uniform:LOW,HIGH' needs 0 <= LOW <= HIGH <= 1, got 'uniform:0.5,0.05'"
    );
    assert!(uniform(0.1, f64::NAN).contains("NaN"));
    assert_eq!(
        message(at_rate(MaskRate::Beta { a: 0.0, b: 2.0 })),
        "mlm_probability 'beta:A,B' needs A and B from 0.1 to 1000, got 'beta:0,2'"
    );
    let exactly = message(MaskOptions { masks_per_row: Some(3), ..at_rate(BETA) });
    assert!(exactly.starts_with("masks_per_row fixes the number of masks"), "{exactly}");
    assert!(MaskRate::drawn("normal", 0.1, 0.2).is_err());
}
