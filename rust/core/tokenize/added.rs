//! Added tokens, such as `<mask>`: what they do to the text around them is the library's business;
//! here they only have to be seen.

use super::file::AddedToken;
use crate::{Error, Result};

/// The texts that make a stretch one for the library.
#[derive(Debug, Clone, Default)]
pub struct AddedTokens {
    /// The bytes that a token may begin with, in all cases that count.
    leads: Vec<u8>,
    contents: Vec<Vec<u8>>,
    fold_case: bool,
}

impl AddedTokens {
    /// Watch for `tokens`; with `fold_case` in upper and lower case alike, for normalizers that lower
    /// the text before they look for the tokens in it.
    ///
    /// # Errors
    /// An empty token, or one with white space in it: a text may be cut there. One that takes white
    /// space behind it along and ends like a word: a text may be cut there, too.
    pub fn new<'a>(
        tokens: impl IntoIterator<Item = &'a AddedToken>,
        fold_case: bool,
    ) -> Result<Self> {
        let mut all = Self { fold_case, ..Self::default() };
        for token in tokens {
            let content = &token.content;
            let torn = token.rstrip && content.ends_with(|c: char| c.is_ascii_alphanumeric());
            if content.is_empty() || content.contains(char::is_whitespace) || torn {
                return Err(Error::Pipeline { part: "added token", found: format!("{content:?}") });
            }
            let first = content.as_bytes()[0];
            all.leads.push(first);
            if fold_case && first.is_ascii_alphabetic() {
                all.leads.extend([first.to_ascii_lowercase(), first.to_ascii_uppercase()]);
            }
            all.contents.push(content.clone().into_bytes());
        }
        all.leads.sort_unstable();
        all.leads.dedup();
        Ok(all)
    }

    /// Is one of the tokens in `text`?
    #[must_use]
    pub fn is_in(&self, text: &str) -> bool {
        let text = text.as_bytes();
        self.leads.chunks(3).any(|leads| match *leads {
            [a, b, c] => memchr::memchr3_iter(a, b, c, text).any(|at| self.begins(&text[at..])),
            [a, b] => memchr::memchr2_iter(a, b, text).any(|at| self.begins(&text[at..])),
            [a] => memchr::memchr_iter(a, text).any(|at| self.begins(&text[at..])),
            _ => false,
        })
    }

    fn begins(&self, text: &[u8]) -> bool {
        self.contents.iter().any(|content| {
            text.get(..content.len()).is_some_and(|found| {
                if self.fold_case { found.eq_ignore_ascii_case(content) } else { found == content }
            })
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn token(content: &str) -> AddedToken {
        AddedToken {
            id: 0,
            content: content.into(),
            single_word: false,
            lstrip: false,
            rstrip: false,
            normalized: false,
            special: true,
        }
    }

    #[test]
    fn tokens_are_seen_anywhere() {
        let tokens = ["<s>", "<mask>", "[CLS]", "|||IP|||", "unused"].map(token);
        let added = AddedTokens::new(&tokens, false).unwrap();
        for text in ["<s>", "a <mask>", "x[CLS]", "|||||IP|||", "an unused word"] {
            assert!(added.is_in(text), "{text}");
        }
        for text in ["", "<mask", "< s>", "[cls]", "UNUSED", "|||IP||"] {
            assert!(!added.is_in(text), "{text}");
        }
        let folded = AddedTokens::new(&tokens, true).unwrap();
        assert!(folded.is_in("[cls]") && folded.is_in("UNUSED"));
        assert!(AddedTokens::new(&[token("a b")], false).is_err());
        let strips = |content| AddedToken { rstrip: true, ..token(content) };
        assert!(AddedTokens::new(&[strips("<a>")], false).is_ok());
        assert!(AddedTokens::new(&[strips("a")], false).is_err());
    }
}
