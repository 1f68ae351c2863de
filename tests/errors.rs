//! Every bad argument gives the error that its documentation states, says which argument it was, and nothing is written.

mod common;

use common::CANARY;
use kolibri::{
    Activation, Add, ChannelShuffle, Conv2d, ConvGeometry, Error, FullyConnected, Image, ImageMut, Level, Padding,
    Pool2d, Serial, Weights, Window, Workspace, kernels::Kernels, nchw_to_nhwc, nhwc_to_nchw, reference,
};

const HUGE: usize = usize::MAX;
/// Values of a buffer.
const SIZE: usize = 8192;

/// `result` is `expected`, whose text begins with the argument's name.
#[track_caller]
fn fails<T>(result: Result<T, Error>, expected: Error, argument: &str) {
    let error = result.err().expect("an error");
    assert_eq!(error, expected);
    let text = error.to_string();
    assert!(text.starts_with(&format!("{argument}: ")), "{text}");
}

fn zero(argument: &'static str) -> Error {
    Error::Zero { argument }
}

fn length(argument: &'static str, expected: usize, got: usize) -> Error {
    Error::Length { argument, expected, got }
}

fn shape(argument: &'static str, expected: [usize; 4], got: [usize; 4]) -> Error {
    Error::Shape { argument, expected, got }
}

fn kernels() -> &'static Kernels {
    Level::selected().expect("a level")
}

/// Ones, and an output whose values are kept: `end` says that none was written.
struct Buffers {
    x: Vec<f32>,
    y: Vec<f32>,
}

impl Buffers {
    fn new() -> Buffers {
        Buffers { x: vec![1.0; SIZE], y: vec![CANARY; SIZE] }
    }

    fn x(&self, [n, h, w, c]: [usize; 4]) -> Image<'_> {
        Image::nhwc(&self.x[..n * h * w * c], n, h, w, c).expect("dense")
    }

    fn y(&mut self, [n, h, w, c]: [usize; 4]) -> ImageMut<'_> {
        ImageMut::nhwc(&mut self.y[..n * h * w * c], n, h, w, c).expect("dense")
    }

    /// An input and an output of one shape in the same memory, `apart` values from one another.
    fn aliased(&mut self, shape: [usize; 4], stride: usize, apart: usize) -> (Image<'_>, ImageMut<'_>) {
        let [n, h, w, c] = shape;
        let len = (n * h * w - 1) * stride + c;
        assert!(len + apart <= self.y.len());
        let at = self.y.as_mut_ptr();
        // SAFETY: both lie inside `y`. They alias, which operators must refuse: then no element is accessed through
        // either. Where they may not refuse, the elements of the two images are apart.
        let (x, y) =
            unsafe { (std::slice::from_raw_parts(at, len), std::slice::from_raw_parts_mut(at.add(apart), len)) };
        let image = Image::strided(x, n, h, w, c, stride).expect("inside");
        (image, ImageMut::strided(y, n, h, w, c, stride).expect("inside"))
    }

    #[track_caller]
    fn end(self) {
        assert!(self.y.iter().all(|&y| y == CANARY), "written in spite of the error");
    }
}

