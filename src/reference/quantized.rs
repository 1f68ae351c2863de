//! Operators on bytes.

use super::{pool, positions, put};
use crate::{
    Activation, ConvGeometry, Error, Image, ImageMut, QuantParams, Quantization, Quantized, Weights, Window,
    ops::{check_add, check_concat, check_conv_images, check_conv_weights, check_fully_connected, check_pointwise},
    quant::{self, Average, HardSwish, Requantizer, Sum, Ties},
};

/// Convolution of bytes; outside the image `x` is the zero point.
///
/// ```text
/// acc = bias[o]
///     + sum over ky, kx, i of (x[n, oy * sy - top + ky * dy, ox * sx - left + kx * dx, i] - x_zero_point) * w[o, ky, kx, i]
/// y[n, oy, ox, o] = requantise(acc, residual[n, oy, ox, o])
/// ```
/// `requantise` is [`crate::Requantization`]; sums are modulo 2^32.
///
/// # Errors
/// As [`crate::Conv2d`].
#[allow(clippy::too_many_arguments)]
pub fn conv2d_quantized<T: Quantized>(
    x: Image<'_, T>,
    residual: Option<Image<'_, T>>,
    mut y: ImageMut<'_, T>,
    geometry: &ConvGeometry,
    weights: Weights<'_, i8>,
    bias: Option<&[i32]>,
    quantization: &Quantization<'_>,
    activation: Activation,
) -> Result<(), Error> {
    check_conv_weights(geometry, weights, bias, activation)?;
    let requantizer = Requantizer::new::<T>(geometry.cout, quantization, activation, weights.ties(geometry))?;
    let placed = check_conv_images(geometry, &x, residual.as_ref(), &y)?;
    if residual.is_some() && quantization.residual.is_none() {
        return Err(Error::ResidualQuantization);
    }
    let Window { kernel: [kh, kw], stride, dilation, .. } = geometry.window;
    let [n, oh, ow, cout] = y.shape();
    let outside = |at: usize, tap: usize, step: usize, before: usize| (at + tap * step).checked_sub(before);
    for (n, oy, ox, o) in positions([n, oh, ow, cout]) {
        let first = o / geometry.group_cout() * geometry.group_cin();
        let mut acc = bias.map_or(0, |bias| bias[o]);
        for (ky, kx) in (0..kh).flat_map(|ky| (0..kw).map(move |kx| (ky, kx))) {
            let iy = outside(oy * stride[0], ky, dilation[0], placed.padding[0]);
            let ix = outside(ox * stride[1], kx, dilation[1], placed.padding[1]);
            for i in 0..geometry.group_cin() {
                if let Some(value) = iy.zip(ix).and_then(|(iy, ix)| x.get(n, iy, ix, first + i)) {
                    let value = value.to_i32() - quantization.x.zero_point;
                    acc = acc.wrapping_add(value * i32::from(*weights.at(geometry, o, i, ky, kx)));
                }
            }
        }
        let residual = residual.and_then(|residual| residual.get(n, oy, ox, o).map(|value| value.to_i32()));
        put(&mut y, (n, oy, ox, o), T::from_i32(requantizer.one(acc, o, residual)));
    }
    Ok(())
}

/// [`super::fully_connected`] of bytes:
/// `y[b][o] = requantise(bias[o] + sum over i of (x[b][i] - x_zero_point) * w[o][i])`.
///
/// # Errors
/// As [`crate::FullyConnected`].
#[allow(clippy::too_many_arguments)]
pub fn fully_connected_quantized<T: Quantized>(
    x: &[T],
    batch: usize,
    y: &mut [T],
    cin: usize,
    cout: usize,
    weights: &[i8],
    bias: Option<&[i32]>,
    quantization: &Quantization<'_>,
    activation: Activation,
) -> Result<(), Error> {
    check_fully_connected(cin, cout, weights, bias, activation)?;
    let requantizer = Requantizer::new::<T>(cout, quantization, activation, Ties::FullyConnected)?;
    crate::ops::check_rows(x, batch, y, cin, cout)?;
    for (x, y) in x.chunks(cin).zip(y.chunks_mut(cout)) {
        for (o, y) in y.iter_mut().enumerate() {
            let row = &weights[o * cin..(o + 1) * cin];
            let products = x.iter().zip(row).map(|(x, &w)| (x.to_i32() - quantization.x.zero_point) * i32::from(w));
            let acc = products.fold(bias.map_or(0, |bias| bias[o]), i32::wrapping_add);
            *y = T::from_i32(requantizer.one(acc, o, None));
        }
    }
    Ok(())
}

/// The greatest byte of the window inside the image.
///
/// # Errors
/// As [`crate::Pool2d`].
pub fn max_pool_quantized<T: Quantized>(x: Image<'_, T>, y: ImageMut<'_, T>, window: &Window) -> Result<(), Error> {
    pool(x, y, window, |values| T::from_i32(values.fold(T::MIN, |held, x| held.max(x.to_i32()))))
}

