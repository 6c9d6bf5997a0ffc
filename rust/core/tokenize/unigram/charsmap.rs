//! The precompiled character map of `SentencePiece` models.
//!
//! Format: the size of a trie in bytes (u32), the trie, and NUL-terminated texts. The trie is a double
//! array over the bytes of a key; its values are offsets of texts.

use unicode_segmentation::UnicodeSegmentation;

/// Graphemes with fewer bytes than this are looked up as a whole; longer ones character by character.
const GRAPHEME: usize = 6;

/// Text -> text.
#[derive(Debug, Clone)]
pub struct Charsmap {
    units: Vec<u32>,
    texts: String,
}

impl Charsmap {
    /// Read a base64-encoded map; `None` if it is invalid.
    #[must_use]
    pub fn from_base64(text: &str) -> Option<Self> {
        Self::from_bytes(&decode(text)?)
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (size, rest) = bytes.split_first_chunk()?;
        let size = usize::try_from(u32::from_le_bytes(*size)).ok()? / 4 * 4;
        let (trie, texts) = rest.split_at_checked(size)?;
        let units = trie
            .chunks_exact(4)
            .map(|unit| unit.iter().rev().fold(0, |value, &byte| value << 8 | u32::from(byte)));
        Some(Self { units: units.collect(), texts: String::from_utf8(texts.to_vec()).ok()? })
    }

    /// The replacement of `key`: the text of the *shortest* entry that is a prefix of `key`, whatever
    /// follows, as in the library.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&str> {
        let mut at = offset(*self.units.first()?);
        for &byte in key {
            if byte == 0 {
                break;
            }
            at ^= usize::from(byte);
            let unit = *self.units.get(at)?;
            if unit & (1 << 31 | 0xff) != u32::from(byte) {
                return None;
            }
            at ^= offset(unit);
            if unit >> 8 & 1 == 1 {
                let place = usize::try_from(self.units.get(at)? & (u32::MAX >> 1)).ok()?;
                let text = self.texts.get(place..)?;
                let end = memchr::memchr(0, text.as_bytes()).unwrap_or(text.len());
                return text.get(..end);
            }
        }
        None
    }

    /// The characters of the longest replacement.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.texts.split('\0').map(|text| text.chars().count()).max().unwrap_or(0)
    }

    /// Append the replacement of `text` to `out`, grapheme by grapheme.
    pub fn apply(&self, text: &str, out: &mut String) {
        for grapheme in text.graphemes(true) {
            if grapheme.len() < GRAPHEME
                && let Some(whole) = self.get(grapheme.as_bytes())
            {
                out.push_str(whole);
                continue;
            }
            for character in grapheme.chars() {
                self.apply_one(character, out);
            }
        }
    }

    /// Append the replacement of a single character.
    fn apply_one(&self, character: char, out: &mut String) {
        match self.get(character.encode_utf8(&mut [0; 4]).as_bytes()) {
            Some(text) => out.push_str(text),
            None => out.push(character),
        }
    }
}

/// The offset of a unit's children, relative to the unit.
fn offset(unit: u32) -> usize {
    let far = unit >> 10;
    // At most 30 bits: 22 of the offset and 8 of the shift.
    (if unit & 1 << 9 == 0 { far } else { far << 8 }) as usize
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 3);
    let (mut bits, mut held) = (0_u32, 0);
    for &digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::cast_possible_truncation)]
pub(super) mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    /// A map of `entries` in the format above, with 256 units reserved for the children of each node.
    pub fn charsmap(entries: &[(&str, &str)]) -> Charsmap {
        let mut texts = String::new();
        let mut places = BTreeMap::new();
        let mut nodes = BTreeSet::from([Vec::new()]);
        for (key, value) in entries {
            places.insert(key.as_bytes().to_vec(), texts.len() as u32);
            texts.push_str(value);
            texts.push('\0');
            for end in 1..=key.len() {
                nodes.insert(key.as_bytes()[..end].to_vec());
            }
        }
        let rooms: BTreeMap<_, _> = nodes.iter().zip(1_u32..).collect();
        let mut units = vec![0xff_u32; 256 * (nodes.len() + 1)];
        // The root is at 0, outside of the reserved units; every other node is in its parent's.
        for (node, &room) in &rooms {
            let (label, at) = match node.split_last() {
                None => (0, 0),
                Some((&label, parent)) => {
                    (u32::from(label), rooms[&parent.to_vec()] << 8 | u32::from(label))
                }
            };
            let value = places.get(*node);
            let relative = at ^ room << 8;
            let low = relative & 0xff;
            // A leaf's value is at label 0 of its units.
            units[at as usize] = label | u32::from(value.is_some()) << 8 | relative << 10;
            assert!(relative < 1 << 21 && (low == label || at == 0));
            if let Some(&value) = value {
                units[(at ^ relative) as usize] = value | 1 << 31;
            }
        }
        let mut bytes = (units.len() as u32 * 4).to_le_bytes().to_vec();
        bytes.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
        bytes.extend(texts.as_bytes());
        Charsmap::from_bytes(&bytes).unwrap()
    }

    fn apply(map: &Charsmap, text: &str) -> String {
        let mut out = String::new();
        map.apply(text, &mut out);
        out
    }

    #[test]
    fn the_shortest_entry_takes_the_whole_grapheme() {
        let map = charsmap(&[("①", "1"), ("e\u{301}", "é"), ("\n", " "), ("\u{1}", "")]);
        assert_eq!(apply(&map, "①e\u{301}x"), "1éx");
        assert_eq!(apply(&map, "①\u{301}x"), "1x");
        assert_eq!(apply(&map, "①\u{301}\u{302}x"), "1\u{301}\u{302}x");
        assert_eq!(apply(&map, "a\nb\u{1}\0c"), "a b\0c");
    }

    #[test]
    fn base64_is_read() {
        assert_eq!(decode("aGVsbG8="), Some(b"hello".to_vec()));
        assert_eq!(decode("+/8="), Some(vec![0xfb, 0xff]));
        assert_eq!(decode("a b"), None);
    }

    #[test]
    fn no_bytes_make_it_panic() {
        for seed in 0..2000_u32 {
            let mut state = seed.wrapping_mul(2_654_435_761) | 1;
            let mut bytes = (4 * (seed % 40)).to_le_bytes().to_vec();
            for _ in 0..200 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                bytes.push((state >> 25) as u8);
            }
            if let Some(map) = Charsmap::from_bytes(&bytes) {
                for text in ["abc", "é", "\u{0}", "\u{7f}x", "ｱ\u{3099}"] {
                    let _ = (map.get(text.as_bytes()), apply(&map, text));
                }
            }
        }
    }
}
