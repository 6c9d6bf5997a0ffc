//! What becomes of a character by itself, and whether its neighbours matter.

/// A character normalized without neighbours.
#[derive(Debug, Clone)]
pub struct Alone {
    /// Its normalized text.
    pub text: String,
    /// Whether the result is the same beside any other character with this property.
    pub independent: bool,
    /// Whether the text up to and including white space before it is normalized independently.
    pub starts: bool,
    /// Whether the text from white space after it on is normalized independently.
    pub ends: bool,
    /// What the removal of white space around a text finds.
    pub stripped: Stripped,
}

/// A character where white space is removed around a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stripped {
    /// It is white space, whatever is beside it.
    pub goes: bool,
    /// It begins with something else.
    pub first_stays: bool,
    /// It ends in something else.
    pub last_stays: bool,
}

impl Alone {
    /// What the removal of white space finds of this text.
    pub fn look_stripped(&self) -> Stripped {
        let stays = |end: Option<char>| end.is_some_and(|c| !c.is_whitespace());
        Stripped {
            goes: self.independent
                && !self.text.is_empty()
                && self.text.chars().all(char::is_whitespace),
            first_stays: stays(self.text.chars().next()),
            last_stays: stays(self.text.chars().next_back()),
        }
    }
}
