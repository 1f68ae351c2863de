//! Addition with activation, activation alone, and the finish of a convolution.

use super::{Scratch, check_add, check_pointwise, run_parts};
use crate::{
    Activation, Element, Error, Image, ImageMut, Level, Parallel, QuantParams, Quantized, Workspace,
    kernels::{AddI8, ElementwiseF32, Function, Kernels},
    quant::{Output, Sum},
    tensor::Raw,
};
use core::ops::Range;

/// `y = act(a + b)`.
///
/// Images of one shape, each with its own pixel stride. On bytes, `i8` or `u8`, integers only, as XNNPACK computes it and
/// so TensorFlow Lite where that is its delegate, bit for bit:
///
/// ```text
/// shift = 20 - floor(log2(max(a_scale / y_scale, b_scale / y_scale)))        ratios rounded to f32
/// A, B = round_half_even(a_scale / y_scale * 2^shift), the same of b_scale
/// y = clamp(floor(((a - a_zero_point) * A + (b - b_zero_point) * B + 2^(shift - 1)) / 2^shift) + y_zero_point)
/// ```
/// with the clamp of [`crate::Requantization::FloatScale`].
#[derive(Clone, Debug)]
pub struct Add<T: Element = f32> {
    kernels: &'static Kernels,
    sum: T::Add,
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
        Ok(Add { kernels, sum: activation })
    }

    /// The kernels that `run` uses.
    pub fn kernel_names(&self) -> impl Iterator<Item = &'static str> {
        core::iter::once(self.kernels.elementwise_f32[0].name)
    }

    /// Adds.
    ///
    /// # Errors
    /// Images of different shapes, or an output that shares memory with an input. Nothing is written then.
    pub fn run(&self, a: Image<'_>, b: Image<'_>, y: ImageMut<'_>, parallel: &dyn Parallel) -> Result<(), Error> {
        check_add(&a, &b, &y)?;
        let finish = Finish { kernels: self.kernels, activation: self.sum, residual: Some(b.raw()) };
        let (a, y) = (a.raw(), y.raw());
        let mut nothing = Workspace::default();
        run_parts(parallel, y.pixels(), 1, &mut Scratch::new(&mut nothing, 0, 1)?, |pixels, _| {
            // SAFETY: pixels of `y` that no other task has; shapes and overlap were checked.
            unsafe { finish.run_from(&a, &y, pixels, 0..y.c) }
        });
        Ok(())
    }
}

impl<T: Quantized> Add<T> {
    /// Of bytes, for the best level of this CPU.
    ///
    /// # Errors
    /// Scales that are not positive and finite, ratios to the output's outside 2^-10 to below 2^8, zero points out of
    /// range; activations as in [`Add::f32`], and hard-swish, which is an operator of its own on bytes.
    pub fn quantized(a: QuantParams, b: QuantParams, y: QuantParams, activation: Activation) -> Result<Self, Error> {
        Self::quantized_on(Level::selected()?, a, b, y, activation)
    }

    /// Of bytes, for a level of the caller's choice.
    ///
    /// # Errors
    /// As [`Add::quantized`].
    pub fn quantized_on(
        kernels: &'static Kernels,
        a: QuantParams,
        b: QuantParams,
        y: QuantParams,
        activation: Activation,
    ) -> Result<Self, Error> {
        Ok(Add { kernels, sum: Sum::new::<T>(a, b, y, activation)? })
    }

