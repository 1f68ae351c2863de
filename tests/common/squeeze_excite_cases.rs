//! Cases for activations of images and for the squeeze-excite, of f32 and of bytes.

use super::{
    CANARY, Data, Rng,
    int8_cases::{self, bytes, kind, memory, params},
    mem::{Mem, Place},
    operator_cases::{self, CHANNELS, Expected, Layout, activation, magnitudes},
    sigmoid_slack, slack,
};
use kolibri::{
    Activate, Activation, Image, Quantized, Requantization, SqueezeExcite, SqueezeExciteQuantization,
    SqueezeExciteWeights, Workspace, reference,
};
use std::fmt::Debug;

fn floats(place: Place, values: &[f32]) -> Mem<f32> {
    Mem::new(place, values, CANARY)
}

/// In place or not.
pub fn activate(rng: &mut Rng, place: Place) {
    let shape = [rng.range(1, 2), rng.range(1, 9), rng.range(1, 9), rng.pick(&CHANNELS)];
    let (x_layout, in_place) = (Layout::random(rng, shape), rng.one_in(2));
    let y_layout = if in_place { x_layout.clone() } else { Layout::random(rng, shape) };
    let (data, activation) = (rng.data(true), activation(rng));
    let x = floats(place, &rng.values(x_layout.len(), data));
    let before = if in_place { x.to_vec() } else { vec![CANARY; y_layout.len()] };
    let mut truth = before.clone();
    reference::activate_image(x_layout.view(&x), y_layout.view_mut(&mut truth), activation).expect("valid");
    let what = ("activate", activation, in_place, &x_layout, &y_layout, data);
    let expected = Expected::activated(truth, activation, data);
    operator_cases::on_every_level(&what, place, &before, &expected, &mut |kernels, y, parallel| {
        let activate = Activate::f32_on(kernels, activation).expect("valid");
        let y = y_layout.view_mut(y);
        let result =
            if in_place { activate.run_in_place(y, parallel) } else { activate.run(x_layout.view(&x), y, parallel) };
        result.expect("valid");
    });
}

/// An image, and the width between the products; once in a while a layer of a network.
fn shape(rng: &mut Rng) -> ([usize; 4], usize) {
    let c = if rng.one_in(8) { 367 } else { rng.pick(&CHANNELS) };
    let reduced = rng.pick(&[1, 2, 3, 6, 17, 24, 33]);
    ([rng.range(1, 3), rng.range(1, 9), rng.range(1, 9), c], reduced)
}

pub fn squeeze_excite(rng: &mut Rng, place: Place) {
    let (shape @ [n, h, w, c], reduced) = shape(rng);
    let (x_layout, y_layout) = (Layout::random(rng, shape), Layout::random(rng, shape));
    let (data, has_biases) = (rng.data(true), [rng.one_in(2), rng.one_in(2)]);
    let x = floats(place, &rng.values(x_layout.len(), data));
    // Averages are small, and so few factors are all but 0 or 1.
    let plain = if data == Data::Wide { Data::Plain } else { data };
    let (w_reduce, w_expand) = (rng.values(c * reduced, plain), rng.values(c * reduced, plain));
    let (b_reduce, b_expand) = (rng.values(reduced, plain), rng.values(c, plain));
    let b_reduce = has_biases[0].then_some(&b_reduce[..]);
    let b_expand = has_biases[1].then_some(&b_expand[..]);
    let what = ("squeeze-excite", reduced, &x_layout, &y_layout, data, has_biases);
    let weights = &SqueezeExciteWeights { c, reduced, w_reduce: &w_reduce, b_reduce, w_expand: &w_expand, b_expand };

    let before = vec![CANARY; y_layout.len()];
    let mut values = before.clone();
    let (from, to) = (x_layout.view(&x), y_layout.view_mut(&mut values));
    reference::squeeze_excite(from, to, weights).expect("valid");

    // By how much a level without FMA may differ: through a slope of at most 1 / 4, the sigmoid, and the last product.
    let sizes = magnitudes(&x);
    let (mut a, mut r, mut s, mut by) =
        (vec![0.0; n * c], vec![0.0; n * reduced], vec![0.0; n * c], vec![0.0; values.len()]);
    let none = Activation::None;
    let average = kolibri::ImageMut::nhwc(&mut a, n, 1, 1, c).expect("dense");
    reference::global_average(x_layout.view(&sizes), average).expect("valid");
    let bias = b_reduce.map(magnitudes);
    let sizes_of_weights = [magnitudes(&w_reduce), magnitudes(&w_expand)];
    reference::fully_connected(&a, n, &mut r, c, reduced, &sizes_of_weights[0], bias.as_deref(), none).expect("valid");
    let bias = b_expand.map(magnitudes);
    reference::fully_connected(&r, n, &mut s, reduced, c, &sizes_of_weights[1], bias.as_deref(), none).expect("valid");
    s.iter_mut().for_each(|size| *size = 0.25 * slack(c + reduced, *size) + sigmoid_slack(1.0));
    reference::channel_scale(x_layout.view(&sizes), &s, y_layout.view_mut(&mut by)).expect("valid");
    let expected = Expected { values, slack: Some(by), data };

    operator_cases::on_every_level(&what, place, &before, &expected, &mut |kernels, y, parallel| {
        let layer = SqueezeExcite::f32_on(kernels, weights).expect("valid");
        let mut workspace =
            Workspace::new(layer.workspace_len([n, h, w], parallel.threads()).expect("valid")).expect("memory");
        // Twice: the second time the workspace is no longer zeros.
        for _ in 0..2 {
            y.fill(CANARY);
            layer.run(x_layout.view(&x), y_layout.view_mut(y), &mut workspace, parallel).expect("valid");
        }
    });
}

