//! A precompiled map of characters, as `SentencePiece` models carry one.

use std::collections::{BTreeMap, BTreeSet};

/// The map of `rules` in base64: a double array over the keys' bytes, each node's children in 256
/// units of their own, and the texts behind it.
///
/// # Panics
/// For hundreds of thousands of rules.
#[must_use]
pub fn charsmap(rules: &[(&str, &str)]) -> String {
    let mut nodes = BTreeSet::from([Vec::new()]);
    for (key, _) in rules {
        nodes.extend((1..=key.len()).map(|end| key.as_bytes()[..end].to_vec()));
    }
    let rooms: BTreeMap<_, _> = nodes.into_iter().zip(1_u32..).collect();
    let values: BTreeMap<_, _> = rules.iter().map(|(key, value)| (key.as_bytes(), value)).collect();
    let mut units = vec![0xff_u32; 256 * (rooms.len() + 1)];
    let mut texts = Vec::new();
    for (node, &room) in &rooms {
        let (label, at) = match node.split_last() {
            None => (0, 0),
            Some((&label, parent)) => (u32::from(label), rooms[parent] << 8 | u32::from(label)),
        };
        let relative = at ^ room << 8;
        assert!(relative < 1 << 21, "too many rules");
        units[at as usize] = label | relative << 10;
        if let Some(value) = values.get(&node[..]) {
            units[at as usize] |= 1 << 8;
            units[(room << 8) as usize] = u32::try_from(texts.len()).unwrap() | 1 << 31;
            texts.extend(value.bytes().chain([0]));
        }
    }
    let mut bytes = u32::try_from(4 * units.len()).unwrap().to_le_bytes().to_vec();
    bytes.extend(units.into_iter().flat_map(u32::to_le_bytes));
    bytes.extend(texts);
    base64(&bytes)
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits =
            (0..3).fold(0, |bits, at| bits << 8 | three.get(at).map_or(0, |&b| usize::from(b)));
        for at in 0..4 {
            let digit = char::from(DIGITS[bits >> (18 - 6 * at) & 63]);
            text.push(if at <= three.len() { digit } else { '=' });
        }
    }
    text
}
