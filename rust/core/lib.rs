//! Token blocks and masks over Arrow buffers: the core of mlmfast, with no Python in it.
//!
//! - [`blocks`] concatenates lists of token ids across chunks and cuts them into blocks;
//! - [`mask`] draws masked-language-modelling masks that are a pure function of
//!   (seed, epoch, block, position).
#![forbid(unsafe_code)]

pub mod blocks;
pub mod error;
mod gaps;
mod lists;
pub mod mask;
mod parallel;
pub mod rng;

pub use error::{Error, Result};
