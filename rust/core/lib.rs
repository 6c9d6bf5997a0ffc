//! Token blocks and masks over Arrow buffers: the core of mlmfast, with no Python in it.
//!
//! - [`jsonl`] extracts one string field from JSON lines, [`records`] converts other JSON to JSON lines,
//!   [`csv`] extracts one column from delimited text, and [`fasta`] joins the lines of sequences;
//! - [`lists`] reads columns of token lists in every layout that Arrow has;
//! - [`plan`] lays out blocks before any token is moved, [`packing`] packs whole documents;
//! - [`blocks`] copies and converts the tokens, and [`boundaries`] computes where in a block documents
//!   begin and end;
//! - [`one_per_block`] gives every document a block of its own;
//! - [`mask`] draws masked-language-modelling masks that are a pure function of
//!   (seed, epoch, block, position);
//! - [`documents`] tells which document of a stored block each position belongs to;
//! - [`permutation`] is the order of the blocks in an epoch;
//! - [`row_packing`] puts short documents into rows that are new in every epoch;
//! - [`dedup`] detects texts that occurred before, [`near`] those that nearly did;
//! - [`filters`] leaves out documents and lines by the rules of published corpora;
//! - [`tokenize`] turns text into token ids.
#![forbid(unsafe_code)]

mod beta;
pub mod blocks;
pub mod boundaries;
mod choose;
pub mod csv;
pub mod dedup;
pub mod documents;
pub mod error;
pub mod fasta;
pub mod filters;
mod gaps;
mod ids;
pub mod jsonl;
pub mod lists;
pub mod mask;
mod mask_rate;
pub mod narrow;
pub mod near;
pub mod one_per_block;
mod options;
mod output;
pub mod packing;
mod parallel;
pub mod permutation;
pub mod plan;
pub mod records;
mod replace;
pub mod rng;
mod row_masker;
pub mod row_packing;
mod row_source;
mod spans;
pub mod tokenize;

pub use error::{Error, Result};

fn check_length(name: &'static str, found: usize, expected: usize) -> Result<()> {
    if found == expected { Ok(()) } else { Err(Error::Length { name, found, expected }) }
}
