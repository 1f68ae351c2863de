//! Every bad argument gives the error that its documentation states, says which argument it was, and nothing is written.

mod common;

use common::CANARY;
use kolibri::{
    Activate, Activation, Add, Chain, ChannelShuffle, Concat, Conv2d, ConvGeometry, Error, FullyConnected, Fusion,
    Image, ImageMut, Level, Lookup, Padding, Pool2d, QuantParams, Quantization, Requantization, Serial, SqueezeExcite,
    SqueezeExciteQuantization, Weights, Window, Workspace, kernels::Kernels, nchw_to_nhwc, nhwc_to_nchw, reference,
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

/// `H W N K² M / G`, with `H` and `W` of the output.
#[test]
fn multiply_adds_and_parameters() {
    let same = |cin, cout, k| ConvGeometry::new(cin, cout, [k; 2]).padding(Padding::Same);
    for (geometry, [n, h, w], macs, parameters) in [
        (same(3, 32, 3).stride([2, 2]), [1, 224, 224], 112 * 112 * 3 * 9 * 32, 3 * 9 * 32 + 32), // standard
        (same(240, 240, 1).groups(3), [1, 28, 28], 28 * 28 * 240 * 240 / 3, 240 * 240 / 3 + 240), // grouped
        (same(32, 32, 3).groups(32), [1, 112, 112], 112 * 112 * 9 * 32, 9 * 32 + 32),            // depthwise
        (same(32, 16, 1), [1, 112, 112], 112 * 112 * 32 * 16, 32 * 16 + 16),                     // pointwise
        (same(4, 8, 3).groups(4), [2, 5, 7], 2 * 5 * 7 * 9 * 8, 9 * 8 + 8),                      // two of each channel
        (ConvGeometry::new(2, 6, [3, 5]).dilation([2, 1]), [1, 5, 5], 2 * 15 * 6, 2 * 15 * 6 + 6),
    ] {
        assert_eq!(geometry.macs([n, h, w]), Ok(macs), "{geometry:?}");
        assert_eq!(geometry.parameters(), Ok(parameters), "{geometry:?}");
        let weights = vec![1.0; geometry.weights().expect("valid")];
        let conv =
            Conv2d::f32_on(kernels(), &geometry, Weights::oihw(&weights), None, Activation::None).expect("valid");
        assert_eq!((conv.macs([n, h, w]), conv.parameters()), (Ok(macs), parameters));
        assert_eq!(conv.parameter_bytes(), 4 * parameters);
        assert!(conv.packed_bytes() >= conv.parameter_bytes(), "{geometry:?}: {}", conv.packed_bytes());

        let (weights, unit) = (vec![1; weights.len()], QuantParams::new(1.0, 0));
        let mode = Requantization::FloatScale;
        let quantization = Quantization { x: unit, weight_scales: &[1.0], y: unit, residual: None, mode };
        let weights = Weights::oihw(&weights);
        let conv = Conv2d::<u8>::quantized_on(kernels(), &geometry, weights, None, &quantization, Activation::None);
        let conv = conv.expect("valid");
        assert_eq!(conv.parameter_bytes(), parameters + 3 * geometry.cout);
        assert!(conv.packed_bytes() >= conv.parameter_bytes(), "{geometry:?}: {}", conv.packed_bytes());
    }

    let geometry = same(4, 6, 3);
    for (batch, argument) in [([0, 5, 5], "batch"), ([1, 0, 5], "height"), ([1, 5, 0], "width")] {
        fails(geometry.macs(batch), zero(argument), argument);
    }
    fails(same(4, 0, 3).macs([1, 5, 5]), zero("cout"), "cout");
    fails(same(4, 0, 3).parameters(), zero("cout"), "cout");
    fails(geometry.groups(3).macs([1, 6, 6]), Error::Groups { argument: "cin", channels: 4, groups: 3 }, "cin");
    fails(same(HUGE, 2, 1).parameters(), Error::Overflow { argument: "weights" }, "weights");
    let none = Error::NoOutput { image: [2, 6], window: [3, 3], padding: [0; 4] };
    fails(ConvGeometry::new(4, 6, [3, 3]).macs([1, 2, 6]), none, "image");
    let all = [1 << 20, 1 << 20, 1 << 20];
    fails(geometry.macs(all), Error::Overflow { argument: "multiply-adds" }, "multiply-adds");
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
fn workspaces() {
    let mut workspace = Workspace::new(20).expect("memory");
    assert_eq!(workspace.len(), 24);
    for bytes in [HUGE, HUGE / 2, HUGE / 4] {
        fails(Workspace::new(bytes), Error::Memory { bytes }, "workspace");
        fails(workspace.grow(bytes), Error::Memory { bytes }, "workspace");
    }
    assert_eq!(workspace.len(), 24);
}

/// Steps and strides beyond any image are no error where there is nothing to step to.
#[test]
fn steps_that_overflow() {
    let x: Vec<f32> = (0..18).map(|i| i as f32).collect();
    let bytes: Vec<i8> = (0..18).collect();
    let weights: Vec<f32> = (0..36).map(|i| (i % 5) as f32 - 2.0).collect();
    let byte_weights: Vec<i8> = weights.iter().map(|&w| w as i8).collect();
    let quantization =
        Quantization { x: PARAMS, weight_scales: &[0.1], y: PARAMS, residual: None, mode: Requantization::FloatScale };
    let one = ConvGeometry::new(2, 2, [1, 1]).stride([HUGE; 2]).dilation([HUGE; 2]);
    // Outputs whose pixel is the only one, amid padding.
    let amid = ConvGeometry::new(2, 2, [1, 1]).stride([1 << 30; 2]).padding(Padding::all(1 << 31));
    let cases = [
        (one, 3, 2),
        (ConvGeometry::new(2, 2, [2, 2]).stride([HUGE; 2]), 3, 2),
        (ConvGeometry::new(2, 2, [3, 3]).stride([HUGE; 2]).groups(2), 3, 2),
        (ConvGeometry::new(2, 2, [3, 2]).stride([HUGE; 2]).groups(2), 3, 2),
        (one.groups(2), 3, 2),
        (amid, 1, (1 << 40) + (1 << 33)),
        (amid.groups(2), 1, (1 << 40) + (1 << 33)),
    ];
    for (geometry, side, stride) in cases {
        let [kh, kw] = geometry.window.kernel;
        let (len, len_of_x) = (2 * (2 / geometry.groups) * kh * kw, (side * side - 1) * 2 + 2);
        let [oh, ow] = geometry.output_size(side, side).expect("an output");
        let shape = |y| ImageMut::nhwc(y, 1, oh, ow, 2).expect("dense");
        let image = Image::strided(&x[..len_of_x], 1, side, side, 2, stride).expect("inside");
        let w = Weights::oihw(&weights[..len]);
        let conv = Conv2d::f32_on(kernels(), &geometry, w, None, Activation::None).expect("valid");
        let mut workspace = Workspace::new(conv.workspace_len([1, side, side], 1).expect("valid")).expect("memory");
        let (mut y, mut expected) = (vec![0.0; oh * ow * 2], vec![1.0; oh * ow * 2]);
        conv.run(image, None, shape(&mut y), &mut workspace, &Serial).expect("valid");
        reference::conv2d(image, None, shape(&mut expected), &geometry, w, None, Activation::None).expect("valid");
        assert_eq!(y, expected, "{geometry:?}");

        let shape = |y| ImageMut::nhwc(y, 1, oh, ow, 2).expect("dense");
        let image = Image::strided(&bytes[..len_of_x], 1, side, side, 2, stride).expect("inside");
        let (w, q, none) = (Weights::oihw(&byte_weights[..len]), &quantization, Activation::None);
        let conv = Conv2d::<i8>::quantized_on(kernels(), &geometry, w, None, q, none).expect("valid");
        let mut workspace = Workspace::new(conv.workspace_len([1, side, side], 1).expect("valid")).expect("memory");
        let (mut y, mut expected) = (vec![0; oh * ow * 2], vec![1; oh * ow * 2]);
        conv.run(image, None, shape(&mut y), &mut workspace, &Serial).expect("valid");
        reference::conv2d_quantized(image, None, shape(&mut expected), &geometry, w, None, q, none).expect("valid");
        assert_eq!(y, expected, "{geometry:?}");
    }

    let window = Window { dilation: [HUGE; 2], ..Window::new([1, 1]) };
    let image = Image::nhwc(&x, 1, 3, 3, 2).expect("dense");
    for pool in [Pool2d::max_on(kernels(), window), Pool2d::average_on(kernels(), window, false)] {
        let mut y = [0.5; 18];
        pool.expect("valid").run(image, ImageMut::nhwc(&mut y, 1, 3, 3, 2).expect("dense"), &Serial).expect("valid");
        assert_eq!(y[..], x);
    }
    let image = Image::nhwc(&bytes, 1, 3, 3, 2).expect("dense");
    for pool in [Pool2d::<i8>::quantized_max_on(kernels(), window), Pool2d::quantized_average_on(kernels(), window)] {
        let mut y = [99; 18];
        pool.expect("valid").run(image, ImageMut::nhwc(&mut y, 1, 3, 3, 2).expect("dense"), &Serial).expect("valid");
        assert_eq!(y[..], bytes);
    }
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
        let mut workspace = Workspace::new(bytes).expect("memory");
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
            let mut small = Workspace::new((bytes - 1) / 8 * 8).expect("memory");
            let error = conv.run(image(at_x), None, buffers.y(at_y), &mut small, &Serial).expect_err("an error");
            let Error::Workspace { expected, got } = error else { panic!("{error:?}") };
            assert_eq!((expected.next_multiple_of(8), got), (bytes.next_multiple_of(8), small.len()));
            assert!(error.to_string().starts_with("workspace: "));
        }
        // A larger image than it was asked for.
        let larger = [2, 20, 20, cin];
        let needed = conv.workspace_len([2, 20, 20], 1).expect("an output");
        let mut exact = Workspace::new(bytes).expect("memory");
        let result = conv.run(image(larger), None, buffers.y([2, 20, 20, 6]), &mut exact, &Serial);
        if needed.next_multiple_of(8) > bytes.next_multiple_of(8) {
            assert!(matches!(result, Err(Error::Workspace { .. })), "{result:?}");
        } else {
            result.expect("large enough");
            buffers.y.fill(CANARY);
        }

        // The last value of the input is the first of the output, and the reverse, and a value between.
        let mut workspace = Workspace::new(bytes).expect("memory");
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
    let mut workspace = Workspace::new(1 << 16).expect("memory");
    fails(conv.run(x.x([1, 2, 4, 1]), None, buffers.y([1, 1, 2, 1]), &mut workspace, &Serial), none, "image");
    buffers.end();
    assert!(matches!(conv.workspace_len([1, HUGE, 4], 1), Err(Error::Overflow { .. })));
    assert!(matches!(conv.workspace_len([1, HUGE / 2, HUGE / 2], HUGE), Err(Error::Overflow { .. })));
}

#[test]
fn chains() {
    let weights = vec![1.0; SIZE];
    let conv = |geometry: ConvGeometry| {
        let len =
            geometry.cout * geometry.cin / geometry.groups * geometry.window.kernel[0] * geometry.window.kernel[1];
        let weights = Weights::oihw(&weights[..len]);
        Conv2d::f32_on(kernels(), &geometry, weights, None, Activation::None).expect("valid")
    };
    let filter = ConvGeometry::new(6, 6, [3, 3]).groups(6).stride([2, 2]).padding(Padding::all(1));
    let geometries = [ConvGeometry::new(4, 6, [1, 1]), filter, ConvGeometry::new(6, 5, [1, 1])];
    let convs = || geometries.map(conv).into_iter().collect::<Vec<_>>();

    let too_many = (0..9).map(|_| conv(ConvGeometry::new(4, 4, [1, 1]))).collect::<Vec<_>>();
    for (convs, got) in [(vec![], 0), (vec![conv(filter)], 1), (too_many, 9)] {
        fails(Chain::new(convs), Error::ChainLength { most: 8, got }, "convs");
    }
    let other = vec![conv(geometries[0]), conv(filter), conv(ConvGeometry::new(7, 5, [1, 1]))];
    fails(Chain::new(other), Error::ChainChannels { index: 2, expected: 6, got: 7 }, "convs");
    fails(Chain::with_fusion(convs(), Fusion::Strips(0)), zero("strips"), "strips");

    for fusion in [Fusion::Never, Fusion::Always, Fusion::Strips(1)] {
        let chain = Chain::with_fusion(convs(), fusion).expect("they fit");
        let (at_x, at_y) = ([1, 9, 9, 4], [1, 5, 5, 5]);
        let bytes = chain.workspace_len([1, 9, 9], 1).expect("an output");
        let mut workspace = Workspace::new(bytes).expect("memory");
        let (input, mut buffers) = (Buffers::new(), Buffers::new());
        let mut run = |x: [usize; 4], residual: Option<[usize; 4]>, y: [usize; 4]| {
            let residual = residual.map(|shape| input.x(shape));
            chain.run(input.x(x), residual, buffers.y(y), &mut workspace, &Serial)
        };
        fails(run([1, 9, 9, 5], None, at_y), shape("x", at_x, [1, 9, 9, 5]), "x");
        for y in [[1, 5, 5, 6], [1, 9, 9, 5], [2, 5, 5, 5]] {
            fails(run(at_x, None, y), shape("y", at_y, y), "y");
        }
        fails(run(at_x, Some([1, 9, 9, 5]), at_y), shape("residual", at_y, [1, 9, 9, 5]), "residual");
        let mut small = Workspace::new(bytes - 8).expect("memory");
        let error = chain.run(input.x(at_x), None, buffers.y(at_y), &mut small, &Serial);
        fails(error, Error::Workspace { expected: bytes, got: bytes - 8 }, "workspace");
        for apart in [0, 1, 25 * 5 - 1] {
            let (residual, y) = buffers.aliased(at_y, 5, apart);
            let result = chain.run(input.x(at_x), Some(residual), y, &mut workspace, &Serial);
            fails(result, Error::Overlap { argument: "residual" }, "residual");
        }
        assert!(matches!(chain.workspace_len([1, HUGE, 4], 1), Err(Error::Overflow { .. })));
        assert!(matches!(chain.workspace_len([1, HUGE / 2, HUGE / 2], HUGE), Err(Error::Overflow { .. })));
        assert!(matches!(chain.workspace_len([HUGE / 64, 9, 9], 1), Err(Error::Overflow { .. })));
        fails(chain.output_size(0, 9), zero("height"), "height");
        buffers.end();
    }

    // The second window finds too little.
    let valid = ConvGeometry::new(4, 4, [5, 5]).groups(4);
    let chain = Chain::new(vec![conv(valid), conv(valid)]).expect("they fit");
    let none = Error::NoOutput { image: [4, 4], window: [5, 5], padding: [0; 4] };
    fails(chain.output_size(8, 8), none.clone(), "image");
    fails(chain.strip_rows([1, 8, 8]), none.clone(), "image");
    fails(chain.workspace_len([1, 8, 8], 1), none, "image");
    assert_eq!(chain.output_size(9, 9), Ok([1, 1]));
}

/// Channels of one buffer: only where they interleave are input and output apart.
#[test]
fn views_of_one_buffer() {
    let geometry = ConvGeometry::new(4, 4, [1, 1]);
    let identity: Vec<f32> = (0..16).map(|i| if i % 5 == 0 { 1.0 } else { 0.0 }).collect();
    let conv = Conv2d::f32_on(kernels(), &geometry, Weights::oihw(&identity), None, Activation::None).expect("valid");
    let mut workspace = Workspace::new(conv.workspace_len([1, 3, 3], 1).expect("an output")).expect("memory");
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
    let mut workspace = Workspace::new(bytes).expect("memory");
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

const PARAMS: QuantParams = QuantParams::new(0.5, 3);
/// What no scale is.
const NO_SCALES: [f32; 5] = [0.0, -1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY];

/// `new(params)` refuses scales and zero points that are none, of the parameters that it calls `argument`.
#[track_caller]
fn refuses_params<R>(argument: &str, least: i32, new: impl Fn(QuantParams) -> Result<R, Error>) {
    for bad in NO_SCALES {
        let error = new(QuantParams { scale: bad, ..PARAMS }).err().expect("an error");
        let Error::Scale { argument: got, expected, scale } = &error else { panic!("{error:?}") };
        assert_eq!((*got, *expected, scale.to_bits()), (argument, "a positive finite scale", bad.to_bits()));
        assert_eq!(error.to_string(), format!("{argument}: expected a positive finite scale, got {bad:e}"));
    }
    for zero_point in [least - 1, least + 256, i32::MIN, i32::MAX] {
        let error = new(QuantParams { zero_point, ..PARAMS }).err().expect("an error");
        let Error::ZeroPoint { argument: got, zero_point: at, min, max } = error else { panic!("{error:?}") };
        assert_eq!((got, at, min, max), (argument, zero_point, least, least + 255));
        assert!(error.to_string().starts_with(&format!("{argument}: ")), "{error}");
    }
}

fn scale_error(argument: &'static str, expected: &'static str, scale: f32) -> Error {
    Error::Scale { argument, expected, scale }
}

#[test]
fn quantised_convolutions_at_creation() {
    let geometry = ConvGeometry::new(4, 6, [1, 1]);
    let weights = [1i8; 24];
    let plain = Quantization {
        x: PARAMS,
        weight_scales: &[1.0],
        y: PARAMS,
        residual: Some(PARAMS),
        mode: Requantization::FloatScale,
    };
    let activated = |q: &Quantization<'_>, activation| {
        Conv2d::<i8>::quantized_on(kernels(), &geometry, Weights::oihw(&weights), None, q, activation)
    };
    let new = |q: Quantization<'_>| activated(&q, Activation::None);
    let layer =
        |q: Quantization<'_>| FullyConnected::<u8>::quantized_on(kernels(), 4, 6, &weights, None, &q, Activation::None);
    assert!(new(plain).is_ok() && layer(plain).is_ok());
    for mode in [Requantization::FloatScale, Requantization::TfliteDouble] {
        let plain = Quantization { mode, ..plain };
        refuses_params("x", -128, |x| new(Quantization { x, ..plain }));
        refuses_params("y", -128, |y| new(Quantization { y, ..plain }));
        refuses_params("residual", -128, |r| new(Quantization { residual: Some(r), ..plain }));
        refuses_params("x", 0, |x| layer(Quantization { x, ..plain }));
        refuses_params("y", 0, |y| layer(Quantization { y, ..plain }));
        for len in [0, 2, 5, 7] {
            let weight_scales = &[1.0; 7][..len];
            fails(new(Quantization { weight_scales, ..plain }), length("weight_scales", 6, len), "weight_scales");
            fails(layer(Quantization { weight_scales, ..plain }), length("weight_scales", 6, len), "weight_scales");
        }
        for bad in NO_SCALES {
            let weight_scales = [1.0, 1.0, 1.0, 1.0, 1.0, bad];
            let error = new(Quantization { weight_scales: &weight_scales, ..plain }).err().expect("an error");
            assert!(error.to_string().starts_with("weight_scales: expected a positive finite scale"), "{error}");
        }
        // A ratio of 2^64 might overflow on the way; the one below does not.
        let (large, ratio) = (f32::exp2(63.0), "x_scale * weight_scale / y_scale");
        let weight_scales = &[1.0, 1.0, 1.0, 1.0, 1.0, large];
        let error = scale_error(ratio, "a ratio below 2^64", f32::exp2(64.0));
        let y = QuantParams { scale: 0.25, ..PARAMS };
        fails(new(Quantization { weight_scales, y, ..plain }), error, ratio);
        assert!(new(Quantization { weight_scales, ..plain }).is_ok());
        let x = QuantParams { scale: f32::MAX, ..PARAMS };
        let y = QuantParams { scale: f32::MIN_POSITIVE, ..PARAMS };
        fails(new(Quantization { x, y, ..plain }), scale_error(ratio, "a ratio below 2^64", f32::INFINITY), ratio);
        let residual = Some(QuantParams { scale: large, ..PARAMS });
        let y = QuantParams { scale: 0.25, ..PARAMS };
        let error = scale_error("residual_scale / y_scale", "a ratio below 2^64", f32::exp2(65.0));
        fails(new(Quantization { residual, y, ..plain }), error, "residual_scale / y_scale");
        fails(activated(&plain, Activation::HardSwish), Error::Activation { activation: "hard-swish" }, "activation");
        let (min, max) = (1.0, 0.0);
        fails(activated(&plain, Activation::Clamp { min, max }), Error::Clamp { min, max }, "activation");
    }
    let bias = [0i32; 5];
    let new = Conv2d::<i8>::quantized_on(
        kernels(),
        &geometry,
        Weights::oihw(&weights),
        Some(&bias),
        &plain,
        Activation::None,
    );
    fails(new, length("bias", 6, 5), "bias");
}

#[test]
fn quantised_convolutions_at_run() {
    let weights = [1i8; 24];
    let geometry = ConvGeometry::new(4, 6, [1, 1]);
    let quantization =
        Quantization { x: PARAMS, weight_scales: &[1.0], y: PARAMS, residual: None, mode: Requantization::FloatScale };
    let (x, residual, mut y) = ([1u8; 4 * 4], [1u8; 4 * 6], [0xa5u8; 4 * 6]);
    let conv = Conv2d::<u8>::quantized_on(
        kernels(),
        &geometry,
        Weights::oihw(&weights),
        None,
        &quantization,
        Activation::None,
    );
    let conv = conv.expect("valid");
    let mut workspace = Workspace::new(conv.workspace_len([1, 2, 2], 1).expect("an output")).expect("memory");
    let image = Image::nhwc(&x, 1, 2, 2, 4).expect("dense");
    let residual = Image::nhwc(&residual, 1, 2, 2, 6).expect("dense");
    let to = ImageMut::nhwc(&mut y, 1, 2, 2, 6).expect("dense");
    let result = conv.run(image, Some(residual), to, &mut workspace, &Serial);
    fails(result, Error::ResidualQuantization, "residual");
    let to = ImageMut::nhwc(&mut y, 1, 2, 2, 6).expect("dense");
    let weights = Weights::oihw(&weights[..]);
    let result = reference::conv2d_quantized(
        image,
        Some(residual),
        to,
        &geometry,
        weights,
        None,
        &quantization,
        Activation::None,
    );
    fails(result, Error::ResidualQuantization, "residual");
    assert_eq!(y, [0xa5; 24]);
}

#[test]
fn quantised_addition() {
    let new = |a, b, y| Add::<i8>::quantized_on(kernels(), a, b, y, Activation::None);
    refuses_params("a", -128, |a| new(a, PARAMS, PARAMS));
    refuses_params("b", -128, |b| new(PARAMS, b, PARAMS));
    refuses_params("y", -128, |y| new(PARAMS, PARAMS, y));
    refuses_params("a", 0, |a| Add::<u8>::quantized_on(kernels(), a, PARAMS, PARAMS, Activation::None));
    let of = |scale| QuantParams { scale, ..PARAMS };
    let below = |x: f32| f32::from_bits(x.to_bits() - 1);
    for (ratio, fits) in
        [(f32::exp2(-10.0), true), (below(f32::exp2(-10.0)), false), (below(256.0), true), (256.0, false)]
    {
        let of_a = new(of(ratio * 0.5), PARAMS, PARAMS);
        let of_b = new(PARAMS, of(ratio * 0.5), PARAMS);
        if fits {
            assert!(of_a.is_ok() && of_b.is_ok(), "{ratio:e}");
        } else {
            let error = |argument| scale_error(argument, "a ratio from 2^-10 to below 2^8", ratio);
            fails(of_a, error("a_scale / y_scale"), "a_scale / y_scale");
            fails(of_b, error("b_scale / y_scale"), "b_scale / y_scale");
        }
    }
    for (function, activation) in [(Activation::HardSwish, "hard-swish"), (Activation::Sigmoid, "sigmoid")] {
        let add = Add::<u8>::quantized_on(kernels(), PARAMS, PARAMS, PARAMS, function);
        fails(add, Error::Activation { activation }, "activation");
    }
    let (min, max) = (2.0, 1.0);
    let clamp = Add::<u8>::quantized_on(kernels(), PARAMS, PARAMS, PARAMS, Activation::Clamp { min, max });
    fails(clamp, Error::Clamp { min, max }, "activation");

    let add = new(PARAMS, PARAMS, PARAMS).expect("valid");
    let (x, mut y) = ([1i8; 24], [2i8; 24]);
    let image = |c| Image::nhwc(&x[..4 * c], 1, 2, 2, c).expect("dense");
    let result = add.run(image(6), image(5), ImageMut::nhwc(&mut y, 1, 2, 2, 6).expect("dense"), &Serial);
    fails(result, shape("b", [1, 2, 2, 6], [1, 2, 2, 5]), "b");
    let result = add.run(image(6), image(6), ImageMut::nhwc(&mut y[..20], 1, 2, 2, 5).expect("dense"), &Serial);
    fails(result, shape("y", [1, 2, 2, 6], [1, 2, 2, 5]), "y");
    assert_eq!(y, [2; 24]);
}

#[test]
fn quantised_pools() {
    let new = |x, y| Pool2d::<u8>::global_average_quantized_on(kernels(), x, y);
    refuses_params("x", 0, |x| new(x, PARAMS));
    refuses_params("y", 0, |y| new(PARAMS, y));
    let (x, y) = (QuantParams { scale: f32::exp2(40.0), ..PARAMS }, QuantParams { scale: f32::exp2(-24.0), ..PARAMS });
    let error = scale_error("x_scale / y_scale", "a ratio below 2^64", f32::exp2(64.0));
    fails(new(x, y), error, "x_scale / y_scale");
    let window = Window { padding: Padding::all(2), ..Window::new([2, 2]) };
    let padding = Error::Padding { padding: [2; 4], kernel: [2, 2] };
    fails(Pool2d::<i8>::quantized_max_on(kernels(), window), padding.clone(), "padding");
    fails(Pool2d::<i8>::quantized_average_on(kernels(), window), padding, "padding");
    let pool = || Pool2d::<i8>::quantized_max_on(kernels(), Window::new([2, 2])).expect("valid");
    let mode = Requantization::FloatScale;
    refuses_params("y", -128, |y| pool().with_activation(y, Activation::Relu, mode));
    let hard_swish = pool().with_activation(PARAMS, Activation::HardSwish, mode);
    fails(hard_swish, Error::Activation { activation: "hard-swish" }, "activation");
    // A global average has a quantisation already.
    for other in [QuantParams { scale: 0.25, ..PARAMS }, QuantParams { zero_point: 4, ..PARAMS }] {
        let pool = new(other, PARAMS).expect("valid");
        assert!(pool.clone().with_activation(PARAMS, Activation::Relu, mode).is_ok());
        fails(pool.with_activation(other, Activation::Relu, mode), Error::OutputQuantization, "y");
    }

    // A row of pixels more than add up, and as many as do.
    let most = 1 << 23;
    let (x, mut y) = (vec![255u8; most + 1], [7u8]);
    let mut run = |pool: &Pool2d<u8>, n: usize| {
        let image = Image::nhwc(&x[..n], 1, 1, n, 1).expect("dense");
        let result = pool.run(image, ImageMut::nhwc(&mut y, 1, 1, 1, 1).expect("dense"), &Serial);
        (result, y[0])
    };
    let overflow = Error::Overflow { argument: "sum of the window" };
    let average = Pool2d::<u8>::quantized_average_on(kernels(), Window::new([1, most + 1])).expect("valid");
    fails(average.counting_padding(-1), Error::ZeroPoint { argument: "x", zero_point: -1, min: 0, max: 255 }, "x");
    let wide = Pool2d::<u8>::quantized_average_on(kernels(), Window::new([1, most + 1])).expect("valid");
    let all = new(QuantParams::new(1.0, 255), QuantParams::new(1.0, 9)).expect("valid");
    for pool in [wide, all] {
        let (result, y) = run(&pool, most + 1);
        fails(result, overflow.clone(), "sum of the window");
        assert_eq!(y, 7);
    }
    let wide = Pool2d::<u8>::quantized_average_on(kernels(), Window::new([1, most])).expect("valid");
    assert_eq!(run(&wide, most), (Ok(()), 255));
    let all = |zero| new(QuantParams::new(1.0, zero), QuantParams::new(1.0, zero)).expect("valid");
    assert_eq!(run(&all(255), most), (Ok(()), 255));
    assert_eq!(run(&all(0), most), (Ok(()), 255));
    let max = Pool2d::<u8>::quantized_max_on(kernels(), Window::new([1, most + 1])).expect("valid");
    assert_eq!(run(&max, most + 1), (Ok(()), 255));
    // Zero points of so many pixels do not add up either.
    let (n, mut y) = (2 * most + 1, [7i8]);
    let x = vec![-3i8; n];
    let max = Pool2d::<i8>::quantized_max_on(kernels(), Window::new([1, n])).expect("valid");
    let image = Image::nhwc(&x, 1, 1, n, 1).expect("dense");
    max.run(image, ImageMut::nhwc(&mut y, 1, 1, 1, 1).expect("dense"), &Serial).expect("a maximum");
    assert_eq!(y, [-3]);
}

#[test]
fn lookups() {
    refuses_params("x", -128, |x| Lookup::<i8>::rescale_on(kernels(), x, PARAMS));
    refuses_params("y", 0, |y| Lookup::<u8>::rescale_on(kernels(), PARAMS, y));
    refuses_params("x", 0, |x| Lookup::<u8>::hard_swish_on(kernels(), x, PARAMS));
    refuses_params("y", -128, |y| Lookup::<i8>::hard_swish_on(kernels(), PARAMS, y));
    refuses_params("x", 0, |x| Lookup::<u8>::sigmoid_on(kernels(), x, PARAMS));
    refuses_params("y", -128, |y| Lookup::<i8>::sigmoid_on(kernels(), PARAMS, y));
    let clamped = |y, activation| {
        Lookup::new_on(kernels(), &[1u8; 256]).with_activation(y, activation, Requantization::FloatScale)
    };
    refuses_params("y", 0, |y| clamped(y, Activation::Relu));
    fails(clamped(PARAMS, Activation::Sigmoid), Error::Activation { activation: "sigmoid" }, "activation");
    let (min, max) = (2.0, 1.0);
    fails(clamped(PARAMS, Activation::Clamp { min, max }), Error::Clamp { min, max }, "activation");
    refuses_params("x", -128, |x| Concat::<i8>::new_on(kernels(), &[PARAMS, x], PARAMS));
    refuses_params("y", -128, |y| Concat::<i8>::new_on(kernels(), &[PARAMS], y));
    let x = QuantParams { scale: 64.0, ..PARAMS };
    let error = scale_error("x_scale / y_scale", "a ratio below 128", 128.0);
    fails(Lookup::<i8>::hard_swish_on(kernels(), x, PARAMS), error, "x_scale / y_scale");
    // 127ths of the least number: a 128th of it is rounded, to the scale of `y`.
    let least = f32::from_bits(1);
    let (fine, y) = (QuantParams { scale: 127.0 * least, ..PARAMS }, QuantParams { scale: least, ..PARAMS });
    let error = scale_error("x_scale / y_scale", "a ratio below 128", 128.0);
    fails(Lookup::<i8>::hard_swish_on(kernels(), fine, y), error, "x_scale / y_scale");
    fails(Concat::<i8>::new_on(kernels(), &[], PARAMS), zero("images"), "images");

    let lookup = Lookup::new_on(kernels(), &[1u8; 256]);
    let concat = Concat::<u8>::new_on(kernels(), &[PARAMS, x], PARAMS).expect("valid");
    let (data, mut y) = ([1u8; 64], [0xa5u8; 64]);
    let image = |h: usize, c: usize| Image::nhwc(&data[..2 * h * c], 1, h, 2, c).expect("dense");
    fn to(y: &mut [u8], c: usize) -> ImageMut<'_, u8> {
        ImageMut::nhwc(&mut y[..4 * c], 1, 2, 2, c).expect("dense")
    }
    let result = lookup.run(image(2, 3), to(&mut y, 4), &Serial);
    fails(result, shape("y", [1, 2, 2, 3], [1, 2, 2, 4]), "y");
    let mut run = |x: &[Image<'_, u8>], c| concat.run(x, to(&mut y, c), &Serial);
    fails(run(&[image(2, 3)], 3), length("x", 2, 1), "x");
    fails(run(&[image(2, 3), image(1, 4)], 7), shape("x", [1, 2, 2, 4], [1, 1, 2, 4]), "x");
    fails(run(&[image(2, 3), image(2, 4)], 8), shape("y", [1, 2, 2, 7], [1, 2, 2, 8]), "y");
    let from = y.as_mut_ptr();
    // SAFETY: inside `y`, which is borrowed twice: that must be refused, and then nothing is accessed.
    let (x, to) = unsafe { (std::slice::from_raw_parts(from, 16), std::slice::from_raw_parts_mut(from.add(4), 16)) };
    let mut to = ImageMut::nhwc(to, 1, 2, 2, 4).expect("dense");
    let x = Image::nhwc(x, 1, 2, 2, 4).expect("dense");
    fails(lookup.run(x, to.reborrow(), &Serial), Error::Overlap { argument: "x" }, "x");
    let half = x.channels(0..2).expect("inside");
    fails(concat.run(&[half, image(2, 2)], to, &Serial), Error::Overlap { argument: "x" }, "x");
    assert_eq!(y, [0xa5; 64]);
}

#[test]
fn activations() {
    let (min, max) = (f32::NAN, 1.0);
    let error = Activate::f32_on(kernels(), Activation::Clamp { min, max }).expect_err("an error");
    assert!(matches!(error, Error::Clamp { .. }), "{error}");
    let activate = Activate::f32_on(kernels(), Activation::Sigmoid).expect("valid");
    let (mut buffers, input) = (Buffers::new(), Buffers::new());
    let result = activate.run(input.x([1, 2, 2, 3]), buffers.y([1, 2, 2, 4]), &Serial);
    fails(result, shape("y", [1, 2, 2, 3], [1, 2, 2, 4]), "y");
    let (x, y) = buffers.aliased([1, 2, 2, 3], 3, 1);
    fails(activate.run(x, y, &Serial), Error::Overlap { argument: "x" }, "x");
    buffers.end();
}

/// `new(channels, reduced, [lengths of w_reduce, b_reduce, w_expand, b_expand])` refuses what does not fit 4 and 2.
#[track_caller]
fn refuses_sizes<R>(new: impl Fn(usize, usize, [usize; 4]) -> Result<R, Error>) {
    fails(new(0, 2, [8, 2, 8, 4]), zero("channels"), "channels");
    fails(new(4, 0, [8, 2, 8, 4]), zero("reduced"), "reduced");
    fails(new(HUGE, 2, [8, 2, 8, 4]), Error::Overflow { argument: "weights" }, "weights");
    let right = [8, 2, 8, 4];
    for (i, argument) in ["w_reduce", "b_reduce", "w_expand", "b_expand"].into_iter().enumerate() {
        for wrong in [0, right[i] - 1, right[i] + 1] {
            let mut lens = right;
            lens[i] = wrong;
            fails(new(4, 2, lens), length(argument, right[i], wrong), argument);
        }
    }
    assert!(new(4, 2, right).is_ok());
}

#[test]
fn squeeze_excite() {
    let f = [0.5; 9];
    let new = |c, reduced, [a, b, d, e]: [usize; 4]| {
        SqueezeExcite::f32_on(kernels(), c, reduced, &f[..a], Some(&f[..b]), &f[..d], Some(&f[..e]))
    };
    refuses_sizes(new);
    let layer = new(4, 2, [8, 2, 8, 4]).expect("valid");
    for (i, argument) in ["batch", "height", "width"].into_iter().enumerate() {
        let mut nhw = [1, 3, 3];
        nhw[i] = 0;
        fails(layer.workspace_len(nhw, 1), zero(argument), argument);
    }
    fails(layer.workspace_len([HUGE / 2, 3, 3], 1), Error::Overflow { argument: "y" }, "y");

    let (mut buffers, input) = (Buffers::new(), Buffers::new());
    let expected = layer.workspace_len([2, 3, 3], 1).expect("valid");
    let mut workspace = Workspace::new(expected).expect("memory");
    let mut run = |x: [usize; 4], y: [usize; 4]| layer.run(input.x(x), buffers.y(y), &mut workspace, &Serial);
    fails(run([2, 3, 3, 5], [2, 3, 3, 4]), shape("x", [2, 3, 3, 4], [2, 3, 3, 5]), "x");
    fails(run([2, 3, 3, 4], [2, 3, 3, 5]), shape("y", [2, 3, 3, 4], [2, 3, 3, 5]), "y");
    fails(run([2, 3, 3, 5], [2, 3, 3, 5]), shape("x", [2, 3, 3, 4], [2, 3, 3, 5]), "x");
    fails(run([2, 3, 3, 4], [2, 3, 2, 4]), shape("y", [2, 3, 3, 4], [2, 3, 2, 4]), "y");
    let mut small = Workspace::new(expected - 8).expect("memory");
    let result = layer.run(input.x([2, 3, 3, 4]), buffers.y([2, 3, 3, 4]), &mut small, &Serial);
    fails(result, Error::Workspace { expected, got: expected - 8 }, "workspace");
    let (x, y) = buffers.aliased([1, 3, 3, 4], 4, 2);
    fails(layer.run(x, y, &mut workspace, &Serial), Error::Overlap { argument: "x" }, "x");
    buffers.end();
}

#[test]
fn quantised_squeeze_excite() {
    let plain = SqueezeExciteQuantization {
        x: PARAMS,
        average: PARAMS,
        reduce_scales: &[0.5],
        reduced: PARAMS,
        expand_scales: &[0.5],
        expanded: PARAMS,
        gate: PARAMS,
        y: PARAMS,
        mode: Requantization::FloatScale,
    };
    let (bytes, biases) = ([1i8; 9], [1; 9]);
    let sized = |c, reduced, [a, b, d, e]: [usize; 4], q: &SqueezeExciteQuantization<'_>| {
        let (a, d) = (&bytes[..a], &bytes[..d]);
        SqueezeExcite::<i8>::quantized_on(kernels(), c, reduced, a, Some(&biases[..b]), d, Some(&biases[..e]), q)
    };
    refuses_sizes(|c, reduced, lens| sized(c, reduced, lens, &plain));
    let new = |q| sized(4, 2, [8, 2, 8, 4], &q);
    refuses_params("x", -128, |x| new(SqueezeExciteQuantization { x, ..plain }));
    refuses_params("average", -128, |average| new(SqueezeExciteQuantization { average, ..plain }));
    refuses_params("reduced", -128, |reduced| new(SqueezeExciteQuantization { reduced, ..plain }));
    refuses_params("expanded", -128, |expanded| new(SqueezeExciteQuantization { expanded, ..plain }));
    refuses_params("gate", -128, |gate| new(SqueezeExciteQuantization { gate, ..plain }));
    refuses_params("y", -128, |y| new(SqueezeExciteQuantization { y, ..plain }));
    let scales = [0.5; 3];
    let reduce = new(SqueezeExciteQuantization { reduce_scales: &scales, ..plain });
    fails(reduce, length("reduce_scales", 2, 3), "reduce_scales");
    let expand = new(SqueezeExciteQuantization { expand_scales: &scales, ..plain });
    fails(expand, length("expand_scales", 4, 3), "expand_scales");
    let expand = new(SqueezeExciteQuantization { expand_scales: &[-1.0], ..plain });
    fails(expand, scale_error("expand_scales", "a positive finite scale", -1.0), "expand_scales");
    let of = |exponent: f32| QuantParams { scale: f32::exp2(exponent), ..PARAMS };
    let gate = new(SqueezeExciteQuantization { x: of(14.0), y: of(-2.0), ..plain });
    let ratio = "x_scale * gate_scale / y_scale";
    fails(gate, scale_error(ratio, "a ratio below 2^15", f32::exp2(15.0)), ratio);

    let layer = new(plain).expect("valid");
    let (x, mut y) = ([1i8; 45], [0x25i8; 45]);
    let mut workspace = Workspace::new(layer.workspace_len([1, 3, 3], 1).expect("valid")).expect("memory");
    let image = |c| Image::nhwc(&x[..9 * c], 1, 3, 3, c).expect("dense");
    let result = layer.run(image(4), ImageMut::nhwc(&mut y, 1, 3, 3, 5).expect("dense"), &mut workspace, &Serial);
    fails(result, shape("y", [1, 3, 3, 4], [1, 3, 3, 5]), "y");
    let result = layer.run(image(5), ImageMut::nhwc(&mut y[..36], 1, 3, 3, 4).expect("dense"), &mut workspace, &Serial);
    fails(result, shape("x", [1, 3, 3, 4], [1, 3, 3, 5]), "x");
    let to = ImageMut::nhwc(&mut y[..36], 1, 3, 3, 4).expect("dense");
    let result = layer.run(image(4), to, &mut Workspace::default(), &Serial);
    assert!(matches!(result, Err(Error::Workspace { got: 0, .. })), "{result:?}");
    assert_eq!(y, [0x25; 45]);
}
