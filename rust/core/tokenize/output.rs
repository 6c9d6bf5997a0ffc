//! Collecting ids: partial results per thread, gaps for the library's ids, one array at the end.

use arrow_buffer::ArrowNativeType;

use super::memo::{Packed, Width};
use crate::{Result, check_length, parallel};

/// Minimum number of ids whose copying makes starting a thread worthwhile.
const GRAIN: usize = 1 << 20;

/// The types in which ids are stored.
pub trait StoredId: ArrowNativeType + Default + Send + Sync {
    /// The width of such ids in a memo.
    const WIDTH: Width;
    /// Lanes of a memo's value.
    const LANES: usize = Self::WIDTH.inline() + 1;

    /// An id below the vocabulary's size, which fits.
    fn from_id(id: u32) -> Self;

    /// Write the lanes of a value to the front of `places`, if there is space for all of them.
    fn unpack(value: Packed, places: &mut [Self]);
}

impl StoredId for u16 {
    const WIDTH: Width = Width::Narrow;

    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)]
    fn from_id(id: u32) -> Self {
        id as Self
    }

    #[inline(always)]
    fn unpack(value: Packed, places: &mut [Self]) {
        if let Some(places) = places.first_chunk_mut::<8>() {
            *places = std::array::from_fn(|at| Self::from_id(Self::WIDTH.lane(value, at)));
        }
    }
}

impl StoredId for u32 {
    const WIDTH: Width = Width::Wide;

    #[inline(always)]
    fn from_id(id: u32) -> Self {
        id
    }

    #[inline(always)]
    fn unpack(value: Packed, places: &mut [Self]) {
        if let Some(places) = places.first_chunk_mut::<4>() {
            *places = std::array::from_fn(|at| Self::WIDTH.lane(value, at));
        }
    }
}

/// A growing list of ids with spare capacity at its end.
#[derive(Debug)]
pub struct Ids<T> {
    all: Vec<T>,
    count: usize,
}

impl<T: StoredId> Ids<T> {
    /// An empty list with capacity for `count` ids.
    #[must_use]
    pub fn with_capacity(count: usize) -> Self {
        Self { all: vec![T::default(); count], count: 0 }
    }

    /// Number of ids.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are no ids.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Reserve capacity for `more` ids.
    #[inline(always)]
    pub fn reserve(&mut self, more: usize) {
        if self.all.len() - self.count < more {
            self.grow(more);
        }
    }

    #[cold]
    fn grow(&mut self, more: usize) {
        self.all.resize(self.all.len() * 3 / 2 + more, T::default());
    }

    /// Append a slice of any length.
    pub fn append(&mut self, ids: &[u32]) {
        self.reserve(ids.len());
        for (place, &id) in self.all[self.count..].iter_mut().zip(ids) {
            *place = T::from_id(id);
        }
        self.count += ids.len();
    }

    /// Append one id.
    #[inline(always)]
    pub fn push(&mut self, id: u32) {
        self.reserve(1);
        self.all[self.count] = T::from_id(id);
        self.count += 1;
    }

    /// Append `count` ids; there must be as many.
    #[inline(always)]
    pub fn extend(&mut self, count: usize, ids: impl Iterator<Item = u32>) {
        self.reserve(count);
        for (place, id) in self.all[self.count..self.count + count].iter_mut().zip(ids) {
            *place = T::from_id(id);
        }
        self.count += count;
    }

    /// Append the ids that `table` has for `bytes`, up to the first without one (`u32::MAX`); return
    /// their number.
    #[inline]
    pub fn append_bytes(&mut self, bytes: &[u8], table: &[u32; 256]) -> usize {
        let is_missing = |&byte: &u8| table[usize::from(byte)] == u32::MAX;
        let length = bytes.iter().position(is_missing).unwrap_or(bytes.len());
        self.reserve(length);
        for (place, &byte) in self.all[self.count..].iter_mut().zip(&bytes[..length]) {
            *place = T::from_id(table[usize::from(byte)]);
        }
        self.count += length;
        length
    }

    /// Append one id; true.
    pub fn append_one(&mut self, id: u32) -> bool {
        self.append(&[id]);
        true
    }

    /// Append the ids of a value without a branch; there must be capacity for all its lanes.
    #[inline(always)]
    pub fn append_few(&mut self, value: Packed) {
        T::unpack(value, &mut self.all[self.count..]);
        self.count += T::WIDTH.count(value);
    }

    /// Drop all but the first `count`.
    pub fn truncate(&mut self, count: usize) {
        self.count = count.min(self.count);
    }

    /// The ids without spare capacity.
    #[must_use]
    pub fn into_vec(mut self) -> Vec<T> {
        self.all.truncate(self.count);
        self.all
    }
}

