//! Grouping against a plain-vector oracle, over every list layout Arrow has.

use std::sync::Arc;

use arrow_array::builder::{Int64Builder, LargeListBuilder, ListBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{
    Array, ArrayRef, FixedSizeListArray, Int64Array, LargeListViewArray, ListArray, ListViewArray,
    StringArray, UInt8Array,
};
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field};
use mlmfast_core::Error;
use mlmfast_core::blocks::Fills;
use mlmfast_core::lists::ListColumn;
use mlmfast_core::narrow::Token;
use mlmfast_core::plan::{Packing, Plan, PlanOptions, Remainder};
use proptest::collection::vec;
use proptest::prelude::*;

const FILLS: Fills = Fills { separator: Some(-5), cls: Some(-6), sep: Some(-7), pad: Some(-9) };

fn options(block_size: usize, remainder: Remainder) -> PlanOptions {
    PlanOptions {
        block_size,
        remainder,
        packing: Packing::Concat,
        separator: false,
        cls: false,
        sep: false,
        boundaries: false,
    }
}

fn column(array: &ArrayRef) -> ListColumn {
    ListColumn::try_new(std::slice::from_ref(array), array.data_type()).unwrap()
}

/// All blocks, written by `threads` threads into memory that held something else.
fn blocks<T: Token>(
    column: &ListColumn,
    options: PlanOptions,
    fills: &Fills,
    threads: usize,
) -> Result<Vec<T>, Error> {
    let plan = Plan::new(column, options)?;
    let dirt = T::try_from(77).unwrap_or_default();
    let mut out = vec![dirt; plan.length()];
    plan.write(column, fills, 0..plan.blocks(), &mut out, Some(threads))?;
    Ok(out)
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

/// What the blocks should be: plain vectors, one element at a time.
fn oracle(rows: &[Vec<i64>], options: &PlanOptions) -> Vec<i64> {
    let documents: Vec<&Vec<i64>> = rows.iter().filter(|row| !row.is_empty()).collect();
    let mut tokens = Vec::new();
    for (number, document) in documents.into_iter().enumerate() {
        tokens.extend(FILLS.separator.filter(|_| options.separator && number > 0));
        tokens.extend(document);
    }
    let size = options.block_size;
    let room = size - usize::from(options.cls) - usize::from(options.sep);
    let mut out = Vec::new();
    for content in tokens.chunks(room) {
        if content.len() < room && options.remainder == Remainder::Drop {
            continue;
        }
        let start = out.len();
        out.extend(FILLS.cls.filter(|_| options.cls));
        out.extend(content);
        out.extend(FILLS.sep.filter(|_| options.sep));
        if options.remainder == Remainder::Pad {
            out.resize(start + size, FILLS.pad.unwrap());
        }
    }
    out
}

fn remainders() -> impl Strategy<Value = Remainder> {
    prop_oneof![Just(Remainder::Drop), Just(Remainder::Pad), Just(Remainder::Keep)]
}

proptest! {
    #[test]
    fn blocks_equal_the_oracle_for_any_layout_and_chunking(
        rows in vec(vec(0_i64..100, 0..12), 0..40),
        cuts in vec(0_usize..40, 0..4),
        room in 1_usize..20,
        remainder in remainders(),
        (separator, cls, sep, boundaries) in any::<(bool, bool, bool, bool)>(),
        layout in 0..4,
    ) {
        let block_size = room + usize::from(cls) + usize::from(sep);
        let options =
            PlanOptions { separator, cls, sep, boundaries, ..options(block_size, remainder) };
        let make = [list, large_list, list_view, sliced][layout as usize];
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(rows.len())).collect();
        cuts.extend([0, rows.len()]);
        cuts.sort_unstable();
        let chunks: Vec<ArrayRef> =
            cuts.windows(2).map(|cut| make(&rows[cut[0]..cut[1]])).collect();
        let column = ListColumn::try_new(&chunks, make(&[]).data_type()).unwrap();
        let expected = oracle(&rows, &options);
        prop_assert_eq!(&blocks::<i64>(&column, options, &FILLS, 2).unwrap(), &expected);
        let plan = Plan::new(&column, options).unwrap();
        if let Some(shared) = plan.share(&column).unwrap() {
            prop_assert_eq!(shared.as_primitive::<Int64Type>().values().to_vec(), expected.clone());
        }
        // Tokens in, and the places that are not theirs, account for every position.
        let own = expected.iter().filter(|&&id| id >= 0).count();
        prop_assert_eq!(plan.tokens(), rows.iter().map(Vec::len).sum::<usize>());
        prop_assert_eq!(plan.tokens() - plan.dropped(), own);
        prop_assert_eq!(plan.padding(), expected.iter().filter(|&&id| id == -9).count());
        // Any range of blocks is what the whole has there.
        let (from, to) = (plan.blocks() / 3, plan.blocks() - plan.blocks() / 4);
        let places = (from * block_size).min(expected.len())..(to * block_size).min(expected.len());
        let mut part = vec![77_i64; places.len()];
        plan.write(&column, &FILLS, from..to, &mut part, None).unwrap();
        prop_assert_eq!(&part[..], &expected[places]);
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
        let found = blocks::<i64>(&column(&array), options, &FILLS, 1).unwrap();
        prop_assert_eq!(found, oracle(&[values[rows / 3 * width..rows * width].to_vec()], &options));
    }

    #[test]
    fn narrowing_keeps_every_id_or_names_the_first_that_does_not_fit(
        rows in vec(vec(prop_oneof![20 => 0_i64..65_536, 1 => any::<i64>()], 1..40), 1..20),
    ) {
        let column = column(&list(&rows));
        let flat: Vec<i64> = rows.concat();
        let found = blocks::<u16>(&column, options(1, Remainder::Drop), &Fills::default(), 1);
        let fits: Option<Vec<u16>> = flat.iter().map(|&id| u16::try_from(id).ok()).collect();
        match (found, fits) {
            (Ok(found), Some(expected)) => prop_assert_eq!(found, expected),
            (Err(Error::IdDoesNotFit { row, position, value, .. }), None) => {
                prop_assert_eq!(value, i128::from(rows[row][position]));
                let before: usize = rows[..row].iter().map(Vec::len).sum::<usize>() + position;
                prop_assert!(flat[..before].iter().all(|&id| u16::try_from(id).is_ok()));
                prop_assert!(u16::try_from(value).is_err());
            }
            (found, fits) => prop_assert!(false, "{found:?} where {fits:?} was expected"),
        }
    }
}

