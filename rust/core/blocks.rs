//! Writing blocks: tokens are copied (or shared) as a [`Plan`] lays them out.

use std::ops::Range;

use arrow_array::ArrayRef;

use crate::lists::{ListColumn, Run};
use crate::narrow::{Reader, Token, value_at};
use crate::plan::{Piece, Plan, lengths, starts};
use crate::{Error, Result, parallel};

/// Minimum number of tokens per thread that makes starting it worthwhile.
const GRAIN: usize = 1 << 20;

/// Number of tokens in one task of a thread.
const TASK: usize = 1 << 20;

/// The values inserted between and beside the tokens of one column; `None` if the plan does not
/// insert them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fills {
    /// Between one document and the next.
    pub separator: Option<i64>,
    /// At the beginning of every block.
    pub cls: Option<i64>,
    /// After the tokens of every block.
    pub sep: Option<i64>,
    /// Up to the block size.
    pub pad: Option<i64>,
}

impl Plan {
    /// The blocks' values without a copy, if the column's memory holds them contiguously. `None` if
    /// values must be moved, and for an empty result.
    ///
    /// # Errors
    /// The rows are not those that the plan was made for.
    pub fn share(&self, column: &ListColumn) -> Result<Option<ArrayRef>> {
        if !self.is_plain() {
            return Ok(None);
        }
        let runs = self.runs(column)?;
        let shared = match runs.as_slice() {
            [run] if self.length() <= run.len() => column.values().nth(run.chunk).map(|v| (v, run)),
            _ => None,
        };
        Ok(shared.map(|(values, run)| values.slice(run.start, self.length())))
    }

    /// Write `blocks` of the column into `out`, converted to its type.
    ///
    /// Every element of `out` is written. The result does not depend on `threads`.
    ///
    /// # Errors
    /// An id does not fit the type; a fill value is missing or does not fit; the rows are not those
    /// that the plan was made for; the length of `out` is not that of the blocks.
    pub fn write<T: Token>(
        &self,
        column: &ListColumn,
        fills: &Fills,
        blocks: Range<usize>,
        out: &mut [T],
        threads: Option<usize>,
    ) -> Result<()> {
        let runs = self.runs(column)?;
        let starts = starts(&runs, self.options().separator)?;
        let writer = Writer {
            fills: Values::new(self, fills)?,
            readers: column
                .values()
                .map(|values| T::reader(values).ok_or(Error::NoConversion(T::DATA_TYPE)))
                .collect::<Result<Vec<_>>>()?,
            runs: &runs,
            column,
        };
        let blocks = blocks.start.min(self.blocks())..blocks.end.min(self.blocks());
        let first = self.offset(blocks.start);
        let expected = self.offset(blocks.end.max(blocks.start)) - first;
        if out.len() != expected {
            return Err(Error::Length { name: "out", found: out.len(), expected });
        }
        let threads = parallel::thread_count(threads, expected, GRAIN);
        // Several tasks per thread, so that all threads end together, but tasks of long copies.
        let count = if threads > 1 { threads.max(expected / TASK) } else { 1 };
        let share = blocks.len().div_ceil(count).max(1);
        let mut tasks = Vec::with_capacity(count);
        let (mut rest, mut block) = (out, blocks.start);
        while block < blocks.end {
            let end = blocks.end.min(block + share);
            let (part, after) = rest.split_at_mut(self.offset(end) - self.offset(block));
            tasks.push((block..end, part));
            (rest, block) = (after, end);
        }
        parallel::run(tasks, threads, |(blocks, part)| {
            let mut at = 0;
            self.walk(&starts, blocks, &mut |piece| {
                at += writer.write(piece, &mut part[at..])?;
                Ok(())
            })
        })
        .into_iter()
        .collect()
    }

    /// The column's runs in the order of the plan: documents, or longer ones where it does not
    /// matter where documents end.
    fn runs(&self, column: &ListColumn) -> Result<Vec<Run>> {
        if let Some(starts) = self.documents() {
            self.check(column, starts)?;
        }
        if !self.is_unbroken() {
            return column.documents();
        }
        let runs = column.stretches()?; // fewer and longer copies
        let found = runs.iter().map(|run| run.len()).sum();
        if found != self.tokens() {
            let expected = self.tokens();
            return Err(Error::Length { name: "the column", found, expected });
        }
        Ok(runs)
    }

    /// Check that the documents of the column begin at `starts`.
    fn check(&self, column: &ListColumn, starts: &[usize]) -> Result<()> {
        let mut expected = lengths(starts, self.options().separator);
        let mut document = 0;
        let differs = |document, found, expected| -> Result<()> {
            let row = column.row_of_document(document)?;
            Err(Error::RowLength { row, found, expected })
        };
        column.each_document(|run| {
            let expected = expected.next();
            if expected != Some(run.len()) {
                return differs(document, run.len(), expected.unwrap_or(0));
            }
            document += 1;
            Ok(())
        })?;
        expected.next().map_or(Ok(()), |missing| differs(document, 0, missing))
    }
}

struct Values<T> {
    separator: T,
    cls: T,
    sep: T,
    pad: T,
}

impl<T: Token> Values<T> {
    fn new(plan: &Plan, fills: &Fills) -> Result<Self> {
        let value = |name, value: Option<i64>, needed: bool| match value {
            Some(value) => {
                let data_type = T::DATA_TYPE;
                T::try_from(value).map_err(|_| Error::DoesNotFit { name, value, data_type })
            }
            None if needed => Err(Error::Missing { name }),
            None => Ok(T::default()),
        };
        let options = plan.options();
        Ok(Self {
            separator: value("separator_id", fills.separator, options.separator)?,
            cls: value("cls_id", fills.cls, options.cls)?,
            sep: value("sep_id", fills.sep, options.sep)?,
            pad: value("pad_id", fills.pad, plan.padding() > 0)?,
        })
    }
}

struct Writer<'a, T> {
    fills: Values<T>,
    readers: Vec<Reader<'a, T>>,
    runs: &'a [Run],
    column: &'a ListColumn,
}

impl<T: Token> Writer<'_, T> {
    /// Write one piece to the start of `out`; return its length.
    fn write(&self, piece: Piece, out: &mut [T]) -> Result<usize> {
        let (count, value) = match piece {
            Piece::Cls => (1, self.fills.cls),
            Piece::Sep => (1, self.fills.sep),
            Piece::Separator => (1, self.fills.separator),
            Piece::Pad(count) => (count, self.fills.pad),
            Piece::Tokens { run, start, len } => {
                let run = self.runs[run];
                let from = run.start + start;
                return match self.readers[run.chunk](from, &mut out[..len]) {
                    None => Ok(len),
                    Some(at) => Err(self.misfit(run.chunk, from + at)),
                };
            }
        };
        out[..count].fill(value);
        Ok(count)
    }

    fn misfit(&self, chunk: usize, index: usize) -> Error {
        let (row, position) = match self.column.locate(chunk, index) {
            Ok(place) => place,
            Err(error) => return error,
        };
        let value = self.column.values().nth(chunk).and_then(|values| value_at(values, index));
        Error::IdDoesNotFit {
            row,
            position,
            value: value.unwrap_or_default(),
            data_type: T::DATA_TYPE,
        }
    }
}