/// `y = sign(s) * floor((|s| + floor(n / 2)) / n)` of the sum `s` of the `n` bytes of the window inside the image, or, where
/// `padding` counts, of all its bytes, those outside the image being `padding`.
///
/// # Errors
/// As [`crate::Pool2d`].
pub fn avg_pool_quantized<T: Quantized>(
    x: Image<'_, T>,
    y: ImageMut<'_, T>,
    window: &Window,
    padding: Option<i32>,
) -> Result<(), Error> {
    let mut average = Average::new::<T>(None)?;
    average.padding = padding;
    average_quantized(x, y, window, &average)
}

/// `y = clamp(round_half_even((s - n * x_zero_point) * (x_scale / (y_scale * n))) + y_zero_point)` of the sum `s` of all
/// `n` pixels.
///
/// # Errors
/// As [`crate::Pool2d`].
pub fn global_average_quantized<T: Quantized>(
    x: Image<'_, T>,
    y: ImageMut<'_, T>,
    x_params: QuantParams,
    y_params: QuantParams,
) -> Result<(), Error> {
    let [_, h, w, _] = x.shape();
    average_quantized(x, y, &Window::new([h, w]), &Average::new::<T>(Some((x_params, y_params)))?)
}

fn average_quantized<T: Quantized>(
    x: Image<'_, T>,
    y: ImageMut<'_, T>,
    window: &Window,
    average: &Average,
) -> Result<(), Error> {
    let [_, h, w, _] = x.shape();
    let most = average.most(window, h, w);
    average.check(most)?;
    pool(x, y, window, |values| {
        let (sum, inside) = values.fold((0, 0), |(sum, n), x| (sum + x.to_i32(), n + 1));
        let (outside, n) = average.outside(inside, most as i32);
        T::from_i32(average.one(sum + outside, n))
    })
}

/// `y = clamp(floor(((a - a_zero_point) * A + (b - b_zero_point) * B + 2^(shift - 1)) / 2^shift) + y_zero_point)`, the
/// multipliers and the shift being those of [`crate::Add`].
///
/// # Errors
/// As [`crate::Add`].
pub fn add_quantized<T: Quantized>(
    a: Image<'_, T>,
    b: Image<'_, T>,
    mut y: ImageMut<'_, T>,
    params: [QuantParams; 3],
    activation: Activation,
) -> Result<(), Error> {
    let sum = Sum::new::<T>(params[0], params[1], params[2], activation)?;
    check_add(&a, &b, &y)?;
    for at @ (n, h, w, c) in positions(y.shape()) {
        if let (Some(a), Some(b)) = (a.get(n, h, w, c), b.get(n, h, w, c)) {
            put(&mut y, at, T::from_i32(sum.one(a.to_i32(), b.to_i32())));
        }
    }
    Ok(())
}

/// `y = table[x]`, a table from the least value to the greatest.
///
/// # Errors
/// As [`crate::Lookup`].
pub fn lookup<T: Quantized>(x: Image<'_, T>, mut y: ImageMut<'_, T>, table: &[T; 256]) -> Result<(), Error> {
    check_pointwise(&x, &y)?;
    map(x, &mut y, 0, |x| table[(x - T::MIN) as usize].to_i32());
    Ok(())
}

/// `y = round_half_even(clamp((x_scale * (x - x_zero_point)) / y_scale)) + y_zero_point` of each image in turn, in the next
/// channels of `y`.
///
/// # Errors
/// As [`crate::Concat`].
pub fn concat_quantized<T: Quantized>(
    x: &[Image<'_, T>],
    mut y: ImageMut<'_, T>,
    x_params: &[QuantParams],
    y_params: QuantParams,
) -> Result<(), Error> {
    x_params.iter().try_for_each(|params| params.validate::<T>("x"))?;
    y_params.validate::<T>("y")?;
    check_concat(x_params.len(), x, &y)?;
    let mut first = 0;
    for (x, params) in x.iter().zip(x_params) {
        map(*x, &mut y, first, |q| quant::rescale::<T>(q, *params, y_params));
        first += x.shape()[3];
    }
    Ok(())
}

/// `y = x * min(max(x + 3, 0), 6) / 6` in 16-bit fixed point: TensorFlow Lite's.
///
/// # Errors
/// As [`crate::Lookup::hard_swish`].
pub fn hard_swish_quantized<T: Quantized>(
    x: Image<'_, T>,
    mut y: ImageMut<'_, T>,
    x_params: QuantParams,
    y_params: QuantParams,
) -> Result<(), Error> {
    let hard_swish = HardSwish::new::<T>(x_params, y_params)?;
    check_pointwise(&x, &y)?;
    map(x, &mut y, 0, |q| hard_swish.one::<T>(q));
    Ok(())
}

/// `y[.., first + c] = f(x[.., c])`.
pub(super) fn map<T: Quantized>(x: Image<'_, T>, y: &mut ImageMut<'_, T>, first: usize, f: impl Fn(i32) -> i32) {
    for (n, h, w, c) in positions(x.shape()) {
        if let Some(x) = x.get(n, h, w, c) {
            put(y, (n, h, w, first + c), T::from_i32(f(x.to_i32())));
        }
    }
}
