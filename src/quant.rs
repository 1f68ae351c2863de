//! Quantisation: bytes that stand for real numbers, and how sums of products become bytes again.

use crate::{Activation, Error, tensor::Element};
use alloc::vec::Vec;

/// What a byte stands for: `real = scale * (q - zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantParams {
    /// Positive and finite.
    pub scale: f32,
    /// Within the range of the bytes: -128 to 127 for `i8`, 0 to 255 for `u8`.
    pub zero_point: i32,
}

impl QuantParams {
    /// `scale * (q - zero_point)`.
    pub const fn new(scale: f32, zero_point: i32) -> Self {
        QuantParams { scale, zero_point }
    }

    /// The parameters with which `T` covers the range from `min` to `max`, extended to hold zero, and represents zero
    /// exactly: `scale = (max - min) / 255`, `zero_point = round(T::MIN - min / scale)`, ties away from zero. A range of
    /// zero, or of what is not finite, has scale 1.
    pub fn for_range<T: Quantized>(min: f32, max: f32) -> Self {
        let (min, max) = (min.min(0.0), max.max(0.0));
        let scale = (max - min) / 255.0;
        if !scale.is_normal() {
            return QuantParams { scale: 1.0, zero_point: T::MIN };
        }
        let zero = f64::from(T::MIN) - f64::from(min) / f64::from(scale);
        QuantParams { scale, zero_point: (round_away(zero) as i32).clamp(T::MIN, T::MAX) }
    }

    /// `clamp(round_half_even(x / scale) + zero_point)`; NaN becomes the zero point.
    pub fn quantise<T: Quantized>(&self, x: f32) -> T {
        let bound = |q: i32| q.saturating_sub(self.zero_point) as f32;
        let x = x / self.scale;
        let x = if x.is_nan() { 0.0 } else { x.clamp(bound(T::MIN), bound(T::MAX)) };
        T::from_i32(round_even(x).saturating_add(self.zero_point))
    }

    /// `scale * (q - zero_point)`.
    pub fn dequantise<T: Quantized>(&self, q: T) -> f32 {
        self.scale * q.to_i32().saturating_sub(self.zero_point) as f32
    }

    pub(crate) fn validate<T: Quantized>(&self, argument: &'static str) -> Result<(), Error> {
        check_scale(argument, self.scale)?;
        if (T::MIN..=T::MAX).contains(&self.zero_point) {
            return Ok(());
        }
        Err(Error::ZeroPoint { argument, zero_point: self.zero_point, min: T::MIN, max: T::MAX })
    }

    /// The bytes between which an activation keeps a result, within the range of the bytes.
    pub(crate) fn bounds<T: Quantized>(
        &self,
        activation: Activation,
        mode: Requantization,
    ) -> Result<(i32, i32), Error> {
        activation.validate()?;
        if activation == Activation::HardSwish {
            return Err(Error::Activation { activation: "hard-swish" });
        }
        let (min, max) = activation.bounds();
        let byte = |bound: f32| {
            let steps = (bound / self.scale).clamp(-1e3, 1e3);
            let byte = match mode {
                Requantization::FloatScale => round_even(steps + self.zero_point as f32),
                Requantization::TfliteDouble => self.zero_point + round_away(f64::from(steps)) as i32,
            };
            byte.clamp(T::MIN, T::MAX)
        };
        Ok((byte(min), byte(max)))
    }
}

/// The symmetric scale of the weights of one output channel: `max(|w|) / 127`, or 1 where all are zero.
pub fn weight_scale(weights: impl IntoIterator<Item = f32>) -> f32 {
    let largest = weights.into_iter().fold(0.0f32, |largest, w| largest.max(w.abs()));
    let scale = largest / 127.0;
    if scale.is_normal() { scale } else { 1.0 }
}

/// How a sum of products becomes a byte. With `acc` the exact sum in i32, bias included, modulo 2^32:
///
/// The clamp is to the range of the bytes, narrowed by the activation: a bound `b` becomes `round_half_even(b / y_scale +
/// zero_point)` with `FloatScale` and `zero_point + round_half_away(b / y_scale)` with `TfliteDouble`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Requantization {
    /// ```text
    /// scale[c] = (x_scale * weight_scale[c]) / y_scale                 each step rounded to f32
    /// q = clamp(round_half_even(f32(acc) * scale[c]) + zero_point)
    /// ```
    /// and with a residual `f32(acc) * scale[c] + f32(r - r_zero_point) * (r_scale / y_scale)`, each step rounded to f32. What
    /// ONNX Runtime and XNNPACK compute.
    #[default]
    FloatScale,
    /// ```text
    /// multiplier * 2^(shift - 31) = x_scale * weight_scale[c] / y_scale    in f64, multiplier from 2^30 to below 2^31
    /// high = floor((acc * 2^max(shift, 0) * multiplier + 2^30) / 2^31)
    /// q = clamp(high / 2^max(-shift, 0), rounded to nearest, + zero_point)
    /// ```
    /// What TensorFlow Lite's own kernels compute; slower. Those round ties of the second step by where a channel lies: up in
    /// CONV_2D and FULLY_CONNECTED; away from zero in CONV_2D with groups, and in the channels of DEPTHWISE_CONV_2D after
    /// the last whole eight, whose first are rounded up. FULLY_CONNECTED with one weight scale computes `x_scale *
    /// weight_scale` in f32. All of that is as they do it. A residual is rescaled by `r_scale / y_scale`, ties away from zero,
    /// and added before the zero point.
    TfliteDouble,
}

