//! Cases for the operators on bytes: random shapes, views, quantisations and data, compared with the reference on every
//! level and with several threads.

use super::{
    Data, Rng, Threads, emulated_levels, levels,
    mem::{Mem, Place},
    operator_cases::{CHANNELS, Layout, conv_geometry, pool_window, weights},
    squeeze_excite_cases,
};
use kolibri::{
    Activation, Add, ChannelShuffle, Concat, Conv2d, ConvGeometry, FullyConnected, Image, Lookup, Parallel, Pool2d,
    QuantParams, Quantization, Quantized, Requantization, Serial, Weights, Workspace, kernels::Kernels, nchw_to_nhwc,
    nhwc_to_nchw, reference,
};
use std::fmt::Debug;

/// What an output holds before.
const CANARY: u8 = 0xa5;

/// Kinds of bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bytes {
    Any,
    /// The least and the greatest.
    Extreme,
    Least,
    Greatest,
}

pub fn kind(rng: &mut Rng) -> Bytes {
    rng.pick(&[Bytes::Any, Bytes::Any, Bytes::Extreme, Bytes::Least, Bytes::Greatest])
}

pub fn bytes<T: Quantized>(rng: &mut Rng, len: usize, kind: Bytes) -> Vec<T> {
    let byte = |rng: &mut Rng| match kind {
        Bytes::Any => rng.range(0, 255) as i32 + T::MIN,
        Bytes::Extreme => rng.pick(&[T::MIN, T::MAX]),
        Bytes::Least => T::MIN,
        Bytes::Greatest => T::MAX,
    };
    (0..len).map(|_| T::from_i32(byte(rng))).collect()
}

pub fn memory<T: Quantized + PartialEq + Debug>(place: Place, values: &[T]) -> Mem<T> {
    Mem::new(place, values, T::from_i32(T::MIN + i32::from(CANARY)))
}

fn canaries<T: Quantized>(len: usize) -> Vec<T> {
    vec![T::from_i32(T::MIN + i32::from(CANARY)); len]
}

pub fn params<T: Quantized>(rng: &mut Rng, scale: f32) -> QuantParams {
    let any = T::MIN + rng.range(0, 255) as i32;
    QuantParams { scale, zero_point: rng.pick(&[T::MIN, T::MAX, T::MIN + 128, any]) }
}

fn scale(rng: &mut Rng) -> f32 {
    f32::exp2(rng.range(0, 12) as f32 - 6.0) * (1.0 + rng.range(0, 1000) as f32 / 1000.0)
}

fn activation(rng: &mut Rng) -> Activation {
    let (min, max) = rng.bounds();
    rng.pick(&[Activation::None, Activation::Relu, Activation::Relu6, Activation::Clamp { min, max }])
}

/// A quantisation whose sums, of `k` products, mostly fall into the range of the output; some far from it.
struct Random {
    x: QuantParams,
    weight_scales: Vec<f32>,
    y: QuantParams,
    residual: Option<QuantParams>,
    mode: Requantization,
}

impl Random {
    fn new<T: Quantized>(rng: &mut Rng, cout: usize, k: usize, has_residual: bool) -> Random {
        let x = scale(rng);
        let channels = if rng.one_in(2) { 1 } else { cout };
        let weight_scales = (0..channels).map(|_| scale(rng) / 64.0).collect();
        let far = rng.pick(&[1.0, 1.0, 1.0, 1e-3, 1e5]);
        let y = far * x * (k as f32).sqrt() * scale(rng);
        let residual = (has_residual || rng.one_in(4)).then(|| {
            let scale = y * scale(rng);
            params::<T>(rng, scale)
        });
        let mode = rng.pick(&[Requantization::FloatScale, Requantization::FloatScale, Requantization::TfliteDouble]);
        Random { x: params::<T>(rng, x), weight_scales, y: params::<T>(rng, y), residual, mode }
    }

    fn get(&self) -> Quantization<'_> {
        let Random { x, y, residual, mode, .. } = *self;
        Quantization { x, weight_scales: &self.weight_scales, y, residual, mode }
    }
}

