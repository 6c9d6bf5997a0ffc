//! The ids of words encoded before: a hash table word -> ids, optimized for lookups, that all threads
//! share.
//!
//! A word of up to 15 bytes is its own key in a slot of half a cache line, with up to seven ids beside
//! it (three in large vocabularies). Of a longer word the slot has a hash; its bytes and ids, and the
//! ids that a slot has no space for, are in an arena. Words are compared in full, never by hash alone.
//!
//! Threads that encode do not wait for each other: slots are written once, and a table that has become too
//! small is replaced by a copy, which threads notice between two stretches. Words that are added to the old
//! table meanwhile are lost, which costs the time to encode them again. Everything is bounded; what
//! finds no space is encoded each time.

mod arena;
mod key;
mod table;
mod value;
mod view;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use self::arena::Arena;
pub use self::key::Probe;
use self::table::Table;
pub use self::value::{Packed, Width};
pub use self::view::{Known, View};

/// Initial and maximum number of slots (64 MB). A fuller table makes better use of the caches.
const FIRST_SLOTS: usize = 1 << 14;
const MOST_SLOTS: usize = 1 << 21;

/// Prefetch the cache line of a value.
#[inline(always)]
fn fetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    safe_arch::prefetch_t0(value);
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}

/// Word -> ids.
pub struct Memo {
    width: Width,
    newest: Mutex<Arc<Table>>,
    /// How often the table was replaced.
    generation: AtomicUsize,
    arena: Arena,
}

impl Memo {
    /// An empty memo for ids of a width.
    #[must_use]
    pub fn new(width: Width) -> Self {
        Self {
            width,
            newest: Mutex::new(Arc::new(Table::new(FIRST_SLOTS))),
            generation: AtomicUsize::new(0),
            arena: Arena::new(),
        }
    }

    /// A thread's view.
    pub fn view(&self) -> View<'_> {
        let generation = self.generation.load(Ordering::Acquire);
        let table = self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        View { memo: self, table, generation }
    }

    /// Replace a table that is full, unless another thread has done or is doing so.
    #[cold]
    fn grow(&self, full: &Arc<Table>) {
        let Ok(mut newest) = self.newest.try_lock() else { return };
        if Arc::ptr_eq(&newest, full) && full.size() < MOST_SLOTS {
            *newest = Arc::new(full.resized(full.size() * 2));
            self.generation.fetch_add(1, Ordering::Release);
        }
    }
}
