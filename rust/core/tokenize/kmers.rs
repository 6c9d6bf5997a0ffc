//! Overlapping k-mers of sequences, as DNABERT's tokenizers take them, without spelling them out.
//!
//! `ACGTA` is `ACG CGT GTA` in 3-mers: text that is k times as long and in which every word is the id of
//! k letters. With a table of the ids of all k-mers of an alphabet, a sequence becomes ids in one pass.

use std::sync::atomic::{AtomicUsize, Ordering};

use fearless_simd::{Simd, dispatch};

use super::encode::Around;
use super::output::{Encoded, Ids, Part, Pending, StoredId};
use super::simd;
use super::texts::Texts;
use crate::{Error, Result, parallel};

/// Bytes per task, and minimum number of bytes that makes starting a thread worthwhile.
const TASK: usize = 1 << 20;
const GRAIN: usize = 1 << 17;
/// Maximum number of k-mers in a table.
pub const MOST: usize = 1 << 20;
/// Marks a byte that is not in the alphabet.
const NONE: u8 = u8::MAX;
/// Number of k-mers at a time: their codes stay in the first-level cache.
const STEP: usize = 1 << 10;

/// The ids of all k-mers of an alphabet.
pub struct Kmers {
    k: usize,
    stride: usize,
    /// The number of each letter of the alphabet.
    symbols: [u8; 256],
    letters: usize,
    /// The ids, in the order in which the k-mers count up, the last letter first.
    ids: Vec<u32>,
}

/// The buffers of a thread.
#[derive(Default)]
struct Scratch {
    symbols: Vec<u32>,
    codes: Vec<u32>,
    joined: Vec<u32>,
}

impl Kmers {
    /// Encode the k-mers that begin at every `stride`-th letter.
    ///
    /// # Errors
    /// `ids` has another length than there are k-mers, `k` or `stride` is 0, or the alphabet repeats a
    /// letter.
    pub fn new(k: usize, stride: usize, alphabet: &[u8], ids: Vec<u32>) -> Result<Self> {
        let mut symbols = [NONE; 256];
        for (number, &letter) in (0..).zip(alphabet) {
            symbols[usize::from(letter)] = number;
        }
        let letters = symbols.iter().filter(|&&symbol| symbol != NONE).count();
        let count = u32::try_from(k).ok().and_then(|k| letters.checked_pow(k));
        let fits = count.is_some_and(|count| count <= MOST && count == ids.len());
        if k == 0 || stride == 0 || letters != alphabet.len() || !fits {
            let found = format!("{} ids of {k}-mers of {} letters", ids.len(), alphabet.len());
            return Err(Error::Pipeline { part: "table of k-mers", found });
        }
        Ok(Self { k, stride, symbols, letters, ids })
    }

    /// Encode `texts`; those with a letter outside the alphabet are left pending as a whole. The result
    /// does not depend on `threads`.
    ///
    /// # Errors
    /// Texts that are not UTF-8, damaged offsets.
    pub fn encode<T: StoredId>(
        &self,
        texts: &Texts,
        around: Around<'_>,
        threads: Option<usize>,
    ) -> Result<Encoded<T>> {
        let (mut bounds, mut filled, mut all) = (vec![0], 0, 0);
        for row in 0..texts.len() {
            filled += texts.bytes(row)?.len();
            if filled >= TASK {
                bounds.push(row + 1);
                all += std::mem::take(&mut filled);
            }
        }
        bounds.push(texts.len());
        let count = bounds.len() - 1;
        let threads = parallel::thread_count(threads, all + filled, GRAIN).min(count);
        let next = AtomicUsize::new(0);
        let results = parallel::run((0..threads).collect(), threads, |_| {
            let mut parts = Vec::new();
            loop {
                let task = next.fetch_add(1, Ordering::Relaxed);
                if task >= count {
                    return parts;
                }
                parts.push((task, self.part(texts, bounds[task], bounds[task + 1], around)));
            }
        });
        let mut parts: Vec<_> = results.into_iter().flatten().collect();
        parts.sort_unstable_by_key(|&(task, _)| task);
        let parts = parts.into_iter().map(|(_, part)| part).collect::<Result<_>>()?;
        Ok(Encoded { texts: texts.len(), parts, threads })
    }

    fn part<T: StoredId>(
        &self,
        texts: &Texts,
        first: usize,
        end: usize,
        around: Around<'_>,
    ) -> Result<Part<T>> {
        let mut ids = Ids::with_capacity(TASK / self.stride);
        let (mut counts, mut pending) = (Vec::new(), Vec::new());
        let mut scratch = Scratch::default();
        for row in first..end {
            let (text, before) = (texts.bytes(row)?, ids.len());
            ids.append(around.before);
            let at = ids.len();
            if !self.sequence(text, &mut scratch, &mut ids) {
                std::str::from_utf8(text).map_err(|_| Error::NotUtf8 { row })?;
                ids.truncate(at);
                pending.push(Pending { row, start: 0, end: text.len(), at });
            }
            ids.append(around.after);
            counts.push(ids.len() - before);
        }
        Ok(Part { first, ids: ids.into_vec(), counts, pending })
    }

