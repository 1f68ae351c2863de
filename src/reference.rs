//! The scalar truth: one function for each operator, written for reading.
//!
//! Every f32 sum of products is one chain, `acc = bias; acc = fma(x, w, acc)`, over kernel rows, kernel columns and input
//! channels in that order; padding is zeros that take part in it. The kernels equal these functions bit for bit wherever
//! a multiply-add is one instruction (any NaN counts as equal to any NaN).

mod quantized;
mod squeeze_excite;

pub use quantized::*;
pub use squeeze_excite::*;

use crate::{
    Activation, ConvGeometry, Element, Error, Image, ImageMut, Weights, Window,
    ops::{
        check_add, check_conv_images, check_conv_weights, check_fully_connected, check_layout, check_pool,
        check_shuffle,
    },
};

/// `act(x)`. NaN passes through, and so does the sign of a zero that equals a bound.
pub fn activate(x: f32, activation: Activation) -> f32 {
    let clamp = |x: f32, min: f32, max: f32| {
        let x = if x < min { min } else { x };
        if x > max { max } else { x }
    };
    match activation {
        Activation::HardSwish => x * (clamp(x + 3.0, 0.0, 6.0) * (1.0 / 6.0)),
        Activation::Sigmoid => sigmoid(x),
        _ => {
            let (min, max) = activation.bounds();
            clamp(x, min, max)
        }
    }
}

/// Convolution; outside the image `x` is zero.
///
/// ```text
/// y[n, oy, ox, o] = act(bias[o]
///     + sum over ky, kx, i of x[n, oy * sy - top + ky * dy, ox * sx - left + kx * dx, i] * w[o, ky, kx, i]
///     + residual[n, oy, ox, o])
/// ```
///
/// # Errors
/// As [`crate::Conv2d`].
pub fn conv2d(
    x: Image<'_>,
    residual: Option<Image<'_>>,
    mut y: ImageMut<'_>,
    geometry: &ConvGeometry,
    weights: Weights<'_>,
    bias: Option<&[f32]>,
    activation: Activation,
) -> Result<(), Error> {
    check_conv_weights(geometry, weights, bias, activation)?;
    let placed = check_conv_images(geometry, &x, residual.as_ref(), &y)?;
    let Window { kernel: [kh, kw], stride, dilation, .. } = geometry.window;
    let [n, oh, ow, cout] = y.shape();
    let outside = |at: usize, tap: usize, step: usize, before: usize| (at + tap * step).checked_sub(before);
    for (n, oy, ox, o) in positions([n, oh, ow, cout]) {
        let first = o / geometry.group_cout() * geometry.group_cin();
        let mut acc = bias.map_or(0.0, |bias| bias[o]);
        for ky in 0..kh {
            for kx in 0..kw {
                let iy = outside(oy * stride[0], ky, dilation[0], placed.padding[0]);
                let ix = outside(ox * stride[1], kx, dilation[1], placed.padding[1]);
                for i in 0..geometry.group_cin() {
                    let value = iy.zip(ix).and_then(|(iy, ix)| x.get(n, iy, ix, first + i)).copied().unwrap_or(0.0);
                    acc = value.mul_add(*weights.at(geometry, o, i, ky, kx), acc);
                }
            }
        }
        if let Some(value) = residual.and_then(|residual| residual.get(n, oy, ox, o).copied()) {
            acc += value;
        }
        put(&mut y, (n, oy, ox, o), activate(acc, activation));
    }
    Ok(())
}

/// `y[b][o] = act(bias[o] + sum over i of x[b][i] * w[o][i])`.
///
/// # Errors
/// As [`crate::FullyConnected`].
#[allow(clippy::too_many_arguments)]
pub fn fully_connected(
    x: &[f32],
    batch: usize,
    y: &mut [f32],
    cin: usize,
    cout: usize,
    weights: &[f32],
    bias: Option<&[f32]>,
    activation: Activation,
) -> Result<(), Error> {
    check_fully_connected(cin, cout, weights, bias, activation)?;
    crate::ops::check_rows(x, batch, y, cin, cout)?;
    for (x, y) in x.chunks(cin).zip(y.chunks_mut(cout)) {
        for (o, y) in y.iter_mut().enumerate() {
            let row = &weights[o * cin..(o + 1) * cin];
            let acc = x.iter().zip(row).fold(bias.map_or(0.0, |bias| bias[o]), |acc, (x, w)| x.mul_add(*w, acc));
            *y = activate(acc, activation);
        }
    }
    Ok(())
}

/// `y = (0 + x + x + ..) / d` over the pixels of the window inside the image, row by row; `d` counts those, or all of
/// the window with `count_include_padding`.
///
/// # Errors
/// As [`crate::Pool2d`].
pub fn avg_pool(x: Image<'_>, y: ImageMut<'_>, window: &Window, count_include_padding: bool) -> Result<(), Error> {
    pool(x, y, window, |values| {
        let mut count = 0;
        let sum = values.inspect(|_| count += 1).fold(0.0, |sum, x| sum + x);
        sum / if count_include_padding { window.kernel[0] * window.kernel[1] } else { count } as f32
    })
}

