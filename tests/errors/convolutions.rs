//! Convolutions, chains and fully connected layers in f32.

use super::*;

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
