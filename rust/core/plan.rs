//! The layout of blocks: where each token goes, computed before any token is moved.

use std::ops::Range;

use crate::lists::{ListColumn, Run};
use crate::packing::{Packed, best_fit};
use crate::{Error, Result};

/// What becomes of the tokens after the last whole block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remainder {
    /// They are dropped.
    Drop,
    /// They are padded to a whole block.
    Pad,
    /// They become a last, shorter block.
    Keep,
}

/// How documents are put into blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Concatenated, and cut wherever a block ends.
    Concat,
    /// As a whole, with padding after them; see [`best_fit`].
    BestFit,
}

/// How to lay out blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // four independent switches, each named by its user's option
pub struct PlanOptions {
    /// Tokens per block.
    pub block_size: usize,
    /// What becomes of the tokens after the last whole block; best fit always pads.
    pub remainder: Remainder,
    /// How documents come into blocks.
    pub packing: Packing,
    /// Whether an id stands between one document (a row that is not empty) and the next.
    pub separator: bool,
    /// Whether an id begins every block.
    pub cls: bool,
    /// Whether an id ends the tokens of every block.
    pub sep: bool,
    /// Whether [`Plan::segments`] will be needed.
    pub boundaries: bool,
}

enum Layout {
    /// The documents as one stream, and the number of its tokens that go into blocks.
    Stream {
        kept: usize,
    },
    Packed(Packed),
}

/// The layout of the blocks of one column, valid for every column with rows of the same lengths.
///
/// All counts are `usize`, 64 bits wide, so there may be more than 2^31 tokens.
pub struct Plan {
    options: PlanOptions,
    /// Where in the stream each document begins, and its end; only where documents matter.
    documents: Option<Vec<usize>>,
    layout: Layout,
    blocks: usize,
    length: usize,
    tokens: usize,
    dropped: usize,
    padding: usize,
}

/// A part of a block, in the order of writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    Cls,
    Sep,
    Separator,
    Pad(usize),
    /// Tokens `start..start + len` of run number `run`.
    Tokens {
        run: usize,
        start: usize,
        len: usize,
    },
}

impl Plan {
    /// Lay out the rows of `column`.
    ///
    /// # Errors
    /// The block size is zero, or leaves no capacity beside the ids that frame a block; offsets are
    /// damaged.
    pub fn new(column: &ListColumn, options: PlanOptions) -> Result<Self> {
        let size = options.block_size;
        if size == 0 || i32::try_from(size).is_err() {
            return Err(Error::BlockSize(size));
        }
        let frame = usize::from(options.cls) + usize::from(options.sep);
        let capacity =
            size.checked_sub(frame).filter(|&capacity| capacity > 0).ok_or(Error::NoRoom(size))?;
        let packed = options.packing == Packing::BestFit;
        let mut documents = None;
        let (tokens, total) = if options.separator || options.boundaries || packed {
            let mut starts = Starts::new(options.separator);
            column.each_document(|run| starts.push(run.len()))?;
            let starts = starts.finish();
            let total = starts.last().copied().unwrap_or(0);
            let separators = if options.separator { starts.len().saturating_sub(2) } else { 0 };
            documents = Some(starts);
            (total - separators, total)
        } else {
            let total = column.tokens()?;
            (total, total)
        };
        let (layout, blocks, kept, placed) = if let (true, Some(starts)) = (packed, &documents) {
            let lengths: Vec<_> = lengths(starts, options.separator).collect();
            let packed = best_fit(&lengths, capacity, usize::from(options.separator));
            let blocks = packed.ends.len() - 1;
            let separators = if options.separator { packed.fragments.len() - blocks } else { 0 };
            (Layout::Packed(packed), blocks, total, tokens + separators)
        } else {
            let drop = options.remainder == Remainder::Drop;
            let blocks = if drop { total / capacity } else { total.div_ceil(capacity) };
            let kept = if drop { blocks * capacity } else { total };
            (Layout::Stream { kept }, blocks, kept, kept)
        };
        let keep = options.remainder == Remainder::Keep && !packed;
        let content = blocks.checked_mul(frame).and_then(|frames| placed.checked_add(frames));
        let full = blocks.checked_mul(size).ok_or(Error::TooLarge)?;
        let length = if keep { content.ok_or(Error::TooLarge)? } else { full };
        let separated = documents.as_ref().filter(|_| options.separator);
        let separators_left = separated.map_or(0, |starts| {
            // The separator before document k stands at `starts[k] - 1`.
            let inner = starts.get(1..starts.len().saturating_sub(1)).unwrap_or(&[]);
            inner.len() - inner.partition_point(|&start| start <= kept)
        });
        Ok(Self {
            documents,
            layout,
            blocks,
            length,
            tokens,
            dropped: total - kept - separators_left,
            padding: length - content.ok_or(Error::TooLarge)?,
            options,
        })
    }

