//! The quality heuristics of `MassiveText`: Rae et al. 2021, "Scaling Language Models", appendix A.1.1.

use super::{Rule, number};

/// The least and the most words.
const WORDS: std::ops::RangeInclusive<usize> = 50..=100_000;
/// The least and the greatest mean length of a word, in characters.
const WORD_LENGTH: std::ops::RangeInclusive<f64> = 3.0..=10.0;
/// The most hashes, and the most ellipses, for each word.
const SYMBOLS: f64 = 0.1;
/// The greatest share of lines that begin with a bullet, and of those that end with an ellipsis.
const BULLETS: f64 = 0.9;
const ELLIPSES: f64 = 0.3;
/// The least share of words with a letter.
const ALPHABETIC: f64 = 0.8;
/// The least number of different stop words.
const STOP_WORDS: u32 = 2;
const STOPS: [&str; 8] = ["the", "be", "to", "of", "and", "that", "have", "with"];

/// The first rule that leaves the text out.
///
/// A word is a run without white space. Words without a letter or digit do not count for the number and
/// the length of words; punctuation around a word is no part of its length.
#[allow(clippy::cast_precision_loss)] // counts
pub fn rule(text: &str) -> Option<Rule> {
    let (mut all, mut counted, mut characters, mut alphabetic) =
        (0_usize, 0_usize, 0_usize, 0_usize);
    let mut stops = 0_u8;
    for word in text.split_whitespace() {
        all += 1;
        let bare = word.trim_matches(|character: char| !character.is_alphanumeric());
        if !bare.is_empty() {
            counted += 1;
            characters += bare.chars().count();
            alphabetic += usize::from(bare.chars().any(char::is_alphabetic));
            if let Some(at) = STOPS.iter().position(|&stop| stop == bare) {
                stops |= 1 << at;
            }
        }
    }
    if counted < *WORDS.start() {
        return Some(const { number("gopher.few_words") });
    }
    if counted > *WORDS.end() {
        return Some(const { number("gopher.many_words") });
    }
    if !WORD_LENGTH.contains(&(characters as f64 / counted as f64)) {
        return Some(const { number("gopher.word_length") });
    }
    let hashes = text.matches('#').count();
    let ellipses = text.matches("...").count() + text.matches('\u{2026}').count();
    if hashes.max(ellipses) as f64 > SYMBOLS * all as f64 {
        return Some(const { number("gopher.symbols") });
    }
    let (mut lines, mut bullets, mut ends) = (0_usize, 0_usize, 0_usize);
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        lines += 1;
        bullets += usize::from(line.starts_with(['\u{2022}', '-']));
        ends += usize::from(line.ends_with("...") || line.ends_with('\u{2026}'));
    }
    if bullets as f64 > BULLETS * lines as f64 {
        return Some(const { number("gopher.bullets") });
    }
    if ends as f64 > ELLIPSES * lines as f64 {
        return Some(const { number("gopher.ellipses") });
    }
    if (alphabetic as f64) < ALPHABETIC * all as f64 {
        return Some(const { number("gopher.alphabetic_words") });
    }
    (stops.count_ones() < STOP_WORDS).then_some(const { number("gopher.stop_words") })
}

#[cfg(test)]
mod tests {
    use super::super::RULES;
    use super::*;

    fn name(text: &str) -> Option<&'static str> {
        rule(text).map(|rule| RULES[usize::from(rule)])
    }

    /// `count` words, two of them stop words.
    fn prose(count: usize) -> String {
        format!("the fox of {}", "wood ".repeat(count - 3))
    }

    #[test]
    fn each_rule_has_its_limit() {
        assert_eq!(name(&prose(50)), None);
        assert_eq!(name(&prose(49)), Some("gopher.few_words"));
        assert_eq!(name(&format!("{} - , &", prose(49))), Some("gopher.few_words"));
        assert_eq!(name(&prose(100_000)), None);
        assert_eq!(name(&prose(100_001)), Some("gopher.many_words"));
        assert_eq!(name(&"the of ab, ".repeat(30)), Some("gopher.word_length"));
        assert_eq!(
            name(&format!("the of {}", "of(12345678) ".repeat(60))),
            Some("gopher.word_length")
        );
        for symbol in ["#", "...", "\u{2026}"] {
            assert_eq!(name(&prose(100).replacen("wood", &format!("wood{symbol}"), 10)), None);
            let more = prose(100).replacen("wood", &format!("wood{symbol}"), 11);
            assert_eq!(name(&more), Some("gopher.symbols"));
        }
        let list = |bullets: usize, others: usize| {
            let bullet = "- the wood of foxes\n".repeat(bullets);
            format!("{bullet}\n\n{}", "the wood of foxes\n".repeat(others))
        };
        assert_eq!(name(&list(18, 2)), None);
        assert_eq!(name(&list(19, 2)), Some("gopher.bullets"));
        let cut = |cut: usize, others: usize| {
            let line = "the wood of foxes and of other animals that have a home";
            format!(
                "{}\n{}",
                format!("{line} ...\n").repeat(cut),
                format!("{line}.\n").repeat(others)
            )
        };
        assert_eq!(name(&cut(3, 7)), None);
        assert_eq!(name(&cut(4, 7)), Some("gopher.ellipses"));
        assert_eq!(name(&prose(100).replacen("wood", "1234", 20)), None);
        assert_eq!(name(&prose(100).replacen("wood", "1234", 21)), Some("gopher.alphabetic_words"));
        assert_eq!(name(&format!("the the {}", "wood ".repeat(60))), Some("gopher.stop_words"));
        assert_eq!(name(&format!("The (of) {}", "wood ".repeat(60))), Some("gopher.stop_words"));
        assert_eq!(name(&format!("the, (of) {}", "wood ".repeat(60))), None);
    }
}
