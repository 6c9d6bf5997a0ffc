//! Words so short that looking each up would take longest: single characters, and literal texts.

use super::literals::Literals;
use super::model::WordIds;
use super::same_length::SameLength;
use super::steps::Steps;
use crate::tokenize::file::AddedToken;
use crate::tokenize::output::{Ids, StoredId};

/// Marks a byte that is not a word by itself.
const NONE: u32 = u32::MAX;

/// Writes the ids of short words.
pub struct Short {
    /// The id of each byte that is a word whatever its neighbours are.
    bytes: [u32; 256],
    choice: Option<Choice>,
    /// The bytes of `bytes` between which a text can be cut.
    apart: [bool; 256],
}

struct Choice {
    literals: Literals,
    /// Those that can be looked up without the tree.
    same_length: Option<SameLength>,
    /// The ids of each literal; `None` if the library has an error for one.
    ids: Vec<Option<Vec<u32>>>,
    /// Whether no literal contains white space.
    without_white_space: bool,
    /// The bytes of literals of more than one byte.
    in_longer: [bool; 256],
}

impl Short {
    /// Words are single characters.
    pub fn characters(steps: &Steps, model: &WordIds) -> Self {
        let mut bytes = [NONE; 256];
        for byte in 0..128_u8 {
            let character = char::from(byte);
            if !steps.removes(steps.class(character)) {
                let id = model.id(character.encode_utf8(&mut [0; 4]));
                bytes[usize::from(byte)] = id.unwrap_or(NONE);
            }
        }
        Self { bytes, choice: None, apart: [false; 256] }
    }

    /// The text is cut at `literals`, which are dropped if they are `removed`, and then in `steps`.
    pub fn literals(literals: &[String], removed: bool, steps: &Steps, model: &WordIds) -> Self {
        let ids_of = |literal: &String| -> Option<Vec<u32>> {
            let mut all = Some(Vec::new());
            if !removed {
                steps.words(literal, |start, end| {
                    match (&mut all, model.id(&literal[start..end])) {
                        (Some(ids), Some(id)) => ids.push(id),
                        _ => all = None,
                    }
                });
            }
            all
        };
        let ids: Vec<_> = literals.iter().map(ids_of).collect();
        let tree = Literals::new(literals);
        let (mut bytes, mut in_longer, mut begins_longer) =
            ([NONE; 256], [false; 256], [false; 256]);
        for literal in literals.iter().filter(|literal| literal.len() > 1) {
            begins_longer[usize::from(literal.as_bytes()[0])] = true;
            literal.bytes().for_each(|byte| in_longer[usize::from(byte)] = true);
        }
        for literal in literals.iter().filter(|literal| literal.len() == 1) {
            let byte = literal.as_bytes()[0];
            if let Some((number, 1)) = tree.at(&[byte])
                && !begins_longer[usize::from(byte)]
                && let Some([id]) = ids[number].as_deref()
            {
                bytes[usize::from(byte)] = *id;
            }
        }
        let without_white_space = !literals.iter().any(|it| it.contains(char::is_whitespace));
        let one_id = |number: usize| match ids[number].as_deref() {
            Some([id]) => Some(*id),
            _ => None,
        };
        let same_length = SameLength::new(literals, &tree, one_id);
        let choice = Choice { literals: tree, same_length, ids, without_white_space, in_longer };
        Self { bytes, choice: Some(choice), apart: [false; 256] }
    }

    /// Allow cuts between the bytes that are in no added token and in no longer literal.
    pub fn with_cuts(mut self, added: &[AddedToken]) -> Self {
        if added.iter().any(|token| token.single_word) {
            return self;
        }
        for byte in 0..128_u8 {
            let place = usize::from(byte);
            let is = |other: u8| other.eq_ignore_ascii_case(&byte);
            let white = byte.is_ascii_whitespace() || byte == b'\x0b';
            self.apart[place] = self.bytes[place] != NONE
                && !white
                && !added.iter().any(|token| token.content.bytes().any(is))
                && !self.choice.as_ref().is_some_and(|choice| choice.in_longer[place]);
        }
        self
    }

    /// Whether no word continues across white space because of a literal.
    pub fn keeps_white_space_apart(&self) -> bool {
        self.choice.as_ref().is_none_or(|choice| choice.without_white_space)
    }

    /// The first position from `at` on between three such bytes; `None` if they are not right there.
    pub fn cut_after(&self, text: &[u8], at: usize) -> Option<usize> {
        const LOOKED_AT: usize = 256;
        let from = at.max(1) - 1;
        let rest = text.get(from..)?;
        let is = |byte: u8| self.apart[usize::from(byte)];
        rest[..rest.len().min(LOOKED_AT)]
            .windows(3)
            .position(|around| is(around[0]) && is(around[1]) && is(around[2]))
            .map(|found| from + found + 1)
    }

    /// Append the ids of `text`; false if the library must encode it.
    pub fn write<T: StoredId>(
        &self,
        text: &str,
        steps: &Steps,
        model: &WordIds,
        ids: &mut Ids<T>,
    ) -> bool {
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            at += ids.append_bytes(&bytes[at..], &self.bytes);
            if at == bytes.len() {
                break;
            }
            let after = match &self.choice {
                Some(choice) => self.literal(choice, text, at, steps, model, ids),
                None => character(text, at, steps, model, ids),
            };
            let Some(after) = after else { return false };
            at = after;
        }
        true
    }

    /// Append the ids of the literals at `at`, or of the text before the next one; return its end.
    #[inline]
    fn literal<T: StoredId>(
        &self,
        choice: &Choice,
        text: &str,
        mut at: usize,
        steps: &Steps,
        model: &WordIds,
        ids: &mut Ids<T>,
    ) -> Option<usize> {
        let bytes = text.as_bytes();
        let from = at;
        if let Some(same_length) = &choice.same_length {
            at += same_length.ids(&bytes[at..], |id| ids.push(id));
        }
        while let Some((number, length)) = choice.literals.at(&bytes[at..]) {
            match choice.ids[number].as_deref()? {
                [id] => ids.push(*id),
                more => ids.append(more),
            }
            at += length;
        }
        if at > from {
            return Some(at);
        }
        let next = |&at: &usize| {
            self.bytes[usize::from(bytes[at])] != NONE || choice.literals.at(&bytes[at..]).is_some()
        };
        let end = (at + 1..bytes.len()).find(next).unwrap_or(bytes.len());
        let mut known = true;
        let gap = &text[at..end];
        steps.words(gap, |start, end| match model.id(&gap[start..end]) {
            Some(id) => ids.push(id),
            None => known = false,
        });
        known.then_some(end)
    }
}

/// Append the id of the character at `at`; return its end.
fn character<T: StoredId>(
    text: &str,
    at: usize,
    steps: &Steps,
    model: &WordIds,
    ids: &mut Ids<T>,
) -> Option<usize> {
    let character = text[at..].chars().next()?;
    let end = at + character.len_utf8();
    if !steps.removes(steps.class(character)) {
        ids.push(model.id(&text[at..end])?);
    }
    Some(end)
}
