//! Document ids, lengths and positions against a label carried by every single token.

use std::sync::Arc;

use arrow_array::builder::{Int64Builder, ListBuilder};
use arrow_array::{Array, ArrayRef};
use mlmfast_core::Error;
use mlmfast_core::lists::ListColumn;
use mlmfast_core::plan::{Packing, Plan, PlanOptions, Remainder};
use proptest::collection::vec;
use proptest::prelude::*;

fn plan(rows: &[usize], options: PlanOptions) -> Plan {
    let mut builder = ListBuilder::new(Int64Builder::new());
    for &length in rows {
        builder.append_value((0..length as i64).map(Some));
    }
    let array: ArrayRef = Arc::new(builder.finish());
    let column = ListColumn::try_new(std::slice::from_ref(&array), array.data_type()).unwrap();
    Plan::new(&column, options).unwrap()
}

fn concat(block_size: usize, remainder: Remainder) -> PlanOptions {
    PlanOptions {
        block_size,
        remainder,
        packing: Packing::Concat,
        separator: false,
        cls: false,
        sep: false,
        boundaries: true,
    }
}

fn ids_and_positions(plan: &Plan, offset: i32) -> (Vec<i32>, Vec<i32>) {
    let segments = plan.segments(Some(2)).unwrap();
    let mut ids = vec![77; plan.length()];
    let mut positions = vec![77; plan.length()];
    plan.document_ids(&segments, &mut ids).unwrap();
    plan.position_ids(&segments, offset, &mut positions).unwrap();
    (ids, positions)
}

/// Where each number but -1 occurs first in a block.
fn first_of_each(block: &[i32]) -> Vec<i32> {
    let changes = (0..block.len()).filter(|&at| at == 0 || block[at] != block[at - 1]);
    changes.filter(|&at| block[at] >= 0).map(|at| at as i32).collect()
}

proptest! {
    #[test]
    fn they_tell_the_documents_of_every_position(
        rows in vec(0_usize..15, 0..30),
        room in 1_usize..12,
        (separator, cls, sep, pad) in any::<(bool, bool, bool, bool)>(),
        offset in 0_i32..3,
    ) {
        let block_size = room + usize::from(cls) + usize::from(sep);
        let remainder = if pad { Remainder::Pad } else { Remainder::Keep };
        let options = PlanOptions { separator, cls, sep, ..concat(block_size, remainder) };
        let plan = plan(&rows, options);
        // The stream, each position labelled by its document; a separator ends the one before.
        let documents: Vec<usize> = rows.iter().copied().filter(|&length| length > 0).collect();
        let mut stream = Vec::new();
        for (number, &length) in documents.iter().enumerate() {
            let closed = separator && number + 1 < documents.len();
            stream.extend(std::iter::repeat_n(number, length + usize::from(closed)));
        }
        let (mut ids, mut positions) = (Vec::new(), Vec::new());
        for content in stream.chunks(room) {
            let mut labels = content.to_vec();
            if cls {
                labels.insert(0, content[0]);
            }
            if sep {
                labels.push(content[content.len() - 1]);
            }
            for (at, label) in labels.iter().enumerate() {
                ids.push((label - labels[0]) as i32);
                let start = labels.iter().position(|other| other == label).unwrap();
                positions.push((at - start) as i32 + offset);
            }
            while pad && ids.len() % block_size != 0 {
                ids.push(-1);
                positions.push((offset - 1).max(0));
            }
        }
        let starts: Vec<Vec<i32>> = ids.chunks(block_size).map(first_of_each).collect();
        let found = plan.document_starts(Some(2)).unwrap();
        let of_block = |ends: &[i64]| found.starts[ends[0] as usize..ends[1] as usize].to_vec();
        prop_assert_eq!(found.ends.windows(2).map(of_block).collect::<Vec<_>>(), starts);
        prop_assert_eq!(ids_and_positions(&plan, offset), (ids, positions));
    }
}

#[test]
fn long_data_is_cut_over_threads_alike() {
    let rows: Vec<usize> = (0..20_000).map(|row| row % 300).collect();
    let plan = plan(&rows, PlanOptions { separator: true, ..concat(512, Remainder::Drop) });
    assert!(plan.length() > 1 << 21);
    let serial = plan.segments(Some(1)).unwrap();
    assert_eq!(serial, plan.segments(Some(4)).unwrap());
    assert_eq!(serial.lengths.iter().map(|&n| n as usize).sum::<usize>(), plan.length());
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let plan = plan(&[3, 4], concat(4, Remainder::Pad));
    let segments = plan.segments(None).unwrap();
    let error = plan.document_ids(&segments, &mut [0; 7]).unwrap_err();
    assert_eq!(error, Error::Length { name: "out", found: 7, expected: 8 });
    for offset in [-1, i32::MAX - 3] {
        let error = plan.position_ids(&segments, offset, &mut [0; 8]).unwrap_err();
        assert_eq!(error, Error::PositionOffset(offset));
    }
    let mut damaged = segments.clone();
    damaged.lengths[0] = 9;
    assert!(plan.document_ids(&damaged, &mut [0; 8]).is_err());
}
