//! Where documents begin and end within blocks, for attention that does not cross them.

use std::ops::Range;

use crate::plan::{Piece, Plan};
use crate::{Error, Result, parallel};

/// Minimum number of positions per thread that makes starting it worthwhile.
const GRAIN: usize = 1 << 20;

/// Lengths of the documents in each block. The id that begins a block belongs to its first
/// document, a separator and the id that ends a block to the document before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segments {
    /// The lengths, block by block, without padding.
    pub lengths: Vec<i32>,
    /// Block `b` has `lengths[ends[b]..ends[b + 1]]`; one entry more than there are blocks.
    pub ends: Vec<i64>,
}

/// Where documents begin in each block. A block begins with a document or with the rest of one, so
/// its first start is 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentStarts {
    /// Positions within the block, ascending, block by block.
    pub starts: Vec<i32>,
    /// Block `b` has `starts[ends[b]..ends[b + 1]]`; one entry more than there are blocks.
    pub ends: Vec<i64>,
}

impl From<Segments> for DocumentStarts {
    fn from(segments: Segments) -> Self {
        let Segments { lengths: mut starts, ends } = segments;
        let mut rest = starts.as_mut_slice();
        for counts in ends.windows(2) {
            let count = usize::try_from(counts[1] - counts[0]).unwrap_or(0);
            let (block, after) = rest.split_at_mut(count.min(rest.len()));
            let mut at = 0;
            for length in block {
                at += std::mem::replace(length, at);
            }
            rest = after;
        }
        Self { starts, ends }
    }
}

impl Plan {
    /// Where documents begin in each block.
    ///
    /// # Errors
    /// The plan was made without `boundaries`.
    pub fn document_starts(&self, threads: Option<usize>) -> Result<DocumentStarts> {
        self.segments(threads).map(DocumentStarts::from)
    }

    /// Lengths of the documents in each block.
    ///
    /// # Errors
    /// The plan was made without `boundaries`.
    pub fn segments(&self, threads: Option<usize>) -> Result<Segments> {
        let documents = self.documents().ok_or(Error::NoBoundaries)?;
        let parts = parallel::run(
            self.tasks(),
            parallel::thread_count(threads, self.length(), GRAIN),
            |blocks| {
                let mut lengths = Vec::new();
                let mut counts = Vec::with_capacity(blocks.len());
                for block in blocks {
                    let before = lengths.len();
                    self.block_segments(documents, block, &mut lengths)?;
                    counts.push(lengths.len() - before);
                }
                Ok((lengths, counts))
            },
        );
        let mut segments = Segments { lengths: Vec::new(), ends: vec![0] };
        let mut end = 0_i64;
        for part in parts {
            let (lengths, counts) = part?;
            segments.lengths.extend(lengths);
            for count in counts {
                end += i64::try_from(count).map_err(|_| Error::TooLarge)?;
                segments.ends.push(end);
            }
        }
        Ok(segments)
    }

    /// Write for every position the number of its document within the block, -1 for padding.
    ///
    /// # Errors
    /// The length of `out` is not that of all blocks, or the segments belong to another plan.
    pub fn document_ids(&self, segments: &Segments, out: &mut [i32]) -> Result<()> {
        self.fill(segments, out, -1, |number, part| part.fill(number))
    }

    /// Write for every position its distance from the start of its document plus `offset`; padding
    /// gets `offset - 1` (`padding_idx` of `RoBERTa`), but at least 0.
    ///
    /// # Errors
    /// The length of `out` is not that of all blocks, the segments belong to another plan, or the
    /// largest position exceeds 2^31 - 1.
    pub fn position_ids(&self, segments: &Segments, offset: i32, out: &mut [i32]) -> Result<()> {
        let size = i32::try_from(self.options().block_size).map_err(|_| Error::TooLarge)?;
        if offset < 0 || offset.checked_add(size).is_none() {
            return Err(Error::PositionOffset(offset));
        }
        self.fill(segments, out, (offset - 1).max(0), |_, part| {
            for (position, slot) in (offset..).zip(part) {
                *slot = position;
            }
        })
    }

    fn tasks(&self) -> Vec<Range<usize>> {
        let step = (GRAIN / self.options().block_size).max(1);
        let range = |start: usize| start..self.blocks().min(start + step);
        (0..self.blocks()).step_by(step).map(range).collect()
    }

    fn block_segments(
        &self,
        documents: &[usize],
        block: usize,
        lengths: &mut Vec<i32>,
    ) -> Result<()> {
        let first = lengths.len();
        let mut waiting = 0; // the id that begins the block, before its document is there
        self.walk(documents, block..block + 1, &mut |piece| {
            let (count, begins) = match piece {
                Piece::Pad(_) => return Ok(()),
                Piece::Cls => {
                    waiting = 1;
                    return Ok(());
                }
                Piece::Tokens { len, .. } => {
                    (i32::try_from(len).map_err(|_| Error::TooLarge)?, true)
                }
                Piece::Separator | Piece::Sep => (1, lengths.len() == first),
            };
            match lengths.last_mut() {
                Some(last) if !begins => *last += count,
                _ => lengths.push(count + std::mem::take(&mut waiting)),
            }
            Ok(())
        })
    }

    fn fill(
        &self,
        segments: &Segments,
        out: &mut [i32],
        padding: i32,
        mut write: impl FnMut(i32, &mut [i32]),
    ) -> Result<()> {
        if out.len() != self.length() {
            let (found, expected) = (out.len(), self.length());
            return Err(Error::Length { name: "out", found, expected });
        }
        if segments.ends.len() != self.blocks() + 1 {
            let (found, expected) = (segments.ends.len(), self.blocks() + 1);
            return Err(Error::Length { name: "segments", found, expected });
        }
        let mut lengths = segments.lengths.iter();
        for (block, ends) in segments.ends.windows(2).enumerate() {
            let mut rest = &mut out[self.offset(block)..self.offset(block + 1)];
            for number in 0..i32::try_from(ends[1] - ends[0]).map_err(|_| Error::TooLarge)? {
                let length = lengths.next().and_then(|&length| usize::try_from(length).ok());
                let split = length.and_then(|length| rest.split_at_mut_checked(length));
                let (part, after) = split.ok_or(Error::TooLarge)?;
                write(number, part);
                rest = after;
            }
            rest.fill(padding);
        }
        Ok(())
    }
}
