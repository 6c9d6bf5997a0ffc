//! Text to token ids, as the tokenizer's own library answers.
//!
//! Natural text repeats its words, and in the pipelines of masked language models words are
//! independent of each other: [`family`] says where one ends and what it becomes, [`memo`] remembers
//! that, [`encode`] runs both over Arrow strings in parallel. A stretch that holds anything else (an
//! added token, a character whose treatment is not certain) is left to the library, word for word.

// Vector instructions reach only what is inlined: see [`simd`].
#![allow(clippy::inline_always)]

pub mod added;
pub mod any;
pub mod bpe;
pub mod encode;
pub mod entries;
pub mod family;
pub mod file;
pub mod memo;
pub mod output;
pub mod simd;
pub mod stretches;
pub mod texts;
pub mod unigram;
mod unit;
pub mod wordpiece;
