//! What images are made of: values, and layers of them.

use super::{Call, convolutions::Layer};
use arbitrary::Arbitrary;
use kolibri::{
    Conv2d, Element, Error, FullyConnected, Image, ImageMut, QuantParams, Quantization, Quantized, Requantization,
    kernels::Kernels, reference,
};
use std::fmt::Debug;

/// Kinds of values.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Data {
    /// Between -2 and 2.
    Plain,
    /// Of many exponents.
    Wide,
    /// Once in a while NaN, an infinity, zero, subnormal or large.
    Special,
    /// Any bits.
    Bits,
    /// The least and the greatest.
    Extreme,
    /// The least.
    Least,
    /// The greatest.
    Greatest,
}

/// A generator (splitmix64).
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// `f32`, `i8`, `u8`.
pub trait Value: Element + PartialEq + Debug {
    /// What an output holds before.
    const CANARY: Self;
    type Weight: Value;
    type Bias: Copy + Debug;
    /// What the bytes of a layer stand for.
    type Scales: Debug;

    fn random(rng: &mut Rng, data: Data) -> Self;
    fn bias(rng: &mut Rng, data: Data) -> Self::Bias;
    /// The same bits, any NaN being any NaN.
    fn same(self, other: Self) -> bool;
    /// Whether sums of products have the same bits as the reference.
    fn exact(kernels: &Kernels) -> bool;
    /// For sums of `terms` products.
    fn scales(call: &mut Call<'_, '_>, outputs: usize, terms: usize) -> Self::Scales;

    fn conv(kernels: &'static Kernels, layer: &Layer<Self>) -> Result<Conv2d<Self>, Error>;
    fn conv_truth(
        x: Image<'_, Self>,
        residual: Option<Image<'_, Self>>,
        y: ImageMut<'_, Self>,
        layer: &Layer<Self>,
    ) -> Result<(), Error>;
    fn fully_connected(kernels: &'static Kernels, layer: &Layer<Self>) -> Result<FullyConnected<Self>, Error>;
    fn fully_connected_truth(x: &[Self], batch: usize, y: &mut [Self], layer: &Layer<Self>) -> Result<(), Error>;
}

impl Value for f32 {
    const CANARY: f32 = -7.25e33;
    type Weight = f32;
    type Bias = f32;
    type Scales = ();

    fn random(rng: &mut Rng, data: Data) -> f32 {
        let bits = rng.next();
        let plain = (bits >> 40) as f32 / (1 << 22) as f32 - 2.0;
        match data {
            Data::Plain => plain,
            Data::Wide => plain * f32::from_bits((107 + bits as u32 % 41) << 23),
            Data::Special if bits as u8 == 0 => {
                let subnormal = f32::from_bits((bits >> 41) as u32);
                let any = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 0.0, subnormal, -subnormal, f32::MAX];
                any[(bits >> 8) as usize % any.len()]
            }
            Data::Special => plain,
            Data::Bits => f32::from_bits(bits as u32),
            Data::Extreme => f32::MAX.copysign(plain),
            Data::Least => f32::from_bits(1 << 31 | 1),
            Data::Greatest => f32::MAX,
        }
    }

    fn bias(rng: &mut Rng, data: Data) -> f32 {
        f32::random(rng, data)
    }

    fn same(self, other: f32) -> bool {
        self.to_bits() == other.to_bits() || self.is_nan() && other.is_nan()
    }

    fn exact(kernels: &Kernels) -> bool {
        kernels.fma
    }

    fn scales(_: &mut Call<'_, '_>, _: usize, _: usize) {}

    fn conv(kernels: &'static Kernels, layer: &Layer<f32>) -> Result<Conv2d, Error> {
        Conv2d::f32_on(kernels, &layer.geometry, layer.weights(), layer.bias(), layer.activation)
    }

    fn conv_truth(x: Image<'_>, residual: Option<Image<'_>>, y: ImageMut<'_>, layer: &Layer<f32>) -> Result<(), Error> {
        reference::conv2d(x, residual, y, &layer.geometry, layer.weights(), layer.bias(), layer.activation)
    }

    fn fully_connected(kernels: &'static Kernels, layer: &Layer<f32>) -> Result<FullyConnected, Error> {
        let (cin, cout) = (layer.geometry.cin, layer.geometry.cout);
        FullyConnected::f32_on(kernels, cin, cout, &layer.weights, layer.bias(), layer.activation)
    }

    fn fully_connected_truth(x: &[f32], batch: usize, y: &mut [f32], layer: &Layer<f32>) -> Result<(), Error> {
        let (cin, cout) = (layer.geometry.cin, layer.geometry.cout);
        reference::fully_connected(x, batch, y, cin, cout, &layer.weights, layer.bias(), layer.activation)
    }
}

/// What the bytes of a layer stand for.
#[derive(Debug)]
pub struct Scales {
    x: QuantParams,
    weights: Vec<f32>,
    y: QuantParams,
    residual: Option<QuantParams>,
    mode: Requantization,
}

impl Scales {
    /// Such that sums mostly fall into the range of the output.
    fn draw<T: Quantized>(call: &mut Call<'_, '_>, outputs: usize, terms: usize) -> Scales {
        let channels = if call.draw.flip() { 1 } else { call.len(outputs) };
        let about = (terms as f32).sqrt() * call.draw.pick(&[1.0, 1.0, 1.0, 1e-4, 1e5]);
        let weight = call.scale(1.0 / 64.0);
        let mut weights: Vec<_> = (0..channels).map(|i| weight * (1.0 + i as f32 / 64.0)).collect();
        if let Some(last) = weights.last_mut() {
            *last = call.scale(weight);
        }
        let residual = if call.draw.below(4) == 0 { None } else { Some(call.params::<T>(about)) };
        Scales { x: call.params::<T>(1.0), weights, y: call.params::<T>(about), residual, mode: call.mode() }
    }

