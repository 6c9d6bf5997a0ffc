//! Clusters of documents, as a union-find over their numbers.

use crate::{Error, Result};

/// Which documents belong together. The lowest number of a cluster stands for it, so the clusters do
/// not depend on the order in which documents are joined. A document takes four bytes.
pub struct Clusters {
    /// A lower number of the same cluster, or the document's own.
    parents: Vec<u32>,
}

impl Clusters {
    /// Each of the documents `0..count` by itself.
    ///
    /// # Errors
    /// `count` exceeds 2^32.
    pub fn new(count: u64) -> Result<Self> {
        if count > 1 << 32 {
            return Err(Error::TooLarge);
        }
        let parents = (0..count).filter_map(|number| u32::try_from(number).ok()).collect();
        Ok(Self { parents })
    }

    /// Join documents, of which each two numbers of `pairs` belong together.
    ///
    /// # Errors
    /// A number is not one of a document.
    pub fn join(&mut self, pairs: &[u32]) -> Result<()> {
        let count = self.parents.len();
        if let Some(&number) = pairs.iter().find(|&&number| number as usize >= count) {
            return Err(Error::NoSuchDocument { number, count });
        }
        let (pairs, _) = pairs.as_chunks::<2>();
        for &[one, other] in pairs {
            let (one, other) = (self.first(one), self.first(other));
            self.parents[one.max(other) as usize] = one.min(other);
        }
        Ok(())
    }

    /// The documents that are not the first of their cluster, in ascending order.
    #[must_use]
    pub fn duplicates(&self) -> Vec<u32> {
        (0..)
            .zip(&self.parents)
            .filter(|(number, parent)| number != *parent)
            .map(|(n, _)| n)
            .collect()
    }

    /// The lowest number of the cluster; halves the path to it.
    fn first(&mut self, mut number: u32) -> u32 {
        loop {
            let parent = self.parents[number as usize];
            if parent == number {
                return number;
            }
            let above = self.parents[parent as usize];
            self.parents[number as usize] = above;
            number = above;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::cast_possible_truncation)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_cluster_is_kept() {
        let mut clusters = Clusters::new(10).unwrap();
        clusters.join(&[8, 9, 3, 8]).unwrap();
        clusters.join(&[5, 5, 1, 2]).unwrap();
        assert_eq!(clusters.duplicates(), [2, 8, 9]);
        clusters.join(&[9, 1]).unwrap();
        assert_eq!(clusters.duplicates(), [2, 3, 8, 9]);
        assert!(clusters.join(&[1, 10]).is_err());
        assert!(Clusters::new((1 << 32) + 1).is_err());
        assert!(Clusters::new(0).unwrap().duplicates().is_empty());
    }

    #[test]
    fn the_order_of_joining_makes_no_difference() {
        let draw = |at: u32, of: u32| (crate::rng::mix(u64::from(at)) % u64::from(of)) as u32;
        let pairs: Vec<[u32; 2]> =
            (0..300).map(|at| [draw(2 * at, 500), draw(2 * at + 1, 500)]).collect();
        let clustered = |pairs: &[[u32; 2]]| {
            let mut clusters = Clusters::new(500).unwrap();
            clusters.join(pairs.as_flattened()).unwrap();
            clusters.duplicates()
        };
        let expected = clustered(&pairs);
        // The plain way: every label of one set becomes the lower one.
        let mut labels: Vec<u32> = (0..500).collect();
        for &[one, other] in &pairs {
            let (one, other) = (labels[one as usize], labels[other as usize]);
            labels.iter_mut().filter(|l| **l == one.max(other)).for_each(|l| *l = one.min(other));
        }
        let plain: Vec<u32> = (0..500).filter(|&n| labels[n as usize] != n).collect();
        assert_eq!(expected, plain);
        for turn in 1..20 {
            let mut turned = pairs.clone();
            turned.rotate_left(turn * 13);
            turned.iter_mut().step_by(turn).for_each(|pair| pair.reverse());
            assert_eq!(clustered(&turned), expected);
        }
    }
}
