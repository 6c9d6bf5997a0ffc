//! Converting other JSON - a list, or objects over several lines - to JSON lines.
//!
//! Only strings and brackets are recognized, just enough to find where a record ends; the reader of
//! the lines reports other errors.

use memchr::memchr2;

/// An error in the text, with its position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// An unexpected character.
    #[error("line {line}: broken JSON: {byte:?} where {expected} should be")]
    Unexpected {
        /// Counted from 1.
        line: u64,
        /// The character.
        byte: char,
        /// What was expected.
        expected: &'static str,
    },
    /// A string that contains a line end.
    #[error("line {line}: broken JSON: a string holds a line end")]
    LineEnd {
        /// Counted from 1.
        line: u64,
    },
    /// The text ends too early.
    #[error("line {line}: broken JSON: the file ends before its last record does")]
    CutOff {
        /// Counted from 1.
        line: u64,
    },
    /// The object has no such field.
    #[error("the object has no field {field:?}; its fields are {fields}")]
    NoField {
        /// The missing field.
        field: String,
        /// The existing fields.
        fields: String,
    },
    /// The field does not hold a list.
    #[error("line {line}: the field {field:?} holds no list of records")]
    NoList {
        /// Counted from 1.
        line: u64,
        /// The field.
        field: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    /// Between consecutive objects.
    Objects,
    /// After `[`.
    FirstElement,
    /// After a comma of the list.
    Element,
    AfterElement,
    /// After the `{` of the object that has the field.
    FirstKey,
    Key,
    InKey,
    Colon,
    FieldValue,
    AfterField,
    /// Within a value.
    Value,
    /// Within a number, `true`, `false` or `null`.
    Word,
    /// After the list.
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    /// The value of a field to ignore.
    Skipped,
    Record,
    /// A record that is not an object: it becomes the field `text` of one.
    Bare,
}

/// Converts a text to lines, piece by piece.
#[derive(Debug)]
pub struct Reader {
    field: Option<String>,
    state: State,
    /// The state after the current value.
    after: State,
    value: Value,
    depth: usize,
    in_string: bool,
    escaped: bool,
    key: Vec<u8>,
    keys: Vec<String>,
    line: u64,
    out: Vec<u8>,
}

impl Reader {
    /// Read a list or objects, or the list that the only object has in its `field`.
    #[must_use]
    pub fn new(field: Option<String>) -> Self {
        Self {
            field,
            state: State::Start,
            after: State::Objects,
            value: Value::Record,
            depth: 0,
            in_string: false,
            escaped: false,
            key: Vec::new(),
            keys: Vec::new(),
            line: 1,
            out: Vec::new(),
        }
    }

    /// Read a piece and return the lines of the records that end in it, possibly with the start of the
    /// next one.
    ///
    /// # Errors
    /// The text is not such JSON.
    pub fn feed(&mut self, data: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut at = 0;
        while at < data.len() {
            at += if self.in_string { self.string(&data[at..])? } else { self.step(data[at])? };
        }
        Ok(std::mem::take(&mut self.out))
    }

    /// Check that the text is complete.
    ///
    /// # Errors
    /// The text is truncated, or the field is missing.
    pub fn finish(&self) -> Result<(), Fault> {
        match self.state {
            State::Start | State::Objects | State::End => Ok(()),
            _ => Err(Fault::CutOff { line: self.line }),
        }
    }

    /// Read bytes of a string; return how many.
    fn string(&mut self, rest: &[u8]) -> Result<usize, Fault> {
        let end = match rest[0] {
            _ if self.escaped => {
                self.escaped = false;
                1
            }
            b'"' => {
                self.in_string = false;
                self.copy(b"\"");
                if self.state == State::InKey {
                    self.key_ended();
                } else if self.depth == 0 {
                    self.value_ended();
                }
                return Ok(1);
            }
            b'\\' => {
                self.escaped = true;
                1
            }
            _ => memchr2(b'"', b'\\', rest).unwrap_or(rest.len()),
        };
        if memchr2(b'\n', b'\r', &rest[..end]).is_some() {
            return Err(Fault::LineEnd { line: self.line });
        }
        self.copy(&rest[..end]);
        Ok(end)
    }

