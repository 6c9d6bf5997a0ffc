//! Added tokens, such as `<mask>`. The library finds them before anything else, and normalizes, splits
//! and encodes each text between two of them by itself.

mod matcher;

use super::file::AddedToken;
use super::stretches::Bar;
use crate::{Error, Result};

pub use matcher::{Matcher, Split};

/// The added tokens of a tokenizer.
#[derive(Debug, Clone, Default)]
pub struct Added {
    /// Tokens that are matched in the text itself.
    pub raw: Matcher,
    /// Tokens that are matched in normalized text.
    pub late: Matcher,
    /// Whether each occurrence of a late token lies within one unit.
    pub late_in_units: bool,
    /// Where texts must not be cut.
    pub bars: Vec<Bar>,
}

/// What [`Added::new`] has to know of a family.
pub struct Surroundings<'a> {
    /// The normalizer.
    pub normalize: &'a dyn Fn(&str) -> String,
    /// Whether the normalizer leaves ASCII letters and digits as they are, case aside.
    pub keeps_letters: bool,
    /// Whether units are normalized separately, and end at white space.
    pub has_units: bool,
    /// Tokens that the family encodes itself, as long as a text has none of the others.
    pub is_familys: &'a dyn Fn(&AddedToken) -> bool,
}

impl Added {
    /// Match `tokens`.
    ///
    /// # Errors
    /// A token is empty or is normalized to nothing, or two tokens are the same.
    pub fn new(tokens: &[AddedToken], surroundings: &Surroundings<'_>) -> Result<Self> {
        let Surroundings { normalize, keeps_letters, has_units, is_familys } = *surroundings;
        let refused = |token: &AddedToken, problem: &str| Error::Pipeline {
            part: "added token",
            found: format!("{:?}, {problem}", token.content),
        };
        // The library's order.
        let mut ordered: Vec<&AddedToken> = tokens.iter().collect();
        ordered.sort_by_key(|token| !token.special);
        let white =
            ["x x", "x   x", "x\nx", "x\t\tx", "x\r\nx"].map(normalize).concat().replace('x', "");
        let mut contents: Vec<String> = Vec::with_capacity(tokens.len());
        let mut bars = Vec::new();
        for token in &ordered {
            let content =
                if token.normalized { normalize(&token.content) } else { token.content.clone() };
            if token.content.is_empty() || content.is_empty() {
                return Err(refused(token, "which is empty"));
            }
            let own = Bar::all_of(token, &content, if token.normalized { &white } else { "" });
            if token.normalized && !keeps_letters && !own.is_empty() {
                bars.push(Bar::EVERYWHERE);
            }
            bars.extend(own);
            contents.push(content);
        }
        let mut known: Vec<_> = tokens.iter().map(|token| &token.content).collect();
        known.sort_unstable();
        if let Some([twice, ..]) = known.windows(2).find(|two| two[0] == two[1]) {
            let found = format!("{twice:?}, more than once");
            return Err(Error::Pipeline { part: "added token", found });
        }
        let spans =
            |content: &String| content.contains(|c: char| c.is_whitespace() || white.contains(c));
        let of = |late: bool| {
            let all =
                ordered.iter().zip(&contents).filter(move |(token, _)| token.normalized == late);
            all.map(|(&token, content)| (token, content.as_str(), !is_familys(token)))
        };
        let late = ordered.iter().zip(&contents).filter(|(token, _)| token.normalized);
        Ok(Self {
            raw: Matcher::new(of(false)),
            late: Matcher::new(of(true)),
            late_in_units: has_units && !late.into_iter().any(|(_, content)| spans(content)),
            bars,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    pub fn token(content: &str) -> AddedToken {
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

    fn added(tokens: &[AddedToken]) -> Result<Added> {
        let lowercase = |text: &str| text.to_lowercase().replace('\u{301}', "");
        Added::new(
            tokens,
            &Surroundings {
                normalize: &lowercase,
                keeps_letters: true,
                has_units: true,
                is_familys: &|_| false,
            },
        )
    }

    #[test]
    fn late_tokens_are_matched_as_they_are_normalized() {
        let late = |content| AddedToken { normalized: true, ..token(content) };
        let found = added(&[token("Foo"), late("Bar")]).unwrap();
        assert!(found.raw.is_in("a Foo") && !found.raw.is_in("a foo Bar"));
        assert!(found.late.is_in("bar") && !found.late.is_in("Bar"));
        assert!(found.late_in_units);
        assert!(!added(&[late("New York")]).unwrap().late_in_units);
        assert!(added(&[late("\u{301}")]).is_err() && added(&[token("")]).is_err());
        assert!(added(&[token("a"), late("a")]).is_err());
    }
}