    /// Number of tokens of the rows.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Number of [`Plan::tokens`] that are in no block.
    #[must_use]
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    /// Number of blocks.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.blocks
    }

    /// Number of positions of all blocks.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }

    /// Number of positions filled with padding.
    #[must_use]
    pub fn padding(&self) -> usize {
        self.padding
    }

    /// The options of the plan.
    #[must_use]
    pub fn options(&self) -> &PlanOptions {
        &self.options
    }

    /// The documents' starts; `None` if the plan does not need them.
    pub(crate) fn documents(&self) -> Option<&[usize]> {
        self.documents.as_deref()
    }

    /// Where block number `block` begins among all positions.
    pub(crate) fn offset(&self, block: usize) -> usize {
        // Only the last block can be shorter than the others.
        block.saturating_mul(self.options.block_size).min(self.length)
    }

    /// Whether the blocks are the unchanged stream, only cut: without framing ids, moves and padding.
    pub(crate) fn is_plain(&self) -> bool {
        let options = &self.options;
        let framed = options.cls || options.sep;
        matches!(self.layout, Layout::Stream { .. }) && !framed && self.padding == 0
    }

    /// Whether documents follow each other as they come, with nothing between them: where they end
    /// then does not matter to the tokens.
    pub(crate) fn is_unbroken(&self) -> bool {
        matches!(self.layout, Layout::Stream { .. }) && !self.options.separator
    }

    /// The blocks in pieces, in the order of writing; `starts` as [`starts`] of the column gives it.
    pub(crate) fn walk(
        &self,
        starts: &[usize],
        blocks: Range<usize>,
        sink: &mut impl FnMut(Piece) -> Result<()>,
    ) -> Result<()> {
        let options = &self.options;
        if let (Layout::Stream { kept }, false) = (&self.layout, options.cls || options.sep) {
            // Nothing is inserted between the blocks, so they are one contiguous range.
            let (from, to) = (self.offset(blocks.start), self.offset(blocks.end));
            self.stream(starts, from, to.min(*kept), sink)?;
            return if to > *kept { sink(Piece::Pad(to - kept.max(&from))) } else { Ok(()) };
        }
        for block in blocks {
            let mut left = self.offset(block + 1) - self.offset(block);
            let mut count = |piece: Piece| {
                left -= match piece {
                    Piece::Tokens { len, .. } | Piece::Pad(len) => len,
                    _ => 1,
                };
                sink(piece)
            };
            if options.cls {
                count(Piece::Cls)?;
            }
            match &self.layout {
                Layout::Stream { kept } => {
                    let frame = usize::from(options.cls) + usize::from(options.sep);
                    let capacity = options.block_size - frame;
                    let from = block * capacity;
                    self.stream(starts, from, (*kept).min(from + capacity), &mut count)?;
                }
                Layout::Packed(packed) => {
                    let fragments = &packed.fragments[packed.ends[block]..packed.ends[block + 1]];
                    for (number, fragment) in fragments.iter().enumerate() {
                        if options.separator && number > 0 {
                            count(Piece::Separator)?;
                        }
                        let (run, start) = (fragment.document, fragment.start);
                        count(Piece::Tokens { run, start, len: fragment.len })?;
                    }
                }
            }
            if options.sep {
                count(Piece::Sep)?;
            }
            if left > 0 {
                sink(Piece::Pad(left))?;
            }
        }
        Ok(())
    }

    /// Positions `from..to` of the stream.
    fn stream(
        &self,
        starts: &[usize],
        mut from: usize,
        to: usize,
        sink: &mut impl FnMut(Piece) -> Result<()>,
    ) -> Result<()> {
        let mut run = starts.partition_point(|&start| start <= from).saturating_sub(1);
        while from < to {
            let last = run + 2 == starts.len();
            let end = starts[run + 1] - usize::from(self.options.separator && !last);
            if from < end {
                let len = end.min(to) - from;
                sink(Piece::Tokens { run, start: from - starts[run], len })?;
                from += len;
            }
            if from < to && from < starts[run + 1] {
                sink(Piece::Separator)?;
                from += 1;
            }
            run += 1;
        }
        Ok(())
    }
}

/// Where in the stream each run begins, and the stream's end; a separator follows each run but the
/// last.
pub(crate) fn starts(runs: &[Run], separator: bool) -> Result<Vec<usize>> {
    let mut starts = Starts::new(separator);
    starts.all.reserve(runs.len() + 1);
    runs.iter().try_for_each(|run| starts.push(run.len()))?;
    Ok(starts.finish())
}

/// Collects what [`starts`] returns.
struct Starts {
    all: Vec<usize>,
    end: usize,
    separator: bool,
}

impl Starts {
    fn new(separator: bool) -> Self {
        Self { all: Vec::new(), end: 0, separator }
    }

    /// Add a run of `len` tokens.
    fn push(&mut self, len: usize) -> Result<()> {
        let gap = usize::from(self.separator && !self.all.is_empty());
        let start = self.end.checked_add(gap).ok_or(Error::TooLarge)?;
        self.all.push(start);
        self.end = start.checked_add(len).ok_or(Error::TooLarge)?;
        Ok(())
    }

    fn finish(mut self) -> Vec<usize> {
        self.all.push(self.end);
        self.all
    }
}

/// The lengths of the runs between `starts`, which [`starts`] returned.
pub(crate) fn lengths(starts: &[usize], separator: bool) -> impl Iterator<Item = usize> {
    let count = starts.len().saturating_sub(1);
    let gap = move |number: usize| usize::from(separator && number + 1 < count);
    starts.windows(2).enumerate().map(move |(number, pair)| pair[1] - pair[0] - gap(number))
}
