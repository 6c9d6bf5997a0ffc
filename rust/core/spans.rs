//! The lengths of spans, and which tokens the spans of a row cover (Joshi et al. 2020, `SpanBERT`).

use std::ops::Range;

use crate::gaps::survival;
use crate::rng::Key;
use crate::{Error, Result};

/// Marks a token that no span covers.
pub const UNCOVERED: u32 = u32::MAX;

/// Smallest parameter, far above the resolution of 64 bits.
const LEAST_PROBABILITY: f64 = 1e-6;

/// Geometric lengths truncated at a maximum: length `l` is drawn in proportion to `(1 - p)^(l - 1)`.
#[derive(Debug, Clone)]
pub struct SpanLengths {
    /// `ends[k]` = 2^64 times the untruncated probability of at most `k + 1`, but for the longest.
    ends: Vec<u128>,
    /// The same for the longest length, to which draws are scaled.
    total: u128,
}

impl SpanLengths {
    /// Lengths 1 to `longest` with the parameter `probability`.
    ///
    /// # Errors
    /// A probability outside of 0.000001..=1, a `longest` outside of 1..=1000.
    pub fn new(probability: f64, longest: usize) -> Result<Self> {
        if !(LEAST_PROBABILITY..=1.0).contains(&probability) {
            return Err(Error::SpanProbability(probability.to_string()));
        }
        if !(1..=1000).contains(&longest) {
            return Err(Error::SpanLength(longest));
        }
        let survival = survival(probability, longest);
        let mut ends: Vec<_> =
            survival.iter().map(|&rest| (1u128 << 64) - u128::from(rest)).collect();
        let total = ends.pop().unwrap_or(0);
        Ok(Self { ends, total })
    }

    /// The length that the draw `value` selects.
    pub fn draw(&self, value: u64) -> usize {
        // Below `total`, which is at most 2^64: the product fits.
        let scaled = (u128::from(value) * self.total) >> 64;
        1 + self.ends.iter().take_while(|&&end| scaled >= end).count()
    }
}

/// Cover `budget` tokens of a row with spans; `cover` receives, for each covered token, the first
/// token of its span.
///
/// A span begins at a unit (a token or a word) drawn uniformly among those not covered yet, and
/// continues for a drawn number of adjacent units. Tokens that another span covers keep that span.
/// The last span ends when the budget is used up.
pub fn cover_spans(
    units: &[Range<u32>],
    lengths: &SpanLengths,
    mut budget: usize,
    key: Key,
    cover: &mut [u32],
) {
    // A budget larger than the units' tokens would never be used up.
    budget = budget.min(units.iter().map(ExactSizeIterator::len).sum());
    let mut draws = (1..).step_by(2);
    while let (true, Some(draw)) = (budget > 0, draws.next()) {
        let first = key.below(draw, units.len());
        let start = units[first].start;
        if cover[start as usize] != UNCOVERED {
            continue;
        }
        let length = lengths.draw(key.at(draw + 1));
        let mut end = start;
        for unit in units[first..].iter().take(length) {
            if unit.start != end {
                break;
            }
            for token in &mut cover[unit.start as usize..unit.end as usize] {
                if *token == UNCOVERED && budget > 0 {
                    *token = start;
                    budget -= 1;
                }
            }
            end = unit.end;
        }
    }
}
