//! Blocks of one document each: truncated at the block's length, padded up to it.

use crate::{Error, Result};

/// How documents become blocks.
#[derive(Debug, Clone, Copy)]
pub struct Layout<'a, T> {
    /// Positions of a block, at least 1.
    pub block_size: usize,
    /// The id that fills blocks up.
    pub pad: T,
    /// The ids that a truncated document keeps at its end, at most `block_size`.
    pub end: &'a [T],
}

/// What became of the documents' ids.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Positions of the blocks that hold padding.
    pub padding: usize,
    /// Ids that were cut off.
    pub truncated: usize,
}

/// The blocks of all documents that are not empty, one after the other; document `n` has the ids from
/// `offsets[n]` to `offsets[n + 1]`.
///
/// # Errors
/// The offsets are damaged, or the layout is not possible.
pub fn pad<T: Copy>(offsets: &[i64], ids: &[T], layout: Layout<'_, T>) -> Result<(Vec<T>, Counts)> {
    let Layout { block_size, pad, end } = layout;
    if block_size == 0 {
        return Err(Error::BlockSize(block_size));
    }
    if end.len() > block_size {
        return Err(Error::Length { name: "end", found: end.len(), expected: block_size });
    }
    let documents = || offsets.windows(2).enumerate().filter(|(_, pair)| pair[0] != pair[1]);
    let mut blocks = Vec::with_capacity(documents().count() * block_size);
    let mut counts = Counts::default();
    for (row, bounds) in documents() {
        let place = |at: i64| usize::try_from(at).ok();
        let document = place(bounds[0])
            .zip(place(bounds[1]))
            .and_then(|(start, end)| ids.get(start..end))
            .ok_or(Error::BadOffsets { row })?;
        if let Some(truncated) = document.len().checked_sub(block_size).filter(|&n| n > 0) {
            blocks.extend_from_slice(&document[..block_size - end.len()]);
            blocks.extend_from_slice(end);
            counts.truncated += truncated;
        } else {
            let padding = block_size - document.len();
            blocks.extend_from_slice(document);
            blocks.resize(blocks.len() + padding, pad);
            counts.padding += padding;
        }
    }
    Ok((blocks, counts))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const LAYOUT: Layout<'_, u16> = Layout { block_size: 4, pad: 1, end: &[2] };

    #[test]
    fn documents_are_padded_or_truncated_and_empty_ones_get_no_block() {
        let ids = [90, 10, 11, 12, 20, 21, 22, 23, 30, 31, 32, 33, 34, 35];
        let offsets = [1, 4, 4, 8, 14, 14];
        let (blocks, counts) = pad(&offsets, &ids, LAYOUT).unwrap();
        assert_eq!(blocks, [10, 11, 12, 1, 20, 21, 22, 23, 30, 31, 32, 2]);
        assert_eq!(counts, Counts { padding: 1, truncated: 2 });
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let ids = [0_u16; 4];
        for (offsets, layout) in [
            (&[0, 5][..], LAYOUT),
            (&[3, 1], LAYOUT),
            (&[-1, 1], LAYOUT),
            (&[0, 4], Layout { block_size: 0, ..LAYOUT }),
            (&[0, 4], Layout { end: &[2; 5], ..LAYOUT }),
        ] {
            assert!(pad(offsets, &ids, layout).is_err(), "{offsets:?}");
        }
        assert_eq!(pad(&[], &ids, LAYOUT).unwrap(), (vec![], Counts::default()));
    }
}
