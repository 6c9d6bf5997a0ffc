//! One string field out of JSON lines.

use mlmfast_core::jsonl::{line_ends, strings};

fn texts(data: &str, path: &[&str]) -> Option<Vec<Option<String>>> {
    let found = strings(data.as_bytes(), path)?;
    let rows = found.offsets.windows(2).enumerate().map(|(row, ends)| {
        let place = usize::try_from(ends[0]).ok()?..usize::try_from(ends[1]).ok()?;
        let text = String::from_utf8(found.values[place].to_vec()).ok()?;
        (!found.nulls.contains(&row)).then_some(text)
    });
    Some(rows.collect())
}

/// The string of the only line; an inner `None` is a null.
fn text(line: &str) -> Option<Vec<Option<String>>> {
    let rows = texts(line, &["t"])?;
    assert_eq!(rows.len(), 1, "{line}");
    Some(rows)
}

#[test]
fn the_field_is_found_among_others() {
    let some = |text: &str| Some(vec![Some(text.to_owned())]);
    assert_eq!(text(r#"{"t": "a"}"#), some("a"));
    assert_eq!(text("  {\"x\":[1,-0.5e+3,{\"t\":[]}],\t\"t\":\"\",\"y\":true} \r"), some(""));
    assert_eq!(text(r#"{"x": {"t": "b"}, "u": null, "t": "ä\n\"\u00e9\ud83e\udd8a\u0000"}"#), {
        some("ä\n\"é🦊\0")
    });
    assert_eq!(text(r#"{"t": null}"#), Some(vec![None]));
    assert_eq!(text("{}"), Some(vec![None]));
    assert_eq!(text(r#"{"s": "t"}"#), Some(vec![None]));
}

#[test]
fn lines_are_rows() {
    let rows = texts("{\"t\": \"a\"}\r\n\n \t\n{}\n{\"t\": \"b\"}", &["t"]);
    assert_eq!(rows, Some(vec![Some("a".to_owned()), None, Some("b".to_owned())]));
    assert_eq!(texts("", &["t"]), Some(vec![]));
    assert_eq!(line_ends(b"\na\n\nb"), 3);
}

#[test]
fn a_path_leads_through_objects() {
    let path = ["a", "b"];
    let rows = texts("{\"b\": 1, \"a\": {\"c\": [], \"b\": \"x\"}}\n{\"a\": {}}\n{}", &path);
    assert_eq!(rows, Some(vec![Some("x".to_owned()), None, None]));
    assert_eq!(texts(r#"{"a": null}"#, &path), Some(vec![None]));
    for other in [r#"{"a": "x"}"#, r#"{"a": [{"b": "x"}]}"#, r#"{"a": {"b": {}}}"#] {
        assert_eq!(texts(other, &path), None, "{other}");
    }
}

#[test]
fn what_is_odd_is_left_to_others() {
    let deep = format!(r#"{{"x": {}{}, "t": "a"}}"#, "[".repeat(100), "]".repeat(100));
    for line in [
        r#"{"t": 1}"#,
        r#"{"t": ["a"]}"#,
        r#"{"t": {}}"#,
        r#"{"t": "a", "t": "b"}"#,
        r#"{"t": "\ud800"}"#,
        r#"{"t": "\udc00"}"#,
        r#"{"t": "\ud800\u0041"}"#,
        r#"{"t": "\x"}"#,
        r#"{"t": "\u12"}"#,
        r#"{"\u0074": "a"}"#,
        r#"{"t": "a""#,
        r#"{"t": "a"#,
        r#"{"t": "a\"#,
        r#"{"t": "a"}}"#,
        r#"{"t": "a"} {"t": "b"}"#,
        r#"{"t": "a",}"#,
        r#"{"t" "a"}"#,
        "{,}",
        r#"{"x": 01}"#,
        r#"{"x": 1.}"#,
        r#"{"x": .5}"#,
        r#"{"x": -}"#,
        r#"{"x": 1e}"#,
        r#"{"x": NaN}"#,
        r#"{"x": nul}"#,
        r#"{"x": [1,]}"#,
        r#"{"x": [1 2]}"#,
        "{\"t\": \"a\tb\"}",
        "{\"t\":\n\"a\"}",
        "{\"t\": \"a\nb\"}",
        "\u{feff}{}",
        "[]",
        "null",
        &deep,
    ] {
        assert_eq!(text(line), None, "{line}");
    }
    assert_eq!(strings(b"{\"t\": \"\xff\"}", &["t"]), None);
}
