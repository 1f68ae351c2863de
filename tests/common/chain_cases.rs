//! Cases for chains: the same bits as the convolutions one after the other, however they run.

use super::{
    Data, Rng, Threads, int8_cases, levels,
    mem::{Mem, Place},
    operator_cases::Layout,
    same,
};
use kolibri::{
    Activation, Chain, Conv2d, ConvGeometry, Element, Fusion, Image, ImageMut, Padding, Parallel, QuantParams,
    Quantization, Quantized, Requantization, Serial, Weights, Workspace, kernels::Kernels,
};
use std::fmt::Debug;

/// Channels around the edges of registers, panels and blocks.
const CHANNELS: [usize; 18] = [1, 2, 3, 8, 15, 16, 17, 23, 32, 33, 58, 64, 68, 96, 100, 130, 150, 196];
/// The most multiply-adds of a case.
const WORK: usize = 400_000;

/// What images are made of here: values, and convolutions of them.
pub trait Value: Element + PartialEq + Debug {
    const CANARY: Self;
    fn values(rng: &mut Rng, len: usize, fma: bool) -> Vec<Self>;
    /// A convolution with weights that depend on the seed alone.
    fn conv(kernels: &'static Kernels, geometry: &ConvGeometry, seed: u64, last: bool) -> Conv2d<Self>;
    fn is(self, other: Self) -> bool;
}

impl Value for f32 {
    const CANARY: f32 = super::CANARY;

    fn values(rng: &mut Rng, len: usize, fma: bool) -> Vec<f32> {
        let data = rng.data(fma);
        rng.values(len, data)
    }

    fn conv(kernels: &'static Kernels, geometry: &ConvGeometry, seed: u64, _: bool) -> Conv2d {
        let rng = &mut Rng::new(seed);
        let k = geometry.cin / geometry.groups * geometry.window.kernel.iter().product::<usize>();
        let weights = rng.values(geometry.cout * k, Data::Plain);
        let bias = rng.values(geometry.cout, Data::Plain);
        let clamp = Activation::Clamp { min: -0.5, max: 1.25 };
        let activation = rng.pick(&[Activation::None, Activation::Relu6, clamp, Activation::HardSwish]);
        Conv2d::f32_on(kernels, geometry, Weights::oihw(&weights), Some(&bias), activation).expect("valid")
    }

