//! What masking reads from and writes to: shards, 32-bit outputs, labels at the positions alone,
//! attention masks. Buffers hold nonsense before, so that an element left out shows.

use mlmfast_core::mask::{
    Address, Batch, MaskOptions, Masker, Output, OutputId, RowSource, Shards,
};
use mlmfast_core::{Error, permutation::Permutation};
use proptest::prelude::*;

use crate::mask_cases::{VOCAB, batch, mask, options, text};

fn buffer<O: OutputId>(size: usize) -> Vec<O> {
    vec![O::from_wide(-7); size]
}

#[test]
fn thirty_two_bits_hold_the_same() {
    let (rows, length) = (50, 40);
    let ids = text(rows, length);
    let blocks: Vec<u64> = (0..rows as u64).collect();
    let batch = batch(&ids, length, &blocks);
    let wide = mask(&options(), &batch, (1, 2), 1);
    let (mut narrow, mut labels) = (buffer::<i32>(ids.len()), buffer(ids.len()));
    let output = Output { input_ids: &mut narrow, labels: Some(&mut labels), attention_mask: None };
    let found = Masker::new(&options()).unwrap().mask(&batch, (1, 2), output, None).unwrap();
    assert_eq!(found.positions, wide.positions);
    assert!(narrow.iter().zip(&wide.input_ids).all(|(&a, &b)| i64::from(a) == b));
    assert!(labels.iter().zip(&wide.labels).all(|(&a, &b)| i64::from(a) == b));
}

#[test]
fn thirty_two_bits_refuse_what_they_cannot_hold() {
    let ids = [5_i64, 1 << 40];
    let batch = Batch {
        rows: RowSource::Matrix(&ids),
        length: 2,
        special_tokens_mask: None,
        address: Address::Blocks(&[0]),
        strict: false,
    };
    let mut narrow = buffer::<i32>(2);
    let output = Output { input_ids: &mut narrow, labels: None, attention_mask: None };
    let error = Masker::new(&options()).unwrap().mask(&batch, (0, 0), output, None).unwrap_err();
    assert!(matches!(error, Error::OutsideVocabulary { position: 1, .. }), "{error}");
    let mut wide = buffer::<i64>(2);
    let output = Output { input_ids: &mut wide, labels: None, attention_mask: None };
    let nothing = MaskOptions { mlm_probability: 0.0.into(), ..options() };
    Masker::new(&nothing).unwrap().mask(&batch, (0, 0), output, None).unwrap();
    assert_eq!(wide[1], 1 << 40);
}

proptest! {
    #[test]
    fn shards_give_what_a_matrix_gives(
        sizes in prop::collection::vec(0_usize..9, 1..6), length in 1_usize..20, seed: u64,
        epoch: u64, threads in 1_usize..4,
    ) {
        let total: usize = sizes.iter().sum();
        let ids = text(total, length);
        let mut rest = ids.as_slice();
        let parts = sizes.iter().map(|size| {
            let (part, after) = rest.split_at(size * length);
            rest = after;
            part
        });
        let shards = Shards::new(parts.collect(), length).unwrap();
        let order = Permutation::new(total as u64, seed, epoch).unwrap();
        let blocks: Vec<u64> = (0..total as u64).map(|at| order.at(at).unwrap()).collect();
        let rows: Vec<u16> = blocks
            .iter()
            .flat_map(|&block| &ids[block as usize * length..(block as usize + 1) * length])
            .copied()
            .collect();
        let expected = mask(&options(), &batch(&rows, length, &blocks), (seed, epoch), 1);

        let gathered =
            Batch { rows: RowSource::Blocks(&shards, &blocks), ..batch(&ids, length, &blocks) };
        let masker = Masker::new(&options()).unwrap();
        let (mut input_ids, mut attention) = (buffer::<i64>(ids.len()), buffer(ids.len()));
        let output = Output {
            input_ids: &mut input_ids,
            labels: None,
            attention_mask: Some((2, &mut attention)),
        };
        let found = masker.mask(&gathered, (seed, epoch), output, Some(threads)).unwrap();
        prop_assert_eq!(&input_ids, &expected.input_ids);
        prop_assert_eq!(&found.positions, &expected.positions);
        let labels: Vec<i64> =
            expected.positions.iter().map(|&at| expected.labels[at as usize]).collect();
        prop_assert_eq!(found.labels, labels);
        for (&flag, &id) in attention.iter().zip(&rows) {
            prop_assert_eq!(flag, i64::from(id != 2));
        }
    }
}

#[test]
fn a_block_that_is_not_there_is_named() {
    let ids = text(6, 4);
    let shards = Shards::new(vec![&ids[..8], &ids[8..]], 4).unwrap();
    let blocks = [1, 6];
    let gathered = Batch { rows: RowSource::Blocks(&shards, &blocks), ..batch(&ids, 4, &blocks) };
    let (mut input_ids, mut labels) = (buffer::<i64>(8), buffer(8));
    let output =
        Output { input_ids: &mut input_ids, labels: Some(&mut labels), attention_mask: None };
    let error = Masker::new(&options()).unwrap().mask(&gathered, (0, 0), output, None).unwrap_err();
    assert_eq!(error.to_string(), "block 6 of a store of 6 blocks");
    assert!(Shards::new(vec![&ids[..7]], 4).is_err());
    assert!(Shards::<u16>::new(vec![], 0).is_err());
}

#[test]
fn many_threads_with_sparse_labels_equal_one() {
    let (rows, length) = (3_000, 300);
    let ids = text(rows, length);
    let blocks: Vec<u64> = (0..rows as u64).collect();
    let masker = Masker::new(&options()).unwrap();
    let run = |threads| {
        let mut input_ids = buffer::<i32>(ids.len());
        let output = Output { input_ids: &mut input_ids, labels: None, attention_mask: None };
        let found =
            masker.mask(&batch(&ids, length, &blocks), (1, 1), output, Some(threads)).unwrap();
        assert!(input_ids.iter().all(|id| (0..VOCAB.cast_signed()).contains(id)));
        (input_ids, found)
    };
    assert_eq!(run(1), run(4));
}

#[test]
fn another_rate_is_the_masker_of_that_rate() {
    let ids = text(20, 50);
    let blocks: Vec<u64> = (0..20).collect();
    let batch = batch(&ids, 50, &blocks);
    let more = MaskOptions { mlm_probability: 0.3.into(), ..options() };
    let masker = Masker::new(&options()).unwrap().with_probability(0.3).unwrap();
    let mut input_ids = buffer::<i64>(ids.len());
    let output = Output { input_ids: &mut input_ids, labels: None, attention_mask: None };
    let found = masker.mask(&batch, (1, 2), output, None).unwrap();
    let expected = mask(&more, &batch, (1, 2), 1);
    assert_eq!((input_ids, found.positions), (expected.input_ids, expected.positions));
    assert!(masker.with_probability(1.5).is_err());
}
