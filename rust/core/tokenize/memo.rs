//! The ids of words encoded before: a hash table word -> ids, optimized for lookups.
//!
//! A word of up to 15 bytes is its own key in a slot of half a cache line, with up to three ids beside
//! it; everything else is in a second table. Keys are compared in full, never by hash alone. Both
//! tables are bounded; once they are full, new words are encoded each time.

use rustc_hash::FxHashMap;

use super::unit::Unit;

/// Longest word that a slot holds.
const SHORT: usize = 15;
/// Ids that a slot holds.
pub const INLINE: usize = 3;
/// Initial and maximum number of slots (32 MB). A fuller table makes better use of the caches; half
/// full, two of three words are in their first slot.
const FIRST_SLOTS: usize = 1 << 14;
const MOST_SLOTS: usize = 1 << 20;
/// Maximum total bytes of longer words.
const MOST_LONG: usize = 32 << 20;
/// Marks a slot whose ids lie in the arena: the first number is where, the second how many.
const ELSEWHERE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(32))]
struct Slot {
    /// The word's bytes and, on top, its length; 0 in an empty slot.
    key: u128,
    value: Value,
}

/// Up to three ids, followed by their number.
pub type Value = [u32; INLINE + 1];

/// The data for looking up a word: its key, and the first slot to probe.
#[derive(Debug, Clone, Copy, Default)]
pub struct Probe {
    key: u128,
    hash: u32,
}

/// Word -> ids.
#[derive(Debug, Clone)]
pub struct Memo {
    slots: Vec<Slot>,
    used: usize,
    arena: Vec<u32>,
    long: FxHashMap<Box<[u8]>, (u32, u32)>,
    long_bytes: usize,
}

impl Default for Memo {
    fn default() -> Self {
        Self {
            slots: vec![Slot::default(); FIRST_SLOTS],
            used: 0,
            arena: Vec::new(),
            long: FxHashMap::default(),
            long_bytes: 0,
        }
    }
}

/// Masks for the first n bytes of a key, since shifts of 128 bits would branch.
const MASKS: [u128; SHORT + 1] = {
    let mut masks = [0; SHORT + 1];
    let mut length = 1;
    while length <= SHORT {
        masks[length] = masks[length - 1] << 8 | 0xff;
        length += 1;
    }
    masks
};

/// The key of `text[start..end]`, which has at most [`SHORT`] bytes and at least one.
#[inline(always)]
fn key_of(text: &[u8], start: usize, end: usize) -> u128 {
    let length = end - start;
    let word = if let Some(bytes) = text.get(start..start + 16) {
        let mut whole = [0; 16];
        whole.copy_from_slice(bytes);
        u128::from_le_bytes(whole) & MASKS[length & SHORT]
    } else if let Some(bytes) = end.checked_sub(16).and_then(|from| text.get(from..end)) {
        let mut whole = [0; 16];
        whole.copy_from_slice(bytes);
        u128::from_le_bytes(whole) >> (8 * (16 - length))
    } else {
        let mut whole = [0; 16];
        whole[..length].copy_from_slice(&text[start..end]);
        u128::from_le_bytes(whole)
    };
    word | (length as u128) << 120
}

/// Both halves multiplied and folded: every bit of the key reaches the middle bits of the product.
#[inline(always)]
#[allow(clippy::cast_possible_truncation)]
fn hash(key: u128) -> u64 {
    let low = key as u64 ^ 0x9e37_79b9_7f4a_7c15;
    let high = (key >> 64) as u64 ^ 0xd1b5_4a32_d192_ed03;
    let product = u128::from(low) * u128::from(high);
    product as u64 ^ (product >> 64) as u64
}

/// Prefetch a slot; a load would stall the instructions after it.
#[inline(always)]
fn fetch(slot: &Slot) {
    #[cfg(target_arch = "x86_64")]
    safe_arch::prefetch_t0(slot);
    #[cfg(not(target_arch = "x86_64"))]
    let _ = slot;
}

impl Memo {
    /// Prepare to look up the next units of `text`, in a separate pass, so that the slots of many words
    /// are prefetched at the same time.
    #[inline(always)]
    #[allow(clippy::cast_possible_truncation)] // slots are counted in 32 bits
    pub fn prepare(&self, text: &[u8], units: &[Unit], probes: &mut [Probe]) {
        let last = self.slots.len() - 1;
        for (probe, unit) in probes.iter_mut().zip(units) {
            let (start, end) = (unit.start as usize, unit.end as usize);
            // The key of a longer word matches no slot.
            let key = if end - start <= SHORT { key_of(text, start, end) } else { u128::MAX };
            let hash = hash(key) as u32;
            fetch(&self.slots[hash as usize & last]);
            *probe = Probe { key, hash };
        }
    }

    /// The value of a word with few ids, if it is in its first slot.
    #[inline(always)]
    #[must_use]
    pub fn few(&self, probe: Probe) -> Option<&Value> {
        let slot = &self.slots[probe.hash as usize & (self.slots.len() - 1)];
        (slot.key == probe.key && slot.value[INLINE] != ELSEWHERE).then_some(&slot.value)
    }

    /// The ids of a word.
    #[must_use]
    pub fn get(&self, word: &[u8]) -> Option<&[u32]> {
        if word.len() > SHORT {
            return self.long.get(word).map(|&(at, count)| self.stored(at, count));
        }
        let slot = &self.slots[self.place(key_of(word, 0, word.len()))];
        if slot.key == 0 {
            return None;
        }
        if slot.value[INLINE] == ELSEWHERE {
            return Some(self.stored(slot.value[0], slot.value[1]));
        }
        slot.value.get(..slot.value[INLINE] as usize)
    }

