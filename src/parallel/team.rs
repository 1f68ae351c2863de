//! Threads of a rayon pool that wait for tasks without sleeping.

use super::Parallel;
use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::{
    any::Any,
    cell::UnsafeCell,
    hint,
    mem::transmute,
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Mutex, PoisonError},
    thread,
};

/// Looks, with a pause each, before a thread offers its CPU to others: below a millisecond.
const PATIENCE: usize = 1 << 14;

/// [`super::Rayon::hold`].
pub(super) fn hold<T>(f: impl FnOnce(&dyn Parallel) -> T) -> T {
    let team = Arc::new(Team::new(rayon::current_num_threads()));
    // A caller from outside takes the place of the first.
    let leader = rayon::current_thread_index().unwrap_or(0);
    let closing = Closing(&team);
    rayon::spawn_broadcast({
        let team = team.clone();
        move |context| match context.index() {
            index if index == leader => {}
            // The leader begins with the first lane.
            0 => team.serve(leader),
            index => team.serve(index),
        }
    });
    f(closing.0)
}

/// Lets the threads go, even where the caller panics.
struct Closing<'a>(&'a Team);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.closed.store(true, Ordering::Relaxed);
    }
}

/// One call of [`Parallel::run`].
#[derive(Clone, Copy)]
struct Call {
    task: &'static (dyn Fn(usize) + Sync),
    tasks: usize,
}

struct Team {
    /// How many calls have begun.
    begun: AtomicU64,
    /// The last one. Read only by who took a lane of it, which lasts as long as the call does.
    call: UnsafeCell<Call>,
    /// For each thread the number of the last call of which its tasks, each `lanes.len()`th, were taken, by whomever.
    lanes: Box<[AtomicU64]>,
    /// Lanes of the last call that are not done.
    left: AtomicUsize,
    /// Whether a call is running.
    busy: AtomicBool,
    closed: AtomicBool,
    /// Of a task of the last call.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: `call` is written by who holds `busy`, while no lane is left, and read by who took a lane, before it counts as
// done. The task in it may be called from any thread.
unsafe impl Sync for Team {}
// SAFETY: as for `Sync`; the task in `call` is not used after its call.
unsafe impl Send for Team {}

impl Team {
    fn new(threads: usize) -> Self {
        Team {
            begun: AtomicU64::new(0),
            call: UnsafeCell::new(Call { task: &|_| (), tasks: 0 }),
            lanes: (0..threads).map(|_| AtomicU64::new(0)).collect::<Vec<_>>().into(),
            left: AtomicUsize::new(0),
            busy: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            panic: Mutex::new(None),
        }
    }

    /// Takes part in all calls until the team is closed, with lane `own` first, in whose tasks' data this thread's cache is
    /// warm.
    fn serve(&self, own: usize) {
        let mut seen = 0;
        loop {
            wait(|| self.begun.load(Ordering::Relaxed) != seen || self.closed.load(Ordering::Relaxed));
            if self.closed.load(Ordering::Relaxed) {
                return;
            }
            seen = self.begun.load(Ordering::Acquire);
            self.take_part(seen, own);
        }
    }

    /// Runs the lanes of a call that nobody took.
    fn take_part(&self, number: u64, own: usize) {
        let lanes = self.lanes.iter().enumerate();
        for (i, lane) in lanes.clone().skip(own).chain(lanes.take(own)) {
            // Of a call that is over all are taken.
            if lane.fetch_max(number, Ordering::Relaxed) >= number {
                continue;
            }
            // SAFETY: the call of this number has begun, what was written before is seen, and it waits for this lane.
            let call = unsafe { *self.call.get() };
            let run = || (i..call.tasks).step_by(self.lanes.len()).for_each(call.task);
            if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
                *self.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
            }
            self.left.fetch_sub(1, Ordering::Release);
        }
    }
}

impl Parallel for Team {
    fn threads(&self) -> usize {
        self.lanes.len()
    }

    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        if tasks < 2 || self.busy.swap(true, Ordering::Acquire) {
            return (0..tasks).for_each(task);
        }
        // SAFETY: only the lifetime changes, and this returns only when every lane is done with the task.
        let task = unsafe { transmute::<&(dyn Fn(usize) + Sync), &'static (dyn Fn(usize) + Sync)>(task) };
        // SAFETY: `busy` is ours, and all lanes of earlier calls are done.
        unsafe { *self.call.get() = Call { task, tasks } };
        self.left.store(self.lanes.len(), Ordering::Relaxed);
        let number = self.begun.load(Ordering::Relaxed) + 1;
        self.begun.store(number, Ordering::Release);
        self.take_part(number, 0);
        wait(|| self.left.load(Ordering::Acquire) == 0);
        let panic = self.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.busy.store(false, Ordering::Release);
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }
}

/// Returns when `done`.
fn wait(mut done: impl FnMut() -> bool) {
    let mut looks = 0;
    while !done() {
        if looks < PATIENCE {
            looks += 1;
            hint::spin_loop();
        } else {
            thread::yield_now();
        }
    }
}
