//! Cases for the operators: random shapes, views and data, compared with the reference on every level and with several
//! threads.

use super::{
    CANARY, Data, Rng, Threads, compare, levels,
    mem::{Mem, Place},
    sigmoid_slack, slack, squeeze_excite_cases,
};
use kolibri::{
    Activation, Add, ChannelShuffle, Conv2d, ConvGeometry, FullyConnected, Image, ImageMut, Padding, Parallel, Pool2d,
    Serial, Weights, Window, Workspace, kernels::Kernels, nchw_to_nhwc, nhwc_to_nchw, reference,
};
use std::fmt::Debug;

/// Channels around the edges of registers and panels.
pub const CHANNELS: [usize; 18] = [1, 2, 3, 4, 7, 8, 9, 16, 17, 23, 24, 31, 32, 33, 58, 64, 65, 100];
/// The most multiply-adds of a case.
const WORK: usize = 200_000;

/// An image in memory: its channels are those from `first` on of pixels `stride` apart.
#[derive(Clone, Debug)]
pub struct Layout {
    shape: [usize; 4],
    first: usize,
    stride: usize,
}

impl Layout {
    pub fn dense(shape: [usize; 4]) -> Layout {
        Layout { shape, first: 0, stride: shape[3] }
    }

    pub fn random(rng: &mut Rng, shape: [usize; 4]) -> Layout {
        let first = rng.pick(&[0, 0, 1, 5]);
        Layout { shape, first, stride: first + shape[3] + rng.pick(&[0, 0, 1, 16]) }
    }

    pub fn len(&self) -> usize {
        let [n, h, w, c] = self.shape;
        (n * h * w - 1) * self.stride + self.first + c
    }

    pub fn view<'a, T>(&self, data: &'a [T]) -> Image<'a, T> {
        let [n, h, w, c] = self.shape;
        let all = Image::strided(data, n, h, w, self.first + c, self.stride).expect("as long as the layout says");
        all.channels(self.first..self.first + c).expect("a range inside")
    }

    pub fn view_mut<'a, T>(&self, data: &'a mut [T]) -> ImageMut<'a, T> {
        let [n, h, w, c] = self.shape;
        let all = ImageMut::strided(data, n, h, w, self.first + c, self.stride).expect("as long as the layout says");
        all.channels(self.first..self.first + c).expect("a range inside")
    }
}

fn floats(place: Place, values: &[f32]) -> Mem<f32> {
    Mem::new(place, values, CANARY)
}

pub fn magnitudes(values: &[f32]) -> Vec<f32> {
    values.iter().map(|value| value.abs()).collect()
}

pub fn activation(rng: &mut Rng) -> Activation {
    let (min, max) = rng.bounds();
    // Of which -0 is taken as 0.
    let max = if max == 0.0 && rng.one_in(2) { -0.0 } else { max };
    let clamp = Activation::Clamp { min, max };
    let all =
        [Activation::None, Activation::Relu, Activation::Relu6, clamp, Activation::HardSwish, Activation::Sigmoid];
    rng.pick(&all)
}

/// Data that a case can have where not all levels have FMA: special values in one of three, for the others only.
fn data(rng: &mut Rng) -> Data {
    rng.data(true)
}

/// What to expect of an output buffer: the reference, and for levels without FMA by how much a sum may differ.
pub struct Expected {
    pub values: Vec<f32>,
    /// `None` where every level must give the same bits.
    pub slack: Option<Vec<f32>>,
    pub data: Data,
}

impl Expected {
    fn bits(values: Vec<f32>) -> Expected {
        Expected { values, slack: None, data: Data::Plain }
    }

    /// `values` went through `activation`, which alone has multiply-adds.
    pub fn activated(values: Vec<f32>, activation: Activation, data: Data) -> Expected {
        let slack = |values: &Vec<f32>| values.iter().map(|&value| sigmoid_slack(value).max(0.0)).collect();
        Expected { slack: (activation == Activation::Sigmoid).then(|| slack(&values)), values, data }
    }

    /// `sizes`: for each value of `terms` terms the sum of their magnitudes; `values` went through `activation`.
    fn sums(values: Vec<f32>, sizes: &[f32], terms: usize, activation: Activation, data: Data) -> Expected {
        // A clamp brings values no further apart. Hard-swish has a slope of at most 1.5, and four roundings; the
        // sigmoid one of at most 1 / 4.
        let of = |(&size, value): (&f32, &f32)| match activation {
            _ if size == CANARY => 0.0,
            Activation::HardSwish => 1.5 * slack(terms, size) + 4.0 * f32::EPSILON * value.abs(),
            Activation::Sigmoid => 0.25 * slack(terms, size) + sigmoid_slack(*value),
            _ => slack(terms, size),
        };
        let slack = sizes.iter().zip(&values).map(of).collect();
        Expected { values, slack: Some(slack), data }
    }
}

