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
