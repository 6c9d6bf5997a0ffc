//! Normalizing a unit, and the codes of its words.

use super::alphabet::Alphabet;
use super::splitting::Splitting;
use super::stages::Stages;
use crate::tokenize::unit::Stretch;

/// A character's treatment: a tag and a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known(u32);

impl Known {
    const NUMBER: u32 = 28;
    /// Maximum number of codes per character that are remembered.
    const LENGTH: u32 = 6;
    const NOTHING: Self = Self(0);
    /// Its result depends on its neighbours.
    const JOINED: Self = Self(1 << Self::NUMBER);
    /// Only the library can encode it.
    const EXCEPTION: Self = Self(2 << Self::NUMBER);
    /// From here on, the result is independent of the neighbours: one code.
    const ONE: u32 = 3;
    /// Several codes: an index into the pool and, in the low bits, their number.
    const SEVERAL: u32 = 4;
    /// The same as the previous two, but only among characters of three and more bytes.
    const WIDE_ONE: u32 = 5;
    const WIDE_SEVERAL: u32 = 6;

    fn new(codes: &[u32], wide: bool, pool: &mut Vec<u32>) -> Option<Self> {
        let more = if wide { 2 } else { 0 };
        if let [code] = *codes {
            return Some(Self((Self::ONE + more) << Self::NUMBER | code));
        }
        let place = u32::try_from(pool.len()).ok()?;
        let length = u32::try_from(codes.len()).ok()?;
        if length >> Self::LENGTH != 0 || place >> (Self::NUMBER - Self::LENGTH) != 0 {
            return None;
        }
        pool.extend_from_slice(codes);
        Some(Self((Self::SEVERAL + more) << Self::NUMBER | place << Self::LENGTH | length))
    }

    fn tag(self) -> u32 {
        self.0 >> Self::NUMBER
    }

    fn is_independent(self) -> bool {
        matches!(self.tag(), Self::ONE | Self::SEVERAL)
    }

    fn is_wide(self) -> bool {
        matches!(self.tag(), Self::WIDE_ONE | Self::WIDE_SEVERAL)
    }

    /// Append its codes.
    #[inline]
    fn write(self, pool: &[u32], codes: &mut Vec<u32>) {
        let number = self.0 & ((1 << Self::NUMBER) - 1);
        if self.tag() & 1 == 1 {
            codes.push(number);
        } else {
            let (place, length) = (number >> Self::LENGTH, number & ((1 << Self::LENGTH) - 1));
            codes.extend_from_slice(&pool[place as usize..(place + length) as usize]);
        }
    }
}

/// A thread's buffers and its cache of characters' treatments.
#[derive(Debug, Default)]
pub struct Words {
    /// By code point; filled on first use.
    known: Vec<Known>,
    pool: Vec<u32>,
    /// The code of the space, then a unit's codes.
    pub codes: Vec<u32>,
    text: String,
    spare: String,
}

/// The tables for normalizing a unit.
#[derive(Debug)]
pub struct Tables {
    /// The normalizers.
    pub stages: Stages,
    /// The codes.
    pub alphabet: Alphabet,
    /// The pre-tokenizer.
    pub splitting: Splitting,
    /// Sorted code points that the library treats differently.
    pub exceptions: Vec<u32>,
}

impl Words {
    /// Normalize `unit` into `codes`, after a space; false if the library must encode it.
    pub fn read(&mut self, unit: &str, tables: &Tables) -> bool {
        self.grow();
        self.codes.clear();
        self.codes.push(tables.alphabet.code(tables.splitting.space));
        // Where the last character began, in the text and in the codes, if it stands alone so far.
        let mut last = None;
        let mut rest = unit.chars();
        loop {
            let at = unit.len() - rest.as_str().len();
            let Some(character) = rest.next() else { return true };
            let known = self.look(character, tables);
            if known.is_independent() {
                last = Some((at, self.codes.len()));
                known.write(&self.pool, &mut self.codes);
                continue;
            }
            let (from, length) = last.take().unwrap_or((at, self.codes.len()));
            self.codes.truncate(length);
            let segment = &unit[from..];
            let Some(end) = self.read_joined(segment, tables) else { return false };
            rest = segment[end..].chars();
        }
    }

    /// Normalize a stretch as a whole into `codes`, after a space; see [`Stages::apply_whole`]. False if
    /// the library must encode it.
    pub fn read_whole(&mut self, stretch: Stretch<'_>, tables: &Tables) -> bool {
        let excepted = |c: char| tables.exceptions.binary_search(&u32::from(c)).is_ok();
        if stretch.text.chars().any(excepted) {
            return false;
        }
        let ends = (stretch.begins_piece, stretch.ends_piece);
        tables.stages.apply_whole(stretch.text, ends, &mut self.text, &mut self.spare);
        self.codes.clear();
        self.codes.push(tables.alphabet.code(tables.splitting.space));
        let codes = self.text.chars().map(|c| tables.splitting.code(c, &tables.alphabet));
        self.codes.extend(codes);
        true
    }

    /// Read `text` up to the next character that is independent of its neighbours; return the number of
    /// bytes, or `None` if the library must encode them.
    fn read_joined(&mut self, text: &str, tables: &Tables) -> Option<usize> {
        let mut wide = true;
        let mut end = text.len();
        let mut characters = text.char_indices().peekable();
        while let Some((at, character)) = characters.next() {
            let known = self.look(character, tables);
            if known == Known::EXCEPTION {
                return None;
            }
            wide &= known.is_wide() || known.is_independent() && character.len_utf8() >= 3;
            if known.is_independent()
                && let Some(&(_, next)) = characters.peek()
                && self.look(next, tables).is_independent()
            {
                end = at + character.len_utf8();
                break;
            }
        }
        let joined = &text[..end];
        if wide {
            for character in joined.chars() {
                self.look(character, tables).write(&self.pool, &mut self.codes);
            }
        } else {
            tables.stages.apply(joined, &mut self.text, &mut self.spare);
            let codes = self.text.chars().map(|c| tables.splitting.code(c, &tables.alphabet));
            self.codes.extend(codes);
        }
        Some(end)
    }

    /// The code of a character, if it is a single one that does not depend on the neighbours.
    pub fn lone_code(&mut self, character: char, tables: &Tables) -> Option<u32> {
        self.grow();
        let known = self.look(character, tables);
        (known.tag() == Known::ONE).then_some(known.0 & ((1 << Known::NUMBER) - 1))
    }

    fn grow(&mut self) {
        if self.known.is_empty() {
            self.known = vec![Known::NOTHING; 0x11_0000];
        }
    }

    #[inline]
    fn look(&mut self, character: char, tables: &Tables) -> Known {
        match self.known[character as usize] {
            Known::NOTHING => self.learn(character, tables),
            known => known,
        }
    }

    #[cold]
    fn learn(&mut self, character: char, tables: &Tables) -> Known {
        let known = if tables.exceptions.binary_search(&u32::from(character)).is_ok() {
            Known::EXCEPTION
        } else {
            let alone = tables.stages.alone(character);
            let codes = alone.text.chars().map(|c| tables.splitting.code(c, &tables.alphabet));
            let codes: Vec<u32> = codes.collect();
            let wide = tables.stages.is_charsmap() && character.len_utf8() >= 3;
            let known = if alone.independent || wide {
                Known::new(&codes, !alone.independent, &mut self.pool)
            } else {
                None
            };
            known.unwrap_or(Known::JOINED)
        };
        self.known[character as usize] = known;
        known
    }
}
