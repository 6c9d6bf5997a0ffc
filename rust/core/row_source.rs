//! The rows of a batch: contiguous in a matrix, or anywhere in the shards of a store.

use crate::{Error, Result};

/// The rows of a batch, all of one length.
#[derive(Debug, Clone, Copy)]
pub enum RowSource<'a, I> {
    /// Contiguous rows.
    Matrix(&'a [I]),
    /// The blocks of these numbers of a store.
    Blocks(&'a Shards<'a, I>, &'a [u64]),
}

impl<'a, I> RowSource<'a, I> {
    /// Number of rows of `length`.
    pub(crate) fn count(&self, length: usize) -> usize {
        match self {
            Self::Matrix(ids) => ids.len().checked_div(length).unwrap_or(0),
            Self::Blocks(_, numbers) => numbers.len(),
        }
    }

    /// Row `row`, which is below the count.
    #[inline]
    pub(crate) fn row(&self, row: usize, length: usize) -> Result<&'a [I]> {
        match self {
            Self::Matrix(ids) => Ok(&ids[row * length..(row + 1) * length]),
            Self::Blocks(shards, numbers) => shards.block(numbers[row]),
        }
    }
}

/// The shards of a store: blocks of one length, numbered consecutively over all shards.
#[derive(Debug, Clone)]
pub struct Shards<'a, I> {
    parts: Vec<&'a [I]>,
    /// The number of each shard's first block, followed by the total number of blocks.
    starts: Vec<u64>,
    length: usize,
}

impl<'a, I> Shards<'a, I> {
    /// Shards of blocks of `length` ids each.
    ///
    /// # Errors
    /// A shard does not consist of whole blocks, or the length is 0.
    pub fn new(parts: Vec<&'a [I]>, length: usize) -> Result<Self> {
        if length == 0 {
            return Err(Error::BlockSize(0));
        }
        let mut starts = vec![0];
        let mut total = 0;
        for part in &parts {
            let blocks = part.len() / length;
            if blocks * length != part.len() {
                let (found, expected) = (part.len(), blocks * length);
                return Err(Error::Length { name: "shard", found, expected });
            }
            total += blocks as u64;
            starts.push(total);
        }
        Ok(Self { parts, starts, length })
    }

    /// Tokens per block.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }

    /// Number of shards.
    pub(crate) fn count(&self) -> usize {
        self.parts.len()
    }

    /// Number of blocks in all shards.
    pub(crate) fn blocks(&self) -> u64 {
        self.starts.last().copied().unwrap_or(0)
    }

    pub(crate) fn block(&self, number: u64) -> Result<&'a [I]> {
        let (shard, row) = self.locate(number)?;
        let at = row * self.length;
        Ok(&self.parts[shard][at..at + self.length])
    }

    /// The shard of block `number`, and its row there.
    pub(crate) fn locate(&self, number: u64) -> Result<(usize, usize)> {
        let shard = self.starts.partition_point(|&start| start <= number).wrapping_sub(1);
        if shard >= self.parts.len() {
            return Err(Error::NoSuchBlock { block: number, blocks: self.blocks() });
        }
        // Below the shard's number of blocks, whose ids are in memory.
        #[allow(clippy::cast_possible_truncation)]
        Ok((shard, (number - self.starts[shard]) as usize))
    }
}
