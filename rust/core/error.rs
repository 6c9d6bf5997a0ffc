//! Errors of the input. Every message names the value and what was expected.

use arrow_schema::DataType;

/// An error of the input or of an option.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The column does not hold lists.
    #[error(
        "expected lists of integers, got {0}: give a List, LargeList, ListView or FixedSizeList column of token ids"
    )]
    NotLists(DataType),
    /// The lists do not hold integers.
    #[error("expected lists of integers, got lists of {0}: tokenize the text first")]
    NotIntegers(DataType),
    /// Chunks of one column differ in type.
    #[error(
        "chunk {chunk} holds {found}, but the first chunk holds {expected}: cast the chunks to one type first"
    )]
    MixedTypes {
        /// Index of the chunk that differs.
        chunk: usize,
        /// Its type.
        found: DataType,
        /// The first chunk's type.
        expected: DataType,
    },
    /// A whole list is null.
    #[error("row {row} is null: drop the null rows first")]
    NullRow {
        /// Row number over all chunks, counted from 0.
        row: usize,
    },
    /// A token inside a list is null.
    #[error("row {row} holds a null at position {position}: token ids cannot be null")]
    NullToken {
        /// Row number over all chunks, counted from 0.
        row: usize,
        /// Position in the row, counted from 0.
        position: usize,
    },
    /// Offsets that point outside of the child array.
    #[error("row {row} points outside of its values: the Arrow array is damaged")]
    BadOffsets {
        /// Row number over all chunks, counted from 0.
        row: usize,
    },
    /// A block size of zero, or one past Arrow's limit for fixed-size lists.
    #[error("block_size must be between 1 and 2147483647, got {0}")]
    BlockSize(usize),
    /// A padding or separator id that the column's integer type cannot hold.
    #[error("{name} {value} does not fit the column's type {data_type}")]
    DoesNotFit {
        /// The option's name.
        name: &'static str,
        /// Its value.
        value: i64,
        /// The type of the column's values.
        data_type: DataType,
    },
    /// An id that the requested type cannot hold.
    #[error("row {row}, position {position}: id {value} does not fit {data_type}")]
    IdDoesNotFit {
        /// Row number over all chunks, counted from 0.
        row: usize,
        /// Position in the row, counted from 0.
        position: usize,
        /// The id.
        value: i128,
        /// The requested type.
        data_type: DataType,
    },
    /// An id that the plan inserts and that was not given.
    #[error("{name} is needed and missing")]
    Missing {
        /// The option's name.
        name: &'static str,
    },
    /// A type that blocks do not support.
    #[error("token ids are not converted to {0}: choose uint16, uint32, int32 or int64")]
    NoConversion(DataType),
    /// A block without capacity for tokens.
    #[error("block_size {0} leaves no room for tokens beside cls_id and sep_id")]
    NoRoom(usize),
    /// Boundaries of a plan that was made without them.
    #[error("the plan was made without document boundaries")]
    NoBoundaries,
    /// Positions below 0 or above 2^31 - 1.
    #[error("position_offset must be at least 0, and with block_size below 2147483648; got {0}")]
    PositionOffset(i32),
    /// A row whose length differs from that of the same row of the first column.
    #[error("row {row} has {found} tokens, but {expected} in the first column")]
    RowLength {
        /// Row number over all chunks, counted from 0.
        row: usize,
        /// Its length.
        found: usize,
        /// The length in the first column.
        expected: usize,
    },
    /// More tokens than the machine's address space can count.
    #[error("too many tokens to count")]
    TooLarge,
    /// A probability outside of 0..=1.
    #[error("{name} must be between 0 and 1, got {value}")]
    Probability {
        /// The option's name.
        name: &'static str,
        /// Its value as text.
        value: String,
    },
    /// A distribution of rates that does not exist.
    #[error("mlm_probability is drawn from 'uniform' or 'beta', not from {0:?}")]
    RateDistribution(String),
    /// A range of rates that is empty or leaves 0..=1.
    #[error(
        "mlm_probability 'uniform:LOW,HIGH' needs 0 <= LOW <= HIGH <= 1, got 'uniform:{0},{1}'"
    )]
    UniformRates(String, String),
    /// Invalid parameters of a beta distribution.
    #[error("mlm_probability 'beta:A,B' needs A and B from 0.1 to 1000, got 'beta:{0},{1}'")]
    BetaRates(String, String),
    /// A rate drawn for each row, combined with an exact number of tokens.
    #[error(
        "masks_per_row fixes the number of masks, so no mlm_probability can be drawn for each row: give one of them"
    )]
    MasksPerRowAtDrawnRate,
    /// The two replacement shares exceed the whole.
    #[error("mask_replace_prob + random_replace_prob must not exceed 1, got {0}")]
    ReplaceProbabilities(String),
    /// An invalid parameter of the span lengths.
    #[error("span_probability must be between 0.000001 and 1, got {0}")]
    SpanProbability(String),
    /// An invalid maximum span length.
    #[error("max_span_length must be between 1 and 1000, got {0}")]
    SpanLength(usize),
    /// An invalid number of masks.
    #[error("masks_per_row must be at least 1; for no masks give mlm_probability 0")]
    NoMasksPerRow,
    /// An exact number of tokens, combined with whole-word masking.
    #[error(
        "masks_per_row counts tokens, and whole words do not come apart: choose mode 'token' or 'span'"
    )]
    MasksPerRowOfWords,
    /// Random words, while no id may be one.
    #[error(
        "every id of the vocabulary is special (vocab_size {0}): no ordinary id is left for random words"
    )]
    NoOrdinaryIds(u32),
    /// A block number past the last block.
    #[error("block {block} of a store of {blocks} blocks")]
    NoSuchBlock {
        /// The block number.
        block: u64,
        /// Number of blocks.
        blocks: u64,
    },
    /// Document starts of a block that cannot be: not 0 first, not ascending, or past its end.
    #[error("block {block}: where its documents begin is damaged")]
    BadDocumentStarts {
        /// The block number.
        block: u64,
    },
    /// A document that does not fit a row.
    #[error("document {document} has {length} tokens, and a row has {capacity}")]
    DocumentLength {
        /// The document's number.
        document: usize,
        /// Its tokens.
        length: i32,
        /// Tokens of a row.
        capacity: usize,
    },
    /// An id outside of the vocabulary given as an option.
    #[error("{name} {value} is outside of the vocabulary (vocab_size {vocab_size})")]
    OptionOutsideVocabulary {
        /// The option's name.
        name: &'static str,
        /// Its value.
        value: u64,
        /// Size of the vocabulary.
        vocab_size: u64,
    },
    /// A vocabulary without a single word.
    #[error("vocab_size must be between 1 and 2147483647, got {0}")]
    VocabSize(u64),
    /// A token id outside of the vocabulary.
    #[error(
        "row {row}, position {position}: token id {value} is outside of the vocabulary (vocab_size {vocab_size})"
    )]
    OutsideVocabulary {
        /// Row, counted from 0.
        row: usize,
        /// Position in the row, counted from 0.
        position: usize,
        /// The id.
        value: i64,
        /// Size of the vocabulary.
        vocab_size: u64,
    },
    /// The column does not hold strings.
    #[error("expected strings, got {0}: give a Utf8, LargeUtf8 or Utf8View column")]
    NotStrings(DataType),
    /// A text that is not UTF-8.
    #[error("row {row} is not UTF-8: decode the text first")]
    NotUtf8 {
        /// Row number over all chunks, counted from 0.
        row: usize,
    },
    /// A tokenizer whose pipeline the core does not support; only the library can encode with it.
    #[error("the tokenizer's {part} is not one that is encoded here: {found}")]
    Pipeline {
        /// The part of tokenizer.json.
        part: &'static str,
        /// Its content.
        found: String,
    },
    /// Parameters of `MinHash` that cannot be.
    #[error(
        "MinHash needs n-grams of 1 word at least and 1 to 1,024 hash functions, got {ngram}-grams and {bands} bands of {rows}"
    )]
    MinHash {
        /// Words of an n-gram.
        ngram: usize,
        /// Number of bands.
        bands: usize,
        /// Hash functions of a band.
        rows: usize,
    },
    /// A filter that does not exist.
    #[error("there is no filter {0:?}: choose gopher, gopher-repetition or c4")]
    NoSuchFilter(String),
    /// A number that no document has.
    #[error("there is no document {number} among {count}")]
    NoSuchDocument {
        /// The number.
        number: u32,
        /// Number of documents.
        count: usize,
    },
    /// A buffer whose length does not match.
    #[error("{name} has {found} elements, expected {expected}")]
    Length {
        /// The buffer's name.
        name: &'static str,
        /// Its length.
        found: usize,
        /// The expected length.
        expected: usize,
    },
}

/// The core's result.
pub type Result<T> = std::result::Result<T, Error>;
