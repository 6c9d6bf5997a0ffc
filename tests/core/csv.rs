//! One column out of delimited text.

use mlmfast_core::csv::{Fault, Fields, Reader};
use proptest::prelude::*;

fn rows(fields: &Fields) -> Vec<Option<String>> {
    let text = |ends: &[i64]| {
        let place = usize::try_from(ends[0]).ok()?..usize::try_from(ends[1]).ok()?;
        String::from_utf8(fields.values[place].to_vec()).ok()
    };
    let rows = fields.offsets.windows(2).enumerate();
    rows.map(|(row, ends)| if fields.nulls.contains(&row) { None } else { text(ends) }).collect()
}

/// Field 1 of rows of two, read in pieces of `size` bytes.
fn second(text: &str, size: usize) -> Result<Vec<Option<String>>, Fault> {
    let mut reader = Reader::new(b',', Some(b'"'), 1, 2, 1);
    let mut found = Vec::new();
    for piece in text.as_bytes().chunks(size) {
        found.extend(rows(&reader.feed(piece)?));
    }
    found.extend(rows(&reader.finish()?));
    Ok(found)
}

#[test]
fn quotes_open_at_a_fields_beginning_alone() {
    let some = |text: &str| Some(text.to_owned());
    let text = "1,\"a\"\"b\"\r\n\n \t\n2,a\"b\"\n3\n4,\"x\"y\"\n5,";
    let expected = vec![some("a\"b"), some("a\"b\""), None, some("xy\""), some("")];
    for size in 1..text.len() {
        assert_eq!(second(text, size), Ok(expected.clone()), "pieces of {size}");
    }
}

#[test]
fn faults_name_their_lines() {
    assert_eq!(second("1,a\n2,\"b\r\nc\n", 3), Err(Fault::Unclosed { line: 2 }));
    let fault = Fault::Columns { columns: 2, fields: 3, line: 3 };
    assert_eq!(second("1,\"a\r\nb\"\n2,b,c\n", 1), Err(fault));
    let mut reader = Reader::new(b',', Some(b'"'), 1, 2, 1);
    assert!(reader.feed(b"1,\"a\nb\"\n2\n3,c\n4,\"\r\n\"").is_ok());
    assert!(reader.finish().is_ok());
    assert_eq!(reader.many_lines(), (&[1, 5][..], 2));
    assert_eq!(reader.short(), (&[3][..], 1));
}

#[test]
fn a_row_can_be_gone_on_from() {
    let text = b"1,a\n2,\"b\nc\"\n3,d\n";
    let mut reader = Reader::new(b',', Some(b'"'), 1, 2, 1);
    assert!(reader.feed(&text[..9]).is_ok());
    assert_eq!(reader.next_row(), (4, 2));
    assert!(reader.feed(&text[9..12]).is_ok());
    assert_eq!(reader.next_row(), (12, 4));
}

proptest! {
    #[test]
    fn any_pieces_give_the_same_rows(text in "[a\", \n\r]{0,40}", size in 1..9_usize) {
        prop_assert_eq!(second(&text, size), second(&text, 100));
    }
}
