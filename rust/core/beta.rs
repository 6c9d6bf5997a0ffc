//! Draws from a beta distribution, with the same bits on every machine.
//!
//! The functions of the platform's mathematical library differ in their last bits. Here everything
//! is made of additions, multiplications, divisions and square roots of 64-bit floating-point
//! numbers in a fixed order, whose results IEEE 754 defines exactly. `docs/masks.md` documents it.

use std::f64::consts::{LN_2, SQRT_2};

use crate::rng::Key;

/// A draw from the beta distribution with the parameters `a` and `b`, both in 0.1..=1000.
///
/// Algorithm BA of Cheng 1978 ("Generating beta variates with nonintegral shape parameters"), which
/// tries at most about three times on average for these parameters.
pub fn beta(key: Key, a: f64, b: f64) -> f64 {
    let sum = a + b;
    let width = if a.min(b) <= 1.0 {
        (1.0 / a).max(1.0 / b)
    } else {
        ((sum - 2.0) / (2.0 * a * b - sum)).sqrt()
    };
    let slope = a + 1.0 / width;
    for attempt in 0.. {
        let first = fraction(key.at(2 * attempt));
        let second = fraction(key.at(2 * attempt + 1));
        let v = width * ln(first / (1.0 - first));
        let w = a * exp(v);
        let left = sum * ln(sum / (b + w)) + slope * v - 2.0 * LN_2;
        if left >= ln(first * first * second) {
            return w / (b + w);
        }
    }
    a / sum // 2^64 attempts failed
}

/// A value as a number in (0, 1), exact.
#[allow(clippy::cast_precision_loss)] // 52 bits
fn fraction(value: u64) -> f64 {
    ((value >> 12) as f64 + 0.5) / 4_503_599_627_370_496.0
}

/// The natural logarithm of a positive normal number.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_wrap)] // exponents are small
fn ln(x: f64) -> f64 {
    const FRACTION: u64 = (1 << 52) - 1;
    let bits = x.to_bits();
    let mut exponent = (bits >> 52) as i64 - 1023;
    let mut mantissa = f64::from_bits((bits & FRACTION) | (1023 << 52));
    if mantissa > SQRT_2 {
        mantissa /= 2.0;
        exponent += 1;
    }
    // 2 artanh(t), whose series ends below 2^-53 for t up to 0.172.
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let square = t * t;
    let mut series = 0.0;
    for k in (0..12).rev() {
        series = series * square + 1.0 / f64::from(2 * k + 1);
    }
    exponent as f64 * LN_2 + 2.0 * t * series
}

/// The exponential function, for arguments between -700 and 700.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // between 1 and 2045
fn exp(x: f64) -> f64 {
    let whole = (x / LN_2 + 0.5).floor();
    let rest = x - whole * LN_2;
    let mut series = 1.0;
    for k in (1..17).rev() {
        series = 1.0 + series * rest / f64::from(k);
    }
    series * f64::from_bits(((whole + 1023.0) as u64) << 52)
}

#[cfg(test)]
#[allow(clippy::cast_precision_loss)]
mod tests {
    use super::*;
    use crate::rng::Purpose;

    #[test]
    fn logarithm_and_exponential_are_right() {
        for step in 1..20_000 {
            let x = f64::from(step).powi(9) * 1e-30;
            assert!((ln(x) - x.ln()).abs() <= 4e-16 * x.ln().abs().max(1.0), "ln {x}");
            let y = f64::from(step) * 0.07 - 700.0;
            // The error of the argument's reduction grows with the argument.
            assert!((exp(y) / y.exp() - 1.0).abs() <= 2e-13, "exp {y}");
        }
    }

    #[test]
    fn every_value_is_a_fraction_between_zero_and_one() {
        assert!(fraction(0) > 0.0 && fraction(u64::MAX) < 1.0);
    }

    /// Mean and variance of 100,000 draws, to five standard deviations of each estimate.
    #[test]
    fn draws_have_the_mean_and_variance_of_the_distribution() {
        let parameters = [(3.0, 9.0), (0.5, 0.5), (0.1, 1000.0), (2.5, 0.1), (1000.0, 700.0)];
        for (number, (a, b)) in parameters.into_iter().enumerate() {
            let count = 100_000;
            let draws: Vec<f64> = (0..count)
                .map(|row| beta(Key::new(1, number as u64, row, Purpose::Rate), a, b))
                .collect();
            let count = count as f64;
            let mean = draws.iter().sum::<f64>() / count;
            let moment = |power| draws.iter().map(|x| (x - mean).powi(power)).sum::<f64>() / count;
            let expected = a / (a + b);
            let variance = a * b / (a + b).powi(2) / (a + b + 1.0);
            assert!((mean - expected).abs() < 5.0 * (variance / count).sqrt(), "{a} {b}: {mean}");
            let deviation = ((moment(4) - moment(2).powi(2)) / count).sqrt();
            assert!((moment(2) - variance).abs() < 5.0 * deviation, "{a} {b}: {}", moment(2));
            assert!(draws.iter().all(|draw| (0.0..=1.0).contains(draw)));
        }
    }
}
