//! The tests of the core, as one program: each further one would be linked with all of Arrow anew.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::cast_possible_wrap)]
#![allow(clippy::cast_precision_loss, clippy::cast_sign_loss, missing_docs)]

mod blocks;
mod boundaries;
mod csv;
mod documents;
mod fasta;
mod jsonl;
mod mask;
mod mask_cases;
mod mask_modes;
mod mask_outputs;
mod mask_rates;
mod packing;
mod permutation;
mod records;
mod row_packing;
