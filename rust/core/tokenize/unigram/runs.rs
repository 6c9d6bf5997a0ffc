//! Runs of white space that become words, or parts of words.

use crate::tokenize::unit::Unit;

/// White space that is not only a border: it becomes spaces, which are words, or parts of words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runs {
    /// A run becomes one space.
    Squeezed,
    /// Each byte becomes a space, and each space is a word or begins one.
    Single {
        /// A carriage return and a line feed become one space.
        line_end: bool,
    },
    /// A run and the word after it are one unit.
    WithWord,
}

impl Runs {
    /// Add what the white space from `start` up to `next` needs besides the last of it, which stands for
    /// the space before `next`.
    pub fn add(self, text: &str, start: u32, next: &mut Unit, units: &mut Vec<Unit>) {
        match self {
            Self::Single { line_end } => {
                let joined = line_end && text[..next.start as usize].ends_with("\r\n");
                let end = next.start.saturating_sub(if joined { 2 } else { 1 });
                units.extend((end > start).then_some(Unit { start, end }));
            }
            Self::WithWord if next.start - start > 1 => next.start = start,
            Self::Squeezed | Self::WithWord => {}
        }
    }
}