    /// Read a byte outside strings; return whether it was consumed.
    fn step(&mut self, byte: u8) -> Result<usize, Fault> {
        if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            if self.state == State::Word {
                self.value_ended();
            }
            self.line += u64::from(byte == b'\n');
            if self.state == State::Value {
                self.copy(b" ");
            }
            return Ok(1);
        }
        match self.state {
            State::Value => self.in_value(byte),
            State::Word if matches!(byte, b',' | b']' | b'}') => {
                self.value_ended();
                return Ok(0);
            }
            State::Word => self.copy(&[byte]),
            State::Start => return self.start(byte),
            State::Objects if byte == b'{' => self.begin(byte, State::Objects, true)?,
            State::FirstElement | State::AfterElement if byte == b']' => self.state = State::End,
            State::FirstElement | State::Element => self.begin(byte, State::AfterElement, true)?,
            State::AfterElement if byte == b',' => self.state = State::Element,
            // The object may have other fields after the list; they are ignored.
            State::End if self.field.is_some() => {}
            _ => return self.in_object(byte),
        }
        Ok(1)
    }

    fn start(&mut self, byte: u8) -> Result<usize, Fault> {
        self.state = match (byte, &self.field) {
            (b'[', None) => State::FirstElement,
            (b'{', Some(_)) => State::FirstKey,
            (_, None) => {
                self.state = State::Objects;
                return Ok(0);
            }
            (_, Some(_)) => return Err(self.unexpected(byte, "an object")),
        };
        Ok(1)
    }

    /// Read a byte between the parts of the object that has the field.
    fn in_object(&mut self, byte: u8) -> Result<usize, Fault> {
        match (self.state, byte) {
            (State::FirstKey | State::Key, b'"') => {
                self.key.clear();
                self.state = State::InKey;
                self.in_string = true;
                self.copy(b"\"");
            }
            (State::FirstKey | State::AfterField, b'}') => {
                return Err(Fault::NoField {
                    field: self.field.clone().unwrap_or_default(),
                    fields: self.keys.join(", "),
                });
            }
            (State::AfterField, b',') => self.state = State::Key,
            (State::Colon, b':') => self.state = State::FieldValue,
            (State::FieldValue, _) if self.keys.last() != self.field.as_ref() => {
                self.begin(byte, State::AfterField, false)?;
            }
            (State::FieldValue, b'[') => self.state = State::FirstElement,
            (State::FieldValue, _) => {
                let field = self.field.clone().unwrap_or_default();
                return Err(Fault::NoList { line: self.line, field });
            }
            (state, _) => return Err(self.unexpected(byte, expected(state))),
        }
        Ok(1)
    }

    fn in_value(&mut self, byte: u8) {
        self.copy(&[byte]);
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth -= 1;
                if self.depth == 0 {
                    self.value_ended();
                }
            }
            _ => {}
        }
    }

    fn begin(&mut self, byte: u8, after: State, kept: bool) -> Result<(), Fault> {
        (self.after, self.depth) = (after, 0);
        self.value = match byte {
            _ if !kept => Value::Skipped,
            b'{' | b'[' => Value::Record,
            _ => Value::Bare,
        };
        if self.value == Value::Bare {
            self.copy(b"{\"text\": ");
        }
        self.state = match byte {
            b'{' | b'[' => {
                self.depth = 1;
                State::Value
            }
            b'"' => {
                self.in_string = true;
                State::Value
            }
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => State::Word,
            _ => return Err(self.unexpected(byte, "a value")),
        };
        self.copy(&[byte]);
        Ok(())
    }

    fn value_ended(&mut self) {
        self.copy(if self.value == Value::Bare { b"}\n" } else { b"\n" });
        self.state = self.after;
    }

    fn key_ended(&mut self) {
        let key = serde_json::from_slice(&self.key)
            .unwrap_or_else(|_| String::from_utf8_lossy(&self.key).into_owned());
        self.keys.push(key);
        self.state = State::Colon;
    }

    fn copy(&mut self, bytes: &[u8]) {
        if self.state == State::InKey {
            self.key.extend_from_slice(bytes);
        } else if self.value != Value::Skipped {
            self.out.extend_from_slice(bytes);
        }
    }

    fn unexpected(&self, byte: u8, expected: &'static str) -> Fault {
        Fault::Unexpected { line: self.line, byte: char::from(byte), expected }
    }
}

fn expected(state: State) -> &'static str {
    match state {
        State::AfterElement => "a comma or the list's end",
        State::AfterField => "a comma or the object's end",
        State::FirstKey | State::Key => "a field's name",
        State::Colon => "a colon",
        State::End => "the file's end",
        _ => "an object",
    }
}
