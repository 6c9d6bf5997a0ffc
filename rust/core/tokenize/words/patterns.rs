//! The regular expressions that are understood: one character of a set, and alternatives of literal
//! texts.

use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

/// A kind of characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    White,
    /// As the crate `regex` means it, for `Whitespace`.
    Word,
    /// As Oniguruma means it, for patterns.
    PatternWord,
    Digit,
    Numeric,
    Punctuation,
}

impl Kind {
    fn holds(self, character: char) -> bool {
        match self {
            Self::White => character.is_whitespace(),
            Self::Word => {
                character.is_alphanumeric() && !is_letter_number_alone(character)
                    || matches!(character, '_' | '\u{200c}' | '\u{200d}')
                    || !character.is_ascii()
                        && matches!(
                            character.general_category(),
                            GeneralCategory::NonspacingMark
                                | GeneralCategory::SpacingMark
                                | GeneralCategory::EnclosingMark
                                | GeneralCategory::ConnectorPunctuation
                        )
            }
            Self::PatternWord => match character {
                '\u{200c}' | '\u{200d}' => false,
                '\u{b2}' | '\u{b3}' | '\u{b9}' | '\u{bc}'..='\u{be}' => true,
                _ => Self::Word.holds(character),
            },
            Self::Digit => character.general_category() == GeneralCategory::DecimalNumber,
            Self::Numeric => character.is_numeric(),
            Self::Punctuation => {
                character.is_ascii_punctuation()
                    || !character.is_ascii()
                        && character.general_category_group() == GeneralCategoryGroup::Punctuation
            }
        }
    }
}

/// Numbers that are neither digits nor alphabetic, such as fractions.
fn is_letter_number_alone(character: char) -> bool {
    !character.is_ascii()
        && character.is_numeric()
        && !character.is_alphabetic()
        && character.general_category() != GeneralCategory::DecimalNumber
}

/// A set of characters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Set {
    ranges: Vec<(char, char)>,
    /// Kinds, and whether what they do not hold is meant.
    kinds: Vec<(Kind, bool)>,
    negated: bool,
}

impl Set {
    fn of(kind: Kind) -> Self {
        Self { kinds: vec![(kind, false)], ..Self::default() }
    }

    /// White space.
    pub fn white() -> Self {
        Self::of(Kind::White)
    }

    /// Characters of words.
    pub fn word() -> Self {
        Self::of(Kind::Word)
    }

    /// Characters with a numeric value.
    pub fn numeric() -> Self {
        Self::of(Kind::Numeric)
    }

    /// Unicode's and ASCII's punctuation.
    pub fn punctuation() -> Self {
        Self::of(Kind::Punctuation)
    }

    /// One character.
    pub fn one(character: char) -> Self {
        Self { ranges: vec![(character, character)], ..Self::default() }
    }

    /// All characters.
    pub fn all() -> Self {
        Self { negated: true, ..Self::default() }
    }

    /// Whether it is the set of all characters.
    pub fn is_all(&self) -> bool {
        *self == Self::all()
    }

    /// Whether it holds a character.
    pub fn holds(&self, character: char) -> bool {
        let inside = self.ranges.iter().any(|&(first, last)| (first..=last).contains(&character))
            || self.kinds.iter().any(|&(kind, not)| kind.holds(character) != not);
        inside != self.negated
    }

    /// The set of a regular expression for one character, such as `\s` or `[A-Z]`, and whether a `+`
    /// follows. `None` for all others.
    pub fn parse(regex: &str) -> Option<(Self, bool)> {
        let (atom, runs) = match regex.strip_suffix('+') {
            Some(atom) if !atom.ends_with('\\') => (atom, true),
            _ => (regex, false),
        };
        let mut characters = atom.chars();
        let set = match characters.next()? {
            '.' => Self { negated: true, ..Self::one('\n') },
            '[' => Self::bracketed(characters.as_str().strip_suffix(']')?)?,
            '\\' => {
                let mut set = Self::default();
                set.escaped(characters.next()?)?;
                if characters.next().is_some() {
                    return None;
                }
                set
            }
            one if characters.next().is_none() && !is_syntax(one) => Self::one(one),
            _ => return None,
        };
        if atom.starts_with('.') && atom.len() > 1 {
            return None;
        }
        Some((set, runs))
    }

    /// The inside of brackets.
    fn bracketed(inside: &str) -> Option<Self> {
        let (negated, inside) = match inside.strip_prefix('^') {
            Some(rest) => (true, rest),
            None => (false, inside),
        };
        if inside.is_empty() || inside.starts_with(']') {
            return None;
        }
        let mut set = Self { negated, ..Self::default() };
        let mut characters = inside.chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                '[' | ']' | '&' | '-' | '^' => return None,
                '\\' => set.escaped(characters.next()?)?,
                first => {
                    if characters.peek() == Some(&'-') {
                        characters.next();
                        let last = characters.next()?;
                        if matches!(last, '[' | ']' | '\\' | '-' | '&') || last < first {
                            return None;
                        }
                        set.ranges.push((first, last));
                    } else {
                        set.ranges.push((first, first));
                    }
                }
            }
        }
        Some(set)
    }

    fn escaped(&mut self, character: char) -> Option<()> {
        let kind = match character.to_ascii_lowercase() {
            's' => Kind::White,
            'w' => Kind::PatternWord,
            'd' => Kind::Digit,
            _ => {
                let literal = match character {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    _ if character.is_ascii_punctuation() || character == ' ' => character,
                    _ => return None,
                };
                self.ranges.push((literal, literal));
                return Some(());
            }
        };
        self.kinds.push((kind, character.is_ascii_uppercase()));
        Some(())
    }
}

