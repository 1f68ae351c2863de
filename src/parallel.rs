//! Threads, lent by the caller.

/// Threads that a caller lends to `run`. Kolibri starts none of its own.
///
/// Results do not depend on it: each output is computed by one task, in the same way. An implementation that breaks
/// its word leaves outputs as they were, or done, and does no worse: tasks that do not exist, or were run before, are not
/// run.
pub trait Parallel: Sync {
    /// How many tasks run at the same time, 1024 at most. Each does its part of the work, then what others have not begun.
    fn threads(&self) -> usize;

    /// Calls `task(i)` once for each `i` below `tasks`, on any thread, and returns when all have returned.
    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync));
}

/// The calling thread only.
#[derive(Clone, Copy, Debug, Default)]
pub struct Serial;

impl Parallel for Serial {
    fn threads(&self) -> usize {
        1
    }

    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        (0..tasks).for_each(task);
    }
}

/// The current rayon pool.
#[cfg(feature = "rayon")]
#[derive(Clone, Copy, Debug, Default)]
pub struct Rayon;

#[cfg(feature = "rayon")]
impl Parallel for Rayon {
    fn threads(&self) -> usize {
        rayon::current_num_threads()
    }

    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};
        (0..tasks).into_par_iter().with_max_len(1).for_each(task);
    }
}
