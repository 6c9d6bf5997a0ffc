//! Extracting one column of delimited text, as pandas reads it.
//!
//! A quote opens a field only as its first character; text after a closing quote belongs to the field
//! unchanged. `\n`, `\r` and `\r\n` end a row; blank lines are ignored. A stray quote that is closed by
//! chance merges rows without violating the format, so fields that contain line ends are counted and
//! reported.

use memchr::{memchr, memchr2_iter, memchr3};

/// Maximum bytes of a field, since a quote that is never closed would take the rest of the file.
pub const LONGEST_FIELD: usize = 1 << 26;
/// Maximum number of lines that are reported.
const TOLD: usize = 5;

/// An error in the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A row has more fields than the header.
    #[error("Expected {columns} columns, got {fields} in the row that begins on line {line}")]
    Columns {
        /// Number of the header's fields.
        columns: usize,
        /// Number of the row's fields.
        fields: usize,
        /// The line on which the row begins, counted from 1.
        line: u64,
    },
    /// The text ends within quotes.
    #[error("the quotes that open on line {line} are never closed")]
    Unclosed {
        /// The line on which the quote opens, counted from 1.
        line: u64,
    },
    /// A field is longer than `LONGEST_FIELD`.
    #[error("the field that begins on line {line} is longer than {} bytes", LONGEST_FIELD)]
    Long {
        /// The line on which the field begins, counted from 1.
        line: u64,
    },
}

/// The column's fields of the rows that end in one piece of text.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// The offsets of the fields in `values`.
    pub offsets: Vec<i64>,
    /// The fields' bytes, one after the other.
    pub values: Vec<u8>,
    /// Rows that are too short to have the column, ascending; empty in the other fields.
    pub nulls: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    RowStart,
    FieldStart,
    Plain,
    Quoted,
    /// After a quote inside a quoted field: the end of the field, or the first half of an escaped quote.
    QuoteInQuoted,
}

/// Reads a text piece by piece.
#[derive(Debug)]
pub struct Reader {
    delimiter: u8,
    quote: Option<u8>,
    column: usize,
    columns: usize,
    state: State,
    /// Index of the current field in its row.
    field: usize,
    /// Bytes of the current field, even if it is not of the column.
    length: usize,
    /// Whether the row holds nothing but blanks so far.
    blank: bool,
    after_return: bool,
    line: u64,
    row_line: u64,
    opened: u64,
    /// Bytes before the current piece.
    read: u64,
    row_start: u64,
    /// The last byte of the previous piece.
    last: u8,
    found: Fields,
    many_lines: Vec<u64>,
    many_lines_count: u64,
    short: Vec<u64>,
    short_count: u64,
}

impl Reader {
    /// Read field `column` of rows with `columns` fields; the text begins on line `line`.
    #[must_use]
    pub fn new(delimiter: u8, quote: Option<u8>, column: usize, columns: usize, line: u64) -> Self {
        Self {
            delimiter,
            quote,
            column,
            columns,
            state: State::RowStart,
            field: 0,
            length: 0,
            blank: true,
            after_return: false,
            line,
            row_line: line,
            opened: line,
            read: 0,
            row_start: 0,
            last: 0,
            found: Fields { offsets: vec![0], ..Fields::default() },
            many_lines: Vec::new(),
            many_lines_count: 0,
            short: Vec::new(),
            short_count: 0,
        }
    }

    /// The start of the current, unfinished row: (byte offset, line).
    #[must_use]
    pub fn next_row(&self) -> (u64, u64) {
        if self.state == State::RowStart {
            (self.read, self.line)
        } else {
            (self.row_start, self.row_line)
        }
    }

    /// Fields that span several lines: the lines on which the first few begin, and their number.
    #[must_use]
    pub fn many_lines(&self) -> (&[u64], u64) {
        (&self.many_lines, self.many_lines_count)
    }

    /// Rows with fewer fields than the header: the lines of the first few, and their number.
    #[must_use]
    pub fn short(&self) -> (&[u64], u64) {
        (&self.short, self.short_count)
    }

    /// Read a piece and return the rows that end in it.
    ///
    /// # Errors
    /// A row has too many fields, or a field is too long.
    pub fn feed(&mut self, data: &[u8]) -> Result<Fields, Fault> {
        let mut at = 0;
        while at < data.len() {
            at += self.step(data, at)?;
        }
        self.read += data.len() as u64;
        self.last = data.last().copied().unwrap_or(self.last);
        Ok(self.take())
    }

    /// Return the last row, if no line end follows it.
    ///
    /// # Errors
    /// A quote is still open, or the row has too many fields.
    pub fn finish(&mut self) -> Result<Fields, Fault> {
        match self.state {
            State::Quoted => return Err(Fault::Unclosed { line: self.opened }),
            State::RowStart => return Ok(self.take()),
            State::QuoteInQuoted => self.quotes_closed(),
            State::FieldStart | State::Plain => {}
        }
        self.end_row()?;
        Ok(self.take())
    }