/// Fills an output on a level with lent threads.
type Run<'a, T> = &'a mut dyn FnMut(&'static Kernels, &mut [T], &dyn Parallel);

/// As `operator_cases::on_every_level`: every level must give the same bytes; small cases and some others are for
/// emulated ones, too.
pub fn on_every_level<T: Quantized + PartialEq + Debug>(
    rng: &mut Rng,
    what: &dyn Debug,
    place: Place,
    expected: &[T],
    run: Run<'_, T>,
) {
    let emulated = if rng.one_in(25) || expected.len() < 1500 { emulated_levels() } else { Vec::new() };
    let all: [&dyn Parallel; 3] = [&Serial, &Threads(2), &Threads(3)];
    let native = levels().into_iter().map(|kernels| (kernels, &all[..]));
    for (kernels, parallel) in native.chain(emulated.into_iter().map(|kernels| (kernels, &all[..1]))) {
        for &parallel in parallel {
            let mut y = memory(place, &canaries::<T>(expected.len()));
            run(kernels, &mut y, parallel);
            if let Some(i) = (0..y.len()).find(|&i| y[i] != expected[i]) {
                let (level, threads) = (kernels.level, parallel.threads());
                panic!("{level:?} {threads} {what:?}: at {i} got {:?}, expected {:?}", y[i], expected[i]);
            }
        }
    }
}

pub fn conv(rng: &mut Rng, place: Place) {
    let (geometry, nhw, out) = conv_geometry(rng);
    conv_of(rng, place, &geometry, nhw, out, true);
}

/// A convolution of that shape, of either type; `odd`: strided views, and a residual or not.
pub fn conv_of(rng: &mut Rng, place: Place, geometry: &ConvGeometry, nhw: [usize; 3], out: [usize; 2], odd: bool) {
    if rng.one_in(2) {
        conv_typed::<i8>(rng, place, geometry, nhw, out, odd);
    } else {
        conv_typed::<u8>(rng, place, geometry, nhw, out, odd);
    }
}

fn conv_typed<T: Quantized + PartialEq + Debug>(
    rng: &mut Rng,
    place: Place,
    geometry: &ConvGeometry,
    [n, h, w]: [usize; 3],
    [oh, ow]: [usize; 2],
    odd: bool,
) {
    let layout = |rng: &mut Rng, shape| if odd { Layout::random(rng, shape) } else { Layout::dense(shape) };
    let x_layout = layout(rng, [n, h, w, geometry.cin]);
    let residual_layout = layout(rng, [n, oh, ow, geometry.cout]);
    let y_layout = layout(rng, [n, oh, ow, geometry.cout]);
    let (activation, has_bias, has_residual) = (activation(rng), rng.one_in(2), odd && rng.one_in(3));
    let kinds = [kind(rng), kind(rng), kind(rng)];

    let x: Mem<T> = memory(place, &bytes(rng, x_layout.len(), kinds[0]));
    let residual: Mem<T> = memory(place, &bytes(rng, residual_layout.len(), kinds[1]));
    let k = geometry.cin / geometry.groups * geometry.window.kernel[0] * geometry.window.kernel[1];
    let oihw: Vec<i8> = bytes(rng, geometry.cout * k, kinds[2]);
    let random = Random::new::<T>(rng, geometry.cout, k, has_residual);
    let quantization = random.get();
    let large = if rng.one_in(8) { i32::MAX as usize } else { 20_000 };
    let bias: Vec<_> = (0..geometry.cout).map(|_| (rng.range(0, 2 * large) as i64 - large as i64) as i32).collect();
    let (mut storage, bias) = (Vec::new(), has_bias.then_some(&bias[..]));
    let weights: Weights<'_, i8> = weights(rng, geometry, &oihw, &mut storage);
    let what =
        (geometry, &x_layout, &residual_layout, &y_layout, activation, has_bias, has_residual, quantization, kinds);

    let mut expected = canaries::<T>(y_layout.len());
    let residual = has_residual.then(|| residual_layout.view(&residual));
    let y = y_layout.view_mut(&mut expected);
    reference::conv2d_quantized(x_layout.view(&x), residual, y, geometry, weights, bias, &quantization, activation)
        .unwrap_or_else(|error| panic!("{what:?}: {error}"));
    on_every_level(rng, &what, place, &expected, &mut |kernels, y: &mut [T], parallel| {
        let conv = Conv2d::<T>::quantized_on(kernels, geometry, weights, bias, &quantization, activation);
        let conv = conv.expect("valid");
        let bytes = conv.workspace_len([n, h, w], parallel.threads()).expect("an output");
        let mut workspace = Workspace::new(bytes).expect("memory");
        // Twice: the second time the workspace is no longer zeros.
        for _ in 0..2 {
            y.fill(T::from_i32(T::MIN + i32::from(CANARY)));
            let result = conv.run(x_layout.view(&x), residual, y_layout.view_mut(y), &mut workspace, parallel);
            result.unwrap_or_else(|error| panic!("{what:?}: {error}"));
        }
    });
}

/// Real numbers to bytes: `QuantParams::quantise` of each.
pub fn quantise(rng: &mut Rng, place: Place) {
    if rng.one_in(2) {
        quantise_typed::<i8>(rng, place);
    } else {
        quantise_typed::<u8>(rng, place);
    }
}

fn quantise_typed<T: Quantized + PartialEq + Debug>(rng: &mut Rng, place: Place) {
    // Around the pieces of a task, too.
    let (few, step) = (rng.range(0, 100), scale(rng));
    let len = rng.pick(&[few, 4095, 4096, 4097, 13_000]);
    let params = params::<T>(rng, step);
    let x: Vec<_> = rng.values(len, Data::Special).into_iter().map(|x| x * 100.0 * step).collect();
    let x = Mem::new(place, &x, 0.0);
    let expected: Vec<T> = x.iter().map(|&x| params.quantise(x)).collect();
    on_every_level(rng, &("quantise", len, params), place, &expected, &mut |kernels, y: &mut [T], parallel| {
        kolibri::quantise(kernels, &x, params, y, parallel).expect("valid");
    });
}

pub fn fully_connected(rng: &mut Rng, place: Place) {
    let (cin, cout) = (rng.pick(&CHANNELS), rng.pick(&[1, 3, 8, 17, 32, 33, 64, 100, 130, 259]));
    if rng.one_in(2) {
        fully_connected_typed::<i8>(rng, place, cin, cout);
    } else {
        fully_connected_typed::<u8>(rng, place, cin, cout);
    }
}

fn fully_connected_typed<T: Quantized + PartialEq + Debug>(rng: &mut Rng, place: Place, cin: usize, cout: usize) {
    let batch = if rng.one_in(2) { 1 } else { rng.range(1, 17) };
    let (activation, has_bias, kinds) = (activation(rng), rng.one_in(2), [kind(rng), kind(rng)]);
    let x: Mem<T> = memory(place, &bytes(rng, batch * cin, kinds[0]));
    let weights: Mem<i8> = memory(place, &bytes(rng, cout * cin, kinds[1]));
    let bias: Vec<_> = (0..cout).map(|_| rng.range(0, 4000) as i32 - 2000).collect();
    let bias = has_bias.then_some(&bias[..]);
    let random = Random::new::<T>(rng, cout, cin, false);
    let quantization = random.get();
    let what = ("fully connected", batch, cin, cout, activation, has_bias, quantization, kinds);
    let mut expected = canaries::<T>(batch * cout);
    let q = &quantization;
    reference::fully_connected_quantized(&x, batch, &mut expected, cin, cout, &weights, bias, q, activation)
        .expect("valid");
    on_every_level(rng, &what, place, &expected, &mut |kernels, y: &mut [T], parallel| {
        let layer = FullyConnected::<T>::quantized_on(kernels, cin, cout, &weights, bias, q, activation);
        let layer = layer.expect("valid");
        let mut workspace =
            Workspace::new(layer.workspace_len(batch, parallel.threads()).expect("valid")).expect("memory");
        layer.run(&x, batch, y, &mut workspace, parallel).expect("valid");
    });
}

/// A view of random bytes, and what to say of it.
struct Bytes8<T: Quantized + PartialEq + Debug> {
    layout: Layout,
    memory: Mem<T>,
}

impl<T: Quantized + PartialEq + Debug> Bytes8<T> {
    fn new(rng: &mut Rng, place: Place, shape: [usize; 4]) -> Bytes8<T> {
        let (layout, kind) = (Layout::random(rng, shape), kind(rng));
        Bytes8 { memory: memory(place, &bytes(rng, layout.len(), kind)), layout }
    }

    fn view(&self) -> Image<'_, T> {
        self.layout.view(&self.memory)
    }
}

