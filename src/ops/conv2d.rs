//! Convolution: what is the same for every element type.

use super::{Scratch, check_conv_images, parts};
use crate::{
    ConvGeometry, Error, Image, ImageMut, Parallel, Quantized, Workspace,
    error::product,
    geometry::Placed,
    pack::Pieces,
    packed::{Packed, Visit},
    tensor::{Element, Raw},
};
use alloc::vec::Vec;
use core::ops::Range;

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
    pub(super) path: T::Conv,
}

/// What there is for each element type.
pub trait ConvPath<T> {
    /// The kernels for so many output pixels, of one row.
    fn kernel_names(&self, pixels: usize) -> Vec<&'static str>;

    /// Bytes of workspace for a task, a multiple of 8.
    fn scratch(&self, geometry: &ConvGeometry, placed: &Placed) -> Result<usize, Error>;

    /// What so many threads split of the work on `n` images.
    fn pieces(&self, n: usize, placed: &Placed, threads: usize) -> Result<Pieces, Error>;

    /// Weights as the kernels read them.
    fn packed(&self) -> &Packed;

    /// The same, to be moved.
    fn packed_mut(&mut self) -> &mut Packed;

    /// Whether a residual can be added.
    fn check_residual(&self) -> Result<(), Error>;

    /// Prepares both for what `before` computes and only this reads: it may be in a form that takes no conversion.
    fn follow(&mut self, before: &mut Self);

    /// Channels of which the blocks of an output must be multiples; `None` where it can only be one block.
    fn output_unit(&self) -> Option<usize>;

    /// Channels of which the blocks of an input must be multiples; `None` where it can only be one block.
    fn input_unit(&self) -> Option<usize>;

    /// Computes the output rows `rows`, counted over the batch. Unless it is `fresh`, the row before them was the last
    /// one that was computed in this memory.
    ///
    /// # Safety
    /// The images were checked, or lie in memory made for them; `memory` has the [`ConvPath::scratch`]; nobody else
    /// touches it or these rows of `y`.
    unsafe fn run_rows(&self, images: &Images<'_, T>, rows: Range<usize>, fresh: bool, memory: *mut u64);

    /// Convolves images that were checked.
    fn run(&self, images: &Images<'_, T>, pieces: Pieces, scratch: &mut Scratch<'_>, parallel: &dyn Parallel);
}

/// The images of a run: of shapes that fit `placed`, `y` apart from the others.
pub struct Images<'a, T> {
    pub(crate) geometry: &'a ConvGeometry,
    pub(crate) placed: Placed,
    pub(crate) x: Raw<T>,
    pub(crate) residual: Option<Raw<T>>,
    pub(crate) y: Raw<T>,
}

impl<T: Quantized> Images<'_, T> {
    /// The same as u8.
    pub fn bytes(&self) -> Images<'_, u8> {
        let (x, y, residual) = (self.x.bytes(), self.y.bytes(), self.residual.map(Raw::bytes));
        Images { geometry: self.geometry, placed: self.placed, x, residual, y }
    }
}

impl<T: Element> Visit for Conv2d<T> {
    fn visit(&mut self, f: &mut dyn FnMut(&mut Packed)) {
        f(self.path.packed_mut());
    }
}

impl<T: Element> Conv2d<T> {
    pub(crate) fn new(geometry: ConvGeometry, path: T::Conv) -> Self {
        Conv2d { geometry, path }
    }

    /// The geometry.
    pub fn geometry(&self) -> &ConvGeometry {
        &self.geometry
    }

    /// Output channels.
    #[cfg(feature = "capi")]
    pub(crate) fn cout(&self) -> usize {
        self.geometry.cout
    }

    /// Height and width of the output.
    ///
    /// # Errors
    /// An image that, padded, is smaller than the window.
    pub fn output_size(&self, h: usize, w: usize) -> Result<[usize; 2], Error> {
        self.geometry.output_size(h, w)
    }

    /// Multiply-adds for a batch of `n` images of `h` by `w` pixels, see [`ConvGeometry::macs`].
    ///
    /// # Errors
    /// As [`ConvGeometry::macs`].
    pub fn macs(&self, batch: [usize; 3]) -> Result<u64, Error> {
        self.geometry.macs(batch)
    }

    /// Weights and a bias for each output channel, see [`ConvGeometry::parameters`].
    pub fn parameters(&self) -> usize {
        self.weights() + self.geometry.cout
    }

    /// Bytes of weights and biases as a caller keeps them: `4 (K² N M / G + M)` in f32, `K² N M / G + 4 M` in bytes,
    /// whose biases are `i32`.
    pub fn parameter_bytes(&self) -> usize {
        self.weights() * size_of::<T>() + self.geometry.cout * size_of::<i32>()
    }

    /// Bytes that weights and biases take as this level's kernels read them: what the operator keeps, and `run` reads.
    pub fn packed_bytes(&self) -> usize {
        self.path.packed().bytes()
    }

    /// The geometry was checked at creation.
    fn weights(&self) -> usize {
        self.geometry.cout * self.geometry.group_cin() * self.geometry.taps()
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
        let pieces = self.path.pieces(n, &placed, threads)?;
        product("workspace", &[self.path.scratch(&self.geometry, &placed)?, parts(threads, pieces.count)])
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
        self.run_in(x, residual, y, workspace.memory(), parallel)
    }

    /// [`Conv2d::run`] in some of a workspace.
    pub(crate) fn run_in(
        &self,
        x: Image<'_, T>,
        residual: Option<Image<'_, T>>,
        y: ImageMut<'_, T>,
        memory: &mut [u64],
        parallel: &dyn Parallel,
    ) -> Result<(), Error> {
        let placed = check_conv_images(&self.geometry, &x, residual.as_ref(), &y)?;
        if residual.is_some() {
            self.path.check_residual()?;
        }
        let threads = parallel.threads();
        let pieces = self.path.pieces(x.shape()[0], &placed, threads)?;
        let bytes = self.path.scratch(&self.geometry, &placed)?;
        let scratch = &mut Scratch::of(memory, bytes, parts(threads, pieces.count))?;
        let residual = residual.map(|residual| residual.raw());
        let images = Images { geometry: &self.geometry, placed, x: x.raw(), residual, y: y.raw() };
        self.path.run(&images, pieces, scratch, parallel);
        Ok(())
    }
}
