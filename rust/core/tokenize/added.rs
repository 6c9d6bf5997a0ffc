//! Added tokens, such as `<mask>`. Stretches that contain one are left to the library, which knows how
//! they affect the text around them; here they only have to be detected.

use super::file::AddedToken;
use crate::{Error, Result};

/// The texts that send a stretch to the library.
#[derive(Debug, Clone, Default)]
pub struct AddedTokens {
    /// The bytes that a token may begin with, in both cases if case is folded.
    leads: Vec<u8>,
    contents: Vec<Vec<u8>>,
    fold_case: bool,
}

impl AddedTokens {
    /// Detect `tokens`; with `fold_case` ignoring case, for normalizers that lowercase the text before
    /// the tokens are matched.
    ///
    /// # Errors
    /// A token is empty, contains white space, or ends in a letter or digit and strips the white space
    /// after it: a text may be cut at such white space.
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

    /// Whether `text` contains one of the tokens.
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
