//! The operators against the reference, bit for bit where the level has FMA: random shapes, views and special values, with
//! 1, 2 and 3 threads; and the reference against a model of its own.
#![cfg(feature = "operators")]

mod common;

use common::{
    CANARY, Data, Rng, Seed, emulated_levels, int8_cases, levels,
    mem::Place,
    operator_cases::{self, conv_geometry, conv_of, fully_connected_of},
    quickcheck, squeeze_excite_cases,
};
use kolibri::{
    Activation, ChannelShuffle, ConvGeometry, Error, Image, ImageMut, Lookup, Padding, Pool2d, QuantParams, Quantized,
    Requantization, Serial, SqueezeExciteWeights, Weights, Window,
    kernels::{DW_SHAPES, DwI8, INTERLEAVED, Kernels},
    reference,
};
use std::collections::BTreeSet;

#[test]
fn convolution_is_the_reference() {
    quickcheck(1000, |seed: Seed| operator_cases::conv(&mut Rng::new(seed.0), Place::Heap));
}

#[test]
fn fully_connected_is_the_reference() {
    quickcheck(150, |seed: Seed| operator_cases::fully_connected(&mut Rng::new(seed.0), Place::Heap));
}

#[test]
fn pooling_is_the_reference() {
    quickcheck(400, |seed: Seed| operator_cases::pool(&mut Rng::new(seed.0), Place::Heap));
}

#[test]
fn addition_is_the_reference() {
    quickcheck(400, |seed: Seed| operator_cases::add(&mut Rng::new(seed.0), Place::Heap));
}

#[test]
fn activation_is_the_reference() {
    quickcheck(400, |seed: Seed| squeeze_excite_cases::activate(&mut Rng::new(seed.0), Place::Heap));
}

#[test]
fn squeeze_excite_is_the_reference() {
    quickcheck(300, |seed: Seed| squeeze_excite_cases::squeeze_excite(&mut Rng::new(seed.0), Place::Heap));
}

#[test]
fn squeeze_excite_of_bytes_is_the_reference() {
    quickcheck(300, |seed: Seed| squeeze_excite_cases::squeeze_excite_of_bytes(&mut Rng::new(seed.0), Place::Heap));
}

/// Against f64, at one of a thousand arguments of either sign.
#[test]
fn the_sigmoid_is_within_its_bound() {
    let step = if common::runner().is_some() { 40_009 } else { 1009 };
    let mut worst = (0.0, 0.0);
    for bits in (0..=100f32.to_bits()).step_by(step).flat_map(|bits| [bits, bits | 1 << 31]) {
        let x = f32::from_bits(bits);
        let (y, model) = (reference::sigmoid(x), 1.0 / (1.0 + (-f64::from(x)).exp()));
        if model < f64::from(f32::MIN_POSITIVE) {
            assert!((f64::from(y) - model).abs() < f64::from(f32::MIN_POSITIVE), "{x}: {y:e}");
            continue;
        }
        let place = f64::from(f32::from_bits((model as f32).to_bits() & 0x7f80_0000)) / f64::from(1 << 23);
        let error = (f64::from(y) - model).abs() / place;
        if error > worst.0 {
            worst = (error, x);
        }
    }
    assert!(worst.0 <= 2.41, "{} at {}", worst.0, worst.1);
}

#[test]
fn channel_shuffle_is_the_reference() {
    quickcheck(400, |seed: Seed| operator_cases::shuffle(&mut Rng::new(seed.0), Place::Heap));
}

#[test]
fn groups_of_the_shufflenets_have_kernels() {
    for (kernels, groups) in levels().into_iter().flat_map(|kernels| (1..20).map(move |groups| (kernels, groups))) {
        let shuffle = ChannelShuffle::new_on(kernels, groups).expect("valid");
        for (size, name) in [("x32", shuffle.kernel_names().next()), ("x8", shuffle.kernel_names_of::<i8>().next())] {
            let family = if INTERLEAVED.contains(&groups) {
                format!("interleave_{size}_g{groups}_")
            } else {
                format!("transpose_{size}_")
            };
            assert!(name.is_some_and(|name| name.starts_with(&family)), "{name:?}");
        }
    }
}

