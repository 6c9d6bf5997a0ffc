//! Running tasks on threads that live as long as one call.
//!
//! Scoped threads rather than a pool: a pool's threads do not survive when a `DataLoader` forks its
//! workers, and the first call in a worker would wait for them forever.

use std::sync::{Mutex, PoisonError};
use std::thread;

/// Number of threads for `work` units, if a thread is worth starting for `grain` of them; at most
/// `wanted`, or the machine's parallelism if `None`.
pub fn thread_count(wanted: Option<usize>, work: usize, grain: usize) -> usize {
    let useful = work.div_ceil(grain.max(1)).max(1);
    if useful == 1 {
        return 1; // querying the machine's parallelism costs a system call
    }
    let cap =
        wanted.unwrap_or_else(|| thread::available_parallelism().map_or(1, std::num::NonZero::get));
    useful.min(cap.max(1))
}

/// Run `job` on every item, on `threads` threads, of which the caller's is one; results come in the
/// items' order.
///
/// A thread takes the next item when it has finished one, so a busy core, or a thread that the system
/// fails to start, delays the others by at most one item.
pub fn run<T: Send, R: Send>(items: Vec<T>, threads: usize, job: impl Fn(T) -> R + Sync) -> Vec<R> {
    if threads <= 1 || items.len() <= 1 {
        return items.into_iter().map(job).collect();
    }
    let helpers = threads.min(items.len()) - 1;
    let queue = Mutex::new(items.into_iter().enumerate());
    let work = || {
        let mut done = Vec::new();
        loop {
            // No panic happens under the lock.
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((number, item)) = next else { return done };
            done.push((number, job(item)));
        }
    };
    let mut results = thread::scope(|scope| {
        let handles: Vec<_> = (0..helpers)
            .filter_map(|_| thread::Builder::new().spawn_scoped(scope, work).ok())
            .collect();
        let mut results = work();
        for handle in handles {
            match handle.join() {
                Ok(part) => results.extend(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        results
    });
    results.sort_unstable_by_key(|&(number, _)| number);
    results.into_iter().map(|(_, result)| result).collect()
}
