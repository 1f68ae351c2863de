//! Sums of products to bytes.

use super::*;

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

    /// Makes the bytes those of the other type: i8 instead of u8, or the reverse, all values 128 apart.
    pub fn change_sign(&mut self) {
        let apart = if self.least < 0 { 128 } else { -128 };
        for value in [&mut self.least, &mut self.zero_point, &mut self.min, &mut self.max] {
            *value += apart;
        }
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
    pub fn new(least: i32, zero_point: i32, min: i32, max: i32) -> Output {
        let byte = |value: i32| (value - least) as u8;
        let flip = if least < 0 { 0x80 } else { 0 };
        Output { zero_point: byte(zero_point).into(), min: byte(min), max: byte(max), flip }
    }
}

/// `multiplier * 2^(shift - 31)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct FixedPoint {
    pub multiplier: i32,
    pub shift: i32,
    /// Ties away from zero, rather than up.
    away: bool,
}

impl FixedPoint {
    /// The nearest to a positive finite `real`: zero below 2^-32, where every product rounds to zero, and at most what
    /// shift 30 allows.
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
