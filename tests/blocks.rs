//! Grouping against a plain-vector oracle, over every list layout Arrow has.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::cast_possible_wrap)]
#![allow(clippy::cast_sign_loss, missing_docs)]

use std::sync::Arc;

use arrow_array::builder::{Int64Builder, LargeListBuilder, ListBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt16Type};
use arrow_array::{
    Array, ArrayRef, FixedSizeListArray, Int64Array, ListArray, ListViewArray, StringArray,
};
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field};
use mlmfast_core::Error;
use mlmfast_core::blocks::{GroupOptions, Grouped, Remainder, group};
use proptest::collection::vec;
use proptest::prelude::*;

fn options(block_size: usize, remainder: Remainder) -> GroupOptions {
    GroupOptions { block_size, remainder, separator: None, threads: None }
}

fn list(rows: &[Vec<i64>]) -> ArrayRef {
    let mut builder = ListBuilder::new(Int64Builder::new());
    for row in rows {
        builder.append_value(row.iter().map(|&id| Some(id)));
    }
    Arc::new(builder.finish())
}

fn large_list(rows: &[Vec<i64>]) -> ArrayRef {
    let mut builder = LargeListBuilder::new(Int64Builder::new());
    for row in rows {
        builder.append_value(row.iter().map(|&id| Some(id)));
    }
    Arc::new(builder.finish())
}

/// Rows laid down back to front with a gap of one value between them.
fn list_view(rows: &[Vec<i64>]) -> ArrayRef {
    let mut values = Vec::new();
    let mut offsets = vec![0; rows.len()];
    for (row, ids) in rows.iter().enumerate().rev() {
        values.push(-7);
        offsets[row] = values.len() as i32;
        values.extend(ids);
    }
    let sizes: Vec<i32> = rows.iter().map(|row| row.len() as i32).collect();
    let item = Arc::new(Field::new("item", DataType::Int64, true));
    let values = Arc::new(Int64Array::from(values));
    Arc::new(ListViewArray::new(item, offsets.into(), sizes.into(), values, None))
}

/// A slice out of the middle of a longer array.
fn sliced(rows: &[Vec<i64>]) -> ArrayRef {
    let mut longer = vec![vec![-1, -2, -3]];
    longer.extend_from_slice(rows);
    longer.push(vec![-4]);
    list(&longer).slice(1, rows.len())
}

fn numbers(grouped: &Grouped) -> Vec<Vec<i64>> {
    let row = |row: ArrayRef| row.as_primitive::<Int64Type>().values().to_vec();
    match grouped.blocks.data_type() {
        DataType::FixedSizeList(..) => {
            grouped.blocks.as_fixed_size_list().iter().flatten().map(row).collect()
        }
        _ => grouped.blocks.as_list::<i64>().iter().flatten().map(row).collect(),
    }
}

fn oracle(rows: &[Vec<i64>], options: &GroupOptions) -> Vec<Vec<i64>> {
    let documents: Vec<&Vec<i64>> = rows.iter().filter(|row| !row.is_empty()).collect();
    let mut tokens = Vec::new();
    for (number, document) in documents.into_iter().enumerate() {
        tokens.extend(options.separator.filter(|_| number > 0));
        tokens.extend(document);
    }
    let size = options.block_size;
    match options.remainder {
        Remainder::Drop => tokens.truncate(tokens.len() / size * size),
        Remainder::Pad(id) => tokens.resize(tokens.len().div_ceil(size) * size, id),
        Remainder::Keep => {}
    }
    tokens.chunks(size).map(<[i64]>::to_vec).collect()
}

fn remainders() -> impl Strategy<Value = Remainder> {
    prop_oneof![Just(Remainder::Drop), Just(Remainder::Pad(-9)), Just(Remainder::Keep)]
}

proptest! {
    #[test]
    fn blocks_equal_the_oracle_for_any_layout_and_chunking(
        rows in vec(vec(0_i64..100, 0..12), 0..40),
        cuts in vec(0_usize..40, 0..4),
        block_size in 1_usize..20,
        remainder in remainders(),
        separator in prop::option::of(Just(-5_i64)),
        layout in 0..4,
    ) {
        let options = GroupOptions { block_size, remainder, separator, threads: Some(2) };
        let make = [list, large_list, list_view, sliced][layout as usize];
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(rows.len())).collect();
        cuts.extend([0, rows.len()]);
        cuts.sort_unstable();
        let chunks: Vec<ArrayRef> =
            cuts.windows(2).map(|cut| make(&rows[cut[0]..cut[1]])).collect();
        let data_type = make(&[]).data_type().clone();
        let grouped = group(&chunks, &data_type, &options).unwrap();
        prop_assert_eq!(numbers(&grouped), oracle(&rows, &options));
    }

    #[test]
    fn fixed_size_lists_are_cut_anew(
        values in vec(0_i64..100, 0..60), width in 1_usize..7, block_size in 1_usize..9,
    ) {
        let rows = values.len() / width;
        let item = Arc::new(Field::new("item", DataType::Int64, true));
        let child = Arc::new(Int64Array::from(values[..rows * width].to_vec()));
        let array = FixedSizeListArray::new(item, width as i32, child, None);
        let array: ArrayRef = Arc::new(array.slice(rows / 3, rows - rows / 3));
        let options = options(block_size, Remainder::Keep);
        let grouped = group(std::slice::from_ref(&array), array.data_type(), &options).unwrap();
        let expected = oracle(&[values[rows / 3 * width..rows * width].to_vec()], &options);
        prop_assert_eq!(numbers(&grouped), expected);
    }
}

