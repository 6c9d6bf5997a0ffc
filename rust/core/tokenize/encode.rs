//! Texts to ids, in parallel: stretch by stretch, units first, then what the memo knows of them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::added::AddedTokens;
use super::family::{Family, Stretch, Unit};
use super::memo::{Found, INLINE, Memo};
use super::output::{Encoded, Part, Pending, StoredId};
use super::stretches::{cut_after, end_of};
use super::texts::Texts;
use crate::{Error, Result, parallel};

/// Bytes of a task: what a thread takes at a time.
const TASK: usize = 1 << 20;
/// Bytes for which a thread is worth starting.
const GRAIN: usize = 1 << 17;
/// Units that are looked up at a time.
const BATCH: usize = 32;
/// Numbers of a value of the memo.
const VALUE: usize = INLINE + 1;

/// A family's tables, and what its words have been found to be.
pub struct Encoder<F: Family> {
    family: F,
    added: AddedTokens,
    prefilled: OnceLock<Memo>,
    idle: Mutex<Vec<Worker<F::Scratch>>>,
}

/// What a thread works with, kept from call to call.
struct Worker<S> {
    memo: Memo,
    scratch: S,
    units: Vec<Unit>,
    buffer: String,
    /// The ids of one stretch, and room behind them.
    ids: Vec<u32>,
    /// The ids of one unit.
    unit_ids: Vec<u32>,
}

/// Ids around every text, such as those of `<s>` and `</s>`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Around<'a> {
    /// Before the first id of the text.
    pub before: &'a [u32],
    /// After the last.
    pub after: &'a [u32],
}

/// A place in a column: byte `byte` of text `row`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    row: usize,
    byte: usize,
}

impl<F: Family> Encoder<F> {
    /// Encode with `family`; stretches that hold one of the `added` tokens are left to the library.
    #[must_use]
    pub fn new(family: F, added: AddedTokens) -> Self {
        Self { family, added, prefilled: OnceLock::new(), idle: Mutex::default() }
    }

    /// The ids of `texts`, but for the stretches that the library must encode. The result does not
    /// depend on `threads`, nor on what was encoded before.
    ///
    /// # Errors
    /// Texts that are not UTF-8, damaged offsets.
    pub fn encode<T: StoredId>(
        &self,
        texts: &Texts,
        around: Around<'_>,
        threads: Option<usize>,
    ) -> Result<Encoded<T>> {
        let (places, bytes) = tasks(texts, self.family.cuts_at_line_breaks())?;
        let count = places.len() - 1;
        let threads = parallel::thread_count(threads, bytes, GRAIN).min(count.max(1));
        let next = AtomicUsize::new(0);
        let found = parallel::run((0..threads).collect(), threads, |_| {
            let mut worker = self.worker();
            let mut parts = Vec::new();
            loop {
                let task = next.fetch_add(1, Ordering::Relaxed);
                if task >= count {
                    break;
                }
                let span = (places[task], places[task + 1]);
                let part = self.part(texts, span, around, &mut worker);
                parts.push((task, part));
            }
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(worker);
            parts
        });
        let mut parts: Vec<_> = found.into_iter().flatten().collect();
        parts.sort_unstable_by_key(|&(task, _)| task);
        let parts = parts.into_iter().map(|(_, part)| part).collect::<Result<_>>()?;
        Ok(Encoded { texts: texts.len(), parts })
    }

