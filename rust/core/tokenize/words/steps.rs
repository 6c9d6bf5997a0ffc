//! The simple pre-tokenizers: each decides between two neighbouring characters whether a word ends.
//!
//! They split at characters of one kind (white space, punctuation, digits, a delimiter), and what
//! becomes of a character depends on the kinds of itself and its neighbours alone. A sequence of them
//! therefore separates two characters if one of its steps does, and all steps together are a table:
//! for each two classes of characters, whether a word ends between them.

use std::sync::OnceLock;

use super::patterns::Set;
use crate::tokenize::file::{Behavior, Pattern, PreTokenizer};
use crate::{Error, Result};

/// Most sets of characters that are told apart, and the classes that these make.
const SETS: usize = 6;
const CLASSES: usize = 1 << SETS;
/// The characters whose classes are looked up: Unicode's basic plane.
const LOOKED_UP: usize = 1 << 16;

/// A pre-tokenizer that splits at the characters of a set.
#[derive(Debug, Clone)]
struct Step {
    set: Set,
    /// Whether neighbouring characters of the set are one match.
    runs: bool,
    behavior: Behavior,
    invert: bool,
}

impl Step {
    fn new(set: Set, behavior: Behavior) -> Self {
        Self { set, runs: false, behavior, invert: false }
    }

    /// Whether a word ends between a character that is in the set, or is not, and the next.
    fn separates(&self, before: bool, after: bool) -> bool {
        let matches = if self.runs { before != after } else { before || after };
        let (before, after) = (before ^ self.invert, after ^ self.invert);
        matches
            && match self.behavior {
                Behavior::Removed | Behavior::Isolated => true,
                Behavior::Contiguous => before != after,
                Behavior::MergedWithPrevious => before || !after,
                Behavior::MergedWithNext => !before || after,
            }
    }

    fn removes(&self, inside: bool) -> bool {
        self.behavior == Behavior::Removed && inside ^ self.invert
    }
}

/// All steps of a pre-tokenizer.
pub struct Steps {
    /// A character's class has a bit for each set that holds it.
    sets: Vec<Set>,
    ascii: [u8; 128],
    others: OnceLock<Vec<u8>>,
    /// The classes before which, by class, a word ends.
    separated: [u64; CLASSES],
    /// The classes that belong to no word.
    removed: u64,
    /// Whether every character is a word.
    characters: bool,
}

impl Steps {
    /// The steps of `pre_tokenizers`, in order.
    ///
    /// # Errors
    /// One of them is not supported.
    pub fn new(pre_tokenizers: &[&PreTokenizer]) -> Result<Self> {
        let mut steps = Vec::new();
        for pre_tokenizer in pre_tokenizers {
            collect(pre_tokenizer, &mut steps)?;
        }
        let mut sets: Vec<Set> = Vec::new();
        for step in &steps {
            if !step.set.is_all() && !sets.contains(&step.set) {
                sets.push(step.set.clone());
            }
        }
        if sets.len() > SETS {
            return Err(refused(&format!("{} kinds of characters", sets.len())));
        }
        let bits: Vec<Option<usize>> =
            steps.iter().map(|step| sets.iter().position(|set| *set == step.set)).collect();
        let classes = 1 << sets.len();
        let (mut separated, mut removed) = ([0_u64; CLASSES], 0);
        for (before, row) in separated.iter_mut().enumerate().take(classes) {
            for (step, bit) in steps.iter().zip(&bits) {
                let holds = |class: usize| bit.is_none_or(|bit| class >> bit & 1 == 1);
                removed |= u64::from(step.removes(holds(before))) << before;
                for after in 0..classes {
                    let ends = step.separates(holds(before), holds(after));
                    *row |= u64::from(ends) << after;
                }
            }
        }
        let all = u64::MAX >> (64 - classes);
        let characters = separated[..classes].iter().all(|&row| row == all);
        let mut ascii = [0; 128];
        for (class, character) in ascii.iter_mut().zip('\0'..) {
            *class = class_in(&sets, character);
        }
        Ok(Self { sets, ascii, others: OnceLock::new(), separated, removed, characters })
    }

