//! Normalizers and pre-tokenizers, as tokenizer.json has them.

use serde_json::{Value, json};

use crate::charsmap::charsmap;

/// What the charsmap makes of characters and graphemes.
const RULES: &[(&str, &str)] = &[
    ("\t", " "),
    ("\n", " "),
    ("\r", " "),
    ("\u{c}", " "),
    ("\u{1}", ""),
    ("\u{b}", ""),
    ("\u{7f}", ""),
    ("\u{a0}", " "),
    ("\u{3000}", " "),
    ("\u{2003}", " "),
    ("\u{200b}", " "),
    ("\u{2581}", " "),
    ("\u{feff}", ""),
    ("\u{aa}", "a"),
    ("\u{b4}", " \u{301}"),
    ("\u{2460}", "1"),
    ("\u{ff21}", "A"),
    ("\u{fb01}", "fi"),
    ("e\u{301}", "é"),
    ("\u{ff76}\u{ff9e}", "ガ"),
    ("\u{304b}\u{3099}", "が"),
    ("\u{1100}\u{1161}", "가"),
    ("\u{2026}", "..."),
    ("\u{fdfa}", "صلى الله عليه وسلم"),
    ("\u{344}", "\u{308}\u{301}"),
];

/// Several normalizers as one.
pub fn one_after_another(normalizers: &[Value]) -> Value {
    match normalizers {
        [] => Value::Null,
        [only] => only.clone(),
        several => json!({"type": "Sequence", "normalizers": several}),
    }
}

pub fn split(regex: &str, behavior: &str) -> Value {
    json!({"type": "Split", "pattern": {"Regex": regex}, "behavior": behavior, "invert": false})
}

pub fn digits() -> Value {
    json!({"type": "Digits", "individual_digits": true})
}

pub fn spaces() -> Value {
    split(r"\s+", "Removed")
}

/// Entries within each other, as k-mers and single bases are.
pub fn choice() -> Value {
    split("the|th(?:er)?|ere|A(?:C(?:GT)?)?|C|G|T|\\.\\.|é|東京|東", "Isolated")
}

pub fn replacing() -> Value {
    json!({"type": "Replace", "pattern": {"String": " "}, "content": "\u{2581}"})
}

pub fn prepending() -> Value {
    json!({"type": "Prepend", "prepend": "\u{2581}"})
}

pub fn splitting(what: &str, behavior: &str) -> Value {
    json!({"type": "Split", "pattern": {"String": what}, "behavior": behavior, "invert": false})
}

pub fn precompiled() -> Value {
    json!({"type": "Precompiled", "precompiled_charsmap": charsmap(RULES)})
}

pub fn squeezing(content: &str) -> Value {
    json!({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": content})
}

/// Line breaks, tabs and longer runs of white space become one space.
pub fn joining_lines() -> Value {
    json!({"type": "Replace", "pattern": {"Regex": r"\s{2,}|[\n\r\t]"}, "content": " "})
}

pub fn strip(left: bool) -> Value {
    json!({"type": "Strip", "strip_left": left, "strip_right": true})
}

pub fn metaspace(scheme: &str, split: bool) -> Value {
    json!({"type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": scheme, "split": split})
}

pub fn sequence(splitters: &[Value]) -> Value {
    json!({"type": "Sequence", "pretokenizers": splitters})
}

/// Words between white space of any kind, or between spaces.
pub fn words_of(at_white: bool) -> Value {
    let last = metaspace("always", true);
    if at_white { sequence(&[json!({"type": "WhitespaceSplit"}), last]) } else { last }
}

pub fn xlnet() -> Vec<Value> {
    let replace = |what| json!({"type": "Replace", "pattern": {"String": what}, "content": "\""});
    let plain = |name| json!({"type": name});
    vec![
        replace("``"),
        replace("''"),
        plain("NFKD"),
        plain("StripAccents"),
        plain("Lowercase"),
        precompiled(),
    ]
}
