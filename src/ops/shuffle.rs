//! Permutations: channel shuffle, and the change between NCHW and NHWC.

use super::{
    Scratch, bytes::copy_runs, check_layout, check_pointwise, check_shuffle, check_shuffle_nchw, check_slice_apart,
    run_parts,
};
use crate::{
    Error, Image, ImageMut, Level, Parallel, Workspace,
    error::non_zero,
    kernels::{INTERLEAVED, Interleave, Kernel, Kernels, Transpose},
    tensor::Element,
};

/// `y[.., j * groups + i] = x[.., i * (channels / groups) + j]`: ShuffleNet's permutation (arXiv 1707.01083), which lets
/// each group of the next convolution see every group of the last.
#[derive(Clone, Debug)]
pub struct ChannelShuffle {
    kernels: &'static Kernels,
    groups: usize,
}

impl ChannelShuffle {
    /// For the best level of this CPU.
    ///
    /// # Errors
    /// No groups; [`Error::Isa`].
    pub fn new(groups: usize) -> Result<Self, Error> {
        Self::new_on(Level::selected()?, groups)
    }

    /// For a level of the caller's choice.
    ///
    /// # Errors
    /// No groups.
    pub fn new_on(kernels: &'static Kernels, groups: usize) -> Result<Self, Error> {
        non_zero(&[("groups", groups)])?;
        Ok(ChannelShuffle { kernels, groups })
    }

    /// The kernels that `run` uses on f32.
    pub fn kernel_names(&self) -> impl Iterator<Item = &'static str> {
        self.kernel_names_of::<f32>()
    }

    /// The kernels that `run` uses on such elements.
    pub fn kernel_names_of<T: Element>(&self) -> impl Iterator<Item = &'static str> + use<T> {
        core::iter::once(self.interleave::<T>().map_or(T::transpose(self.kernels).name, |kernel| kernel.name))
    }

    /// The kernel for that many groups, where there is one.
    fn interleave<T: Element>(&self) -> Option<Kernel<Interleave<T::Bits>>> {
        let at = INTERLEAVED.iter().position(|&groups| groups == self.groups)?;
        Some(T::interleave(self.kernels)[at])
    }

    /// Shuffles an NHWC image: each pixel is a matrix of `groups` rows that is transposed.
    ///
    /// # Errors
    /// Shapes that differ, channels that the groups do not divide, images that share memory. Nothing is written then.
    pub fn run<T: Element>(&self, x: Image<'_, T>, y: ImageMut<'_, T>, parallel: &dyn Parallel) -> Result<(), Error> {
        check_shuffle(self.groups, &x, &y)?;
        let (x, y) = (x.raw(), y.raw());
        let each = x.c / self.groups;
        let mut nothing = Workspace::default();
        let interleave = self.interleave::<T>();
        run_parts(parallel, y.pixels(), 1, &mut Scratch::new(&mut nothing, 0, 1)?, |pixels, _| {
            if let Some(kernel) = interleave {
                let args = Interleave {
                    x: x.pixel(pixels.start).cast_const().cast(),
                    x_stride: x.pixel_stride,
                    y: y.pixel(pixels.start).cast(),
                    y_stride: y.pixel_stride,
                    pixels: pixels.len(),
                    each,
                };
                // SAFETY: the contract of `Interleave`: pixels of each image, which are apart; elements are moved as bits of
                // the same size.
                return unsafe { kernel.run(&args) };
            }
            for pixel in pixels {
                let args = Transpose {
                    src: x.pixel(pixel).cast_const(),
                    src_stride: each,
                    dst: y.pixel(pixel),
                    dst_stride: self.groups,
                    rows: self.groups,
                    cols: each,
                };
                // SAFETY: the contract of `Transpose`: the channels of a pixel of each image, which are apart.
                unsafe { run_transpose(self.kernels, &args) };
            }
        });
        Ok(())
    }

    /// Shuffles `[n, c, h, w]` in NCHW: whole planes are copied.
    ///
    /// # Errors
    /// Slices of the wrong length, channels that the groups do not divide. Nothing is written then.
    pub fn run_nchw<T: Element>(
        &self,
        x: &[T],
        y: &mut [T],
        shape: [usize; 4],
        parallel: &dyn Parallel,
    ) -> Result<(), Error> {
        check_shuffle_nchw(self.groups, x, y, shape)?;
        let [n, channels, h, w] = shape;
        let (plane, each) = (h * w, channels / self.groups);
        // The planes as an image of rows, so that tasks can share it.
        let (x, y) = (Image::nhwc(x, n, channels, 1, plane)?.raw(), ImageMut::nhwc(y, n, channels, 1, plane)?.raw());
        let mut nothing = Workspace::default();
        run_parts(parallel, n * channels, 1, &mut Scratch::new(&mut nothing, 0, 1)?, |planes, _| {
            for from in planes {
                let c = from % channels;
                let to = from - c + c % each * self.groups + c / each;
                // SAFETY: one plane of each slice, and no two go to the same.
                unsafe { y.pixel(to).copy_from_nonoverlapping(x.pixel(from), plane) };
            }
        });
        Ok(())
    }
}

