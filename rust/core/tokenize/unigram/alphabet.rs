//! Mapping characters to small numbers (codes), those of the vocabulary first.

/// The code of white space that ends a word.
pub const WHITE: u32 = 0;
/// The first code of characters outside of the vocabulary.
const FOREIGN: u32 = 1 << 21;

/// Character <-> code.
#[derive(Debug, Clone)]
pub struct Alphabet {
    /// Code point -> code; 0 if it has none.
    codes: Vec<u32>,
    /// Code -> character.
    letters: Vec<char>,
}

impl Default for Alphabet {
    fn default() -> Self {
        Self { codes: vec![0; 0x11_0000], letters: vec!['\0'] }
    }
}

impl Alphabet {
    /// The code of `character`, assigned on first use.
    pub fn add(&mut self, character: char) -> u32 {
        let code = &mut self.codes[character as usize];
        if *code == 0 {
            // There are fewer characters than 2^21.
            *code = u32::try_from(self.letters.len()).unwrap_or(FOREIGN);
            self.letters.push(character);
        }
        *code
    }

    /// The code of `character`.
    #[inline]
    #[must_use]
    pub fn code(&self, character: char) -> u32 {
        match self.codes[character as usize] {
            0 => FOREIGN + u32::from(character),
            code => code,
        }
    }

    /// The character of a code other than [`WHITE`].
    #[must_use]
    pub fn character(&self, code: u32) -> Option<char> {
        match code.checked_sub(FOREIGN) {
            Some(point) => char::from_u32(point),
            None => self.letters.get(code as usize).copied(),
        }
    }

    /// Number of codes below those of foreign characters, including [`WHITE`].
    #[must_use]
    pub fn len(&self) -> usize {
        self.letters.len()
    }
}
