//! What the targets share: tokenizers small enough to read, and the library to compare with.

mod added;
pub mod charsmap;
pub mod library;
pub mod rows;
mod steps;
pub mod tokenizers;