#[test]
fn one_chunk_is_not_copied() {
    let array = list(&[vec![1, 2, 3], vec![4, 5, 6, 7]]);
    let column = column(&array);
    let shared =
        Plan::new(&column, options(3, Remainder::Drop)).unwrap().share(&column).unwrap().unwrap();
    let from = array.as_list::<i32>().values().as_primitive::<Int64Type>().values().as_ptr();
    assert_eq!(from, shared.as_primitive::<Int64Type>().values().as_ptr());
    assert_eq!(shared.len(), 6);
}

#[test]
fn parallel_copies_equal_serial_ones() {
    // Longer than two threads' least share, over chunks whose seams fall inside of blocks.
    let chunks: Vec<ArrayRef> = (0..5)
        .map(|chunk| list(&[(0..700_001).map(|at| chunk * 1_000_000 + at).collect()]))
        .collect();
    let column = ListColumn::try_new(&chunks, chunks[0].data_type()).unwrap();
    for cls in [false, true] {
        let options = PlanOptions { cls, ..options(512, Remainder::Pad) };
        let serial = blocks::<i64>(&column, options, &FILLS, 1).unwrap();
        assert_eq!(serial, blocks::<i64>(&column, options, &FILLS, 4).unwrap());
    }
    // The first misfit is named, whichever thread comes upon one first.
    for threads in [1, 4] {
        let drop = options(512, Remainder::Drop);
        let error = blocks::<u16>(&column, drop, &Fills::default(), threads).unwrap_err();
        assert!(matches!(error, Error::IdDoesNotFit { row: 0, position: 65_536, .. }), "{error}");
    }
}

#[test]
fn every_integer_type_converts_at_its_limits() {
    let rows = |ids: &[i64]| column(&list(&[ids.to_vec()]));
    let one = options(1, Remainder::Drop);
    let none = Fills::default();
    assert_eq!(blocks::<u16>(&rows(&[0, 65_535]), one, &none, 1).unwrap(), [0, u16::MAX]);
    assert_eq!(blocks::<u32>(&rows(&[0, 1 << 31]), one, &none, 1).unwrap(), [0, 1 << 31]);
    assert_eq!(blocks::<i32>(&rows(&[-1, 7]), one, &none, 1).unwrap(), [-1, 7]);
    for wrong in [-1, 65_536, i64::MIN, i64::MAX] {
        let error = blocks::<u16>(&rows(&[3, wrong]), one, &none, 1).unwrap_err();
        let said = format!("row 0, position 1: id {wrong} does not fit UInt16");
        assert_eq!(error.to_string(), said);
    }
    assert!(blocks::<u32>(&rows(&[-1]), one, &none, 1).is_err());
    assert!(blocks::<i32>(&rows(&[1 << 31]), one, &none, 1).is_err());
    let error = blocks::<u8>(&rows(&[1]), one, &none, 1).unwrap_err();
    assert_eq!(error, Error::NoConversion(DataType::UInt8));
}

