//! A double-array trie of a vocabulary's pieces over the codes of characters.
//!
//! A node is an array index; its child by a code is at `base + code` and refers to its parent.
//! Arithmetic wraps: a base may be "negative".

/// The root's index. Its base is 0, so that its child by a code is at the code itself.
const ROOT: u32 = 0;
/// An index that no node has.
const NONE: u32 = u32::MAX;
/// After this many positions that did not fit several children, they are not tried again.
const TRIES: usize = 16;

/// A node.
#[derive(Debug, Clone, Copy)]
pub struct Node {
    base: u32,
    parent: u32,
    /// The score of the piece that ends here, negative infinity if none does.
    pub score: f64,
}

const FREE: Node = Node { base: NONE, parent: NONE, score: f64::NEG_INFINITY };

/// Codes of a piece -> its score and id.
#[derive(Debug, Clone, Default)]
pub struct Trie {
    nodes: Vec<Node>,
    ids: Vec<u32>,
}

/// A piece: its codes, score and id.
pub type Piece<'a> = (&'a [u32], f64, u32);

impl Trie {
    /// The child of the root by `code`, and its index.
    #[inline]
    #[must_use]
    pub fn first(&self, code: u32) -> Option<(u32, &Node)> {
        let node = self.nodes.get(code as usize)?;
        (node.parent == ROOT).then_some((code, node))
    }

    /// The child by `code` of `node` at index `place`, and its index.
    #[inline]
    #[must_use]
    pub fn next(&self, place: u32, node: &Node, code: u32) -> Option<(u32, &Node)> {
        if node.base == NONE {
            return None;
        }
        let child = node.base.wrapping_add(code);
        let node = self.nodes.get(child as usize)?;
        (node.parent == place).then_some((child, node))
    }

    /// The id of the piece that ends at `place`.
    #[inline]
    #[must_use]
    pub fn id(&self, place: u32) -> u32 {
        self.ids[place as usize]
    }

    /// The id of the piece of these codes.
    #[must_use]
    pub fn find(&self, codes: &[u32]) -> Option<u32> {
        let (&first, rest) = codes.split_first()?;
        let mut node = self.first(first)?;
        for &code in rest {
            node = self.next(node.0, node.1, code)?;
        }
        (node.1.score > f64::NEG_INFINITY).then(|| self.id(node.0))
    }

    /// Build a trie of `pieces`, none of which is empty, over codes from 1 to below `codes`. The last
    /// of several equal pieces counts.
    #[must_use]
    pub fn new(mut pieces: Vec<Piece<'_>>, codes: usize) -> Self {
        // A stable sort, so that the last of equals stays the last.
        pieces.sort_by_cached_key(|&(codes, ..)| {
            (0..3)
                .fold(0_u64, |key, at| key << 21 | codes.get(at).map_or(0, |&code| u64::from(code)))
        });
        for same in pieces.chunk_by_mut(|a, b| a.0.iter().take(3).eq(b.0.iter().take(3))) {
            if same.len() > 1 {
                same.sort_by(|a, b| a.0.cmp(b.0));
            }
        }
        Builder::new(&pieces).build(codes)
    }
}

/// The nodes by number, in the order of a walk through the sorted pieces.
struct Builder {
    parents: Vec<u32>,
    codes: Vec<u32>,
    scores: Vec<f64>,
    ids: Vec<u32>,
}

impl Builder {
    fn new(pieces: &[Piece<'_>]) -> Self {
        let mut all = Self {
            parents: vec![NONE],
            codes: vec![0],
            scores: vec![f64::NEG_INFINITY],
            ids: vec![0],
        };
        let mut path = vec![0_u32];
        let mut before: &[u32] = &[];
        for &(codes, score, id) in pieces {
            let common = before.iter().zip(codes).take_while(|(a, b)| a == b).count();
            path.truncate(common + 1);
            for (depth, &code) in codes.iter().enumerate().skip(common) {
                let number = u32::try_from(all.codes.len()).unwrap_or(NONE);
                all.parents.push(path[depth]);
                all.codes.push(code);
                all.scores.push(f64::NEG_INFINITY);
                all.ids.push(0);
                path.push(number);
            }
            let last = path[codes.len()] as usize;
            all.scores[last] = score;
            all.ids[last] = id;
            before = codes;
        }
        all
    }

    /// Give every node a place.
    fn build(&self, codes: usize) -> Trie {
        let count = self.codes.len();
        // The children of a node are `children[starts[node]..starts[node + 1]]`, by code.
        let mut starts = vec![0_u32; count + 1];
        for &parent in &self.parents[1..] {
            starts[parent as usize + 1] += 1;
        }
        for node in 0..count {
            starts[node + 1] += starts[node];
        }
        let mut children = vec![0_u32; count - 1];
        let mut filled = starts.clone();
        for (node, &parent) in (0_u32..).zip(&self.parents).skip(1) {
            let at = &mut filled[parent as usize];
            children[*at as usize] = node;
            *at += 1;
        }
        let of = |node: usize| &children[starts[node] as usize..starts[node + 1] as usize];

        let mut places = Places::new(codes, count);
        let mut place_of = vec![0_u32; count];
        let mut trie = Trie { nodes: vec![FREE; codes], ids: vec![0; codes] };
        trie.nodes[0].base = 0;
        for &child in of(0) {
            let place = self.codes[child as usize];
            places.take(place);
            place_of[child as usize] = place;
        }
        // Nodes with many children first, while there is space for them; single children fit anywhere.
        let mut families: Vec<u32> =
            (1..).take(count - 1).filter(|&node| !of(node as usize).is_empty()).collect();
        families.sort_by_key(|&node| std::cmp::Reverse(of(node as usize).len().min(255)));
        let mut bases = vec![NONE; count];
        let mut wanted = Vec::new();
        for node in families {
            let family = of(node as usize);
            wanted.clear();
            wanted.extend(family.iter().map(|&child| self.codes[child as usize]));
            let base = places.base(&wanted);
            bases[node as usize] = base;
            for (&child, &code) in family.iter().zip(&wanted) {
                let place = base.wrapping_add(code);
                places.take(place);
                place_of[child as usize] = place;
            }
        }
        trie.nodes.resize(places.len(), FREE);
        trie.ids.resize(places.len(), 0);
        for node in 1..count {
            let place = place_of[node] as usize;
            trie.nodes[place] = Node {
                base: bases[node],
                parent: place_of[self.parents[node] as usize],
                score: self.scores[node],
            };
            trie.ids[place] = self.ids[node];
        }
        trie
    }
}

/// Which places are free: a ring of those, by next and previous, through place 0.
struct Places {
    next: Vec<u32>,
    previous: Vec<u32>,
    taken: Vec<bool>,
    /// Before this place there are few holes that several children fit around.
    frontier: u32,
}

impl Places {
    fn new(first: usize, room: usize) -> Self {
        let mut places = Self {
            next: Vec::with_capacity(room + room / 8),
            previous: Vec::with_capacity(room + room / 8),
            taken: Vec::with_capacity(room + room / 8),
            frontier: 0,
        };
        places.next.push(0);
        places.previous.push(0);
        places.taken.push(true);
        places.reach(first);
        places
    }

