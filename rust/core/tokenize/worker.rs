//! What a thread of an encoder works with.

use super::added::Split;
use super::memo::{Probe, View};
use super::unit::Unit;

/// Number of units whose slots are prefetched before the first of them is looked up.
pub const BATCH: usize = 64;

/// A thread's buffers, kept between calls.
pub struct Buffers<S> {
    pub scratch: S,
    pub units: Vec<Unit>,
    pub buffer: String,
    pub normalized: String,
    pub splits: [Vec<Split>; 2],
    pub probes: [[Probe; BATCH]; 2],
    /// The ids of one unit.
    pub unit_ids: Vec<u32>,
}

/// A thread's buffers, and its view of the memo during one call.
pub struct Worker<'m, S> {
    pub memo: View<'m>,
    pub buffers: Buffers<S>,
}

impl<S: Default> Default for Buffers<S> {
    fn default() -> Self {
        Self {
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
