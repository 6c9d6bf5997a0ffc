//! A direct implementation of the pattern, to test the one that reads 64 bytes at a time.

use super::classes::{CLASS, Classes, LETTER, NUMBER, OTHER, WHITE};
use super::joins::{JOINS_AFTER, JOINS_BEFORE};
use super::pattern::Pattern;
use crate::tokenize::unit::Unit;

/// The same as [`super::scan::scan`], one character at a time.
pub fn scan_plainly(text: &str, classes: &Classes, pattern: Pattern, doubles: bool) -> Vec<Unit> {
    let flags = |c: char| classes.of(c as u32);
    let class = |c: char| flags(c) & CLASS;
    let mut pieces = vec![0];
    if doubles {
        let bytes = text.as_bytes();
        let is_space = |at: usize| bytes.get(at) == Some(&b' ');
        let double = |at: usize| is_space(at) && (at > 0 && is_space(at - 1) || is_space(at + 1));
        pieces.extend((1..text.len()).filter(|&at| double(at) != double(at - 1)));
    }
    pieces.push(text.len());
    let mut starts = Vec::new();
    for piece in pieces.windows(2) {
        let mut at = piece[0];
        while at < piece[1] {
            let rest = &text[at..piece[1]];
            starts.push(at);
            at += if doubles && rest.starts_with("  ") {
                rest.len()
            } else {
                word_length(rest, pattern, class)
            };
        }
    }
    for ((before, _), (at, after)) in text.char_indices().zip(text.char_indices().skip(1)) {
        let before = text[before..].chars().next().unwrap_or(' ');
        if flags(before) & JOINS_AFTER == 0 || flags(after) & JOINS_BEFORE == 0 {
            starts.push(at);
        }
    }
    starts.sort_unstable();
    starts.dedup();
    starts.push(text.len());
    let as_u32 = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    let units = starts.windows(2).map(|two| Unit { start: as_u32(two[0]), end: as_u32(two[1]) });
    units.filter(|unit| unit.end > unit.start).collect()
}

fn word_length(text: &str, pattern: Pattern, class: impl Fn(char) -> u8 + Copy) -> usize {
    if let Some(length) =
        text.strip_prefix('\'').and_then(|rest| pattern.contraction(rest.as_bytes()))
    {
        return 1 + length;
    }
    let run = |from: usize, kind| {
        let characters = text[from..].chars().take_while(|&c| class(c) == kind);
        characters.map(char::len_utf8).sum::<usize>()
    };
    let spaces = usize::from(text.starts_with(' '));
    if let Some(most) = pattern.digits {
        let before = text
            .chars()
            .next()
            .filter(|&c| !matches!(class(c), LETTER | NUMBER) && !matches!(c, '\r' | '\n'));
        let before = before.map_or(0, char::len_utf8);
        if run(before, LETTER) > 0 {
            return before + run(before, LETTER);
        }
        let digits = text.chars().take_while(|&c| class(c) == NUMBER).take(most as usize);
        let digits: usize = digits.map(char::len_utf8).sum();
        if digits > 0 {
            return digits;
        }
        let others = run(spaces, OTHER);
        if others > 0 {
            let rest = &text[spaces + others..];
            return text.len() - rest.trim_start_matches(['\r', '\n']).len();
        }
        if let Some(line) = text[..run(0, WHITE)].rfind(['\r', '\n']) {
            return line + 1;
        }
    } else {
        for kind in [LETTER, NUMBER, OTHER] {
            if run(spaces, kind) > 0 {
                return spaces + run(spaces, kind);
            }
        }
    }
    let white: Vec<_> = text.chars().take_while(|&c| class(c) == WHITE).collect();
    let length: usize = white.iter().map(|c| c.len_utf8()).sum();
    match white[..] {
        [.., _, last] if length < text.len() => length - last.len_utf8(),
        _ => length,
    }
}
