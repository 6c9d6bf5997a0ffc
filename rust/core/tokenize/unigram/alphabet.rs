//! Characters as small numbers, those of the vocabulary first.

/// The code of white space that ends a word.
pub const WHITE: u32 = 0;
/// Codes of characters that no piece holds begin here; below, there is one for each that some does.
const FOREIGN: u32 = 1 << 21;

/// Character <-> code.
#[derive(Debug, Clone)]
pub struct Alphabet {
    /// By code point; 0 where there is none.
    codes: Vec<u32>,
    /// By code.
    letters: Vec<char>,
}

impl Default for Alphabet {
    fn default() -> Self {
        Self { codes: vec![0; 0x11_0000], letters: vec!['\0'] }
    }
}

impl Alphabet {
    /// The code of `character`, which gets one if it has none yet.
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

    /// How many codes there are below those of foreign characters, [`WHITE`] included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.letters.len()
    }
}
