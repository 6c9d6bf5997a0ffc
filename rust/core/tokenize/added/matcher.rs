//! Finding the tokens of one pass over a text, with the library's rules: the leftmost first, of those the
//! longest, none within another.

use rustc_hash::FxHashMap;

use crate::tokenize::file::AddedToken;

/// With more first bytes than this, looking at each pair of bytes is faster than searching for each.
const MOST_LEADS: usize = 6;

/// Tokens that the library looks for in one pass: those that it matches before normalization, or those
/// that it matches after it.
#[derive(Debug, Clone, Default)]
pub struct Matcher {
    tokens: Vec<Token>,
    by_content: FxHashMap<Box<[u8]>, usize>,
    /// For each first byte, the lengths of tokens, the longest first.
    lengths: FxHashMap<u8, Vec<usize>>,
    /// The first bytes of the tokens that [`Self::is_in`] looks for.
    leads: Vec<u8>,
    /// A bit for each pair of bytes that one of those may begin with; empty where `leads` are few.
    pairs: Vec<u64>,
}

/// A token and its rules.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools)] // the file's own
struct Token {
    id: u32,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    /// Whether [`Matcher::is_in`] looks for it.
    sought: bool,
}

/// A part of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// A token, with the white space that it strips: its id.
    Token(u32),
    /// Text between tokens.
    Text {
        /// Its first byte.
        start: usize,
        /// One past its last byte.
        end: usize,
    },
}

impl Matcher {
    /// Match `tokens`, each with its content as it is looked for. Of equal contents, the first counts.
    /// Those for which `sought` is false do not count for [`Self::is_in`].
    pub fn new<'a>(tokens: impl IntoIterator<Item = (&'a AddedToken, &'a str, bool)>) -> Self {
        let mut all = Self::default();
        for (token, content, sought) in tokens {
            let content = content.as_bytes();
            let Some(&first) = content.first() else { continue };
            if all.by_content.contains_key(content) {
                continue;
            }
            all.by_content.insert(content.into(), all.tokens.len());
            let &AddedToken { id, single_word, lstrip, rstrip, .. } = token;
            all.tokens.push(Token { id, single_word, lstrip, rstrip, sought });
            all.lengths.entry(first).or_default().push(content.len());
            if sought {
                all.leads.push(first);
            }
        }
        for lengths in all.lengths.values_mut() {
            lengths.sort_unstable_by(|a, b| b.cmp(a));
            lengths.dedup();
        }
        all.leads.sort_unstable();
        all.leads.dedup();
        if all.leads.len() > MOST_LEADS {
            all.pairs = vec![0; 1 << 10];
            for (content, &token) in &all.by_content {
                if all.tokens[token].sought {
                    let seconds = content.get(1).map_or(0..=u8::MAX, |&second| second..=second);
                    for second in seconds {
                        let pair = pair(content[0], second);
                        all.pairs[pair / 64] |= 1 << (pair % 64);
                    }
                }
            }
        }
        all
    }

    /// Whether there are no tokens.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Whether `text` contains one of the tokens that are looked for.
    #[must_use]
    pub fn is_in(&self, text: &str) -> bool {
        let text = text.as_bytes();
        if !self.pairs.is_empty() {
            let last = text.len().saturating_sub(1);
            return text
                .windows(2)
                .enumerate()
                .any(|(at, two)| self.has_pair(two[0], two[1]) && self.begins(&text[at..]))
                || self.begins(&text[last..]);
        }
        self.leads.chunks(3).any(|leads| match *leads {
            [a, b, c] => memchr::memchr3_iter(a, b, c, text).any(|at| self.begins(&text[at..])),
            [a, b] => memchr::memchr2_iter(a, b, text).any(|at| self.begins(&text[at..])),
            [a] => memchr::memchr_iter(a, text).any(|at| self.begins(&text[at..])),
            _ => false,
        })
    }

    /// Replace the contents of `splits` by the tokens of `text` and the parts between them. False if
    /// that depends on the class of a character for which versions of the library may differ.
    #[must_use]
    pub fn split(&self, text: &str, splits: &mut Vec<Split>) -> bool {
        splits.clear();
        // Where the text that is in no split yet begins, and where the next token may begin.
        let (mut rest, mut from) = (0, 0);
        while let Some((at, length, token)) = self.next(text, from) {
            from = at + length;
            let (mut start, mut end) = (at, from);
            if token.single_word {
                let before = text[..start].chars().next_back().map_or(Some(false), is_word);
                let after = text[end..].chars().next().map_or(Some(false), is_word);
                let (Some(before), Some(after)) = (before, after) else { return false };
                if before || after {
                    continue;
                }
            }
            if token.lstrip {
                start = text[..start].trim_end().len().max(rest);
            }
            if token.rstrip {
                end = text.len() - text[end..].trim_start().len();
            }
            if rest < start {
                splits.push(Split::Text { start: rest, end: start });
            }
            // White space that another token has stripped; the library drops what is empty.
            if start > end {
                return false;
            }
            if start < end {
                splits.push(Split::Token(token.id));
            }
            rest = end;
        }
        if rest < text.len() {
            splits.push(Split::Text { start: rest, end: text.len() });
        }
        true
    }

    /// The first token that begins at `from` or later: its place, its length, its rules.
    fn next(&self, text: &str, from: usize) -> Option<(usize, usize, &Token)> {
        let bytes = text.as_bytes();
        (from..bytes.len()).find_map(|at| {
            let (length, token) = self.tokens_at(&bytes[at..]).next()?;
            Some((at, length, &self.tokens[token]))
        })
    }

    fn begins(&self, text: &[u8]) -> bool {
        self.tokens_at(text).any(|(_, token)| self.tokens[token].sought)
    }

    /// The lengths and numbers of the tokens that `text` begins with, the longest first.
    fn tokens_at(&self, text: &[u8]) -> impl Iterator<Item = (usize, usize)> {
        let lengths = text.first().and_then(|first| self.lengths.get(first));
        lengths
            .into_iter()
            .flatten()
            .filter_map(|&length| Some((length, *self.by_content.get(text.get(..length)?)?)))
    }

    #[inline]
    fn has_pair(&self, first: u8, second: u8) -> bool {
        let pair = pair(first, second);
        self.pairs[pair / 64] >> (pair % 64) & 1 != 0
    }
}

