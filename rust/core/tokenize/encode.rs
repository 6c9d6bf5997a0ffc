//! Encoding texts in parallel: for each stretch, find the units, then look them up in the memo.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use fearless_simd::{Level, Simd, dispatch};

use super::added::{Added, Split};
use super::family::Family;
use super::memo::{Known, Memo, Width};
use super::output::{Encoded, Ids, Part, Pending, StoredId};
use super::simd;
use super::stretches::{Cuts, STRETCH};
use super::tasks::{TextPosition, task_size, tasks};
use super::texts::Texts;
use super::unit::Stretch;
use super::worker::{BATCH, Buffers, Worker};
use crate::{Error, Result, parallel};

/// Minimum number of bytes that makes starting a thread worthwhile.
const GRAIN: usize = 1 << 17;
/// What is stored of long words is prefetched if at least one of so many words is long.
const FEW_LONG: usize = 8;
/// Minimum bytes of text per id, in most texts.
const BYTES_PER_ID: usize = 3;

/// A family's tables, and a memo of encoded words.
pub struct Encoder<F: Family> {
    family: F,
    added: Added,
    level: Level,
    /// One for each width of ids, made when ids of that width are first asked for.
    memos: [OnceLock<Memo>; 2],
    idle: Mutex<Vec<Buffers<F::Scratch>>>,
}

/// Ids around every text, such as those of `<s>` and `</s>`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Around<'a> {
    /// Inserted before the ids of each text.
    pub before: &'a [u32],
    /// Inserted after them.
    pub after: &'a [u32],
}

impl<F: Family> Encoder<F> {
    /// Encode with `family` the text between `added` tokens.
    #[must_use]
    pub fn new(family: F, added: Added) -> Self {
        let (memos, idle) = Default::default();
        Self { family, added, level: simd::level(), memos, idle }
    }

    /// Encode `texts`, except for the stretches that the library must encode. The result depends
    /// neither on `threads` nor on earlier calls.
    ///
    /// # Errors
    /// Texts that are not UTF-8, damaged offsets.
    pub fn encode<T: StoredId>(
        &self,
        texts: &Texts,
        around: Around<'_>,
        threads: Option<usize>,
    ) -> Result<Encoded<T>> {
        let bytes = texts.size()?;
        let threads = parallel::thread_count(threads, bytes, GRAIN);
        let size = task_size(bytes, threads);
        let places = tasks(texts, size, |bytes, at| self.cut_after(bytes, at))?;
        let count = places.len() - 1;
        let threads = threads.min(count.max(1));
        let capacity = bytes.min(size) / BYTES_PER_ID + BATCH * T::LANES;
        let memo = self.memo::<T>();
        let next = AtomicUsize::new(0);
        let results = parallel::run((0..threads).collect(), threads, |_| {
            let buffers = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut worker = Worker { memo: memo.view(), buffers: buffers.unwrap_or_default() };
            let mut parts = Vec::new();
            loop {
                let task = next.fetch_add(1, Ordering::Relaxed);
                if task >= count {
                    break;
                }
                let span = (places[task], places[task + 1]);
                let part =
                    self.part(texts, span, around, &mut worker, Ids::with_capacity(capacity));
                parts.push((task, part));
            }
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(worker.buffers);
            parts
        });
        let mut parts: Vec<_> = results.into_iter().flatten().collect();
        parts.sort_unstable_by_key(|&(task, _)| task);
        let parts = parts.into_iter().map(|(_, part)| part).collect::<Result<_>>()?;
        Ok(Encoded { texts: texts.len(), parts, threads })
    }

    fn cut_after(&self, text: &[u8], at: usize) -> usize {
        let line_breaks = self.family.cuts_at_line_breaks();
        self.family.cut_after(text, at, Cuts { line_breaks, bars: &self.added.bars })
    }

    fn memo<T: StoredId>(&self) -> &Memo {
        self.memos[usize::from(T::WIDTH == Width::Wide)].get_or_init(|| {
            let memo = Memo::new(T::WIDTH);
            self.family.prefill(&mut memo.view());
            memo
        })
    }

