//! Any bytes as FASTA: in pieces of any size, and from every document on, the same documents or the
//! same error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mlmfast_core::fasta::{Fault, Options, Reader, Sequences, Start};

type Found = (Vec<Vec<u8>>, Vec<(Start, usize)>);

fuzz_target!(|data: &[u8]| {
    let [how, chunk, size, data @ ..] = data else { return };
    let chunk = (how & 2 == 2).then_some(usize::from(*chunk) + 1);
    let options = Options { upper: how & 1 == 1, chunk };
    let begin = Start { offset: 0, line: 1, continues: false };
    let whole = read(data, options, begin, usize::MAX);
    let pieces = read(data, options, begin, usize::from(*size) + 1);
    let ((whole, _), (pieces, starts)) = match (whole, pieces) {
        (Ok(whole), Ok(pieces)) => (whole, pieces),
        (Err(Fault::NoHeader { line, .. }), Err(Fault::NoHeader { line: other, .. })) => {
            // What is shown of the line ends where the piece does.
            assert_eq!(line, other);
            return;
        }
        (whole, pieces) => {
            assert_eq!(whole.err(), pieces.err());
            return;
        }
    };
    assert_eq!(whole, pieces);
    for text in &whole {
        assert!(text.iter().all(u8::is_ascii_graphic));
        assert!(chunk.is_none_or(|chunk| text.len() <= chunk));
        assert!(!options.upper || !text.iter().any(u8::is_ascii_lowercase));
    }
    for (start, before) in starts {
        let rest = read(data, options, start, usize::MAX).expect("what was read before");
        assert_eq!(rest.0, whole[before..]);
    }
});

/// The documents, and where each piece began with the number of documents before it.
fn read(data: &[u8], options: Options, start: Start, size: usize) -> Result<Found, Fault> {
    let mut reader = Reader::new(options, start);
    let (mut texts, mut starts) = (Vec::new(), Vec::new());
    let from = usize::try_from(start.offset).expect("an offset in the data");
    for piece in data[from..].chunks(size.min(data.len().max(1))) {
        starts.push((reader.start(), texts.len()));
        texts.extend(documents(&reader.feed(piece)?));
    }
    texts.extend(documents(&reader.finish()));
    Ok((texts, starts))
}

fn documents(found: &Sequences) -> Vec<Vec<u8>> {
    let place = |offset: i64| usize::try_from(offset).expect("an offset");
    found
        .offsets
        .windows(2)
        .map(|ends| found.values[place(ends[0])..place(ends[1])].into())
        .collect()
}
