//! What may lie beside a character without a change to either.

use std::sync::atomic::{AtomicU8, Ordering};

use super::words::Tables;

/// Properties of all characters, found on first use.
#[derive(Debug)]
pub struct Edges {
    known: Box<[AtomicU8]>,
    /// Whether spaces that come of a character are more than a border.
    spaces_matter: bool,
}

/// Properties of a character.
#[derive(Debug, Clone, Copy)]
pub struct Edge(u8);

impl Edge {
    const KNOWN: u8 = 1;
    const STARTS: u8 = 2;
    const ENDS: u8 = 4;
    const GOES: u8 = 8;
    const FIRST_STAYS: u8 = 16;
    const LAST_STAYS: u8 = 32;

    /// White space may end before it.
    pub fn starts(self) -> bool {
        self.0 & Self::STARTS != 0
    }

    /// White space may begin after it.
    pub fn ends(self) -> bool {
        self.0 & Self::ENDS != 0
    }

    /// It is removed around a text.
    pub fn goes(self) -> bool {
        self.0 & Self::GOES != 0
    }

    /// It begins with something that is not removed before a text.
    pub fn first_stays(self) -> bool {
        self.0 & Self::FIRST_STAYS != 0
    }

    /// It ends in something that is not removed after a text.
    pub fn last_stays(self) -> bool {
        self.0 & Self::LAST_STAYS != 0
    }
}

impl Edges {
    /// Nothing is known yet.
    pub fn new(spaces_matter: bool) -> Self {
        let known = (0..0x11_0000).map(|_| AtomicU8::new(0)).collect();
        Self { known, spaces_matter }
    }

    /// The properties of `character`.
    #[inline]
    pub fn of(&self, character: char, tables: &Tables) -> Edge {
        match self.known[character as usize].load(Ordering::Relaxed) {
            0 => self.learn(character, tables),
            edge => Edge(edge),
        }
    }

    #[cold]
    fn learn(&self, character: char, tables: &Tables) -> Edge {
        let alone = tables.stages.alone(character);
        let (mut starts, mut ends) = (alone.starts, alone.ends);
        if self.spaces_matter {
            let space = tables.splitting.space;
            let visible = |c: char| {
                c != ' ' && c != space && !(tables.splitting.at_white && c.is_whitespace())
            };
            starts &= alone.text.chars().next().is_some_and(visible);
            ends &= alone.text.chars().next_back().is_some_and(visible);
        }
        let bit = |is, bit| if is { bit } else { 0 };
        let edge = Edge::KNOWN
            | bit(starts, Edge::STARTS)
            | bit(ends, Edge::ENDS)
            | bit(alone.stripped.goes, Edge::GOES)
            | bit(alone.stripped.first_stays, Edge::FIRST_STAYS)
            | bit(alone.stripped.last_stays, Edge::LAST_STAYS);
        self.known[character as usize].store(edge, Ordering::Relaxed);
        Edge(edge)
    }
}
