//! Whole words, spans, and a given number of masks. Bounds are five standard deviations wide, as in
//! mask.rs; where a bound is new, a test breaks the kernel's inputs and watches it notice.

use mlmfast_core::mask::{IGNORE, MaskOptions, Masker, Mode};
use proptest::prelude::*;

use crate::mask_cases::{
    MASK, Masked, SPECIAL, VOCAB, batch, chi_squared, deviations, mask, options, text,
};

fn blocks(rows: usize) -> Vec<u64> {
    (0..rows as u64).collect()
}

fn spans(probability: f64, longest: usize) -> MaskOptions {
    MaskOptions { mode: Mode::Span { starts: None, probability, longest }, ..options() }
}

/// Masked tokens of each row.
fn row_counts(masked: &Masked, length: usize) -> Vec<usize> {
    let chosen = |row: &[i64]| row.iter().filter(|&&label| label != IGNORE).count();
    masked.labels.chunks(length).map(chosen).collect()
}

#[test]
fn whole_words_are_chosen_together() {
    // Ids from 500 on go on with a word.
    let starts: Vec<bool> = (0..VOCAB).map(|id| id < 500).collect();
    let options = MaskOptions { mode: Mode::WholeWord { starts }, ..options() };
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
fn exactly_so_many_and_every_pair_alike() {
    let options = MaskOptions { masks_per_row: Some(3), ..options() };
    let (rows, length) = (50_000, 10);
    let ids = text(rows, length);
    let masked = mask(&options, &batch(&ids, length, &blocks(rows)), (7, 1), 2);
    assert!(row_counts(&masked, length).iter().all(|&count| count == 3));
    let mut sets = std::collections::HashMap::new();
    for three in masked.positions.chunks(3) {
        let set: Vec<i64> = three.iter().map(|at| at % length as i64).collect();
        *sets.entry(set).or_insert(0_usize) += 1;
    }
    // 3 of the 8 ordinary tokens: 56 sets.
    let counts: Vec<usize> = sets.into_values().collect();
    assert_eq!(counts.len(), 56);
    let worst = chi_squared(&counts, &[1.0; 56]);
    assert!(worst < 5.0, "{worst} deviations");
    let hidden = masked.positions.iter().filter(|&&at| masked.input_ids[at as usize] == 4).count();
    let share = 0.8 + 0.1 / f64::from(VOCAB);
    assert!(deviations(hidden, masked.positions.len(), share) < 5.0, "80/10/10 is kept");
}

#[test]
fn a_row_with_fewer_tokens_is_masked_whole() {
    for mode in [Mode::Token, spans(0.2, 10).mode] {
        let options = MaskOptions { mode, masks_per_row: Some(9), ..options() };
        let ids = text(2, 8);
        let masked = mask(&options, &batch(&ids, 8, &[0, 1]), (1, 1), 1);
        assert_eq!(row_counts(&masked, 8), [6, 6]);
    }
}

#[test]
fn at_least_one_adds_one_token_to_empty_rows_alone() {
    let (rows, length) = (60_000, 8);
    let ids = text(rows, length);
    let numbers = blocks(rows);
    let batch = batch(&ids, length, &numbers);
    let asked = MaskOptions { at_least_one: true, ..options() };
    let free = mask(&options(), &batch, (3, 3), 1);
    let sure = mask(&asked, &batch, (3, 3), 1);
    let mut places = [0_usize; 6];
    let rows = row_counts(&free, length).into_iter().zip(row_counts(&sure, length)).enumerate();
    for (row, (before, after)) in rows {
        assert_eq!(after, before.max(1));
        let range = row * length..(row + 1) * length;
        if before > 0 {
            assert_eq!(free.input_ids[range.clone()], sure.input_ids[range]);
        } else {
            let at = sure.labels[range].iter().position(|&label| label != IGNORE).unwrap();
            places[at - 1] += 1;
        }
    }
    let worst = chi_squared(&places, &[1.0; 6]);
    assert!(worst < 5.0, "{worst} deviations: {places:?}");
}

#[test]
fn at_least_one_holds_in_every_mode_and_rows_without_tokens_stay() {
    let starts = vec![true; VOCAB as usize];
    for mode in [Mode::Token, Mode::WholeWord { starts }, spans(0.2, 10).mode] {
        for rate in [0.0, 1e-12] {
            let options = MaskOptions {
                mode: mode.clone(),
                at_least_one: true,
                mlm_probability: rate.into(),
                ..options()
            };
            let mut ids = text(3, 20);
            ids[20..40].fill(1);
            let masked = mask(&options, &batch(&ids, 20, &[5, 6, 7]), (1, 1), 1);
            assert_eq!(row_counts(&masked, 20), [1, 0, 1], "{mode:?} {rate}");
        }
    }
}

/// The length of each row's first span; longer than 10 where a second one lies beside it.
fn first_span_lengths(options: &MaskOptions, rows: usize) -> Vec<usize> {
    let length = 402;
    let ids = text(rows, length);
    // The first span is what a budget of its length covers without a hole, and a larger one does
    // not: masked again and again with a growing number of tokens a row, each row shows its length.
    let numbers = blocks(rows);
    let batch = batch(&ids, length, &numbers);
    let mut lengths = vec![0; rows];
    for budget in 1..=12 {
        let options = MaskOptions { masks_per_row: Some(budget), ..options.clone() };
        let masked = mask(&options, &batch, (9, 4), 2);
        for (row, labels) in masked.labels.chunks(length).enumerate() {
            let chosen: Vec<usize> = (0..length).filter(|&at| labels[at] != IGNORE).collect();
            if chosen.last().unwrap() - chosen[0] + 1 == budget {
                lengths[row] = budget;
            }
        }
    }
    lengths
}

fn span_length_deviation(asked: f64, drawn: f64) -> f64 {
    let rows = 20_000;
    let mut counts = [0_usize; 10];
    for length in first_span_lengths(&spans(drawn, 10), rows) {
        if length <= 10 {
            counts[length - 1] += 1;
        }
    }
    let weights: Vec<f64> = (0..10).map(|k| (1.0 - asked).powi(k)).collect();
    // The second span begins right behind the first, or before it, once in some 200 rows, and
    // spans at the end of the row are cut; that bends the counts by less than the bound.
    chi_squared(&counts, &weights)
}

#[test]
fn span_lengths_are_geometric() {
    let right = span_length_deviation(0.2, 0.2);
    assert!(right < 8.0, "{right} deviations");
    let wrong = span_length_deviation(0.2, 0.22);
    assert!(wrong > 2.0 * right.max(4.0), "{wrong} deviations where the lengths are wrong");
}

#[test]
fn spans_begin_anywhere_alike() {
    let (rows, length) = (40_000, 34);
    let ids = text(rows, length);
    // The first token that a budget of one covers is the first span's begin.
    let options = MaskOptions { masks_per_row: Some(1), ..spans(0.2, 10) };
    let masked = mask(&options, &batch(&ids, length, &blocks(rows)), (4, 4), 2);
    let mut counts = [0_usize; 32];
    masked.positions.iter().for_each(|at| counts[*at as usize % length - 1] += 1);
    let worst = chi_squared(&counts, &[1.0; 32]);
    assert!(worst < 5.0, "{worst} deviations: {counts:?}");
}

#[test]
fn spans_mask_the_share_asked_for_and_nothing_special() {
    let (rows, length) = (4_000, 130);
    let ids = text(rows, length);
    let masked = mask(&spans(0.2, 10), &batch(&ids, length, &blocks(rows)), (2, 8), 2);
    // 15 % of 128 tokens is 19.2: 19 in four rows of five, 20 in the fifth.
    let counts = row_counts(&masked, length);
    assert!(counts.iter().all(|count| (19..=20).contains(count)));
    let more = counts.iter().filter(|&&count| count == 20).count();
    assert!(deviations(more, rows, 0.2) < 5.0, "{more} rows of 20");
    for (&label, &id) in masked.labels.iter().zip(&ids) {
        assert!(label == IGNORE || !SPECIAL.contains(&u32::from(id)));
    }
    // Neighbours of masked tokens are masked far more often than 15 % of the time.
    let together = masked.positions.windows(2).filter(|pair| pair[1] == pair[0] + 1).count();
    assert!(together > masked.positions.len() / 2);
}

#[test]
fn a_span_is_replaced_as_one() {
    let (rows, length) = (20_000, 34);
    let ids = text(rows, length);
    // A budget of 4: look at the rows where one span took it all.
    let options = MaskOptions { masks_per_row: Some(4), ..spans(0.2, 10) };
    let masked = mask(&options, &batch(&ids, length, &blocks(rows)), (6, 6), 2);
    let mut kinds = [0_usize; 4];
    for four in masked.positions.chunks(4) {
        if four[3] - four[0] != 3 {
            continue;
        }
        let range = four[0] as usize..=four[3] as usize;
        let (ids, labels) = (&masked.input_ids[range.clone()], &masked.labels[range]);
        let hidden = ids.iter().filter(|&&id| id == i64::from(MASK)).count();
        let same = ids.iter().zip(labels).filter(|(id, label)| id == label).count();
        let kind = match (hidden, same) {
            (4, _) => 0,
            (_, 4) => 1,
            (0 | 1, 0 | 1) => 2,
            _ => 3, // two spans side by side
        };
        kinds[kind] += 1;
    }
    let whole = kinds[0] + kinds[1] + kinds[2];
    assert!(whole > rows / 5, "{kinds:?}");
    // Two neighbouring spans that agree add some to the most frequent kind.
    assert!(deviations(kinds[0], whole, 0.81) < 8.0, "{kinds:?}");
    assert!(kinds[3] < whole / 10, "{kinds:?}");
}

#[test]
fn spans_of_words_begin_at_words() {
    let starts: Vec<bool> = (0..VOCAB).map(|id| id < 500).collect();
    let word = [10_u16, 600, 700, 20, 800, 30];
    let (rows, length) = (5_000, 2 + 6 * 8);
    let row: Vec<u16> = [vec![0], word.repeat(8), vec![2]].concat();
    let ids = row.repeat(rows);
    let mode = Mode::Span { starts: Some(starts), probability: 0.2, longest: 10 };
    let options = MaskOptions { mode, ..options() };
    let masked = mask(&options, &batch(&ids, length, &blocks(rows)), (3, 1), 2);
    let mut cut = vec![0; rows];
    for at in 1..ids.len() {
        let (before, here) = (masked.labels[at - 1] != IGNORE, masked.labels[at] != IGNORE);
        if ids[at] >= 500 && before != here {
            assert!(before, "a span began inside of a word at {at}");
            cut[at / length] += 1;
        }
    }
    assert!(cut.iter().all(|&count| count <= 1), "only the last span is cut, by the budget");
}

#[test]
fn random_words_may_be_kept_ordinary() {
    let (rows, length) = (400, 500);
    let ids = vec![7_u16; rows * length];
    let only_random = MaskOptions {
        mlm_probability: 1.0.into(),
        mask_replace_prob: 0.0,
        random_replace_prob: 1.0,
        random_specials: false,
        special_ids: vec![0, 2, 999],
        ..options()
    };
    let masked = mask(&only_random, &batch(&ids, length, &blocks(rows)), (2, 2), 2);
    let mut counts = vec![0_usize; VOCAB as usize];
    masked.input_ids.iter().for_each(|&id| counts[id as usize] += 1);
    for id in [0, 2, 999, MASK as usize] {
        assert_eq!(counts[id], 0);
    }
    counts.retain(|&count| count > 0);
    assert_eq!(counts.len(), VOCAB as usize - 4);
    let worst = chi_squared(&counts, &vec![1.0; counts.len()]);
    assert!(worst < 5.0, "{worst} deviations");
}

proptest! {
    #[test]
    fn every_mode_is_consistent(
        length in 1_usize..60, rows in 1_usize..8, rate in 0.0..=1.0_f64, seed: u64, kind in 0..4,
        wanted in 1_usize..70, at_least_one: bool,
    ) {
        let starts: Vec<bool> = (0..VOCAB).map(|id| id % 3 != 0).collect();
        let mode = match kind {
            0 => Mode::Token,
            1 => Mode::WholeWord { starts },
            2 => Mode::Span { starts: Some(starts), probability: 0.3, longest: 4 },
            _ => Mode::Span { starts: None, probability: 1.0, longest: 1 },
        };
        let masks_per_row = (kind != 1 && seed % 2 == 0).then_some(wanted);
        let options =
            MaskOptions { mode, mlm_probability: rate.into(), masks_per_row, at_least_one, ..options() };
        let ids = text(rows, length);
        let masked = mask(&options, &batch(&ids, length, &blocks(rows)), (seed, 1), 1);
        let chosen: Vec<i64> =
            (0..ids.len()).filter(|&at| masked.labels[at] != IGNORE).map(|at| at as i64).collect();
        prop_assert_eq!(&masked.positions, &chosen);
        let ordinary = length.saturating_sub(2);
        for count in row_counts(&masked, length) {
            if let Some(wanted) = masks_per_row {
                prop_assert_eq!(count, wanted.min(ordinary));
            } else if at_least_one && ordinary > 0 {
                prop_assert!(count > 0);
            }
        }
        for (at, &id) in ids.iter().enumerate() {
            if masked.labels[at] == IGNORE {
                prop_assert_eq!(masked.input_ids[at], i64::from(id));
            } else {
                prop_assert_eq!(masked.labels[at], i64::from(id));
                prop_assert!(!SPECIAL.contains(&u32::from(id)));
            }
        }
    }
}

#[test]
fn bad_options_are_named() {
    let message = |options: MaskOptions| Masker::new(&options).unwrap_err().to_string();
    let whole = Mode::WholeWord { starts: vec![true; VOCAB as usize] };
    let short = Mode::WholeWord { starts: vec![true; 3] };
    assert!(message(MaskOptions { mode: short, ..options() }).contains("word_starts has 3"));
    let counted = MaskOptions { mode: whole, masks_per_row: Some(1), ..options() };
    assert!(message(counted).contains("whole words do not come apart"));
    assert!(message(MaskOptions { masks_per_row: Some(0), ..options() }).contains("at least 1"));
    assert!(message(spans(0.0, 10)).contains("span_probability must be between"));
    assert!(message(spans(f64::NAN, 10)).contains("got NaN"));
    assert!(message(spans(0.2, 0)).contains("max_span_length must be between 1 and 1000, got 0"));
    let all = (0..VOCAB).collect();
    let none_left = MaskOptions { special_ids: all, random_specials: false, ..options() };
    assert!(message(none_left).contains("no ordinary id is left"));
}
