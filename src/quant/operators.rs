//! The arithmetic of the other operators on bytes.

use super::*;

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
    /// The byte of pixels outside the image, where they count.
    pub padding: Option<i32>,
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
        Ok(Average { least: T::MIN, rescale, padding: None, min: T::MIN, max: T::MAX })
    }

    /// Of so many pixels at most.
    pub fn check(&self, pixels: usize) -> Result<(), Error> {
        if pixels <= MAX_PIXELS { Ok(()) } else { Err(Error::Overflow { argument: "sum of the window" }) }
    }

    /// Pixels that count for an output, at most: those that a window can see, or all.
    pub fn most(&self, window: &crate::Window, h: usize, w: usize) -> usize {
        let [kh, kw] = window.kernel;
        let [kh, kw] = if self.padding.is_some() { [kh, kw] } else { [kh.min(h), kw.min(w)] };
        kh.saturating_mul(kw)
    }

    /// What pixels outside the image add to a sum of `inside` of the `all` pixels of a window, and how many then count.
    pub fn outside(&self, inside: i32, all: i32) -> (i32, i32) {
        self.padding.map_or((0, inside), |byte| ((all - inside) * byte, all))
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

    /// What a byte of the output stands for, where that is not what one of the input does.
    pub fn y(&self) -> Option<QuantParams> {
        self.rescale.map(|(_, y)| y)
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

/// The byte of `y` that stands for the sigmoid of what `q` stands for in `x`.
pub(crate) fn sigmoid<T: Quantized>(q: i32, x: QuantParams, y: QuantParams) -> i32 {
    let real = f64::from(x.scale * (q - x.zero_point) as f32);
    let steps = 1.0 / (1.0 + exp(-real)) / f64::from(y.scale);
    (round_away(steps.min(1e3)) as i32 + y.zero_point).clamp(T::MIN, T::MAX)
}

/// `exp(x)`, `x` bounded to 700 on either side, to a part in 2^40: by operations that round the same everywhere.
fn exp(x: f64) -> f64 {
    let part = x.clamp(-700.0, 700.0) / 1024.0;
    let power = (1..=16).rev().fold(1.0, |sum, k| 1.0 + part / f64::from(k) * sum);
    (0..10).fold(power, |power, _| power * power) // to the 1024th
}

/// A product of bytes, `(a - a_zero_point) * (b - b_zero_point)`: all that does not change from run to run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Product {
    least: i32,
    a_zero_point: i32,
    b_zero_point: i32,
    y_zero_point: i32,
    /// A step of the product in steps of the output.
    pub scale: f32,
}

impl Product {
    pub fn new<T: Quantized>(a: QuantParams, b: QuantParams, y: QuantParams) -> Result<Self, Error> {
        let (argument, expected) = ("x_scale * gate_scale / y_scale", "a ratio below 2^15");
        let scale = (a.scale * b.scale) / y.scale;
        // Products, at most 255 * 255 * 2^15, then stay within i32.
        if scale >= 32768.0 {
            return Err(Error::Scale { argument, expected, scale });
        }
        let (a_zero_point, b_zero_point, y_zero_point) = (a.zero_point, b.zero_point, y.zero_point);
        Ok(Product { least: T::MIN, a_zero_point, b_zero_point, y_zero_point, scale })
    }

    /// The byte of a product: the definition.
    #[cfg(feature = "std")]
    pub fn one(&self, a: i32, b: i32) -> i32 {
        let product = (a - self.a_zero_point) * (b - self.b_zero_point);
        let value = round_even((product as f32 * self.scale).clamp(-1e3, 1e3)) + self.y_zero_point;
        value.clamp(self.least, self.least + 255)
    }

    /// `b - b_zero_point`. Its product with another byte's fits 17 bits and so is exact in f32, as `one` has it in i32.
    pub fn factor(&self, b: i32) -> f32 {
        (b - self.b_zero_point) as f32
    }

    /// The zero point of `a` as u8.
    pub fn zero(&self) -> i32 {
        self.a_zero_point - self.least
    }

    pub fn output(&self) -> Output {
        Output::new(self.least, self.y_zero_point, self.least, self.least + 255)
    }
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
        let fine = x.scale * (1.0 / 128.0);
        // Where `fine` is subnormal it was rounded, so that ratios a little below 128 come out as 128.
        let (argument, expected, ratio) = ("x_scale / y_scale", "a ratio below 128", fine / y.scale);
        if ratio >= 1.0 {
            return Err(Error::Scale { argument, expected, scale: ratio * 128.0 });
        }
        let (output, reluish) = (Factor16::new(ratio), Factor16::new(fine / (3.0 / 32768.0)));
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
