//! Extracting one string field of JSON lines, without building a tree of the rest.
//!
//! This parser accepts strict JSON with one object per line. For anything that JSON readers treat
//! differently, that is an error, or that is merely rare, [`strings`] returns `None`; a slower reader
//! then reads the piece and reports errors.

use memchr::{memchr_iter, memchr2};

/// Objects and lists deeper than this are left to the slower reader.
const DEEPEST: usize = 64;

/// A column of strings in Arrow's layout: contiguous, valid UTF-8.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Strings {
    /// The offsets of the strings in `values`.
    pub offsets: Vec<i64>,
    /// The strings' bytes.
    pub values: Vec<u8>,
    /// Rows without a string, ascending; empty strings in the other fields.
    pub nulls: Vec<usize>,
}

/// Count the line ends.
#[must_use]
pub fn line_ends(data: &[u8]) -> usize {
    memchr_iter(b'\n', data).count()
}

/// Extract the string at `path` of every line's object, skipping blank lines; a missing or null field
/// is a null. `None` if a line is not such an object or is unusual: broken, with the field twice, with
/// another type on the path, with escapes in a key, or with an unpaired surrogate.
#[must_use]
pub fn strings(data: &[u8], path: &[&str]) -> Option<Strings> {
    std::str::from_utf8(data).ok()?;
    let mut reader = Reader { data, at: 0, strings: Strings::default() };
    reader.strings.values.reserve(data.len());
    reader.strings.offsets.push(0);
    loop {
        reader.skip_blanks();
        match reader.peek() {
            None => return Some(reader.strings),
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
    strings: Strings,
}

impl Reader<'_> {
    fn row(&mut self, path: &[&str]) -> Option<()> {
        let there = self.object(path, 0)?;
        self.skip_blanks();
        if !matches!(self.peek(), None | Some(b'\n')) {
            return None;
        }
        let strings = &mut self.strings;
        if !there {
            strings.nulls.push(strings.offsets.len() - 1);
        }
        strings.offsets.push(i64::try_from(strings.values.len()).ok()?);
        Some(())
    }

    /// Read an object after its opening brace; with a `path`, append the string there, and return
    /// whether there is one.
    fn object(&mut self, path: &[&str], depth: usize) -> Option<bool> {
        let (mut met, mut there) = (false, false);
        self.skip_blanks();
        if self.next_is(b'}') {
            return Some(false);
        }
        loop {
            self.expect(b'"')?;
            let on_path = self.key_is(path.first())?;
            self.skip_blanks();
            self.expect(b':')?;
            self.skip_blanks();
            if on_path {
                if met {
                    return None;
                }
                met = true;
                there = self.value_at(&path[1..], depth)?;
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

    /// Read the value of a field on the path, of which `path` remains.
    fn value_at(&mut self, path: &[&str], depth: usize) -> Option<bool> {
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

    /// Skip a value.
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

    /// Read a key after its opening quote, and compare it.
    fn key_is(&mut self, key: Option<&&str>) -> Option<bool> {
        let rest = &self.data[self.at..];
        let end = memchr2(b'"', b'\\', rest)?;
        if rest[end] != b'"' || has_controls(&rest[..end]) {
            return None;
        }
        self.at += end + 1;
        Some(key.is_some_and(|name| name.as_bytes() == &rest[..end]))
    }

    /// Read a string after its opening quote; with `keep`, append it to the values.
    fn string(&mut self, keep: bool) -> Option<()> {
        loop {
            // Escapes often occur consecutively.
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
                self.strings.values.extend_from_slice(plain);
            }
            self.at += end + 1;
            if rest[end] == b'"' {
                return Some(());
            }
            let letter = self.escaped()?;
            if keep {
                let mut bytes = [0; 4];
                self.strings.values.extend_from_slice(letter.encode_utf8(&mut bytes).as_bytes());
            }
        }
    }

    /// Read an escape after its backslash.
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

    /// Skip white space within a line.
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
    // The smallest byte, by a loop without branches.
    bytes.iter().fold(u8::MAX, |least, &byte| least.min(byte)) < 0x20
}
