//! The patterns that split text into words, recognized by their own text.
//!
//! All are alternatives in this order: contractions, letters, numbers, other characters, white space.
//! GPT-2's takes a space before letters, numbers and other characters. That of GPT-4 and its successors
//! takes any character but a line break before letters, limits numbers to a few digits, and ends words
//! of other characters and of white space with line breaks.

/// What a pattern finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pattern {
    /// Which contractions it knows.
    pub contractions: Contractions,
    /// Maximum characters of a number, for GPT-4's way to split; `None` for GPT-2's.
    pub digits: Option<u32>,
    /// What words of letters consist of.
    pub letters: Letters,
}

/// What words of letters consist of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Letters {
    /// Letters.
    Plain,
    /// Letters and marks.
    Marked,
    /// Letters and marks, capitals first; contractions belong to the word before them.
    Cased,
}

/// The contractions `'s 't 're 've 'm 'll 'd` that are words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contractions {
    /// No contraction is.
    No,
    /// Those in lower case are.
    Lower,
    /// Those in any case are.
    AnyCase,
}

const CONTRACTIONS: [(&str, Contractions); 5] = [
    ("(?i:'s|'t|'re|'ve|'m|'ll|'d)|", Contractions::AnyCase),
    ("'(?i:[sdmt]|ll|ve|re)|", Contractions::AnyCase),
    ("'s|'t|'re|'ve|'m|'ll|'d|", Contractions::Lower),
    ("'(?:[sdmt]|ll|ve|re)|", Contractions::Lower),
    ("", Contractions::No),
];

const GPT2: &str = r" ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// What follows the contractions in GPT-4's way to split, but for the numbers. The last line break of
/// white space ends a word, whether one is asked for or several.
const AFTER: [(&str, &str, Letters); 4] = [
    (
        r"[^\r\n\p{L}\p{N}]?\p{L}+|",
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        Letters::Plain,
    ),
    (
        r"[^\r\n\p{L}\p{N}]?+\p{L}+|",
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
        Letters::Plain,
    ),
    (
        r"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|",
        r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        Letters::Marked,
    ),
    (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|",
        r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        Letters::Cased,
    ),
];
const NUMBERS: [(&str, u32); 2] = [(r"\p{N}{1,3}", 3), (r"\p{N}", 1)];
/// The contractions of [`Letters::Cased`], at the end of each of its two alternatives.
const SUFFIX: &str = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?|";

impl Pattern {
    /// The pattern of `ByteLevel`, which is GPT-2's.
    pub const GPT2: Self =
        Self { contractions: Contractions::Lower, digits: None, letters: Letters::Plain };

    /// The pattern that `regex` describes, if it is one of those.
    pub fn of(regex: &str) -> Option<Self> {
        let cased = regex.replace(SUFFIX, "|");
        if cased != regex {
            let (letters, digits) = words_of(&cased)?;
            let twice = regex.matches(SUFFIX).count() == 2 && letters == Letters::Cased;
            let contractions = Contractions::AnyCase;
            return twice.then_some(Self { contractions, digits, letters });
        }
        CONTRACTIONS.iter().find_map(|&(text, contractions)| {
            let (letters, digits) = words_of(regex.strip_prefix(text)?)?;
            let known = letters != Letters::Cased || contractions == Contractions::No;
            known.then_some(Self { contractions, digits, letters })
        })
    }

    /// The length of the letters of a contraction, which follow its apostrophe.
    #[inline(always)]
    pub fn contraction(self, after: &[u8]) -> Option<usize> {
        match self.contractions {
            Contractions::No => None,
            Contractions::Lower => contraction(after),
            Contractions::AnyCase => {
                // The long s is an s in another case.
                if after.starts_with("\u{17f}".as_bytes()) {
                    return Some(2);
                }
                let lower = |at: usize| after.get(at).map_or(0, u8::to_ascii_lowercase);
                contraction(&[lower(0), lower(1)])
            }
        }
    }
}

/// What follows the contractions: the letters, and the digits of a number.
fn words_of(regex: &str) -> Option<(Letters, Option<u32>)> {
    if regex == GPT2 {
        return Some((Letters::Plain, None));
    }
    AFTER.iter().find_map(|&(before, after, letters)| {
        let number = regex.strip_prefix(before)?.strip_suffix(after)?;
        let (_, digits) = NUMBERS.iter().find(|(text, _)| *text == number)?;
        Some((letters, Some(*digits)))
    })
}

#[inline(always)]
fn contraction(after: &[u8]) -> Option<usize> {
    match after {
        [b's' | b't' | b'm' | b'd', ..] => Some(1),
        [b'r' | b'v', b'e', ..] | [b'l', b'l', ..] => Some(2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_known_by_their_text() {
        let known = |regex: &str| Pattern::of(regex);
        assert_eq!(
            known(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"),
            Some(Pattern::GPT2)
        );
        let llama = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
        let any_case = Contractions::AnyCase;
        assert_eq!(
            known(llama),
            Some(Pattern { contractions: any_case, digits: Some(3), letters: Letters::Plain })
        );
        let qwen = llama.replace("{1,3}", "");
        assert_eq!(
            known(&qwen),
            Some(Pattern { contractions: any_case, digits: Some(1), letters: Letters::Plain })
        );
        let without = &llama[llama.find("|[^").map_or(0, |at| at + 1)..];
        let no = Contractions::No;
        assert_eq!(
            known(without),
            Some(Pattern { contractions: no, digits: Some(3), letters: Letters::Plain })
        );
        let gpt4o = format!(r"{}\p{{N}}{{1,3}}{}", AFTER[3].0.replace('|', SUFFIX), AFTER[3].1);
        assert_eq!(
            known(&gpt4o),
            Some(Pattern { contractions: any_case, digits: Some(3), letters: Letters::Cased })
        );
        assert_eq!(known(&gpt4o.replacen(SUFFIX, "|", 1)), None);
        let tekken = gpt4o.replace(SUFFIX, "|").replace("{1,3}", "");
        assert_eq!(
            known(&tekken),
            Some(Pattern { contractions: no, digits: Some(1), letters: Letters::Cased })
        );
        assert_eq!(known(&format!("'s|{tekken}")), None);
        for other in ["", ".", &llama[1..], &llama.replace("{1,3}", "{1,4}"), &format!("{llama}?")]
        {
            assert_eq!(known(other), None, "{other}");
        }
    }

    #[test]
    fn contractions_in_any_case() {
        let lengths = |contractions, after: &str| {
            Pattern { contractions, ..Pattern::GPT2 }.contraction(after.as_bytes())
        };
        for (after, lower, any) in [
            ("s", Some(1), Some(1)),
            ("S", None, Some(1)),
            ("Rex", None, Some(2)),
            ("vEx", None, Some(2)),
            ("l", None, None),
            ("L\u{e9}", None, None),
            ("\u{17f}x", None, Some(2)),
            ("", None, None),
        ] {
            assert_eq!(lengths(Contractions::Lower, after), lower, "{after}");
            assert_eq!(lengths(Contractions::AnyCase, after), any, "{after}");
            assert_eq!(lengths(Contractions::No, after), None, "{after}");
        }
    }
}