/// Fills an output on a level with lent threads.
pub type Run<'a> = &'a mut dyn FnMut(&'static Kernels, &mut [f32], &dyn Parallel);

/// Runs on every level of this CPU with 1, 2 and 3 threads: `run(kernels, y, parallel)` fills `y` that held `before`.
pub fn on_every_level(what: &dyn Debug, place: Place, before: &[f32], expected: &Expected, run: Run<'_>) {
    for kernels in levels() {
        let exact = kernels.fma || expected.slack.is_none();
        if !exact && expected.data == Data::Special {
            continue;
        }
        let slack = if exact { None } else { expected.slack.as_deref() };
        let mut first: Option<Vec<f32>> = None;
        for parallel in [&Serial as &dyn Parallel, &Threads(2), &Threads(3)] {
            let mut y = floats(place, before);
            run(kernels, &mut y, parallel);
            let what = (kernels.level, parallel.threads(), what);
            match &first {
                None => compare(&what, &y, &expected.values, slack),
                Some(first) => compare(&what, &y, first, None),
            }
            first.get_or_insert_with(|| y.to_vec());
        }
    }
}

/// A convolution of any kind.
pub fn conv_geometry(rng: &mut Rng) -> (ConvGeometry, [usize; 3], [usize; 2]) {
    loop {
        let (a, b) = (rng.pick(&CHANNELS), rng.pick(&CHANNELS));
        let groups = rng.pick(&[2, 3, 4, 8]);
        let each = [1, 2, 3, 5, 8, 12, 17, 24, 33, 40, 80];
        let small = [rng.pick(&each), rng.pick(&each)];
        let (cin, cout, groups) = match rng.below(7) {
            0 | 1 => (a, b, 1),
            2 => (a, a, a),
            3 => (rng.pick(&[a, a, 128, 192]), 0, 0),
            4 => (a, a * rng.range(2, 3), a),
            5 => (groups * small[0], groups * small[1], groups),
            _ => (3, b, 1),
        };
        let (own, pointwise) = (groups == 0, groups != 0 && rng.one_in(3));
        let (cout, groups) = if own { (cin, cin) } else { (cout, groups) };
        let pair = |rng: &mut Rng, max: usize| {
            let first = rng.range(1, max);
            [first, if rng.one_in(2) { first } else { rng.range(1, max) }]
        };
        let mut kernel = pair(rng, 7);
        let mut stride = if rng.one_in(2) { [1, 1] } else { pair(rng, 3) };
        let mut dilation = if rng.one_in(2) { [1, 1] } else { pair(rng, 3) };
        if pointwise {
            (kernel, dilation) = ([1, 1], [1, 1]);
        } else if rng.one_in(4) {
            kernel[rng.below(2)] = 1;
        }
        if own {
            let (k, s) = rng.pick(&kolibri::kernels::DW_SHAPES);
            (kernel, stride, dilation) = ([k, k], [s, s], [1, 1]);
        }
        let pad = |rng: &mut Rng, i: usize| rng.below((kernel[i] - 1) * dilation[i] + 2);
        let sides = [pad(rng, 0), pad(rng, 1), pad(rng, 0), pad(rng, 1)];
        let [top, left, bottom, right] = sides;
        let explicit = Padding::Explicit { top, left, bottom, right };
        let padding = rng.pick(&[Padding::Valid, Padding::Same, explicit, Padding::all(kernel[0] / 2)]);
        let geometry = ConvGeometry::new(cin, cout, kernel).stride(stride).dilation(dilation);
        let geometry = geometry.padding(padding).groups(groups);
        let (n, h, w) = (rng.range(1, 2), rng.range(1, 20), rng.range(1, 20));
        let Ok([oh, ow]) = geometry.output_size(h, w) else { continue };
        if n * oh * ow * cout * (cin / groups) * kernel[0] * kernel[1] <= WORK {
            return (geometry, [n, h, w], [oh, ow]);
        }
    }
}

/// The same weights in one of the layouts.
pub fn weights<'a, T: Copy>(
    rng: &mut Rng,
    geometry: &ConvGeometry,
    oihw: &[T],
    memory: &'a mut Vec<T>,
) -> Weights<'a, T> {
    let (cin, cout, [kh, kw]) = (geometry.cin / geometry.groups, geometry.cout, geometry.window.kernel);
    let at = |o: usize, i: usize, tap: usize| oihw[(o * cin + i) * kh * kw + tap];
    let taps = kh * kw;
    match rng.below(if cin == 1 { 3 } else { 2 }) {
        0 => {
            memory.extend_from_slice(oihw);
            Weights::oihw(memory)
        }
        1 => {
            memory.extend((0..oihw.len()).map(|j| at(j / (taps * cin), j % cin, j / cin % taps)));
            Weights::ohwi(memory)
        }
        _ => {
            memory.extend((0..oihw.len()).map(|j| at(j % cout, 0, j / cout)));
            Weights::hwc(memory)
        }
    }
}