fn pair(first: u8, second: u8) -> usize {
    usize::from(first) << 8 | usize::from(second)
}

/// Whether a character is part of a word; `None` if the library's tables decide.
fn is_word(character: char) -> Option<bool> {
    character.is_ascii().then_some(character.is_ascii_alphanumeric() || character == '_')
}

#[cfg(test)]
mod tests {
    use super::super::tests::token;
    use super::*;

    fn matcher(tokens: &[AddedToken]) -> Matcher {
        Matcher::new(tokens.iter().map(|token| (token, token.content.as_str(), true)))
    }

    /// The splits of a text; tokens as their ids.
    fn split(tokens: &[AddedToken], text: &str) -> Option<Vec<String>> {
        let mut splits = Vec::new();
        matcher(tokens).split(text, &mut splits).then(|| {
            let show = |split: &Split| match *split {
                Split::Token(id) => id.to_string(),
                Split::Text { start, end } => format!("{:?}", &text[start..end]),
            };
            splits.iter().map(show).collect()
        })
    }

    fn numbered(contents: &[&str]) -> Vec<AddedToken> {
        (0..).zip(contents).map(|(id, content)| AddedToken { id, ..token(content) }).collect()
    }

    #[test]
    fn tokens_are_seen_anywhere() {
        let few = ["<s>", "<mask>", "[CLS]", "|||IP|||", "unused"];
        let many = ["<s>", "<mask>", "[CLS]", "|||IP|||", "unused", "0zz", "1zz", "zz", "\u{e9}"];
        for contents in [&few[..], &many] {
            let added = matcher(&numbered(contents));
            for text in ["<s>", "a <mask>", "x[CLS]", "|||||IP|||", "an unused word"] {
                assert!(added.is_in(text), "{text}");
            }
            for text in ["", "<", "<mask", "< s>", "[cls]", "UNUSED", "|||IP||"] {
                assert!(!added.is_in(text), "{text}");
            }
        }
        assert!(matcher(&numbered(&["a", "b", "c", "d", "e", "f", "g"])).is_in("xyzg"));
    }

    #[test]
    fn the_longest_of_the_leftmost_tokens_counts() {
        let tokens = numbered(&["ab", "abc", "bcd", "x y"]);
        let found = |text| split(&tokens, text).unwrap_or_default().join("|");
        assert_eq!(found("-abcd-"), "\"-\"|1|\"d-\"");
        assert_eq!(found("abbcd"), "0|2");
        assert_eq!(found("x yx  y"), "3|\"x  y\"");
        assert_eq!(found(""), "");
    }

    #[test]
    fn words_and_white_space_around_a_token_count() {
        let mut tokens = numbered(&["foo", "<m>", "oo", " z", "<n>", " "]);
        (tokens[5].lstrip, tokens[5].rstrip) = (true, true);
        tokens[0].single_word = true;
        (tokens[1].lstrip, tokens[1].rstrip) = (true, true);
        let found = |text| split(&tokens, text).map(|splits| splits.join("|"));
        assert_eq!(found("foo-xfoo-(foo)").as_deref(), Some("0|\"-xfoo-(\"|0|\")\""));
        assert_eq!(found("a\n<m>\u{3000}\nb").as_deref(), Some("\"a\"|1|\"b\""));
        assert_eq!(found("<m>\n<m>").as_deref(), Some("1|1"));
        assert_eq!(found("<m> zoo").as_deref(), Some("1|3|2"));
        assert_eq!(found("<m> <n>").as_deref(), Some("1|4"));
        assert_eq!(found("\u{e9}foo"), None);
        assert_eq!(found("<m>foo_").as_deref(), Some("1|\"foo_\""));
    }
}
