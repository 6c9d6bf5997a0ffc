//! Splitting at literal texts: at each place, the first alternative that matches.

/// Marks the absence of a node or a literal.
const NONE: u32 = u32::MAX;

/// The alternatives, as a tree of bytes.
pub struct Literals {
    /// The number of each byte that occurs, from 1; 0 for the others.
    symbols: [u8; 256],
    width: usize,
    /// The node for each symbol after each node.
    children: Vec<u32>,
    /// The first alternative that ends at each node.
    ends: Vec<u32>,
}

impl Literals {
    /// A choice between `literals`, none of which is empty.
    pub fn new(literals: &[String]) -> Self {
        let mut symbols = [0; 256];
        let mut width = 1;
        for byte in literals.iter().flat_map(|literal| literal.bytes()) {
            if symbols[usize::from(byte)] == 0 {
                // UTF-8 has fewer than 255 values of a byte.
                symbols[usize::from(byte)] = u8::try_from(width).unwrap_or(0);
                width += 1;
            }
        }
        let mut all = Self { symbols, width, children: vec![NONE; width], ends: vec![NONE] };
        for (number, literal) in (0..).zip(literals) {
            all.insert(number, literal.as_bytes());
        }
        all
    }

    fn insert(&mut self, number: u32, literal: &[u8]) {
        let mut node = 0;
        for &byte in literal {
            let place = node * self.width + usize::from(self.symbols[usize::from(byte)]);
            if self.children[place] == NONE {
                self.children[place] = u32::try_from(self.ends.len()).unwrap_or(NONE);
                self.ends.push(NONE);
                self.children.resize(self.children.len() + self.width, NONE);
            }
            node = self.children[place] as usize;
        }
        self.ends[node] = self.ends[node].min(number);
    }

    /// The number and the length of the first alternative that `text` begins with.
    #[inline]
    pub fn at(&self, text: &[u8]) -> Option<(usize, usize)> {
        let (mut node, mut first, mut length) = (0, NONE, 0);
        for (at, &byte) in text.iter().enumerate() {
            let child =
                self.children[node * self.width + usize::from(self.symbols[usize::from(byte)])];
            if child == NONE {
                break;
            }
            node = child as usize;
            if self.ends[node] < first {
                (first, length) = (self.ends[node], at + 1);
            }
        }
        (first != NONE).then_some((first as usize, length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_alternative_wins() {
        let literals =
            |all: &[&str]| Literals::new(&all.iter().map(|&it| it.into()).collect::<Vec<_>>());
        let long = literals(&["<cls>", "ACG", "A", "é", "è"]);
        assert_eq!(long.at(b"ACGT"), Some((1, 3)));
        assert_eq!(long.at(b"ACT"), Some((2, 1)));
        assert_eq!(long.at(b"<cls>A"), Some((0, 5)));
        assert_eq!(long.at("èA".as_bytes()), Some((4, 2)));
        assert_eq!(long.at("êA".as_bytes()), None);
        assert_eq!(long.at(b"<cl"), None);
        assert_eq!(long.at(b""), None);
        let short = literals(&["A", "ACG", "CG", "C", "CG"]);
        assert_eq!(short.at(b"ACG"), Some((0, 1)));
        assert_eq!(short.at(b"CG"), Some((2, 2)));
    }
}