pub fn conv(rng: &mut Rng, place: Place) {
    let (geometry, nhw, out) = conv_geometry(rng);
    conv_of(rng, place, &geometry, nhw, out, true);
}

/// A convolution of that shape; `odd`: strided views, a residual, a bias and an activation or not.
pub fn conv_of(
    rng: &mut Rng,
    place: Place,
    geometry: &ConvGeometry,
    [n, h, w]: [usize; 3],
    [oh, ow]: [usize; 2],
    odd: bool,
) {
    let layout = |rng: &mut Rng, shape| if odd { Layout::random(rng, shape) } else { Layout::dense(shape) };
    let mut x_layout = layout(rng, [n, h, w, geometry.cin]);
    if odd && geometry.cin.is_multiple_of(64) && rng.one_in(2) {
        // Pixels that fall into the same sets of a cache: depthwise kernels then read copies.
        x_layout.stride = (x_layout.first + geometry.cin).next_multiple_of(512);
    }
    let residual_layout = layout(rng, [n, oh, ow, geometry.cout]);
    let y_layout = layout(rng, [n, oh, ow, geometry.cout]);
    let (data, activation) = (data(rng), activation(rng));
    let (has_bias, has_residual) = (rng.one_in(2), odd && rng.one_in(2));

    let x = floats(place, &rng.values(x_layout.len(), data));
    let residual = floats(place, &rng.values(residual_layout.len(), data));
    let k = geometry.cin / geometry.groups * geometry.window.kernel[0] * geometry.window.kernel[1];
    let oihw = rng.values(geometry.cout * k, data);
    let bias = rng.values(geometry.cout, data);
    let (mut memory, bias) = (Vec::new(), has_bias.then_some(&bias[..]));
    let weights = weights(rng, geometry, &oihw, &mut memory);
    let what = (geometry, &x_layout, &residual_layout, &y_layout, data, activation, has_bias, has_residual);

    let before = vec![CANARY; y_layout.len()];
    let truth = |x: &[f32], residual: &[f32], weights: Weights<'_>, bias: Option<&[f32]>, activation| {
        let mut y = before.clone();
        let residual = has_residual.then(|| residual_layout.view(residual));
        let result = reference::conv2d(
            x_layout.view(x),
            residual,
            y_layout.view_mut(&mut y),
            geometry,
            weights,
            bias,
            activation,
        );
        result.unwrap_or_else(|error| panic!("{what:?}: {error}"));
        y
    };
    let values = truth(&x, &residual, weights, bias, activation);
    let sizes = truth(
        &magnitudes(&x),
        &magnitudes(&residual),
        Weights::oihw(&magnitudes(&oihw)),
        bias.map(magnitudes).as_deref(),
        Activation::None,
    );
    let expected = Expected::sums(values, &sizes, k + usize::from(has_residual), activation, data);
    on_every_level(&what, place, &before, &expected, &mut |kernels, y, parallel| {
        let conv = Conv2d::f32_on(kernels, geometry, weights, bias, activation).expect("valid");
        let bytes = conv.workspace_len([n, h, w], parallel.threads()).expect("an output");
        let mut workspace = Workspace::new(bytes).expect("memory");
        // Twice: the second time the workspace is no longer zeros.
        for _ in 0..2 {
            y.fill(CANARY);
            let residual = has_residual.then(|| residual_layout.view(&residual));
            let result = conv.run(x_layout.view(&x), residual, y_layout.view_mut(y), &mut workspace, parallel);
            result.unwrap_or_else(|error| panic!("{what:?}: {error}"));
        }
    });
}

