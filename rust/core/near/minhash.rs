//! `MinHash`: the keys by which LSH finds similar documents.

use fearless_simd::{Simd, dispatch};
use twox_hash::XxHash3_128;

use super::words::word_hashes;
use crate::rng::mix;
use crate::tokenize::simd;
use crate::{Error, Result};

/// The most hash functions.
pub const MAX_HASHES: usize = 1024;
/// Hash functions whose minima are computed at a time.
const LANES: usize = 16;
/// 2^64 divided by the golden ratio, odd.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
/// The multiplier of the polynomial that joins the hashes of an n-gram's words.
const BASE: u64 = 0xd6e8_feb8_6659_fd93;

/// Gives every document a key per band. Two documents share a band's key with the probability
/// `similarity ^ rows`, where `similarity` is the Jaccard similarity of the sets of their word n-grams.
///
/// A document of fewer than n words has one n-gram, all its words; one without a word has one too, its
/// bytes. Documents of equal text thus have equal keys, whatever they hold.
pub struct MinHash {
    ngram: usize,
    bands: usize,
    rows: usize,
    /// The parameter of each hash function, filled up to whole lanes.
    functions: Vec<[u32; LANES]>,
    /// `BASE` to the power of `ngram`.
    power: u64,
}

/// Memory that is used again from document to document.
#[derive(Default)]
pub struct Scratch {
    words: Vec<u64>,
    ngrams: Vec<u32>,
    minima: Vec<[u32; LANES]>,
}

impl MinHash {
    /// Use `bands` times `rows` hash functions over n-grams of `ngram` words.
    ///
    /// # Errors
    /// A number is 0, or there are more than [`MAX_HASHES`] hash functions.
    pub fn new(ngram: usize, bands: usize, rows: usize) -> Result<Self> {
        let hashes = bands.saturating_mul(rows);
        if ngram == 0 || hashes == 0 || hashes > MAX_HASHES {
            return Err(Error::MinHash { ngram, bands, rows });
        }
        let key = |at: usize| (mix((at as u64 + 1).wrapping_mul(GOLDEN)) >> 32) as u32;
        let functions = (0..hashes.div_ceil(LANES))
            .map(|lanes| std::array::from_fn(|lane| key(lanes * LANES + lane)))
            .collect();
        let power = (0..ngram).fold(1_u64, |power, _| power.wrapping_mul(BASE));
        Ok(Self { ngram, bands, rows, functions, power })
    }

    /// Number of bands.
    #[must_use]
    pub fn bands(&self) -> usize {
        self.bands
    }

    /// Append the key of each band.
    pub fn append_keys(&self, text: &str, scratch: &mut Scratch, keys: &mut Vec<u64>) {
        self.minima(text, scratch);
        let minima = scratch.minima.as_flattened();
        keys.extend((0_u64..).zip(minima.chunks_exact(self.rows)).take(self.bands).map(
            |(band, minima)| {
                let start = mix(band.wrapping_add(1).wrapping_mul(GOLDEN));
                minima.iter().fold(start, |key, &minimum| mix(key ^ u64::from(minimum)))
            },
        ));
    }

    fn minima(&self, text: &str, scratch: &mut Scratch) {
        let Scratch { words, ngrams, minima } = scratch;
        word_hashes(text, words);
        self.ngrams(text, words, ngrams);
        minima.clear();
        minima.resize(self.functions.len(), [u32::MAX; LANES]);
        dispatch!(simd::level(), simd => simd.vectorize(
            #[inline(always)]
            || lowest(&self.functions, ngrams, minima)
        ));
    }

    /// Replace `ngrams` by the hashes of the n-grams of `words`, of which there is at least one.
    fn ngrams(&self, text: &str, words: &[u64], ngrams: &mut Vec<u32>) {
        ngrams.clear();
        let high = |hash: u64| (mix(hash) >> 32) as u32;
        if words.is_empty() {
            #[allow(clippy::cast_possible_truncation)] // half of the hash
            return ngrams.push(high(XxHash3_128::oneshot(text.as_bytes()) as u64));
        }
        let add = |hash: u64, word: u64| hash.wrapping_mul(BASE).wrapping_add(word);
        let first = words.len().min(self.ngram);
        let mut hash = words[..first].iter().fold(0, |hash, &word| add(hash, word));
        ngrams.push(high(hash));
        for (&out, &word) in words.iter().zip(&words[first..]) {
            hash = add(hash, word).wrapping_sub(out.wrapping_mul(self.power));
            ngrams.push(high(hash));
        }
    }
}

