//! JSON that is no JSON lines, as JSON lines.

use mlmfast_core::records::{Fault, Reader};
use proptest::prelude::*;

fn lines(text: &str, field: Option<&str>, size: usize) -> Result<String, Fault> {
    let mut reader = Reader::new(field.map(str::to_owned));
    let mut found = Vec::new();
    for piece in text.as_bytes().chunks(size) {
        found.extend(reader.feed(piece)?);
    }
    reader.finish()?;
    Ok(String::from_utf8_lossy(&found).into_owned())
}

#[test]
fn records_become_lines() {
    let list = "\n[{\"a\": \"]\\\"}\",\n \"b\": [{}]} , \"c\", null,12]\n";
    let expected =
        "{\"a\": \"]\\\"}\",  \"b\": [{}]}\n{\"text\": \"c\"}\n{\"text\": null}\n{\"text\": 12}\n";
    let inner = format!("{{\"x\": {{\"d\": []}}, \"y\": \"]\", \"d\": {list}, \"z\": 1}}");
    for size in 1..list.len() {
        assert_eq!(lines(list, None, size), Ok(expected.to_owned()));
        assert_eq!(lines(&inner, Some("d"), size), Ok(expected.to_owned()));
        assert_eq!(
            lines("{\n}{} \r\n{\"a\"\r:1}", None, size),
            Ok("{ }\n{}\n{\"a\" :1}\n".to_owned())
        );
    }
    assert_eq!(lines("[]", None, 9), Ok(String::new()));
    assert_eq!(lines("", None, 9), Ok(String::new()));
}

#[test]
fn faults_name_their_lines() {
    let at = |text, field| lines(text, field, 3).err().map(|fault| fault.to_string());
    assert_eq!(
        at("[{},\n{}\n{}]", None),
        Some("line 3: broken JSON: '{' where a comma or the list's end should be".to_owned())
    );
    assert_eq!(lines("[{}", None, 9), Err(Fault::CutOff { line: 1 }));
    assert_eq!(lines("[\"a\nb\"]", None, 9), Err(Fault::LineEnd { line: 1 }));
    assert_eq!(
        at("{\"a\": 1, \"\\u0062\": 2}", Some("d")),
        Some("the object has no field \"d\"; its fields are a, b".to_owned())
    );
    assert!(matches!(lines("\n{\"d\": {}}", Some("d"), 9), Err(Fault::NoList { line: 2, .. })));
    assert!(lines("[{}] x", None, 9).is_err());
    assert!(lines("[", Some("d"), 9).is_err());
}

proptest! {
    #[test]
    fn any_bytes_end_in_lines_or_a_fault(text in "[\\[\\]{}\",:\\\\ a1\n]{0,30}", size in 1..9_usize) {
        let whole = lines(&text, None, 100);
        prop_assert_eq!(lines(&text, None, size), whole.clone());
        if let Ok(found) = whole {
            prop_assert!(found.is_empty() || found.ends_with('\n'));
        }
    }
}
