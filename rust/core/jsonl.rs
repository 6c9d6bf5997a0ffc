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
    bytes.iter().fold(false, |found, &byte| found | (byte < 0x20))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(data: &str, path: &[&str]) -> Option<Vec<Option<String>>> {
        let found = strings(data.as_bytes(), path)?;
        let rows = found.offsets.windows(2).enumerate().map(|(row, ends)| {
            let place = usize::try_from(ends[0]).ok()?..usize::try_from(ends[1]).ok()?;
            let text = String::from_utf8(found.values[place].to_vec()).ok()?;
            (!found.nulls.contains(&row)).then_some(text)
        });
        Some(rows.collect())
    }

    fn text(line: &str) -> Option<Option<String>> {
        texts(line, &["t"]).map(|rows| {
            assert_eq!(rows.len(), 1, "{line}");
            rows[0].clone()
        })
    }

    #[test]
    fn the_field_is_found_among_others() {
        let some = |text: &str| Some(Some(text.to_owned()));
        assert_eq!(text(r#"{"t": "a"}"#), some("a"));
        assert_eq!(text("  {\"x\":[1,-0.5e+3,{\"t\":[]}],\t\"t\":\"\",\"y\":true} \r"), some(""));
        assert_eq!(
            text(r#"{"x": {"t": "b"}, "u": null, "t": "ä\n\"\u00e9\ud83e\udd8a\u0000"}"#),
            { some("ä\n\"é🦊\0") }
        );
        assert_eq!(text(r#"{"t": null}"#), Some(None));
        assert_eq!(text("{}"), Some(None));
        assert_eq!(text(r#"{"s": "t"}"#), Some(None));
    }

    #[test]
    fn lines_are_rows() {
        let rows = texts("{\"t\": \"a\"}\r\n\n \t\n{}\n{\"t\": \"b\"}", &["t"]);
        assert_eq!(rows, Some(vec![Some("a".to_owned()), None, Some("b".to_owned())]));
        assert_eq!(texts("", &["t"]), Some(vec![]));
        assert_eq!(line_ends(b"\na\n\nb"), 3);
    }

    #[test]
    fn a_path_leads_through_objects() {
        let path = ["a", "b"];
        let rows = texts("{\"b\": 1, \"a\": {\"c\": [], \"b\": \"x\"}}\n{\"a\": {}}\n{}", &path);
        assert_eq!(rows, Some(vec![Some("x".to_owned()), None, None]));
        assert_eq!(texts(r#"{"a": null}"#, &path), Some(vec![None]));
        for other in [r#"{"a": "x"}"#, r#"{"a": [{"b": "x"}]}"#, r#"{"a": {"b": {}}}"#] {
            assert_eq!(texts(other, &path), None, "{other}");
        }
    }

    #[test]
    fn what_is_odd_is_left_to_others() {
        let deep = format!(r#"{{"x": {}{}, "t": "a"}}"#, "[".repeat(100), "]".repeat(100));
        for line in [
            r#"{"t": 1}"#,
            r#"{"t": ["a"]}"#,
            r#"{"t": {}}"#,
            r#"{"t": "a", "t": "b"}"#,
            r#"{"t": "\ud800"}"#,
            r#"{"t": "\udc00"}"#,
            r#"{"t": "\ud800\u0041"}"#,
            r#"{"t": "\x"}"#,
            r#"{"t": "\u12"}"#,
            r#"{"\u0074": "a"}"#,
            r#"{"t": "a""#,
            r#"{"t": "a"#,
            r#"{"t": "a\"#,
            r#"{"t": "a"}}"#,
            r#"{"t": "a"} {"t": "b"}"#,
            r#"{"t": "a",}"#,
            r#"{"t" "a"}"#,
            r#"{,}"#,
            r#"{"x": 01}"#,
            r#"{"x": 1.}"#,
            r#"{"x": .5}"#,
            r#"{"x": -}"#,
            r#"{"x": 1e}"#,
            r#"{"x": NaN}"#,
            r#"{"x": nul}"#,
            r#"{"x": [1,]}"#,
            r#"{"x": [1 2]}"#,
            "{\"t\": \"a\tb\"}",
            "{\"t\":\n\"a\"}",
            "{\"t\": \"a\nb\"}",
            "\u{feff}{}",
            "[]",
            "null",
            &deep,
        ] {
            assert_eq!(text(line), None, "{line}");
        }
        assert_eq!(strings(b"{\"t\": \"\xff\"}", &["t"]), None);
    }
}
