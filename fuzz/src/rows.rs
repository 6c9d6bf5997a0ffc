//! Columns of texts in every layout, good and damaged.

use std::sync::Arc;

use arrow_array::{ArrayRef, LargeStringArray, StringArray, StringViewArray};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use mlmfast_core::tokenize::texts::Texts;

/// Rows as one column of `LargeUtf8`, whatever their bytes are.
///
/// # Errors
/// Those of the core.
pub fn large(rows: &[&[u8]]) -> mlmfast_core::Result<Texts> {
    let ends = rows.iter().scan(0, |end, row| {
        *end += i64::try_from(row.len()).unwrap_or(0);
        Some(*end)
    });
    let offsets = std::iter::once(0).chain(ends).collect();
    Texts::try_new(&[damaged(offsets, &rows.concat())])
}

/// A column with offsets and bytes that nobody looked at, as they come from another library.
#[must_use]
pub fn damaged(offsets: Vec<i64>, bytes: &[u8]) -> ArrayRef {
    // SAFETY: the core reads offsets and bytes as what they are, through checked slices alone.
    #[allow(unsafe_code)]
    let array = unsafe {
        let offsets = OffsetBuffer::new_unchecked(ScalarBuffer::from(offsets));
        LargeStringArray::new_unchecked(offsets, Buffer::from(bytes), None)
    };
    Arc::new(array)
}

/// The same with views.
#[must_use]
pub fn damaged_views(views: Vec<u128>, bytes: &[u8]) -> ArrayRef {
    // SAFETY: as above.
    #[allow(unsafe_code)]
    let array = unsafe {
        let buffers = vec![Buffer::from(bytes)];
        StringViewArray::new_unchecked(ScalarBuffer::from(views), buffers, None)
    };
    Arc::new(array)
}

/// Good rows in all layouts, in chunks and slices.
///
/// # Errors
/// Those of the core.
pub fn layouts(rows: &[&str]) -> mlmfast_core::Result<[Texts; 3]> {
    let (left, right) = rows.split_at(rows.len() / 2);
    let more: Vec<&str> = [&["left out"], left, &["left out, too"]].concat();
    let sliced: ArrayRef = Arc::new(StringArray::from(more));
    let sliced = sliced.slice(1, left.len());
    let narrow: ArrayRef = Arc::new(StringArray::from(right.to_vec()));
    let view = |rows: &[&str]| -> ArrayRef { Arc::new(StringViewArray::from(rows.to_vec())) };
    let all: ArrayRef = Arc::new(LargeStringArray::from(rows.to_vec()));
    let one_by_one: Vec<_> = (0..rows.len()).map(|row| all.slice(row, 1)).collect();
    Ok([
        Texts::try_new(&[sliced, narrow])?,
        Texts::try_new(&[view(left), view(&[]), view(right)])?,
        Texts::try_new(&one_by_one)?,
    ])
}
