//! Dividing a column of texts among threads.

use super::texts::Texts;
use crate::Result;

/// Minimum and maximum bytes per task, and the most if there is only one thread, whose tasks are not
/// joined if there is only one.
const LEAST: usize = 1 << 15;
const MOST: usize = 1 << 20;
const ALONE: usize = 1 << 25;
/// Tasks per thread, if they are large enough: so that all threads finish at about the same time, even if
/// other processes use their cores.
const PER_THREAD: usize = 8;

/// A place in a column: byte `byte` of text `row`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextPosition {
    /// The text.
    pub row: usize,
    /// Bytes of it that are before the place.
    pub byte: usize,
}

/// Bytes per task, if `threads` encode so many bytes.
pub fn task_size(bytes: usize, threads: usize) -> usize {
    if threads <= 1 { ALONE } else { (bytes / threads / PER_THREAD).clamp(LEAST, MOST) }
}

/// The boundaries of tasks of `size` bytes or a little more, including the start and the end.
///
/// # Errors
/// Damaged offsets.
pub fn tasks(
    texts: &Texts,
    size: usize,
    cut_after: impl Fn(&[u8], usize) -> usize,
) -> Result<Vec<TextPosition>> {
    let mut places = vec![TextPosition { row: 0, byte: 0 }];
    let mut filled = 0;
    for row in 0..texts.len() {
        let bytes = texts.bytes(row)?;
        let mut from = 0;
        while filled + (bytes.len() - from) >= size {
            let byte = cut_after(bytes, from + (size - filled));
            if byte >= bytes.len() {
                break;
            }
            places.push(TextPosition { row, byte });
            (from, filled) = (byte, 0);
        }
        filled += bytes.len() - from;
        if filled >= size {
            places.push(TextPosition { row: row + 1, byte: 0 });
            filled = 0;
        }
    }
    let end = TextPosition { row: texts.len(), byte: 0 };
    if places.last() != Some(&end) {
        places.push(end);
    }
    Ok(places)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, StringArray};

    use super::*;

    #[test]
    fn short_columns_too_are_enough_for_all_threads() {
        assert_eq!(task_size(1 << 20, 2), 1 << 16);
        assert_eq!(task_size(1 << 30, 2), MOST);
        assert_eq!(task_size(1 << 18, 4), LEAST);
        assert_eq!(task_size(1 << 20, 1), ALONE);
    }

    #[test]
    fn tasks_are_filled_by_several_texts_and_by_parts_of_one() {
        let column: ArrayRef =
            Arc::new(StringArray::from(vec!["ab", "", "cd", "a long text", "e", "fghij"]));
        let texts = Texts::try_new(&[column]).unwrap();
        assert_eq!(texts.size().unwrap(), 21);
        let places = tasks(&texts, 4, |_, at| at).unwrap();
        let places: Vec<_> = places.iter().map(|place| (place.row, place.byte)).collect();
        assert_eq!(places, [(0, 0), (3, 0), (3, 4), (3, 8), (5, 0), (5, 4), (6, 0)]);
        let whole = tasks(&texts, 1 << 20, |_, at| at).unwrap();
        assert_eq!(whole.len(), 2);
    }
}