    /// Append the ids of a sequence; false if a letter is not in the alphabet.
    fn sequence<T: StoredId>(&self, text: &[u8], scratch: &mut Scratch, ids: &mut Ids<T>) -> bool {
        let is_unknown = |byte: u8| self.symbols[usize::from(byte)] == NONE;
        if text.iter().fold(false, |any, &byte| any | is_unknown(byte)) {
            return false;
        }
        let count = (text.len() + 1).saturating_sub(self.k);
        let step = STEP.next_multiple_of(self.stride);
        for first in (0..count).step_by(step) {
            let end = count.min(first + step);
            let letters = &text[first..end + self.k - 1];
            dispatch!(simd::level(), simd => simd.vectorize(
                #[inline(always)]
                || self.number(letters, scratch)
            ));
            let codes = scratch.codes.iter().step_by(self.stride);
            ids.extend(
                (end - first).div_ceil(self.stride),
                codes.map(|&code| self.ids[code as usize]),
            );
        }
        true
    }

    /// Number the k-mers of at least k letters: `codes` has the place of each in the table.
    ///
    /// Each code is made of two shorter ones: 6-mers of 3-mers, 3-mers of 2-mers and letters. So none waits
    /// for the one before it, as it would if the window slid along.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)] // the table has at most `MOST` k-mers
    fn number(&self, letters: &[u8], scratch: &mut Scratch) {
        let Scratch { symbols, codes, joined } = scratch;
        symbols.clear();
        symbols.extend(letters.iter().map(|&byte| u32::from(self.symbols[usize::from(byte)])));
        codes.clone_from(symbols);
        let base = self.letters as u32;
        let mut length = 1;
        for bit in (0..self.k.ilog2()).rev() {
            join(codes, &codes[length..], base.pow(length as u32), joined);
            std::mem::swap(codes, joined);
            length *= 2;
            if self.k >> bit & 1 == 1 {
                join(codes, &symbols[length..], base, joined);
                std::mem::swap(codes, joined);
                length += 1;
            }
        }
    }
}

/// The numbers of words that consist of one of `firsts` and the one of `seconds` at the same place, of
/// which there are `factor`.
#[inline(always)]
fn join(firsts: &[u32], seconds: &[u32], factor: u32, joined: &mut Vec<u32>) {
    joined.clear();
    joined.extend(firsts.iter().zip(seconds).map(|(first, second)| first * factor + second));
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, StringArray};

    use super::*;
    use crate::rng::mix;

    #[test]
    fn they_overlap() {
        let kmers = Kmers::new(2, 1, b"ACGT", (0..16).collect()).unwrap();
        let sequences = ["ACGT", "A", "", "TT", "ACN", "GA"];
        let column: ArrayRef = Arc::new(StringArray::from_iter_values(sequences));
        let texts = Texts::try_new(&[column]).unwrap();
        let around = Around { before: &[20], after: &[21, 22] };
        let found = kmers.encode::<u16>(&texts, around, Some(2)).unwrap();
        assert_eq!(found.pending().map(|one| one.row).collect::<Vec<_>>(), [4]);
        let (offsets, ids) = found.finish(&[7, 8], &[2]).unwrap();
        assert_eq!(offsets, [0, 6, 9, 12, 16, 21, 25]);
        let expected = [
            &[20, 1, 6, 11, 21, 22][..],
            &[20, 21, 22],
            &[20, 21, 22],
            &[20, 15, 21, 22],
            &[20, 7, 8, 21, 22],
            &[20, 8, 21, 22],
        ];
        assert_eq!(ids, expected.concat());
        let second = Kmers::new(2, 2, b"ACGT", (0..16).collect()).unwrap();
        let found = second.encode::<u32>(&texts, Around::default(), None).unwrap();
        assert_eq!(found.finish(&[], &[0]).unwrap().1, [1, 11, 15, 8]);
    }

    #[test]
    fn all_lengths_and_strides_number_the_kmers_of_long_sequences() {
        const ALPHABET: &[u8; 5] = b"ACGTN";
        let letters: Vec<u8> =
            (0..3 * STEP as u64).map(|at| ALPHABET[(mix(at) % 5) as usize]).collect();
        for k in 1..=8 {
            let all = u32::try_from(ALPHABET.len().pow(k)).unwrap();
            let k = k as usize;
            for stride in [1, 2, k, STEP + 1] {
                let kmers = Kmers::new(k, stride, ALPHABET, (0..all).rev().collect()).unwrap();
                for length in [0, k - 1, k, STEP - 1, STEP + k - 1, STEP + k, letters.len()] {
                    let text = &letters[..length];
                    let digit = |byte: &u8| ALPHABET.iter().position(|each| each == byte).unwrap();
                    let code =
                        |kmer: &[u8]| kmer.iter().fold(0, |code, byte| code * 5 + digit(byte));
                    let expected: Vec<u32> = text
                        .windows(k)
                        .step_by(stride)
                        .map(|kmer| all - 1 - u32::try_from(code(kmer)).unwrap())
                        .collect();
                    let mut ids = Ids::<u32>::with_capacity(0);
                    assert!(kmers.sequence(text, &mut Scratch::default(), &mut ids));
                    assert_eq!(ids.into_vec(), expected, "{k}, {stride}, {length}");
                }
            }
        }
    }

    #[test]
    fn tables_must_be_complete() {
        for (k, stride, alphabet, count) in
            [(2, 1, "ACGT", 15), (0, 1, "A", 1), (1, 0, "A", 1), (1, 1, "AA", 2), (99, 1, "AC", 4)]
        {
            assert!(Kmers::new(k, stride, alphabet.as_bytes(), vec![0; count]).is_err());
        }
    }
}
