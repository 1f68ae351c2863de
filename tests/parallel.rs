//! `Parallel` is safe to implement: one that breaks its word makes no task run twice, and none leave the buffers.
#![cfg(feature = "operators")]

use kolibri::{
    Activation, Conv2d, ConvGeometry, Image, ImageMut, Lookup, Parallel, Serial, Weights, Workspace, kernels::Kernels,
};
use std::sync::atomic::{AtomicUsize, Ordering};

fn kernels() -> &'static Kernels {
    kolibri::Level::selected().expect("a level")
}

/// One thread when first asked, then many.
#[derive(Default)]
struct Fickle(AtomicUsize);

impl Parallel for Fickle {
    fn threads(&self) -> usize {
        if self.0.fetch_add(1, Ordering::Relaxed) == 0 { 1 } else { usize::MAX }
    }

    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        (0..tasks).for_each(task);
    }
}

/// Each task twice, and tasks that do not exist.
struct Eager(usize);

impl Parallel for Eager {
    fn threads(&self) -> usize {
        self.0
    }

    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        (0..tasks).chain(0..tasks + 3).chain([usize::MAX]).for_each(task);
    }
}

/// The others never come.
struct Deserted(usize);

impl Parallel for Deserted {
    fn threads(&self) -> usize {
        self.0
    }

    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        task(tasks / 2);
    }
}

/// No task at all.
struct Idle;

impl Parallel for Idle {
    fn threads(&self) -> usize {
        4
    }

    fn run(&self, _: usize, _: &(dyn Fn(usize) + Sync)) {}
}

#[test]
fn the_workspace_is_not_left() {
    // A convolution with much of it for each thread.
    let geometry = ConvGeometry::new(24, 40, [3, 3]);
    let weights = vec![0.5; 40 * 24 * 9];
    let conv = Conv2d::f32_on(kernels(), &geometry, Weights::oihw(&weights), None, Activation::None).expect("valid");
    let x: Vec<f32> = (0..34 * 34 * 24).map(|i| (i % 7) as f32).collect();
    let run = |parallel: &dyn Parallel| {
        let mut y = vec![0.0; 32 * 32 * 40];
        let mut workspace = Workspace::new(conv.workspace_len([1, 34, 34], 1).expect("an output")).expect("memory");
        let to = ImageMut::nhwc(&mut y, 1, 32, 32, 40).expect("dense");
        conv.run(Image::nhwc(&x, 1, 34, 34, 24).expect("dense"), None, to, &mut workspace, parallel).expect("room");
        y
    };
    assert!(run(&Fickle::default()) == run(&Serial));
}

#[test]
fn tasks_run_once() {
    let next: [u8; 256] = std::array::from_fn(|i| (i as u8).wrapping_add(1));
    let lookup = Lookup::new_on(kernels(), &next);
    let pixels = 1500;
    for threads in [2, 7, 64, 65, 1500, usize::MAX] {
        for parallel in [&Eager(threads) as &dyn Parallel, &Deserted(threads)] {
            // A byte to a pixel, and more behind them.
            let mut y = vec![5u8; 2 * pixels];
            let image = ImageMut::nhwc(&mut y[..pixels], 1, 1, pixels, 1).expect("dense");
            lookup.run_in_place(image, parallel).expect("valid");
            assert!(y[..pixels].iter().all(|&y| y == 6) && y[pixels..].iter().all(|&y| y == 5), "{threads}");
        }
    }
    let mut y = [5u8; 9];
    lookup.run_in_place(ImageMut::nhwc(&mut y, 1, 1, 9, 1).expect("dense"), &Idle).expect("valid");
    assert_eq!(y, [5; 9]);
}

#[cfg(feature = "rayon")]
mod held {
    use super::*;
    use kolibri::Rayon;
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        sync::Mutex,
    };

    fn pool(threads: usize) -> rayon::ThreadPool {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads")
    }

    /// Runs calls of up to twice as many tasks as threads, and a few more, and counts tasks.
    fn count(threads: &dyn Parallel) {
        for call in 0..100 {
            let tasks = call % (2 * threads.threads() + 3);
            let runs: Vec<_> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
            threads.run(tasks, &|i| {
                runs[i].fetch_add(1, Ordering::Relaxed);
            });
            assert!(runs.iter().all(|runs| runs.load(Ordering::Relaxed) == 1), "{tasks} tasks: {runs:?}");
        }
    }

    #[test]
    fn each_task_runs_once() {
        for threads in [1, 2, 3, 5] {
            let pool = pool(threads);
            pool.install(|| Rayon::hold(|held| assert_eq!(held.threads(), threads)));
            // From a thread of the pool, then again.
            (0..3).for_each(|_| pool.install(|| Rayon::hold(count)));
        }
        // From outside, in the global pool.
        Rayon::hold(count);
    }

    #[test]
    fn others_take_part() {
        let met = AtomicUsize::new(0);
        pool(3).install(|| {
            Rayon::hold(|threads| {
                // Each waits for all: so each is on a thread of its own.
                threads.run(3, &|_| {
                    met.fetch_add(1, Ordering::Relaxed);
                    while met.load(Ordering::Relaxed) < 3 {
                        std::thread::yield_now();
                    }
                });
            });
        });
    }

    #[test]
    fn a_pool_that_is_busy_is_not_waited_for() {
        let (pool, done) = (pool(2), AtomicUsize::new(0));
        pool.in_place_scope(|scope| {
            scope.spawn(|_| {
                while done.load(Ordering::Relaxed) == 0 {
                    std::thread::yield_now();
                }
            });
            scope.spawn(|_| {
                Rayon::hold(count);
                done.store(1, Ordering::Relaxed);
            });
        });
    }

    #[test]
    fn calls_within_tasks_and_at_once() {
        pool(3).install(|| {
            Rayon::hold(|threads| {
                threads.run(3, &|_| count(threads));
                std::thread::scope(|scope| (0..3).for_each(|_| drop(scope.spawn(|| count(threads)))));
                // The pool as such is of use, too.
                rayon::join(|| count(threads), || count(threads));
                count(&Rayon);
            });
        });
    }

    #[test]
    fn panics_pass() {
        let message = |f: &(dyn Fn() + Sync)| {
            let panic = catch_unwind(AssertUnwindSafe(f)).expect_err("a panic");
            panic.downcast::<&str>().map(|text| *text).ok()
        };
        pool(2).install(|| {
            let caller = || Rayon::hold(|_| panic!("caller"));
            assert_eq!(message(&caller), Some("caller"));
            Rayon::hold(|threads| {
                for bad in 0..4 {
                    let ran = Mutex::new(Vec::new());
                    let task = || {
                        threads.run(4, &|i| {
                            assert!(i != bad, "task");
                            ran.lock().expect("no panic holds it").push(i);
                        });
                    };
                    assert_eq!(message(&task), Some("task"));
                    // Other lanes were run.
                    let ran = ran.into_inner().expect("no panic held it");
                    assert!((0..4).all(|i| ran.contains(&i) || i % 2 == bad % 2), "{ran:?}");
                }
                count(threads);
            });
        });
    }
}
