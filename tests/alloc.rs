//! `run` allocates nothing: workspaces and packed weights are made before.

mod common;

use common::levels;
use kolibri::{
    Activation, Add, ChannelShuffle, Conv2d, ConvGeometry, FullyConnected, Image, ImageMut, Padding, Pool2d, Serial,
    Weights, Window, Workspace, nchw_to_nhwc, nhwc_to_nchw,
};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: the system's allocator, beside which a number is kept.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations that `f` makes on this thread.
fn allocations(f: impl FnOnce()) -> usize {
    let before = COUNT.get();
    f();
    COUNT.get() - before
}

#[track_caller]
fn allocates_nothing(what: &str, f: impl FnOnce()) {
    assert_eq!(allocations(f), 0, "{what}");
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![1u8; 100]))), 1);
}

#[test]
fn run_allocates_nothing() {
    let x = vec![0.5; 2 * 9 * 9 * 24];
    let mut y = vec![0.0; x.len() * 4];
    for kernels in levels() {
        let same =
            |kernel, cout, groups| ConvGeometry::new(24, cout, [kernel; 2]).groups(groups).padding(Padding::Same);
        // Pointwise, depthwise with a kernel of its own and without, standard, grouped, a channel multiplier.
        let geometries = [
            same(1, 40, 1),
            same(3, 24, 24),
            same(5, 24, 24).stride([2, 2]),
            same(3, 24, 24).dilation([2, 2]),
            same(3, 7, 1),
            same(3, 24, 4),
            same(1, 12, 3),
            same(3, 48, 24),
        ];
        for geometry in &geometries {
            let weights =
                vec![0.25; geometry.cout * 24 / geometry.groups * geometry.window.kernel.iter().product::<usize>()];
            let [oh, ow] = geometry.output_size(9, 9).expect("an output");
            let residual = vec![1.0; 2 * oh * ow * geometry.cout];
            let conv = Conv2d::f32_on(kernels, geometry, Weights::oihw(&weights), None, Activation::HardSwish);
            let conv = conv.expect("valid");
            let mut workspace = Workspace::new(conv.workspace_len([2, 9, 9], 1).expect("valid"));
            allocates_nothing("convolution", || {
                let x = Image::nhwc(&x, 2, 9, 9, 24).expect("dense");
                let residual = Image::nhwc(&residual, 2, oh, ow, geometry.cout).expect("dense");
                let y = &mut y[..2 * oh * ow * geometry.cout];
                let y = ImageMut::nhwc(y, 2, oh, ow, geometry.cout).expect("dense");
                conv.run(x, Some(residual), y, &mut workspace, &Serial).expect("valid");
            });
        }
        for batch in [1, 9] {
            let weights = vec![0.25; 24 * 100];
            let layer = FullyConnected::f32_on(kernels, 24, 100, &weights, None, Activation::Relu).expect("valid");
            let mut workspace = Workspace::new(layer.workspace_len(batch, 1).expect("valid"));
            allocates_nothing("fully connected", || {
                let (x, y) = (&x[..batch * 24], &mut y[..batch * 100]);
                layer.run(x, batch, y, &mut workspace, &Serial).expect("valid");
            });
        }
        let image = Image::nhwc(&x, 2, 9, 9, 24).expect("dense");
        let y = &mut y[..x.len()];
        let window = Window { padding: Padding::Same, ..Window::new([3, 3]) };
        for pool in [Pool2d::average_on(kernels, window, true), Pool2d::max_on(kernels, window)] {
            let pool = pool.expect("valid");
            allocates_nothing("pool", || {
                pool.run(image, ImageMut::nhwc(y, 2, 9, 9, 24).expect("dense"), &Serial).expect("valid");
            });
        }
        let pool = Pool2d::global_average_on(kernels);
        allocates_nothing("global average", || {
            pool.run(image, ImageMut::nhwc(&mut y[..48], 2, 1, 1, 24).expect("dense"), &Serial).expect("valid");
        });
        let add = Add::f32_on(kernels, Activation::Relu).expect("valid");
        allocates_nothing("add", || {
            add.run(image, image, ImageMut::nhwc(y, 2, 9, 9, 24).expect("dense"), &Serial).expect("valid");
        });
        let shuffle = ChannelShuffle::new_on(kernels, 3).expect("valid");
        allocates_nothing("shuffle", || {
            shuffle.run(image, ImageMut::nhwc(y, 2, 9, 9, 24).expect("dense"), &Serial).expect("valid");
            shuffle.run_nchw(&x, y, [2, 24, 9, 9], &Serial).expect("valid");
        });
        allocates_nothing("layouts", || {
            nchw_to_nhwc(kernels, &x, ImageMut::nhwc(y, 2, 9, 9, 24).expect("dense"), &Serial).expect("valid");
            nhwc_to_nchw(kernels, image, y, &Serial).expect("valid");
        });
    }
}
