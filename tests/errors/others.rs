//! Pools, additions, shuffles and layouts in f32; the reference.

use super::*;

/// On an image of one pixel: an output, of more taps than can be counted.
const TALL_AND_WIDE: Window =
    Window { kernel: [1 << 40; 2], stride: [1 << 40; 2], dilation: [1, 1], padding: Padding::all((1 << 40) - 1) };

#[test]
fn pools() {
    let window = Window::new([2, 2]);
    let both = |window| [Pool2d::max_on(kernels(), window), Pool2d::average_on(kernels(), window, true)];
    for pool in both(Window { stride: [0, 1], ..window }) {
        fails(pool, zero("vertical stride"), "vertical stride");
    }
    for pool in both(Window::new([2, 0])) {
        fails(pool, zero("kernel width"), "kernel width");
    }
    // An output that saw only padding would have no value.
    for padding in [[2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0], [0, 0, 0, 2]] {
        let [top, left, bottom, right] = padding;
        let padded = Window { padding: Padding::Explicit { top, left, bottom, right }, ..window };
        for pool in both(padded) {
            fails(pool, Error::Padding { padding, kernel: [2, 2] }, "padding");
        }
    }
    // Of a dilated window too it is the kernel that counts.
    let dilated = Window { dilation: [2, 2], padding: Padding::all(3), ..Window::new([3, 3]) };
    for pool in both(dilated) {
        let error = pool.expect_err("an error");
        assert!(error.to_string().ends_with("is not below the kernel of 3x3"), "{error}");
    }
    for pool in both(TALL_AND_WIDE) {
        fails(pool, Error::Overflow { argument: "kernel" }, "kernel");
    }
    let mut buffers = Buffers::new();
    let input = Buffers::new();
    for pool in both(window) {
        let pool = pool.expect("valid");
        let x = input.x([1, 4, 4, 3]);
        let y = [1, 3, 3, 3];
        for wrong in [[1, 3, 3, 2], [1, 4, 3, 3], [1, 3, 2, 3], [2, 3, 3, 3]] {
            fails(pool.run(x, buffers.y(wrong), &Serial), shape("y", y, wrong), "y");
        }
        let none = Error::NoOutput { image: [1, 4], window: [2, 2], padding: [0; 4] };
        fails(pool.run(input.x([1, 1, 4, 3]), buffers.y(y), &Serial), none, "image");
    }
    for pool in both(Window { padding: Padding::Same, ..window }) {
        let (x, y) = buffers.aliased([1, 4, 4, 3], 3, 5);
        fails(pool.expect("valid").run(x, y, &Serial), Error::Overlap { argument: "x" }, "x");
    }
    let global = Pool2d::global_average_on(kernels());
    let x = input.x([2, 4, 4, 3]);
    let wrong = [2, 2, 1, 3];
    fails(global.run(x, buffers.y(wrong), &Serial), shape("y", [2, 1, 1, 3], wrong), "y");
    let (x, y) = buffers.aliased([2, 1, 1, 3], 3, 0);
    fails(global.run(x, y, &Serial), Error::Overlap { argument: "x" }, "x");
    buffers.end();
}

#[test]
fn addition() {
    let add = Add::f32_on(kernels(), Activation::None).expect("valid");
    let mut buffers = Buffers::new();
    let input = Buffers::new();
    let at = [1, 4, 4, 3];
    for wrong in [[1, 4, 4, 2], [1, 4, 3, 3], [1, 3, 4, 3], [2, 4, 4, 3]] {
        fails(add.run(input.x(at), input.x(wrong), buffers.y(at), &Serial), shape("b", at, wrong), "b");
        fails(add.run(input.x(at), input.x(at), buffers.y(wrong), &Serial), shape("y", at, wrong), "y");
    }
    for apart in [0, 1, 4 * 4 * 3 - 1] {
        let (x, y) = buffers.aliased(at, 3, apart);
        fails(add.run(x, input.x(at), y, &Serial), Error::Overlap { argument: "a" }, "a");
        let (x, y) = buffers.aliased(at, 3, apart);
        fails(add.run(input.x(at), x, y, &Serial), Error::Overlap { argument: "b" }, "b");
    }
    buffers.end();
}

