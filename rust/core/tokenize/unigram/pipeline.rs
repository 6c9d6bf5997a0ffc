//! Reading the supported pipelines.

use super::alphabet::Alphabet;
use super::runs::Runs;
use super::scan::Scanner;
use super::tails::Tails;
use super::trie::Trie;
use super::viterbi::Pieces;
use super::words::Tables;
use crate::tokenize::model::Model;
use crate::{Error, Result};

/// Larger scores could overflow, or lose precision in sums.
const MOST: f64 = 1e9;

/// A scanner for these tables.
///
/// # Errors
/// A normalizer maps white space to other characters.
pub fn scanner(tables: &Tables) -> Result<Scanner> {
    let refused = || Error::Pipeline { part: "normalizer", found: "white space changes".into() };
    let (stages, splitting) = (&tables.stages, &tables.splitting);
    // Whether white space becomes more than a border.
    let matters = !splitting.at_white || stages.space().is_some();
    let also = if matters { splitting.space } else { ' ' };
    let is_space = |text: &str| text == " " || text.chars().eq([also]);
    let excepted = |byte| tables.exceptions.contains(&u32::from(byte));
    let white: Vec<u8> = [b' ', b'\n', b'\r', b'\t']
        .into_iter()
        .filter(|&byte| {
            let text = char::from(byte).to_string();
            !excepted(byte)
                && stages.keeps_white(&text, also)
                && (splitting.at_white || is_space(&stages.of(&text)))
        })
        .collect();
    // Texts are cut at spaces.
    if !white.starts_with(b" ") {
        return Err(refused());
    }
    let mut runs = Vec::new();
    let mut line_end = 2;
    for &first in &white {
        for &second in &white {
            let text = String::from_iter([char::from(first), char::from(second)]);
            if !stages.keeps_white(&text, also) {
                return Err(refused());
            }
            let run = stages.of(&text);
            if text == "\r\n" {
                line_end = run.chars().count();
            }
            runs.push((text, run));
        }
    }
    let runs = if !matters {
        None
    } else if runs.iter().all(|(_, run)| is_space(run)) {
        Some(Runs::Squeezed)
    } else if !splitting.at_white
        && splitting.at_space
        && runs.iter().all(|(text, run)| run.chars().count() == 2 || text == "\r\n")
        && line_end <= 2
    {
        Some(Runs::Single { line_end: line_end == 1 })
    } else {
        Some(Runs::WithWord)
    };
    let is_prefix = |text: String| is_space(&text);
    if !stages.prefix().is_none_or(is_prefix) {
        return Err(refused());
    }
    Scanner::new(&white, runs, tables).ok_or_else(refused)
}

/// The codes and pieces of `model`.
///
/// # Errors
/// The model is not Unigram, or the library would reject it.
pub fn pieces(model: &Model<'_>) -> Result<(Alphabet, Pieces)> {
    let refused = |found: String| Error::Pipeline { part: "model", found };
    let Model::Unigram { vocab, unk_id, byte_fallback } = model else {
        return Err(refused("no Unigram".into()));
    };
    let mut alphabet = Alphabet::default();
    let mut codes = Vec::new();
    let mut ends = Vec::with_capacity(vocab.len());
    let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
    for (piece, score) in vocab {
        if score.is_nan() || score.abs() > MOST {
            return Err(refused(format!("a score of {score}")));
        }
        codes.extend(piece.chars().map(|character| alphabet.add(character)));
        ends.push(codes.len());
        least = least.min(*score);
        most = most.max(score.abs());
    }
    let unknown = match *unk_id {
        Some(id) if id >= vocab.len() => return Err(refused(format!("unk_id {id}"))),
        Some(id) => u32::try_from(id).ok(),
        None => None,
    };
    let mut start = 0;
    let mut bounds = vec![f64::NEG_INFINITY; alphabet.len()];
    let mut pieces = Vec::with_capacity(vocab.len());
    for ((id, &end), (_, score)) in (0_u32..).zip(&ends).zip(vocab) {
        if end > start {
            let bound = &mut bounds[codes[start] as usize];
            *bound = bound.max(*score);
            pieces.push((&codes[start..end], *score, id));
        }
        start = end;
    }
    let trie = Trie::new(pieces, alphabet.len());
    let spell = |byte: usize| {
        let codes: Vec<u32> = format!("<0x{byte:02X}>").chars().map(|c| alphabet.code(c)).collect();
        trie.find(&codes).unwrap_or(u32::MAX)
    };
    let bytes = byte_fallback.then(|| Box::new(std::array::from_fn(spell)));
    Ok((alphabet, Pieces::new(trie, (least, most), bounds, unknown, bytes)))
}

/// The characters that end units of `model` on their own.
pub fn tails(model: &Model<'_>, alphabet: &Alphabet, pieces: &Pieces) -> Tails {
    let Model::Unigram { vocab, .. } = model else { return Tails::default() };
    Tails::new(vocab.iter().map(|(piece, _)| &**piece), alphabet, |codes| pieces.known(codes))
}
