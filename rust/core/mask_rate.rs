//! The share of a row's tokens that are chosen: the same for every row, or drawn for each.

use crate::beta::beta;
use crate::gaps::scale;
use crate::rng::Key;
use crate::{Error, Result};

/// Parameters of a beta distribution for which the draws are efficient and no step overflows.
const PARAMETERS: std::ops::RangeInclusive<f64> = 0.1..=1000.0;

/// The share of a row's tokens that are chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MaskRate {
    /// The same for every row.
    Fixed(f64),
    /// Drawn uniformly for each row.
    Uniform {
        /// The lowest rate.
        low: f64,
        /// The highest rate.
        high: f64,
    },
    /// Drawn from a beta distribution for each row.
    Beta {
        /// The first parameter.
        a: f64,
        /// The second parameter: the mean is `a / (a + b)`.
        b: f64,
    },
}

impl From<f64> for MaskRate {
    fn from(rate: f64) -> Self {
        Self::Fixed(rate)
    }
}

impl MaskRate {
    /// The distribution with this name and these parameters.
    ///
    /// # Errors
    /// An unknown name.
    pub fn drawn(name: &str, first: f64, second: f64) -> Result<Self> {
        match name {
            "uniform" => Ok(Self::Uniform { low: first, high: second }),
            "beta" => Ok(Self::Beta { a: first, b: second }),
            _ => Err(Error::RateDistribution(name.to_owned())),
        }
    }

    /// Check the parameters.
    ///
    /// # Errors
    /// A rate outside of 0..=1, an empty range, a parameter that is not in `PARAMETERS`.
    pub fn check(self) -> Result<()> {
        let valid = |rate: f64| (0.0..=1.0).contains(&rate);
        match self {
            Self::Fixed(rate) if !valid(rate) => {
                Err(Error::Probability { name: "mlm_probability", value: rate.to_string() })
            }
            Self::Uniform { low, high } if !(valid(low) && valid(high) && low <= high) => {
                Err(Error::UniformRates(low.to_string(), high.to_string()))
            }
            Self::Beta { a, b } if !(PARAMETERS.contains(&a) && PARAMETERS.contains(&b)) => {
                Err(Error::BetaRates(a.to_string(), b.to_string()))
            }
            _ => Ok(()),
        }
    }

    /// Whether each row has a rate of its own.
    #[must_use]
    pub fn is_drawn(self) -> bool {
        !matches!(self, Self::Fixed(_))
    }

    /// The mean over all rows, times 2^64.
    pub(crate) fn mean(self) -> u128 {
        match self {
            Self::Fixed(rate) => scale(rate),
            Self::Uniform { low, high } => u128::midpoint(scale(low), scale(high)),
            Self::Beta { a, b } => scale(a / (a + b)),
        }
    }

    /// The rate of the row whose key this is, times 2^64.
    pub(crate) fn of_row(self, key: Key) -> u128 {
        match self {
            Self::Fixed(rate) => scale(rate),
            Self::Uniform { low, high } => {
                let (low, high) = (scale(low), scale(high));
                // At most 2^64 * (2^64 - 1).
                low + (((high - low) * u128::from(key.at(0))) >> 64)
            }
            Self::Beta { a, b } => scale(beta(key, a, b)),
        }
    }
}