#[test]
fn layout_changes_are_the_reference() {
    quickcheck(400, |seed: Seed| operator_cases::layouts(&mut Rng::new(seed.0), Place::Heap));
}

/// Layers of the MobileNets, large enough for blocks, edges and even splits; fewer pixels under emulation.
#[test]
fn layers_of_networks_are_the_reference() {
    let slow = common::runner().is_some();
    let same = |cin, cout, kernel, stride| {
        ConvGeometry::new(cin, cout, [kernel; 2]).stride([stride; 2]).padding(Padding::Same)
    };
    let depthwise = |channels, kernel, stride| same(channels, channels, kernel, stride).groups(channels);
    let layers = [
        (same(3, 32, 3, 2), 224, 96),   // the stem
        (depthwise(32, 3, 1), 112, 40), // MobileNet v1, v2
        (depthwise(96, 3, 2), 112, 20), // v2
        (same(32, 16, 1, 1), 112, 24),  // v2, project
        (same(16, 96, 1, 1), 56, 20),   // v2, expand
        (depthwise(240, 5, 1), 28, 7),  // EfficientNet
        (depthwise(672, 5, 2), 14, 5),  // EfficientNet
        (depthwise(960, 3, 1), 7, 4),   // v2
        (depthwise(512, 3, 1), 14, 5),  // v1: pixels that alias in the cache
        (depthwise(512, 3, 2), 14, 5),  // v1
        (depthwise(1024, 3, 1), 7, 4),  // v1
        (depthwise(512, 7, 2), 9, 5),
        (depthwise(80, 3, 1), 149, 9), // of bytes in segments, the last row alone
        (depthwise(80, 5, 2), 149, 9),
        (same(160, 320, 1, 1), 7, 4),            // v2
        (same(96, 576, 1, 1), 14, 3),            // v2
        (depthwise(88, 7, 1), 14, 7),            // MnasNet's and NASNet's 7x7
        (same(240, 240, 1, 1).groups(3), 14, 4), // ShuffleNet v1
        (same(24, 48, 3, 1).groups(4), 28, 6),
        (ConvGeometry::new(8, 24, [1, 7]), 17, 9), // a kernel of one row, and one of one column
        (ConvGeometry::new(8, 24, [7, 1]), 17, 9),
    ];
    for (i, (geometry, size, small)) in layers.into_iter().enumerate() {
        let size = if slow { small } else { size };
        let out = geometry.output_size(size, size).expect("an output");
        for odd in [false, true] {
            let n = if size < 10 { 2 } else { 1 };
            let rng = &mut Rng::new(i as u64);
            conv_of(rng, Place::Heap, &geometry, [n, size, size], out, odd);
            int8_cases::conv_of(rng, Place::Heap, &geometry, [n, size, size], out, odd);
        }
    }
    let [cin, cout] = if slow { [64, 300] } else { [1280, 1000] };
    fully_connected_of(&mut Rng::new(1), Place::Heap, cin, cout);
    fully_connected_of(&mut Rng::new(2), Place::Heap, cin, cout);
}

