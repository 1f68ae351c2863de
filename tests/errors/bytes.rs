//! Operators on bytes.

use super::*;

#[test]
fn reals_to_bytes() {
    let quantise = |x: &[f32], params| {
        let mut y = [7i8; 4];
        let result = kolibri::quantise(kernels(), x, params, &mut y, &Serial);
        assert_eq!(y, [7; 4]);
        result
    };
    refuses_params("params", -128, |params| quantise(&[1.0; 4], params));
    for len in [0, 3, 5] {
        fails(quantise(&[1.0; 5][..len], PARAMS), length("x", 4, len), "x");
    }
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
