//! Concatenate lists of token ids and cut them into blocks.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, FixedSizeListArray, LargeListArray, PrimitiveArray,
};
use arrow_buffer::{ArrowNativeType, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field};

use crate::lists::{ListChunk, Run};
use crate::{Error, Result, parallel};

/// Tokens a thread must have to copy before it is worth starting.
const GRAIN: usize = 1 << 20;

/// What becomes of the tokens after the last whole block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remainder {
    /// They are left out.
    Drop,
    /// They are filled up to a block with this value.
    Pad(i64),
    /// They become a last, shorter block.
    Keep,
}

/// How to group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupOptions {
    /// Tokens a block.
    pub block_size: usize,
    /// What becomes of the tokens after the last whole block.
    pub remainder: Remainder,
    /// A value to put between one document (a row that is not empty) and the next.
    pub separator: Option<i64>,
    /// Threads at most; `None` for as many as the machine has.
    pub threads: Option<usize>,
}

/// The blocks, and the count that tells what was left out.
#[derive(Debug, Clone)]
pub struct Grouped {
    /// `FixedSizeList<T>[block_size]`; for [`Remainder::Keep`] a `LargeList<T>`.
    pub blocks: ArrayRef,
    /// Tokens before cutting, separators included.
    pub tokens: usize,
}

/// Concatenate the rows of all `chunks`, a column of lists of `data_type`, and cut them.
///
/// The integer type of the tokens is kept. One chunk whose rows lie side by side is not copied:
/// the blocks share its memory.
///
/// # Errors
/// A column that is no list of integers, nulls, damaged offsets, a block size of zero, a padding or
/// separator value that the integer type cannot hold.
pub fn group(chunks: &[ArrayRef], data_type: &DataType, options: &GroupOptions) -> Result<Grouped> {
    let size = options.block_size;
    if size == 0 || i32::try_from(size).is_err() {
        return Err(Error::BlockSize(size));
    }
    let item = match data_type {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => item.data_type(),
        other => return Err(Error::NotLists(other.clone())),
    };
    let mut lists = Vec::with_capacity(chunks.len());
    let mut first_row = 0;
    for (chunk, array) in chunks.iter().enumerate() {
        if array.data_type() != data_type {
            let (found, expected) = (array.data_type().clone(), data_type.clone());
            return Err(Error::MixedTypes { chunk, found, expected });
        }
        lists.push(ListChunk::try_new(array, first_row)?);
        first_row += array.len();
    }
    match item {
        DataType::Int8 => group_as::<Int8Type>(&lists, options),
        DataType::Int16 => group_as::<Int16Type>(&lists, options),
        DataType::Int32 => group_as::<Int32Type>(&lists, options),
        DataType::Int64 => group_as::<Int64Type>(&lists, options),
        DataType::UInt8 => group_as::<UInt8Type>(&lists, options),
        DataType::UInt16 => group_as::<UInt16Type>(&lists, options),
        DataType::UInt32 => group_as::<UInt32Type>(&lists, options),
        DataType::UInt64 => group_as::<UInt64Type>(&lists, options),
        other => Err(Error::NotIntegers(other.clone())),
    }
}

fn group_as<T: ArrowPrimitiveType>(lists: &[ListChunk], options: &GroupOptions) -> Result<Grouped>
where
    T::Native: TryFrom<i64>,
{
    let mut runs = Vec::new();
    for (chunk, list) in lists.iter().enumerate() {
        match options.separator {
            Some(_) => list.documents(chunk, &mut runs)?,
            None => list.stretches(chunk, &mut runs)?,
        }
    }
    let separator = options.separator.map(|id| native::<T>("separator_id", id)).transpose()?;
    let between = separator.map_or(0, |_| runs.len().saturating_sub(1));
    let tokens = runs
        .iter()
        .try_fold(between, |sum, run| sum.checked_add(run.len()))
        .ok_or(Error::TooLarge)?;
    let size = options.block_size;
    let whole = tokens - tokens % size;
    let (length, pad) = match options.remainder {
        Remainder::Drop => (whole, None),
        Remainder::Keep => (tokens, None),
        Remainder::Pad(id) => {
            let length = tokens.checked_next_multiple_of(size).ok_or(Error::TooLarge)?;
            (length, Some(native::<T>("pad_id", id)?))
        }
    };
    let children: Vec<&PrimitiveArray<T>> =
        lists.iter().map(|list| list.values.as_primitive::<T>()).collect();
    let values = match (runs.as_slice(), separator) {
        ([run], _) if length <= run.len() => children[run.chunk].values().slice(run.start, length),
        _ => copy(&children, &runs, separator, length, pad, options.threads).into(),
    };
    Ok(Grouped { blocks: cut::<T>(values, options), tokens })
}

fn native<T: ArrowPrimitiveType>(name: &'static str, value: i64) -> Result<T::Native>
where
    T::Native: TryFrom<i64>,
{
    T::Native::try_from(value).map_err(|_| Error::DoesNotFit {
        name,
        value,
        data_type: T::DATA_TYPE,
    })
}

/// The first `length` tokens of the runs, in order, separators between, then padding.
fn copy<N: ArrowNativeType>(
    children: &[&PrimitiveArray<impl ArrowPrimitiveType<Native = N>>],
    runs: &[Run],
    separator: Option<N>,
    length: usize,
    pad: Option<N>,
    threads: Option<usize>,
) -> Vec<N> {
    let mut values = vec![pad.unwrap_or_default(); length];
    let mut pieces = Vec::with_capacity(runs.len());
    let mut rest = values.as_mut_slice();
    for (number, run) in runs.iter().enumerate() {
        if let (Some(id), true) = (separator, number > 0)
            && let Some((slot, after)) = std::mem::take(&mut rest).split_first_mut()
        {
            *slot = id;
            rest = after;
        }
        let mut start = run.start;
        while start < run.end && !rest.is_empty() {
            let count = (run.end - start).min(rest.len()).min(GRAIN);
            let (piece, after) = std::mem::take(&mut rest).split_at_mut(count);
            pieces.push((piece, &children[run.chunk].values()[start..start + count]));
            rest = after;
            start += count;
        }
    }
    let threads = parallel::thread_count(threads, length, GRAIN);
    parallel::run(pieces, threads, |(to, from)| to.copy_from_slice(from));
    values
}

fn cut<T: ArrowPrimitiveType>(values: ScalarBuffer<T::Native>, options: &GroupOptions) -> ArrayRef {
    let item = Arc::new(Field::new("item", T::DATA_TYPE, true));
    let (size, length) = (options.block_size, values.len());
    let values = Arc::new(PrimitiveArray::<T>::new(values, None));
    if options.remainder == Remainder::Keep {
        let sizes = std::iter::repeat_n(size, length / size)
            .chain(Some(length % size).filter(|&rest| rest > 0));
        let offsets = OffsetBuffer::<i64>::from_lengths(sizes);
        return Arc::new(LargeListArray::new(item, offsets, values, None));
    }
    // `group` has checked that the size fits.
    let size = i32::try_from(size).unwrap_or(i32::MAX);
    Arc::new(FixedSizeListArray::new(item, size, values, None))
}
