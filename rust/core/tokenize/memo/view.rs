//! A memo as one thread sees it: looking words up, and adding them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::key::Probe;
use super::table::Table;
use super::value::{self, Packed, Width};
use super::{Memo, fetch};
use crate::tokenize::unit::Unit;

/// Bytes of a word in one number of the arena.
const PER_NUMBER: usize = 4;

/// A memo as one thread sees it.
pub struct View<'m> {
    pub(super) memo: &'m Memo,
    pub(super) table: Arc<Table>,
    pub(super) generation: usize,
}

/// The ids of a word that is in a memo.
#[derive(Debug, Clone, Copy)]
pub enum Known<'m> {
    /// In a slot.
    Few(Packed),
    /// In the arena.
    Many(&'m [AtomicU32]),
}

impl<'m> View<'m> {
    /// Notice what other threads have replaced.
    #[inline(always)]
    pub fn refresh(&mut self) {
        if self.memo.generation.load(Ordering::Relaxed) != self.generation {
            self.replace();
        }
    }

    #[cold]
    fn replace(&mut self) {
        *self = self.memo.view();
    }

    /// Prepare to look up the next units of `text`, in a separate pass, so that the slots of many words
    /// are prefetched at the same time. Return how many of the words are long.
    #[inline(always)]
    pub fn prepare(&self, text: &[u8], units: &[Unit], probes: &mut [Probe]) -> usize {
        let mut long = 0;
        for (probe, unit) in probes.iter_mut().zip(units) {
            *probe = Probe::new(text, unit.start as usize, unit.end as usize);
            self.table.fetch(*probe);
            long += usize::from(probe.is_long());
        }
        long
    }

    /// Prefetch what is stored of long words, whose slots have been prefetched.
    #[inline(always)]
    pub fn fetch_stored(&self, probes: &[Probe]) {
        for &probe in probes {
            if let Some(value) = self.table.first(probe)
                && self.memo.width.is_elsewhere(value)
            {
                let stored = self.memo.arena.from(value::place(value).0);
                for line in stored.iter().step_by(64 / PER_NUMBER).take(2) {
                    fetch(line);
                }
            }
        }
    }

    /// The value of a short word with few ids, if it is in its first line. `width` is the memo's.
    #[inline(always)]
    #[must_use]
    pub fn few(&self, probe: Probe, width: Width) -> Option<Packed> {
        self.table.first(probe).filter(|&value| !width.is_elsewhere(value))
    }

    /// Append the ids of a word; false if it is not in the memo.
    pub fn append(&self, word: &[u8], ids: &mut Vec<u32>) -> bool {
        let width = self.memo.width;
        match self.find(Probe::new(word, 0, word.len()), word) {
            None => return false,
            Some(Known::Few(value)) => {
                ids.extend((0..width.count(value)).map(|at| width.lane(value, at)));
            }
            Some(Known::Many(stored)) => {
                ids.extend(stored.iter().map(|id| id.load(Ordering::Relaxed)));
            }
        }
        true
    }

    /// The ids of a word, by its probe.
    #[must_use]
    pub fn find(&self, probe: Probe, word: &[u8]) -> Option<Known<'m>> {
        let value = self.table.get(probe)?;
        if !self.memo.width.is_elsewhere(value) {
            return Some(Known::Few(value));
        }
        let (place, count) = value::place(value);
        let stored = self.memo.arena.from(place);
        let ids = if probe.is_long() { after_word(stored, word)? } else { stored };
        ids.get(..count).map(Known::Many)
    }

    /// Store the ids of a word that is not empty, if there is space.
    pub fn insert(&mut self, word: &[u8], ids: &[u32]) {
        self.insert_at(Probe::new(word, 0, word.len()), word, ids);
    }

    /// The same, by the word's probe.
    pub fn insert_at(&mut self, probe: Probe, word: &[u8], ids: &[u32]) {
        if self.table.is_full() {
            self.memo.grow(&self.table);
            self.refresh();
            if self.table.is_full() {
                return;
            }
        }
        let word = if probe.is_long() { word } else { &[] };
        let inline = if word.is_empty() { self.memo.width.pack(ids) } else { None };
        if let Some(value) = inline.or_else(|| self.store(word, ids)) {
            self.table.add(probe, value);
        }
    }

    /// Put a word and its ids into the arena.
    fn store(&self, word: &[u8], ids: &[u32]) -> Option<Packed> {
        let length = word.len().div_ceil(PER_NUMBER) + ids.len();
        let numbers = numbers(word).chain(ids.iter().copied());
        let place = self.memo.arena.append(length, numbers)?;
        Some(self.memo.width.elsewhere(place, u32::try_from(ids.len()).ok()?))
    }
}