#[test]
fn more_tokens_than_32_bits_count() {
    // Rows of a list view may lie on top of each other: 3,000,000,000 tokens in a million bytes.
    let (rows, width) = (3_000, 1_000_000);
    let item = Arc::new(Field::new("item", DataType::UInt8, true));
    let values = Arc::new(UInt8Array::from_iter_values((0..width).map(|at| (at % 251) as u8)));
    let offsets = ScalarBuffer::from(vec![0_i64; rows]);
    let sizes = ScalarBuffer::from(vec![width as i64; rows]);
    let array: ArrayRef = Arc::new(LargeListViewArray::new(item, offsets, sizes, values, None));
    let column = column(&array);
    for (separator, cls) in [(false, false), (true, true)] {
        let options = PlanOptions { separator, cls, ..options(777, Remainder::Pad) };
        let plan = Plan::new(&column, options).unwrap();
        assert_eq!(plan.tokens(), rows * width);
        assert!(plan.length() > 1 << 31);
        let last = plan.blocks() - 1;
        let mut out = vec![77_i32; 777];
        plan.write(&column, &FILLS, last..last + 1, &mut out, None).unwrap();
        let own: Vec<i32> = out.iter().copied().filter(|&id| id >= 0).collect();
        assert_eq!(own.last(), Some(&(((width - 1) % 251) as i32)));
        assert_eq!(own.len() + plan.padding() + usize::from(cls), 777);
        assert!(out[777 - plan.padding()..].iter().all(|&id| id == -9));
    }
    let pack = PlanOptions { packing: Packing::BestFit, ..options(999_999, Remainder::Pad) };
    let plan = Plan::new(&column, pack).unwrap();
    assert_eq!(plan.blocks(), rows + 1);
    assert_eq!(plan.padding(), 999_999 - rows);
}

fn error_of(array: &ArrayRef) -> Error {
    error_of_chunks(std::slice::from_ref(array))
}

fn error_of_chunks(chunks: &[ArrayRef]) -> Error {
    ListColumn::try_new(chunks, chunks[0].data_type()).err().unwrap()
}

#[test]
fn nulls_are_named_by_row_and_position() {
    let rows = [Some(vec![Some(1)]), None];
    let array: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(rows));
    assert_eq!(error_of(&array), Error::NullRow { row: 1 });
    let rows = [Some(vec![Some(1)]), Some(vec![Some(2), None])];
    let array: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(rows));
    assert_eq!(error_of(&array), Error::NullToken { row: 1, position: 1 });
    // The row's number counts from the first chunk, and a null outside of every row is no fault.
    let chunks = [array.slice(0, 1), array.slice(1, 1)];
    assert_eq!(error_of_chunks(&chunks), Error::NullToken { row: 1, position: 1 });
    assert_eq!(column(&chunks[0]).tokens(), Ok(1));
}

#[test]
fn what_is_no_list_of_integers_is_refused() {
    let strings: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
    assert_eq!(error_of(&strings), Error::NotLists(DataType::Utf8));
    let item = Arc::new(Field::new("item", DataType::Utf8, true));
    let offsets = OffsetBuffer::new(ScalarBuffer::from(vec![0, 1]));
    let array: ArrayRef = Arc::new(ListArray::new(item, offsets, strings, None));
    assert_eq!(error_of(&array), Error::NotIntegers(DataType::Utf8));
    let chunks = [list(&[]), large_list(&[])];
    assert!(matches!(error_of_chunks(&chunks), Error::MixedTypes { chunk: 1, .. }));
}

#[test]
fn options_that_cannot_be_met_are_refused() {
    let rows = column(&list(&[vec![1]]));
    let fault = |options| Plan::new(&rows, options).err();
    assert_eq!(fault(options(0, Remainder::Drop)), Some(Error::BlockSize(0)));
    let framed = PlanOptions { cls: true, sep: true, ..options(2, Remainder::Drop) };
    assert_eq!(fault(framed), Some(Error::NoRoom(2)));
    let pad = |id| Fills { pad: id, ..Fills::default() };
    let two = options(2, Remainder::Pad);
    let error = blocks::<u16>(&rows, two, &pad(Some(65_536)), 1).unwrap_err();
    assert!(error.to_string().contains("pad_id 65536 does not fit"), "{error}");
    let error = blocks::<u16>(&rows, two, &pad(None), 1).unwrap_err();
    assert_eq!(error, Error::Missing { name: "pad_id" });
    let plan = Plan::new(&rows, two).unwrap();
    let error = plan.write(&rows, &FILLS, 0..1, &mut [0_i64; 3], None).unwrap_err();
    assert_eq!(error, Error::Length { name: "out", found: 3, expected: 2 });
    assert_eq!(plan.segments(None), Err(Error::NoBoundaries));
}

#[test]
fn a_column_of_other_rows_is_refused() {
    let plan = |boundaries| {
        let first = column(&list(&[vec![1, 2], vec![], vec![3]]));
        Plan::new(&first, PlanOptions { boundaries, ..options(1, Remainder::Drop) }).unwrap()
    };
    let other = column(&list(&[vec![1], vec![], vec![2, 3]]));
    let mut out = [0_i64; 3];
    // Where documents do not matter, the tokens are the same stream.
    assert!(plan(false).write(&other, &FILLS, 0..3, &mut out, None).is_ok());
    let error = plan(true).write(&other, &FILLS, 0..3, &mut out, None).unwrap_err();
    assert_eq!(error, Error::RowLength { row: 0, found: 1, expected: 2 });
    let longer = column(&list(&[vec![1, 2], vec![3], vec![4]]));
    let error = plan(true).write(&longer, &FILLS, 0..3, &mut out, None).unwrap_err();
    assert_eq!(error, Error::RowLength { row: 2, found: 1, expected: 0 });
}
