//! Sequences of FASTA text: proteins, DNA, RNA.
//!
//! A record is a line that begins with `>` and the lines of its sequence, which are joined without
//! white space. Lines end at `\n`, `\r` or `\r\n` and have any length; lines that begin with `;` are
//! comments. Long records, such as chromosomes, can be cut into documents of equal length.

use memchr::memchr2;

/// Maximum characters of a line that an error shows.
const SHOWN: usize = 40;

/// An error in the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Text before the first header.
    #[error("line {line}: a FASTA file begins with a line such as '>name', not with {text:?}")]
    NoHeader {
        /// Counted from 1.
        line: u64,
        /// The beginning of the line.
        text: String,
    },
    /// FASTQ.
    #[error(
        "line {line}: '@' begins a record of FASTQ, not of FASTA: convert the file first, for \
         example by `seqtk seq -A FILE > NEW.fasta`"
    )]
    Fastq {
        /// Counted from 1.
        line: u64,
    },
    /// A byte that is part of no sequence.
    #[error(
        "line {line}: byte 0x{byte:02x}, where a sequence has ASCII letters and signs: is this a \
         binary file, or other text?"
    )]
    Byte {
        /// Counted from 1.
        line: u64,
        /// The byte.
        byte: u8,
    },
}

/// The documents that end in one piece of text.
#[derive(Debug, PartialEq, Eq)]
pub struct Sequences {
    /// The offsets of the documents in `values`, one more than there are documents.
    pub offsets: Vec<i64>,
    /// The documents, one after the other.
    pub values: Vec<u8>,
}

impl Default for Sequences {
    fn default() -> Self {
        Self { offsets: vec![0], values: Vec::new() }
    }
}

/// Where a document begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// Bytes before it.
    pub offset: u64,
    /// Its line, counted from 1.
    pub line: u64,
    /// Whether it continues a record, which was cut there.
    pub continues: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    LineStart,
    /// In a header or a comment.
    Ignored,
    /// In a line of a sequence.
    Sequence,
}

/// How sequences become documents.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Raise lower-case letters, which mark repeats of DNA, to upper case.
    pub upper: bool,
    /// Cut records into documents of so many characters.
    pub chunk: Option<usize>,
}

/// Reads a text piece by piece.
#[derive(Debug)]
pub struct Reader {
    options: Options,
    state: State,
    after_return: bool,
    /// Whether a record has begun.
    inside: bool,
    /// Whether the record has been cut before.
    continues: bool,
    start: Start,
    line: u64,
    /// Bytes before the current piece.
    read: u64,
    found: Sequences,
    /// Where the unfinished document begins in the values.
    open: usize,
}

impl Reader {
    /// Read from `start` on, where a document begins.
    #[must_use]
    pub fn new(options: Options, start: Start) -> Self {
        let inside = start.continues;
        Self {
            options,
            state: if inside { State::Sequence } else { State::LineStart },
            after_return: false,
            inside,
            continues: inside,
            start,
            line: start.line,
            read: start.offset,
            found: Sequences::default(),
            open: 0,
        }
    }

    /// Where the unfinished document begins.
    #[must_use]
    pub fn start(&self) -> Start {
        self.start
    }

    /// Read a piece and return the documents that end in it.
    ///
    /// # Errors
    /// The text is not FASTA.
    pub fn feed(&mut self, data: &[u8]) -> Result<Sequences, Fault> {
        let mut at = 0;
        while at < data.len() {
            at += self.step(data, at)?;
        }
        self.read += data.len() as u64;
        Ok(self.take())
    }

    /// Return the last document.
    pub fn finish(&mut self) -> Sequences {
        self.end_record();
        self.inside = false;
        self.take()
    }

