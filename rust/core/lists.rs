//! One view of every Arrow list layout: where each row's values lie in the child array.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::DataType;

use crate::{Error, Result};

/// A stretch of a chunk's child array: `start..end` of chunk number `chunk`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    pub chunk: usize,
    pub start: usize,
    pub end: usize,
}

impl Run {
    pub fn len(self) -> usize {
        self.end - self.start
    }
}

enum Layout {
    List(OffsetBuffer<i32>),
    LargeList(OffsetBuffer<i64>),
    ListView(ScalarBuffer<i32>, ScalarBuffer<i32>),
    LargeListView(ScalarBuffer<i64>, ScalarBuffer<i64>),
    FixedSize { width: usize },
}

/// A list array of any layout, without null rows or null tokens. Rows are checked to lie inside of
/// the values when they are asked for: most calls need the first and the last alone.
pub struct ListChunk {
    pub values: ArrayRef,
    layout: Layout,
    rows: usize,
    first_row: usize,
}

impl ListChunk {
    /// View `array`, whose first row is row number `first_row` of the whole column.
    pub fn try_new(array: &ArrayRef, first_row: usize) -> Result<Self> {
        let (values, layout) = match array.data_type() {
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                (list.values().clone(), Layout::List(list.offsets().clone()))
            }
            DataType::LargeList(_) => {
                let list = array.as_list::<i64>();
                (list.values().clone(), Layout::LargeList(list.offsets().clone()))
            }
            DataType::ListView(_) => {
                let list = array.as_list_view::<i32>();
                let layout = Layout::ListView(list.offsets().clone(), list.sizes().clone());
                (list.values().clone(), layout)
            }
            DataType::LargeListView(_) => {
                let list = array.as_list_view::<i64>();
                let layout = Layout::LargeListView(list.offsets().clone(), list.sizes().clone());
                (list.values().clone(), layout)
            }
            DataType::FixedSizeList(_, _) => {
                let list = array.as_fixed_size_list();
                let width = usize::try_from(list.value_length())
                    .map_err(|_| Error::BadOffsets { row: first_row })?;
                (list.values().clone(), Layout::FixedSize { width })
            }
            other => return Err(Error::NotLists(other.clone())),
        };
        let chunk = Self { values, layout, rows: array.len(), first_row };
        chunk.check_nulls(array.nulls())?;
        Ok(chunk)
    }

    fn check_nulls(&self, nulls: Option<&NullBuffer>) -> Result<()> {
        if let Some(row) = nulls.and_then(|nulls| (0..nulls.len()).find(|&row| nulls.is_null(row)))
        {
            return Err(Error::NullRow { row: self.first_row + row });
        }
        let Some(nulls) = self.values.nulls().filter(|nulls| nulls.null_count() > 0) else {
            return Ok(());
        };
        for row in 0..self.rows {
            let (start, end) = self.row(row)?;
            if let Some(position) = (start..end).position(|at| nulls.is_null(at)) {
                return Err(Error::NullToken { row: self.first_row + row, position });
            }
        }
        Ok(())
    }

    /// Start and end of a row in `values`.
    fn row(&self, row: usize) -> Result<(usize, usize)> {
        let range = match &self.layout {
            Layout::List(offsets) => range_of(offsets[row], offsets[row + 1]),
            Layout::LargeList(offsets) => range_of(offsets[row], offsets[row + 1]),
            Layout::ListView(offsets, sizes) => {
                range_of(offsets[row], offsets[row].saturating_add(sizes[row]))
            }
            Layout::LargeListView(offsets, sizes) => {
                range_of(offsets[row], offsets[row].saturating_add(sizes[row]))
            }
            Layout::FixedSize { width } => {
                row.checked_mul(*width).and_then(|start| Some((start, start.checked_add(*width)?)))
            }
        };
        range
            .filter(|&(start, end)| start <= end && end <= self.values.len())
            .ok_or(Error::BadOffsets { row: self.first_row + row })
    }

    /// Append the runs of this chunk (number `chunk`): one run for each row that is not empty.
    pub fn documents(&self, chunk: usize, runs: &mut Vec<Run>) -> Result<()> {
        for row in 0..self.rows {
            let (start, end) = self.row(row)?;
            if start < end {
                runs.push(Run { chunk, start, end });
            }
        }
        Ok(())
    }

    /// Append the runs of this chunk, with neighbouring rows joined: one run in all, except for
    /// list views whose rows lie apart.
    pub fn stretches(&self, chunk: usize, runs: &mut Vec<Run>) -> Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        if matches!(self.layout, Layout::ListView(..) | Layout::LargeListView(..)) {
            let first = runs.len();
            for row in 0..self.rows {
                let (start, end) = self.row(row)?;
                match runs[first..].last_mut() {
                    Some(last) if last.end == start => last.end = end,
                    _ if start < end => runs.push(Run { chunk, start, end }),
                    _ => {}
                }
            }
            return Ok(());
        }
        let (start, end) = (self.row(0)?.0, self.row(self.rows - 1)?.1);
        if start < end {
            runs.push(Run { chunk, start, end });
        }
        Ok(())
    }
}

fn range_of<T>(start: T, end: T) -> Option<(usize, usize)>
where
    usize: TryFrom<T>,
{
    Some((usize::try_from(start).ok()?, usize::try_from(end).ok()?))
}