/// The reference shares its checks and its geometry with the operators: here is a model that shares nothing, in f64, by
/// scattering each input pixel to the outputs that see it.
#[test]
fn the_reference_is_a_convolution() {
    quickcheck(200, |seed: Seed| {
        let rng = &mut Rng::new(seed.0);
        let (geometry, [n, h, w], [oh, ow]) = conv_geometry(rng);
        let ConvGeometry { cin, cout, groups, window } = geometry;
        let Window { kernel: [kh, kw], stride: [sy, sx], dilation: [dy, dx], padding } = window;
        let (top, left) = match padding {
            Padding::Valid => (0, 0),
            Padding::Explicit { top, left, .. } => (top, left),
            Padding::Same => {
                // TensorFlow's words: max((ceil(in / stride) - 1) * stride + window - in, 0), halved, rounded down.
                let before = |size: usize, s: usize, k: usize, d: usize| {
                    let total = (size.div_ceil(s) as isize - 1) * s as isize + ((k - 1) * d + 1) as isize;
                    (total - size as isize).max(0) as usize / 2
                };
                (before(h, sy, kh, dy), before(w, sx, kw, dx))
            }
        };
        let x = rng.values(n * h * w * cin, Data::Plain);
        let weights = rng.values(cout * cin / groups * kh * kw, Data::Plain);
        let bias = rng.values(cout, Data::Plain);
        let mut y = vec![CANARY; n * oh * ow * cout];
        reference::conv2d(
            Image::nhwc(&x, n, h, w, cin).expect("dense"),
            None,
            ImageMut::nhwc(&mut y, n, oh, ow, cout).expect("dense"),
            &geometry,
            Weights::oihw(&weights),
            Some(&bias),
            Activation::None,
        )
        .expect("valid");

        let mut model: Vec<f64> = (0..y.len()).map(|i| f64::from(bias[i % cout])).collect();
        let (each_in, each_out) = (cin / groups, cout / groups);
        for (i, &value) in x.iter().enumerate() {
            let (c, ix, iy, n) = (i % cin, i / cin % w, i / cin / w % h, i / cin / w / h);
            for (ky, kx) in (0..kh).flat_map(|ky| (0..kw).map(move |kx| (ky, kx))) {
                let (Some(py), Some(px)) = ((iy + top).checked_sub(ky * dy), (ix + left).checked_sub(kx * dx)) else {
                    continue;
                };
                if py % sy != 0 || px % sx != 0 || py / sy >= oh || px / sx >= ow {
                    continue;
                }
                for o in c / each_in * each_out..(c / each_in + 1) * each_out {
                    let weight = weights[((o * each_in + c % each_in) * kh + ky) * kw + kx];
                    model[((n * oh + py / sy) * ow + px / sx) * cout + o] += f64::from(value) * f64::from(weight);
                }
            }
        }
        let terms = (each_in * kh * kw + 1) as f64;
        for (i, (&got, &model)) in y.iter().zip(&model).enumerate() {
            // Terms are at most 4.
            let near = (f64::from(got) - model).abs() <= terms * 4.0 * terms * f64::from(f32::EPSILON);
            assert!(near, "{geometry:?} on {h}x{w} at {i}: reference {got}, model {model}");
        }
    });
}

#[test]
fn known_answers() {
    // Hard-swish of MobileNet v3: 0 up to -3, x from 3 on.
    let hard_swish = |x: f32| reference::activate(x, Activation::HardSwish);
    assert_eq!([-4.0, -3.0, 0.0, 3.0, 5.0].map(hard_swish), [-0.0, -0.0, 0.0, 3.0, 5.0]);
    assert_eq!([-1.0, 2.0, 7.0].map(|x| reference::activate(x, Activation::Relu6)), [0.0, 2.0, 6.0]);
    assert!(reference::activate(f32::NAN, Activation::Relu6).is_nan());
    assert_eq!(reference::activate(-0.0, Activation::Relu).to_bits(), (-0.0f32).to_bits());

    let [infinity, large] = [f32::INFINITY, f32::MAX];
    let ends = [-infinity, -large, -88.0, -0.0, 0.0, 18.0, large, infinity];
    assert_eq!(ends.map(reference::sigmoid), [0.0, 0.0, 0.0, 0.5, 0.5, 1.0, 1.0, 1.0]);
    assert!(reference::sigmoid(f32::NAN).is_nan());

    // Two groups of three channels: ShuffleNet's figure.
    let x = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
    let mut y = [0.0; 6];
    let (from, to) = (Image::nhwc(&x, 1, 1, 1, 6).expect("dense"), ImageMut::nhwc(&mut y, 1, 1, 1, 6).expect("dense"));
    reference::channel_shuffle(from, to, 2).expect("valid");
    assert_eq!(y, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);

    // A 3x3 image of 1 to 9 under 2x2 windows with one row and column of padding.
    let x: Vec<f32> = (1..10).map(|x| x as f32).collect();
    let image = Image::nhwc(&x, 1, 3, 3, 1).expect("dense");
    let window = Window { stride: [2, 2], padding: Padding::all(1), ..Window::new([2, 2]) };
    let pooled = |f: &dyn Fn(ImageMut<'_>)| {
        let mut y = [0.0; 4];
        f(ImageMut::nhwc(&mut y, 1, 2, 2, 1).expect("dense"));
        y
    };
    assert_eq!(pooled(&|y| reference::max_pool(image, y, &window).expect("valid")), [1.0, 3.0, 7.0, 9.0]);
    assert_eq!(pooled(&|y| reference::avg_pool(image, y, &window, false).expect("valid")), [1.0, 2.5, 5.5, 7.0]);
    assert_eq!(pooled(&|y| reference::avg_pool(image, y, &window, true).expect("valid")), [0.25, 1.25, 2.75, 7.0]);

    // Weights of zero: the sigmoid of the bias alone.
    let (zeros, bias) = ([0.0; 2], [0.0, f32::INFINITY]);
    let mut y = [0.0; 4];
    let (from, to) = (Image::nhwc(&x[..4], 1, 1, 2, 2).expect("dense"), ImageMut::nhwc(&mut y, 1, 1, 2, 2));
    let (w_reduce, w_expand, b_expand) = (&zeros[..], &zeros[..], Some(&bias[..]));
    let weights = SqueezeExciteWeights { c: 2, reduced: 1, w_reduce, b_reduce: None, w_expand, b_expand };
    reference::squeeze_excite(from, to.expect("dense"), &weights).expect("valid");
    assert_eq!(y, [0.5, 2.0, 1.5, 4.0]);

    // [n][c][h][w] of one pixel pair with three channels.
    let mut y = [0.0; 6];
    reference::nchw_to_nhwc(&x[..6], ImageMut::nhwc(&mut y, 1, 1, 2, 3).expect("dense")).expect("valid");
    assert_eq!(y, [1.0, 3.0, 5.0, 2.0, 4.0, 6.0]);
    let mut back = [0.0; 6];
    reference::nhwc_to_nchw(Image::nhwc(&y, 1, 1, 2, 3).expect("dense"), &mut back).expect("valid");
    assert_eq!(back[..], x[..6]);
}

