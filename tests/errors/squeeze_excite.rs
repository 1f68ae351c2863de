//! Activations and squeeze-excites, in f32 and on bytes.

use super::*;

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

/// Weights and biases of these lengths.
fn weights<'a, W, B>(
    c: usize,
    reduced: usize,
    [w_reduce, b_reduce, w_expand, b_expand]: [usize; 4],
    weights: &'a [W],
    biases: &'a [B],
) -> SqueezeExciteWeights<'a, W, B> {
    let ([w_reduce, w_expand], [b_reduce, b_expand]) =
        ([w_reduce, w_expand].map(|len| &weights[..len]), [b_reduce, b_expand].map(|len| Some(&biases[..len])));
    SqueezeExciteWeights { c, reduced, w_reduce, b_reduce, w_expand, b_expand }
}

#[test]
fn squeeze_excite() {
    let f = [0.5; 9];
    let new = |c, reduced, lens| SqueezeExcite::f32_on(kernels(), &weights(c, reduced, lens, &f, &f));
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
    let sized = |c, reduced, lens, q: &SqueezeExciteQuantization<'_>| {
        SqueezeExcite::<i8>::quantized_on(kernels(), &weights(c, reduced, lens, &bytes, &biases), q)
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