    fn worker(&self) -> Worker<F::Scratch> {
        if let Some(worker) = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            return worker;
        }
        let memo = self.prefilled.get_or_init(|| {
            let mut memo = Memo::default();
            self.family.prefill(&mut memo);
            memo
        });
        Worker {
            memo: memo.clone(),
            scratch: F::Scratch::default(),
            units: Vec::new(),
            buffer: String::new(),
            ids: Vec::new(),
            unit_ids: Vec::new(),
        }
    }

    /// Encode from one place to another.
    fn part<T: StoredId>(
        &self,
        texts: &Texts,
        (from, to): (Place, Place),
        around: Around<'_>,
        worker: &mut Worker<F::Scratch>,
    ) -> Result<Part<T>> {
        let mut part =
            Part { first: from.row, ids: Vec::new(), counts: Vec::new(), pending: Vec::new() };
        for row in from.row..=to.row {
            let first = if row == from.row { from.byte } else { 0 };
            if row == to.row && to.byte == 0 {
                break;
            }
            let bytes = texts.bytes(row)?;
            let last = if row == to.row { to.byte } else { bytes.len() };
            let before = part.ids.len();
            if first == 0 {
                part.ids.extend(around.before.iter().map(|&id| T::from_id(id)));
            }
            let mut start = first;
            while start < last {
                let end = end_of(&bytes[..last], start, self.family.cuts_at_line_breaks());
                let text =
                    std::str::from_utf8(&bytes[start..end]).map_err(|_| Error::NotUtf8 { row })?;
                let stretch = Stretch { text, begins_document: start == 0 };
                match self.stretch(stretch, worker) {
                    Some(count) => {
                        part.ids.extend(worker.ids[..count].iter().map(|&id| T::from_id(id)));
                    }
                    None => part.pending.push(Pending { row, start, end, at: part.ids.len() }),
                }
                start = end;
            }
            if last == bytes.len() {
                part.ids.extend(around.after.iter().map(|&id| T::from_id(id)));
            }
            part.counts.push(part.ids.len() - before);
        }
        Ok(part)
    }

    /// Encode a stretch into the worker's ids; returns how many they are, or nothing where the
    /// library must do it.
    fn stretch(&self, stretch: Stretch<'_>, worker: &mut Worker<F::Scratch>) -> Option<usize> {
        let Worker { memo, scratch, units, buffer, ids, unit_ids } = worker;
        if self.added.is_in(stretch.text) {
            return None;
        }
        units.clear();
        let text = self.family.scan(stretch, buffer, units)?;
        let room = (units.len() + 1) * VALUE;
        if ids.len() < room {
            ids.resize(room, 0);
        }
        let mut count = 0;
        let mut found = [Found::default(); BATCH];
        // At the top of the loops there is room for a value of the memo for all units left.
        for batch in units.chunks(BATCH) {
            memo.find(text, batch, &mut found);
            for (at, unit) in batch.iter().enumerate() {
                if let Some(value) = memo.few(found[at]) {
                    ids[count..count + VALUE].copy_from_slice(&value);
                    count += value[INLINE] as usize;
                    continue;
                }
                let word = &text[unit.start as usize..unit.end as usize];
                let remembered = word.len() <= F::REMEMBERED;
                if let Some(known) = memo.get(word).filter(|_| remembered) {
                    append(ids, &mut count, known, room);
                    continue;
                }
                unit_ids.clear();
                if !self.family.encode(word, memo, scratch, unit_ids) {
                    return None;
                }
                if remembered && memo.insert(word, unit_ids) {
                    memo.find(text, batch, &mut found);
                }
                append(ids, &mut count, unit_ids, room);
            }
        }
        Some(count)
    }
}

/// Write `more` at `count`, and leave `room` behind.
fn append(ids: &mut Vec<u32>, count: &mut usize, more: &[u32], room: usize) {
    let after = *count + more.len();
    if ids.len() < after + room {
        ids.resize(after + room, 0);
    }
    ids[*count..after].copy_from_slice(more);
    *count = after;
}

/// The places between tasks, the beginning and the end among them, and how many bytes there are.
fn tasks(texts: &Texts, line_breaks: bool) -> Result<(Vec<Place>, usize)> {
    let mut places = vec![Place { row: 0, byte: 0 }];
    let (mut all, mut filled) = (0, 0);
    for row in 0..texts.len() {
        let bytes = texts.bytes(row)?;
        let mut from = 0;
        while filled + (bytes.len() - from) >= TASK {
            let byte = cut_after(bytes, from + (TASK - filled), line_breaks);
            if byte >= bytes.len() {
                break;
            }
            places.push(Place { row, byte });
            (from, filled) = (byte, 0);
        }
        filled += bytes.len() - from;
        if filled >= TASK {
            places.push(Place { row: row + 1, byte: 0 });
            filled = 0;
        }
        all += bytes.len();
    }
    let end = Place { row: texts.len(), byte: 0 };
    if places.last() != Some(&end) {
        places.push(end);
    }
    Ok((places, all))
}
