//! The order of the blocks: every one once, every place alike, epochs unrelated.

use mlmfast_core::permutation::Permutation;
use proptest::prelude::*;

use crate::mask_cases::{chi_squared, deviations};

fn order(count: u64, seed: u64, epoch: u64) -> Vec<u64> {
    let order = Permutation::new(count, seed, epoch).unwrap();
    (0..count).map(|at| order.at(at).unwrap()).collect()
}

proptest! {
    #[test]
    fn every_element_comes_once(count in 0_u64..3_000, seed: u64, epoch: u64) {
        let mut elements = order(count, seed, epoch);
        elements.sort_unstable();
        prop_assert!(elements.into_iter().eq(0..count));
    }

    #[test]
    fn huge_counts_are_walked_in_no_memory(
        count in 1_u64..=1 << 62, seed: u64, index: prop::sample::Index,
    ) {
        let order = Permutation::new(count, seed, 0).unwrap();
        let at = index.index(count.min(1 << 40) as usize) as u64;
        prop_assert!(order.at(at).unwrap() < count);
    }
}

#[test]
fn edges_of_powers_of_two() {
    for count in [1, 2, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537] {
        let mut elements = order(count, 3, 1);
        elements.sort_unstable();
        assert!(elements.into_iter().eq(0..count), "{count}");
    }
    assert!(Permutation::new(1 << 62, 1, 1).unwrap().at((1 << 62) - 1).is_some());
    assert!(Permutation::new((1 << 62) + 1, 1, 1).is_none());
    assert!(Permutation::new(5, 1, 1).unwrap().at(5).is_none());
    assert!(Permutation::new(0, 1, 1).unwrap().at(0).is_none());
}

#[test]
fn all_orders_of_four_come_alike_often() {
    let mut orders = std::collections::HashMap::new();
    for epoch in 0..24_000 {
        *orders.entry(order(4, 5, epoch)).or_insert(0_usize) += 1;
    }
    let counts: Vec<usize> = orders.into_values().collect();
    assert_eq!(counts.len(), 24);
    let worst = chi_squared(&counts, &[1.0; 24]);
    assert!(worst < 5.0, "{worst} deviations: {counts:?}");
}

#[test]
fn every_element_is_at_every_place_alike() {
    let count = 37;
    let mut places = vec![0_usize; 37 * 37];
    for epoch in 0..40_000 {
        for (at, element) in order(count, 1, epoch).into_iter().enumerate() {
            places[at * 37 + element as usize] += 1;
        }
    }
    // Rows and columns have fixed sums, hence 36 * 36 degrees of freedom instead of 37 * 37 - 1:
    // of 1368, that is 72 fewer, 1.4 deviations.
    let worst = chi_squared(&places, &vec![1.0; 37 * 37]);
    assert!(worst < 5.0, "{worst} deviations");
}

#[test]
fn neighbours_and_epochs_are_unrelated() {
    let count = 100_000;
    for epoch in 0..3 {
        let (this, next) = (order(count, 8, epoch), order(count, 8, epoch + 1));
        // Elements at the same place in both: one on average.
        let fixed = this.iter().zip(&next).filter(|(a, b)| a == b).count();
        assert!(fixed < 12, "{fixed}");
        // In ascending order half of the time: variance (n + 1) / 12.
        let rises = this.windows(2).filter(|pair| pair[0] < pair[1]).count();
        let bound = 5.0 * (count as f64 / 12.0).sqrt();
        assert!((rises as f64 - count as f64 / 2.0).abs() < bound, "{rises}");
        // The halves are mixed: a first half of the data in the first half of the epoch.
        let early = this[..50_000].iter().filter(|&&element| element < 50_000).count();
        assert!(deviations(early, 50_000, 0.5) < 5.0, "{early}");
        // Distances between neighbours in the data are spread over all the epoch.
        let mut place = vec![0_u64; count as usize];
        (0..).zip(&this).for_each(|(at, &element)| place[element as usize] = at);
        let mut distances = vec![0_usize; 50];
        for pair in place.windows(2) {
            distances[((pair[1] + count - pair[0]) % count * 50 / count) as usize] += 1;
        }
        let worst = chi_squared(&distances, &[1.0; 50]);
        assert!(worst < 5.0, "{worst} deviations");
    }
}
