//! Quantisation: bytes that stand for real numbers, and how sums of products become bytes again.

mod operators;
mod requantizer;

pub(crate) use operators::*;
pub(crate) use requantizer::*;

use crate::{Activation, Error, kernels::Function, tensor::Element};
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
    /// exactly: `scale = (max - min) / 255`, `zero_point = round(T::MIN - min / scale)`, ties away from zero. Where
    /// such a scale is zero, subnormal or not finite, as for a range of zero, it becomes 1 and the zero point
    /// `T::MIN`.
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
        match activation.function() {
            Function::Clamp => {}
            Function::HardSwish => return Err(Error::Activation { activation: "hard-swish" }),
            Function::Sigmoid => return Err(Error::Activation { activation: "sigmoid" }),
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

/// The symmetric scale of the weights of one output channel: `max(|w|) / 127`, or 1 where that is zero,
/// subnormal or not finite.
pub fn weight_scale(weights: impl IntoIterator<Item = f32>) -> f32 {
    let largest = weights.into_iter().fold(0.0f32, |largest, w| largest.max(w.abs()));
    let scale = largest / 127.0;
    if scale.is_normal() { scale } else { 1.0 }
}

/// How a sum of products becomes a byte. Below, `acc` is the exact sum in i32, bias included, modulo 2^32.
///
/// The clamp is to the range of the bytes, narrowed by the activation: a bound `b` becomes `round_half_even(b / y_scale +
/// zero_point)` with `FloatScale` and `zero_point + round_half_away(b / y_scale)` with `TfliteDouble`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Requantization {
    /// ```text
    /// scale[c] = (x_scale * weight_scale[c]) / y_scale                 each step rounded to f32
    /// q = clamp(round_half_even(f32(acc) * scale[c]) + zero_point)
    /// ```
    /// What ONNX Runtime and XNNPACK compute. A residual is Kolibri's own: to `f32(acc) * scale[c]` is added
    /// `f32(r - r_zero_point) * (r_scale / y_scale)`, each step rounded to f32.
    #[default]
    FloatScale,
    /// ```text
    /// multiplier * 2^(shift - 31) = x_scale * weight_scale[c] / y_scale    in f64, multiplier from 2^30 to below 2^31
    /// left = acc * 2^max(shift, 0)                                         in i32, modulo 2^32
    /// high = floor((left * multiplier + 2^30) / 2^31)
    /// q = clamp(high / 2^max(-shift, 0), rounded to nearest, + zero_point)
    /// ```
    /// What TensorFlow Lite's own kernels compute; slower. Those round ties of the second step by where a channel
    /// lies: up in CONV_2D and FULLY_CONNECTED; away from zero in CONV_2D with groups, and in the channels of
    /// DEPTHWISE_CONV_2D after the last whole eight, whose first are rounded up. FULLY_CONNECTED with one weight scale
    /// computes `x_scale * weight_scale` in f32. Ratios of 2^30 and more count as the greatest of shift 30. All of
    /// that is as they do it.
    ///
    /// A residual is Kolibri's own: rescaled by `r_scale / y_scale`, ties away from zero, and added before the zero
    /// point.
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
pub trait Quantized:
    Element<Conv = crate::ops::ConvI8, Add = Sum, Pool = crate::ops::PoolI8, Excite = crate::ops::ExciteI8<Self>>
{
    /// The least value.
    const MIN: i32;
    /// The greatest value.
    const MAX: i32;
    /// The value, which is from `MIN` to `MAX`.
    fn from_i32(value: i32) -> Self;
    /// The value.
    fn to_i32(self) -> i32;
}

#[cfg(feature = "int8")]
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

#[cfg(feature = "int8")]
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
    let expected = "a positive finite scale";
    if scale > 0.0 && scale.is_finite() { Ok(()) } else { Err(Error::Scale { argument, expected, scale }) }
}

/// A ratio that makes no operation on the way overflow.
fn check_ratio(argument: &'static str, scale: f32) -> Result<f32, Error> {
    if scale < MAX_RATIO { Ok(scale) } else { Err(Error::Scale { argument, expected: "a ratio below 2^64", scale }) }
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
