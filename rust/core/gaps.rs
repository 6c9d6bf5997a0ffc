//! Geometric gaps: the distance to the next masked position, and what replaces its token.
//!
//! Bernoulli draws on every token and geometric jumps from hit to hit have the same distribution;
//! the jumps need a quarter of a draw per hit instead of one draw per token.

use crate::rng::Key;

/// Longest gap that one piece can encode; a longer gap is this plus another piece's (the geometric
/// distribution has no memory, so this is exact).
const LONGEST: usize = 128;
/// Pieces of a 64-bit value, one per hit.
pub const PIECES: usize = 4;
const PIECE_BITS: usize = 64 / PIECES;
/// Top bits of a piece that choose its entry in the guide.
const GUIDE_BITS: usize = 13;
const GUIDE: usize = 1 << GUIDE_BITS;
/// Maximum number of values drawn at once.
pub const DRAWS: usize = 32;
/// Index of the first value that decides between outcomes of a piece, far above the indices of the
/// values that pieces are taken from.
const REST: u64 = 1 << 63;

/// A step of a walk: a gap, followed by a hit of one of three kinds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Step(u16);

impl Step {
    const HIDDEN: u16 = 1 << 8;
    const RANDOM: u16 = 1 << 9;
    const SKIP: u16 = 1 << 14;
    const OPEN: u16 = 1 << 15;

    /// The step of `outcome`: three kinds for each gap, and no hit after the longest gap.
    fn of(outcome: usize) -> Self {
        // `LONGEST` fits eight bits.
        let length = |gap: usize| u16::try_from(gap).unwrap_or(0);
        if outcome >= 3 * LONGEST {
            return Self(Self::SKIP | length(LONGEST));
        }
        let kind = [Self::HIDDEN, Self::RANDOM, 0][outcome % 3];
        Self(kind | length(outcome / 3 + 1))
    }

    /// An entry of the guide that leaves several outcomes open, the first of which is `least`.
    fn open(least: usize) -> Self {
        Self(Self::OPEN | u16::try_from(least).unwrap_or(0))
    }

    /// Length of the step: the gap and the hit after it.
    #[inline]
    pub fn length(self) -> u32 {
        u32::from(self.0 & 0xff)
    }

    /// Whether the step ends without a hit.
    #[inline]
    pub fn is_skip(self) -> bool {
        self.0 & Self::SKIP != 0
    }

    /// Whether the hit becomes the mask token.
    #[inline]
    pub fn is_hidden(self) -> bool {
        self.0 & Self::HIDDEN != 0
    }

    /// Whether the hit becomes a random word.
    #[inline]
    pub fn is_random(self) -> bool {
        self.0 & Self::RANDOM != 0
    }
}

/// The inverse distribution function of gap and kind, to 64 bits, in integers only: the same on
/// every machine, and easy to reimplement in another language.
#[derive(Debug, Clone)]
pub struct Gaps {
    /// The number of thresholds above a value is the number of outcomes before the value's own.
    thresholds: Vec<u128>,
    /// The step for each value of a piece's top bits, or an open entry if there are several.
    guide: [Step; GUIDE],
}

impl Gaps {
    /// Gaps between hits of `probability`, which is in 0..=1, and the kinds of the hits: the mask
    /// token below the first share of 2^63, a random word below the second. `None` where nothing
    /// is ever hit.
    pub fn new(probability: f64, (hidden, random): (u64, u64)) -> Option<Self> {
        if scale(probability) == 0 {
            return None;
        }
        let mut above = 1u128 << 64;
        let mut thresholds = Vec::with_capacity(3 * LONGEST);
        for below in survival(probability, LONGEST) {
            let below = u128::from(below);
            let width = above - below;
            for share in [hidden, random] {
                thresholds.push(above - ((width * u128::from(share)) >> 63));
            }
            thresholds.push(below);
            above = below;
        }
        let shift = 64 - GUIDE_BITS;
        let mut guide = [Step(0); GUIDE];
        let mut outcome = 0;
        for (bucket, entry) in guide.iter_mut().enumerate().rev() {
            let smallest = (bucket as u128) << shift;
            let largest = smallest + (1 << shift) - 1;
            let above = |outcome: usize, value: u128| {
                thresholds.get(outcome).is_some_and(|&threshold| value < threshold)
            };
            while above(outcome, largest) {
                outcome += 1;
            }
            *entry = if above(outcome, smallest) { Step::open(outcome) } else { Step::of(outcome) };
        }
        Some(Self { thresholds, guide })
    }

    /// Number of values to draw at once so that they nearly always suffice for `count` positions.
    pub fn draws(&self, count: usize) -> usize {
        // Twice the deviation above the mean; the first gap's share is the rate of all.
        let miss = self.thresholds.get(2).copied().unwrap_or(0);
        let mean = usize::try_from((count as u128 * ((1 << 64) - miss)) >> 64).unwrap_or(count);
        ((mean + 2 * mean.isqrt()) / PIECES + 1).min(DRAWS)
    }

    /// Fill in the steps of the values from number `first` of `key` on.
    #[inline]
    pub fn fill(&self, key: Key, first: u64, steps: &mut [[Step; PIECES]]) {
        let mut open = 0;
        for (number, steps) in (first..).zip(steps.iter_mut()) {
            let value = key.at(number);
            for (piece, step) in steps.iter_mut().enumerate() {
                let top = value >> (PIECE_BITS * (piece + 1) - GUIDE_BITS);
                #[allow(clippy::cast_possible_truncation)] // the low bits are intended
                let entry = self.guide[top as usize % GUIDE];
                open |= entry.0;
                *step = entry;
            }
        }
        if open & Step::OPEN != 0 {
            for (number, steps) in (first..).zip(steps) {
                if steps.iter().fold(0, |open, step| open | step.0) & Step::OPEN != 0 {
                    self.tell_apart(key, number, steps);
                }
            }
        }
    }