/// The same bytes on every level: convolution of every kind, strided views, residuals, both modes.
#[test]
fn convolution_of_bytes_is_the_reference() {
    quickcheck(1500, |seed: Seed| int8_cases::conv(&mut Rng::new(seed.0), Place::Heap));
}

/// Depthwise with as many channels as a block of each level and one of another have together, one less, and one more.
#[test]
fn channels_behind_whole_blocks_are_the_reference() {
    let blocks = |kernels: &&'static Kernels| kernels.dw_i8.iter().map(|dw: &&DwI8| dw.channels());
    let all: BTreeSet<usize> = levels().iter().chain(&emulated_levels()).flat_map(blocks).collect();
    let sums = all.iter().flat_map(|wide| all.iter().map(move |narrow| wide + narrow));
    let channels: BTreeSet<usize> = sums.flat_map(|sum| sum - 1..=sum + 1).collect();
    for (channels, (k, stride)) in channels.into_iter().flat_map(|c| DW_SHAPES.map(|shape| (c, shape))) {
        let geometry = ConvGeometry::new(channels, channels, [k; 2]).groups(channels);
        let geometry = geometry.stride([stride; 2]).padding(Padding::Same);
        let out = geometry.output_size(3, 3).expect("an output");
        int8_cases::conv_of(&mut Rng::new(channels as u64), Place::Heap, &geometry, [1, 3, 3], out, false);
    }
}

#[test]
fn fully_connected_of_bytes_is_the_reference() {
    quickcheck(500, |seed: Seed| int8_cases::fully_connected(&mut Rng::new(seed.0), Place::Heap));
}

#[test]
fn pooling_of_bytes_is_the_reference() {
    quickcheck(1000, |seed: Seed| int8_cases::pool(&mut Rng::new(seed.0), Place::Heap));
}

#[test]
fn addition_of_bytes_is_the_reference() {
    quickcheck(1000, |seed: Seed| int8_cases::add(&mut Rng::new(seed.0), Place::Heap));
}

#[test]
fn real_numbers_become_the_bytes_that_stand_for_them() {
    quickcheck(200, |seed: Seed| int8_cases::quantise(&mut Rng::new(seed.0), Place::Heap));
}

#[test]
fn lookups_are_the_reference() {
    quickcheck(1000, |seed: Seed| int8_cases::lookup(&mut Rng::new(seed.0), Place::Heap));
}