/// The bytes of a word as numbers, with zeros at its end.
fn numbers(word: &[u8]) -> impl Iterator<Item = u32> {
    word.chunks(PER_NUMBER).map(|bytes| {
        let mut whole = [0; PER_NUMBER];
        whole[..bytes.len()].copy_from_slice(bytes);
        u32::from_le_bytes(whole)
    })
}

/// What is stored after a word; `None` if the stored word, which has the same length, is another one.
#[inline]
fn after_word<'s>(stored: &'s [AtomicU32], word: &[u8]) -> Option<&'s [AtomicU32]> {
    let (stored, rest) = stored.split_at_checked(word.len().div_ceil(PER_NUMBER))?;
    let (whole, _) = word.as_chunks::<PER_NUMBER>();
    let mut other = 0;
    for (bytes, number) in whole.iter().zip(stored) {
        other |= u32::from_le_bytes(*bytes) ^ number.load(Ordering::Relaxed);
    }
    // The last bytes, shifted to where they are stored: a long word has four before its end.
    let last = word.len() % PER_NUMBER;
    if last > 0 {
        let tail = *word.last_chunk::<PER_NUMBER>()?;
        let number = stored.last()?.load(Ordering::Relaxed);
        other |= number ^ (u32::from_le_bytes(tail) >> (8 * (PER_NUMBER - last)));
    }
    (other == 0).then_some(rest)
}

#[cfg(test)]
#[allow(clippy::panic, clippy::cast_possible_truncation)]
mod tests {
    use super::super::MOST_SLOTS;
    use super::*;

    const WIDTHS: [Width; 2] = [Width::Narrow, Width::Wide];

    fn ids_of(memo: &Memo, word: &[u8]) -> Option<Vec<u32>> {
        let view = memo.view();
        let mut probes = [Probe::default()];
        let unit = Unit { start: 0, end: word.len() as u32 };
        let long = view.prepare(word, &[unit], &mut probes);
        assert_eq!(long, usize::from(word.len() > 15));
        view.fetch_stored(&probes);
        let known = found(&view, word);
        if let Some(value) = view.few(probes[0], memo.width) {
            let count = memo.width.count(value);
            let few = (0..count).map(|at| memo.width.lane(value, at)).collect();
            assert_eq!(known, Some(few));
        }
        known
    }

    fn found(view: &View<'_>, word: &[u8]) -> Option<Vec<u32>> {
        let mut ids = Vec::new();
        view.append(word, &mut ids).then_some(ids)
    }

    #[test]
    fn what_goes_in_comes_out_whatever_the_length() {
        let text = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz".as_bytes();
        for width in WIDTHS {
            let memo = Memo::new(width);
            let mut view = memo.view();
            for length in 1..40 {
                let ids: Vec<u32> = (0..length as u32 % 11).collect();
                view.insert(&text[3..3 + length], &ids);
            }
            for length in 1..40 {
                let expected: Vec<u32> = (0..length as u32 % 11).collect();
                assert_eq!(ids_of(&memo, &text[3..3 + length]), Some(expected));
            }
            assert_eq!(ids_of(&memo, b"abc"), None);
            assert_eq!(ids_of(&memo, b"def\0"), None);
            assert_eq!(ids_of(&memo, &text[4..30]), None);
        }
    }