#[test]
fn images() {
    let data = [0.0; 24];
    fails(Image::nhwc(&data, 1, 2, 3, 5), length("data", 30, 24), "data");
    fails(Image::nhwc(&data, 1, 2, 3, 3), length("data", 18, 24), "data");
    let argument = ["batch", "height", "width", "channels"];
    for (i, argument) in argument.into_iter().enumerate() {
        let mut shape = [1, 2, 3, 4];
        shape[i] = 0;
        let [n, h, w, c] = shape;
        fails(Image::nhwc(&data, n, h, w, c), zero(argument), argument);
        fails(ImageMut::nhwc(&mut [0.0; 24], n, h, w, c), zero(argument), argument);
    }
    for [n, h, w, c] in [[HUGE, 1, 1, 1], [HUGE, HUGE, 1, 1], [1, 1 << 32, 1 << 32, 1], [2, 1, 1, HUGE / 2 + 1]] {
        fails(Image::nhwc(&data, n, h, w, c), Error::Overflow { argument: "image" }, "image");
        fails(ImageMut::nhwc(&mut [0.0; 24], n, h, w, c), Error::Overflow { argument: "image" }, "image");
    }
    fails(Image::strided(&data, 1, 1, 2, 3, HUGE), Error::Overflow { argument: "image" }, "image");

    // Six pixels of 3 channels, 4 apart: 23 values are needed, 24 are all.
    let stride = Error::PixelStride { pixel_stride: 2, channels: 3 };
    fails(Image::strided(&data, 1, 2, 3, 3, 2), stride.clone(), "pixel_stride");
    fails(ImageMut::strided(&mut [0.0; 24], 1, 2, 3, 3, 2), stride, "pixel_stride");
    for (len, fits) in [(22, false), (23, true), (24, true), (25, false)] {
        let mut data = vec![0.0; len];
        assert_eq!(Image::strided(&data, 1, 2, 3, 3, 4).is_ok(), fits, "{len}");
        assert_eq!(ImageMut::strided(&mut data, 1, 2, 3, 3, 4).is_ok(), fits, "{len}");
    }
    fails(Image::strided(&data[..22], 1, 2, 3, 3, 4), length("data", 23, 22), "data");

    let image = Image::nhwc(&data, 1, 2, 3, 4).expect("dense");
    #[allow(clippy::reversed_empty_ranges)]
    let ranges = [0..0, 2..2, 3..2, 0..5, 4..5, 4..4, HUGE..HUGE, 1..HUGE];
    for range in ranges {
        let error = Error::Channels { start: range.start, end: range.end, channels: 4 };
        fails(image.channels(range.clone()), error.clone(), "channels");
        let mut data = data;
        fails(ImageMut::nhwc(&mut data, 1, 2, 3, 4).expect("dense").channels(range), error, "channels");
    }
    let part = image.channels(1..3).expect("inside");
    assert_eq!((part.shape(), part.pixel_stride()), ([1, 2, 3, 2], 4));
    fails(part.channels(1..3), Error::Channels { start: 1, end: 3, channels: 2 }, "channels");
    for [n, y, x, c] in [[1, 0, 0, 0], [0, 2, 0, 0], [0, 0, 3, 0], [0, 0, 0, 2], [HUGE, HUGE, HUGE, HUGE]] {
        assert_eq!(part.get(n, y, x, c), None);
    }
}

#[test]
fn windows() {
    let window = Window::new([3, 3]);
    for (window, argument) in [
        (Window::new([0, 3]), "kernel height"),
        (Window::new([3, 0]), "kernel width"),
        (Window { stride: [0, 1], ..window }, "vertical stride"),
        (Window { stride: [1, 0], ..window }, "horizontal stride"),
        (Window { dilation: [0, 1], ..window }, "vertical dilation"),
        (Window { dilation: [1, 0], ..window }, "horizontal dilation"),
    ] {
        fails(window.output_size(8, 8), zero(argument), argument);
    }
    fails(window.output_size(0, 8), zero("height"), "height");
    fails(window.output_size(8, 0), zero("width"), "width");
    let no_output = |image, window, padding| Error::NoOutput { image, window, padding };
    fails(window.output_size(2, 8), no_output([2, 8], [3, 3], [0; 4]), "image");
    fails(window.output_size(8, 2), no_output([8, 2], [3, 3], [0; 4]), "image");
    let dilated = Window { dilation: [2, 3], padding: Padding::all(1), ..window };
    fails(dilated.output_size(2, 8), no_output([2, 8], [5, 7], [1; 4]), "image");
    assert_eq!(dilated.output_size(3, 5), Ok([1, 1]));
    let overflow = |argument| Error::Overflow { argument };
    let large = Window { dilation: [HUGE, 1], ..window };
    fails(large.output_size(8, 8), overflow("window"), "window");
    let large = Window { padding: Padding::all(HUGE / 2), ..window };
    fails(large.output_size(8, 8), overflow("padding"), "padding");
    let large = Window { padding: Padding::all(HUGE / 4), ..window };
    fails(large.output_size(8, 8), overflow("padded image"), "padded image");
}