/// Every byte, by the standard library's exponential; ReLU by its definition.
#[test]
fn activations_of_bytes_are_those_of_reals() {
    fn all<T: Quantized + PartialEq + std::fmt::Debug>(params: QuantParams) {
        let x: Vec<T> = (T::MIN..=T::MAX).map(T::from_i32).collect();
        let run = |lookup: Result<Lookup<T>, Error>| {
            let mut y = x.clone();
            let to = ImageMut::nhwc(&mut y, 1, 1, 256, 1).expect("dense");
            lookup.expect("valid").run_in_place(to, &Serial).expect("in place");
            y
        };
        let gates = run(Lookup::sigmoid(params, QuantParams::new(1.0 / 256.0, T::MIN)));
        for (&x, gate) in x.iter().zip(gates) {
            let model = 256.0 / (1.0 + (-f64::from(params.dequantise(x))).exp());
            let tie = (model.fract() - 0.5).abs() < 1e-9;
            let expected = (model.round() as i32 + T::MIN).min(T::MAX);
            assert!(gate.to_i32() == expected || tie, "{params:?}: {x:?} {gate:?} {expected}");
        }
        let same = Lookup::rescale(params, params);
        let relu = run(same.and_then(|all| all.with_activation(params, Activation::Relu, Requantization::FloatScale)));
        assert!(x.iter().zip(relu).all(|(x, y)| y.to_i32() == x.to_i32().max(params.zero_point)), "{params:?}");
    }
    for scale in [1e-30, 0.001, 1.0 / 16.0, 0.1, 0.3, 10.0, 1e30] {
        [-128, -1, 0, 3, 127].into_iter().for_each(|zero_point| all::<i8>(QuantParams::new(scale, zero_point)));
        [0, 1, 100, 128, 255].into_iter().for_each(|zero_point| all::<u8>(QuantParams::new(scale, zero_point)));
    }
}

#[test]
fn concat_of_bytes_is_the_reference() {
    quickcheck(300, |seed: Seed| int8_cases::concat(&mut Rng::new(seed.0), Place::Heap));
}

#[test]
fn permutations_of_bytes_are_the_reference() {
    quickcheck(400, |seed: Seed| {
        int8_cases::shuffle(&mut Rng::new(seed.0), Place::Heap);
        int8_cases::layouts(&mut Rng::new(seed.0), Place::Heap);
    });
}

/// The reference divides whole numbers; the operator multiplies and rounds halves to even: at every half of a window of
/// any size, and beside it.
#[test]
fn averages_of_bytes_round_halves_away_from_zero() {
    fn all<T: Quantized + PartialEq + std::fmt::Debug>(n: usize) {
        // A channel for every half, before it and behind it; its sum spread over the pixels.
        let channels = 3 * 255;
        let sum = |c: usize| {
            let (whole, more) = ((c / 3) as i32 + T::MIN.min(0), (c % 3) as i32 - 1);
            (2 * whole + 1) * n as i32 / 2 + more
        };
        let byte = |i: usize, c: usize| {
            let (sum, n) = (sum(c), n as i32);
            (sum.div_euclid(n) + i32::from((i as i32) < sum.rem_euclid(n))).clamp(T::MIN, T::MAX)
        };
        let x: Vec<T> = (0..n * channels).map(|i| T::from_i32(byte(i / channels, i % channels))).collect();
        let image = Image::nhwc(&x, 1, 1, n, channels).expect("dense");
        let window = Window::new([1, n]);
        let mut expected = vec![T::from_i32(1); channels];
        let to = ImageMut::nhwc(&mut expected, 1, 1, 1, channels).expect("dense");
        reference::avg_pool_quantized(image, to, &window, None).expect("valid");
        for kernels in common::levels() {
            let mut y = vec![T::from_i32(1); channels];
            let pool = Pool2d::<T>::quantized_average_on(kernels, window).expect("valid");
            pool.run(image, ImageMut::nhwc(&mut y, 1, 1, 1, channels).expect("dense"), &Serial).expect("valid");
            assert_eq!(y, expected, "{n} {}", kernels.level.name());
        }
    }
    let large = if common::runner().is_some() { 0 } else { 10 };
    for n in (1..=70).chain([97, 100, 127, 128, 255, 256, 511]).chain((0..large).map(|i| 2040 + 2 * i)) {
        all::<i8>(n);
        all::<u8>(n);
    }
}
