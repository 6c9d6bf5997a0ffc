//! Best fit against a slow packer that looks at every block, and what any packing must keep.

use std::sync::Arc;

use arrow_array::builder::{Int64Builder, LargeListBuilder};
use arrow_array::{Array, ArrayRef};
use mlmfast_core::blocks::Fills;
use mlmfast_core::lists::ListColumn;
use mlmfast_core::packing::{Packed, best_fit};
use mlmfast_core::plan::{Packing, Plan, PlanOptions, Remainder};
use proptest::collection::vec;
use proptest::prelude::*;

/// Best-fit decreasing as a textbook tells it: for every document, look at all blocks.
fn textbook(lengths: &[usize], room: usize, gap: usize) -> Vec<usize> {
    let mut pieces = Vec::new();
    for &length in lengths {
        let mut left = length;
        while left > 0 {
            pieces.push(left.min(room));
            left -= left.min(room);
        }
    }
    pieces.sort_by_key(|&piece| std::cmp::Reverse(piece));
    let mut spaces: Vec<usize> = Vec::new();
    for piece in pieces {
        let fitting = spaces.iter_mut().filter(|space| **space >= piece + gap);
        match fitting.min() {
            Some(space) => *space -= piece + gap,
            None => spaces.push(room - piece),
        }
    }
    spaces.sort_unstable();
    spaces
}

fn spaces(packed: &Packed, room: usize, gap: usize) -> Vec<usize> {
    let mut spaces: Vec<usize> = packed
        .ends
        .windows(2)
        .map(|ends| {
            let fragments = &packed.fragments[ends[0]..ends[1]];
            let tokens: usize = fragments.iter().map(|fragment| fragment.len).sum();
            room - tokens - gap * (fragments.len() - 1)
        })
        .collect();
    spaces.sort_unstable();
    spaces
}

fn check(lengths: &[usize], room: usize, gap: usize) {
    let packed = best_fit(lengths, room, gap);
    // The blocks are as full as the textbook's, one by one.
    assert_eq!(spaces(&packed, room, gap), textbook(lengths, room, gap));
    // Every token of every document is there once, and only long documents are cut.
    let mut pieces = packed.fragments.clone();
    pieces.sort_by_key(|piece| (piece.document, piece.start));
    let mut next = vec![0; lengths.len()];
    for piece in &pieces {
        assert_eq!(piece.start, next[piece.document]);
        next[piece.document] += piece.len;
        assert!(piece.len == room || next[piece.document] == lengths[piece.document]);
    }
    assert_eq!(next, lengths);
    // Documents rise within a block, and so do the blocks' first documents.
    let firsts: Vec<_> = packed
        .ends
        .windows(2)
        .map(|ends| {
            let block = &packed.fragments[ends[0]..ends[1]];
            assert!(block.is_sorted_by_key(|piece| piece.document));
            (block[0].document, block[0].start)
        })
        .collect();
    assert!(firsts.is_sorted());
}

proptest! {
    #[test]
    fn packing_is_the_textbooks(
        lengths in vec(1_usize..40, 0..120), room in 1_usize..50, gap in 0_usize..2,
    ) {
        check(&lengths, room, gap);
    }

    #[test]
    fn spaces_beyond_one_word_of_the_bitmap(
        lengths in vec(1_usize..9_000, 0..60), room in 100_usize..20_000, gap in 0_usize..2,
    ) {
        check(&lengths, room, gap);
    }

    #[test]
    fn a_packed_table_keeps_the_multiset_of_documents(
        rows in vec(vec(0_i64..100, 0..20), 0..40),
        room in 1_usize..24,
        (separator, cls, sep) in any::<(bool, bool, bool)>(),
    ) {
        let mut builder = LargeListBuilder::new(Int64Builder::new());
        for row in &rows {
            builder.append_value(row.iter().map(|&id| Some(id)));
        }
        let array: ArrayRef = Arc::new(builder.finish());
        let column = ListColumn::try_new(std::slice::from_ref(&array), array.data_type()).unwrap();
        let block_size = room + usize::from(cls) + usize::from(sep);
        let options = PlanOptions {
            block_size,
            remainder: Remainder::Pad,
            packing: Packing::BestFit,
            separator,
            cls,
            sep,
            boundaries: true,
        };
        let fills = Fills { separator: Some(-5), cls: Some(-6), sep: Some(-7), pad: Some(-9) };
        let plan = Plan::new(&column, options).unwrap();
        let mut out = vec![77_i64; plan.length()];
        plan.write(&column, &fills, 0..plan.blocks(), &mut out, Some(2)).unwrap();
        let mut ids = vec![77_i32; plan.length()];
        let segments = plan.segments(Some(2)).unwrap();
        plan.document_ids(&segments, &mut ids).unwrap();

        let mut found = Vec::new();
        for (block, ids) in out.chunks(block_size).zip(ids.chunks(block_size)) {
            for number in 0..=ids.iter().copied().max().unwrap_or(0) {
                let own = block.iter().zip(ids).filter(|&(_, &id)| id == number);
                found.push(own.map(|(&id, _)| id).filter(|&id| id >= 0).collect::<Vec<_>>());
            }
            let padding = block.iter().zip(ids).filter(|&(_, &id)| id == -1);
            prop_assert!(padding.into_iter().all(|(&id, _)| id == -9));
        }
        let mut expected: Vec<Vec<i64>> =
            rows.iter().flat_map(|row| row.chunks(room).map(<[i64]>::to_vec)).collect();
        found.sort();
        expected.sort();
        prop_assert_eq!(found, expected);
        prop_assert_eq!(out.iter().filter(|&&id| id == -9).count(), plan.padding());
        prop_assert_eq!(plan.dropped(), 0);
    }
}

#[test]
fn one_document_more_than_fits_begins_a_block() {
    let packed = best_fit(&[3, 5, 2], 8, 0);
    assert_eq!(packed.ends, [0, 2, 3]);
    // With a separator, 5 + 1 + 3 is one too many, and 5 + 1 + 2 is not.
    let packed = best_fit(&[3, 5, 2], 8, 1);
    let blocks: Vec<Vec<usize>> = packed
        .ends
        .windows(2)
        .map(|ends| packed.fragments[ends[0]..ends[1]].iter().map(|f| f.document).collect())
        .collect();
    assert_eq!(blocks, [vec![0], vec![1, 2]]);
}