    /// Store the ids of a word, which must be new, if there is space.
    pub fn insert(&mut self, word: &[u8], ids: &[u32]) {
        if word.len() > SHORT {
            return self.insert_long(word, ids);
        }
        if self.used * 2 >= self.slots.len() && !self.grow() {
            return;
        }
        let key = key_of(word, 0, word.len());
        let mut slot = Slot { key, value: [0; INLINE + 1] };
        if ids.len() <= INLINE {
            slot.value[..ids.len()].copy_from_slice(ids);
            slot.value[INLINE] = u32::try_from(ids.len()).unwrap_or(ELSEWHERE);
        } else if let Some((at, count)) = self.store(ids) {
            slot.value[0] = at;
            slot.value[1] = count;
            slot.value[INLINE] = ELSEWHERE;
        } else {
            return;
        }
        let place = self.place(key);
        self.slots[place] = slot;
        self.used += 1;
    }

    /// The slot of the key, or the empty slot where it belongs.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // a power of two masks it
    fn place(&self, key: u128) -> usize {
        let last = self.slots.len() - 1;
        let mut at = hash(key) as usize & last;
        loop {
            let found = self.slots[at].key;
            if found == key || found == 0 {
                return at;
            }
            at = (at + 1) & last;
        }
    }

    fn grow(&mut self) -> bool {
        if self.slots.len() >= MOST_SLOTS {
            return false;
        }
        let larger = vec![Slot::default(); self.slots.len() * 2];
        for slot in std::mem::replace(&mut self.slots, larger) {
            if slot.key != 0 {
                let place = self.place(slot.key);
                self.slots[place] = slot;
            }
        }
        true
    }

    fn insert_long(&mut self, word: &[u8], ids: &[u32]) {
        if self.long_bytes + word.len() > MOST_LONG {
            return;
        }
        if let Some(place) = self.store(ids) {
            self.long_bytes += word.len();
            self.long.insert(word.into(), place);
        }
    }

    fn stored(&self, at: u32, count: u32) -> &[u32] {
        &self.arena[at as usize..(at + count) as usize]
    }

    fn store(&mut self, ids: &[u32]) -> Option<(u32, u32)> {
        if self.arena.len() + ids.len() > MOST_LONG {
            return None;
        }
        let place = (u32::try_from(self.arena.len()).ok()?, u32::try_from(ids.len()).ok()?);
        self.arena.extend_from_slice(ids);
        Some(place)
    }
}

#[cfg(test)]
#[allow(clippy::panic, clippy::cast_possible_truncation)]
mod tests {
    use super::*;

    fn ids_of(memo: &Memo, word: &[u8]) -> Option<Vec<u32>> {
        let mut probes = [Probe::default()];
        memo.prepare(word, &[Unit { start: 0, end: word.len() as u32 }], &mut probes);
        let known = memo.get(word);
        if let Some(value) = memo.few(probes[0]) {
            assert_eq!(known, value.get(..value[INLINE] as usize));
        }
        known.map(<[u32]>::to_vec)
    }

    #[test]
    fn what_goes_in_comes_out_whatever_the_length() {
        let mut memo = Memo::default();
        let text = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz".as_bytes();
        for length in 1..40 {
            let ids: Vec<u32> = (0..length as u32 % 7).collect();
            memo.insert(&text[3..3 + length], &ids);
        }
        for length in 1..40 {
            let expected: Vec<u32> = (0..length as u32 % 7).collect();
            assert_eq!(ids_of(&memo, &text[3..3 + length]), Some(expected));
        }
        assert_eq!(ids_of(&memo, b"abc"), None);
        assert_eq!(ids_of(&memo, b"def\0"), None);
    }

    #[test]
    fn it_grows_and_forgets_nothing() {
        let mut memo = Memo::default();
        for number in 0..100_000_u32 {
            let word = number.to_string();
            memo.insert(word.as_bytes(), &[number]);
        }
        for number in 0..100_000_u32 {
            assert_eq!(ids_of(&memo, number.to_string().as_bytes()), Some(vec![number]));
        }
    }

    #[test]
    fn words_are_found_though_slots_move_and_appear() {
        let mut memo = Memo::default();
        let mut probes = [Probe::default()];
        memo.prepare(b"word", &[Unit { start: 0, end: 4 }], &mut probes);
        assert_eq!(memo.few(probes[0]), None);
        memo.insert(b"word", &[7, 8]);
        assert_eq!(memo.few(probes[0]), Some(&[7, 8, 0, 2]));
        for number in 0..20_000_u32 {
            memo.insert(number.to_string().as_bytes(), &[number]);
        }
        assert_eq!(memo.few(probes[0]).or(Some(&[7, 8, 0, 2])), Some(&[7, 8, 0, 2]));
        assert_eq!(memo.get(b"word"), Some(&[7, 8][..]));
    }

    #[test]
    fn zero_bytes_belong_to_the_word() {
        let mut memo = Memo::default();
        memo.insert(b"a\0", &[1]);
        assert_eq!(ids_of(&memo, b"a"), None);
        assert_eq!(ids_of(&memo, b"a\0"), Some(vec![1]));
    }
}