    fn is(self, other: f32) -> bool {
        same(self, other)
    }
}

fn quantized<T: Quantized>(kernels: &'static Kernels, geometry: &ConvGeometry, seed: u64, last: bool) -> Conv2d<T> {
    let rng = &mut Rng::new(seed);
    let k = geometry.cin / geometry.groups * geometry.window.kernel.iter().product::<usize>();
    let weights: Vec<i8> = int8_cases::bytes(rng, geometry.cout * k, int8_cases::Bytes::Any);
    let bias: Vec<_> = (0..geometry.cout).map(|_| rng.range(0, 8000) as i32 - 4000).collect();
    let far = rng.pick(&[1.0, 1.0, 1.0, 1e-3, 1e5]);
    let (x, y) = (int8_cases::params::<T>(rng, 0.5), int8_cases::params::<T>(rng, 20.0 * far * (k as f32).sqrt()));
    let mode = rng.pick(&[Requantization::FloatScale, Requantization::FloatScale, Requantization::TfliteDouble]);
    let residual = (last || rng.one_in(8)).then(|| QuantParams::new(y.scale, T::MIN + 3));
    let quantization = Quantization { x, weight_scales: &[0.5], y, residual, mode };
    let activation = rng.pick(&[Activation::None, Activation::Relu6]);
    let weights = Weights::oihw(&weights);
    Conv2d::quantized_on(kernels, geometry, weights, Some(&bias), &quantization, activation).expect("valid")
}

macro_rules! bytes {
    ($type:ty) => {
        impl Value for $type {
            const CANARY: $type = 0x5a;

            fn values(rng: &mut Rng, len: usize, _: bool) -> Vec<$type> {
                let kind = int8_cases::kind(rng);
                int8_cases::bytes(rng, len, kind)
            }

            fn conv(kernels: &'static Kernels, geometry: &ConvGeometry, seed: u64, last: bool) -> Conv2d<$type> {
                quantized(kernels, geometry, seed, last)
            }

            fn is(self, other: $type) -> bool {
                self == other
            }
        }
    };
}
bytes!(u8);
bytes!(i8);

fn pointwise(cin: usize, cout: usize) -> ConvGeometry {
    ConvGeometry::new(cin, cout, [1, 1])
}

/// A depthwise convolution with a kernel of its own, as networks have them.
fn depthwise(rng: &mut Rng, channels: usize) -> ConvGeometry {
    let (k, s) = rng.pick(&kolibri::kernels::DW_SHAPES);
    let explicit =
        Padding::Explicit { top: rng.below(k), left: rng.below(k), bottom: rng.below(k), right: rng.below(k) };
    let padding = rng.pick(&[Padding::Same, Padding::Same, Padding::Valid, explicit]);
    ConvGeometry::new(channels, channels, [k; 2]).stride([s; 2]).padding(padding).groups(channels)
}

/// A convolution of any window.
fn any(rng: &mut Rng, cin: usize, cout: usize, groups: usize) -> ConvGeometry {
    let mut pair = |first, last| [rng.range(first, last), rng.range(first, last)];
    let (kernel, stride, dilation) = (pair(1, 5), pair(1, 3), pair(1, 3));
    let mut pad = |i: usize| rng.below((kernel[i] - 1) * dilation[i] + 3);
    let padding = Padding::Explicit { top: pad(0), left: pad(1), bottom: pad(0), right: pad(1) };
    let padding = rng.pick(&[Padding::Same, padding]);
    ConvGeometry::new(cin, cout, kernel).stride(stride).dilation(dilation).padding(padding).groups(groups)
}

/// The convolutions of a chain, and the image that it takes.
fn geometries(rng: &mut Rng) -> (Vec<ConvGeometry>, [usize; 3]) {
    loop {
        let [a, b, c] = [rng.pick(&CHANNELS), rng.pick(&CHANNELS), rng.pick(&CHANNELS)];
        let filter = |rng: &mut Rng, c| if rng.one_in(3) { any(rng, c, c, c) } else { depthwise(rng, c) };
        let geometries = match rng.below(8) {
            0 => vec![filter(rng, a), pointwise(a, b)],
            1 => vec![pointwise(a, b), filter(rng, b)],
            2..5 => vec![pointwise(a, b), filter(rng, b), pointwise(b, c)],
            5 => vec![any(rng, 3, a, 1), filter(rng, a), pointwise(a, b)],
            6 => vec![filter(rng, a), pointwise(a, b), filter(rng, b), pointwise(b, c)],
            _ => vec![any(rng, a, b, 1), any(rng, b, 2 * b, b), any(rng, 2 * b, 2 * b, 2)],
        };
        let image = [rng.range(1, 2), rng.range(1, 24), rng.range(1, 24)];
        let (mut size, mut work) = (Ok([image[1], image[2]]), 0);
        for g in &geometries {
            size = size.and_then(|[h, w]: [usize; 2]| g.output_size(h, w));
            let k = g.cin / g.groups * g.window.kernel[0] * g.window.kernel[1];
            work += size.as_ref().map_or(0, |[h, w]| image[0] * h * w * g.cout * k);
        }
        if size.is_ok() && work <= WORK {
            return (geometries, image);
        }
    }
}

pub fn chain(rng: &mut Rng, place: Place) {
    let (geometries, image) = geometries(rng);
    chain_of::<f32>(rng, place, &geometries, image);
    if rng.one_in(2) {
        chain_of::<u8>(rng, place, &geometries, image);
    } else {
        chain_of::<i8>(rng, place, &geometries, image);
    }
}

/// Every way to run a chain, on every level, on views of any stride.
pub fn chain_of<T: Value>(rng: &mut Rng, place: Place, geometries: &[ConvGeometry], [n, h, w]: [usize; 3]) {
    let [oh, ow] = geometries.iter().fold([h, w], |[h, w], g| g.output_size(h, w).expect("an output"));
    let last = geometries.len() - 1;
    let (x_shape, y_shape) = ([n, h, w, geometries[0].cin], [n, oh, ow, geometries[last].cout]);
    let [x_layout, residual_layout, y_layout] = [x_shape, y_shape, y_shape].map(|shape| Layout::random(rng, shape));
    let (seed, residual_seed) = (rng.next(), rng.next());
    // What is added: nothing, an image, or the input itself.
    let (has_residual, own) = (rng.one_in(2), x_shape == y_shape && rng.one_in(2));
    let strips = rng.range(1, oh);
    for kernels in levels() {
        let x: Mem<T> = Mem::new(place, &T::values(&mut Rng::new(seed), x_layout.len(), kernels.fma), T::CANARY);
        let residual = T::values(&mut Rng::new(residual_seed), residual_layout.len(), kernels.fma);
        let residual: Mem<T> = Mem::new(place, &residual, T::CANARY);
        let x = x_layout.view(&x);
        let residual = if own { x } else { residual_layout.view(&residual) };
        let residual = has_residual.then_some(residual);
        let convs = || -> Vec<_> {
            geometries.iter().enumerate().map(|(i, g)| T::conv(kernels, g, seed ^ i as u64, i == last)).collect()
        };

        let mut expected = vec![T::CANARY; y_layout.len()];
        one_by_one(&convs(), x, residual, y_layout.view_mut(&mut expected));
        for fusion in [Fusion::Never, Fusion::Always, Fusion::Strips(1), Fusion::Strips(strips)] {
            let chain = Chain::with_fusion(convs(), fusion).expect("they fit");
            for parallel in [&Serial as &dyn Parallel, &Threads(2), &Threads(3)] {
                let what = (kernels.level, fusion, parallel.threads(), geometries, [n, h, w], has_residual, own);
                let mut y: Mem<T> = Mem::new(place, &vec![T::CANARY; y_layout.len()], T::CANARY);
                let bytes = chain.workspace_len([n, h, w], parallel.threads()).expect("an output");
                let mut workspace = Workspace::new(bytes).expect("memory");
                // Twice: the second time the workspace is no longer zeros.
                for _ in 0..2 {
                    y.fill(T::CANARY);
                    let result = chain.run(x, residual, y_layout.view_mut(&mut y), &mut workspace, parallel);
                    result.unwrap_or_else(|error| panic!("{what:?}: {error}"));
                    if let Some(i) = (0..y.len()).find(|&i| !y[i].is(expected[i])) {
                        panic!("{what:?}: at {i} got {:?}, expected {:?}", y[i], expected[i]);
                    }
                }
            }
        }
    }
}

/// By `Conv2d` alone, which other tests compare with the reference.
fn one_by_one<T: Value>(convs: &[Conv2d<T>], x: Image<'_, T>, residual: Option<Image<'_, T>>, y: ImageMut<'_, T>) {
    let [n, h, w, _] = x.shape();
    let (conv, rest) = convs.split_first().expect("a convolution");
    let mut workspace = Workspace::new(conv.workspace_len([n, h, w], 1).expect("an output")).expect("memory");
    if rest.is_empty() {
        return conv.run(x, residual, y, &mut workspace, &Serial).expect("valid");
    }
    let ([oh, ow], c) = (conv.output_size(h, w).expect("an output"), conv.geometry().cout);
    let mut between = vec![T::CANARY; n * oh * ow * c];
    let to = ImageMut::nhwc(&mut between, n, oh, ow, c).expect("dense");
    conv.run(x, None, to, &mut workspace, &Serial).expect("valid");
    one_by_one(rest, Image::nhwc(&between, n, oh, ow, c).expect("dense"), residual, y);
}