    pub fn of(quantization: &Quantization<'_>) -> Scales {
        let &Quantization { x, weight_scales, y, residual, mode } = quantization;
        Scales { x, weights: weight_scales.to_vec(), y, residual, mode }
    }

    pub fn get(&self) -> Quantization<'_> {
        let Scales { x, y, residual, mode, .. } = *self;
        Quantization { x, weight_scales: &self.weights, y, residual, mode }
    }
}

macro_rules! bytes {
    ($type:ty) => {
        impl Value for $type {
            const CANARY: $type = 0x5a;
            type Weight = i8;
            type Bias = i32;
            type Scales = Scales;

            fn random(rng: &mut Rng, data: Data) -> $type {
                match data {
                    Data::Extreme if rng.next() % 2 == 0 => <$type>::MIN,
                    Data::Extreme | Data::Greatest => <$type>::MAX,
                    Data::Least => <$type>::MIN,
                    _ => rng.next() as $type,
                }
            }

            fn bias(rng: &mut Rng, data: Data) -> i32 {
                match data {
                    Data::Extreme if rng.next() % 2 == 0 => i32::MIN,
                    Data::Extreme => i32::MAX,
                    Data::Bits => rng.next() as i32,
                    _ => (rng.next() % 40_001) as i32 - 20_000,
                }
            }

            fn same(self, other: $type) -> bool {
                self == other
            }

            fn exact(_: &Kernels) -> bool {
                true
            }

            fn scales(call: &mut Call<'_, '_>, outputs: usize, terms: usize) -> Scales {
                Scales::draw::<$type>(call, outputs, terms)
            }

            fn conv(kernels: &'static Kernels, layer: &Layer<$type>) -> Result<Conv2d<$type>, Error> {
                let (quantization, activation) = (layer.scales.get(), layer.activation);
                Conv2d::quantized_on(kernels, &layer.geometry, layer.weights(), layer.bias(), &quantization, activation)
            }

            fn conv_truth(
                x: Image<'_, $type>,
                residual: Option<Image<'_, $type>>,
                y: ImageMut<'_, $type>,
                layer: &Layer<$type>,
            ) -> Result<(), Error> {
                let (geometry, weights, bias) = (&layer.geometry, layer.weights(), layer.bias());
                let (quantization, activation) = (layer.scales.get(), layer.activation);
                reference::conv2d_quantized(x, residual, y, geometry, weights, bias, &quantization, activation)
            }

            fn fully_connected(
                kernels: &'static Kernels,
                layer: &Layer<$type>,
            ) -> Result<FullyConnected<$type>, Error> {
                let (cin, cout, weights, bias) =
                    (layer.geometry.cin, layer.geometry.cout, &layer.weights[..], layer.bias());
                let (quantization, activation) = (layer.scales.get(), layer.activation);
                FullyConnected::quantized_on(kernels, cin, cout, weights, bias, &quantization, activation)
            }

            fn fully_connected_truth(
                x: &[$type],
                batch: usize,
                y: &mut [$type],
                layer: &Layer<$type>,
            ) -> Result<(), Error> {
                let (cin, cout, weights, bias) =
                    (layer.geometry.cin, layer.geometry.cout, &layer.weights[..], layer.bias());
                let (q, activation) = (layer.scales.get(), layer.activation);
                reference::fully_connected_quantized(x, batch, y, cin, cout, weights, bias, &q, activation)
            }
        }
    };
}

bytes!(i8);
bytes!(u8);
