//! Functions of a byte, and images of several quantisations side by side.

use super::{Scratch, check_concat, check_pointwise, run_parts};
use crate::{
    Activation, Error, Image, ImageMut, Level, Parallel, QuantParams, Quantized, Requantization, Workspace,
    kernels::{Kernels, LookupI8},
    quant::{self, HardSwish},
    tensor::Raw,
};
use alloc::vec::Vec;

/// `y = table[x]`: any function of a byte, `i8` or `u8`.
#[derive(Clone, Debug)]
pub struct Lookup<T> {
    kernels: &'static Kernels,
    /// By the bits of `x`.
    table: [T; 256],
}

impl<T: Quantized> Lookup<T> {
    /// Of a table from the least value to the greatest, for the best level of this CPU.
    ///
    /// # Errors
    /// [`Error::Isa`].
    pub fn new(table: &[T; 256]) -> Result<Self, Error> {
        Ok(Self::new_on(Level::selected()?, table))
    }

    /// Of a table from the least value to the greatest, for a level of the caller's choice.
    pub fn new_on(kernels: &'static Kernels, table: &[T; 256]) -> Self {
        Self::of(kernels, |x| table[(x - T::MIN) as usize].to_i32())
    }

    /// From one quantisation to another, as ONNX Runtime's QLinearConcat does it, for the best level of this CPU:
    /// `y = round_half_even(clamp((x_scale * (x - x_zero_point)) / y_scale)) + y_zero_point`, each step rounded to f32.
    /// Where both are the same, so is `y`.
    ///
    /// # Errors
    /// Scales that are not positive and finite, zero points out of range; [`Error::Isa`].
    pub fn rescale(x: QuantParams, y: QuantParams) -> Result<Self, Error> {
        Self::rescale_on(Level::selected()?, x, y)
    }

    /// From one quantisation to another, for a level of the caller's choice.
    ///
    /// # Errors
    /// As [`Lookup::rescale`].
    pub fn rescale_on(kernels: &'static Kernels, x: QuantParams, y: QuantParams) -> Result<Self, Error> {
        x.validate::<T>("x")?;
        y.validate::<T>("y")?;
        Ok(Self::of(kernels, |q| quant::rescale::<T>(q, x, y)))
    }

    /// `y = x * min(max(x + 3, 0), 6) / 6` in 16-bit fixed point, as TensorFlow Lite's own kernel computes it bit for bit,
    /// for the best level of this CPU.
    ///
    /// # Errors
    /// As [`Lookup::rescale`], and `x_scale / y_scale` of 128 or more.
    pub fn hard_swish(x: QuantParams, y: QuantParams) -> Result<Self, Error> {
        Self::hard_swish_on(Level::selected()?, x, y)
    }

    /// Hard-swish, for a level of the caller's choice.
    ///
    /// # Errors
    /// As [`Lookup::hard_swish`].
    pub fn hard_swish_on(kernels: &'static Kernels, x: QuantParams, y: QuantParams) -> Result<Self, Error> {
        let hard_swish = HardSwish::new::<T>(x, y)?;
        Ok(Self::of(kernels, |q| hard_swish.one::<T>(q)))
    }

    /// `y = clamp(round_half_away(sigmoid(x_scale * (x - x_zero_point)) / y_scale) + y_zero_point)`, the argument
    /// rounded to f32 and the rest computed in f64, for the best level of this CPU. TensorFlow Lite has `y_scale = 1 /
    /// 256` and as zero point the least byte.
    ///
    /// # Errors
    /// As [`Lookup::rescale`].
    pub fn sigmoid(x: QuantParams, y: QuantParams) -> Result<Self, Error> {
        Self::sigmoid_on(Level::selected()?, x, y)
    }

    /// The sigmoid, for a level of the caller's choice.
    ///
    /// # Errors
    /// As [`Lookup::rescale`].
    pub fn sigmoid_on(kernels: &'static Kernels, x: QuantParams, y: QuantParams) -> Result<Self, Error> {
        x.validate::<T>("x")?;
        y.validate::<T>("y")?;
        Ok(Self::of(kernels, |q| quant::sigmoid::<T>(q, x, y)))
    }

    fn of(kernels: &'static Kernels, f: impl Fn(i32) -> i32) -> Self {
        let mut table = [T::from_i32(0); 256];
        (T::MIN..=T::MAX).for_each(|x| table[usize::from(x as u8)] = T::from_i32(f(x)));
        Lookup { kernels, table }
    }

    /// The same with an activation on the output, which is of `y`: a clamp of bytes, whose bounds `mode` rounds. Of
    /// [`Lookup::rescale`] from a quantisation to itself it makes the activation alone: ReLU is `max(x, zero_point)`.
    ///
    /// # Errors
    /// A scale or a zero point as for [`Lookup::rescale`]; a clamp with bounds that are NaN or the wrong way round;
    /// activations that are no clamp.
    pub fn with_activation(
        mut self,
        y: QuantParams,
        activation: Activation,
        mode: Requantization,
    ) -> Result<Self, Error> {
        y.validate::<T>("y")?;
        let (min, max) = y.bounds::<T>(activation, mode)?;
        self.table = self.table.map(|y| T::from_i32(y.to_i32().clamp(min, max)));
        Ok(self)
    }