#[test]
fn one_chunk_is_not_copied() {
    let array = list(&[vec![1, 2, 3], vec![4, 5, 6, 7]]);
    let blocks =
        group(std::slice::from_ref(&array), array.data_type(), &options(3, Remainder::Drop));
    let blocks = blocks.unwrap().blocks;
    let from = array.as_list::<i32>().values().as_primitive::<Int64Type>().values().as_ptr();
    let to = blocks.as_fixed_size_list().values().as_primitive::<Int64Type>().values().as_ptr();
    assert_eq!(from, to);
}

#[test]
fn parallel_copies_equal_serial_ones() {
    // Longer than two threads' least share, over chunks whose seams fall inside of blocks.
    let chunks: Vec<ArrayRef> = (0..5)
        .map(|chunk| list(&[(0..700_001).map(|at| chunk * 1_000_000 + at).collect()]))
        .collect();
    let with = |threads| GroupOptions { threads: Some(threads), ..options(512, Remainder::Pad(0)) };
    let data_type = chunks[0].data_type();
    let serial = group(&chunks, data_type, &with(1)).unwrap().blocks;
    let parallel = group(&chunks, data_type, &with(4)).unwrap().blocks;
    assert_eq!(serial.as_ref(), parallel.as_ref());
}

#[test]
fn the_integer_type_is_kept() {
    let array = ListArray::from_iter_primitive::<UInt16Type, _, _>([Some([Some(65_535), Some(2)])]);
    let array: ArrayRef = Arc::new(array);
    let blocks =
        group(std::slice::from_ref(&array), array.data_type(), &options(1, Remainder::Drop))
            .unwrap();
    let values = blocks.blocks.as_fixed_size_list().values().clone();
    assert_eq!(values.as_primitive::<UInt16Type>().values(), &[65_535, 2]);
}

fn error_of(array: &ArrayRef, options: &GroupOptions) -> Error {
    group(std::slice::from_ref(array), array.data_type(), options).unwrap_err()
}

#[test]
fn nulls_are_named_by_row_and_position() {
    let drop = options(2, Remainder::Drop);
    let rows = [Some(vec![Some(1)]), None];
    let array: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(rows));
    assert_eq!(error_of(&array, &drop), Error::NullRow { row: 1 });
    let rows = [Some(vec![Some(1)]), Some(vec![Some(2), None])];
    let array: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(rows));
    assert_eq!(error_of(&array, &drop), Error::NullToken { row: 1, position: 1 });
    // The row's number counts from the first chunk, and a null outside of every row is no fault.
    let chunks = [array.slice(0, 1), array.slice(1, 1)];
    let error = group(&chunks, array.data_type(), &drop).unwrap_err();
    assert_eq!(error, Error::NullToken { row: 1, position: 1 });
    assert!(group(&chunks[..1], array.data_type(), &drop).is_ok());
}

#[test]
fn what_is_no_list_of_integers_is_refused() {
    let drop = options(2, Remainder::Drop);
    let strings: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
    assert_eq!(error_of(&strings, &drop), Error::NotLists(DataType::Utf8));
    let item = Arc::new(Field::new("item", DataType::Utf8, true));
    let offsets = OffsetBuffer::new(ScalarBuffer::from(vec![0, 1]));
    let array: ArrayRef = Arc::new(ListArray::new(item, offsets, strings, None));
    assert_eq!(error_of(&array, &drop), Error::NotIntegers(DataType::Utf8));
    let chunks = [list(&[]), large_list(&[])];
    let error = group(&chunks, chunks[0].data_type(), &drop).unwrap_err();
    assert!(matches!(error, Error::MixedTypes { chunk: 1, .. }));
}

#[test]
fn options_that_cannot_be_met_are_refused() {
    assert_eq!(error_of(&list(&[]), &options(0, Remainder::Drop)), Error::BlockSize(0));
    let rows = ListArray::from_iter_primitive::<UInt16Type, _, _>([Some([Some(1)])]);
    let rows: ArrayRef = Arc::new(rows);
    let error = error_of(&rows, &options(2, Remainder::Pad(65_536)));
    assert!(error.to_string().contains("pad_id 65536 does not fit"), "{error}");
    let with = GroupOptions { separator: Some(-1), ..options(2, Remainder::Drop) };
    assert!(error_of(&rows, &with).to_string().contains("separator_id -1 does not fit"));
}