#[test]
fn shuffles() {
    fails(ChannelShuffle::new_on(kernels(), 0), zero("groups"), "groups");
    let shuffle = ChannelShuffle::new_on(kernels(), 3).expect("valid");
    let mut buffers = Buffers::new();
    let input = Buffers::new();
    let at = [1, 2, 2, 6];
    let groups = |channels| Error::Groups { argument: "channels", channels, groups: 3 };
    fails(shuffle.run(input.x([1, 2, 2, 7]), buffers.y([1, 2, 2, 7]), &Serial), groups(7), "channels");
    for wrong in [[1, 2, 2, 3], [1, 2, 1, 6], [2, 2, 2, 6]] {
        fails(shuffle.run(input.x(at), buffers.y(wrong), &Serial), shape("y", at, wrong), "y");
    }
    let (x, y) = buffers.aliased(at, 6, 6);
    fails(shuffle.run(x, y, &Serial), Error::Overlap { argument: "x" }, "x");

    let mut nchw = |x: usize, y: usize, shape| shuffle.run_nchw(&input.x[..x], &mut buffers.y[..y], shape, &Serial);
    fails(nchw(24, 24, [1, 4, 2, 3]), groups(4), "channels");
    fails(nchw(23, 24, [1, 6, 2, 2]), length("x", 24, 23), "x");
    fails(nchw(24, 25, [1, 6, 2, 2]), length("y", 24, 25), "y");
    for (i, argument) in ["batch", "channels", "height", "width"].into_iter().enumerate() {
        let mut shape = [1, 6, 2, 2];
        shape[i] = 0;
        fails(nchw(24, 24, shape), zero(argument), argument);
    }
    fails(nchw(24, 24, [HUGE, 6, 2, 2]), Error::Overflow { argument: "x" }, "x");
    buffers.end();
}

#[test]
fn layouts() {
    let mut buffers = Buffers::new();
    let input = Buffers::new();
    let at = [1, 2, 3, 4];
    for len in [0, 23, 25] {
        let result = nchw_to_nhwc(kernels(), &input.x[..len], buffers.y(at), &Serial);
        fails(result, length("x", 24, len), "x");
        let result = nhwc_to_nchw(kernels(), input.x(at), &mut buffers.y[..len], &Serial);
        fails(result, length("y", 24, len), "y");
    }
    let from = buffers.y.as_mut_ptr();
    // SAFETY: inside `y`; that it is borrowed twice must be refused, and then nothing is accessed.
    let alias = unsafe { std::slice::from_raw_parts(from.add(23), 24) };
    let result = nchw_to_nhwc(kernels(), alias, buffers.y(at), &Serial);
    fails(result, Error::Overlap { argument: "x" }, "x");
    // SAFETY: as above.
    let alias = unsafe { std::slice::from_raw_parts_mut(from, 24) };
    // SAFETY: as above.
    let x = unsafe { std::slice::from_raw_parts(from.add(23), 24) };
    let result = nhwc_to_nchw(kernels(), Image::nhwc(x, 1, 2, 3, 4).expect("dense"), alias, &Serial);
    fails(result, Error::Overlap { argument: "x" }, "x");
    buffers.end();
}

/// The reference refuses what the operators refuse.
#[test]
fn the_reference() {
    let mut buffers = Buffers::new();
    let input = Buffers::new();
    let geometry = ConvGeometry::new(4, 6, [1, 1]);
    let mut conv = |x: [usize; 4], y: [usize; 4], weights: usize, activation| {
        let weights = Weights::oihw(&input.x[..weights]);
        reference::conv2d(input.x(x), None, buffers.y(y), &geometry, weights, None, activation)
    };
    fails(conv([1, 2, 2, 5], [1, 2, 2, 6], 24, Activation::None), shape("x", [1, 2, 2, 4], [1, 2, 2, 5]), "x");
    fails(conv([1, 2, 2, 4], [1, 2, 2, 5], 24, Activation::None), shape("y", [1, 2, 2, 6], [1, 2, 2, 5]), "y");
    fails(conv([1, 2, 2, 4], [1, 2, 2, 6], 25, Activation::None), length("weights", 24, 25), "weights");
    let (min, max) = (1.0, 0.0);
    fails(
        conv([1, 2, 2, 4], [1, 2, 2, 6], 24, Activation::Clamp { min, max }),
        Error::Clamp { min, max },
        "activation",
    );
    let y = &mut buffers.y[..15];
    let (x, weights) = (&input.x[..21], &input.x[..34]);
    let result = reference::fully_connected(x, 3, y, 7, 5, weights, None, Activation::None);
    fails(result, length("weights", 35, 34), "weights");
    let (x, y) = buffers.aliased([1, 4, 4, 3], 3, 1);
    fails(reference::max_pool(x, y, &Window::new([1, 1])), Error::Overlap { argument: "x" }, "x");
    for (window, argument) in [(Window::new([HUGE, 2]), "window"), (TALL_AND_WIDE, "kernel")] {
        let overflow = Error::Overflow { argument };
        let (x, y) = (input.x([1, 1, 1, 1]), buffers.y([1, 1, 1, 1]));
        fails(reference::avg_pool(x, y, &window, true), overflow.clone(), argument);
        fails(reference::max_pool(x, buffers.y([1, 1, 1, 1]), &window), overflow, argument);
    }
    fails(reference::nchw_to_nhwc(&input.x[..23], buffers.y([1, 2, 3, 4])), length("x", 24, 23), "x");
    buffers.end();
}