/// The quantisation of a convolution or a fully connected layer.
#[derive(Clone, Copy, Debug)]
pub struct Quantization<'a> {
    /// Of the input.
    pub x: QuantParams,
    /// Of the weights, whose zero point is 0: one scale, or one for each output channel.
    pub weight_scales: &'a [f32],
    /// Of the output.
    pub y: QuantParams,
    /// Of the residual, where `run` is given one.
    pub residual: Option<QuantParams>,
    /// How sums become bytes.
    pub mode: Requantization,
}

/// `i8` or `u8`.
pub trait Quantized: Element<Conv = crate::ops::ConvI8> {
    /// The least value.
    const MIN: i32;
    /// The greatest value.
    const MAX: i32;
    /// The value, which is from `MIN` to `MAX`.
    fn from_i32(value: i32) -> Self;
    /// The value.
    fn to_i32(self) -> i32;
}

impl Quantized for i8 {
    const MIN: i32 = -128;
    const MAX: i32 = 127;
    fn from_i32(value: i32) -> Self {
        value as i8
    }
    fn to_i32(self) -> i32 {
        self.into()
    }
}

impl Quantized for u8 {
    const MIN: i32 = 0;
    const MAX: i32 = 255;
    fn from_i32(value: i32) -> Self {
        value as u8
    }
    fn to_i32(self) -> i32 {
        self.into()
    }
}

/// Scales whose ratio is below this make no operation on the way overflow.
const MAX_RATIO: f32 = 18_446_744_073_709_551_616.0;

pub(crate) fn check_scale(argument: &'static str, scale: f32) -> Result<(), Error> {
    if scale > 0.0 && scale.is_finite() { Ok(()) } else { Err(Error::Scale { argument, scale }) }
}

/// Sums to values: all that does not change from run to run.
#[derive(Clone, Debug)]
pub(crate) struct Requantizer {
    /// The least value of the bytes.
    pub least: i32,
    pub zero_point: i32,
    pub min: i32,
    pub max: i32,
    /// One for each output channel.
    pub rescale: Rescale,
    pub residual: Option<Residual>,
}

/// How `TfliteDouble` rounds ties: by operator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Ties {
    Conv,
    GroupedConv,
    DepthwiseConv,
    FullyConnected,
}