pub fn pool(rng: &mut Rng, place: Place) {
    if rng.one_in(2) { pool_typed::<i8>(rng, place) } else { pool_typed::<u8>(rng, place) }
}

fn pool_typed<T: Quantized + PartialEq + Debug>(rng: &mut Rng, place: Place) {
    let (window, [h, w], [oh, ow]) = pool_window(rng);
    let (kind, n, c) = (rng.below(3), rng.range(1, 2), rng.pick(&CHANNELS) * rng.pick(&[1, 1, 1, 5]));
    let x = Bytes8::<T>::new(rng, place, [n, h, w, c]);
    let y_layout = Layout::random(rng, if kind == 2 { [n, 1, 1, c] } else { [n, oh, ow, c] });
    let scales = [scale(rng), scale(rng)];
    let [x_params, y_params] = scales.map(|scale| params::<T>(rng, scale));
    // A clamp of the result: an activation.
    let (activation, mode) = (activation(rng), rng.pick(&[Requantization::FloatScale, Requantization::TfliteDouble]));
    let padding = rng.one_in(2).then_some(x_params.zero_point);
    let mut expected = canaries::<T>(y_layout.len());
    let y = y_layout.view_mut(&mut expected);
    match kind {
        0 => reference::max_pool_quantized(x.view(), y, &window),
        1 => reference::avg_pool_quantized(x.view(), y, &window, padding),
        _ => reference::global_average_quantized(x.view(), y, x_params, y_params),
    }
    .expect("valid");
    let plain = rng.one_in(2);
    if !plain {
        // By the definition of a bound.
        let (min, max) = match activation {
            Activation::None => (f32::NEG_INFINITY, f32::INFINITY),
            Activation::Relu => (0.0, f32::INFINITY),
            Activation::Relu6 => (0.0, 6.0),
            Activation::Clamp { min, max } => (min, max),
            Activation::HardSwish | Activation::Sigmoid => unreachable!("not among the activations of bytes"),
        };
        let byte = |bound: f32| {
            let (steps, zero) = ((bound / y_params.scale).clamp(-1e3, 1e3), y_params.zero_point);
            match mode {
                Requantization::FloatScale => (steps + zero as f32).round_ties_even() as i32,
                Requantization::TfliteDouble => zero + steps.round() as i32,
            }
            .clamp(T::MIN, T::MAX)
        };
        let [_, y_h, y_w, _] = y_layout.view(&expected).shape();
        let mut view = y_layout.view_mut(&mut expected);
        for i in 0..n * y_h * y_w * c {
            let at = view.get_mut(i / c / y_w / y_h, i / c / y_w % y_h, i / c % y_w, i % c).expect("inside");
            *at = T::from_i32(at.to_i32().max(byte(min)).min(byte(max)));
        }
    }
    let name = ["maximum", "average", "global average"][kind];
    let bounds = (!plain).then_some((activation, mode));
    let what = (name, window, padding, &x.layout, &y_layout, x_params, y_params, bounds);
    on_every_level(rng, &what, place, &expected, &mut |kernels, y: &mut [T], parallel| {
        let pool = match kind {
            0 => Pool2d::<T>::quantized_max_on(kernels, window),
            1 => Pool2d::<T>::quantized_average_on(kernels, window),
            _ => Pool2d::<T>::global_average_quantized_on(kernels, x_params, y_params),
        };
        let pool = pool.expect("valid");
        // Nothing changes for the others.
        let pool = if let Some(zero) = padding { pool.counting_padding(zero).expect("in range") } else { pool };
        let pool = if plain { pool } else { pool.with_activation(y_params, activation, mode).expect("valid") };
        pool.run(x.view(), y_layout.view_mut(y), parallel).expect("valid");
    });
}

