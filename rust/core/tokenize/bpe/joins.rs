//! The pairs of characters that a vocabulary can join. Between two characters that are adjacent in no
//! token, merges on the left do not affect those on the right, so a word can be cut there.
//!
//! A vocabulary trained on English text has few pairs of Chinese, Japanese or Thai characters, so long
//! runs of them become short, repeating words.

use super::utf8;

/// Some token continues from the previous character into this one.
pub const JOINS_BEFORE: u8 = 1 << 5;
/// Some token continues from this character into the next.
pub const JOINS_AFTER: u8 = 1 << 6;

/// Characters next to a boundary between characters inside of some token. Tokens may begin and end
/// within a character: all characters that end or begin alike are taken then.
pub struct Joins {
    /// Any two characters may be in one token.
    all: bool,
    /// Code points that come before one.
    before: Vec<u32>,
    /// By the last 6, 12 and 18 bits of the code point that comes before one.
    endings: [Vec<bool>; 3],
    /// Ranges of code points that come after one: the first and the last.
    after: Vec<(u32, u32)>,
}

impl Default for Joins {
    fn default() -> Self {
        Self {
            all: false,
            before: Vec::new(),
            endings: [1, 2, 3].map(|bytes| vec![false; 1 << (6 * bytes)]),
            after: Vec::new(),
        }
    }
}

impl Joins {
    /// Join everything, for vocabularies that look up whole words first: a word cut into parts would
    /// match its parts instead.
    pub fn all() -> Self {
        Self { all: true, ..Self::default() }
    }

    /// Record the boundaries in `token`.
    pub fn add(&mut self, token: &[u8]) {
        if token.is_ascii() {
            return;
        }
        for at in 1..token.len() {
            if !utf8::continues(token[at]) {
                self.add_before(&token[..at]);
                self.add_after(&token[at..]);
            }
        }
    }

    fn add_before(&mut self, bytes: &[u8]) {
        let tail = bytes.iter().rev().take_while(|&&byte| utf8::continues(byte)).count();
        if tail == 0 {
            return; // one of ASCII, which joins always, or a lead byte, which text never has here
        }
        if tail < bytes.len() {
            self.before.extend(utf8::decode(bytes, bytes.len() - tail - 1).map(|(code, _)| code));
        } else if tail <= 3 {
            let bits = bytes.iter().fold(0, |bits, &byte| bits << 6 | usize::from(byte & 0x3f));
            self.endings[tail - 1][bits] = true;
        }
    }

    fn add_after(&mut self, bytes: &[u8]) {
        let Some(length) = utf8::length(bytes[0]) else { return };
        let known = &bytes[..length.min(bytes.len())];
        let filled = |with: u8| {
            let mut whole = [with; 4];
            whole[..known.len()].copy_from_slice(known);
            utf8::decode(&whole, 0).map(|(code, _)| code)
        };
        self.after.extend(filled(0x80).zip(filled(0xbf)));
    }

    /// Set the bits of the code points in `table`. Those of ASCII join always.
    pub fn mark(&self, table: &mut [u8]) {
        let always = if self.all { table.len() } else { 0x80 };
        for class in table.iter_mut().take(always) {
            *class |= JOINS_BEFORE | JOINS_AFTER;
        }
        for &code in &self.before {
            table[code as usize] |= JOINS_AFTER;
        }
        for ending in &self.endings {
            for (bits, _) in ending.iter().enumerate().filter(|&(_, &marked)| marked) {
                for class in table.iter_mut().skip(bits).step_by(ending.len()) {
                    *class |= JOINS_AFTER;
                }
            }
        }
        let mut ranges = self.after.clone();
        ranges.sort_unstable();
        ranges.dedup();
        for (first, last) in ranges {
            let last = (last as usize).min(table.len() - 1);
            for class in &mut table[first as usize..=last] {
                *class |= JOINS_BEFORE;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(tokens: &[&[u8]]) -> Vec<u8> {
        let mut joins = Joins::default();
        for token in tokens {
            joins.add(token);
        }
        let mut table = vec![0; 0x11_0000];
        joins.mark(&mut table);
        table
    }

    #[test]
    fn whole_and_partial_characters_are_marked() {
        let table = marked(&["のは".as_bytes(), b"\x8b\xe8\xaa", b" \xc3\xa9t"]);
        let joins =
            |c: char| (table[c as usize] & JOINS_BEFORE != 0, table[c as usize] & JOINS_AFTER != 0);
        assert_eq!(joins('の'), (false, true));
        assert_eq!(joins('は'), (true, false));
        assert_eq!(joins('語'), (true, false)); // e8 aa 9e
        assert_eq!(joins('謀'), (false, false)); // e8 ac 80
        assert_eq!(joins('\u{2e8b}'), (false, true)); // e2 ba 8b
        assert_eq!(joins('é'), (true, true));
        assert_eq!(joins('è'), (false, false));
        assert_eq!(joins('x'), (true, true));
    }

    #[test]
    fn odd_bytes_do_no_harm() {
        marked(&[
            &[0xff, 0xfe, 0x80],
            &[0x80; 9],
            &[0xe3, 0xe3],
            b"\xf8a",
            b"\xf7\xbf",
            b"a\xf4\xbf",
        ]);
    }
}