/// The minimum of each hash function over all n-grams. The lanes of a few functions stay in registers
/// while the n-grams pass by.
#[inline(always)]
fn lowest(functions: &[[u32; LANES]], ngrams: &[u32], minima: &mut [[u32; LANES]]) {
    for (parameters, minima) in functions.iter().zip(minima) {
        let mut lowest = *minima;
        for &ngram in ngrams {
            for (lowest, parameter) in lowest.iter_mut().zip(parameters) {
                *lowest = (*lowest).min(hash(ngram ^ parameter));
            }
        }
        *minima = lowest;
    }
}

/// The finaliser of `MurmurHash3` (Appleby) but for its last step, which moves no high bit.
#[inline(always)]
const fn hash(mut value: u32) -> u32 {
    value ^= value >> 16;
    value = value.wrapping_mul(0x85eb_ca6b);
    value ^= value >> 13;
    value.wrapping_mul(0xc2b2_ae35)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::cast_precision_loss)]
mod tests {
    use super::*;

    fn keys(minhash: &MinHash, text: &str) -> Vec<u64> {
        let mut keys = Vec::new();
        minhash.append_keys(text, &mut Scratch::default(), &mut keys);
        keys
    }

    /// `count` words from number `first` on.
    fn text(first: usize, count: usize) -> String {
        let words: Vec<String> =
            (first..first + count).map(|word| format!("w{}", letters(word))).collect();
        words.join(" ")
    }

    fn letters(number: usize) -> String {
        // Digits would all be one 0.
        format!("{number}").bytes().map(|digit| char::from(digit - b'0' + b'a')).collect()
    }

    #[test]
    fn bands_are_shared_with_the_probability_of_the_similarity() {
        // One row a band: the share of equal keys estimates the similarity.
        let minhash = MinHash::new(1, 112, 1).unwrap();
        let (mut sum, mut squares) = (0.0, 0.0);
        let (pairs, shared, each) = (400, 80, 100);
        let similarity = shared as f64 / (2 * each - shared) as f64;
        for pair in 0..pairs {
            let start = 1000 * pair;
            let one = keys(&minhash, &text(start, each));
            let other = keys(&minhash, &text(start + each - shared, each));
            let equal = one.iter().zip(&other).filter(|(one, other)| one == other).count() as f64;
            sum += equal / 112.0;
            squares += (equal / 112.0 - similarity).powi(2);
        }
        // The mean of 400 x 112 draws has a standard deviation of 0.0022, and the variance of one
        // pair is that of 112 independent draws, within five standard deviations (7 %) each.
        let mean = sum / pairs as f64;
        assert!((mean - similarity).abs() < 0.011, "{mean} {similarity}");
        let variance = squares / pairs as f64 / (similarity * (1.0 - similarity) / 112.0);
        assert!((0.65..1.35).contains(&variance), "{variance}");
    }

    #[test]
    fn the_order_of_words_counts_within_an_ngram_alone() {
        let minhash = MinHash::new(2, 14, 8).unwrap();
        assert_eq!(keys(&minhash, "a b a b a"), keys(&minhash, "b a b a b"));
        assert_ne!(keys(&minhash, "a b c d"), keys(&minhash, "d c b a"));
        let words = MinHash::new(1, 14, 8).unwrap();
        assert_eq!(keys(&words, "a b c d"), keys(&words, "d c b a d"));
    }

    #[test]
    fn short_texts_are_told_apart() {
        let minhash = MinHash::new(5, 14, 8).unwrap();
        let texts = ["", " ", "!", "?!", "a", "b", "a b", "b a", "a b c d", "a b c d e"];
        for one in texts {
            for other in texts {
                let equal = keys(&minhash, one) == keys(&minhash, other);
                assert_eq!(equal, one == other, "{one:?} {other:?}");
            }
        }
        assert_eq!(keys(&minhash, "A b"), keys(&minhash, "a, b"));
    }

    #[test]
    fn every_level_of_vectors_finds_the_same_minima() {
        let minhash = MinHash::new(5, 14, 8).unwrap();
        let ngrams: Vec<u32> = (0..1000_u32).map(|at| at.wrapping_mul(0x9e37_79b9)).collect();
        let mut expected = vec![[u32::MAX; LANES]; minhash.functions.len()];
        lowest(&minhash.functions, &ngrams, &mut expected);
        for level in simd::levels() {
            let mut found = vec![[u32::MAX; LANES]; minhash.functions.len()];
            dispatch!(level, simd => simd.vectorize(
                #[inline(always)]
                || lowest(&minhash.functions, &ngrams, &mut found)
            ));
            assert_eq!(found, expected, "{}", simd::name(level));
        }
    }

    #[test]
    fn parameters_are_checked() {
        for (ngram, bands, rows) in
            [(0, 1, 1), (1, 0, 1), (1, 1, 0), (1, 1025, 1), (1, usize::MAX, 2)]
        {
            assert!(MinHash::new(ngram, bands, rows).is_err());
        }
    }
}
