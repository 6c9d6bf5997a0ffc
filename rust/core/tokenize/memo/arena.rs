//! Numbers that many threads append and read, and that are never moved or changed.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// Numbers of a chunk, which is allocated as a whole.
const CHUNK: usize = 1 << 16;
/// Maximum number of chunks (64 MB).
const CHUNKS: usize = 1 << 8;
/// Maximum numbers of an entry, so that the end of a chunk that an entry does not fit into is no great
/// loss.
const MOST: usize = CHUNK / 8;

type Chunk = Box<[AtomicU32]>;

/// Entries of numbers.
pub struct Arena {
    chunks: Box<[OnceLock<Chunk>]>,
    end: Apart<AtomicUsize>,
}

/// A value on cache lines of its own, so that writing it does not take others from other cores.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Apart<T>(pub T);

impl Arena {
    /// An empty arena.
    pub fn new() -> Self {
        Self { chunks: (0..CHUNKS).map(|_| OnceLock::new()).collect(), end: Apart::default() }
    }

    /// Append `count` numbers; `None` if there is no space for them.
    ///
    /// Other threads may read them if what leads them there was written after this, as with
    /// [`Ordering::Release`].
    pub fn append(&self, count: usize, numbers: impl Iterator<Item = u32>) -> Option<u32> {
        if count > MOST {
            return None;
        }
        let place = |end: usize| {
            if end % CHUNK + count > CHUNK { end.next_multiple_of(CHUNK) } else { end }
        };
        let moved = |end| Some(place(end) + count).filter(|&end| end <= CHUNK * CHUNKS);
        let end = self.end.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, moved).ok()?;
        let start = place(end);
        let chunk = self.chunks.get(start / CHUNK)?;
        let chunk = chunk.get_or_init(|| (0..CHUNK).map(|_| AtomicU32::new(0)).collect());
        for (stored, number) in chunk[start % CHUNK..][..count].iter().zip(numbers) {
            stored.store(number, Ordering::Relaxed);
        }
        u32::try_from(start).ok()
    }

    /// The chunk's numbers from a place on.
    #[inline(always)]
    pub fn from(&self, place: u32) -> &[AtomicU32] {
        let place = place as usize;
        let chunk = self.chunks.get(place / CHUNK).and_then(OnceLock::get);
        chunk.and_then(|chunk| chunk.get(place % CHUNK..)).unwrap_or_default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(arena: &Arena, place: u32, count: usize) -> Vec<u32> {
        arena.from(place)[..count].iter().map(|one| one.load(Ordering::Relaxed)).collect()
    }

    #[test]
    fn entries_lie_within_chunks_and_stay() {
        let arena = Arena::new();
        let counts = [1, MOST, 7, MOST - 1, MOST];
        let places: Vec<_> = (0..)
            .zip(counts.into_iter().cycle().take(60))
            .map(|(number, count)| {
                (number, count, arena.append(count, (number..).take(count)).unwrap())
            })
            .collect();
        assert!(places.last().unwrap().2 as usize > 2 * CHUNK);
        for (number, count, place) in places {
            let expected: Vec<u32> = (number..).take(count).collect();
            assert_eq!(read(&arena, place, count), expected);
        }
    }

    #[test]
    fn it_is_bounded() {
        let arena = Arena::new();
        assert_eq!(arena.append(MOST + 1, std::iter::repeat(1)), None);
        arena.end.0.store(CHUNK * CHUNKS - 3, Ordering::Relaxed);
        assert_eq!(arena.append(4, 1..5), None);
        let place = arena.append(3, 1..4).unwrap();
        assert_eq!(read(&arena, place, 3), [1, 2, 3]);
        assert_eq!(arena.append(1, 1..2), None);
    }
}