    #[test]
    fn it_grows_and_forgets_nothing() {
        for width in WIDTHS {
            let memo = Memo::new(width);
            let mut view = memo.view();
            for number in 0..100_000_u32 {
                view.insert(number.to_string().as_bytes(), &[number % 65_536]);
                view.insert(format!("a longer word, {number}").as_bytes(), &[number]);
            }
            for number in 0..100_000_u32 {
                let known = ids_of(&memo, number.to_string().as_bytes());
                assert_eq!(known, Some(vec![number % 65_536]));
                let known = ids_of(&memo, format!("a longer word, {number}").as_bytes());
                assert_eq!(known, Some(vec![number]));
            }
        }
    }

    #[test]
    fn words_of_the_same_hash_are_told_apart() {
        let memo = Memo::new(Width::Narrow);
        let mut view = memo.view();
        let (one, other) = (b"a word of 20 bytes, 1", b"a word of 20 bytes, 2");
        let probe = Probe::new(one, 0, one.len());
        view.insert_at(probe, one, &[7]);
        assert!(view.find(probe, one).is_some());
        for end in 0..one.len() {
            let mut changed = *one;
            changed[end] ^= 1;
            assert!(view.find(probe, &changed).is_none(), "{end}");
        }
        view.insert_at(probe, other, &[8]);
        assert_eq!(found(&view, one), Some(vec![7]));
        assert!(view.find(probe, other).is_none());
    }

    #[test]
    fn zero_bytes_belong_to_the_word() {
        let memo = Memo::new(Width::Wide);
        memo.view().insert(b"a\0", &[1]);
        assert_eq!(ids_of(&memo, b"a"), None);
        assert_eq!(ids_of(&memo, b"a\0"), Some(vec![1]));
    }

    #[test]
    fn a_full_memo_takes_no_more() {
        let memo = Memo::new(Width::Wide);
        let mut view = memo.view();
        let words = u32::try_from(MOST_SLOTS / 8 * 5 + 1000).unwrap_or_default();
        for number in 0..words {
            view.insert(&number.to_le_bytes(), &[number]);
        }
        assert_eq!(ids_of(&memo, &0_u32.to_le_bytes()), Some(vec![0]));
        assert_eq!(ids_of(&memo, &(words - 1).to_le_bytes()), None);
    }

    #[test]
    fn a_thread_finds_the_words_of_another_that_has_ended() {
        let memo = Memo::new(Width::Narrow);
        let mut before = memo.view();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut view = memo.view();
                for number in 0..60_000_u32 {
                    view.insert(&number.to_le_bytes(), &[number % 7]);
                }
            });
        });
        before.refresh();
        for number in 0..60_000_u32 {
            assert_eq!(found(&before, &number.to_le_bytes()), Some(vec![number % 7]));
        }
    }

    #[test]
    fn threads_at_one_time_never_find_a_wrong_word() {
        let memo = Memo::new(Width::Narrow);
        let word = |number: u32| format!("{number} {}", "x".repeat(number as usize % 30));
        let ids =
            |number: u32| (0..number % 12).map(|at| (number + at) % 65_536).collect::<Vec<_>>();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let memo = &memo;
                scope.spawn(move || {
                    let mut view = memo.view();
                    for number in (0..60_000).map(|at| at * (thread + 1) % 60_000) {
                        view.refresh();
                        let word = word(number);
                        match found(&view, word.as_bytes()) {
                            Some(known) => assert_eq!(known, ids(number)),
                            None => view.insert(word.as_bytes(), &ids(number)),
                        }
                    }
                });
            }
        });
        // A thread that meets a table in the midst of its growth goes on without adding its words, as
        // many as it takes: they are missing, never wrong, and the next that needs them adds them.
        let mut view = memo.view();
        for number in 0..60_000 {
            let word = word(number);
            match found(&view, word.as_bytes()) {
                Some(known) => assert_eq!(known, ids(number)),
                None => view.insert(word.as_bytes(), &ids(number)),
            }
        }
        for number in 0..60_000 {
            assert_eq!(ids_of(&memo, word(number).as_bytes()), Some(ids(number)));
        }
    }
}