pub fn squeeze_excite_of_bytes(rng: &mut Rng, place: Place) {
    if rng.one_in(2) { of_bytes::<i8>(rng, place) } else { of_bytes::<u8>(rng, place) }
}

fn of_bytes<T: Quantized + PartialEq + Debug>(rng: &mut Rng, place: Place) {
    let (shape @ [n, h, w, c], reduced) = shape(rng);
    let (x_layout, y_layout) = (Layout::random(rng, shape), Layout::random(rng, shape));
    let kinds = [kind(rng), kind(rng), kind(rng)];
    let x: Mem<T> = memory(place, &bytes(rng, x_layout.len(), kinds[0]));
    let (w_reduce, w_expand): (Vec<i8>, Vec<i8>) =
        (bytes(rng, c * reduced, kinds[1]), bytes(rng, c * reduced, kinds[2]));
    let mut biases = |len: usize| (0..len).map(|_| rng.range(0, 4000) as i32 - 2000).collect::<Vec<_>>();
    let (b_reduce, b_expand) = (biases(reduced), biases(c));
    let b_reduce = rng.one_in(2).then_some(&b_reduce[..]);
    let b_expand = rng.one_in(2).then_some(&b_expand[..]);

    let near = |rng: &mut Rng, scale: f32| scale * f32::exp2(rng.range(0, 40) as f32 / 10.0 - 2.0);
    let of = |rng: &mut Rng, scale: f32| {
        let scale = near(rng, scale);
        params::<T>(rng, scale)
    };
    let x_scale = f32::exp2(rng.range(0, 8) as f32 - 4.0);
    let x_params = of(rng, x_scale);
    let average = of(rng, x_params.scale);
    let (reduced_params, expanded) = (of(rng, 0.05), of(rng, 0.05));
    let standard = kolibri::QuantParams::new(1.0 / 256.0, T::MIN);
    let gate = if rng.one_in(2) { standard } else { of(rng, 1.0 / 256.0) };
    let y_scale = x_params.scale * rng.pick(&[1.0, 1.0, 0.5, 1e-4, 1e4]);
    let y = of(rng, y_scale);
    // Weights whose sums, of `k` products, mostly fall into the range of the output.
    let scales = |rng: &mut Rng, from: f32, to: f32, k: usize, outputs: usize| -> Vec<f32> {
        let scale = to / (from * (k as f32).sqrt() * 64.0);
        (0..if rng.one_in(2) { 1 } else { outputs }).map(|_| near(rng, scale)).collect()
    };
    let reduce_scales = scales(rng, average.scale, reduced_params.scale, c, reduced);
    let expand_scales = scales(rng, reduced_params.scale, expanded.scale, reduced, c);
    let quantization = SqueezeExciteQuantization {
        x: x_params,
        average,
        reduce_scales: &reduce_scales,
        reduced: reduced_params,
        expand_scales: &expand_scales,
        expanded,
        gate,
        y,
        mode: rng.pick(&[Requantization::FloatScale, Requantization::TfliteDouble]),
    };
    let what = ("squeeze-excite", reduced, &x_layout, &y_layout, kinds, quantization);
    let before = bytes::<T>(rng, y_layout.len(), int8_cases::Bytes::Any);
    let mut expected = before.clone();
    let (from, to): (Image<'_, T>, _) = (x_layout.view(&x), y_layout.view_mut(&mut expected));
    let q = &quantization;
    let weights = &SqueezeExciteWeights { c, reduced, w_reduce: &w_reduce, b_reduce, w_expand: &w_expand, b_expand };
    reference::squeeze_excite_quantized(from, to, weights, q).expect("valid");
    int8_cases::on_every_level(rng, &what, place, &expected, &mut |kernels, y: &mut [T], parallel| {
        let layer = SqueezeExcite::<T>::quantized_on(kernels, weights, q).expect("valid");
        let mut workspace =
            Workspace::new(layer.workspace_len([n, h, w], parallel.threads()).expect("valid")).expect("memory");
        for _ in 0..2 {
            y.copy_from_slice(&before);
            layer.run(from, y_layout.view_mut(y), &mut workspace, parallel).expect("valid");
        }
    });
}
