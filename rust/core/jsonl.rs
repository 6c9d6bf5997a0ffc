//! One string field out of JSON lines, without a tree of the rest.
//!
//! What is read here is strict JSON, an object a line. Anything that readers of JSON treat
//! differently, or that deserves an error, is [`strings`]' `None`: a slower reader then decides, and
//! says what is wrong. So is what is merely rare.

use memchr::{memchr_iter, memchr2};

/// Objects and lists deeper than this are left to the slower reader.
const DEEPEST: usize = 64;

/// A column of strings as Arrow lays it out: valid UTF-8, one after the other.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Strings {
    /// Where each string begins in `values`, and where the last one ends.
    pub offsets: Vec<i64>,
    /// The strings' bytes.
    pub values: Vec<u8>,
    /// Rows without a string, ascending; empty strings in the other fields.
    pub nulls: Vec<usize>,
}

/// How many line ends there are.
#[must_use]
pub fn line_ends(data: &[u8]) -> usize {
    memchr_iter(b'\n', data).count()
}

/// The string that `path` leads to in every line's object, blank lines left out; a field that is not
/// there, or null, is a null. `None` where a line is no such object, or an odd one: broken, with the
/// field twice, with another type on the way to it, with escapes in a key or half a surrogate pair.
#[must_use]
pub fn strings(data: &[u8], path: &[&str]) -> Option<Strings> {
    std::str::from_utf8(data).ok()?;
    let mut reader = Reader { data, at: 0, found: Strings::default() };
    reader.found.values.reserve(data.len());
    reader.found.offsets.push(0);
    loop {
        reader.skip_blanks();
        match reader.peek() {
            None => return Some(reader.found),
            Some(b'\n') => reader.at += 1,
            Some(b'{') => {
                reader.at += 1;
                reader.row(path)?;
            }
            Some(_) => return None,
        }
    }
}

struct Reader<'a> {
    data: &'a [u8],
    at: usize,
    found: Strings,
}

