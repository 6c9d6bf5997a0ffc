//! A view of Arrow lists of any layout: where each row's values lie in the child array.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::DataType;

use crate::{Error, Result};

/// A range of a chunk's child array: `start..end` of chunk number `chunk`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
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

/// A column of lists of integers in chunks of one type, without null rows or null tokens.
pub struct ListColumn {
    chunks: Vec<ListChunk>,
    item: DataType,
}

impl ListColumn {
    /// View `chunks`, a column of `data_type`.
    ///
    /// # Errors
    /// A column that is no list of integers, chunks of another type, nulls, damaged offsets.
    pub fn try_new(chunks: &[ArrayRef], data_type: &DataType) -> Result<Self> {
        let item = match data_type {
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::ListView(item)
            | DataType::LargeListView(item)
            | DataType::FixedSizeList(item, _) => item.data_type().clone(),
            other => return Err(Error::NotLists(other.clone())),
        };
        if !item.is_integer() {
            return Err(Error::NotIntegers(item));
        }
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
        Ok(Self { chunks: lists, item })
    }

    /// Type of the tokens.
    #[must_use]
    pub fn item_type(&self) -> &DataType {
        &self.item
    }

    /// Tokens of all rows.
    ///
    /// # Errors
    /// Damaged offsets, or more tokens than can be counted.
    pub fn tokens(&self) -> Result<usize> {
        self.stretches()?
            .iter()
            .try_fold(0_usize, |sum, run| sum.checked_add(run.len()))
            .ok_or(Error::TooLarge)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &ArrayRef> {
        self.chunks.iter().map(|chunk| &chunk.values)
    }

    /// One run per row that is not empty.
    pub(crate) fn documents(&self) -> Result<Vec<Run>> {
        let mut runs = Vec::new();
        self.each_document(|run| {
            runs.push(run);
            Ok(())
        })?;
        Ok(runs)
    }

    /// Give `sink` one run per row that is not empty, in order.
    pub(crate) fn each_document(&self, mut sink: impl FnMut(Run) -> Result<()>) -> Result<()> {
        for (number, chunk) in self.chunks.iter().enumerate() {
            for row in 0..chunk.rows {
                let (start, end) = chunk.row(row)?;
                if start < end {
                    sink(Run { chunk: number, start, end })?;
                }
            }
        }
        Ok(())
    }

    /// The same tokens in as few runs as possible.
    pub(crate) fn stretches(&self) -> Result<Vec<Run>> {
        let mut runs = Vec::new();
        for (number, chunk) in self.chunks.iter().enumerate() {
            chunk.stretches(number, &mut runs)?;
        }
        Ok(runs)
    }

    /// The row, counted over all chunks, and the position in it of value `index` of a chunk.
    pub(crate) fn locate(&self, chunk: usize, index: usize) -> Result<(usize, usize)> {
        self.chunks[chunk].locate(index)
    }

    /// The row of document number `document`, which is the row's number among those not empty.
    pub(crate) fn row_of_document(&self, document: usize) -> Result<usize> {
        let mut seen = 0;
        for chunk in &self.chunks {
            for row in 0..chunk.rows {
                let (start, end) = chunk.row(row)?;
                seen += usize::from(start < end);
                if seen > document {
                    return Ok(chunk.first_row + row);
                }
            }
        }
        Ok(self.chunks.last().map_or(0, |chunk| chunk.first_row + chunk.rows))
    }
}

/// A list array of any layout, without null rows or null tokens. Rows are checked to lie inside of
/// the values only on access, since most calls need just the first and the last.
struct ListChunk {
    values: ArrayRef,
    layout: Layout,
    rows: usize,
    first_row: usize,
}

impl ListChunk {
    /// View `array`, whose first row is row number `first_row` of the whole column.
    fn try_new(array: &ArrayRef, first_row: usize) -> Result<Self> {
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

    /// The row and the position in it of value `index`.
    fn locate(&self, index: usize) -> Result<(usize, usize)> {
        for row in 0..self.rows {
            let (start, end) = self.row(row)?;
            if (start..end).contains(&index) {
                return Ok((self.first_row + row, index - start));
            }
        }
        Err(Error::BadOffsets { row: self.first_row })
    }

    /// Append the runs of this chunk, with neighbouring rows joined: one run in all, except for
    /// list views whose rows lie apart.
    fn stretches(&self, chunk: usize, runs: &mut Vec<Run>) -> Result<()> {
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
