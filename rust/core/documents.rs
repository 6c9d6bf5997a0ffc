//! Which document of a stored block each position belongs to, and where padding begins.
//!
//! Padding is the padding id at the end of a block; the same id elsewhere is part of a text.

use crate::ids::TokenId;
use crate::row_source::Shards;
use crate::{Error, Result, check_length, parallel};

/// Minimum number of positions per thread that makes starting it worthwhile.
const GRAIN: usize = 1 << 20;

/// Where documents begin in the blocks of one shard, as a column `list<int32>` of Arrow holds it.
#[derive(Debug, Clone, Copy)]
pub struct ShardStarts<'a> {
    /// Where the starts of each row begin, and where those of the last end.
    pub offsets: &'a [i32],
    /// Positions within the rows, from 0 on and ascending.
    pub starts: &'a [i32],
}

impl<'a> ShardStarts<'a> {
    /// The starts of a row of `length` ids; `None` if they are damaged.
    fn of_row(&self, row: usize, length: usize) -> Option<&'a [i32]> {
        let first = usize::try_from(*self.offsets.get(row)?).ok()?;
        let last = usize::try_from(*self.offsets.get(row + 1)?).ok()?;
        let starts = self.starts.get(first..last)?;
        let ascend = starts.windows(2).all(|pair| pair[0] < pair[1]);
        let inside = usize::try_from(*starts.last()?).is_ok_and(|start| start < length);
        (starts.first() == Some(&0) && ascend && inside).then_some(starts)
    }
}

/// Write the number of its document within the block for every position of the blocks `numbers`,
/// counted from 0, and -1 for padding.
///
/// # Errors
/// A block that the shards do not have, damaged starts, or an `out` of another length.
pub fn document_ids<I: TokenId>(
    shards: &Shards<'_, I>,
    starts: &[ShardStarts<'_>],
    numbers: &[u64],
    pad_id: Option<u32>,
    out: &mut [i32],
    threads: Option<usize>,
) -> Result<()> {
    let length = shards.length();
    check_length("document_starts", starts.len(), shards.count())?;
    check_length("out", out.len(), numbers.len().checked_mul(length).ok_or(Error::TooLarge)?)?;
    let threads = parallel::thread_count(threads, out.len(), GRAIN);
    let each = numbers.len().div_ceil(threads).max(1);
    let parts = numbers.chunks(each).zip(out.chunks_mut(each * length)).collect();
    parallel::run(parts, threads, |(numbers, out): (&[u64], &mut [i32])| {
        for (&block, row) in numbers.iter().zip(out.chunks_exact_mut(length)) {
            let (shard, at) = shards.locate(block)?;
            let starts =
                starts[shard].of_row(at, length).ok_or(Error::BadDocumentStarts { block })?;
            fill(starts, row);
            if let Some(pad_id) = pad_id {
                row[text_length(shards.block(block)?, pad_id)..].fill(-1);
            }
        }
        Ok(())
    })
    .into_iter()
    .collect()
}

/// Write how many ids each of the blocks `0..out.len()` has before its padding.
///
/// # Errors
/// A block that the shards do not have.
pub fn block_lengths<I: TokenId>(
    shards: &Shards<'_, I>,
    pad_id: u32,
    out: &mut [i32],
    threads: Option<usize>,
) -> Result<()> {
    let work = out.len().checked_mul(shards.length()).ok_or(Error::TooLarge)?;
    let threads = parallel::thread_count(threads, work, GRAIN);
    let share = out.len().div_ceil(threads).max(1);
    let parts = out.chunks_mut(share).enumerate().collect();
    parallel::run(parts, threads, |(part, lengths): (usize, &mut [i32])| {
        for (block, length) in (part as u64 * share as u64..).zip(lengths) {
            let ids = text_length(shards.block(block)?, pad_id);
            *length = i32::try_from(ids).map_err(|_| Error::TooLarge)?;
        }
        Ok(())
    })
    .into_iter()
    .collect()
}

/// Number of ids before the padding at the end of a block.
fn text_length<I: TokenId>(ids: &[I], pad_id: u32) -> usize {
    let pad_id = i64::from(pad_id);
    ids.iter().rposition(|id| id.widen() != pad_id).map_or(0, |last| last + 1)
}

/// Number the positions from each start to the next.
fn fill(starts: &[i32], row: &mut [i32]) {
    let mut rest = row;
    let mut before = 0;
    for (number, pair) in (0..).zip(starts.windows(2)) {
        // Ascending positions of a row, which `of_row` has checked.
        let count = usize::try_from(pair[1] - before).unwrap_or(0).min(rest.len());
        let (document, after) = rest.split_at_mut(count);
        document.fill(number);
        (rest, before) = (after, pair[1]);
    }
    rest.fill(i32::try_from(starts.len()).map_or(0, |count| count - 1));
}
