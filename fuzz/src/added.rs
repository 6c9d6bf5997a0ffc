//! Added tokens of every kind.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Texts of added tokens, and letters for what they do: `w`hole words only, strip on the `l`eft or the
/// `r`ight, are matched in `n`ormalized text.
const MORE_TOKENS: &[(&str, &str)] = &[
    ("the house", ""),
    ("The House's", "n"),
    ("re", "w"),
    ("for", "nw"),
    ("<gap>", "lr"),
    (" an", "w"),
    ("10", "r"),
    ("il ", "nl"),
    ("caf\u{e9}", "n"),
    ("afe", ""),
    ("\u{732b}", "nr"),
    ("token", ""),
    ("kens un", "l"),
];

/// The same tokenizer with added tokens of every kind.
pub fn with_more_tokens(mut file: Value) -> Value {
    // The library knows a token by the model's id, where the model has it.
    let mut ids: BTreeMap<String, usize> = BTreeMap::new();
    match &file["model"]["vocab"] {
        Value::Array(pieces) => {
            let pieces = pieces.iter().filter_map(|piece| piece[0].as_str());
            ids.extend(pieces.map(String::from).zip(0..));
        }
        vocab => {
            let entries = vocab.as_object().into_iter().flatten();
            ids.extend(
                entries.map(|(token, id)| (token.clone(), id.as_u64().unwrap_or(0) as usize)),
            );
        }
    }
    let mut next = ids.values().max().map_or(0, |last| last + 1);
    if let Some(tokens) = file["added_tokens"].as_array_mut() {
        for token in &*tokens {
            next = next.max(token["id"].as_u64().map_or(0, |id| id as usize + 1));
        }
        for &(content, rules) in MORE_TOKENS {
            let id = ids.get(content).copied().unwrap_or(next);
            next += usize::from(id == next);
            tokens.push(json!({
                "id": id, "content": content, "single_word": rules.contains('w'),
                "lstrip": rules.contains('l'), "rstrip": rules.contains('r'),
                "normalized": rules.contains('n'), "special": false,
            }));
        }
    }
    file
}