pub fn fully_connected(rng: &mut Rng, place: Place) {
    let (cin, cout) = (rng.pick(&CHANNELS), rng.pick(&[1, 3, 8, 17, 32, 33, 64, 100, 130, 259]));
    fully_connected_of(rng, place, cin, cout);
}

pub fn fully_connected_of(rng: &mut Rng, place: Place, cin: usize, cout: usize) {
    let batch = if rng.one_in(2) { 1 } else { rng.range(1, 17) };
    let (data, activation, has_bias) = (data(rng), activation(rng), rng.one_in(2));
    let x = floats(place, &rng.values(batch * cin, data));
    let weights = floats(place, &rng.values(cout * cin, data));
    let bias = floats(place, &rng.values(cout, data));
    let bias = has_bias.then_some(&bias[..]);
    let what = ("fully connected", batch, cin, cout, data, activation, has_bias);
    let before = vec![CANARY; batch * cout];
    let truth = |x: &[f32], weights: &[f32], bias: Option<&[f32]>, activation| {
        let mut y = before.clone();
        reference::fully_connected(x, batch, &mut y, cin, cout, weights, bias, activation).expect("valid");
        y
    };
    let values = truth(&x, &weights, bias, activation);
    let sizes = truth(&magnitudes(&x), &magnitudes(&weights), bias.map(magnitudes).as_deref(), Activation::None);
    let expected = Expected::sums(values, &sizes, cin, activation, data);
    on_every_level(&what, place, &before, &expected, &mut |kernels, y, parallel| {
        let layer = FullyConnected::f32_on(kernels, cin, cout, &weights, bias, activation).expect("valid");
        let mut workspace =
            Workspace::new(layer.workspace_len(batch, parallel.threads()).expect("valid")).expect("memory");
        layer.run(&x, batch, y, &mut workspace, parallel).expect("valid");
    });
}

/// A window of a pool, an image, and the output.
pub fn pool_window(rng: &mut Rng) -> (Window, [usize; 2], [usize; 2]) {
    loop {
        let mut pair = |max: usize| {
            let first = rng.range(1, max);
            [first, if rng.one_in(2) { first } else { rng.range(1, max) }]
        };
        let (kernel, stride) = (pair(5), pair(3));
        let dilation = if rng.one_in(4) { [2, 2] } else { [1, 1] };
        let mut pad = |i: usize| rng.below(kernel[i]);
        let explicit = Padding::Explicit { top: pad(0), left: pad(1), bottom: pad(0), right: pad(1) };
        let padding = rng.pick(&[Padding::Valid, Padding::Same, explicit]);
        let window = Window { kernel, stride, dilation, padding };
        let (h, w) = (rng.range(1, 16), rng.range(1, 16));
        if let Ok(out) = window.output_size(h, w) {
            return (window, [h, w], out);
        }
    }
}

pub fn pool(rng: &mut Rng, place: Place) {
    let (mut window, [h, w], [oh, ow]) = pool_window(rng);
    let kind = rng.below(3);
    let (n, c, all) = (rng.range(1, 2), rng.pick(&CHANNELS), rng.one_in(2));
    let out = if kind == 2 { [1, 1] } else { [oh, ow] };
    if kind == 2 {
        window = Window::new([h, w]);
    }
    let x_layout = Layout::random(rng, [n, h, w, c]);
    let y_layout = Layout::random(rng, [n, out[0], out[1], c]);
    let data = data(rng);
    let x = floats(place, &rng.values(x_layout.len(), data));
    let before = vec![CANARY; y_layout.len()];
    let mut truth = before.clone();
    let y = y_layout.view_mut(&mut truth);
    match kind {
        0 => reference::max_pool(x_layout.view(&x), y, &window),
        1 => reference::avg_pool(x_layout.view(&x), y, &window, all),
        _ => reference::global_average(x_layout.view(&x), y),
    }
    .expect("valid");
    let what = (["maximum", "average", "global average"][kind], window, &x_layout, &y_layout, all, data);
    on_every_level(&what, place, &before, &Expected::bits(truth), &mut |kernels, y, parallel| {
        let pool = match kind {
            0 => Pool2d::max_on(kernels, window).expect("valid"),
            1 => Pool2d::average_on(kernels, window, all).expect("valid"),
            _ => Pool2d::global_average_on(kernels),
        };
        pool.run(x_layout.view(&x), y_layout.view_mut(y), parallel).expect("valid");
    });
}

