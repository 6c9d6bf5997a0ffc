//! Near-duplicates: documents that share most of their word n-grams, by `MinHash` and LSH.
//!
//! The similarity of two documents is the Jaccard similarity of the sets of their word n-grams
//! (Broder 1997). A [`MinHash`] gives each document a key per band, a hash of the minima of a few
//! hash functions; documents with an equal key are near-duplicates ([`equal_keys`]), and [`Clusters`]
//! joins them. With 14 bands of 8 hash functions over 5-grams, these are the parameters of `FineWeb`
//! (Penedo et al. 2024, section 3.4).
#![allow(clippy::inline_always)]

mod clusters;
mod minhash;
mod records;
mod words;

pub use clusters::Clusters;
pub use minhash::{MAX_HASHES, MinHash};
pub use records::{BUCKETS, Buckets, RECORD_BYTES, equal_keys};
