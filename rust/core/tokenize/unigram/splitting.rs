//! How a pre-tokenizer makes words of normalized text.

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

use super::alphabet::{Alphabet, WHITE};
use super::stages::Stages;
use crate::tokenize::file::{Behavior, PreTokenizer};
use crate::{Error, Result};

/// How a pre-tokenizer makes words of normalized text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Splitting {
    /// The character that stands for a space.
    pub space: char,
    /// Whether white space of any kind ends words and is dropped; else only spaces become `space`.
    pub at_white: bool,
    /// Which words get a `space`, unless they begin with one.
    pub prepend: Prepend,
    /// Each `space` begins a word.
    pub at_space: bool,
    /// Which characters are words apart from their neighbours.
    pub apart: Apart,
}

/// Which words get a space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prepend {
    /// All of them.
    Always,
    /// The one at the start of a document.
    First,
    /// None.
    Never,
}

/// Characters that are split off before white space is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Apart {
    /// Each punctuation mark.
    pub punctuation: bool,
    /// Each digit, in the wide sense of Unicode's numeric characters.
    pub digits: bool,
    /// Each run of digits.
    pub numbers: bool,
}

/// Neighbours of different classes are split, and so are two of class [`Apart::EACH`].
type Class = u8;

impl Apart {
    const WORD: Class = 0;
    const NUMBER: Class = 1;
    const EACH: Class = 2;

    /// Whether there are such characters.
    #[must_use]
    pub fn is_any(self) -> bool {
        self != Self::default()
    }

    fn class(self, code: u32, alphabet: &Alphabet) -> Class {
        let Some(character) = alphabet.character(code) else { return Self::WORD };
        if self.punctuation && is_punctuation(character) || self.digits && character.is_numeric() {
            Self::EACH
        } else if self.numbers && character.is_numeric() {
            Self::NUMBER
        } else {
            Self::WORD
        }
    }

    /// Whether a code stands apart from a space before it.
    pub fn is_apart(self, code: u32, alphabet: &Alphabet) -> bool {
        self.is_any() && self.class(code, alphabet) != Self::WORD
    }

    /// The length of the first part of `codes`.
    pub fn first(self, codes: &[u32], alphabet: &Alphabet) -> usize {
        if !self.is_any() {
            return codes.len();
        }
        let mut classes = codes.iter().map(|&code| self.class(code, alphabet));
        match classes.next() {
            Some(Self::EACH) => 1,
            Some(first) => 1 + classes.take_while(|&class| class == first).count(),
            None => 0,
        }
    }
}

/// Punctuation, as the library sees it.
fn is_punctuation(character: char) -> bool {
    character.is_ascii_punctuation()
        || character.general_category_group() == GeneralCategoryGroup::Punctuation
}

impl Splitting {
    /// How `pre_tokenizer` splits the output of `stages`.
    ///
    /// # Errors
    /// The pre-tokenizer is not supported.
    pub fn new(pre_tokenizer: Option<&PreTokenizer>, stages: &Stages) -> Result<Self> {
        Self::read(pre_tokenizer, stages).ok_or_else(|| Error::Pipeline {
            part: "pre_tokenizer",
            found: format!("{pre_tokenizer:?}"),
        })
    }

    fn read(pre_tokenizer: Option<&PreTokenizer>, stages: &Stages) -> Option<Self> {
        let mut steps = Vec::new();
        if let Some(pre_tokenizer) = pre_tokenizer {
            flatten(pre_tokenizer, &mut steps);
        }
        let (at_white, apart, metaspace) = match steps.split_last() {
            Some((last, before)) => {
                let (mut at_white, mut apart) = (false, Apart::default());
                for step in before {
                    match step {
                        PreTokenizer::WhitespaceSplit => at_white = true,
                        PreTokenizer::Punctuation { behavior: Behavior::Isolated } => {
                            apart.punctuation = true;
                        }
                        PreTokenizer::Digits { individual_digits: true } => apart.digits = true,
                        PreTokenizer::Digits { individual_digits: false } => apart.numbers = true,
                        _ => return None,
                    }
                }
                (at_white, apart, Some(last))
            }
            None => (false, Apart::default(), None),
        };
        let splitting = match metaspace {
            Some(PreTokenizer::Metaspace { replacement, prepend_scheme, split }) => Self {
                space: *replacement,
                at_white,
                prepend: match &prepend_scheme[..] {
                    "always" => Prepend::Always,
                    "first" => Prepend::First,
                    "never" => Prepend::Never,
                    _ => return None,
                },
                at_space: *split,
                apart,
            },
            Some(_) => return None,
            // Then the normalizer replaces spaces.
            None => Self {
                space: stages.space()?,
                at_white,
                prepend: Prepend::Never,
                at_space: false,
                apart,
            },
        };
        splitting.fits(stages).then_some(splitting)
    }

    /// Whether the start of a text, and of what is cut off it, is certain.
    fn fits(&self, stages: &Stages) -> bool {
        let always = self.prepend == Prepend::Always;
        let strips_left = stages.strip().is_some_and(|strip| strip.left);
        // A document is one word to begin with, unless it was split before or its start was replaced.
        let first_is_certain = !self.at_white && !self.apart.is_any() && stages.keep_beginnings();
        // The library strips the space before a text that is cut off, and puts one back, but not between
        // two words that it separated.
        let is_put_back = always && !self.apart.digits && !self.apart.numbers;
        !self.space.is_whitespace()
            && (self.prepend != Prepend::First || first_is_certain)
            && (!strips_left || is_put_back)
            && (!stages.prepend() || self.is_whole() && !self.apart.is_any())
            && stages.space().is_none_or(|space| space == self.space)
            && (stages.space().is_none() || !self.at_white || always && self.at_space)
    }

    /// Whether the model gets a whole document as one word, or as few.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.at_white && !self.at_space
    }

    /// The code of a normalized character.
    pub fn code(self, character: char, alphabet: &Alphabet) -> u32 {
        if self.at_white && character.is_whitespace() {
            WHITE
        } else if character == ' ' {
            alphabet.code(self.space)
        } else {
            alphabet.code(character)
        }
    }
}

fn flatten<'a>(pre_tokenizer: &'a PreTokenizer, steps: &mut Vec<&'a PreTokenizer>) {
    match pre_tokenizer {
        PreTokenizer::Sequence { pretokenizers } => {
            for one in pretokenizers {
                flatten(one, steps);
            }
        }
        one => steps.push(one),
    }
}
