//! A hash table that many threads read and write without locks. Entries are added once and never change.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::arena::Apart;
use super::key::Probe;
use super::value::Packed;

/// In the last half of a slot's key: another thread is just writing the slot. No key's length.
const BUSY: u64 = u64::MAX;

/// An entry.
#[derive(Debug, Default)]
#[repr(C)]
struct Slot {
    /// The second half is 0 in an empty slot, and written last.
    key: [AtomicU64; 2],
    value: [AtomicU64; 2],
}

/// The slots of a cache line, which are looked at together.
#[derive(Debug, Default)]
#[repr(C, align(64))]
struct Line([Slot; LINE]);

const LINE: usize = 2;

/// Key -> value, with linear probing: an entry is in the first line from that of its hash on that had space
/// for it.
#[derive(Debug)]
pub struct Table {
    lines: Box<[Line]>,
    used: Apart<AtomicUsize>,
}

impl Slot {
    #[inline(always)]
    fn has(&self, key: [u64; 2]) -> bool {
        // Acquire: whoever sees the second half sees the rest.
        let last = self.key[1].load(Ordering::Acquire);
        (last == key[1]) & (self.key[0].load(Ordering::Relaxed) == key[0])
    }

    #[inline(always)]
    fn value(&self) -> Packed {
        self.value.each_ref().map(|half| half.load(Ordering::Relaxed))
    }
}

impl Line {
    /// The value of a key, without a branch that depends on which slot has it.
    #[inline(always)]
    fn value_of(&self, key: [u64; 2]) -> Option<Packed> {
        let [is_first, is_second] = self.0.each_ref().map(|slot| slot.has(key));
        (is_first | is_second).then(|| self.0[usize::from(is_second)].value())
    }
}

impl Table {
    /// An empty table of so many slots, a power of two.
    pub fn new(size: usize) -> Self {
        let lines = (0..size / LINE).map(|_| Line::default()).collect();
        Self { lines, used: Apart::default() }
    }

    /// Number of slots.
    pub fn size(&self) -> usize {
        self.lines.len() * LINE
    }

    #[inline(always)]
    fn place(&self, hash: u32) -> usize {
        hash as usize & (self.lines.len() - 1)
    }

    /// Prefetch the first line of a key; a load would stall the instructions after it.
    #[inline(always)]
    pub fn fetch(&self, probe: Probe) {
        super::fetch(&self.lines[self.place(probe.hash)]);
    }

    /// The value of a key, if it is in its first line.
    #[inline(always)]
    pub fn first(&self, probe: Probe) -> Option<Packed> {
        self.lines[self.place(probe.hash)].value_of(probe.key)
    }

    /// The value of a key.
    pub fn get(&self, probe: Probe) -> Option<Packed> {
        let mut at = self.place(probe.hash);
        loop {
            let line = &self.lines[at];
            let value = line.value_of(probe.key);
            if value.is_some() || line.0.iter().any(|slot| slot.key[1].load(Ordering::Relaxed) == 0)
            {
                return value;
            }
            at = (at + 1) & (self.lines.len() - 1);
        }
    }

    /// Whether no more entries should be added. Threads that do not know of each other's may add some;
    /// there are always empty slots, so that searches end.
    pub fn is_full(&self) -> bool {
        self.used.0.load(Ordering::Relaxed) * 8 >= self.size() * 5
    }

    /// Add an entry, unless the key has one, or another thread is in the way.
    pub fn add(&self, probe: Probe, value: Packed) {
        let mut at = self.place(probe.hash);
        loop {
            for Slot { key, value: stored } in &self.lines[at].0 {
                match key[1].compare_exchange(0, BUSY, Ordering::Acquire, Ordering::Acquire) {
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
                    Err(last)
                        if last == probe.key[1]
                            && key[0].load(Ordering::Relaxed) == probe.key[0] =>
                    {
                        return;
                    }
                    Err(_) => {}
                }
            }
            at = (at + 1) & (self.lines.len() - 1);
        }
    }

    /// A table of so many slots with the same entries. Those that other threads add meanwhile may be
    /// missing in it.
    pub fn resized(&self, size: usize) -> Self {
        let larger = Self::new(size);
        for slot in self.lines.iter().flat_map(|line| &line.0) {
            let last = slot.key[1].load(Ordering::Acquire);
            if last != 0 && last != BUSY {
                let key = [slot.key[0].load(Ordering::Relaxed), last];
                larger.add(Probe::of_key(key), slot.value());
            }
        }
        larger
    }
}