/// The maximum over the pixels of the window inside the image; NaN where one of them is.
///
/// # Errors
/// As [`crate::Pool2d`].
pub fn max_pool(x: Image<'_>, y: ImageMut<'_>, window: &Window) -> Result<(), Error> {
    pool(x, y, window, |values| values.fold(f32::NEG_INFINITY, |held, x| if x > held || x.is_nan() { x } else { held }))
}

/// The average over all pixels, summed row by row.
///
/// # Errors
/// As [`crate::Pool2d`].
pub fn global_average(x: Image<'_>, y: ImageMut<'_>) -> Result<(), Error> {
    let [_, h, w, _] = x.shape();
    avg_pool(x, y, &Window::new([h, w]), false)
}

fn pool<T: Element>(
    x: Image<'_, T>,
    mut y: ImageMut<'_, T>,
    window: &Window,
    f: impl Fn(&mut dyn Iterator<Item = T>) -> T,
) -> Result<(), Error> {
    let placed = check_pool(window, &x, &y)?;
    let [kh, kw] = window.kernel;
    for (n, oy, ox, c) in positions(y.shape()) {
        let mut values = (0..kh * kw).filter_map(|tap| {
            let iy = (oy * window.stride[0] + tap / kw * window.dilation[0]).checked_sub(placed.padding[0])?;
            let ix = (ox * window.stride[1] + tap % kw * window.dilation[1]).checked_sub(placed.padding[1])?;
            x.get(n, iy, ix, c).copied()
        });
        put(&mut y, (n, oy, ox, c), f(&mut values));
    }
    Ok(())
}

/// `y = act(a + b)`.
///
/// # Errors
/// As [`crate::Add`].
pub fn add(a: Image<'_>, b: Image<'_>, mut y: ImageMut<'_>, activation: Activation) -> Result<(), Error> {
    activation.validate()?;
    check_add(&a, &b, &y)?;
    for at @ (n, h, w, c) in positions(y.shape()) {
        if let (Some(a), Some(b)) = (a.get(n, h, w, c), b.get(n, h, w, c)) {
            put(&mut y, at, activate(a + b, activation));
        }
    }
    Ok(())
}

/// `y[.., j * groups + i] = x[.., i * (channels / groups) + j]`: ShuffleNet's permutation (arXiv 1707.01083).
///
/// # Errors
/// As [`crate::ChannelShuffle`].
pub fn channel_shuffle<T: Element>(x: Image<'_, T>, mut y: ImageMut<'_, T>, groups: usize) -> Result<(), Error> {
    check_shuffle(groups, &x, &y)?;
    let each = x.shape()[3] / groups;
    for (n, h, w, c) in positions(x.shape()) {
        if let Some(&value) = x.get(n, h, w, c) {
            put(&mut y, (n, h, w, c % each * groups + c / each), value);
        }
    }
    Ok(())
}

/// [`channel_shuffle`] of `[n, c, h, w]` in NCHW.
///
/// # Errors
/// As [`crate::ChannelShuffle`].
pub fn channel_shuffle_nchw<T: Element>(x: &[T], y: &mut [T], shape: [usize; 4], groups: usize) -> Result<(), Error> {
    crate::ops::check_shuffle_nchw(groups, x, y, shape)?;
    let [_, channels, h, w] = shape;
    let (plane, each) = (h * w, channels / groups);
    for (i, from) in x.chunks(plane).enumerate() {
        let (n, c) = (i / channels, i % channels);
        let to = n * channels + c % each * groups + c / each;
        y[to * plane..(to + 1) * plane].copy_from_slice(from);
    }
    Ok(())
}

/// `y[n, h, w, c] = x[n][c][h][w]`.
///
/// # Errors
/// As [`crate::nchw_to_nhwc`].
pub fn nchw_to_nhwc<T: Element>(x: &[T], mut y: ImageMut<'_, T>) -> Result<(), Error> {
    check_layout("x", x.len(), y.shape())?;
    let [_, height, width, channels] = y.shape();
    for at @ (n, h, w, c) in positions(y.shape()) {
        put(&mut y, at, x[((n * channels + c) * height + h) * width + w]);
    }
    Ok(())
}

/// `y[n][c][h][w] = x[n, h, w, c]`.
///
/// # Errors
/// As [`crate::nhwc_to_nchw`].
pub fn nhwc_to_nchw<T: Element>(x: Image<'_, T>, y: &mut [T]) -> Result<(), Error> {
    check_layout("y", y.len(), x.shape())?;
    let [_, height, width, channels] = x.shape();
    for (n, h, w, c) in positions(x.shape()) {
        if let Some(&value) = x.get(n, h, w, c) {
            y[((n * channels + c) * height + h) * width + w] = value;
        }
    }
    Ok(())
}

fn positions([n, h, w, c]: [usize; 4]) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    (0..n).flat_map(move |n| (0..h).flat_map(move |y| (0..w).flat_map(move |x| (0..c).map(move |c| (n, y, x, c)))))
}

fn put<T: Copy>(image: &mut ImageMut<'_, T>, (n, y, x, c): (usize, usize, usize, usize), value: T) {
    if let Some(at) = image.get_mut(n, y, x, c) {
        *at = value;
    }
}