/// The literal texts of a regular expression that is a choice between some, the preferred ones first:
/// alternatives and groups such as `A(?:CG|T)?`. `None` for all others.
pub fn alternatives(regex: &str) -> Option<Vec<String>> {
    let mut choice = Choice { rest: regex, depth: 0 };
    let all = choice.alternatives()?;
    (choice.rest.is_empty() && all.iter().all(|text| !text.is_empty())).then_some(all)
}

/// Most groups within each other, and most literal texts.
const DEEPEST: usize = 64;
const MOST: usize = 1 << 20;

/// Reads a choice between literal texts.
struct Choice<'a> {
    rest: &'a str,
    depth: usize,
}

impl Choice<'_> {
    fn alternatives(&mut self) -> Option<Vec<String>> {
        let mut all = self.sequence()?;
        while self.takes("|") {
            all.extend(self.sequence()?);
        }
        (all.len() <= MOST).then_some(all)
    }

    fn sequence(&mut self) -> Option<Vec<String>> {
        let mut all = vec![String::new()];
        while let Some(character) = self.rest.chars().next() {
            if matches!(character, '|' | ')') {
                break;
            }
            if self.takes("(?:") {
                let inner = self.group()?;
                if all.len().checked_mul(inner.len())? > MOST {
                    return None;
                }
                let longer = |start: &String| {
                    inner.iter().map(|end| format!("{start}{end}")).collect::<Vec<_>>()
                };
                all = all.iter().flat_map(longer).collect();
                continue;
            }
            let literal = self.literal()?;
            for text in &mut all {
                text.push(literal);
            }
        }
        Some(all)
    }

    fn group(&mut self) -> Option<Vec<String>> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return None;
        }
        let mut inner = self.alternatives()?;
        self.depth -= 1;
        if !self.takes(")") {
            return None;
        }
        if self.takes("?") {
            inner.push(String::new());
        }
        let repeated = self.rest.starts_with(['?', '*', '+', '{']);
        (!repeated).then_some(inner)
    }

    fn literal(&mut self) -> Option<char> {
        let mut characters = self.rest.chars();
        let literal = match characters.next()? {
            '\\' => characters.next().filter(|it| it.is_ascii_punctuation() || *it == ' ')?,
            one if is_syntax(one) => return None,
            one => one,
        };
        self.rest = characters.as_str();
        let repeated = self.rest.starts_with(['?', '*', '+', '{']);
        (!repeated).then_some(literal)
    }

    fn takes(&mut self, text: &str) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }
}

fn is_syntax(character: char) -> bool {
    matches!(
        character,
        '.' | '^' | '$' | '*' | '+' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '|' | '\\'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(regex: &str) -> Option<Vec<String>> {
        alternatives(regex)
    }

    #[test]
    fn choices_between_texts() {
        let some = |texts: &[&str]| Some(texts.iter().map(|&it| it.to_owned()).collect::<Vec<_>>());
        assert_eq!(all(r"<cls>|\.|\-|A\ b|é"), some(&["<cls>", ".", "-", "A b", "é"]));
        assert_eq!(all("A(?:C(?:G|T)?|T)?|N"), some(&["ACG", "ACT", "AC", "AT", "A", "N"]));
        assert_eq!(all("(?:A|C)(?:G|T)"), some(&["AG", "AT", "CG", "CT"]));
        for other in
            ["", "a|", "a?", "a+|b", "(a)", "[ab]", r"\s", "(?:a)*", "(?:a)??", "(?:a", "a)", "a.b"]
        {
            assert_eq!(all(other), None, "{other}");
        }
    }

    #[test]
    fn sets_of_characters() {
        let holds = |regex: &str| {
            let (set, runs) = Set::parse(regex).unwrap_or_default();
            (" a1_.é\n".chars().filter(|&c| set.holds(c)).collect::<String>(), runs)
        };
        assert_eq!(holds("."), (" a1_.é".into(), false));
        assert_eq!(holds(r"\s+"), (" \n".into(), true));
        assert_eq!(holds(r"\S"), ("a1_.é".into(), false));
        assert_eq!(holds(r"[a-c\d]+"), ("a1".into(), true));
        assert_eq!(holds(r"[^\w]"), (" .\n".into(), false));
        assert_eq!(holds(r"[\s\S]"), (" a1_.é\n".into(), false));
        assert_eq!(holds(r"\."), (".".into(), false));
        for other in
            ["ab", "a*", r"\p{L}", "[a&&b]", "[[:alpha:]]", "[a", "[]", "(a)", "a|b", ".a", r"\"]
        {
            assert_eq!(Set::parse(other), None, "{other}");
        }
    }
}