    /// The kernels that `run` uses.
    pub fn kernel_names(&self) -> impl Iterator<Item = &'static str> {
        core::iter::once(self.kernels.lookup_i8[0].name)
    }

    /// Looks up `x` into `y`.
    ///
    /// # Errors
    /// Images of different shapes, or that share memory. Nothing is written then.
    pub fn run(&self, x: Image<'_, T>, y: ImageMut<'_, T>, parallel: &dyn Parallel) -> Result<(), Error> {
        check_pointwise(&x, &y)?;
        self.map(x.raw().bytes(), y.raw().bytes(), parallel)
    }

    /// Looks up `y` in place.
    ///
    /// # Errors
    /// None: it returns what the other operators do.
    pub fn run_in_place(&self, y: ImageMut<'_, T>, parallel: &dyn Parallel) -> Result<(), Error> {
        self.map(y.raw().bytes(), y.raw().bytes(), parallel)
    }

    /// `x` is `y`, or of its shape and apart from it.
    fn map(&self, x: Raw<u8>, y: Raw<u8>, parallel: &dyn Parallel) -> Result<(), Error> {
        // Pixels that adjoin are one row.
        let dense = x.pixel_stride == x.c && y.pixel_stride == y.c;
        let mut nothing = Workspace::default();
        run_parts(parallel, y.pixels(), 1, &mut Scratch::new(&mut nothing, 0, 1)?, |pixels, _| {
            let args = LookupI8 {
                table: self.table.as_ptr().cast(),
                x: x.pixel(pixels.start),
                x_stride: x.pixel_stride,
                out: y.pixel(pixels.start),
                out_stride: y.pixel_stride,
                rows: if dense { 1 } else { pixels.len() },
                len: if dense { pixels.len() * y.c } else { y.c },
            };
            // SAFETY: the contract of `LookupI8`: rows are pixels that exist, of which no other task has those of `y`; `x`
            // is `y` or apart.
            unsafe { self.kernels.lookup_i8[0].run(&args) };
        });
        Ok(())
    }
}

/// Images, each of its own quantisation, side by side in the channels of one: each is rescaled as by [`Lookup::rescale`].
///
/// In f32, and where all have one quantisation, producers write views of one image and nothing is left to do.
#[derive(Clone, Debug)]
pub struct Concat<T> {
    /// `None` where the bytes are those of the output.
    lookups: Vec<Option<Lookup<T>>>,
}

impl<T: Quantized> Concat<T> {
    /// For the best level of this CPU.
    ///
    /// # Errors
    /// As [`Lookup::rescale`]; no images.
    pub fn new(x: &[QuantParams], y: QuantParams) -> Result<Self, Error> {
        Self::new_on(Level::selected()?, x, y)
    }

    /// For a level of the caller's choice.
    ///
    /// # Errors
    /// As [`Concat::new`].
    pub fn new_on(kernels: &'static Kernels, x: &[QuantParams], y: QuantParams) -> Result<Self, Error> {
        crate::error::non_zero(&[("images", x.len())])?;
        let lookup = |&x: &QuantParams| {
            let lookup = Lookup::rescale_on(kernels, x, y)?;
            Ok((x != y).then_some(lookup))
        };
        Ok(Concat { lookups: x.iter().map(lookup).collect::<Result<_, _>>()? })
    }

    /// Puts the images of `x` side by side into `y`, in their order.
    ///
    /// # Errors
    /// As many images as parameters; of one batch, height and width; with the channels of `y` together, and apart from it.
    /// Nothing is written otherwise.
    pub fn run(&self, x: &[Image<'_, T>], y: ImageMut<'_, T>, parallel: &dyn Parallel) -> Result<(), Error> {
        check_concat(self.lookups.len(), x, &y)?;
        let y = y.raw().bytes();
        let mut first = 0;
        for (x, lookup) in x.iter().zip(&self.lookups) {
            let x = x.raw().bytes();
            let part = y.part(first..first + x.c);
            first += x.c;
            match lookup {
                Some(lookup) => lookup.map(x, part, parallel)?,
                None => copy(x, part, parallel)?,
            }
        }
        Ok(())
    }
}

/// The bytes of an image into another of its shape.
fn copy(x: Raw<u8>, y: Raw<u8>, parallel: &dyn Parallel) -> Result<(), Error> {
    let mut nothing = Workspace::default();
    run_parts(parallel, y.pixels(), 1, &mut Scratch::new(&mut nothing, 0, 1)?, |pixels, _| {
        for pixel in pixels {
            // SAFETY: pixels that exist, of which no other task has those of `y`, which is apart from `x`.
            unsafe { y.pixel(pixel).copy_from_nonoverlapping(x.pixel(pixel), y.c) };
        }
    });
    Ok(())
}
