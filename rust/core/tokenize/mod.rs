//! Text to token ids, with exactly the ids of the `tokenizers` library.
//!
//! Natural text repeats its words, and in the pipelines of masked language models words are
//! independent of each other: [`family`] finds and encodes them, [`memo`] stores their ids, and
//! [`encode`] runs both over Arrow strings in parallel. A stretch that contains anything else (an added
//! token, a character whose treatment is not certain) is left to the library unchanged.

// Vector instructions reach only what is inlined: see [`simd`].
#![allow(clippy::inline_always)]

pub mod added;
pub mod any;
pub mod bpe;
pub mod encode;
pub mod entries;
pub mod family;
pub mod file;
pub mod kmers;
pub mod memo;
pub mod model;
pub mod output;
pub mod sentencepiece_bpe;
pub mod simd;
pub mod stretches;
mod tasks;
pub mod texts;
pub mod unigram;
mod unit;
pub mod wordpiece;
pub mod words;
mod worker;
