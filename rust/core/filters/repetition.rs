//! The limits of repeated text of `MassiveText`: Rae et al. 2021, table A1.

use std::hash::BuildHasher;

use rustc_hash::{FxBuildHasher, FxHashMap, FxHashSet};

use super::{Rule, number};
use crate::rng::mix;

/// The greatest shares of lines or paragraphs that came before in the text, and of their characters.
const PIECES: f64 = 0.3;
const CHARACTERS: f64 = 0.2;
/// The greatest shares of characters in the most frequent n-gram, for 2, 3 and 4 words.
const TOP: [(usize, f64, Rule); 3] = [
    (2, 0.20, number("gopher-repetition.top_2_gram")),
    (3, 0.18, number("gopher-repetition.top_3_gram")),
    (4, 0.16, number("gopher-repetition.top_4_gram")),
];
/// The greatest shares of characters in n-grams that came before in the text, for 5 to 10 words.
const REPEATED: [(usize, f64, Rule); 6] = [
    (5, 0.15, number("gopher-repetition.repeated_5_grams")),
    (6, 0.14, number("gopher-repetition.repeated_6_grams")),
    (7, 0.13, number("gopher-repetition.repeated_7_grams")),
    (8, 0.12, number("gopher-repetition.repeated_8_grams")),
    (9, 0.11, number("gopher-repetition.repeated_9_grams")),
    (10, 0.10, number("gopher-repetition.repeated_10_grams")),
];
/// The multiplier of the polynomial that joins the hashes of an n-gram's words.
const BASE: u64 = 0xd6e8_feb8_6659_fd93;

/// The first rule that leaves the text out. Lines and paragraphs (between empty lines) without text do
/// not count; a word is a run without white space.
pub fn rule(text: &str) -> Option<Rule> {
    let characters = text.chars().count();
    let paragraphs = text.split("\n\n").map(|part| part.trim_matches('\n'));
    let lines = text.split('\n');
    let of_paragraphs = const {
        [number("gopher-repetition.paragraphs"), number("gopher-repetition.paragraph_characters")]
    };
    let of_lines =
        const { [number("gopher-repetition.lines"), number("gopher-repetition.line_characters")] };
    let named = |rules: [Rule; 2]| move |characters: bool| rules[usize::from(characters)];
    repeated_pieces(paragraphs, characters)
        .map(named(of_paragraphs))
        .or_else(|| repeated_pieces(lines, characters).map(named(of_lines)))
        .or_else(|| Words::new(text).rule(characters))
}

/// Whether too many pieces came before in the text (false), or too many of the characters (true).
#[allow(clippy::cast_precision_loss)] // counts
fn repeated_pieces<'a>(pieces: impl Iterator<Item = &'a str>, characters: usize) -> Option<bool> {
    let mut seen = FxHashSet::default();
    let (mut count, mut repeated, mut repeated_characters) = (0_usize, 0_usize, 0_usize);
    for piece in pieces.filter(|piece| !piece.trim().is_empty()) {
        count += 1;
        if !seen.insert(piece) {
            repeated += 1;
            repeated_characters += piece.chars().count();
        }
    }
    if repeated as f64 > PIECES * count as f64 {
        return Some(false);
    }
    (repeated_characters as f64 > CHARACTERS * characters as f64).then_some(true)
}

/// The words of a text: their hashes, and how many characters come before each of them.
struct Words {
    hashes: Vec<u64>,
    before: Vec<usize>,
}

impl Words {
    fn new(text: &str) -> Self {
        let (mut hashes, mut before, mut sum) = (Vec::new(), vec![0], 0);
        for word in text.split_whitespace() {
            hashes.push(mix(FxBuildHasher.hash_one(word)));
            sum += word.chars().count();
            before.push(sum);
        }
        Self { hashes, before }
    }

    /// The hashes of all n-grams, in order.
    fn ngrams(&self, size: usize) -> impl Iterator<Item = u64> {
        self.hashes.windows(size).map(|words| {
            mix(words.iter().fold(0_u64, |hash, &word| hash.wrapping_mul(BASE).wrapping_add(word)))
        })
    }

    /// Characters of the words of an n-gram, without the blanks.
    fn characters(&self, first: usize, size: usize) -> usize {
        self.before[first + size] - self.before[first]
    }

    #[allow(clippy::cast_precision_loss)] // counts
    fn rule(&self, characters: usize) -> Option<Rule> {
        let exceeds = |found: usize, share: f64| found as f64 > share * characters as f64;
        let top = TOP.iter().find(|&&(size, share, _)| exceeds(self.top(size), share));
        let repeated =
            || REPEATED.iter().find(|&&(size, share, _)| exceeds(self.repeated(size), share));
        top.or_else(repeated).map(|&(_, _, rule)| rule)
    }

