//! Sequences out of FASTA.

use mlmfast_core::fasta::{Fault, Options, Reader, Sequences, Start};
use proptest::prelude::*;

const BEGIN: Start = Start { offset: 0, line: 1, continues: false };

fn texts(found: &Sequences) -> Vec<String> {
    found
        .offsets
        .windows(2)
        .map(|ends| {
            let place = usize::try_from(ends[0]).unwrap()..usize::try_from(ends[1]).unwrap();
            String::from_utf8(found.values[place].to_vec()).unwrap()
        })
        .collect()
}

/// The documents, with the start that was told before each piece.
fn read(
    text: &[u8],
    options: Options,
    start: Start,
    size: usize,
) -> Result<Vec<(Start, Vec<String>)>, Fault> {
    let mut reader = Reader::new(options, start);
    let mut found = Vec::new();
    for piece in text[usize::try_from(start.offset).unwrap()..].chunks(size) {
        let here = reader.start();
        found.push((here, texts(&reader.feed(piece)?)));
    }
    found.push((reader.start(), texts(&reader.finish())));
    Ok(found)
}

fn all(text: &str, options: Options, size: usize) -> Result<Vec<String>, Fault> {
    let found = read(text.as_bytes(), options, BEGIN, size)?;
    Ok(found.into_iter().flat_map(|(_, texts)| texts).collect())
}

/// The same, line by line.
fn simple(text: &str, options: Options) -> Vec<String> {
    let mut records: Vec<String> = Vec::new();
    for line in text.replace("\r\n", "\n").replace('\r', "\n").split('\n') {
        if line.starts_with('>') {
            records.push(String::new());
        } else if let Some(record) = records.last_mut()
            && !line.starts_with(';')
        {
            record.extend(line.chars().filter(|letter| !letter.is_whitespace()));
        }
    }
    let cut = |record: String| -> Vec<String> {
        let record = if options.upper { record.to_ascii_uppercase() } else { record };
        match options.chunk {
            Some(chunk) if !record.is_empty() => record
                .as_bytes()
                .chunks(chunk)
                .map(|part| String::from_utf8(part.to_vec()).unwrap())
                .collect(),
            _ => vec![record],
        }
    };
    records.into_iter().flat_map(cut).collect()
}

#[test]
fn faults_name_their_lines() {
    let plain = Options::default();
    let text = "ACGT".to_owned();
    assert_eq!(
        all("\n; a\r\nACGT\n>x\n", plain, 99),
        Err(Fault::NoHeader { line: 3, text: text.clone() })
    );
    assert_eq!(
        all("\r\r  ACGT", plain, 99),
        Err(Fault::NoHeader { line: 3, text: format!("  {text}") })
    );
    assert_eq!(all("@read\nACGT\n+\nIIII\n", plain, 99), Err(Fault::Fastq { line: 1 }));
    assert_eq!(all(">a\nAC\u{e9}\n", plain, 99), Err(Fault::Byte { line: 2, byte: 0xc3 }));
    assert_eq!(all(">a\rA\r\nA\0\n", plain, 99), Err(Fault::Byte { line: 3, byte: 0 }));
    assert_eq!(all("\0\x01", plain, 99), Err(Fault::Byte { line: 1, byte: 0 }));
    assert_eq!(all("\n;only\r\n", plain, 1), Ok(vec![]));
    assert_eq!(all(">\u{e9}\nA-*\n@+", plain, 1), Ok(vec!["A-*@+".to_owned()]));
}

proptest! {
    #[test]
    fn pieces_and_starts_do_not_matter(
        lines in prop::collection::vec("(>[a-z >;]{0,5}|;[a-z>]{0,4}|[A-Ca-c*-]{0,9}|[ABn \t]{0,6})", 0..12),
        ends in prop::collection::vec(prop::sample::select(vec!["\n", "\r\n", "\r"]), 12),
        upper in any::<bool>(),
        chunk in prop::option::of(1_usize..7),
        size in 1_usize..12,
    ) {
        let mut text = String::from(">first");
        for (line, end) in lines.iter().zip(&ends) {
            text.push_str(end);
            text.push_str(line);
        }
        let options = Options { upper, chunk };
        let expected = simple(&text, options);
        let pieces = read(text.as_bytes(), options, BEGIN, size).unwrap();
        let whole: Vec<String> = pieces.iter().flat_map(|(_, texts)| texts.clone()).collect();
        prop_assert_eq!(&whole, &expected);
        let mut before = 0;
        for (start, found) in &pieces {
            let rest = read(text.as_bytes(), options, *start, size + 1).unwrap();
            let rest: Vec<String> = rest.into_iter().flat_map(|(_, texts)| texts).collect();
            prop_assert_eq!(&rest, &expected[before..]);
            before += found.len();
            let up_to = usize::try_from(start.offset).unwrap();
            let lines = 1 + text[..up_to].replace("\r\n", "\n").replace('\r', "\n").matches('\n').count();
            prop_assert_eq!(start.line, lines as u64);
        }
    }
}
