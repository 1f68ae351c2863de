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
pub trait Quantized: Element<Conv = crate::ops::ConvI8, Add = Sum, Pool = crate::ops::PoolI8> {
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
    let expected = "a positive finite scale";
    if scale > 0.0 && scale.is_finite() { Ok(()) } else { Err(Error::Scale { argument, expected, scale }) }
}

/// A ratio that makes no operation on the way overflow.
fn check_ratio(argument: &'static str, scale: f32) -> Result<f32, Error> {
    if scale < MAX_RATIO { Ok(scale) } else { Err(Error::Scale { argument, expected: "a ratio below 2^64", scale }) }
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
        let scales = || (0..cout).map(|c| q.weight_scales[c % q.weight_scales.len()]);
        let float = scales().map(|w| check_ratio("x_scale * weight_scale / y_scale", (q.x.scale * w) / q.y.scale));
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
            let scale = check_ratio("residual_scale / y_scale", r.scale / q.y.scale)?;
            let fixed = FixedPoint::new(f64::from(r.scale) / f64::from(q.y.scale), true);
            Ok(Residual { zero_point: r.zero_point, scale, fixed })
        });
        let zero_point = q.y.zero_point;
        Ok(Requantizer { least: T::MIN, zero_point, min, max, rescale, residual: residual.transpose()? })
    }

    pub fn output(&self) -> Output {
        Output::new(self.least, self.zero_point, self.min, self.max)
    }

    /// Whether without a residual a kernel's own epilogue does all there is to do: no scaled sum leaves i32, where a sum
    /// of channel `c` is at most `largest(c)` in magnitude.
    pub fn is_plain(&self, largest: impl Fn(usize) -> f64) -> bool {
        // The scaled sum is rounded to f32 twice.
        const LIMIT: f64 = 2_147_480_000.0;
        let stays = |(c, &scale): (usize, &f32)| largest(c).min(-f64::from(i32::MIN)) * f64::from(scale) < LIMIT;
        match &self.rescale {
            Rescale::Float(scales) => scales.iter().enumerate().all(stays),
            Rescale::Fixed(_) => false,
        }
    }

    /// What a kernel's epilogue multiplies by; zero where it leaves sums.
    pub fn float_scale(&self, c: usize) -> f32 {
        match &self.rescale {
            Rescale::Float(scales) => scales[c],
            Rescale::Fixed(_) => 0.0,
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

impl Output {
    fn new(least: i32, zero_point: i32, min: i32, max: i32) -> Output {
        let byte = |value: i32| (value - least) as u8;
        let flip = if least < 0 { 0x80 } else { 0 };
        Output { zero_point: byte(zero_point).into(), min: byte(min), max: byte(max), flip }
    }
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

/// An addition: all that does not change from run to run.
#[derive(Clone, Copy, Debug)]
pub struct Sum {
    least: i32,
    a: Term,
    b: Term,
    shift: i32,
    zero_point: i32,
    min: i32,
    max: i32,
}

/// `(q - zero_point) * multiplier`.
#[derive(Clone, Copy, Debug)]
struct Term {
    zero_point: i32,
    multiplier: i32,
}

impl Sum {
    pub(crate) fn new<T: Quantized>(
        a: QuantParams,
        b: QuantParams,
        y: QuantParams,
        activation: Activation,
    ) -> Result<Self, Error> {
        a.validate::<T>("a")?;
        b.validate::<T>("b")?;
        y.validate::<T>("y")?;
        let (min, max) = y.bounds::<T>(activation, Requantization::FloatScale)?;
        let ratio = |argument, scale: f32| {
            let (scale, expected) = (scale / y.scale, "a ratio from 2^-10 to below 2^8");
            let fits = (1.0 / 1024.0..256.0).contains(&scale);
            if fits { Ok(scale) } else { Err(Error::Scale { argument, expected, scale }) }
        };
        let ratios = [ratio("a_scale / y_scale", a.scale)?, ratio("b_scale / y_scale", b.scale)?];
        let exponent = |ratio: f32| (ratio.to_bits() >> 23) as i32 - 127; // floor(log2(ratio))
        let shift = 20 - exponent(ratios[0].max(ratios[1]));
        let power = f32::from_bits(((shift + 127) as u32) << 23);
        let term = |q: QuantParams, ratio: f32| Term {
            zero_point: q.zero_point,
            multiplier: round_even(ratio * power), // at most 2^21
        };
        let (a, b) = (term(a, ratios[0]), term(b, ratios[1]));
        Ok(Sum { least: T::MIN, a, b, shift, zero_point: y.zero_point, min, max })
    }

    /// The byte of a sum: the definition.
    #[cfg(feature = "std")]
    pub(crate) fn one(&self, a: i32, b: i32) -> i32 {
        let term = |term: Term, value: i32| (value - term.zero_point) * term.multiplier;
        let sum = (term(self.a, a) + term(self.b, b) + (1 << (self.shift - 1))) >> self.shift;
        (sum + self.zero_point).clamp(self.min, self.max)
    }

    /// The same in terms of u8: multipliers, what is added to the products, and the shift. Products of bytes and
    /// multipliers stay below 2^29 each, the half at most 2^29: every sum fits i32.
    pub(crate) fn terms(&self) -> ([i32; 2], i32, i32) {
        let zeros = |term: Term| (term.zero_point - self.least) * term.multiplier;
        let bias = (1 << (self.shift - 1)) - zeros(self.a) - zeros(self.b);
        ([self.a.multiplier, self.b.multiplier], bias, self.shift)
    }

    pub(crate) fn output(&self) -> Output {
        Output::new(self.least, self.zero_point, self.min, self.max)
    }
}

/// The most pixels whose bytes, less a zero point, add up within i32.
const MAX_PIXELS: usize = 1 << 23;

/// Averages of bytes: all that does not change from run to run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Average {
    least: i32,
    /// Of the input and of the output; `None` where both have the same.
    rescale: Option<(QuantParams, QuantParams)>,
    pub min: i32,
    pub max: i32,
}

impl Average {
    pub fn new<T: Quantized>(rescale: Option<(QuantParams, QuantParams)>) -> Result<Self, Error> {
        if let Some((x, y)) = rescale {
            x.validate::<T>("x")?;
            y.validate::<T>("y")?;
            check_ratio("x_scale / y_scale", x.scale / y.scale)?;
        }
        Ok(Average { least: T::MIN, rescale, min: T::MIN, max: T::MAX })
    }

    /// Of so many pixels at most.
    pub fn check(&self, pixels: usize) -> Result<(), Error> {
        if pixels <= MAX_PIXELS { Ok(()) } else { Err(Error::Overflow { argument: "sum of the window" }) }
    }

    /// The byte of the sum of the bytes of `n` pixels: the definition.
    pub fn one(&self, sum: i32, n: i32) -> i32 {
        let byte = match self.rescale {
            None => {
                let magnitude = (sum.abs() + n / 2) / n.max(1); // where dilation steps over the image there is no pixel
                if sum < 0 { -magnitude } else { magnitude }
            }
            Some((x, y)) => {
                let (low, high) = ((self.min - y.zero_point) as f32, (self.max - y.zero_point) as f32);
                let scaled = (sum - n * x.zero_point) as f32 * (x.scale / (y.scale * n as f32));
                round_even(scaled.clamp(low, high)) + y.zero_point
            }
        };
        byte.clamp(self.min, self.max)
    }

    /// The byte that stands for zero in the input, of which sums are taken, and in the output.
    pub fn zero_points(&self) -> (i32, i32) {
        self.rescale.map_or((0, 0), |(x, y)| (x.zero_point, y.zero_point))
    }

    /// What multiplies the sum of `n` pixels, so that rounding halves to even gives the byte; `None` where nothing does.
    ///
    /// Halves away from zero: the factor is a little more than `1 / n`, so that a half is no longer one. By 2^-21, which
    /// is more than the errors of the quotient and of the product, 2^-24 each; and too little to reach the next half, of
    /// which the quotient of a whole sum is at least `1 / 2n` short: 256 * 1.25 * 2^-21 is less for n below 3276.
    pub fn factor(&self, n: usize) -> Option<f32> {
        match self.rescale {
            None if n > 2048 => None,
            None => Some((1.0 + 1.0 / 2_097_152.0) / n.max(1) as f32),
            Some((x, y)) => Some(x.scale / (y.scale * n as f32)),
        }
    }

    pub fn output(&self) -> Output {
        Output::new(self.least, self.zero_points().1, self.min, self.max)
    }
}

/// The byte of `y` that stands for what `q` stands for in `x`: ONNX Runtime's QLinearConcat.
pub(crate) fn rescale<T: Quantized>(q: i32, x: QuantParams, y: QuantParams) -> i32 {
    if x == y {
        return q;
    }
    let (low, high) = ((T::MIN - y.zero_point) as f32, (T::MAX - y.zero_point) as f32);
    let real = x.scale * (q - x.zero_point) as f32;
    round_even((real / y.scale).clamp(low, high)) + y.zero_point
}

/// Hard-swish in 16-bit fixed point: TensorFlow Lite's own kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HardSwish {
    x_zero_point: i32,
    y_zero_point: i32,
    /// From 128ths of a step of `x` to steps of `y`.
    output: Factor16,
    /// From 128ths of a step of `x` to 32768ths of 3.
    reluish: Factor16,
}

/// `multiplier * 2^(shift - 15)`.
#[derive(Clone, Copy, Debug)]
struct Factor16 {
    multiplier: i64,
    shift: i32,
}

impl Factor16 {
    fn new(real: f32) -> Factor16 {
        let FixedPoint { multiplier, shift, .. } = FixedPoint::new(real.into(), false);
        Factor16 { multiplier: ((i64::from(multiplier) + (1 << 15)) >> 16).min(i16::MAX.into()), shift }
    }

    /// `x * multiplier / 2^15`, halves up.
    fn high(self, x: i64) -> i64 {
        saturate16((x * self.multiplier + (1 << 14)) >> 15)
    }
}

fn saturate16(x: i64) -> i64 {
    x.clamp(i16::MIN.into(), i16::MAX.into())
}

/// Halves away from zero.
fn divide_by_power(x: i64, exponent: i32) -> i64 {
    let magnitude = (x.abs() + ((1 << exponent) >> 1)) >> exponent;
    if x < 0 { -magnitude } else { magnitude }
}

impl HardSwish {
    pub fn new<T: Quantized>(x: QuantParams, y: QuantParams) -> Result<Self, Error> {
        x.validate::<T>("x")?;
        y.validate::<T>("y")?;
        let (argument, expected, scale) = ("x_scale / y_scale", "a ratio below 128", x.scale / y.scale);
        if scale >= 128.0 {
            return Err(Error::Scale { argument, expected, scale });
        }
        let fine = x.scale * (1.0 / 128.0);
        let (output, reluish) = (Factor16::new(fine / y.scale), Factor16::new(fine / (3.0 / 32768.0)));
        Ok(HardSwish { x_zero_point: x.zero_point, y_zero_point: y.zero_point, output, reluish })
    }

    pub fn one<T: Quantized>(&self, q: i32) -> i32 {
        let x = i64::from(q - self.x_zero_point) << 7;
        let shift = self.reluish.shift;
        // `x / 3` in 32768ths, from -1 to 1, then `(x / 3 + 1) / 2`.
        let mut relu = if shift > 0 { saturate16(x << (shift - 1)) } else { x };
        relu = self.reluish.high(relu);
        relu = if shift > 0 { saturate16(relu << 1) } else { divide_by_power(relu, -shift) };
        relu = (relu + (1 << 15)) >> 1;
        let scaled = self.output.high(x);
        let product = (relu * scaled.abs()) >> 15; // towards zero
        let y = divide_by_power(if scaled < 0 { -product } else { product }, -self.output.shift);
        (y + i64::from(self.y_zero_point)).clamp(T::MIN.into(), T::MAX.into()) as i32
    }
}
