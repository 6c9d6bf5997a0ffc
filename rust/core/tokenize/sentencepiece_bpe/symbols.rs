//! The symbols of characters, which merges then join.

use rustc_hash::FxHashMap;

use super::SPACE;
use crate::tokenize::model::Ids;

const NONE: u32 = u32::MAX;

/// The id of each character of the vocabulary, and what becomes of the others.
pub struct Symbols {
    ascii: [u32; 128],
    wide: FxHashMap<char, u32>,
    others: Others,
}

/// What becomes of a character that the vocabulary lacks.
#[derive(Debug, Clone)]
pub enum Others {
    /// Each of its bytes has an id.
    Bytes(Box<[u32; 256]>),
    /// It is unknown; several in a row are one if `fused`.
    Unknown { id: u32, fused: bool },
}

impl Symbols {
    /// Symbols of the vocabulary `vocab`.
    pub fn new(vocab: &Ids<'_>, others: Others) -> Self {
        let (mut ascii, mut wide) = ([NONE; 128], FxHashMap::default());
        for (token, &id) in vocab {
            let mut characters = token.chars();
            if let (Some(c), None) = (characters.next(), characters.next()) {
                match ascii.get_mut(c as usize) {
                    Some(place) => *place = id,
                    None => _ = wide.insert(c, id),
                }
            }
        }
        // The normalizer leaves none of them.
        ascii[usize::from(b' ')] = wide.get(&SPACE).copied().unwrap_or(NONE);
        Self { ascii, wide, others }
    }

    /// Whether unknown characters in a row are one.
    pub fn fuses(&self) -> bool {
        matches!(self.others, Others::Unknown { fused: true, .. })
    }

    /// Whether each character becomes symbols of its own.
    pub fn covers_all(&self) -> bool {
        matches!(self.others, Others::Bytes(_))
    }

    /// Whether there is a symbol for a space.
    pub fn has_space(&self) -> bool {
        self.ascii[usize::from(b' ')] != NONE
    }

    /// Append the symbols of `text`.
    pub fn append(&self, text: &str, symbols: &mut Vec<u32>) {
        let mut unknown = false;
        for c in text.chars() {
            let known = match self.ascii.get(c as usize) {
                Some(&id) => id,
                None => self.wide.get(&c).copied().unwrap_or(NONE),
            };
            if known != NONE {
                unknown = false;
                symbols.push(known);
                continue;
            }
            match &self.others {
                Others::Bytes(ids) => {
                    let mut bytes = [0; 4];
                    // A space stands for a longer character.
                    let c = if c == ' ' { SPACE } else { c };
                    let bytes = c.encode_utf8(&mut bytes).bytes();
                    symbols.extend(bytes.map(|byte| ids[usize::from(byte)]));
                }
                Others::Unknown { id, fused } => {
                    if !(*fused && unknown) {
                        symbols.push(*id);
                    }
                    unknown = true;
                }
            }
        }
    }
}