/// A stretch of a text that the library must encode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// Index of the text.
    pub row: usize,
    /// Its first byte in the text.
    pub start: usize,
    /// One past its last byte.
    pub end: usize,
    /// Number of ids of the part before its own.
    pub at: usize,
}

/// The result of one task: the ids of consecutive texts, of which the first and the last may be
/// partial.
#[derive(Debug, Clone)]
pub struct Part<T> {
    /// Index of the first text.
    pub first: usize,
    /// The ids, without those of pending stretches.
    pub ids: Vec<T>,
    /// Number of ids of each text in this part.
    pub counts: Vec<usize>,
    /// The pending stretches, in order.
    pub pending: Vec<Pending>,
}

impl<T: StoredId> Part<T> {
    /// Write the ids into `places`, which has exactly their number, and insert `answers`, whose
    /// numbers of ids are `lengths`.
    fn write(self, mut answers: &[u32], lengths: &[usize], mut places: &mut [T]) {
        let mut from = 0;
        for (pending, &length) in self.pending.iter().zip(lengths) {
            places = fill(places, &self.ids[from..pending.at]);
            from = pending.at;
            let (answer, rest) = answers.split_at(length);
            let narrow: Vec<T> = answer.iter().map(|&id| T::from_id(id)).collect();
            places = fill(places, &narrow);
            answers = rest;
        }
        fill(places, &self.ids[from..]);
    }
}

/// Write `ids` to the front; return the rest.
fn fill<'a, T: Copy>(places: &'a mut [T], ids: &[T]) -> &'a mut [T] {
    let (front, rest) = places.split_at_mut(ids.len());
    front.copy_from_slice(ids);
    rest
}

/// The ids of a column of texts, except pending stretches.
#[derive(Debug)]
pub struct Encoded<T> {
    /// Number of texts.
    pub texts: usize,
    /// The parts in the order of the texts.
    pub parts: Vec<Part<T>>,
    /// Maximum number of threads for joining them.
    pub threads: usize,
}

impl<T: StoredId> Encoded<T> {
    /// The stretches that the library must encode, in order.
    pub fn pending(&self) -> impl Iterator<Item = &Pending> {
        self.parts.iter().flat_map(|part| &part.pending)
    }

    /// Insert the library's ids: `answers` holds the ids of all pending stretches, and `lengths` the
    /// number of each.
    ///
    /// Returns the offsets of the texts, one more than there are texts, and the ids.
    ///
    /// # Errors
    /// The number of answers differs from that of pending stretches.
    pub fn finish(self, answers: &[u32], lengths: &[usize]) -> Result<(Vec<i64>, Vec<T>)> {
        check_length("answers", lengths.len(), self.pending().count())?;
        check_length("answered ids", answers.len(), lengths.iter().sum())?;
        let offsets = self.offsets(lengths);
        let mut parts = self.parts;
        if lengths.is_empty() && parts.len() == 1 {
            return Ok((offsets, std::mem::take(&mut parts[0].ids)));
        }
        let own: usize = parts.iter().map(|part| part.ids.len()).sum();
        let mut ids = vec![T::default(); own + answers.len()];
        let (mut answers, mut lengths, mut places) = (answers, lengths, ids.as_mut_slice());
        let mut jobs = Vec::with_capacity(parts.len());
        for part in parts {
            let (own_lengths, other_lengths) = lengths.split_at(part.pending.len());
            let (own_answers, other_answers) = answers.split_at(own_lengths.iter().sum());
            let (own_places, other_places) =
                places.split_at_mut(part.ids.len() + own_answers.len());
            jobs.push((part, own_answers, own_lengths, own_places));
            (answers, lengths, places) = (other_answers, other_lengths, other_places);
        }
        let threads = parallel::thread_count(Some(self.threads), own, GRAIN);
        parallel::run(jobs, threads, |(part, answers, lengths, places)| {
            part.write(answers, lengths, places);
        });
        Ok((offsets, ids))
    }

    fn offsets(&self, lengths: &[usize]) -> Vec<i64> {
        let mut offsets = vec![0; self.texts + 1];
        for part in &self.parts {
            for (row, &count) in (part.first..).zip(&part.counts) {
                offsets[row + 1] += as_offset(count);
            }
        }
        for (pending, &length) in self.pending().zip(lengths) {
            offsets[pending.row + 1] += as_offset(length);
        }
        let mut sum = 0;
        for offset in &mut offsets {
            sum += *offset;
            *offset = sum;
        }
        offsets
    }
}

/// A count of things in memory is at most `i64::MAX`.
fn as_offset(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
