//! Work spread over threads that live as long as one call.
//!
//! Scoped threads rather than a pool: a pool's threads are lost when a `DataLoader` forks its
//! workers, and the first call in a worker would wait for them for ever.

/// Threads to use for `work` units where a thread is worth starting for `grain` of them;
/// `wanted` caps the number, `None` takes the machine's.
pub fn thread_count(wanted: Option<usize>, work: usize, grain: usize) -> usize {
    let useful = work.div_ceil(grain.max(1)).max(1);
    if useful == 1 {
        return 1; // asking for the machine's parallelism costs a system call
    }
    let cap = wanted
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    useful.min(cap.max(1))
}

/// Run `job` on every item, on `threads` threads; results come in the items' order.
pub fn run<T: Send, R: Send>(items: Vec<T>, threads: usize, job: impl Fn(T) -> R + Sync) -> Vec<R> {
    if threads <= 1 || items.len() <= 1 {
        return items.into_iter().map(job).collect();
    }
    let share = items.len().div_ceil(threads);
    let job = &job;
    std::thread::scope(|scope| {
        let mut items = items.into_iter();
        let mut handles = Vec::with_capacity(threads);
        loop {
            let part: Vec<T> = items.by_ref().take(share).collect();
            if part.is_empty() {
                break;
            }
            handles.push(scope.spawn(move || part.into_iter().map(job).collect::<Vec<R>>()));
        }
        handles
            .into_iter()
            .flat_map(|handle| match handle.join() {
                Ok(results) => results,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    })
}