#[test]
fn convolutions_at_creation() {
    let data = vec![1.0; SIZE];
    let new = |geometry: ConvGeometry, weights: usize, bias: Option<usize>| {
        let (weights, bias) = (Weights::oihw(&data[..weights]), bias.map(|bias| &data[..bias]));
        Conv2d::f32_on(kernels(), &geometry, weights, bias, Activation::None)
    };
    let geometry = ConvGeometry::new(4, 6, [3, 3]);
    assert!(new(geometry, 216, Some(6)).is_ok());
    fails(new(ConvGeometry::new(0, 6, [3, 3]), 0, None), zero("cin"), "cin");
    fails(new(ConvGeometry::new(4, 0, [3, 3]), 0, None), zero("cout"), "cout");
    fails(new(geometry.groups(0), 216, None), zero("groups"), "groups");
    fails(new(geometry.stride([1, 0]), 216, None), zero("horizontal stride"), "horizontal stride");
    let groups = |argument, channels, groups| Error::Groups { argument, channels, groups };
    fails(new(geometry.groups(3), 216, None), groups("cin", 4, 3), "cin");
    fails(new(geometry.groups(4), 216, None), groups("cout", 6, 4), "cout");
    fails(new(geometry, 215, None), length("weights", 216, 215), "weights");
    fails(new(geometry.groups(2), 216, None), length("weights", 108, 216), "weights");
    fails(new(geometry, 216, Some(5)), length("bias", 6, 5), "bias");
    fails(new(geometry, 216, Some(7)), length("bias", 6, 7), "bias");
    fails(new(ConvGeometry::new(HUGE, 2, [1, 1]), 0, None), Error::Overflow { argument: "weights" }, "weights");
    let large = ConvGeometry::new(1, 1, [HUGE, 1]);
    fails(new(large, 0, None), Error::Overflow { argument: "window" }, "window");

    let hwc = |geometry: ConvGeometry, len: usize| {
        Conv2d::f32_on(kernels(), &geometry, Weights::hwc(&data[..len]), None, Activation::None)
    };
    assert!(hwc(ConvGeometry::new(4, 8, [3, 3]).groups(4), 72).is_ok());
    fails(hwc(geometry, 216), Error::WeightLayout { layout: "hwc" }, "weights");
    fails(hwc(geometry.groups(2), 108), Error::WeightLayout { layout: "hwc" }, "weights");
}

#[test]
fn clamps() {
    let weights = [1.0];
    for (min, max) in [(1.0, 0.0), (f32::NAN, 1.0), (0.0, f32::NAN), (f32::INFINITY, f32::NEG_INFINITY)] {
        let activation = Activation::Clamp { min, max };
        let geometry = ConvGeometry::new(1, 1, [1, 1]);
        let conv = Conv2d::f32_on(kernels(), &geometry, Weights::oihw(&weights), None, activation).err();
        let fully_connected = FullyConnected::f32_on(kernels(), 1, 1, &weights, None, activation).err();
        for error in [conv, fully_connected, Add::f32_on(kernels(), activation).err()] {
            let error = error.expect("an error");
            assert!(matches!(error, Error::Clamp { .. }), "{error:?}");
            assert!(error.to_string().starts_with("activation: ") && error.to_string().contains(&format!("{min}")));
        }
    }
    assert!(Add::f32_on(kernels(), Activation::Clamp { min: 1.0, max: 1.0 }).is_ok());
}