    /// Encode from one place to another.
    fn part<T: StoredId>(
        &self,
        texts: &Texts,
        (from, to): (TextPosition, TextPosition),
        around: Around<'_>,
        worker: &mut Worker<'_, F::Scratch>,
        mut ids: Ids<T>,
    ) -> Result<Part<T>> {
        let (mut counts, mut pending) = (Vec::new(), Vec::new());
        let longest = self.family.longest_stretch();
        for row in from.row..=to.row {
            let first = if row == from.row { from.byte } else { 0 };
            if row == to.row && to.byte == 0 {
                break;
            }
            let bytes = texts.bytes(row)?;
            let last = if row == to.row { to.byte } else { bytes.len() };
            let before = ids.len();
            if first == 0 {
                ids.append(around.before);
            }
            let mut start = first;
            while start < last {
                let end = self.cut_after(&bytes[..last], start + STRETCH);
                let text = simdutf8::basic::from_utf8(&bytes[start..end])
                    .map_err(|_| Error::NotUtf8 { row })?;
                let at = ids.len();
                let (begins, ends) = (start == 0, end == bytes.len());
                let stretch = Stretch {
                    text,
                    begins_document: begins,
                    begins_piece: begins,
                    ends_piece: ends,
                };
                let known = text.len() <= longest
                    && dispatch!(self.level, simd => self.stretch(simd, stretch, worker, &mut ids));
                if !known {
                    ids.truncate(at);
                    let prepended = start > 0 && self.family.library_prepends();
                    pending.push(Pending { row, start: start + usize::from(prepended), end, at });
                }
                start = end;
            }
            if last == bytes.len() {
                ids.append(around.after);
            }
            counts.push(ids.len() - before);
        }
        Ok(Part { first: from.row, ids: ids.into_vec(), counts, pending })
    }

    /// Append the ids of a stretch. False if the library must encode it; `ids` may then hold some of
    /// them.
    #[inline(always)]
    fn stretch<S: Simd, T: StoredId>(
        &self,
        simd: S,
        stretch: Stretch<'_>,
        worker: &mut Worker<'_, F::Scratch>,
        ids: &mut Ids<T>,
    ) -> bool {
        if self.added.raw.is_in(stretch.text) {
            return self.split(stretch, worker, ids);
        }
        if self.has_late(stretch, worker) {
            return self.split_normalized(stretch, worker, ids);
        }
        self.piece(simd, stretch, worker, ids)
    }

    /// The same for a stretch with added tokens.
    #[cold]
    fn split<T: StoredId>(
        &self,
        stretch: Stretch<'_>,
        worker: &mut Worker<'_, F::Scratch>,
        ids: &mut Ids<T>,
    ) -> bool {
        let mut splits = std::mem::take(&mut worker.buffers.splits[0]);
        let known = self.added.raw.split(stretch.text, &mut splits)
            && splits.iter().all(|&split| match split {
                Split::Token(id) => ids.append_one(id),
                Split::Text { start, end } => {
                    let piece = stretch.between(start, end);
                    if self.has_late(piece, worker) {
                        self.split_normalized(piece, worker, ids)
                    } else {
                        dispatch!(self.level, simd => self.piece(simd, piece, worker, ids))
                    }
                }
            });
        worker.buffers.splits[0] = splits;
        known
    }

    /// The same for a stretch whose normalized text has added tokens.
    #[cold]
    fn split_normalized<T: StoredId>(
        &self,
        stretch: Stretch<'_>,
        worker: &mut Worker<'_, F::Scratch>,
        ids: &mut Ids<T>,
    ) -> bool {
        let mut buffer = std::mem::take(&mut worker.buffers.normalized);
        let mut splits = std::mem::take(&mut worker.buffers.splits[1]);
        let text = self.family.normalized(stretch.text, &mut buffer);
        let normalized = Stretch { text, ..stretch };
        let known = self.family.is_settled(stretch.text, text)
            && self.added.late.split(text, &mut splits)
            && splits.iter().all(|&split| match split {
                Split::Token(id) => ids.append_one(id),
                Split::Text { start, end } => {
                    let piece = normalized.between(start, end);
                    dispatch!(self.level, simd => self.words(simd, piece, worker, ids))
                }
            });
        worker.buffers.splits[1] = splits;
        worker.buffers.normalized = buffer;
        known
    }

