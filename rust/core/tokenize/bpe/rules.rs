//! What a scan is told, and what it finds of a text besides its words.

use super::pattern::Pattern;

/// Properties of the text found during the scan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScanFlags {
    /// There is a code point that only the library can encode.
    pub exception: bool,
    /// The text may not be in NFC.
    pub unstable: bool,
    /// There may be a run of more spaces than the longest token has.
    pub many_spaces: bool,
}

/// How to split text.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// The pattern of words.
    pub pattern: Pattern,
    /// The number of spaces in the longest run that is a token; unless it is 0, runs are a class of
    /// their own. Only with GPT-2's pattern.
    pub longest_run: usize,
}
