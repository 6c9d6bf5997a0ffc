//! One view of every Arrow string layout.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_buffer::{Buffer, OffsetBuffer};
use arrow_schema::DataType;

use crate::{Error, Result};

/// Bytes of a view, and of the text that it holds itself.
const VIEW: usize = 16;
const INLINE: usize = 12;

enum Layout {
    Utf8(OffsetBuffer<i32>, Buffer),
    LargeUtf8(OffsetBuffer<i64>, Buffer),
    /// The views, 16 bytes each, and what they point into.
    View(Buffer, Vec<Buffer>),
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
                DataType::Utf8View => {
                    let strings = array.as_string_view();
                    let buffers = strings.data_buffers().to_vec();
                    Layout::View(strings.views().inner().clone(), buffers)
                }
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
    /// Damaged offsets or views.
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
            Layout::View(views, buffers) => viewed(views, buffers, at),
        };
        bytes.ok_or(Error::BadOffsets { row })
    }
}

fn between<O: TryInto<usize>>(values: &Buffer, start: O, end: O) -> Option<&[u8]> {
    values.get(start.try_into().ok()?..end.try_into().ok()?)
}

/// View number `at`: a length, then the text itself, or its first four bytes, the number of its
/// buffer and where it begins there. Arrow's own accessors trust these numbers.
fn viewed<'a>(views: &'a Buffer, buffers: &'a [Buffer], at: usize) -> Option<&'a [u8]> {
    let view = views.get(at.checked_mul(VIEW)?..)?.first_chunk::<VIEW>()?;
    let number = |from: usize| {
        let bytes = view.get(from..)?.first_chunk()?;
        usize::try_from(u32::from_ne_bytes(*bytes)).ok()
    };
    let length = number(0)?;
    if length <= INLINE {
        return view.get(VIEW - INLINE..)?.get(..length);
    }
    let (buffer, start) = (number(8)?, number(12)?);
    buffers.get(buffer)?.get(start..start.checked_add(length)?)
}
