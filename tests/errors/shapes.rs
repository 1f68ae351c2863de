//! Images, windows, and what follows from them.

use super::*;

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
