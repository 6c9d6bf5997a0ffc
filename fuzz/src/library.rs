//! The library, and the core beside it.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use mlmfast_core::Error;
use mlmfast_core::tokenize::any::Tokenizer as Core;
use mlmfast_core::tokenize::encode::Around;
use mlmfast_core::tokenize::output::StoredId;
use mlmfast_core::tokenize::texts::Texts;
use tokenizers::Tokenizer as Library;

thread_local! {
    static IN_LIBRARY: Cell<bool> = const { Cell::new(false) };
}

/// Let panics of the library pass, which [`outlived`] catches; all others end the process.
pub fn forgive_the_library() {
    let ours = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !IN_LIBRARY.get() {
            ours(panic);
        }
    }));
}

/// What the library answers, if it does not panic.
pub fn outlived<T>(call: impl FnOnce() -> T) -> Option<T> {
    IN_LIBRARY.set(true);
    let answer = catch_unwind(AssertUnwindSafe(call)).ok();
    IN_LIBRARY.set(false);
    answer
}

/// The ids of one text, as the library answers.
#[must_use]
pub fn ids_of(library: &Library, text: &str) -> Option<Vec<u32>> {
    outlived(|| library.encode_fast(text, false))
        .and_then(Result::ok)
        .map(|encoding| encoding.get_ids().to_vec())
}

/// The ids of all texts by the core, pending stretches by the library; nothing where the library
/// fails.
///
/// # Errors
/// Those of the core.
pub fn encode<T: StoredId + Into<u32>>(
    core: &Core,
    library: &Library,
    texts: &Texts,
    threads: usize,
) -> Result<Option<Vec<Vec<u32>>>, Error> {
    let around = Around { before: &[], after: &[] };
    let encoded = core.encode::<T>(texts, around, Some(threads))?;
    let (mut answers, mut lengths) = (Vec::new(), Vec::new());
    for place in encoded.pending() {
        let text = std::str::from_utf8(&texts.bytes(place.row)?[place.start..place.end]);
        let text = text.expect("a pending stretch is UTF-8");
        let Some(ids) = ids_of(library, text) else { return Ok(None) };
        lengths.push(ids.len());
        answers.extend(ids);
    }
    let (offsets, ids) = encoded.finish(&answers, &lengths)?;
    let offset = |at: i64| usize::try_from(at).expect("offsets are no less than 0");
    let rows = offsets
        .windows(2)
        .map(|pair| ids[offset(pair[0])..offset(pair[1])].iter().map(|&id| id.into()).collect());
    Ok(Some(rows.collect()))
}

/// Is there a character in `text` that this version of the library treats otherwise than the core
/// wherever it stands? Their tables of characters are of different years, and such characters are
/// found and left to the library when a tokenizer is loaded.
#[must_use]
pub fn has_unknown(core: &Core, library: &Library, text: &str) -> bool {
    let mut characters: Vec<char> = text.chars().filter(|c| !c.is_ascii()).collect();
    characters.sort_unstable();
    characters.dedup();
    characters.into_iter().any(|c| {
        let marks = ["\u{301}", "\u{323}\u{301}"].map(|marks| format!("a{c}{marks} a{marks}{c}e"));
        let text = format!("{c} a{c}b {c}'s a?{c}b {c}{c} {} {} \u{aa}{c}x", marks[0], marks[1]);
        let texts = crate::rows::large(&[text.as_bytes()]);
        let ours = texts.and_then(|texts| encode::<u32>(core, library, &texts, 1));
        !ours.is_ok_and(|ours| ours.map(|mut rows| rows.remove(0)) == ids_of(library, &text))
    })
}
