//! A view of Arrow strings of any layout.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_buffer::{Buffer, OffsetBuffer};
use arrow_schema::DataType;

use crate::{Error, Result};

/// Bytes of a view, and maximum bytes of the text that it holds inline.
const VIEW: usize = 16;
const INLINE: usize = 12;

enum Layout {
    Utf8(OffsetBuffer<i32>, Buffer),
    LargeUtf8(OffsetBuffer<i64>, Buffer),
    /// The views, 16 bytes each, and the buffers that they refer to.
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
    /// The column does not hold strings, or has nulls.
    pub fn try_new(chunks: &[ArrayRef]) -> Result<Self> {
        let mut views = Vec::with_capacity(chunks.len());
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
            views.push(Chunk { layout, first: count });
            count += array.len();
        }
        Ok(Self { chunks: views, count })
    }

    /// Number of texts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is no text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of all texts.
    ///
    /// # Errors
    /// Offsets or views are damaged.
    pub fn size(&self) -> Result<usize> {
        (0..self.count).try_fold(0, |size, row| Ok(size + self.bytes(row)?.len()))
    }

    /// The bytes of text `row`, which must exist. They may be invalid UTF-8.
    ///
    /// # Errors
    /// Offsets or views are damaged.
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

/// The text of view `at`: a length, followed by the text itself, or by its first four bytes, the
/// index of its buffer and its offset there. Arrow's own accessors do not check these numbers.
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