pub fn add(rng: &mut Rng, place: Place) {
    let shape = [rng.range(1, 2), rng.range(1, 9), rng.range(1, 9), rng.pick(&CHANNELS)];
    let mut layout = || Layout::random(rng, shape);
    let (a_layout, b_layout, y_layout) = (layout(), layout(), layout());
    let (data, activation) = (data(rng), activation(rng));
    let a = floats(place, &rng.values(a_layout.len(), data));
    let b = floats(place, &rng.values(b_layout.len(), data));
    let before = vec![CANARY; y_layout.len()];
    let mut truth = before.clone();
    let (a, b) = (a_layout.view(&a), b_layout.view(&b));
    reference::add(a, b, y_layout.view_mut(&mut truth), activation).expect("valid");
    let what = ("add", activation, &a_layout, &b_layout, &y_layout, data);
    let expected = Expected::activated(truth, activation, data);
    on_every_level(&what, place, &before, &expected, &mut |kernels, y, parallel| {
        let add = Add::f32_on(kernels, activation).expect("valid");
        add.run(a, b, y_layout.view_mut(y), parallel).expect("valid");
    });
}

pub fn shuffle(rng: &mut Rng, place: Place) {
    let groups = rng.range(1, 9);
    let shape @ [n, h, w, c] = [rng.range(1, 2), rng.range(1, 7), rng.range(1, 7), groups * rng.edge(4, 5)];
    let (x_layout, y_layout) = (Layout::random(rng, shape), Layout::random(rng, shape));
    let x = floats(place, &rng.values(x_layout.len(), Data::Wide));
    let before = vec![CANARY; y_layout.len()];
    let mut truth = before.clone();
    reference::channel_shuffle(x_layout.view(&x), y_layout.view_mut(&mut truth), groups).expect("valid");
    let what = ("shuffle", groups, &x_layout, &y_layout);
    on_every_level(&what, place, &before, &Expected::bits(truth), &mut |kernels, y, parallel| {
        let shuffle = ChannelShuffle::new_on(kernels, groups).expect("valid");
        shuffle.run(x_layout.view(&x), y_layout.view_mut(y), parallel).expect("valid");
    });

    let nchw = [n, c, h, w];
    let x = floats(place, &rng.values(n * c * h * w, Data::Wide));
    let before = vec![CANARY; x.len()];
    let mut truth = before.clone();
    reference::channel_shuffle_nchw(&x, &mut truth, nchw, groups).expect("valid");
    on_every_level(&("nchw", groups, nchw), place, &before, &Expected::bits(truth), &mut |kernels, y, parallel| {
        let shuffle = ChannelShuffle::new_on(kernels, groups).expect("valid");
        shuffle.run_nchw(&x, y, nchw, parallel).expect("valid");
    });
}

pub fn layouts(rng: &mut Rng, place: Place) {
    let shape = [rng.range(1, 2), rng.range(1, 9), rng.range(1, 9), rng.pick(&CHANNELS)];
    let layout = Layout::random(rng, shape);
    let dense = floats(place, &rng.values(shape.iter().product(), Data::Special));
    let before = vec![CANARY; layout.len()];
    let mut truth = before.clone();
    reference::nchw_to_nhwc(&dense, layout.view_mut(&mut truth)).expect("valid");
    on_every_level(&("to nhwc", &layout), place, &before, &Expected::bits(truth), &mut |kernels, y, parallel| {
        nchw_to_nhwc(kernels, &dense, layout.view_mut(y), parallel).expect("valid");
    });

    let x = floats(place, &rng.values(layout.len(), Data::Special));
    let before = vec![CANARY; dense.len()];
    let mut truth = before.clone();
    reference::nhwc_to_nchw(layout.view(&x), &mut truth).expect("valid");
    on_every_level(&("to nchw", &layout), place, &before, &Expected::bits(truth), &mut |kernels, y, parallel| {
        nhwc_to_nchw(kernels, layout.view(&x), y, parallel).expect("valid");
    });
}

/// A case of every operator.
pub fn every_operator(rng: &mut Rng, place: Place) {
    conv(rng, place);
    conv(rng, place);
    fully_connected(rng, place);
    pool(rng, place);
    add(rng, place);
    squeeze_excite_cases::activate(rng, place);
    squeeze_excite_cases::squeeze_excite(rng, place);
    shuffle(rng, place);
    layouts(rng, place);
}