    /// The kernels that `run` uses.
    pub fn kernel_names(&self) -> impl Iterator<Item = &'static str> {
        core::iter::once(self.kernels.add_i8[0].name)
    }

    /// Adds.
    ///
    /// # Errors
    /// As for f32.
    pub fn run(
        &self,
        a: Image<'_, T>,
        b: Image<'_, T>,
        y: ImageMut<'_, T>,
        parallel: &dyn Parallel,
    ) -> Result<(), Error> {
        check_add(&a, &b, &y)?;
        let (a, b, y) = (a.raw().bytes(), b.raw().bytes(), y.raw().bytes());
        let ([a_multiplier, b_multiplier], bias, shift) = self.sum.terms();
        let Output { zero_point, min, max, flip } = self.sum.output();
        // Pixels that adjoin are one row.
        let dense = [&a, &b, &y].iter().all(|image| image.pixel_stride == image.c);
        let mut nothing = Workspace::default();
        run_parts(parallel, y.pixels(), 1, &mut Scratch::new(&mut nothing, 0, 1)?, |pixels, _| {
            let args = AddI8 {
                a: a.pixel(pixels.start),
                a_stride: a.pixel_stride,
                b: b.pixel(pixels.start),
                b_stride: b.pixel_stride,
                out: y.pixel(pixels.start),
                out_stride: y.pixel_stride,
                rows: if dense { 1 } else { pixels.len() },
                len: if dense { pixels.len() * y.c } else { y.c },
                a_multiplier,
                b_multiplier,
                bias,
                shift,
                zero_point,
                min,
                max,
                flip,
            };
            // SAFETY: the contract of `AddI8`: rows are pixels that exist, those of `y` are apart from the others and no
            // other task has them; `Sum` bounds its terms.
            unsafe { self.kernels.add_i8[0].run(&args) }
        });
        Ok(())
    }
}

/// `y = act(x)` of an image in f32, for an activation that nothing before it could take along.
///
/// Of bytes it is a [`crate::Lookup`].
#[derive(Clone, Copy, Debug)]
pub struct Activate {
    kernels: &'static Kernels,
    activation: Activation,
}

impl Activate {
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
    /// As [`Activate::f32`].
    pub fn f32_on(kernels: &'static Kernels, activation: Activation) -> Result<Self, Error> {
        activation.validate()?;
        Ok(Activate { kernels, activation })
    }

    /// The kernels that `run` uses.
    pub fn kernel_names(&self) -> impl Iterator<Item = &'static str> {
        core::iter::once(self.kernels.elementwise_f32[1].name)
    }

    /// Applies it to `x` into `y`.
    ///
    /// # Errors
    /// Images of different shapes, or that share memory. Nothing is written then.
    pub fn run(&self, x: Image<'_>, y: ImageMut<'_>, parallel: &dyn Parallel) -> Result<(), Error> {
        check_pointwise(&x, &y)?;
        self.map(x.raw(), y.raw(), parallel)
    }

    /// Applies it to `y` in place.
    ///
    /// # Errors
    /// None: it returns what the other operators do.
    pub fn run_in_place(&self, y: ImageMut<'_>, parallel: &dyn Parallel) -> Result<(), Error> {
        self.map(y.raw(), y.raw(), parallel)
    }

    /// `x` is `y`, or of its shape and apart from it.
    fn map(&self, x: Raw<f32>, y: Raw<f32>, parallel: &dyn Parallel) -> Result<(), Error> {
        let finish = Finish { kernels: self.kernels, activation: self.activation, residual: None };
        let mut nothing = Workspace::default();
        run_parts(parallel, y.pixels(), 1, &mut Scratch::new(&mut nothing, 0, 1)?, |pixels, _| {
            // SAFETY: pixels of `y` that no other task has; `x` is `y`, or shape and overlap were checked.
            unsafe { finish.run_from(&x, &y, pixels, 0..y.c) }
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
        self.residual.is_none() && self.activation.function() == Function::Clamp
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
        // Pixels that adjoin are one row.
        let dense = [a, y].into_iter().chain(&self.residual).all(|image| image.pixel_stride == channels.len());
        let args = ElementwiseF32 {
            a: at(a),
            a_stride: a.pixel_stride,
            b: self.residual.as_ref().map_or(core::ptr::null(), at),
            b_stride: self.residual.map_or(0, |residual| residual.pixel_stride),
            out: at(y).cast_mut(),
            out_stride: y.pixel_stride,
            rows: if dense { 1 } else { pixels.len() },
            len: if dense { pixels.len() * channels.len() } else { channels.len() },
            function: self.activation.function(),
            min,
            max,
        };
        // SAFETY: the contract of `ElementwiseF32`: rows are pixels that exist, `out` is `a` or apart.
        unsafe { kernel.run(&args) }
    }
}
