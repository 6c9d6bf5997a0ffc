//! Damaged and strange tokenizer.json files: an error, or the library's ids.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mlmfast_core::tokenize::any::Tokenizer as Core;
use mlmfast_fuzz::library::{encode, forgive_the_library, has_unknown, ids_of, outlived};
use mlmfast_fuzz::rows::large;
use mlmfast_fuzz::tokenizers::{PIPELINES, file};
use serde_json::{Value, json};
use tokenizers::Tokenizer as Library;

static FILES: LazyLock<Vec<Value>> = LazyLock::new(|| (0..PIPELINES).map(file).collect());

const TEXTS: [&str; 4] = [
    "The houses' tokens don't  tokenize, 10 cafe\u{301}s\r\n\tin \u{6771}\u{4eac}?",
    " <mask> [MASK] ``naïve'' \u{fb01}\u{a0}x\u{3000}y \u{304b}\u{3099}  ",
    "q\u{0}q \u{1f469}\u{200d}\u{1f4bb} \u{915}\u{93c} \u{e17}\u{e35}\u{e48} \u{1100}\u{1161}",
    "",
];

const KINDS: [&str; 11] = [
    "NFC",
    "NFKC",
    "NFD",
    "Nmt",
    "Lowercase",
    "StripAccents",
    "Whitespace",
    "BertPreTokenizer",
    "WhitespaceSplit",
    "Punctuation",
    "Prepend",
];

fuzz_target!(init: forgive_the_library(), |data: &[u8]| {
    let Some((&kind, data)) = data.split_first() else { return };
    let json = if kind == 0xff {
        String::from_utf8_lossy(data).into_owned()
    } else {
        let mut value = FILES[usize::from(kind) % PIPELINES].clone();
        for change in data.chunks_exact(6) {
            mutate(&mut value, change);
        }
        let mut json = value.to_string();
        // Cut short.
        if let [byte, ..] = data.chunks_exact(6).remainder() {
            let end = json.len() * usize::from(*byte) / 256;
            json.truncate(json.floor_char_boundary(end));
        }
        json
    };
    // Whatever the file is, this must not panic.
    drop(Core::from_json(&json, &[]));
    let Some(Ok(library)) = outlived(|| json.parse::<Library>()) else { return };
    // mlmfast gives the core the file as the library writes it, with the library's ids for added
    // tokens: those of a file are mere hints to it.
    let Some(Ok(written)) = outlived(|| library.to_string(false)) else { return };
    let Ok(core) = Core::from_json(&written, &[]) else { return };
    for text in TEXTS {
        let texts = large(&[text.as_bytes()]).expect("good rows");
        let Some(found) = encode::<u32>(&core, &library, &texts, 1).expect("good rows") else { return };
        let Some(expected) = ids_of(&library, text) else { return };
        assert!(found[0] == expected || has_unknown(&core, &library, text), "{text:?}: {:?} {expected:?}", found[0]);
    }
});

/// Change one place of the file: `change` says which, and to what.
fn mutate(value: &mut Value, change: &[u8]) {
    let mut place = value;
    for &step in &change[..4] {
        let step = usize::from(step);
        let (length, named) = match place {
            Value::Array(items) => (items.len(), false),
            Value::Object(items) => (items.len(), true),
            _ => break,
        };
        // One step in eight stops here; the first and the last of a long list are met soonest.
        if length == 0 || step % 8 == 7 {
            break;
        }
        let at = if step < 128 { step % length } else { length - 1 - step % length };
        place = if named {
            place.as_object_mut().and_then(|items| items.values_mut().nth(at)).expect("counted")
        } else {
            &mut place[at]
        };
    }
    let number = i64::from(change[5]);
    *place = match change[4] % 22 {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(false),
        3 => json!(number),
        4 => json!(-number),
        5 => json!(4_294_967_295_u64 - u64::from(change[5])),
        6 => json!(f64::from(change[5]) * 1e300),
        7 => json!(-0.5),
        8 => json!(""),
        9 => json!(" "),
        10 => json!(char::from(change[5]).to_string()),
        11 => json!("\u{2581}"),
        12 => json!([]),
        13 => json!({}),
        14 => json!({"String": "a"}),
        15 => json!({"Regex": "[a-z]{2}"}),
        16 => json!({"type": "Sequence", "normalizers": [place.clone(), {"type": "Lowercase"}]}),
        // Doubling what was doubled before would soon take all memory.
        17 if size(place) < 10_000 => json!([place.clone(), place.clone()]),
        18 => json!({"type": KINDS[usize::from(change[5]) % KINDS.len()]}),
        19 => json!({"type": "Sequence", "pretokenizers": [place.clone()]}),
        20 => (0..100).fold(Value::Null, |inner, _| json!([inner])),
        _ => json!("e\u{301}\u{fb01}\u{3000}"),
    };
}

/// The number of values in a value.
fn size(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(items) => items.values().map(size).sum(),
        _ => 0_usize,
    }
}
