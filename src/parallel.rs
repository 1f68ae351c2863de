//! Threads, lent by the caller.

#[cfg(feature = "rayon")]
mod team;

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

#[cfg(feature = "rayon")]
impl Rayon {
    /// Calls `f` with the threads of the current pool, which until it returns look for work without a pause. [`Rayon`]
    /// lends them, too, but they sleep between one operator and the next, and waking one takes as long as a small operator:
    /// so hold them for an inference.
    ///
    /// Where a thread of the pool is busy `f` goes on without it. Calls of `Parallel::run` from two threads at once, or
    /// from within a task, are sound: all but one do their tasks themselves.
    ///
    /// ```
    /// use kolibri::{Lookup, Image, ImageMut, Rayon};
    ///
    /// # fn main() -> Result<(), kolibri::Error> {
    /// let square = Lookup::<u8>::new(&std::array::from_fn(|i| (i * i / 255) as u8))?;
    /// let (x, mut y) = ([1, 128, 255], [0; 3]);
    /// Rayon::hold(|threads| {
    ///     square.run(Image::nhwc(&x, 1, 1, 3, 1)?, ImageMut::nhwc(&mut y, 1, 1, 3, 1)?, threads)?;
    ///     square.run_in_place(ImageMut::nhwc(&mut y, 1, 1, 3, 1)?, threads)
    /// })?;
    /// assert_eq!(y, [0, 16, 255]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    /// Where `f` does, or a task of its own: those of operators do not.
    pub fn hold<T>(f: impl FnOnce(&dyn Parallel) -> T) -> T {
        team::hold(f)
    }
}
