//! Convolution: what is the same for every element type.

use super::{Scratch, check_conv_images, parts};
use crate::{
    ConvGeometry, Error, Image, ImageMut, Parallel, Workspace,
    error::product,
    geometry::Placed,
    tensor::{Element, Raw},
};
use alloc::vec::Vec;

/// Convolution of NHWC images: standard, grouped, depthwise (with multiplier) and pointwise.
///
/// ```text
/// y[n, oy, ox, o] = act(bias[o]
///     + sum over ky, kx, i of x[n, oy * sy - top + ky * dy, ox * sx - left + kx * dx, i] * w[o, ky, kx, i]
///     + residual[n, oy, ox, o])
/// ```
/// In f32 as `reference::conv2d` computes it, bit for bit on levels with a fused multiply-add. In bytes, `i8` or `u8`, as
/// `reference::conv2d_quantized` does, bit for bit on every level: values stand for `x - zero_point`, padding is the zero
/// point, and the exact sum becomes a byte as [`crate::Requantization`] says.
///
/// Weights are packed at creation for the level's kernels. `run` allocates nothing and can be called from several
/// threads at the same time, each with a workspace of its own.
pub struct Conv2d<T: Element = f32> {
    geometry: ConvGeometry,
    path: T::Conv,
}

/// What there is for each element type.
pub trait ConvPath<T> {
    /// The kernels for so many output pixels, of one row.
    fn kernel_names(&self, pixels: usize) -> Vec<&'static str>;

    /// Bytes of workspace for a task, a multiple of 8.
    fn scratch(&self, geometry: &ConvGeometry, placed: &Placed) -> Result<usize, Error>;

    /// Pieces into which the work on `n` images can be cut.
    fn units(&self, n: usize, placed: &Placed) -> Result<usize, Error>;

    /// Whether a residual can be added.
    fn check_residual(&self) -> Result<(), Error>;

    /// Convolves images that were checked.
    fn run(&self, images: &Images<'_, T>, units: usize, scratch: &mut Scratch<'_>, parallel: &dyn Parallel);
}

/// The images of a run: of shapes that fit `placed`, `y` apart from the others.
pub struct Images<'a, T> {
    pub(crate) geometry: &'a ConvGeometry,
    pub(crate) placed: Placed,
    pub(crate) x: Raw<T>,
    pub(crate) residual: Option<Raw<T>>,
    pub(crate) y: Raw<T>,
}

impl<T: Element> Conv2d<T> {
    pub(crate) fn new(geometry: ConvGeometry, path: T::Conv) -> Self {
        Conv2d { geometry, path }
    }

    /// The geometry.
    pub fn geometry(&self) -> &ConvGeometry {
        &self.geometry
    }

    /// Height and width of the output.
    ///
    /// # Errors
    /// An image that, padded, is smaller than the window.
    pub fn output_size(&self, h: usize, w: usize) -> Result<[usize; 2], Error> {
        self.geometry.output_size(h, w)
    }

    /// The kernels that `run` uses on images of usual size.
    pub fn kernel_names(&self) -> Vec<&'static str> {
        self.kernel_names_for(usize::MAX / 64)
    }

    pub(crate) fn kernel_names_for(&self, pixels: usize) -> Vec<&'static str> {
        self.path.kernel_names(pixels)
    }

    /// Bytes of workspace that `run` needs for a batch of `n` images of `h` by `w` pixels with so many threads.
    ///
    /// # Errors
    /// An image that, padded, is smaller than the window; a size that overflows.
    pub fn workspace_len(&self, [n, h, w]: [usize; 3], threads: usize) -> Result<usize, Error> {
        let placed = self.geometry.window.on(h, w)?;
        let units = self.path.units(n, &placed)?;
        product("workspace", &[self.path.scratch(&self.geometry, &placed)?, parts(threads, units)])
    }

    /// Convolves `x` into `y`, with `residual` added before the activation.
    ///
    /// # Errors
    /// Images whose shapes do not fit, an output that shares memory with an input, a workspace below
    /// [`Conv2d::workspace_len`], a residual of bytes whose quantisation was not given. Nothing is written then.
    pub fn run(
        &self,
        x: Image<'_, T>,
        residual: Option<Image<'_, T>>,
        y: ImageMut<'_, T>,
        workspace: &mut Workspace,
        parallel: &dyn Parallel,
    ) -> Result<(), Error> {
        let placed = check_conv_images(&self.geometry, &x, residual.as_ref(), &y)?;
        if residual.is_some() {
            self.path.check_residual()?;
        }
        let units = self.path.units(x.shape()[0], &placed)?;
        let bytes = self.path.scratch(&self.geometry, &placed)?;
        let scratch = &mut Scratch::new(workspace, bytes, parts(parallel.threads(), units))?;
        let residual = residual.map(|residual| residual.raw());
        let images = Images { geometry: &self.geometry, placed, x: x.raw(), residual, y: y.raw() };
        self.path.run(&images, units, scratch, parallel);
        Ok(())
    }
}
