//! The keys of words: what a slot of the memo is compared with.

/// Longest word that is its own key.
pub const SHORT: usize = 15;
/// The last byte of a key is the length of a short word, or this for a longer one.
const LONG: u64 = (SHORT as u64 + 1) << 56;

/// The data for looking up a word: its key, and the first slot to probe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Probe {
    /// The bytes of a short word and its length; the hash of a longer word, and its length.
    pub key: [u64; 2],
    /// Determines the first slot.
    pub hash: u32,
}

impl Probe {
    /// That of `text[start..end]`, which is not empty.
    #[inline(always)]
    #[must_use]
    pub fn new(text: &[u8], start: usize, end: usize) -> Self {
        let key = if end - start <= SHORT {
            halves(short_key(text, start, end))
        } else {
            [long_hash(&text[start..end]), LONG | (end - start) as u64]
        };
        Self::of_key(key)
    }

    /// That of a key.
    #[inline(always)]
    #[must_use]
    #[allow(clippy::cast_possible_truncation)] // slots are counted in 32 bits
    pub fn of_key(key: [u64; 2]) -> Self {
        Self { key, hash: fold(key[0] ^ SEEDS[0], key[1] ^ SEEDS[1]) as u32 }
    }

    /// Whether the key does not hold the word.
    #[inline(always)]
    #[must_use]
    pub fn is_long(&self) -> bool {
        self.key[1] >= LONG
    }
}

const SEEDS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03];

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

/// The key of `text[start..end]`, which has at most [`SHORT`] bytes.
#[inline(always)]
fn short_key(text: &[u8], start: usize, end: usize) -> u128 {
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

/// The hash of a word of 16 bytes or more: pieces of 16 bytes, of which the last may overlap the one
/// before it.
#[inline(always)]
fn long_hash(word: &[u8]) -> u64 {
    let mut hash = 0;
    let mut add = |piece: &[u8; 16]| {
        let [low, high] = halves(u128::from_le_bytes(*piece));
        hash = fold(low ^ hash ^ SEEDS[0], high ^ SEEDS[1]);
    };
    let (pieces, _) = word.as_chunks();
    pieces.iter().for_each(&mut add);
    if let Some(last) = word.last_chunk() {
        add(last);
    }
    hash
}

#[inline(always)]
#[allow(clippy::cast_possible_truncation)]
fn halves(both: u128) -> [u64; 2] {
    [both as u64, (both >> 64) as u64]
}

/// Both halves of a product: every bit of the factors reaches its middle bits.
#[inline(always)]
fn fold(one: u64, other: u64) -> u64 {
    let [low, high] = halves(u128::from(one) * u128::from(other));
    low ^ high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_depends_on_the_word_alone() {
        let texts = ["", "x", "the text before it, ", "0123456789abcdef"];
        let word = "words of every length, up to 40 bytes, ab".as_bytes();
        for length in 1..=40 {
            let alone = Probe::new(&word[..length], 0, length);
            assert_eq!(alone.is_long(), length > SHORT);
            for before in texts {
                for after in texts {
                    let text = [before.as_bytes(), &word[..length], after.as_bytes()].concat();
                    let end = before.len() + length;
                    assert_eq!(Probe::new(&text, before.len(), end), alone);
                }
            }
            for other in 1..=40 {
                assert_eq!(Probe::new(&word[..other], 0, other) == alone, other == length);
            }
        }
        assert_ne!(Probe::new(b"a\0", 0, 2), Probe::new(b"a", 0, 1));
    }
}
