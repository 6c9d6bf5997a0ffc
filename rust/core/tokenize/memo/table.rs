//! A hash table that many threads read and write without locks. Entries are added once and never change.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::arena::Apart;
use super::key::Probe;
use super::value::Packed;

/// In the last half of a slot's key: another thread is just writing the slot. No key's length.
const BUSY: u64 = u64::MAX;

/// Half a cache line.
#[derive(Debug, Default)]
#[repr(C, align(32))]
struct Slot {
    /// The second half is 0 in an empty slot, and written last.
    key: [AtomicU64; 2],
    value: [AtomicU64; 2],
}

/// Key -> value, with linear probing.
#[derive(Debug)]
pub struct Table {
    slots: Box<[Slot]>,
    used: Apart<AtomicUsize>,
}

impl Slot {
    /// Its value, if it holds that key.
    #[inline(always)]
    fn value_of(&self, key: [u64; 2]) -> Option<Packed> {
        // Acquire: whoever sees the second half sees the rest.
        let is_it = self.key[1].load(Ordering::Acquire) == key[1]
            && self.key[0].load(Ordering::Relaxed) == key[0];
        is_it.then(|| self.value.each_ref().map(|half| half.load(Ordering::Relaxed)))
    }
}

impl Table {
    /// An empty table of so many slots, a power of two.
    pub fn new(size: usize) -> Self {
        Self { slots: (0..size).map(|_| Slot::default()).collect(), used: Apart::default() }
    }

    /// Number of slots.
    pub fn size(&self) -> usize {
        self.slots.len()
    }

    #[inline(always)]
    fn place(&self, hash: u32) -> usize {
        hash as usize & (self.slots.len() - 1)
    }

    /// Prefetch the first slot of a key; a load would stall the instructions after it.
    #[inline(always)]
    pub fn fetch(&self, probe: Probe) {
        super::fetch(&self.slots[self.place(probe.hash)]);
    }

    /// The value of a key, if it is in its first slot.
    #[inline(always)]
    pub fn first(&self, probe: Probe) -> Option<Packed> {
        self.slots[self.place(probe.hash)].value_of(probe.key)
    }

    /// The value of a key.
    pub fn get(&self, probe: Probe) -> Option<Packed> {
        let mut at = self.place(probe.hash);
        loop {
            let slot = &self.slots[at];
            let value = slot.value_of(probe.key);
            if value.is_some() || slot.key[1].load(Ordering::Relaxed) == 0 {
                return value;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// Whether no more entries should be added. Threads that do not know of each other's may add some;
    /// there are always empty slots, so that searches end.
    pub fn is_full(&self) -> bool {
        self.used.0.load(Ordering::Relaxed) * 2 >= self.slots.len()
    }

    /// Add an entry, unless the key has one, or another thread is in the way.
    pub fn add(&self, probe: Probe, value: Packed) {
        let mut at = self.place(probe.hash);
        loop {
            let Slot { key, value: stored } = &self.slots[at];
            let empty = key[1].compare_exchange(0, BUSY, Ordering::Acquire, Ordering::Acquire);
            match empty {
                Ok(_) => {
                    self.used.0.fetch_add(1, Ordering::Relaxed);
                    key[0].store(probe.key[0], Ordering::Relaxed);
                    for (half, new) in stored.iter().zip(value) {
                        half.store(new, Ordering::Relaxed);
                    }
                    key[1].store(probe.key[1], Ordering::Release);
                    return;
                }
                // It may be this very key.
                Err(BUSY) => return,
                Err(other)
                    if other == probe.key[1] && key[0].load(Ordering::Relaxed) == probe.key[0] =>
                {
                    return;
                }
                Err(_) => at = (at + 1) & (self.slots.len() - 1),
            }
        }
    }

    /// A table of so many slots with the same entries. Those that other threads add meanwhile may be
    /// missing in it.
    pub fn resized(&self, size: usize) -> Self {
        let larger = Self::new(size);
        for slot in &self.slots {
            let last = slot.key[1].load(Ordering::Acquire);
            if last != 0 && last != BUSY {
                let key = [slot.key[0].load(Ordering::Relaxed), last];
                let value = slot.value.each_ref().map(|half| half.load(Ordering::Relaxed));
                larger.add(Probe::of_key(key), value);
            }
        }
        larger
    }
}
