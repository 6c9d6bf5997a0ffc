//! Removing the white space around a text before it is normalized.

use super::scan::Scanner;
use super::stages::Strip;
use super::words::Tables;

impl Scanner {
    /// `text` without the white space around it that is removed; `None` if that is not certain.
    #[must_use]
    pub fn strip<'t>(&self, text: &'t str, strip: Strip, tables: &Tables) -> Option<&'t str> {
        // White space that is only a border is dropped anyway.
        if self.runs.is_none() {
            return Some(text);
        }
        let white = |c: char| u8::try_from(c).is_ok_and(|byte| self.is_white(byte));
        let mut text = text;
        while strip.right
            && let Some(last) = text.chars().next_back()
        {
            let edge = self.edges.of(last, tables);
            if !white(last) && !edge.goes() {
                if edge.ends() && edge.last_stays() {
                    break;
                }
                return None;
            }
            text = &text[..text.len() - last.len_utf8()];
        }
        while strip.left
            && let Some(first) = text.chars().next()
        {
            let edge = self.edges.of(first, tables);
            if !white(first) && !edge.goes() {
                if edge.starts() && edge.first_stays() {
                    break;
                }
                return None;
            }
            text = &text[first.len_utf8()..];
        }
        Some(text)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::runs::Runs;
    use super::super::scan::tests::tables;
    use super::super::stages::Stages;
    use super::*;
    use crate::tokenize::file::{Normalizer, Pattern};

    #[test]
    fn white_space_around_a_text_is_removed_where_it_is_certain() {
        let normalizers = [
            Normalizer::Lowercase,
            Normalizer::Strip { strip_left: true, strip_right: true },
            Normalizer::Replace { pattern: Pattern::Regex(" {2,}".into()), content: " ".into() },
        ];
        let stages =
            Stages::new(Some(&Normalizer::Sequence { normalizers: normalizers.into() })).unwrap();
        let strip = stages.strip().unwrap();
        let tables = Tables { stages, ..tables(&[], false) };
        let scanner = Scanner::new(b" ", Some(Runs::Squeezed), &tables).unwrap();
        let found = |text| scanner.strip(text, strip, &tables);
        assert_eq!(found(" \n\u{3000}A b\t \r\n"), Some("A b"));
        assert_eq!(found("\u{301}a\u{301} "), Some("\u{301}a\u{301}"));
        assert_eq!(found(" \n\u{a0}"), Some(""));
        assert_eq!(found("a\u{2581} "), None);
    }
}