pub fn add(rng: &mut Rng, place: Place) {
    if rng.one_in(2) { add_typed::<i8>(rng, place) } else { add_typed::<u8>(rng, place) }
}

fn add_typed<T: Quantized + PartialEq + Debug>(rng: &mut Rng, place: Place) {
    let shape = [rng.range(1, 2), rng.range(1, 9), rng.range(1, 9), rng.pick(&CHANNELS)];
    let (a, b) = (Bytes8::<T>::new(rng, place, shape), Bytes8::<T>::new(rng, place, shape));
    let y_layout = Layout::random(rng, shape);
    // Ratios from the least that is allowed to the greatest.
    let y_scale = scale(rng);
    let ratio = |rng: &mut Rng| match rng.below(6) {
        0 => 1.0 / 1024.0,
        1 => 255.999,
        2 => f32::exp2(rng.range(0, 17) as f32 - 10.0),
        _ => scale(rng),
    };
    let scales = [ratio(rng) * y_scale, ratio(rng) * y_scale, y_scale];
    let params = scales.map(|scale| params::<T>(rng, scale));
    let activation = activation(rng);
    let mut expected = canaries::<T>(y_layout.len());
    reference::add_quantized(a.view(), b.view(), y_layout.view_mut(&mut expected), params, activation).expect("valid");
    let what = ("add", params, activation, &a.layout, &b.layout, &y_layout);
    on_every_level(rng, &what, place, &expected, &mut |kernels, y: &mut [T], parallel| {
        let add = Add::<T>::quantized_on(kernels, params[0], params[1], params[2], activation).expect("valid");
        add.run(a.view(), b.view(), y_layout.view_mut(y), parallel).expect("valid");
    });
}

