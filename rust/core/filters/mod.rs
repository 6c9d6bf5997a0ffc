//! Quality filters: rules of published corpora that tell which documents, or lines of them, are no prose.
//!
//! - [`Filter::Gopher`]: the quality heuristics of `MassiveText` (Rae et al. 2021, appendix A.1.1);
//! - [`Filter::GopherRepetition`]: its limits of repeated text (table A1);
//! - [`Filter::C4`]: the lines and documents that the reference code of C4 keeps (Raffel et al. 2020,
//!   `c4_utils.py` of TensorFlow Datasets).
//!
//! The figures are those of the papers. Rules that need a list of words or sentences are for English.

mod c4;
mod gopher;
mod repetition;

use arrow_array::{Array, LargeStringArray};

use crate::{Error, Result};

/// A set of rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Filter {
    /// Limits of repeated lines, paragraphs and n-grams.
    GopherRepetition,
    /// Limits of words, symbols and lists.
    Gopher,
    /// Lines of prose only, and documents with some of them.
    C4,
}

/// A document's rule; the rules of all filters are numbered one after the other.
pub type Rule = u8;

/// The names of the rules that leave out documents, by [`Rule`].
pub const RULES: [&str; 24] = [
    "gopher-repetition.lines",
    "gopher-repetition.line_characters",
    "gopher-repetition.paragraphs",
    "gopher-repetition.paragraph_characters",
    "gopher-repetition.top_2_gram",
    "gopher-repetition.top_3_gram",
    "gopher-repetition.top_4_gram",
    "gopher-repetition.repeated_5_grams",
    "gopher-repetition.repeated_6_grams",
    "gopher-repetition.repeated_7_grams",
    "gopher-repetition.repeated_8_grams",
    "gopher-repetition.repeated_9_grams",
    "gopher-repetition.repeated_10_grams",
    "gopher.few_words",
    "gopher.many_words",
    "gopher.word_length",
    "gopher.symbols",
    "gopher.bullets",
    "gopher.ellipses",
    "gopher.alphabetic_words",
    "gopher.stop_words",
    "c4.lorem_ipsum",
    "c4.curly_bracket",
    "c4.sentences",
];
/// The names of the rules that leave out lines.
pub const LINE_RULES: [&str; 5] =
    ["c4.long_word", "c4.end_mark", "c4.line_words", "c4.javascript", "c4.policy"];
/// Lines that each of [`LINE_RULES`] left out.
pub type Lines = [u32; LINE_RULES.len()];
/// The number of a kept document, in place of its rule's.
pub const KEPT: u8 = u8::MAX;

/// Filters, in the order in which they are applied.
pub struct Filters(Vec<Filter>);

/// What became of texts.
pub struct Filtered {
    /// The texts, without the lines that were left out, if a filter leaves out lines; those that are
    /// left out as a whole are as they were.
    pub texts: Option<LargeStringArray>,
    /// The first rule that leaves a text out; [`KEPT`] for none, and for nulls.
    pub rules: Vec<u8>,
    /// The lines that were left out of the texts that are kept.
    pub lines: Vec<Lines>,
}

impl Filters {
    /// The filters of these names, whose order makes no difference.
    ///
    /// # Errors
    /// There is no filter of a name.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let filter = |name: &str| match name {
            "gopher-repetition" => Ok(Filter::GopherRepetition),
            "gopher" => Ok(Filter::Gopher),
            "c4" => Ok(Filter::C4),
            _ => Err(Error::NoSuchFilter(name.to_owned())),
        };
        let mut filters = names.into_iter().map(filter).collect::<Result<Vec<_>>>()?;
        filters.sort_unstable();
        filters.dedup();
        Ok(Self(filters))
    }

    /// Apply the filters to texts; a null stays one.
    #[must_use]
    pub fn apply(&self, texts: &LargeStringArray) -> Filtered {
        let changes = self.0.contains(&Filter::C4);
        let mut rules = Vec::with_capacity(texts.len());
        let mut lines = Vec::with_capacity(texts.len());
        let mut kept: Vec<Option<String>> = Vec::new();
        for text in texts {
            let mut clean = None;
            let mut dropped = Lines::default();
            let rule = text.and_then(|text| self.rule(text, &mut clean, &mut dropped));
            rules.push(rule.unwrap_or(KEPT));
            lines.push(if rule.is_some() { Lines::default() } else { dropped });
            if changes {
                kept.push(text.map(|text| clean.unwrap_or_else(|| text.to_owned())));
            }
        }
        Filtered { texts: changes.then(|| kept.into_iter().collect()), rules, lines }
    }

    /// The first rule that leaves the text out; otherwise the filters' text, if one changes texts.
    fn rule(&self, text: &str, clean: &mut Option<String>, dropped: &mut Lines) -> Option<Rule> {
        self.0.iter().find_map(|filter| match filter {
            Filter::GopherRepetition => repetition::rule(text),
            Filter::Gopher => gopher::rule(text),
            Filter::C4 => match c4::clean(text, dropped) {
                Ok(kept) => {
                    *clean = Some(kept);
                    None
                }
                Err(rule) => Some(rule),
            },
        })
    }
}

/// The number of a rule, from its name.
#[allow(clippy::cast_possible_truncation)] // there are few
const fn number(name: &str) -> Rule {
    position(&RULES, name) as Rule
}

/// Where a name is among others; their number if it is not.
const fn position(names: &[&str], name: &str) -> usize {
    let name = name.as_bytes();
    let mut at = 0;
    while at < names.len() {
        let other = names[at].as_bytes();
        let mut same = other.len() == name.len();
        let mut byte = 0;
        while same && byte < name.len() {
            same = other[byte] == name[byte];
            byte += 1;
        }
        if same {
            return at;
        }
        at += 1;
    }
    at
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn name(rule: u8) -> Option<&'static str> {
        (rule != KEPT).then(|| RULES[usize::from(rule)])
    }

    #[test]
    fn filters_come_in_one_order() {
        let short = "javascript: {}. Too short.";
        let texts: LargeStringArray = [Some(short), None, Some("")].into_iter().collect();
        for names in [["c4", "gopher"], ["gopher", "c4"]] {
            let found = Filters::new(names).unwrap().apply(&texts);
            let rules: Vec<_> = found.rules.iter().map(|&rule| name(rule)).collect();
            assert_eq!(rules, [Some("gopher.few_words"), None, Some("gopher.few_words")]);
            assert_eq!(found.texts.unwrap().null_count(), 1);
        }
        assert!(Filters::new(["gopher"]).unwrap().apply(&texts).texts.is_none());
        assert!(Filters::new(["fineweb"]).is_err());
    }

    #[test]
    fn rules_have_numbers() {
        for (at, rule) in RULES.iter().enumerate() {
            assert_eq!(usize::from(number(rule)), at);
        }
        assert_eq!(position(&LINE_RULES, "c4.policy"), 4);
        assert_eq!(position(&LINE_RULES, "c4.sentences"), LINE_RULES.len());
    }
}
