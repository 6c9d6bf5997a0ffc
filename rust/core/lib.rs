//! Token blocks and masks over Arrow buffers: the core of mlmfast, with no Python in it.
//!
//! - [`blocks`] concatenates lists of token ids across chunks and cuts them into blocks;
//! - [`mask`] draws masked-language-modelling masks that are a pure function of
//!   (seed, epoch, block, position);
//! - [`permutation`] is the order of the blocks in an epoch.
#![forbid(unsafe_code)]

pub mod blocks;
mod choose;
pub mod error;
mod gaps;
mod ids;
mod lists;
pub mod mask;
mod output;
mod parallel;
pub mod permutation;
mod replace;
pub mod rng;
mod row;
mod rows;
mod spans;

pub use error::{Error, Result};

fn check_length(name: &'static str, found: usize, expected: usize) -> Result<()> {
    if found == expected { Ok(()) } else { Err(Error::Length { name, found, expected }) }
}
