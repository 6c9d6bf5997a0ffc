//! What a thread of an encoder keeps between texts.

use super::added::Split;
use super::memo::{Memo, Probe};
use super::unit::Unit;

/// Number of units whose slots are prefetched before the first of them is looked up.
pub const BATCH: usize = 64;

/// A thread's buffers and memo, kept between calls.
pub struct Worker<S> {
    pub memo: Memo,
    pub scratch: S,
    pub units: Vec<Unit>,
    pub buffer: String,
    pub normalized: String,
    pub splits: [Vec<Split>; 2],
    pub probes: [[Probe; BATCH]; 2],
    /// The ids of one unit.
    pub unit_ids: Vec<u32>,
}

impl<S: Default> Worker<S> {
    /// A worker that has encoded nothing yet, with a memo that may hold words.
    pub fn new(memo: Memo) -> Self {
        Self {
            memo,
            scratch: S::default(),
            units: Vec::new(),
            buffer: String::new(),
            normalized: String::new(),
            splits: [Vec::new(), Vec::new()],
            probes: [[Probe::default(); BATCH]; 2],
            unit_ids: Vec::new(),
        }
    }
}