    /// Take the finished rows; the bytes of an unfinished row are kept.
    fn take(&mut self) -> Fields {
        let mut done =
            std::mem::replace(&mut self.found, Fields { offsets: vec![0], ..Fields::default() });
        let end = done.offsets.last().and_then(|&end| usize::try_from(end).ok()).unwrap_or(0);
        self.found.values.extend_from_slice(&done.values[end..]);
        done.values.truncate(end);
        done
    }

    /// Read from `at` on; return the number of bytes read.
    fn step(&mut self, data: &[u8], at: usize) -> Result<usize, Fault> {
        let byte = data[at];
        if std::mem::take(&mut self.after_return) && byte == b'\n' && self.state != State::Quoted {
            return Ok(1);
        }
        match self.state {
            State::RowStart => {
                self.row_start = self.read + at as u64;
                self.row_line = self.line;
                self.blank = true;
                self.state = State::FieldStart;
                Ok(0)
            }
            State::FieldStart if Some(byte) == self.quote => {
                self.opened = self.line;
                self.blank = false;
                self.state = State::Quoted;
                Ok(1)
            }
            State::FieldStart => {
                self.state = State::Plain;
                Ok(0)
            }
            State::Plain => self.plain(data, at),
            State::Quoted => self.quoted(data, at),
            State::QuoteInQuoted => {
                if Some(byte) == self.quote {
                    self.push(&[byte])?;
                    self.state = State::Quoted;
                    return Ok(1);
                }
                self.quotes_closed();
                self.state = State::Plain;
                Ok(0)
            }
        }
    }

    fn plain(&mut self, data: &[u8], at: usize) -> Result<usize, Fault> {
        let rest = &data[at..];
        let end = memchr3(self.delimiter, b'\n', b'\r', rest).unwrap_or(rest.len());
        let delimiter = self.delimiter;
        self.blank &=
            rest[..end].iter().all(|&byte| matches!(byte, b' ' | b'\t') && byte != delimiter);
        self.push(&rest[..end])?;
        let Some(&byte) = rest.get(end) else { return Ok(end) };
        if byte == self.delimiter {
            self.blank = false;
            self.field += 1;
            self.length = 0;
            self.state = State::FieldStart;
        } else {
            self.after_return = byte == b'\r';
            self.end_row()?;
            self.line += 1;
        }
        Ok(end + 1)
    }

    fn quoted(&mut self, data: &[u8], at: usize) -> Result<usize, Fault> {
        let rest = &data[at..];
        let quote = self.quote.unwrap_or(b'"');
        let end = memchr(quote, rest).unwrap_or(rest.len());
        self.count_lines(&rest[..end], data, at);
        self.push(&rest[..end])?;
        if end == rest.len() {
            return Ok(end);
        }
        self.state = State::QuoteInQuoted;
        Ok(end + 1)
    }

    /// Count the line ends within quotes; a `\r\n` split between two pieces counts once.
    fn count_lines(&mut self, text: &[u8], data: &[u8], at: usize) {
        for place in memchr2_iter(b'\n', b'\r', text) {
            let before = (at + place).checked_sub(1).map_or(self.last, |before| data[before]);
            let second = text[place] == b'\n' && before == b'\r';
            self.line += u64::from(!second);
        }
    }

    fn quotes_closed(&mut self) {
        if self.line > self.opened {
            self.many_lines_count += 1;
            if self.many_lines.len() < TOLD {
                self.many_lines.push(self.opened);
            }
        }
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.length += bytes.len();
        if self.length > LONGEST_FIELD {
            return Err(Fault::Long { line: self.opened.max(self.row_line) });
        }
        if self.field == self.column {
            self.found.values.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn end_row(&mut self) -> Result<(), Fault> {
        let fields = self.field + 1;
        let blank = self.blank;
        (self.state, self.field, self.length) = (State::RowStart, 0, 0);
        let start = self.found.offsets.last().copied().unwrap_or(0);
        if blank {
            self.found.values.truncate(usize::try_from(start).unwrap_or(0));
            return Ok(());
        }
        if fields > self.columns {
            return Err(Fault::Columns { columns: self.columns, fields, line: self.row_line });
        }
        if fields < self.columns {
            self.short_count += 1;
            if self.short.len() < TOLD {
                self.short.push(self.row_line);
            }
        }
        if fields <= self.column {
            self.found.nulls.push(self.found.offsets.len() - 1);
        }
        self.found.offsets.push(i64::try_from(self.found.values.len()).unwrap_or(i64::MAX));
        Ok(())
    }
}