impl Ties {
    fn away(self, channel: usize, channels: usize) -> bool {
        match self {
            Ties::Conv | Ties::FullyConnected => false,
            Ties::GroupedConv => true,
            Ties::DepthwiseConv => channel >= channels / 8 * 8,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Rescale {
    Float(Vec<f32>),
    Fixed(Vec<FixedPoint>),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Residual {
    pub zero_point: i32,
    pub scale: f32,
    fixed: FixedPoint,
}

impl Requantizer {
    pub fn new<T: Quantized>(
        cout: usize,
        q: &Quantization<'_>,
        activation: Activation,
        ties: Ties,
    ) -> Result<Self, Error> {
        q.x.validate::<T>("x")?;
        q.y.validate::<T>("y")?;
        if q.weight_scales.len() != 1 {
            crate::ops::check_length("weight_scales", cout, q.weight_scales.len())?;
        }
        q.weight_scales.iter().try_for_each(|&scale| check_scale("weight_scales", scale))?;
        let (min, max) = q.y.bounds::<T>(activation, q.mode)?;
        let ratio = |argument, scale: f32| {
            if scale < MAX_RATIO { Ok(scale) } else { Err(Error::Scale { argument, scale }) }
        };
        let scales = || (0..cout).map(|c| q.weight_scales[c % q.weight_scales.len()]);
        let float = scales().map(|w| ratio("x_scale * weight_scale / y_scale", (q.x.scale * w) / q.y.scale));
        let float = float.collect::<Result<Vec<_>, _>>()?;
        let per_tensor = ties == Ties::FullyConnected && q.weight_scales.len() == 1;
        let fixed = |(c, w): (usize, f32)| {
            let product = if per_tensor { f64::from(q.x.scale * w) } else { f64::from(q.x.scale) * f64::from(w) };
            FixedPoint::new(product / f64::from(q.y.scale), ties.away(c, cout))
        };
        let rescale = match q.mode {
            Requantization::FloatScale => Rescale::Float(float),
            Requantization::TfliteDouble => Rescale::Fixed(scales().enumerate().map(fixed).collect()),
        };
        let residual = q.residual.map(|r| {
            r.validate::<T>("residual")?;
            let scale = ratio("residual_scale / y_scale", r.scale / q.y.scale)?;
            let fixed = FixedPoint::new(f64::from(r.scale) / f64::from(q.y.scale), true);
            Ok(Residual { zero_point: r.zero_point, scale, fixed })
        });
        let zero_point = q.y.zero_point;
        Ok(Requantizer { least: T::MIN, zero_point, min, max, rescale, residual: residual.transpose()? })
    }

    pub fn output(&self) -> Output {
        let byte = |value: i32| (value - self.least) as u8;
        let flip = if self.least < 0 { 0x80 } else { 0 };
        Output { zero_point: byte(self.zero_point).into(), min: byte(self.min), max: byte(self.max), flip }
    }

    /// The scales, where a kernel's own epilogue does all there is to do without a residual: ratios below 1 keep every
    /// scaled sum within i32.
    pub fn plain_scales(&self) -> Option<&[f32]> {
        match &self.rescale {
            Rescale::Float(scales) if scales.iter().all(|&scale| scale < 1.0) => Some(scales),
            _ => None,
        }
    }

    /// The byte of a sum of channel `c`: the definition of both modes.
    pub fn one(&self, sum: i32, c: usize, residual: Option<i32>) -> i32 {
        let residual = self.residual.zip(residual).map(|(r, value)| (r, value - r.zero_point));
        let (min, max) = (self.min - self.zero_point, self.max - self.zero_point);
        let value = match &self.rescale {
            Rescale::Float(scales) => {
                let scaled = sum as f32 * scales[c];
                let scaled = residual.map_or(scaled, |(r, value)| scaled + value as f32 * r.scale);
                round_even(scaled.clamp(min as f32, max as f32))
            }
            Rescale::Fixed(scales) => {
                let scaled = i64::from(scales[c].multiply(sum));
                let scaled = scaled + residual.map_or(0, |(r, value)| i64::from(r.fixed.multiply(value)));
                scaled.clamp(min.into(), max.into()) as i32
            }
        };
        value + self.zero_point
    }
}

/// The output as kernels compute it: in u8, whose bits are flipped at the end where it is i8.
#[derive(Clone, Copy)]
pub(crate) struct Output {
    pub zero_point: i16,
    pub min: u8,
    pub max: u8,
    pub flip: u8,
}

/// `multiplier * 2^(shift - 31)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct FixedPoint {
    multiplier: i32,
    shift: i32,
    /// Ties away from zero, rather than up.
    away: bool,
}

impl FixedPoint {
    /// The nearest to a positive finite `real`; below 2^-31 it is zero.
    pub fn new(real: f64, away: bool) -> Self {
        let bits = real.to_bits();
        let exponent = (bits >> 52) as i32 - 1022; // real = fraction * 2^exponent, fraction from 0.5 to below 1
        let fraction = f64::from_bits(bits & ((1 << 52) - 1) | (1022 << 52));
        let mut multiplier = round_away(fraction * f64::from(1u32 << 31)) as i64;
        let mut shift = exponent;
        if multiplier == 1 << 31 {
            multiplier /= 2;
            shift += 1;
        }
        if shift < -31 {
            (multiplier, shift) = (0, 0);
        }
        if shift > 30 {
            (multiplier, shift) = ((1 << 31) - 1, 30);
        }
        FixedPoint { multiplier: multiplier as i32, shift, away }
    }

    pub fn multiply(self, x: i32) -> i32 {
        let (left, right) = (self.shift.max(0), (-self.shift).max(0));
        let x = x.wrapping_shl(left as u32);
        let product = i64::from(x) * i64::from(self.multiplier);
        let high = ((product + (1 << 30)) >> 31) as i32;
        let half = (1i64 << right) >> 1;
        let away = i64::from(self.away && right > 0 && high < 0);
        ((i64::from(high) + half - away) >> right) as i32
    }
}

/// Ties to the even neighbour; for magnitudes below 2^22.
pub(crate) fn round_even(x: f32) -> i32 {
    const SHIFT: f32 = 12_582_912.0; // 1.5 * 2^23: the sum has no place for fractions
    ((x + SHIFT) - SHIFT) as i32
}

/// Ties away from zero; for magnitudes below 2^52.
fn round_away(x: f64) -> f64 {
    let magnitude = if x < 0.0 { -x } else { x };
    let whole = (magnitude + 0.5) as i64 as f64;
    if x < 0.0 { -whole } else { whole }
}
