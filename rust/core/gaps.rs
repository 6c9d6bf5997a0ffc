//! Geometric gaps: how far it is to the next masked position.
//!
//! Bernoulli draws on every token and geometric jumps from hit to hit have the same distribution;
//! the jumps need a draw a hit instead of a draw a token.

/// Longest gap that one draw can give; a longer one is this plus another draw (the geometric
/// distribution has no memory, so this is exact).
const LONGEST: usize = 128;
/// Top bits of a draw that choose its entry in the guide.
const GUIDE_BITS: u32 = 12;
/// Marks an entry of the guide whose draws have more than one gap, or one past the longest.
const OPEN: u8 = 0x80;

/// The inverse distribution function of the gap, to 64 bits, in integers only: the same on every
/// machine and easily written again in another language.
#[derive(Debug, Clone)]
pub struct Gaps {
    /// `survival[k]` = 2^64 (1 - p)^(k + 1): a draw below it has a gap of more than `k`.
    survival: Vec<u64>,
    /// For each value of a draw's top bits the gap; marked as open, the least of several.
    guide: [u8; 1 << GUIDE_BITS],
}

impl Gaps {
    /// Gaps between hits of `probability`, which is in 0..=1; `None` where nothing is ever hit.
    pub fn new(probability: f64) -> Option<Self> {
        if scale(probability) == 0 {
            return None;
        }
        let survival = survival(probability, LONGEST);
        let mut guide = [0; 1 << GUIDE_BITS];
        // The larger the draw, the shorter its gap: from the last bucket to the first, the number
        // of thresholds above it only grows, so that one walk over both is enough.
        let mut above = 0;
        for (bucket, entry) in guide.iter_mut().enumerate().rev() {
            let smallest = (bucket as u64) << (64 - GUIDE_BITS);
            let largest = smallest | (u64::MAX >> GUIDE_BITS);
            let count = |from: usize, value: u64| {
                from + survival[from..].iter().take_while(|&&threshold| value < threshold).count()
            };
            let least = count(above, largest);
            above = count(least, smallest);
            let gap = u8::try_from(least.min(LONGEST - 1)).unwrap_or(0);
            *entry = if least == above && above < LONGEST { gap } else { gap | OPEN };
        }
        Some(Self { survival, guide })
    }

    /// The next hit at `at` or after it and before `end`, by the next of the `draws`.
    #[inline]
    pub fn next_hit(
        &self,
        draws: &mut impl Iterator<Item = u64>,
        mut at: usize,
        end: usize,
    ) -> Option<usize> {
        loop {
            let value = draws.next()?;
            let entry = self.guide[(value >> (64 - GUIDE_BITS)) as usize];
            if entry & OPEN == 0 {
                at += usize::from(entry);
                return (at < end).then_some(at);
            }
            let gap = self.search(usize::from(entry & !OPEN), value);
            at += gap;
            if at >= end {
                return None;
            }
            if gap < LONGEST {
                return Some(at);
            }
        }
    }

    /// The gap of `value`, which is `least` or more. Rare: a few draws in a hundred come here.
    #[cold]
    fn search(&self, least: usize, value: u64) -> usize {
        let longer = self.survival[least..].iter().take_while(|&&above| value < above).count();
        least + longer
    }
}

/// 2^64 times the probability that a geometric gap is longer than 0, 1, 2 and so on up to `count`.
pub fn survival(probability: f64, count: usize) -> Vec<u64> {
    let miss = (1u128 << 64) - scale(probability);
    let mut rest = 1u128 << 64;
    (0..count)
        .map(|_| {
            rest = (rest * miss) >> 64;
            // With a probability of at least 2^-64, `rest` is below 2^64.
            u64::try_from(rest).unwrap_or(u64::MAX)
        })
        .collect()
}

/// `probability` times 2^64. Multiplying by a power of two is exact in floating point.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub fn scale(probability: f64) -> u128 {
    (probability * 18_446_744_073_709_551_616.0) as u128
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::rng::{Key, Purpose};

    #[test]
    fn the_gap_of_a_value_counts_the_thresholds_above_it() {
        for probability in [1e-9, 0.001, 0.15, 0.4, 0.999, 1.0] {
            let gaps = Gaps::new(probability).unwrap();
            let key = Key::new(1, 2, 3, Purpose::Gap);
            for index in 0..10_000 {
                let value = key.at(index);
                let expected = gaps.survival.iter().filter(|&&above| value < above).count();
                let hit = gaps.next_hit(&mut std::iter::once(value), 7, 7 + LONGEST);
                let expected = (expected < LONGEST).then_some(7 + expected);
                assert_eq!(hit, expected, "p {probability} value {value}");
            }
        }
    }

    #[test]
    fn certain_hits_leave_no_gap_and_impossible_ones_no_table() {
        let gaps = Gaps::new(1.0).unwrap();
        assert_eq!(gaps.next_hit(&mut std::iter::once(0), 3, 9), Some(3));
        assert_eq!(gaps.next_hit(&mut std::iter::once(u64::MAX), 3, 9), Some(3));
        assert_eq!(gaps.next_hit(&mut std::iter::once(u64::MAX), 9, 9), None);
        assert!(Gaps::new(0.0).is_none());
    }

    #[test]
    fn a_long_gap_goes_on_with_another_draw() {
        let gaps = Gaps::new(0.15).unwrap();
        let mut values = [0, 0, u64::MAX].into_iter();
        assert_eq!(gaps.next_hit(&mut values, 0, 1_000), Some(2 * LONGEST));
    }

    #[test]
    fn a_rate_near_zero_ends_at_the_end_of_the_row() {
        let gaps = Gaps::new(1e-15).unwrap();
        let mut draws = 0;
        let mut values = std::iter::repeat_with(|| {
            draws += 1;
            1 << 40
        });
        assert_eq!(gaps.next_hit(&mut values, 0, 512), None);
        assert_eq!(draws, 4);
    }
}