#[test]
fn convolutions_at_run() {
    let geometries = [
        (ConvGeometry::new(4, 6, [1, 1]), 24),
        (ConvGeometry::new(4, 6, [3, 3]).padding(Padding::all(1)), 216),
        (ConvGeometry::new(6, 6, [3, 3]).padding(Padding::all(1)).groups(6), 54),
        (ConvGeometry::new(6, 6, [3, 5]).padding(Padding::Same).groups(6), 90),
        (ConvGeometry::new(4, 6, [3, 3]).padding(Padding::Same).groups(2), 108),
    ];
    for (geometry, len) in geometries {
        let weights = vec![1.0; len];
        let conv =
            Conv2d::f32_on(kernels(), &geometry, Weights::oihw(&weights), None, Activation::None).expect("valid");
        let mut buffers = Buffers::new();
        let bytes = conv.workspace_len([1, 5, 5], 1).expect("an output");
        let mut workspace = Workspace::new(bytes);
        let cin = geometry.cin;
        let (at_x, at_y) = ([1, 5, 5, cin], [1, 5, 5, 6]);
        let input = Buffers::new();
        let image = |shape| input.x(shape);

        let mut run = |x: [usize; 4], residual: Option<[usize; 4]>, y: [usize; 4]| {
            conv.run(image(x), residual.map(image), buffers.y(y), &mut workspace, &Serial)
        };
        fails(run([1, 5, 5, cin + 1], None, at_y), shape("x", at_x, [1, 5, 5, cin + 1]), "x");
        fails(run(at_x, None, [1, 5, 5, 7]), shape("y", at_y, [1, 5, 5, 7]), "y");
        fails(run(at_x, None, [1, 4, 5, 6]), shape("y", at_y, [1, 4, 5, 6]), "y");
        fails(run(at_x, None, [2, 5, 5, 6]), shape("y", at_y, [2, 5, 5, 6]), "y");
        for residual in [[1, 5, 5, 5], [1, 5, 4, 6], [2, 5, 5, 6], [1, 6, 5, 6]] {
            fails(run(at_x, Some(residual), at_y), shape("residual", at_y, residual), "residual");
        }

        // One byte is a word here: whatever is below what was asked for must not do.
        if bytes > 0 {
            let mut small = Workspace::new((bytes - 1) / 8 * 8);
            let error = conv.run(image(at_x), None, buffers.y(at_y), &mut small, &Serial).expect_err("an error");
            let Error::Workspace { expected, got } = error else { panic!("{error:?}") };
            assert_eq!((expected.next_multiple_of(8), got), (bytes.next_multiple_of(8), small.len()));
            assert!(error.to_string().starts_with("workspace: "));
        }
        // A larger image than it was asked for.
        let larger = [2, 20, 20, cin];
        let needed = conv.workspace_len([2, 20, 20], 1).expect("an output");
        let mut exact = Workspace::new(bytes);
        let result = conv.run(image(larger), None, buffers.y([2, 20, 20, 6]), &mut exact, &Serial);
        if needed.next_multiple_of(8) > bytes.next_multiple_of(8) {
            assert!(matches!(result, Err(Error::Workspace { .. })), "{result:?}");
        } else {
            result.expect("large enough");
            buffers.y.fill(CANARY);
        }

        // The last value of the input is the first of the output, and the reverse, and a value between.
        let mut workspace = Workspace::new(bytes);
        for apart in [0, 1, 25 * 6 - 1] {
            let (residual, y) = buffers.aliased(at_y, 6, apart);
            let result = conv.run(image(at_x), Some(residual), y, &mut workspace, &Serial);
            fails(result, Error::Overlap { argument: "residual" }, "residual");
            if cin == 6 {
                let (x, y) = buffers.aliased(at_y, 6, apart);
                let result = conv.run(x, None, y, &mut workspace, &Serial);
                fails(result, Error::Overlap { argument: "x" }, "x");
            }
        }
        buffers.end();
    }

    let geometry = ConvGeometry::new(1, 1, [3, 3]);
    let conv = Conv2d::f32_on(kernels(), &geometry, Weights::oihw(&[1.0; 9]), None, Activation::None).expect("valid");
    let none = Error::NoOutput { image: [2, 4], window: [3, 3], padding: [0; 4] };
    fails(conv.workspace_len([1, 2, 4], 1), none.clone(), "image");
    let mut buffers = Buffers::new();
    let x = Buffers::new();
    let mut workspace = Workspace::new(1 << 16);
    fails(conv.run(x.x([1, 2, 4, 1]), None, buffers.y([1, 1, 2, 1]), &mut workspace, &Serial), none, "image");
    buffers.end();
    assert!(matches!(conv.workspace_len([1, HUGE, 4], 1), Err(Error::Overflow { .. })));
    assert!(matches!(conv.workspace_len([1, HUGE / 2, HUGE / 2], HUGE), Err(Error::Overflow { .. })));
}