pub fn lookup(rng: &mut Rng, place: Place) {
    if rng.one_in(2) { lookup_typed::<i8>(rng, place) } else { lookup_typed::<u8>(rng, place) }
}

fn lookup_typed<T: Quantized + PartialEq + Debug>(rng: &mut Rng, place: Place) {
    let shape = [rng.range(1, 2), rng.range(1, 9), rng.range(1, 9), rng.pick(&CHANNELS)];
    let x = Bytes8::<T>::new(rng, place, shape);
    let in_place = rng.one_in(2);
    let y_layout = if in_place { x.layout.clone() } else { Layout::random(rng, shape) };
    let before = if in_place { x.memory.to_vec() } else { canaries::<T>(y_layout.len()) };
    let scales = [scale(rng), scale(rng)];
    let [from, to] = scales.map(|scale| params::<T>(rng, scale));
    let table: [T; 256] = bytes(rng, 256, Bytes::Any).try_into().expect("256 of them");
    let (activation, mode) = (activation(rng), rng.pick(&[Requantization::FloatScale, Requantization::TfliteDouble]));
    let kind = if from.scale / to.scale < 128.0 { rng.below(5) } else { rng.below(4) };
    let mut expected = before.clone();
    let y = y_layout.view_mut(&mut expected);
    match kind {
        0 => reference::lookup(x.view(), y, &table),
        1 => reference::concat_quantized(&[x.view()], y, &[from], to),
        2 => reference::activate_quantized(x.view(), y, from, activation, mode),
        3 => reference::sigmoid_quantized(x.view(), y, from, to),
        _ => reference::hard_swish_quantized(x.view(), y, from, to),
    }
    .expect("valid");
    let what = (
        ["lookup", "rescale", "clamp", "sigmoid", "hard-swish"][kind],
        in_place,
        from,
        to,
        activation,
        mode,
        &x.layout,
        &y_layout,
    );
    on_every_level(rng, &what, place, &expected, &mut |kernels, y: &mut [T], parallel| {
        let lookup = match kind {
            0 => Ok(Lookup::new_on(kernels, &table)),
            1 => Lookup::rescale_on(kernels, from, to),
            2 => Lookup::rescale_on(kernels, from, from).and_then(|all| all.with_activation(from, activation, mode)),
            3 => Lookup::sigmoid_on(kernels, from, to),
            _ => Lookup::hard_swish_on(kernels, from, to),
        };
        y.copy_from_slice(&before);
        let (lookup, y) = (lookup.expect("valid"), y_layout.view_mut(y));
        if in_place { lookup.run_in_place(y, parallel) } else { lookup.run(x.view(), y, parallel) }.expect("valid");
    });
}

pub fn concat(rng: &mut Rng, place: Place) {
    if rng.one_in(2) { concat_typed::<i8>(rng, place) } else { concat_typed::<u8>(rng, place) }
}