    /// A character's class.
    #[inline]
    pub fn class(&self, character: char) -> u8 {
        let code = character as usize;
        if let Some(&class) = self.ascii.get(code) {
            return class;
        }
        if code >= LOOKED_UP {
            return class_in(&self.sets, character);
        }
        self.others.get_or_init(|| {
            let class = |code| char::from_u32(code).map_or(0, |it| class_in(&self.sets, it));
            (0..).take(LOOKED_UP).map(class).collect()
        })[code]
    }

    /// Whether a word ends between characters of two classes.
    #[inline]
    pub fn separates(&self, before: u8, after: u8) -> bool {
        self.separated[usize::from(before) % CLASSES] >> (after % 64) & 1 == 1
    }

    /// Whether characters of a class belong to no word.
    #[inline]
    pub fn removes(&self, class: u8) -> bool {
        self.removed >> (class % 64) & 1 == 1
    }

    /// Whether every character is a word.
    pub fn are_characters(&self) -> bool {
        self.characters
    }

    /// Pass on where each word of `text` begins and ends.
    #[inline]
    pub fn words(&self, text: &str, mut word: impl FnMut(usize, usize)) {
        let (mut start, mut before) = (0, None);
        for (at, character) in text.char_indices() {
            let class = self.class(character);
            if let Some(before) = before
                && self.separates(before, class)
            {
                if !self.removes(before) {
                    word(start, at);
                }
                start = at;
            }
            before = Some(class);
        }
        if before.is_some_and(|before| !self.removes(before)) {
            word(start, text.len());
        }
    }
}

fn class_in(sets: &[Set], character: char) -> u8 {
    sets.iter().enumerate().fold(0, |class, (at, set)| class | u8::from(set.holds(character)) << at)
}

fn collect(pre_tokenizer: &PreTokenizer, steps: &mut Vec<Step>) -> Result<()> {
    match pre_tokenizer {
        PreTokenizer::Whitespace => {
            steps.push(Step::new(Set::white(), Behavior::Removed));
            steps.push(Step::new(Set::word(), Behavior::Contiguous));
        }
        PreTokenizer::WhitespaceSplit => {
            steps.push(Step::new(Set::white(), Behavior::Removed));
        }
        PreTokenizer::BertPreTokenizer => {
            steps.push(Step::new(Set::white(), Behavior::Removed));
            steps.push(Step::new(Set::punctuation(), Behavior::Isolated));
        }
        PreTokenizer::CharDelimiterSplit { delimiter } => {
            steps.push(Step::new(Set::one(*delimiter), Behavior::Removed));
        }
        PreTokenizer::Punctuation { behavior } => {
            steps.push(Step::new(Set::punctuation(), *behavior));
        }
        PreTokenizer::Digits { individual_digits } => {
            let behavior =
                if *individual_digits { Behavior::Isolated } else { Behavior::Contiguous };
            steps.push(Step::new(Set::numeric(), behavior));
        }
        PreTokenizer::Split { pattern, behavior, invert } => {
            steps.push(split(pattern, *behavior, *invert)?);
        }
        PreTokenizer::Sequence { pretokenizers } => {
            for each in pretokenizers {
                collect(each, steps)?;
            }
        }
        other => return Err(refused(&format!("{other:?}"))),
    }
    Ok(())
}

fn split(pattern: &Pattern, behavior: Behavior, invert: bool) -> Result<Step> {
    let unknown = || refused(&format!("Split {pattern:?}"));
    let (set, runs) = match pattern {
        // The empty pattern matches between all characters.
        Pattern::String(text) | Pattern::Regex(text) if text.is_empty() => {
            if behavior == Behavior::Removed && invert {
                return Err(unknown());
            }
            return Ok(Step::new(Set::all(), Behavior::Isolated));
        }
        Pattern::String(text) => {
            let mut characters = text.chars();
            let (Some(one), None) = (characters.next(), characters.next()) else {
                return Err(unknown());
            };
            (Set::one(one), false)
        }
        Pattern::Regex(regex) => Set::parse(regex).ok_or_else(unknown)?,
    };
    Ok(Step { set, runs, behavior, invert })
}

pub fn refused(found: &str) -> Error {
    Error::Pipeline { part: "pre-tokenizer", found: found.into() }
}
