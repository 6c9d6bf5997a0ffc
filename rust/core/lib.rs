//! Token blocks and masks over Arrow buffers: the core of mlmfast, with no Python in it.
//!
//! - [`lists`] sees columns of token lists in every layout that Arrow has;
//! - [`plan`] lays blocks out before a token is moved, [`packing`] whole documents;
//! - [`blocks`] moves the tokens, converting them on the way, and [`boundaries`] says where in a
//!   block documents begin and end;
//! - [`mask`] draws masked-language-modelling masks that are a pure function of
//!   (seed, epoch, block, position).
#![forbid(unsafe_code)]

pub mod blocks;
pub mod boundaries;
pub mod error;
mod gaps;
pub mod lists;
pub mod mask;
pub mod narrow;
pub mod packing;
mod parallel;
pub mod plan;
pub mod rng;

pub use error::{Error, Result};
