//! The rules of C4 (Raffel et al. 2020), as its reference code has them: `clean_page` of `c4_utils.py` in
//! TensorFlow Datasets, without the list of bad words.

use std::borrow::Cow;

use super::{LINE_RULES, Lines, Rule, number, position};

/// A line with a longer word is left out.
const WORD_CHARACTERS: usize = 1000;
/// The least words of a line.
const LINE_WORDS: usize = 5;
/// The least sentences of a document.
const SENTENCES: usize = 3;
const END_MARKS: [char; 4] = ['.', '?', '!', '"'];
const POLICIES: [&str; 6] = [
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
];
/// What may close a sentence behind its end mark.
const CLOSING: [char; 8] = ['"', '\'', ')', ']', '\u{201d}', '\u{2019}', '\u{bb}', '*'];

/// The text's lines of prose, joined by line feeds, or the rule that leaves the document out. Counts the
/// other lines by rule, but for blank ones.
pub fn clean(text: &str, dropped: &mut Lines) -> Result<String, Rule> {
    let mut sentences = 0;
    let mut kept = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let line = match examine(line)? {
            Ok(line) => line,
            Err(rule) => {
                dropped[rule] = dropped[rule].saturating_add(1);
                continue;
            }
        };
        sentences += count_sentences(&line);
        if !kept.is_empty() {
            kept.push('\n');
        }
        kept.push_str(&line);
    }
    if sentences < SENTENCES {
        return Err(const { number("c4.sentences") });
    }
    Ok(kept)
}

/// The line to keep, or the number of the line's rule; an outer error leaves out the document. The
/// order is the reference's.
fn examine(line: &str) -> Result<Result<Cow<'_, str>, usize>, Rule> {
    if line.split_whitespace().any(|word| word.chars().count() > WORD_CHARACTERS) {
        return Ok(Err(const { line_rule("c4.long_word") }));
    }
    let line = without_citations(line);
    if !line.ends_with(END_MARKS) || line.ends_with("...") {
        return Ok(Err(const { line_rule("c4.end_mark") }));
    }
    if line.split_whitespace().take(LINE_WORDS).count() < LINE_WORDS {
        return Ok(Err(const { line_rule("c4.line_words") }));
    }
    let lower = line.to_lowercase();
    if lower.contains("lorem ipsum") {
        return Err(const { number("c4.lorem_ipsum") });
    }
    if lower.contains("javascript") {
        return Ok(Err(const { line_rule("c4.javascript") }));
    }
    if line.contains('{') {
        return Err(const { number("c4.curly_bracket") });
    }
    if POLICIES.iter().any(|policy| lower.contains(policy)) {
        return Ok(Err(const { line_rule("c4.policy") }));
    }
    Ok(Ok(line))
}

/// Remove what Wikipedia puts into brackets: `[12]`, `[]`, `[edit]`, `[citation needed]`.
fn without_citations(line: &str) -> Cow<'_, str> {
    let citation = |rest: &str| {
        let inner = &rest[1..rest.find(']')?];
        let known = inner == "edit" || inner == "citation needed";
        (known || inner.bytes().all(|byte| byte.is_ascii_digit())).then_some(inner.len() + 2)
    };
    if !line.contains('[') {
        return Cow::Borrowed(line);
    }
    let mut kept = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find('[') {
        kept.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = citation(rest).unwrap_or_else(|| {
            kept.push('[');
            1
        });
        rest = &rest[length..];
    }
    kept.push_str(rest);
    Cow::Owned(kept)
}

/// Sentences of a line: they end with end marks, maybe closing quotes or brackets, and white space. (The
/// reference takes NLTK's model of English, which also knows abbreviations.)
fn count_sentences(line: &str) -> usize {
    line.split_whitespace()
        .rev()
        .enumerate()
        .filter(|&(from_end, word)| {
            from_end == 0 || word.trim_end_matches(CLOSING).ends_with(['.', '?', '!'])
        })
        .count()
}

const fn line_rule(name: &str) -> usize {
    position(&LINE_RULES, name)
}

#[cfg(test)]
mod tests {
    use super::super::RULES;
    use super::*;

    const PROSE: &str = "The fox went into the wood. It was cold there! Was it alone?";

    #[test]
    fn lines_are_left_out_by_rule() {
        for (line, rule) in [
            ("A title of more than five words", Some("c4.end_mark")),
            ("And so on and so on ...", Some("c4.end_mark")),
            ("Read more now here.", Some("c4.line_words")),
            ("Please enable JavaScript to see this page.", Some("c4.javascript")),
            ("By reading on you accept our Cookie Policy today.", Some("c4.policy")),
            ("He said that it is \"so\"", None),
            ("There are five words here.", None),
            ("A fact that needs its source.[12][citation needed]", None),
            ("A fact that has its source. [3]", Some("c4.end_mark")),
            ("  \t", None),
        ] {
            let mut dropped = Lines::default();
            let text = format!("{line}\r\n{PROSE}");
            let kept = clean(&text, &mut dropped).unwrap_or_default();
            assert!(kept.ends_with(PROSE), "{line}: {kept}");
            assert_eq!(kept == PROSE, rule.is_some() || line.trim().is_empty(), "{line}: {kept}");
            let expected = LINE_RULES.map(|name| u32::from(Some(name) == rule));
            assert_eq!(dropped, expected, "{line}");
        }
        let mut dropped = Lines::default();
        let long = format!("The {} is too long here.\n{PROSE}", "x".repeat(1001));
        assert_eq!(clean(&long, &mut dropped).as_deref(), Ok(PROSE));
        assert_eq!(dropped[0], 1);
        assert!(
            clean(&long.replacen('x', "", 1), &mut dropped).is_ok_and(|kept| kept.len() > 1000)
        );
    }

    #[test]
    fn documents_are_left_out_by_rule() {
        for (text, rule) in [
            ("A Lorem Ipsum is a text of no sense.", "c4.lorem_ipsum"),
            ("The function begins with { and ends.", "c4.curly_bracket"),
            ("The fox went into the wood. It was cold there!", "c4.sentences"),
            ("", "c4.sentences"),
        ] {
            let found = clean(text, &mut Lines::default()).map_err(|rule| RULES[usize::from(rule)]);
            assert_eq!(found, Err(rule), "{text}");
        }
        // Only lines of prose can leave out a document.
        let code = format!("function() {{\n{PROSE}");
        assert_eq!(clean(&code, &mut Lines::default()).as_deref(), Ok(PROSE));
    }

    #[test]
    fn citations_and_sentences() {
        assert_eq!(without_citations("a[1] [edit]b[] [see 2] [c"), "a b [see 2] [c");
        assert_eq!(without_citations("[citation needed]"), "");
        for (line, count) in [
            (PROSE, 3),
            ("It costs 3.50 dollars.", 1),
            ("\"Who?\" he asked. (Nobody knew.) \"I see\"", 4),
            ("No end", 1),
            ("", 0),
        ] {
            assert_eq!(count_sentences(line), count, "{line}");
        }
    }
}
