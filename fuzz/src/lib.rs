//! What the targets share: tokenizers small enough to read, and the library to compare with.

pub mod charsmap;
pub mod library;
pub mod rows;
pub mod tokenizers;
