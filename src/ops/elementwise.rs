//! Addition with activation, and the finish of a convolution.

use super::{Scratch, check_add, run_parts};
use crate::{
    Activation, Error, Image, ImageMut, Level, Parallel, Workspace,
    kernels::{ElementwiseF32, Kernels},
    tensor::Raw,
};
use core::{marker::PhantomData, ops::Range};

/// `y = act(a + b)`.
///
/// Images of one shape, each with its own pixel stride.
#[derive(Clone, Debug)]
pub struct Add<T = f32> {
    kernels: &'static Kernels,
    activation: Activation,
    element: PhantomData<T>,
}

impl Add<f32> {
    /// For the best level of this CPU.
    ///
    /// # Errors
    /// A clamp with bounds that are NaN or the wrong way round; [`Error::Isa`].
    pub fn f32(activation: Activation) -> Result<Self, Error> {
        Self::f32_on(Level::selected()?, activation)
    }

    /// For a level of the caller's choice.
    ///
    /// # Errors
    /// As [`Add::f32`].
    pub fn f32_on(kernels: &'static Kernels, activation: Activation) -> Result<Self, Error> {
        activation.validate()?;
        Ok(Add { kernels, activation, element: PhantomData })
    }

    /// The kernels that `run` uses.
    pub fn kernel_names(&self) -> impl Iterator<Item = &'static str> {
        core::iter::once(self.kernels.elementwise_f32[0].name)
    }

    /// Adds.
    ///
    /// # Errors
    /// Images of different shapes, or an output that shares memory with an input.
    pub fn run(&self, a: Image<'_>, b: Image<'_>, y: ImageMut<'_>, parallel: &dyn Parallel) -> Result<(), Error> {
        check_add(self.activation, &a, &b, &y)?;
        let finish = Finish { kernels: self.kernels, activation: self.activation, residual: Some(b.raw()) };
        let (a, y) = (a.raw(), y.raw());
        let mut nothing = Workspace::default();
        run_parts(parallel, y.pixels(), &mut Scratch::new(&mut nothing, 0, 1)?, |pixels, _| {
            // SAFETY: pixels of `y` that no other task has; shapes and overlap were checked.
            unsafe { finish.run_from(&a, &y, pixels, 0..y.c) }
        });
        Ok(())
    }
}

/// What a kernel leaves to do on its output while that is in cache: add a residual, apply an activation that is no clamp.
#[derive(Clone, Copy)]
pub(crate) struct Finish {
    pub kernels: &'static Kernels,
    pub activation: Activation,
    pub residual: Option<Raw<f32>>,
}

impl Finish {
    /// Whether the kernel's own clamp is all.
    pub fn is_nothing(&self) -> bool {
        self.residual.is_none() && self.activation != Activation::HardSwish
    }

    /// The clamp that the kernel applies: none where something is to be added before.
    pub fn kernel_bounds(&self) -> (f32, f32) {
        if self.is_nothing() { self.activation.bounds() } else { Activation::None.bounds() }
    }

    /// Finishes `channels` of `pixels` of `y` in place.
    ///
    /// # Safety
    /// The pixels exist, were written, and nobody else touches these channels of them.
    pub unsafe fn run(&self, y: &Raw<f32>, pixels: Range<usize>, channels: Range<usize>) {
        if !self.is_nothing() {
            // SAFETY: as promised by the caller.
            unsafe { self.run_from(y, y, pixels, channels) }
        }
    }

    /// `y = act(a + residual)` on `channels` of `pixels`.
    ///
    /// # Safety
    /// As [`Finish::run`]; `a` is `y`, or of its shape and apart from it.
    unsafe fn run_from(&self, a: &Raw<f32>, y: &Raw<f32>, pixels: Range<usize>, channels: Range<usize>) {
        let kernel = self.kernels.elementwise_f32[usize::from(self.residual.is_none())];
        let (min, max) = self.activation.bounds();
        let at = |raw: &Raw<f32>| raw.pixel(pixels.start).wrapping_add(channels.start).cast_const();
        let args = ElementwiseF32 {
            a: at(a),
            a_stride: a.pixel_stride,
            b: self.residual.as_ref().map_or(core::ptr::null(), at),
            b_stride: self.residual.map_or(0, |residual| residual.pixel_stride),
            out: at(y).cast_mut(),
            out_stride: y.pixel_stride,
            rows: pixels.len(),
            len: channels.len(),
            hard_swish: self.activation == Activation::HardSwish,
            min,
            max,
        };
        // SAFETY: the contract of `ElementwiseF32`: rows are pixels that exist, `out` is `a` or apart.
        unsafe { kernel.run(&args) }
    }
}