fn concat_typed<T: Quantized + PartialEq + Debug>(rng: &mut Rng, place: Place) {
    let [n, h, w] = [rng.range(1, 2), rng.range(1, 9), rng.range(1, 9)];
    let y_scale = scale(rng);
    let y_params = params::<T>(rng, y_scale);
    let images: Vec<_> = (0..rng.range(1, 4))
        .map(|_| {
            let scale = scale(rng);
            let params = if rng.one_in(3) { y_params } else { params::<T>(rng, scale) };
            let channels = rng.pick(&CHANNELS);
            (Bytes8::<T>::new(rng, place, [n, h, w, channels]), params)
        })
        .collect();
    let views: Vec<_> = images.iter().map(|(image, _)| image.view()).collect();
    let x_params: Vec<_> = images.iter().map(|(_, params)| *params).collect();
    let y_layout = Layout::random(rng, [n, h, w, views.iter().map(|view| view.shape()[3]).sum()]);
    let mut expected = canaries::<T>(y_layout.len());
    reference::concat_quantized(&views, y_layout.view_mut(&mut expected), &x_params, y_params).expect("valid");
    let layouts: Vec<_> = images.iter().map(|(image, _)| &image.layout).collect();
    let what = ("concat", &x_params, y_params, layouts, &y_layout);
    on_every_level(rng, &what, place, &expected, &mut |kernels, y: &mut [T], parallel| {
        let concat = Concat::<T>::new_on(kernels, &x_params, y_params).expect("valid");
        concat.run(&views, y_layout.view_mut(y), parallel).expect("valid");
    });
}

/// Groups for which there are kernels, and tiles of 16 by 16; in whole and in part.
pub fn shuffle(rng: &mut Rng, place: Place) {
    let groups = if rng.one_in(2) { rng.range(1, 9) } else { rng.pick(&[15, 16, 17, 33]) };
    let shape @ [n, h, w, c] = [rng.range(1, 2), rng.range(1, 5), rng.range(1, 5), groups * rng.edge(16, 3)];
    let (x, y_layout) = (Bytes8::<u8>::new(rng, place, shape), Layout::random(rng, shape));
    let mut expected = canaries::<u8>(y_layout.len());
    reference::channel_shuffle(x.view(), y_layout.view_mut(&mut expected), groups).expect("valid");
    let what = ("shuffle", groups, &x.layout, &y_layout);
    on_every_level(rng, &what, place, &expected, &mut |kernels, y: &mut [u8], parallel| {
        let shuffle = ChannelShuffle::new_on(kernels, groups).expect("valid");
        shuffle.run(x.view(), y_layout.view_mut(y), parallel).expect("valid");
    });

    let nchw = [n, c, h, w];
    let x: Mem<i8> = memory(place, &bytes(rng, n * c * h * w, Bytes::Any));
    let mut expected = canaries::<i8>(x.len());
    reference::channel_shuffle_nchw(&x, &mut expected, nchw, groups).expect("valid");
    on_every_level(rng, &("nchw", groups, nchw), place, &expected, &mut |kernels, y: &mut [i8], parallel| {
        let shuffle = ChannelShuffle::new_on(kernels, groups).expect("valid");
        shuffle.run_nchw(&x, y, nchw, parallel).expect("valid");
    });
}

pub fn layouts(rng: &mut Rng, place: Place) {
    let shape = [rng.range(1, 2), rng.range(1, 5), rng.range(1, 40), rng.pick(&CHANNELS)];
    let dense: Mem<i8> = memory(place, &bytes(rng, shape.iter().product(), Bytes::Any));
    let layout = Layout::random(rng, shape);
    let mut expected = canaries::<i8>(layout.len());
    reference::nchw_to_nhwc(&dense, layout.view_mut(&mut expected)).expect("valid");
    on_every_level(rng, &("to nhwc", &layout), place, &expected, &mut |kernels, y: &mut [i8], parallel| {
        nchw_to_nhwc(kernels, &dense, layout.view_mut(y), parallel).expect("valid");
    });

    let x = Bytes8::<u8>::new(rng, place, shape);
    let mut expected = canaries::<u8>(dense.len());
    reference::nhwc_to_nchw(x.view(), &mut expected).expect("valid");
    on_every_level(rng, &("to nchw", &x.layout), place, &expected, &mut |kernels, y: &mut [u8], parallel| {
        nhwc_to_nchw(kernels, x.view(), y, parallel).expect("valid");
    });
}

/// A case of every operator on bytes.
pub fn every_operator(rng: &mut Rng, place: Place) {
    conv(rng, place);
    conv(rng, place);
    fully_connected(rng, place);
    pool(rng, place);
    add(rng, place);
    lookup(rng, place);
    squeeze_excite_cases::squeeze_excite_of_bytes(rng, place);
    concat(rng, place);
    shuffle(rng, place);
    layouts(rng, place);
}