impl Reader<'_> {
    fn row(&mut self, path: &[&str]) -> Option<()> {
        let there = self.object(path, 0)?;
        self.skip_blanks();
        if !matches!(self.peek(), None | Some(b'\n')) {
            return None;
        }
        let found = &mut self.found;
        if !there {
            found.nulls.push(found.offsets.len() - 1);
        }
        found.offsets.push(i64::try_from(found.values.len()).ok()?);
        Some(())
    }

    /// Read an object from behind its brace on; with a `path`, take the string that it leads to, and
    /// tell whether there is one.
    fn object(&mut self, path: &[&str], depth: usize) -> Option<bool> {
        let (mut met, mut there) = (false, false);
        self.skip_blanks();
        if self.next_is(b'}') {
            return Some(false);
        }
        loop {
            self.expect(b'"')?;
            let wanted = self.key_is(path.first())?;
            self.skip_blanks();
            self.expect(b':')?;
            self.skip_blanks();
            if wanted {
                if met {
                    return None;
                }
                met = true;
                there = self.wanted(&path[1..], depth)?;
            } else {
                self.skip(depth)?;
            }
            self.skip_blanks();
            if self.next_is(b'}') {
                return Some(there);
            }
            self.expect(b',')?;
            self.skip_blanks();
        }
    }

    /// Read the value of a field on the way, of which `path` is left.
    fn wanted(&mut self, path: &[&str], depth: usize) -> Option<bool> {
        match self.peek()? {
            b'"' if path.is_empty() => {
                self.at += 1;
                self.string(true)?;
                Some(true)
            }
            b'{' if !path.is_empty() && depth < DEEPEST => {
                self.at += 1;
                self.object(path, depth + 1)
            }
            b'n' => self.literal(b"null").map(|()| false),
            _ => None,
        }
    }

    /// Pass over a value.
    fn skip(&mut self, depth: usize) -> Option<()> {
        match self.peek()? {
            b'"' => {
                self.at += 1;
                self.string(false)
            }
            b'{' if depth < DEEPEST => {
                self.at += 1;
                self.object(&[], depth + 1).map(|_| ())
            }
            b'[' if depth < DEEPEST => {
                self.at += 1;
                self.list(depth + 1)
            }
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            b'-' | b'0'..=b'9' => self.number(),
            _ => None,
        }
    }

    fn list(&mut self, depth: usize) -> Option<()> {
        self.skip_blanks();
        if self.next_is(b']') {
            return Some(());
        }
        loop {
            self.skip(depth)?;
            self.skip_blanks();
            if self.next_is(b']') {
                return Some(());
            }
            self.expect(b',')?;
            self.skip_blanks();
        }
    }

    fn literal(&mut self, word: &[u8]) -> Option<()> {
        self.data[self.at..].starts_with(word).then(|| self.at += word.len())
    }

    fn number(&mut self) -> Option<()> {
        self.next_is(b'-');
        if !self.next_is(b'0') {
            self.digits()?;
        }
        if self.next_is(b'.') {
            self.digits()?;
        }
        if self.next_is(b'e') || self.next_is(b'E') {
            if !self.next_is(b'+') {
                self.next_is(b'-');
            }
            self.digits()?;
        }
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        let count = self.data[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        (count > 0).then_some(())
    }

    /// Read a key from behind its quote on, and compare it.
    fn key_is(&mut self, wanted: Option<&&str>) -> Option<bool> {
        let rest = &self.data[self.at..];
        let end = memchr2(b'"', b'\\', rest)?;
        if rest[end] != b'"' || has_controls(&rest[..end]) {
            return None;
        }
        self.at += end + 1;
        Some(wanted.is_some_and(|name| name.as_bytes() == &rest[..end]))
    }

    /// Read a string from behind its quote on, and with `keep` append it to the values.
    fn string(&mut self, keep: bool) -> Option<()> {
        loop {
            // Escapes often follow one another.
            let rest = &self.data[self.at..];
            let end = match rest.first()? {
                b'"' | b'\\' => 0,
                _ => memchr2(b'"', b'\\', rest)?,
            };
            let plain = &rest[..end];
            if has_controls(plain) {
                return None;
            }
            if keep {
                self.found.values.extend_from_slice(plain);
            }
            self.at += end + 1;
            if rest[end] == b'"' {
                return Some(());
            }
            let letter = self.escaped()?;
            if keep {
                let mut bytes = [0; 4];
                self.found.values.extend_from_slice(letter.encode_utf8(&mut bytes).as_bytes());
            }
        }
    }

    /// Read an escape from behind its backslash on.
    fn escaped(&mut self) -> Option<char> {
        let code = *self.data.get(self.at)?;
        self.at += 1;
        Some(match code {
            b'"' | b'\\' | b'/' => char::from(code),
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'u' => {
                let unit = self.four_digits()?;
                if !(0xd800..0xdc00).contains(&unit) {
                    return char::from_u32(unit);
                }
                self.expect(b'\\')?;
                self.expect(b'u')?;
                let low = self.four_digits()?.checked_sub(0xdc00).filter(|&low| low < 0x400)?;
                return char::from_u32(0x1_0000 + ((unit - 0xd800) << 10) + low);
            }
            _ => return None,
        })
    }

    fn four_digits(&mut self) -> Option<u32> {
        let digits = self.data.get(self.at..self.at + 4)?;
        self.at += 4;
        digits
            .iter()
            .try_fold(0, |value, &digit| Some(value << 4 | char::from(digit).to_digit(16)?))
    }

    /// Pass over white space within a line.
    fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.data.get(self.at).copied()
    }

    fn next_is(&mut self, byte: u8) -> bool {
        let is = self.peek() == Some(byte);
        self.at += usize::from(is);
        is
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.next_is(byte).then_some(())
    }
}

/// Whether there are characters that must be escaped in a string; line ends are among them.
fn has_controls(bytes: &[u8]) -> bool {
    // The least byte, in a loop that needs no branch.
    bytes.iter().fold(u8::MAX, |least, &byte| least.min(byte)) < 0x20
}
