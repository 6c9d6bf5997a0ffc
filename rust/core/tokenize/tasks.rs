//! Dividing a column of texts among threads.

use super::texts::Texts;
use crate::Result;

/// Bytes per task.
pub const TASK: usize = 1 << 20;

/// A place in a column: byte `byte` of text `row`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextPosition {
    /// The text.
    pub row: usize,
    /// Bytes of it that are before the place.
    pub byte: usize,
}

/// The boundaries of tasks, including the start and the end, and the total number of bytes.
///
/// # Errors
/// Damaged offsets.
pub fn tasks(
    texts: &Texts,
    cut_after: impl Fn(&[u8], usize) -> usize,
) -> Result<(Vec<TextPosition>, usize)> {
    let mut places = vec![TextPosition { row: 0, byte: 0 }];
    let (mut all, mut filled) = (0, 0);
    for row in 0..texts.len() {
        let bytes = texts.bytes(row)?;
        let mut from = 0;
        while filled + (bytes.len() - from) >= TASK {
            let byte = cut_after(bytes, from + (TASK - filled));
            if byte >= bytes.len() {
                break;
            }
            places.push(TextPosition { row, byte });
            (from, filled) = (byte, 0);
        }
        filled += bytes.len() - from;
        if filled >= TASK {
            places.push(TextPosition { row: row + 1, byte: 0 });
            filled = 0;
        }
        all += bytes.len();
    }
    let end = TextPosition { row: texts.len(), byte: 0 };
    if places.last() != Some(&end) {
        places.push(end);
    }
    Ok((places, all))
}