    /// Characters of the most frequent n-gram, with the blanks, times how often it is there; 0 if no
    /// n-gram is there twice. The first of equally frequent ones counts.
    fn top(&self, size: usize) -> usize {
        let mut counts: FxHashMap<u64, (usize, usize)> = FxHashMap::default();
        for (at, ngram) in self.ngrams(size).enumerate() {
            counts.entry(ngram).or_insert((0, at)).0 += 1;
        }
        let best = counts.into_values().max_by_key(|&(count, at)| (count, usize::MAX - at));
        best.filter(|&(count, _)| count > 1)
            .map_or(0, |(count, at)| count * (self.characters(at, size) + size - 1))
    }

    /// Characters, without the blanks, of n-grams that came before; those that are counted do not
    /// overlap.
    fn repeated(&self, size: usize) -> usize {
        let ngrams: Vec<u64> = self.ngrams(size).collect();
        let mut seen = FxHashSet::default();
        let (mut at, mut characters) = (0, 0);
        while let Some(&ngram) = ngrams.get(at) {
            if seen.insert(ngram) {
                at += 1;
            } else {
                characters += self.characters(at, size);
                at += size;
            }
        }
        characters
    }
}

#[cfg(test)]
mod tests {
    use super::super::RULES;
    use super::*;

    fn name(text: &str) -> Option<&'static str> {
        rule(text).map(|rule| &RULES[usize::from(rule)]["gopher-repetition.".len()..])
    }

    /// Words that are all different, of five letters each.
    fn words(first: usize, count: usize) -> Vec<String> {
        let letter = |n: usize| char::from(b'a' + u8::try_from(n % 26).unwrap_or(0));
        (first..first + count)
            .map(|n| [n / 676, n / 26, n, 3, 4].map(letter).iter().collect())
            .collect()
    }

    fn text(first: usize, count: usize) -> String {
        words(first, count).join(" ")
    }

    #[test]
    fn lines_and_paragraphs_are_repeated_up_to_a_limit() {
        let lines = |different: usize, same: usize, separator: &str| {
            let mut lines: Vec<String> = (0..different).map(|n| text(10 * n, 10)).collect();
            // Short ones, so that their characters do not count much.
            lines.extend((0..=same).map(|_| "x".to_owned()));
            lines.join(separator)
        };
        assert_eq!(name(&lines(6, 3, "\n")), None);
        assert_eq!(name(&lines(6, 4, "\n")), Some("lines"));
        assert_eq!(name(&lines(6, 4, "\n\n\n")), Some("paragraphs"));
        let first = [text(0, 20), text(30, 20), text(0, 20), text(60, 20)];
        assert_eq!(name(&first.join("\n")), Some("line_characters"));
        assert_eq!(name(&first.join("\n\n")), Some("paragraph_characters"));
        assert_eq!(name(""), None);
        assert_eq!(name("\n\n\n"), None);
    }

    #[test]
    fn the_top_ngram_has_a_limit() {
        // "abide abode" has 11 characters; a text of n words of five letters has 6n - 1.
        let with = |ngram: &str, size: usize, count: usize, different: usize| {
            let other = words(500, different);
            let step = different / count;
            let mut parts = Vec::new();
            for (at, word) in other.iter().enumerate() {
                if at % step == 0 && at / step < count {
                    parts.push(ngram.to_owned());
                }
                parts.push(word.clone());
            }
            assert_eq!(parts.len(), different + count);
            assert_eq!(ngram.split(' ').count(), size);
            parts.join(" ")
        };
        assert_eq!(name(&with("abide abode", 2, 10, 90)), None); // 110 of 659
        assert_eq!(name(&with("abide abode", 2, 10, 70)), Some("top_2_gram")); // 110 of 539
        assert_eq!(name(&text(0, 4)), None); // once is no repetition
    }

    #[test]
    fn repeated_ngrams_have_a_limit() {
        let twice = |length: usize, different: usize| {
            [text(0, length), text(500, different), text(0, length)].join(" ")
        };
        // 50 of 419 characters in 10-grams, and in no shorter n-gram enough of them.
        assert_eq!(name(&twice(10, 50)), Some("repeated_10_grams"));
        assert_eq!(name(&twice(10, 70)), None); // 50 of 539
        assert_eq!(name(&twice(10, 30)), Some("repeated_5_grams")); // 50 of 299
    }
}
