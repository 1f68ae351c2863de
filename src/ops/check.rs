//! What every operator asks of its arguments, before anything is written.

use crate::{
    Activation, ConvGeometry, Error, Image, ImageMut, Weights, Window,
    error::{non_zero, product},
    geometry::Placed,
    tensor::{Element, Raw},
};

pub(crate) fn check_length(argument: &'static str, expected: usize, got: usize) -> Result<(), Error> {
    if got == expected { Ok(()) } else { Err(Error::Length { argument, expected, got }) }
}

/// The arguments at creation.
pub(crate) fn check_conv_weights<W, B>(
    geometry: &ConvGeometry,
    weights: Weights<'_, W>,
    bias: Option<&[B]>,
    activation: Activation,
) -> Result<(), Error> {
    geometry.validate()?;
    weights.validate(geometry)?;
    activation.validate()?;
    bias.map_or(Ok(()), |bias| check_length("bias", geometry.cout, bias.len()))
}

/// The images of a run.
pub(crate) fn check_conv_images<T: Element>(
    geometry: &ConvGeometry,
    x: &Image<'_, T>,
    residual: Option<&Image<'_, T>>,
    y: &ImageMut<'_, T>,
) -> Result<Placed, Error> {
    let [n, h, w, _] = x.shape();
    x.raw().expect("x", [n, h, w, geometry.cin])?;
    let placed = geometry.window.on(h, w)?;
    check_chain([n, h, w, geometry.cin], [n, placed.oh, placed.ow, geometry.cout], x, residual, y)?;
    Ok(placed)
}

/// The images of a chain.
pub(crate) fn check_chain<T>(
    x_shape: [usize; 4],
    y_shape: [usize; 4],
    x: &Image<'_, T>,
    residual: Option<&Image<'_, T>>,
    y: &ImageMut<'_, T>,
) -> Result<(), Error> {
    x.raw().expect("x", x_shape)?;
    y.raw().expect("y", y_shape)?;
    y.raw().expect_apart("x", &x.raw())?;
    if let Some(residual) = residual {
        residual.raw().expect("residual", y_shape)?;
        y.raw().expect_apart("residual", &residual.raw())?;
    }
    Ok(())
}

pub(crate) fn check_fully_connected<W, B>(
    cin: usize,
    cout: usize,
    weights: &[W],
    bias: Option<&[B]>,
    activation: Activation,
) -> Result<(), Error> {
    let geometry = ConvGeometry::new(cin, cout, [1, 1]);
    check_conv_weights(&geometry, Weights::oihw(weights), bias, activation)
}

pub(crate) fn check_rows<T>(x: &[T], batch: usize, y: &[T], cin: usize, cout: usize) -> Result<(), Error> {
    non_zero(&[("batch", batch)])?;
    check_length("x", product("x", &[batch, cin])?, x.len())?;
    check_length("y", product("y", &[batch, cout])?, y.len())
}

/// The window of a pool. Padding stays below the kernel; without dilation every output then sees a pixel.
pub(crate) fn check_pool_window(window: &Window) -> Result<(), Error> {
    window.validate()?;
    if let crate::Padding::Explicit { top, left, bottom, right } = window.padding
        && (top.max(bottom) >= window.kernel[0] || left.max(right) >= window.kernel[1])
    {
        return Err(Error::Padding { padding: [top, left, bottom, right], kernel: window.kernel });
    }
    product("kernel", &window.kernel).map(|_| ())
}

pub(crate) fn check_pool<T>(window: &Window, x: &Image<'_, T>, y: &ImageMut<'_, T>) -> Result<Placed, Error> {
    check_pool_window(window)?;
    let [n, h, w, c] = x.shape();
    let placed = window.on(h, w)?;
    y.raw().expect("y", [n, placed.oh, placed.ow, c])?;
    y.raw().expect_apart("x", &x.raw())?;
    Ok(placed)
}

pub(crate) fn check_add<T>(a: &Image<'_, T>, b: &Image<'_, T>, y: &ImageMut<'_, T>) -> Result<(), Error> {
    b.raw().expect("b", a.shape())?;
    y.raw().expect("y", a.shape())?;
    y.raw().expect_apart("a", &a.raw())?;
    y.raw().expect_apart("b", &b.raw())
}

pub(crate) fn check_pointwise<T>(x: &Image<'_, T>, y: &ImageMut<'_, T>) -> Result<(), Error> {
    y.raw().expect("y", x.shape())?;
    y.raw().expect_apart("x", &x.raw())
}

/// The images of a squeeze-excite of `c` channels; returns how many they are.
pub(crate) fn check_excited<T>(x: &Image<'_, T>, y: &ImageMut<'_, T>, c: usize) -> Result<usize, Error> {
    let [n, h, w, _] = x.shape();
    x.raw().expect("x", [n, h, w, c])?;
    check_pointwise(x, y)?;
    Ok(n)
}

pub(crate) fn check_concat<T>(images: usize, x: &[Image<'_, T>], y: &ImageMut<'_, T>) -> Result<(), Error> {
    check_length("x", images, x.len())?;
    let [n, h, w, _] = y.shape();
    for image in x {
        image.raw().expect("x", [n, h, w, image.shape()[3]])?;
        y.raw().expect_apart("x", &image.raw())?;
    }
    let channels = x.iter().try_fold(0usize, |all, image| all.checked_add(image.shape()[3]));
    y.raw().expect("y", [n, h, w, channels.ok_or(Error::Overflow { argument: "channels" })?])
}

pub(crate) fn check_shuffle<T>(groups: usize, x: &Image<'_, T>, y: &ImageMut<'_, T>) -> Result<(), Error> {
    check_groups(groups, x.shape()[3])?;
    check_pointwise(x, y)
}

pub(crate) fn check_shuffle_nchw<T>(groups: usize, x: &[T], y: &[T], shape: [usize; 4]) -> Result<(), Error> {
    let [n, c, h, w] = shape;
    non_zero(&[("batch", n), ("height", h), ("width", w), ("channels", c)])?;
    check_groups(groups, c)?;
    let len = product("x", &shape)?;
    check_length("x", len, x.len())?;
    check_length("y", len, y.len())
}

fn check_groups(groups: usize, channels: usize) -> Result<(), Error> {
    non_zero(&[("groups", groups)])?;
    if channels.is_multiple_of(groups) { Ok(()) } else { Err(Error::Groups { argument: "channels", channels, groups }) }
}

/// A dense NCHW slice beside an image.
pub(crate) fn check_layout(argument: &'static str, len: usize, shape: [usize; 4]) -> Result<(), Error> {
    check_length(argument, product(argument, &shape)?, len)
}

/// A dense slice and an image, one of which is written, share no memory.
pub(crate) fn check_slice_apart<T>(argument: &'static str, slice: &[T], image: &Raw<T>) -> Result<(), Error> {
    let dense = Raw::plain(slice.as_ptr().cast_mut(), [1, 1, 1, slice.len()], slice.len());
    image.expect_apart(argument, &dense)
}