    /// Take the finished documents; the bytes of the unfinished one are kept.
    fn take(&mut self) -> Sequences {
        // A long record is not moved for every piece.
        if self.found.offsets.len() == 1 {
            return Sequences::default();
        }
        let mut done = std::mem::take(&mut self.found);
        self.found.values.extend_from_slice(&done.values[self.open..]);
        done.values.truncate(self.open);
        self.open = 0;
        done
    }

    /// Read from `at` on; return the number of bytes read.
    fn step(&mut self, data: &[u8], at: usize) -> Result<usize, Fault> {
        let rest = &data[at..];
        let byte = rest[0];
        let after_return = std::mem::take(&mut self.after_return);
        if matches!(byte, b'\n' | b'\r') {
            self.state = State::LineStart;
            self.after_return = byte == b'\r';
            self.line += u64::from(!(after_return && byte == b'\n'));
            return Ok(1);
        }
        if self.state == State::LineStart {
            self.begin_line(rest, self.read + at as u64)?;
        }
        let end = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        if self.state == State::Sequence {
            self.sequence(&rest[..end], self.read + at as u64)?;
        }
        Ok(end)
    }

    fn begin_line(&mut self, rest: &[u8], offset: u64) -> Result<(), Fault> {
        self.state = match rest[0] {
            b'>' => {
                self.end_record();
                self.inside = true;
                self.start = Start { offset, line: self.line, continues: false };
                State::Ignored
            }
            b';' => State::Ignored,
            b' ' | b'\t' | b'\x0b' | b'\x0c' if !self.inside => State::Sequence,
            _ if self.inside => State::Sequence,
            b'@' => return Err(Fault::Fastq { line: self.line }),
            byte if !byte.is_ascii_graphic() => return Err(Fault::Byte { line: self.line, byte }),
            _ => return Err(self.no_header(rest)),
        };
        Ok(())
    }

    /// Add a part of a line, which begins at `offset`.
    fn sequence(&mut self, part: &[u8], offset: u64) -> Result<(), Fault> {
        // Without a branch per byte, so that the compiler can use vectors.
        let plain = part.iter().fold(true, |all, byte| all & byte.is_ascii_graphic());
        if plain && self.inside {
            self.push(part, offset);
            return Ok(());
        }
        for (at, &byte) in part.iter().enumerate() {
            match byte {
                b' ' | b'\t' | b'\x0b' | b'\x0c' => {}
                _ if !self.inside => return Err(self.no_header(part)),
                _ if byte.is_ascii_graphic() => self.push(&[byte], offset + at as u64),
                _ => return Err(Fault::Byte { line: self.line, byte }),
            }
        }
        Ok(())
    }

    fn push(&mut self, mut part: &[u8], mut offset: u64) {
        while let Some(chunk) = self.options.chunk {
            let missing = chunk - (self.found.values.len() - self.open);
            if part.len() < missing {
                break;
            }
            let (fits, rest) = part.split_at(missing);
            self.extend(fits);
            self.end_document();
            (part, offset) = (rest, offset + fits.len() as u64);
            self.continues = true;
            self.start = Start { offset, line: self.line, continues: true };
        }
        self.extend(part);
    }

    fn extend(&mut self, part: &[u8]) {
        let from = self.found.values.len();
        self.found.values.extend_from_slice(part);
        if self.options.upper {
            self.found.values[from..].make_ascii_uppercase();
        }
    }

    /// End the record, if there is one; a cut that falls on its end leaves nothing.
    fn end_record(&mut self) {
        if self.inside && !(self.continues && self.found.values.len() == self.open) {
            self.end_document();
        }
        self.continues = false;
    }

    fn end_document(&mut self) {
        self.open = self.found.values.len();
        self.found.offsets.push(i64::try_from(self.open).unwrap_or(i64::MAX));
    }

    fn no_header(&self, rest: &[u8]) -> Fault {
        let end = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let text = String::from_utf8_lossy(&rest[..end]).chars().take(SHOWN).collect();
        Fault::NoHeader { line: self.line, text }
    }
}
