//! Activations of images, and the squeeze-excite.

use super::{activate, fully_connected, fully_connected_quantized, global_average, global_average_quantized, map};
use super::{positions, put};
use crate::{
    Activation, Error, Image, ImageMut, QuantParams, Quantized, Requantization,
    ops::{SqueezeExciteQuantization, SqueezeExciteWeights, check_excited, check_length, check_pointwise},
    quant::{self, Product},
};

/// `1 / (1 + exp(-x))` as `e / (1 + e)` of `e = exp(x)`, each step rounded. NaN stays NaN.
///
/// ```text
/// x bounded to -88 and 18                         beyond, the result is 0 and 1
/// n = x / ln(2), rounded to a whole number
/// r = (x - n * ln2_high) - n * ln2_low            from -ln(2) / 2 to ln(2) / 2
/// e = 2^n * (1 + r + r^2 / 2 + ..)                a polynomial of degree 6, off by 2^-26 of itself
/// ```
/// Where the result is at least 2^-126, that is from x = -87.33 on, it is off by at most 2.41 units in the last place,
/// for every `f32`. Below that it loses its bits one by one, and from -87.68 down it is 0.
pub fn sigmoid(x: f32) -> f32 {
    const WHOLE: f32 = 12_583_039.0; // 1.5 * 2^23 + 127: the sum has no place for fractions, its lowest bits are n + 127
    let x = activate(x, Activation::Clamp { min: -88.0, max: 18.0 });
    let whole = x.mul_add(core::f32::consts::LOG2_E, WHOLE);
    let n = whole - WHOLE;
    let r = n.mul_add(-355.0 / 512.0, x); // nine bits: the product is exact
    let r = n.mul_add(2.121_944_4e-4, r);
    let p = 0.001_392_625;
    let p = r.mul_add(p, 0.008_363_233);
    let p = r.mul_add(p, 0.041_666_552);
    let p = r.mul_add(p, 0.166_665_76);
    let p = r.mul_add(p, 0.5);
    let p = r.mul_add(p, 1.0);
    let p = r.mul_add(p, 1.0);
    let e = p * f32::from_bits(whole.to_bits() << 23); // 2^n; 0 for n = -127
    e / (1.0 + e)
}

/// `y = act(x)`.
///
/// # Errors
/// As [`crate::Activate`].
pub fn activate_image(x: Image<'_>, mut y: ImageMut<'_>, activation: Activation) -> Result<(), Error> {
    activation.validate()?;
    check_pointwise(&x, &y)?;
    for at @ (n, h, w, c) in positions(y.shape()) {
        if let Some(&x) = x.get(n, h, w, c) {
            put(&mut y, at, activate(x, activation));
        }
    }
    Ok(())
}

/// `y = min(max(x, low), high)`, the bounds being those of the activation as [`Requantization`] says.
///
/// # Errors
/// As [`crate::Lookup::with_activation`].
pub fn activate_quantized<T: Quantized>(
    x: Image<'_, T>,
    mut y: ImageMut<'_, T>,
    params: QuantParams,
    activation: Activation,
    mode: Requantization,
) -> Result<(), Error> {
    params.validate::<T>("y")?;
    let (low, high) = params.bounds::<T>(activation, mode)?;
    check_pointwise(&x, &y)?;
    map(x, &mut y, 0, |q| q.max(low).min(high));
    Ok(())
}

/// `y = clamp(round_half_away(sigmoid(x_scale * (x - x_zero_point)) / y_scale) + y_zero_point)`.
///
/// # Errors
/// As [`crate::Lookup::sigmoid`].
pub fn sigmoid_quantized<T: Quantized>(
    x: Image<'_, T>,
    mut y: ImageMut<'_, T>,
    x_params: QuantParams,
    y_params: QuantParams,
) -> Result<(), Error> {
    x_params.validate::<T>("x")?;
    y_params.validate::<T>("y")?;
    check_pointwise(&x, &y)?;
    map(x, &mut y, 0, |q| quant::sigmoid::<T>(q, x_params, y_params));
    Ok(())
}

/// `y[n, y, x, c] = x[n, y, x, c] * s[n][c]`.
///
/// # Errors
/// Images of different shapes or that share memory, factors of another number than channels of all images.
pub fn channel_scale(x: Image<'_>, s: &[f32], mut y: ImageMut<'_>) -> Result<(), Error> {
    check_pointwise(&x, &y)?;
    let [n, _, _, channels] = y.shape();
    check_length("s", n * channels, s.len())?;
    for at @ (n, h, w, c) in positions(y.shape()) {
        if let Some(x) = x.get(n, h, w, c) {
            put(&mut y, at, x * s[n * channels + c]);
        }
    }
    Ok(())
}

