//! Packing documents into rows that are new in every epoch, from their lengths alone.
//!
//! Best-fit decreasing is done once, on how many documents there are of each length: it gives the
//! *pattern* of every row, the lengths that share it. In each epoch a keyed permutation puts the
//! documents of a length into the places of that length. So the number of rows never changes, a row
//! is found without looking at the others, and memory holds four bytes a document.

use crate::permutation::Permutation;
use crate::rng::{Key, Purpose};
use crate::{Error, Result};

/// A length, and how many documents of it share each row of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Item {
    length: usize,
    count: usize,
}

/// Consecutive rows that are filled by documents of the same lengths.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    items: Vec<Item>,
    /// Number of rows.
    rows: usize,
}

/// A pattern in its final place.
#[derive(Debug, Clone)]
struct PlacedPattern {
    /// For each item the number of places of its length in the rows before.
    items: Vec<(Item, usize)>,
    first_row: usize,
}

/// The documents of one length.
#[derive(Debug, Clone, Copy)]
struct Class {
    /// Where they begin in `documents`.
    first: usize,
    count: usize,
}

/// Which documents share a row.
#[derive(Debug, Clone)]
pub struct RowPacking {
    /// The documents' numbers, by length.
    documents: Vec<u32>,
    /// For each length from 0 on.
    classes: Vec<Class>,
    patterns: Vec<PlacedPattern>,
    rows: usize,
}

impl RowPacking {
    /// Pack documents of `lengths` into rows of `capacity` tokens. One without tokens takes the
    /// place of one token, since each must have a row.
    ///
    /// # Errors
    /// A document longer than a row, a negative length, or more than 2^32 - 1 documents.
    pub fn new(lengths: &[i32], capacity: usize) -> Result<Self> {
        if u32::try_from(lengths.len()).is_err() {
            return Err(Error::TooLarge);
        }
        let mut counts = vec![0_usize; capacity + 1];
        for (document, &length) in lengths.iter().enumerate() {
            let room =
                usize::try_from(length).ok().and_then(|length| counts.get_mut(length.max(1)));
            *room.ok_or(Error::DocumentLength { document, length, capacity })? += 1;
        }
        let mut classes = Vec::with_capacity(counts.len());
        let mut first = 0;
        for &count in &counts {
            classes.push(Class { first, count });
            first += count;
        }
        let mut next: Vec<usize> = classes.iter().map(|class| class.first).collect();
        let mut documents = vec![0_u32; lengths.len()];
        for (document, &length) in (0..).zip(lengths) {
            let slot = &mut next[usize::try_from(length).unwrap_or(0).max(1)];
            documents[*slot] = document;
            *slot += 1;
        }
        let (patterns, rows) = place(best_fit(&counts, capacity));
        Ok(Self { documents, classes, patterns, rows })
    }

    /// Number of rows, in every epoch.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of documents.
    #[must_use]
    pub fn documents(&self) -> usize {
        self.documents.len()
    }

    /// The documents of `rows` in an epoch, row by row and in a row from the longest to the shortest,
    /// and where those of each row end.
    ///
    /// # Errors
    /// There is no such row.
    pub fn documents_of(
        &self,
        rows: &[u64],
        (seed, epoch): (u64, u64),
    ) -> Result<(Vec<u64>, Vec<i64>)> {
        let mut documents = Vec::new();
        let mut ends = Vec::with_capacity(rows.len());
        for &row in rows {
            let at = usize::try_from(row).ok().filter(|&at| at < self.rows);
            let at = at.ok_or(Error::NoSuchBlock { block: row, blocks: self.rows as u64 })?;
            let number = self.patterns.partition_point(|pattern| pattern.first_row <= at) - 1;
            let pattern = &self.patterns[number];
            for &(Item { length, count }, before) in &pattern.items {
                let class = self.classes[length];
                let key = Key::new(seed, epoch, length as u64, Purpose::Packing);
                let order = Permutation::with_key(class.count as u64, key);
                let first = before + (at - pattern.first_row) * count;
                for place in first..first + count {
                    // Each place of a length has a document: there are as many of both.
                    let chosen = order.and_then(|order| order.at(place as u64)).unwrap_or(0);
                    #[allow(clippy::cast_possible_truncation)] // below the class's count
                    let chosen = class.first + chosen as usize;
                    documents.push(self.documents[chosen].into());
                }
            }
            ends.push(i64::try_from(documents.len()).map_err(|_| Error::TooLarge)?);
        }
        Ok((documents, ends))
    }
}

/// Best-fit decreasing on `counts[l]` documents of each length `l`, for all documents of a length
/// and all rows of a pattern at once.
///
/// A document goes into the row with the least space that fits it. The row then has less space than
/// before, so that further documents of the length go into it for as long as they fit.
fn best_fit(counts: &[usize], capacity: usize) -> Vec<Pattern> {
    // The patterns whose rows have so much space left; the last one is filled first.
    let mut open: Vec<Vec<Pattern>> = vec![Vec::new(); capacity + 1];
    for (length, &count) in counts.iter().enumerate().rev().filter(|&(length, _)| length > 0) {
        let mut left = count;
        while left > 0 {
            let space = (length..=capacity).find(|&space| !open[space].is_empty());
            let found = space.and_then(|space| Some((space, open[space].pop()?)));
            // An empty row, for as many as are left.
            let new = || (capacity, Pattern { items: Vec::new(), rows: left });
            let is_new = found.is_none();
            let (space, mut pattern) = found.unwrap_or_else(new);
            let each = (space / length).min(left);
            let rows = pattern.rows.min(left / each);
            let filled = Pattern {
                items: [pattern.items.as_slice(), &[Item { length, count: each }]].concat(),
                rows,
            };
            left -= rows * each;
            pattern.rows -= rows;
            if pattern.rows > 0 && !is_new {
                open[space].push(pattern);
            }
            open[space - each * length].push(filled);
        }
    }
    open.into_iter().flatten().collect()
}

fn place(patterns: Vec<Pattern>) -> (Vec<PlacedPattern>, usize) {
    let mut placed = Vec::with_capacity(patterns.len());
    let mut used = rustc_hash::FxHashMap::default();
    let mut rows = 0;
    for pattern in patterns {
        let items = pattern.items.into_iter().map(|item| {
            let before = used.entry(item.length).or_insert(0_usize);
            let place = (item, *before);
            *before += item.count * pattern.rows;
            place
        });
        placed.push(PlacedPattern { items: items.collect(), first_row: rows });
        rows += pattern.rows;
    }
    (placed, rows)
}
