//! The documents and the padding of a store's blocks, against what is said position by position.

use mlmfast_core::Error;
use mlmfast_core::documents::{ShardStarts, block_lengths, document_ids};
use mlmfast_core::mask::Shards;
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

const LENGTH: usize = 6;
const PAD: u16 = 9;

/// A block: its ids, of which some may be the padding id, and where documents begin in it.
fn blocks() -> impl Strategy<Value = Vec<(Vec<u16>, Vec<i32>)>> {
    let block = (vec(7..=PAD, LENGTH), btree_set(1..LENGTH as i32, 0..4))
        .prop_map(|(ids, later)| (ids, std::iter::once(0).chain(later).collect()));
    vec(block, 1..12)
}

struct Stored {
    ids: Vec<u16>,
    offsets: Vec<i32>,
    starts: Vec<i32>,
}

fn stored(blocks: &[(Vec<u16>, Vec<i32>)]) -> Stored {
    let mut shard = Stored { ids: Vec::new(), offsets: vec![0], starts: Vec::new() };
    for (ids, starts) in blocks {
        shard.ids.extend(ids);
        shard.starts.extend(starts);
        shard.offsets.push(shard.starts.len() as i32);
    }
    shard
}

proptest! {
    #[test]
    fn every_position_knows_its_document(
        blocks in blocks(), cut in 0_usize..12, padded in any::<bool>(), threads in 1_usize..4,
    ) {
        let (first, second) = blocks.split_at(cut.min(blocks.len()));
        let parts = [stored(first), stored(second)];
        let shards = Shards::new(parts.iter().map(|part| part.ids.as_slice()).collect(), LENGTH);
        let shards = shards.unwrap();
        let starts = parts.each_ref();
        let starts = starts.map(|s| ShardStarts { offsets: &s.offsets, starts: &s.starts });
        let numbers: Vec<u64> = (0..blocks.len() as u64).rev().collect();
        let mut out = vec![77; blocks.len() * LENGTH];
        let pad = padded.then_some(u32::from(PAD));
        document_ids(&shards, &starts, &numbers, pad, &mut out, Some(threads)).unwrap();
        let mut lengths = vec![77; blocks.len()];
        block_lengths(&shards, u32::from(PAD), &mut lengths, Some(threads)).unwrap();
        for (row, (ids, starts)) in out.chunks(LENGTH).zip(blocks.iter().rev()) {
            let text = ids.iter().rposition(|&id| id != PAD).map_or(0, |last| last + 1);
            let document = |at: usize| starts.iter().filter(|&&start| start <= at as i32).count();
            let expected: Vec<i32> = (0..LENGTH)
                .map(|at| if padded && at >= text { -1 } else { document(at) as i32 - 1 })
                .collect();
            prop_assert_eq!(row, expected);
            prop_assert_eq!(lengths.pop().unwrap(), text as i32);
        }
    }
}

#[test]
fn damaged_starts_are_an_error() {
    let ids = [7_u16; 2 * LENGTH];
    let shards = Shards::new(vec![&ids[..]], LENGTH).unwrap();
    let mut out = [0; 2 * LENGTH];
    let mut run = |offsets: &[i32], starts: &[i32], numbers: &[u64], length: usize| {
        let starts = [ShardStarts { offsets, starts }];
        document_ids(&shards, &starts, numbers, None, &mut out[..length], None)
    };
    run(&[0, 1, 3], &[0, 0, 5], &[0, 1], 2 * LENGTH).unwrap();
    for (offsets, starts) in [
        (&[0, 1, 1][..], &[0][..]),
        (&[0, 1, 3], &[0, 0]),
        (&[0, 1, -1], &[0, 0]),
        (&[0, 1], &[0]),
        (&[0, 1, 2], &[0, 1]),
        (&[0, 1, 3], &[0, 0, 6]),
        (&[0, 1, 3], &[0, 0, -1]),
        (&[0, 1, 4], &[0, 0, 3, 3]),
    ] {
        let error = run(offsets, starts, &[0, 1], 2 * LENGTH).unwrap_err();
        assert_eq!(error, Error::BadDocumentStarts { block: 1 });
    }
    let error = run(&[0, 1, 2], &[0, 0], &[2], LENGTH).unwrap_err();
    assert_eq!(error, Error::NoSuchBlock { block: 2, blocks: 2 });
    let error = run(&[0, 1, 2], &[0, 0], &[0], 3).unwrap_err();
    assert_eq!(error, Error::Length { name: "out", found: 3, expected: LENGTH });
    let error = document_ids(&shards, &[], &[0], None, &mut [0; LENGTH], None).unwrap_err();
    assert_eq!(error, Error::Length { name: "document_starts", found: 0, expected: 1 });
    let error = block_lengths(&shards, 9, &mut [0; 3], None).unwrap_err();
    assert_eq!(error, Error::NoSuchBlock { block: 2, blocks: 2 });
}