    /// Resolve steps that the guide leaves open, about one or two pieces in a hundred.
    #[cold]
    fn tell_apart(&self, key: Key, number: u64, steps: &mut [Step; PIECES]) {
        let value = key.at(number);
        for (piece, step) in steps.iter_mut().enumerate() {
            if step.0 & Step::OPEN != 0 {
                let rest = key.at(REST + PIECES as u64 * number + piece as u64);
                let value =
                    ((value >> (PIECE_BITS * piece)) << (64 - PIECE_BITS)) | (rest >> PIECE_BITS);
                let least = usize::from(step.0 & !Step::OPEN);
                let above = |&&threshold: &&u128| u128::from(value) < threshold;
                let more = self.thresholds[least..].iter().take_while(above).count();
                *step = Step::of(least + more);
            }
        }
    }

    /// Call `hit` for each position below `end` that a walk hits.
    pub fn walk(&self, key: Key, end: usize, mut hit: impl FnMut(usize)) {
        let mut next = 0;
        for number in 0.. {
            let mut steps = [Step::default(); PIECES];
            self.fill(key, number, std::slice::from_mut(&mut steps));
            for step in steps {
                next += step.length() as usize;
                if next > end {
                    return;
                }
                if !step.is_skip() {
                    hit(next - 1);
                }
            }
            if next == end {
                return;
            }
        }
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

/// `probability` times 2^63, so that a share of 1 is a number too.
pub fn half_scale(probability: f64) -> u64 {
    u64::try_from(scale(probability) >> 1).unwrap_or(1 << 63)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::rng::Purpose;

    const SHARES: [(f64, f64); 4] = [(0.8, 0.1), (0.0, 1.0), (1.0, 0.0), (0.0, 0.0)];

    fn gaps(probability: f64, (hidden, random): (f64, f64)) -> Gaps {
        let hidden = half_scale(hidden);
        Gaps::new(probability, (hidden, hidden + half_scale(random))).unwrap()
    }

    fn walk(gaps: &Gaps, key: Key, end: usize) -> Vec<usize> {
        let mut hits = Vec::new();
        gaps.walk(key, end, |at| hits.push(at));
        hits
    }

    #[test]
    fn the_step_of_a_piece_counts_the_thresholds_above_its_value() {
        for probability in [1e-9, 0.001, 0.02, 0.15, 0.4, 0.999, 1.0] {
            for shares in SHARES {
                let gaps = gaps(probability, shares);
                let key = Key::new(1, 2, 3, Purpose::Gap);
                let mut steps = vec![[Step::default(); PIECES]; 3_000];
                gaps.fill(key, 5, &mut steps);
                let pieces = (5 * PIECES as u64..).zip(steps.as_flattened());
                for (number, &step) in pieces {
                    let piece = key.at(number / 4) >> (16 * (number % 4)) & 0xffff;
                    let value = (piece << 48) | (key.at((1 << 63) + number) >> 16);
                    let above = |&&threshold: &&u128| u128::from(value) < threshold;
                    let expected = gaps.thresholds.iter().filter(above).count();
                    assert_eq!(step, Step::of(expected), "p {probability} value {value}");
                }
            }
        }
    }

    #[test]
    fn thresholds_divide_each_gap_by_the_shares() {
        for probability in [0.001, 0.15, 0.999] {
            let gaps = gaps(probability, (0.8, 0.1));
            let mut above = 1u128 << 64;
            for (gap, ends) in gaps.thresholds.chunks(3).enumerate().take(40) {
                // To 2^-40 and better: floating point has 53 bits.
                let all = probability * (1.0 - probability).powi(i32::try_from(gap).unwrap());
                for (&below, share) in ends.iter().zip([0.8, 0.1, 0.1]) {
                    #[allow(clippy::cast_precision_loss)]
                    let width = (above - below) as f64 / 2f64.powi(64);
                    assert!((width - all * share).abs() < 1e-13, "{probability} {gap} {share}");
                    above = below;
                }
            }
        }
    }

    #[test]
    fn certain_hits_leave_no_gap_and_impossible_ones_no_table() {
        let key = Key::new(1, 1, 1, Purpose::Gap);
        let all: Vec<usize> = (0..301).collect();
        assert_eq!(walk(&gaps(1.0, (0.8, 0.1)), key, 301), all);
        assert!(Gaps::new(0.0, (0, 0)).is_none());
    }

    #[test]
    fn a_long_gap_goes_on_with_another_piece() {
        let gaps = gaps(0.004, (0.8, 0.1));
        let key = Key::new(1, 2, 3, Purpose::Gap);
        let hits = walk(&gaps, key, 100_000);
        let beyond = hits.windows(2).filter(|pair| pair[1] - pair[0] > 2 * LONGEST).count();
        assert!((300..500).contains(&hits.len()) && beyond > 50, "{} {beyond}", hits.len());
        assert!(walk(&gaps, key, 0).is_empty());
    }

    #[test]
    fn a_rate_near_zero_ends_at_the_end_of_the_row() {
        let key = Key::new(1, 2, 3, Purpose::Gap);
        assert!(walk(&gaps(1e-15, (0.8, 0.1)), key, 512).is_empty());
    }
}
