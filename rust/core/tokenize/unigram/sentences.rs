//! Pipelines that give the model a whole document as one word.
//!
//! If no piece lies across a place before a space, then the best path of a document is that of its
//! units, one after the other. But the library adds up scores from the start of the document, and sums are
//! rounded: of two paths of a unit that are about as good as each other, the better one can depend on
//! all text before. Such units are found (see [`super::viterbi`]), and their documents are encoded as a
//! whole, as the library does it.

use crate::tokenize::model::Model;
use crate::{Error, Result};

/// The most characters of a normalized document. Longer ones are left to the library.
pub const LONGEST: u32 = 1 << 26;

/// Check that no piece of `model` lies across a place before a `space`.
///
/// # Errors
/// One does, or unknown text could.
pub fn check(model: &Model<'_>, space: char) -> Result<()> {
    let refused = |found: String| Err(Error::Pipeline { part: "model", found });
    let Model::Unigram { vocab, unk_id, .. } = model else {
        return refused("no Unigram".into());
    };
    let crosses = |piece: &str| piece.trim_start_matches(space).contains(space);
    if let Some((piece, _)) = vocab.iter().find(|(piece, _)| crosses(piece)) {
        return refused(format!("the piece {:?}, which goes on after a space", &**piece));
    }
    let lone = vocab.iter().rposition(|(piece, _)| piece.chars().eq([space]));
    if lone.is_none_or(|at| Some(at) == *unk_id) {
        return refused("no piece for a space".into());
    }
    Ok(())
}
