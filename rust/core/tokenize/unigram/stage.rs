//! One normalizer, and its effect on a character and the characters beside it.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{canonical_combining_class, is_combining_mark};
use unicode_normalization::{
    IsNormalized, is_nfc_quick, is_nfd_quick, is_nfkc_quick, is_nfkd_quick,
};

use super::alone::Alone;
use super::charsmap::Charsmap;
use super::graphemes::{joins_after, joins_before, joins_space_after, joins_space_before};

/// One normalizer.
#[derive(Debug, Clone)]
pub enum Stage {
    Nfc,
    Nfd,
    Nfkc,
    Nfkd,
    StripAccents,
    Lowercase,
    Nmt,
    Charsmap(Charsmap),
    Replace {
        pattern: String,
        content: String,
    },
    /// Runs of white space become one text.
    Squeeze {
        white: White,
        content: String,
    },
    /// Each space becomes a character.
    Spaces(char),
}

/// Which runs of white space one text stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum White {
    /// Two and more spaces.
    Spaces,
    /// White space of every kind, of any length.
    Any,
    /// Two and more characters of white space; of single ones, line breaks and tabs.
    Lines,
}

impl White {
    /// The runs that a regular expression finds; `None` if it is another one.
    pub fn of_pattern(pattern: &str) -> Option<Self> {
        match pattern {
            " {2,}" => Some(Self::Spaces),
            r"\s+" => Some(Self::Any),
            r"\s{2,}|[\n\r\t]" => Some(Self::Lines),
            _ => None,
        }
    }

    /// Whether `character` can be part of a run.
    fn has(self, character: char) -> bool {
        character == ' ' || self != Self::Spaces && character.is_whitespace()
    }

    /// Whether `run`, a longest run of such characters, is replaced.
    fn takes(self, run: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Lines if matches!(run, "\n" | "\r" | "\t") => true,
            Self::Spaces | Self::Lines => run.chars().nth(1).is_some(),
        }
    }
}

impl Stage {
    /// Append what it makes of `text` to `out`.
    pub fn apply(&self, text: &str, out: &mut String) {
        match self {
            Self::Nfc if is_nfc_quick(text.chars()) != IsNormalized::Yes => out.extend(text.nfc()),
            Self::Nfd if is_nfd_quick(text.chars()) != IsNormalized::Yes => out.extend(text.nfd()),
            Self::Nfkc if is_nfkc_quick(text.chars()) != IsNormalized::Yes => {
                out.extend(text.nfkc());
            }
            Self::Nfkd if is_nfkd_quick(text.chars()) != IsNormalized::Yes => {
                out.extend(text.nfkd());
            }
            Self::Nfc | Self::Nfd | Self::Nfkc | Self::Nfkd => out.push_str(text),
            Self::StripAccents => out.extend(text.chars().filter(|&c| !is_combining_mark(c))),
            Self::Lowercase => out.extend(text.chars().flat_map(char::to_lowercase)),
            Self::Nmt => out.extend(text.chars().filter_map(nmt)),
            Self::Charsmap(map) => map.apply(text, out),
            Self::Replace { pattern, content } => {
                let mut parts = text.split(pattern.as_str());
                out.extend(parts.next());
                for part in parts {
                    out.push_str(content);
                    out.push_str(part);
                }
            }
            Self::Squeeze { white, content } => squeeze(text, *white, content, out),
            Self::Spaces(content) => {
                out.extend(text.chars().map(|c| if c == ' ' { *content } else { c }));
            }
        }
    }

    /// Whether the result of a character depends on its neighbours.
    pub fn sees_neighbours(&self) -> bool {
        match self {
            Self::StripAccents | Self::Lowercase | Self::Nmt | Self::Spaces(_) => false,
            Self::Replace { pattern, .. } => pattern.chars().nth(1).is_some(),
            _ => true,
        }
    }

    /// The most characters that it makes of one.
    pub fn growth(&self) -> usize {
        match self {
            // Of U+FDFA.
            Self::Nfc | Self::Nfd | Self::Nfkc | Self::Nfkd => 18,
            Self::Lowercase => 3,
            Self::StripAccents | Self::Nmt | Self::Spaces(_) => 1,
            Self::Charsmap(map) => map.longest().max(1),
            Self::Replace { content, .. } | Self::Squeeze { content, .. } => {
                content.chars().count().max(1)
            }
        }
    }

    /// How it treats a text that begins with `first` and ends in `last`.
    pub fn look(&self, first: char, last: char, alone: &mut Alone) {
        match self {
            Self::Nfc | Self::Nfd | Self::Nfkc | Self::Nfkd => {
                let mut head = [first].into_iter().nfkd();
                let stays = head.next().is_none_or(|head| {
                    canonical_combining_class(head) == 0
                        && is_nfkc_quick([head].into_iter()) == IsNormalized::Yes
                });
                alone.independent &= stays;
                alone.starts &= stays;
            }
            Self::Charsmap(_) => {
                alone.independent &= !joins_before(first) && !joins_after(last);
                alone.starts &= !joins_space_before(first);
                alone.ends &= !joins_space_after(last) && last != '\r';
            }
            Self::Replace { pattern, .. } if self.sees_neighbours() => {
                alone.independent &= !alone.text.contains(|c| pattern.contains(c));
            }
            Self::Squeeze { white, .. } => {
                alone.independent &= !alone.text.contains(|c| white.has(c));
                alone.starts &= !white.has(first);
                alone.ends &= !white.has(last);
            }
            Self::StripAccents
            | Self::Lowercase
            | Self::Nmt
            | Self::Spaces(_)
            | Self::Replace { .. } => {}
        }
    }
}

fn squeeze(text: &str, white: White, content: &str, out: &mut String) {
    let is_white = |c: char| white.has(c);
    let mut rest = text;
    while let Some(start) = rest.find(is_white) {
        let (before, run) = rest.split_at(start);
        let end = run.find(|c| !is_white(c)).unwrap_or(run.len());
        let (run, after) = run.split_at(end);
        out.push_str(before);
        out.push_str(if white.takes(run) { content } else { run });
        rest = after;
    }
    out.push_str(rest);
}

/// The `Nmt` rules: remove controls, replace unusual white space by a space.
fn nmt(character: char) -> Option<char> {
    match character {
        '\u{1}'..='\u{8}' | '\u{b}' | '\u{e}'..='\u{1f}' | '\u{7f}' | '\u{8f}' | '\u{9f}' => None,
        '\t'
        | '\n'
        | '\u{c}'
        | '\r'
        | '\u{1680}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'
        | '\u{2029}'
        | '\u{2581}'
        | '\u{feff}'
        | '\u{fffd}' => Some(' '),
        other => Some(other),
    }
}
