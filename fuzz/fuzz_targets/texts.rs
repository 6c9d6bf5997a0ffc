//! Any bytes as texts, to small tokenizers of all families: the library's ids, however the texts lie
//! in memory, and an error for what is no text.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mlmfast_core::Error;
use mlmfast_core::tokenize::any::Tokenizer as Core;
use mlmfast_core::tokenize::encode::Around;
use mlmfast_core::tokenize::texts::Texts;
use mlmfast_fuzz::library::{encode, forgive_the_library, has_unknown, ids_of};
use mlmfast_fuzz::rows::{damaged, damaged_views, large, layouts};
use mlmfast_fuzz::tokenizers::{PIPELINES, file};
use tokenizers::Tokenizer as Library;

type Pair = (Core, Library);

static PAIRS: [LazyLock<Pair>; PIPELINES] = {
    macro_rules! pairs {
        ($($number:literal)*) => { [$(LazyLock::new(|| pair($number))),*] };
    }
    pairs!(
        0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33
        34
    )
};

fn pair(number: usize) -> Pair {
    let json = file(number).to_string();
    let core = Core::from_json(&json, &[]).expect("the core knows all of these pipelines");
    (core, json.parse().expect("the library reads its own format"))
}

fuzz_target!(init: forgive_the_library(), |data: &[u8]| {
    let [pipeline, how, data @ ..] = data else { return };
    let (core, library) = &*PAIRS[usize::from(*pipeline) % PIPELINES];
    // 0xff is in no UTF-8: it ends a row, and half of the time stays in it.
    let keep = how & 1 == 1;
    let rows: Vec<&[u8]> = if keep {
        data.split_inclusive(|&byte| byte == 0xff).collect()
    } else {
        data.split(|&byte| byte == 0xff).collect()
    };
    let texts = large(&rows).expect("offsets in order");
    let bad = rows.iter().position(|row| std::str::from_utf8(row).is_err());
    match encode::<u32>(core, library, &texts, 1) {
        Err(Error::NotUtf8 { row }) => assert_eq!(Some(row), bad),
        Err(error) => panic!("{error}"),
        Ok(found) => {
            assert_eq!(bad, None, "invalid UTF-8 passed");
            let good: Vec<&str> = rows.iter().flat_map(|row| std::str::from_utf8(row)).collect();
            if let Some(found) = found {
                compare(core, library, &good, &found);
            }
        }
    }
    if how & 2 == 2 {
        let places =
            data.chunks(2).map(|two| i64::from(two[0]) * 7 - i64::from(two[two.len() - 1]));
        let offsets = std::iter::once(0).chain(places).collect();
        // A length below 256, no or another buffer now and then, and a place.
        let views = data.as_chunks::<4>().0.iter().map(|&[length, start, more, buffer]| {
            let start = u128::from(start) + (u128::from(more / 16) << (more % 16));
            u128::from(length) | u128::from(buffer / 200) << 64 | start << 96
        });
        for array in [damaged(offsets, data), damaged_views(views.collect(), data)] {
            if let Ok(texts) = Texts::try_new(&[array]) {
                let _ = encode::<u16>(core, library, &texts, 2);
            }
        }
    }
    if how & 0xfc == 0xfc {
        long(core, &rows);
    }
});

/// The library's ids; the same in other layouts, widths and neighbourhoods.
fn compare(core: &Core, library: &Library, rows: &[&str], found: &[Vec<u32>]) {
    assert_eq!(rows.len(), found.len());
    for (row, ids) in rows.iter().zip(found) {
        let Some(expected) = ids_of(library, row) else { continue };
        assert!(
            *ids == expected || has_unknown(core, library, row),
            "{row:?}: {ids:?} {expected:?}"
        );
    }
    for texts in layouts(rows).expect("good rows") {
        let again = encode::<u16>(core, library, &texts, 3).expect("good rows");
        assert_eq!(again.as_deref(), Some(found));
    }
    // Elsewhere in the blocks of 64 bytes, and in a stretch with others.
    for shift in [1, 31, 62] {
        let lead = format!("{} a ", "x".repeat(shift));
        let moved: Vec<String> = rows.iter().map(|row| format!("{lead}{row}")).collect();
        let moved: Vec<&[u8]> = moved.iter().map(String::as_bytes).collect();
        let moved = large(&moved).expect("good rows");
        let ids = encode::<u32>(core, library, &moved, 1).expect("good rows");
        for ((text, row), ids) in (0..).zip(rows).zip(ids.into_iter().flatten()) {
            let whole = format!("{lead}{row}");
            let expected = ids_of(library, &whole);
            let same = expected.is_none_or(|expected| expected == ids);
            assert!(
                same || has_unknown(core, library, row),
                "row {text}, moved by {shift}: {row:?}"
            );
        }
    }
}

/// Megabytes of it: tasks, threads, stretches. The library would take seconds for what is pending.
fn long(core: &Core, rows: &[&[u8]]) {
    let Ok(text) = String::from_utf8(rows.concat()) else { return };
    if text.is_empty() {
        return;
    }
    let whole = format!("{text} one two ").repeat(1_500_000 / (text.len() + 9));
    let texts = large(&[whole.as_bytes(), whole.as_bytes()]).expect("good rows");
    let [one, four] = [1, 4].map(|threads| {
        let around = Around { before: &[1], after: &[2, 3] };
        let found = core.encode::<u32>(&texts, around, Some(threads)).expect("good rows");
        let pending: Vec<_> = found.pending().map(|it| (it.row, it.start, it.end)).collect();
        let lengths = vec![1; pending.len()];
        let answers = vec![7; pending.len()];
        (pending, found.finish(&answers, &lengths).expect("as many answers as are pending"))
    });
    assert_eq!(one, four);
}