    fn len(&self) -> usize {
        self.taken.len()
    }

    /// Grow to at least `count` positions.
    fn reach(&mut self, count: usize) {
        while self.taken.len() < count {
            let place = u32::try_from(self.taken.len()).unwrap_or(NONE);
            let last = self.previous[0];
            self.next.push(0);
            self.previous.push(last);
            self.taken.push(false);
            self.next[last as usize] = place;
            self.previous[0] = place;
        }
    }

    fn take(&mut self, place: u32) {
        self.reach(place as usize + 1);
        let place = place as usize;
        let (next, previous) = (self.next[place], self.previous[place]);
        self.next[previous as usize] = next;
        self.previous[next as usize] = previous;
        self.taken[place] = true;
    }

    /// A base at which all `codes`, which ascend, have free places or places past the end.
    fn base(&mut self, codes: &[u32]) -> u32 {
        // An only child takes the first hole; for more there is hardly one before the frontier.
        let mut place = if codes.len() == 1 { self.next[0] } else { self.frontier() };
        let mut tries = 0;
        while place != 0 {
            let base = place.wrapping_sub(codes[0]);
            let is_free =
                |&code: &u32| self.taken.get(base.wrapping_add(code) as usize) != Some(&true);
            if base != NONE && codes.iter().all(is_free) {
                self.reach_all(base, codes);
                return base;
            }
            place = self.next[place as usize];
            tries += 1;
            if tries % TRIES == 0 && codes.len() > 1 {
                self.frontier = place;
            }
        }
        let end = u32::try_from(self.len()).unwrap_or(NONE);
        if codes.len() > 1 {
            // The caller takes it.
            self.frontier = end;
        }
        let base = end.wrapping_sub(codes[0]);
        self.reach_all(base, codes);
        base
    }

    /// Grow so that there are positions for all `codes`.
    fn reach_all(&mut self, base: u32, codes: &[u32]) {
        if let Some(&last) = codes.last() {
            self.reach(base.wrapping_add(last) as usize + 2);
        }
    }

    /// The first free position from the frontier on, 0 if there is none.
    fn frontier(&mut self) -> u32 {
        // A position that was taken still refers to the next one.
        while self.taken[self.frontier as usize] {
            match self.next[self.frontier as usize] {
                0 => return 0,
                next => self.frontier = next,
            }
        }
        self.frontier
    }
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Children with distant codes must not leave most positions between them unused.
    #[test]
    fn few_places_are_left_free() {
        let mut pieces = Vec::new();
        for first in 1..200 {
            for second in [1 + first, 9000 + first, 9500] {
                for third in [7, 9999] {
                    pieces.push((vec![first, second, third], -1.0, first));
                }
            }
        }
        let list: Vec<_> =
            pieces.iter().map(|(codes, score, id)| (&codes[..], *score, *id)).collect();
        let places = Trie::new(list, 10_000).nodes.len();
        assert!(places < 40_000, "{places}");
    }

    #[test]
    fn every_piece_is_found_and_nothing_else() {
        let mut state = 3_u64;
        let mut next = |count: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % count
        };
        for round in 1..30 {
            let letters = 1 + next(60);
            let mut pieces = Vec::new();
            for id in 0..round * 40_u32 {
                let codes: Vec<u32> = (0..=next(6)).map(|_| 1 + next(letters) as u32).collect();
                pieces.push((codes, -f64::from(id), id));
            }
            let list = pieces.iter().map(|(codes, score, id)| (&codes[..], *score, *id)).collect();
            let trie = Trie::new(list, 1 + letters as usize);
            let known: BTreeMap<_, _> =
                pieces.iter().map(|(codes, _, id)| (codes.clone(), *id)).collect();
            for (codes, id) in &known {
                assert_eq!(trie.find(codes), Some(*id));
            }
            for _ in 0..2000 {
                let codes: Vec<u32> = (0..=next(7)).map(|_| next(letters + 9) as u32).collect();
                assert_eq!(trie.find(&codes), known.get(&codes).copied(), "{codes:?}");
            }
            assert_eq!(trie.find(&[u32::MAX]), None);
        }
    }
}