/// Copies an image into a view: what a concat of values that lie elsewhere is made of. On bytes the two stand for the same
/// values; [`crate::Concat`] rescales.
///
/// # Errors
/// Shapes that differ, images that share memory. Nothing is written then.
pub fn copy<T: Element>(x: Image<'_, T>, y: ImageMut<'_, T>, parallel: &dyn Parallel) -> Result<(), Error> {
    check_pointwise(&x, &y)?;
    let (x, y) = (x.raw(), y.raw());
    let mut nothing = Workspace::default();
    run_parts(parallel, y.pixels(), 1, &mut Scratch::new(&mut nothing, 0, 1)?, |pixels, _| {
        let size = size_of::<T>();
        let [from, to] = [&x, &y].map(|raw| (raw.pixel(pixels.start).cast::<u8>(), raw.pixel_stride * size));
        // SAFETY: pixels of each image, which have as many channels and are apart.
        unsafe { copy_runs((from.0, from.1), to, y.c * size, pixels.len(), 0) };
    });
    Ok(())
}

/// `y[n, h, w, c] = x[n][c][h][w]`: an image arrives from a framework that has planes.
///
/// # Errors
/// A slice of the wrong length, or one that shares memory with the image. Nothing is written then.
pub fn nchw_to_nhwc<T: Element>(
    kernels: &'static Kernels,
    x: &[T],
    y: ImageMut<'_, T>,
    parallel: &dyn Parallel,
) -> Result<(), Error> {
    check_layout("x", x.len(), y.shape())?;
    check_slice_apart("x", x, &y.raw())?;
    let y = y.raw();
    let planes = Image::nhwc(x, y.n, y.c, 1, y.h * y.w)?.raw();
    transpose(kernels, parallel, y.n * y.h, |row| Transpose {
        src: planes.pixel(row / y.h * y.c).wrapping_add(row % y.h * y.w).cast_const(),
        src_stride: y.h * y.w,
        dst: y.pixel(row * y.w),
        dst_stride: y.pixel_stride,
        rows: y.c,
        cols: y.w,
    })
}

/// `y[n][c][h][w] = x[n, h, w, c]`: an image leaves for a framework that has planes.
///
/// # Errors
/// As [`nchw_to_nhwc`].
pub fn nhwc_to_nchw<T: Element>(
    kernels: &'static Kernels,
    x: Image<'_, T>,
    y: &mut [T],
    parallel: &dyn Parallel,
) -> Result<(), Error> {
    check_layout("y", y.len(), x.shape())?;
    check_slice_apart("x", y, &x.raw())?;
    let x = x.raw();
    let planes = ImageMut::nhwc(y, x.n, x.c, 1, x.h * x.w)?.raw();
    transpose(kernels, parallel, x.n * x.h, |row| Transpose {
        src: x.pixel(row * x.w).cast_const(),
        src_stride: x.pixel_stride,
        dst: planes.pixel(row / x.h * x.c).wrapping_add(row % x.h * x.w),
        dst_stride: x.h * x.w,
        rows: x.w,
        cols: x.c,
    })
}

/// One transposition for each row of the image.
fn transpose<T: Element>(
    kernels: &'static Kernels,
    parallel: &dyn Parallel,
    rows: usize,
    args: impl Fn(usize) -> Transpose<T> + Sync,
) -> Result<(), Error> {
    let mut nothing = Workspace::default();
    run_parts(parallel, rows, 1, &mut Scratch::new(&mut nothing, 0, 1)?, |rows, _| {
        for row in rows {
            // SAFETY: the contract of `Transpose`: a row of pixels and its part of each plane, which are apart.
            unsafe { run_transpose(kernels, &args(row)) };
        }
    });
    Ok(())
}

/// # Safety
/// The contract of [`Transpose`].
unsafe fn run_transpose<T: Element>(kernels: &Kernels, args: &Transpose<T>) {
    let Transpose { src, src_stride, dst, dst_stride, rows, cols } = *args;
    let args = Transpose { src: src.cast(), src_stride, dst: dst.cast(), dst_stride, rows, cols };
    // SAFETY: as promised by the caller; elements are moved as bits of the same size.
    unsafe { T::transpose(kernels).run(&args) };
}