/// Channels of one buffer: only where they interleave are input and output apart.
#[test]
fn views_of_one_buffer() {
    let geometry = ConvGeometry::new(4, 4, [1, 1]);
    let identity: Vec<f32> = (0..16).map(|i| if i % 5 == 0 { 1.0 } else { 0.0 }).collect();
    let conv = Conv2d::f32_on(kernels(), &geometry, Weights::oihw(&identity), None, Activation::None).expect("valid");
    let mut workspace = Workspace::new(conv.workspace_len([1, 3, 3], 1).expect("an output"));
    let (shape, stride) = ([1, 3, 3, 4], 10);
    for apart in [0, 1, 3, 7, 9, 10, 11, 13, 17, 23] {
        let mut buffers = Buffers::new();
        let (x, y) = buffers.aliased(shape, stride, apart);
        let result = conv.run(x, None, y, &mut workspace, &Serial);
        fails(result, Error::Overlap { argument: "x" }, "x");
        buffers.end();
    }
    for apart in [4, 5, 6, 14, 16] {
        let mut buffers = Buffers::new();
        buffers.y.iter_mut().enumerate().for_each(|(i, y)| *y = i as f32);
        let before = buffers.y.clone();
        let (x, y) = buffers.aliased(shape, stride, apart);
        conv.run(x, None, y, &mut workspace, &Serial).expect("apart");
        for (i, &y) in buffers.y.iter().enumerate() {
            let in_y = i >= apart && (i - apart) / stride < 9 && (i - apart) % stride < 4;
            assert_eq!(y, before[if in_y { i - apart } else { i }], "apart by {apart}, at {i}");
        }
    }
}

#[test]
fn fully_connected() {
    let data = vec![1.0; SIZE];
    let new = |cin, cout, weights: usize, bias: Option<usize>| {
        let bias = bias.map(|bias| &data[..bias]);
        FullyConnected::f32_on(kernels(), cin, cout, &data[..weights], bias, Activation::None)
    };
    fails(new(0, 5, 0, None), zero("cin"), "cin");
    fails(new(7, 0, 0, None), zero("cout"), "cout");
    fails(new(7, 5, 34, None), length("weights", 35, 34), "weights");
    fails(new(7, 5, 35, Some(6)), length("bias", 5, 6), "bias");
    fails(new(HUGE, HUGE, 35, None), Error::Overflow { argument: "weights" }, "weights");

    let layer = new(7, 5, 35, Some(5)).expect("valid");
    let mut buffers = Buffers::new();
    let bytes = layer.workspace_len(3, 1).expect("valid");
    let mut workspace = Workspace::new(bytes);
    let mut run =
        |x: usize, batch: usize, y: usize| layer.run(&data[..x], batch, &mut buffers.y[..y], &mut workspace, &Serial);
    fails(run(0, 0, 0), zero("batch"), "batch");
    fails(run(20, 3, 15), length("x", 21, 20), "x");
    fails(run(22, 3, 15), length("x", 21, 22), "x");
    fails(run(21, 3, 14), length("y", 15, 14), "y");
    fails(run(21, 3, 16), length("y", 15, 16), "y");
    fails(run(21, HUGE, 15), Error::Overflow { argument: "x" }, "x");
    if bytes > 0 {
        let result = layer.run(&data[..21], 3, &mut buffers.y[..15], &mut Workspace::default(), &Serial);
        assert!(matches!(result, Err(Error::Workspace { got: 0, .. })), "{result:?}");
    }
    buffers.end();
}

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
            fails(pool, Error::Padding { padding, window: [2, 2] }, "padding");
        }
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
    fails(reference::nchw_to_nhwc(&input.x[..23], buffers.y([1, 2, 3, 4])), length("x", 24, 23), "x");
    buffers.end();
}
