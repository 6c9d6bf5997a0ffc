//! The many small strings of a tokenizer.json, deserialized without copying each.

use std::borrow::{Borrow, Cow};
use std::fmt::Formatter;
use std::ops::Deref;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A string of the file, borrowed from it unless it contains escapes: a vocabulary has many.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Text<'a>(Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Text<'_> {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Text<'de>;

            fn expecting(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Any)
    }
}

/// A merge: two tokens that become one.
#[derive(Debug)]
pub enum Merge<'a> {
    /// Today's format.
    Pair(Text<'a>, Text<'a>),
    /// The old format, with a space between the two.
    Text(Text<'a>),
}

impl Merge<'_> {
    /// The two tokens.
    #[must_use]
    pub fn pair(&self) -> Option<(&str, &str)> {
        match self {
            Self::Pair(left, right) => Some((left, right)),
            Self::Text(both) => both.split_once(' '),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Merge<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Merge<'de>;

            fn expecting(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a merge")
            }

            fn visit_borrowed_str<E>(self, both: &'de str) -> Result<Merge<'de>, E> {
                Ok(Merge::Text(Text(Cow::Borrowed(both))))
            }

            fn visit_str<E>(self, both: &str) -> Result<Merge<'de>, E> {
                Ok(Merge::Text(Text(Cow::Owned(both.to_owned()))))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Merge<'de>, A::Error> {
                let pair = Deserialize::deserialize(SeqAccessDeserializer::new(seq));
                pair.map(|(left, right)| Merge::Pair(left, right))
            }
        }
        deserializer.deserialize_any(Either)
    }
}
