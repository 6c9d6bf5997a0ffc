//! One view of every Arrow string layout.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BinaryViewArray};
use arrow_buffer::{Buffer, OffsetBuffer};
use arrow_schema::DataType;

use crate::{Error, Result};

enum Layout {
    Utf8(OffsetBuffer<i32>, Buffer),
    LargeUtf8(OffsetBuffer<i64>, Buffer),
    View(BinaryViewArray),
}

struct Chunk {
    layout: Layout,
    first: usize,
}

/// A column of strings in any number of chunks, without nulls.
pub struct Texts {
    chunks: Vec<Chunk>,
    count: usize,
}

impl Texts {
    /// View `chunks`.
    ///
    /// # Errors
    /// A column that does not hold strings; nulls.
    pub fn try_new(chunks: &[ArrayRef]) -> Result<Self> {
        let mut found = Vec::with_capacity(chunks.len());
        let mut count = 0;
        for array in chunks {
            let layout = match array.data_type() {
                DataType::Utf8 => {
                    let strings = array.as_string::<i32>();
                    Layout::Utf8(strings.offsets().clone(), strings.values().clone())
                }
                DataType::LargeUtf8 => {
                    let strings = array.as_string::<i64>();
                    Layout::LargeUtf8(strings.offsets().clone(), strings.values().clone())
                }
                DataType::Utf8View => Layout::View(array.as_string_view().clone().to_binary_view()),
                other => return Err(Error::NotStrings(other.clone())),
            };
            if let Some(nulls) = array.nulls()
                && let Some(row) = (0..nulls.len()).find(|&row| nulls.is_null(row))
            {
                return Err(Error::NullRow { row: count + row });
            }
            found.push(Chunk { layout, first: count });
            count += array.len();
        }
        Ok(Self { chunks: found, count })
    }

    /// How many texts there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Is there no text?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The bytes of text number `row`, which is there. They are not known to be UTF-8.
    ///
    /// # Errors
    /// Damaged offsets.
    pub fn bytes(&self, row: usize) -> Result<&[u8]> {
        let number = match self.chunks.len() {
            1 => 0,
            _ => self.chunks.partition_point(|chunk| chunk.first <= row) - 1,
        };
        let chunk = &self.chunks[number];
        let at = row - chunk.first;
        let bytes = match &chunk.layout {
            Layout::Utf8(offsets, values) => between(values, offsets[at], offsets[at + 1]),
            Layout::LargeUtf8(offsets, values) => between(values, offsets[at], offsets[at + 1]),
            Layout::View(views) => Some(views.value(at)),
        };
        bytes.ok_or(Error::BadOffsets { row })
    }
}

fn between<O: TryInto<usize>>(values: &Buffer, start: O, end: O) -> Option<&[u8]> {
    values.get(start.try_into().ok()?..end.try_into().ok()?)
}
