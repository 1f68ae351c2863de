//! `run` allocates nothing: workspaces and packed weights are made before.
#![cfg(feature = "operators")]

mod common;

use common::levels;
use kolibri::{
    Activate, Activation, Add, Chain, ChannelShuffle, Concat, Conv2d, ConvGeometry, FullyConnected, Fusion, Image,
    ImageMut, Lookup, Padding, Pool2d, QuantParams, Quantization, Requantization, Serial, SqueezeExcite,
    SqueezeExciteQuantization, SqueezeExciteWeights, Weights, Window, Workspace, nchw_to_nhwc, nhwc_to_nchw,
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

/// Of 24 channels, by way of 6.
fn excite_weights<W, B>(weights: &[W]) -> SqueezeExciteWeights<'_, W, B> {
    let (w_reduce, w_expand) = (weights, weights);
    SqueezeExciteWeights { c: 24, reduced: 6, w_reduce, b_reduce: None, w_expand, b_expand: None }
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
            let mut workspace = Workspace::new(conv.workspace_len([2, 9, 9], 1).expect("valid")).expect("memory");
            allocates_nothing("convolution", || {
                let x = Image::nhwc(&x, 2, 9, 9, 24).expect("dense");
                let residual = Image::nhwc(&residual, 2, oh, ow, geometry.cout).expect("dense");
                let y = &mut y[..2 * oh * ow * geometry.cout];
                let y = ImageMut::nhwc(y, 2, oh, ow, geometry.cout).expect("dense");
                conv.run(x, Some(residual), y, &mut workspace, &Serial).expect("valid");
            });
        }
        for fusion in [Fusion::Never, Fusion::Strips(2)] {
            let conv = |geometry: &ConvGeometry| {
                let weights =
                    vec![0.25; geometry.cout * geometry.cin / geometry.groups * geometry.window.kernel[0].pow(2)];
                Conv2d::f32_on(kernels, geometry, Weights::oihw(&weights), None, Activation::Relu).expect("valid")
            };
            let filter = ConvGeometry::new(96, 96, [3, 3]).groups(96).padding(Padding::Same);
            let geometries = [same(1, 96, 1), filter, ConvGeometry::new(96, 24, [1, 1])];
            let chain = Chain::with_fusion(geometries.iter().map(conv).collect(), fusion).expect("they fit");
            let mut workspace = Workspace::new(chain.workspace_len([2, 9, 9], 1).expect("valid")).expect("memory");
            allocates_nothing("chain", || {
                let x = Image::nhwc(&x, 2, 9, 9, 24).expect("dense");
                let y = ImageMut::nhwc(&mut y[..2 * 9 * 9 * 24], 2, 9, 9, 24).expect("dense");
                chain.run(x, Some(x), y, &mut workspace, &Serial).expect("valid");
            });
        }
        for batch in [1, 9] {
            let weights = vec![0.25; 24 * 100];
            let layer = FullyConnected::f32_on(kernels, 24, 100, &weights, None, Activation::Relu).expect("valid");
            let mut workspace = Workspace::new(layer.workspace_len(batch, 1).expect("valid")).expect("memory");
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
        let activate = Activate::f32_on(kernels, Activation::Sigmoid).expect("valid");
        allocates_nothing("activate", || {
            activate.run(image, ImageMut::nhwc(y, 2, 9, 9, 24).expect("dense"), &Serial).expect("valid");
            activate.run_in_place(ImageMut::nhwc(y, 2, 9, 9, 24).expect("dense"), &Serial).expect("valid");
        });
        let weights = [0.25; 24 * 6];
        let layer = SqueezeExcite::f32_on(kernels, &excite_weights(&weights)).expect("valid");
        let mut workspace = Workspace::new(layer.workspace_len([2, 9, 9], 1).expect("valid")).expect("memory");
        allocates_nothing("squeeze-excite", || {
            let y = ImageMut::nhwc(y, 2, 9, 9, 24).expect("dense");
            layer.run(image, y, &mut workspace, &Serial).expect("valid");
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

#[test]
fn run_on_bytes_allocates_nothing() {
    let x = vec![7u8; 2 * 9 * 9 * 24];
    let mut y = vec![0u8; x.len() * 4];
    let params = QuantParams::new(0.5, 100);
    for kernels in levels() {
        let same =
            |kernel, cout, groups| ConvGeometry::new(24, cout, [kernel; 2]).groups(groups).padding(Padding::Same);
        // As for f32, and as many ways to a byte: a kernel's own, of sums, with a residual, in fixed point.
        let geometries =
            [same(1, 40, 1), same(3, 24, 24), same(4, 24, 24), same(3, 7, 1), same(3, 24, 4), same(3, 48, 24)];
        let float = Requantization::FloatScale;
        let ways = [
            (0.01, false, float),
            (1e6, false, float),
            (0.01, true, float),
            (0.01, false, Requantization::TfliteDouble),
        ];
        for (geometry, (scale, has_residual, mode)) in geometries.iter().flat_map(|g| ways.map(|way| (g, way))) {
            let weights =
                vec![3; geometry.cout * 24 / geometry.groups * geometry.window.kernel.iter().product::<usize>()];
            // Only where none is announced, depthwise uses the kernels of its shape.
            let residual = has_residual.then_some(params);
            let quantization = Quantization { x: params, weight_scales: &[scale], y: params, residual, mode };
            let residual = vec![1; 2 * 9 * 9 * geometry.cout];
            let weights = Weights::oihw(&weights);
            let conv = Conv2d::<u8>::quantized_on(kernels, geometry, weights, None, &quantization, Activation::Relu6);
            let conv = conv.expect("valid");
            let mut workspace = Workspace::new(conv.workspace_len([2, 9, 9], 1).expect("valid")).expect("memory");
            allocates_nothing("convolution of bytes", || {
                let x = Image::nhwc(&x, 2, 9, 9, 24).expect("dense");
                let residual = Image::nhwc(&residual, 2, 9, 9, geometry.cout).expect("dense");
                let y = &mut y[..2 * 9 * 9 * geometry.cout];
                let y = ImageMut::nhwc(y, 2, 9, 9, geometry.cout).expect("dense");
                conv.run(x, has_residual.then_some(residual), y, &mut workspace, &Serial).expect("valid");
            });
        }
        let quantization = Quantization { x: params, weight_scales: &[0.01], y: params, residual: None, mode: float };
        let weights = vec![3; 24 * 100];
        let layer =
            FullyConnected::<u8>::quantized_on(kernels, 24, 100, &weights, None, &quantization, Activation::None);
        let layer = layer.expect("valid");
        let mut workspace = Workspace::new(layer.workspace_len(9, 1).expect("valid")).expect("memory");
        allocates_nothing("fully connected of bytes", || {
            layer.run(&x[..9 * 24], 9, &mut y[..9 * 100], &mut workspace, &Serial).expect("valid");
        });

        let (image, y) = (Image::nhwc(&x, 2, 9, 9, 24).expect("dense"), &mut y[..x.len()]);
        let window = Window { padding: Padding::Same, ..Window::new([3, 3]) };
        let average = Pool2d::<u8>::quantized_average_on(kernels, window);
        for pool in [average, Pool2d::quantized_max_on(kernels, window)] {
            let pool = pool.expect("valid");
            allocates_nothing("pool of bytes", || {
                pool.run(image, ImageMut::nhwc(y, 2, 9, 9, 24).expect("dense"), &Serial).expect("valid");
            });
        }
        let pool = Pool2d::<u8>::global_average_quantized_on(kernels, params, params).expect("valid");
        allocates_nothing("global average of bytes", || {
            pool.run(image, ImageMut::nhwc(&mut y[..48], 2, 1, 1, 24).expect("dense"), &Serial).expect("valid");
        });
        let add = Add::<u8>::quantized_on(kernels, params, params, params, Activation::Relu).expect("valid");
        allocates_nothing("add of bytes", || {
            add.run(image, image, ImageMut::nhwc(y, 2, 9, 9, 24).expect("dense"), &Serial).expect("valid");
        });
        let lookup = Lookup::<u8>::hard_swish_on(kernels, params, params).expect("valid");
        allocates_nothing("lookup", || {
            lookup.run(image, ImageMut::nhwc(y, 2, 9, 9, 24).expect("dense"), &Serial).expect("valid");
            lookup.run_in_place(ImageMut::nhwc(y, 2, 9, 9, 24).expect("dense"), &Serial).expect("valid");
        });
        let quantization = SqueezeExciteQuantization {
            x: params,
            average: params,
            reduce_scales: &[0.01],
            reduced: params,
            expand_scales: &[0.01],
            expanded: params,
            gate: QuantParams::new(1.0 / 256.0, 0),
            y: params,
            mode: float,
        };
        let weights = [3; 24 * 6];
        let layer =
            SqueezeExcite::<u8>::quantized_on(kernels, &excite_weights(&weights), &quantization).expect("valid");
        let mut workspace = Workspace::new(layer.workspace_len([2, 9, 9], 1).expect("valid")).expect("memory");
        allocates_nothing("squeeze-excite of bytes", || {
            let y = ImageMut::nhwc(y, 2, 9, 9, 24).expect("dense");
            layer.run(image, y, &mut workspace, &Serial).expect("valid");
        });
        let other = QuantParams::new(0.25, 0);
        let concat = Concat::<u8>::new_on(kernels, &[params, other], params).expect("valid");
        allocates_nothing("concat", || {
            let halves = [image.channels(0..8).expect("inside"), image.channels(8..24).expect("inside")];
            concat.run(&halves, ImageMut::nhwc(y, 2, 9, 9, 24).expect("dense"), &Serial).expect("valid");
        });
        let shuffle = ChannelShuffle::new_on(kernels, 3).expect("valid");
        allocates_nothing("permutations of bytes", || {
            shuffle.run(image, ImageMut::nhwc(y, 2, 9, 9, 24).expect("dense"), &Serial).expect("valid");
            shuffle.run_nchw(&x, y, [2, 24, 9, 9], &Serial).expect("valid");
            nchw_to_nhwc(kernels, &x, ImageMut::nhwc(y, 2, 9, 9, 24).expect("dense"), &Serial).expect("valid");
            nhwc_to_nchw(kernels, image, y, &Serial).expect("valid");
        });
    }
}