/// `y = clamp(round_half_even(f32((x - x_zero_point) * (s - s_zero_point)) * scale) + y_zero_point)` with `scale =
/// (x_scale * s_scale) / y_scale`, each step rounded to f32; `params` of `x`, `s` and `y`.
///
/// # Errors
/// As [`channel_scale`]; scales and zero points that are none; a ratio of scales of 2^15 or more.
pub fn channel_scale_quantized<T: Quantized>(
    x: Image<'_, T>,
    s: &[T],
    mut y: ImageMut<'_, T>,
    params: [QuantParams; 3],
) -> Result<(), Error> {
    for (argument, params) in ["x", "s", "y"].into_iter().zip(params) {
        params.validate::<T>(argument)?;
    }
    let product = Product::new::<T>(params[0], params[1], params[2])?;
    check_pointwise(&x, &y)?;
    let [n, _, _, channels] = y.shape();
    check_length("s", n * channels, s.len())?;
    for at @ (n, h, w, c) in positions(y.shape()) {
        if let Some(x) = x.get(n, h, w, c) {
            let byte = product.one(x.to_i32(), s[n * channels + c].to_i32());
            put(&mut y, at, T::from_i32(byte));
        }
    }
    Ok(())
}

/// `y = x * sigmoid(w_expand * max(w_reduce * average(x) + b_reduce, 0) + b_expand)`, channel by channel.
///
/// # Errors
/// As [`crate::SqueezeExcite`].
#[cfg(feature = "squeeze-excite")]
pub fn squeeze_excite(x: Image<'_>, y: ImageMut<'_>, weights: &SqueezeExciteWeights<'_>) -> Result<(), Error> {
    weights.validate()?;
    let &SqueezeExciteWeights { c, reduced, w_reduce, b_reduce, w_expand, b_expand } = weights;
    let n = check_excited(&x, &y, c)?;
    let (mut a, mut r, mut s) = (vec![0.0; n * c], vec![0.0; n * reduced], vec![0.0; n * c]);
    global_average(x, ImageMut::nhwc(&mut a, n, 1, 1, c)?)?;
    fully_connected(&a, n, &mut r, c, reduced, w_reduce, b_reduce, Activation::Relu)?;
    fully_connected(&r, n, &mut s, reduced, c, w_expand, b_expand, Activation::Sigmoid)?;
    channel_scale(x, &s, y)
}

/// [`squeeze_excite`] of bytes: [`global_average_quantized`], [`fully_connected_quantized`] with ReLU and without,
/// [`sigmoid_quantized`], [`channel_scale_quantized`].
///
/// # Errors
/// As [`crate::SqueezeExcite`].
#[cfg(feature = "squeeze-excite")]
pub fn squeeze_excite_quantized<T: Quantized>(
    x: Image<'_, T>,
    y: ImageMut<'_, T>,
    weights: &SqueezeExciteWeights<'_, i8, i32>,
    q: &SqueezeExciteQuantization<'_>,
) -> Result<(), Error> {
    weights.validate()?;
    let &SqueezeExciteWeights { c, reduced, w_reduce, b_reduce, w_expand, b_expand } = weights;
    q.validate::<T>(c, reduced)?;
    let n = check_excited(&x, &y, c)?;
    let zeros = |channels: usize| vec![T::from_i32(0); n * channels];
    let (mut a, mut r, mut e, mut s) = (zeros(c), zeros(reduced), zeros(c), zeros(c));
    let (relu, none) = (Activation::Relu, Activation::None);
    global_average_quantized(x, ImageMut::nhwc(&mut a, n, 1, 1, c)?, q.x, q.average)?;
    fully_connected_quantized(&a, n, &mut r, c, reduced, w_reduce, b_reduce, &q.reduce(), relu)?;
    fully_connected_quantized(&r, n, &mut e, reduced, c, w_expand, b_expand, &q.expand(), none)?;
    let (e, gates) = (Image::nhwc(&e, n, 1, 1, c)?, ImageMut::nhwc(&mut s, n, 1, 1, c)?);
    sigmoid_quantized(e, gates, q.expanded, q.gate)?;
    channel_scale_quantized(x, &s, y, [q.x, q.gate, q.y])
}