    /// Whether normalization shows one of the added tokens in a stretch, unless units show it.
    #[inline]
    fn has_late(&self, stretch: Stretch<'_>, worker: &mut Worker<'_, F::Scratch>) -> bool {
        let Added { late, late_in_units, .. } = &self.added;
        !late.is_empty()
            && !late_in_units
            && late.is_in(self.family.normalized(stretch.text, &mut worker.buffers.normalized))
    }

    /// Whether normalization shows one of the added tokens in a unit.
    #[inline]
    fn unit_has_late(&self, unit: &[u8], buffer: &mut String) -> bool {
        let Added { late, late_in_units, .. } = &self.added;
        *late_in_units
            && !late.is_empty()
            && std::str::from_utf8(unit)
                .is_ok_and(|unit| late.is_in(self.family.normalized(unit, buffer)))
    }

    /// The same for a stretch without added tokens.
    #[inline(always)]
    fn piece<S: Simd, T: StoredId>(
        &self,
        simd: S,
        stretch: Stretch<'_>,
        worker: &mut Worker<'_, F::Scratch>,
        ids: &mut Ids<T>,
    ) -> bool {
        let before = ids.len();
        self.words(simd, stretch, worker, ids) || {
            ids.truncate(before);
            self.together(stretch, worker, ids)
        }
    }

    /// The same as a whole, where that is possible.
    #[cold]
    fn together<T: StoredId>(
        &self,
        stretch: Stretch<'_>,
        worker: &mut Worker<'_, F::Scratch>,
        ids: &mut Ids<T>,
    ) -> bool {
        let Buffers { scratch, unit_ids, .. } = &mut worker.buffers;
        unit_ids.clear();
        // Late tokens may be what is in the way.
        let known =
            self.added.late.is_empty() && self.family.encode_stretch(stretch, scratch, unit_ids);
        if known {
            ids.append(unit_ids);
        }
        known
    }

    /// The same, unit by unit.
    #[inline(always)]
    fn words<S: Simd, T: StoredId>(
        &self,
        simd: S,
        stretch: Stretch<'_>,
        worker: &mut Worker<'_, F::Scratch>,
        ids: &mut Ids<T>,
    ) -> bool {
        let Worker { memo, buffers } = worker;
        let Buffers { scratch, units, buffer, normalized, probes, unit_ids, .. } = buffers;
        if let Some(known) = self.family.write(stretch, buffer, ids) {
            return known;
        }
        let Some(text) = self.family.scan(simd, stretch, buffer, units) else { return false };
        memo.refresh();
        let mut batches = units.chunks(BATCH);
        let mut next = batches.next().unwrap_or_default();
        let [mut now_probes, mut next_probes] = probes.each_mut();
        let mut long = memo.prepare(text, next, next_probes);
        while !next.is_empty() {
            let batch = next;
            next = batches.next().unwrap_or_default();
            std::mem::swap(&mut now_probes, &mut next_probes);
            let many_long = long * FEW_LONG > batch.len();
            long = memo.prepare(text, next, next_probes);
            if many_long {
                memo.fetch_stored(&now_probes[..batch.len()]);
            }
            ids.reserve(batch.len() * T::LANES);
            for (unit, &probe) in batch.iter().zip(now_probes.iter()) {
                if let Some(value) = memo.few(probe, T::WIDTH) {
                    ids.append_few(value);
                    continue;
                }
                let word = &text[unit.start as usize..unit.end as usize];
                let remembered = word.len() <= F::REMEMBERED;
                let known = if remembered { memo.find(probe, word) } else { None };
                match known {
                    Some(Known::Few(value)) => ids.append_few(value),
                    Some(Known::Many(stored)) => {
                        let stored = stored.iter().map(|id| id.load(Ordering::Relaxed));
                        ids.extend(stored.len(), stored);
                    }
                    None => {
                        unit_ids.clear();
                        if self.unit_has_late(word, normalized) {
                            return false;
                        }
                        if !self.family.encode(word, memo, scratch, unit_ids) {
                            return false;
                        }
                        if remembered {
                            memo.insert_at(probe, word, unit_ids);
                        }
                        ids.append(unit_ids);
                    }
                }
                ids.reserve(BATCH * T::LANES);
            }
        }
        true
    }
}
