//! Squeeze-excite: channels scaled by what the whole image says of them.

use super::{FullyConnected, Pool2d, Scratch, check_excited, check_length, run_parts};
use crate::{
    Activation, Element, Error, Image, ImageMut, Level, Parallel, QuantParams, Quantization, Quantized, Requantization,
    Workspace,
    error::{non_zero, product},
    kernels::{ElementwiseF32, Function, Kernels, ScaleI8},
    packed::{Packed, Visit},
    quant::{self, Output, Product},
    tensor::Raw,
};
use alloc::vec::Vec;
use core::ops::Range;

/// Squeeze-excite (arXiv 1709.01507), as MnasNet-A1 has it: of each image the averages of the channels go through two
/// products and become one factor a channel.
///
/// ```text
/// a[n, i] = average over y, x of x[n, y, x, i]                                  as Pool2d::global_average
/// r[n, j] = max(b_reduce[j] + sum over i of a[n, i] * w_reduce[j][i], 0)        as FullyConnected
/// s[n, i] = sigmoid(b_expand[i] + sum over j of r[n, j] * w_expand[i][j])       as FullyConnected, reference::sigmoid
/// y[n, y, x, i] = x[n, y, x, i] * s[n, i]
/// ```
/// On bytes, `i8` or `u8`, the average is that of [`Pool2d::global_average_quantized`], the products, of which the
/// second ends with `e`, are those of [`FullyConnected::quantized`], the sigmoid is that of [`crate::Lookup::sigmoid`],
/// and
///
/// ```text
/// scale = (x_scale * gate_scale) / y_scale                                        each step rounded to f32
/// y = clamp(round_half_even(f32((x - x_zero_point) * (s - gate_zero_point)) * scale) + y_zero_point)
/// ```
/// bit for bit on every level.
pub struct SqueezeExcite<T: Element = f32> {
    pub(super) c: usize,
    pub(super) reduced: usize,
    pub(super) reduce: FullyConnected<T>,
    pub(super) expand: FullyConnected<T>,
    pub(super) path: T::Excite,
}

/// The quantisation of a [`SqueezeExcite`]: of its ends and of all that is between them.
#[derive(Clone, Copy, Debug)]
pub struct SqueezeExciteQuantization<'a> {
    /// Of the input.
    pub x: QuantParams,
    /// Of the averages.
    pub average: QuantParams,
    /// Of the weights of the first product, whose zero point is 0: one scale, or one for each of its outputs.
    pub reduce_scales: &'a [f32],
    /// Of the first product's output.
    pub reduced: QuantParams,
    /// Of the weights of the second product: one scale, or one for each channel.
    pub expand_scales: &'a [f32],
    /// Of the second product's output, before the sigmoid.
    pub expanded: QuantParams,
    /// Of the sigmoid's output. TensorFlow Lite has a scale of 1 / 256 and as zero point the least byte.
    pub gate: QuantParams,
    /// Of the output.
    pub y: QuantParams,
    /// How the sums of both products become bytes.
    pub mode: Requantization,
}

/// The weights of a [`SqueezeExcite`]: of bytes `i8`, whose zero point is 0, with biases in `i32`.
#[derive(Clone, Copy, Debug)]
pub struct SqueezeExciteWeights<'a, W = f32, B = W> {
    /// Channels of the image.
    pub c: usize,
    /// Outputs of the first product.
    pub reduced: usize,
    /// Of the first product, `[reduced][c]`.
    pub w_reduce: &'a [W],
    /// Of the first product; without it zeros.
    pub b_reduce: Option<&'a [B]>,
    /// Of the second product, `[c][reduced]`.
    pub w_expand: &'a [W],
    /// Of the second product; without it zeros.
    pub b_expand: Option<&'a [B]>,
}

impl<W, B> SqueezeExciteWeights<'_, W, B> {
    pub(crate) fn validate(&self) -> Result<(), Error> {
        non_zero(&[("channels", self.c), ("reduced", self.reduced)])?;
        let len = product("weights", &[self.c, self.reduced])?;
        check_length("w_reduce", len, self.w_reduce.len())?;
        check_length("w_expand", len, self.w_expand.len())?;
        self.b_reduce.map_or(Ok(()), |bias| check_length("b_reduce", self.reduced, bias.len()))?;
        self.b_expand.map_or(Ok(()), |bias| check_length("b_expand", self.c, bias.len()))
    }
}

impl SqueezeExcite<f32> {
    /// Packs for the best level of this CPU.
    ///
    /// # Errors
    /// Sizes of zero or that overflow, weights or biases of the wrong length; [`Error::Isa`].
    pub fn f32(weights: &SqueezeExciteWeights<'_>) -> Result<Self, Error> {
        Self::f32_on(Level::selected()?, weights)
    }

    /// Packs for a level of the caller's choice.
    ///
    /// # Errors
    /// As [`SqueezeExcite::f32`].
    pub fn f32_on(kernels: &'static Kernels, weights: &SqueezeExciteWeights<'_>) -> Result<Self, Error> {
        weights.validate()?;
        let &SqueezeExciteWeights { c, reduced, w_reduce, b_reduce, w_expand, b_expand } = weights;
        let (relu, sigmoid) = (Activation::Relu, Activation::Sigmoid);
        Ok(SqueezeExcite {
            c,
            reduced,
            reduce: FullyConnected::f32_on(kernels, c, reduced, w_reduce, b_reduce, relu)?,
            expand: FullyConnected::f32_on(kernels, reduced, c, w_expand, b_expand, sigmoid)?,
            path: ExciteF32 { kernels, average: Pool2d::global_average_on(kernels) },
        })
    }
}

impl<T: Quantized> SqueezeExcite<T> {
    /// Of bytes; packs for the best level of this CPU.
    ///
    /// # Errors
    /// As for f32; scales that are not positive and finite, or whose ratios overflow, the last one 2^15; scales of
    /// weights that are neither one nor one for each output; zero points out of range.
    pub fn quantized(
        weights: &SqueezeExciteWeights<'_, i8, i32>,
        quantization: &SqueezeExciteQuantization<'_>,
    ) -> Result<Self, Error> {
        Self::quantized_on(Level::selected()?, weights, quantization)
    }

    /// Of bytes, for a level of the caller's choice.
    ///
    /// # Errors
    /// As [`SqueezeExcite::quantized`].
    pub fn quantized_on(
        kernels: &'static Kernels,
        weights: &SqueezeExciteWeights<'_, i8, i32>,
        quantization: &SqueezeExciteQuantization<'_>,
    ) -> Result<Self, Error> {
        weights.validate()?;
        let &SqueezeExciteWeights { c, reduced, w_reduce, b_reduce, w_expand, b_expand } = weights;
        let q = quantization;
        q.validate::<T>(c, reduced)?;
        let (relu, none) = (Activation::Relu, Activation::None);
        Ok(SqueezeExcite {
            c,
            reduced,
            reduce: FullyConnected::quantized_on(kernels, c, reduced, w_reduce, b_reduce, &q.reduce(), relu)?,
            expand: FullyConnected::quantized_on(kernels, reduced, c, w_expand, b_expand, &q.expand(), none)?,
            path: ExciteI8::new(kernels, q)?,
        })
    }
}

impl SqueezeExciteQuantization<'_> {
    pub(crate) fn validate<T: Quantized>(&self, c: usize, reduced: usize) -> Result<(), Error> {
        let params = [("x", self.x), ("average", self.average), ("reduced", self.reduced)];
        let more = [("expanded", self.expanded), ("gate", self.gate), ("y", self.y)];
        params.into_iter().chain(more).try_for_each(|(argument, params)| params.validate::<T>(argument))?;
        for (argument, scales, outputs) in
            [("reduce_scales", self.reduce_scales, reduced), ("expand_scales", self.expand_scales, c)]
        {
            if scales.len() != 1 {
                check_length(argument, outputs, scales.len())?;
            }
            scales.iter().try_for_each(|&scale| quant::check_scale(argument, scale))?;
        }
        Ok(())
    }

    /// Of the first product.
    pub(crate) fn reduce(&self) -> Quantization<'_> {
        let SqueezeExciteQuantization { average: x, reduce_scales: weight_scales, reduced: y, mode, .. } = *self;
        Quantization { x, weight_scales, y, residual: None, mode }
    }

    /// Of the second product.
    pub(crate) fn expand(&self) -> Quantization<'_> {
        let SqueezeExciteQuantization { reduced: x, expand_scales: weight_scales, expanded: y, mode, .. } = *self;
        Quantization { x, weight_scales, y, residual: None, mode }
    }
}

impl<T: Element> Visit for SqueezeExcite<T> {
    fn visit(&mut self, f: &mut dyn FnMut(&mut Packed)) {
        self.reduce.visit(f);
        self.expand.visit(f);
    }
}

impl<T: Element> SqueezeExcite<T> {
    /// The kernels that `run` uses on a batch of one.
    pub fn kernel_names(&self) -> Vec<&'static str> {
        let products = [self.reduce.kernel_names(), self.expand.kernel_names()].concat();
        let [average, scale] = self.path.kernel_names();
        [average, products, scale].concat()
    }

    /// Bytes of workspace that `run` needs for a batch of `n` images of `h` by `w` pixels with so many threads.
    ///
    /// # Errors
    /// Sizes of zero or that overflow.
    pub fn workspace_len(&self, [n, h, w]: [usize; 3], threads: usize) -> Result<usize, Error> {
        non_zero(&[("batch", n), ("height", h), ("width", w)])?;
        let products = self.reduce.workspace_len(n, threads)?.max(self.expand.workspace_len(n, threads)?);
        // Each begins with a word of its own.
        let factors = product("workspace", &[n, self.c, size_of::<f32>()])?;
        let vectors = product("workspace", &[n, self.c + self.reduced, size_of::<T>()])?;
        Ok((factors + vectors).next_multiple_of(size_of::<u64>()) + 2 * size_of::<u64>() + products)
    }

    /// Scales the channels of `x` into `y`.
    ///
    /// # Errors
    /// Images whose shapes do not fit, or that share memory; a workspace below [`SqueezeExcite::workspace_len`]; of
    /// bytes, more than 2^23 pixels an image. Nothing is written then.
    pub fn run(
        &self,
        x: Image<'_, T>,
        y: ImageMut<'_, T>,
        workspace: &mut Workspace,
        parallel: &dyn Parallel,
    ) -> Result<(), Error> {
        self.run_in(x, y, workspace.memory(), parallel)
    }

    /// [`SqueezeExcite::run`] in some of a workspace.
    pub(crate) fn run_in(
        &self,
        x: Image<'_, T>,
        y: ImageMut<'_, T>,
        memory: &mut [u64],
        parallel: &dyn Parallel,
    ) -> Result<(), Error> {
        let ([_, h, w, _], c) = (x.shape(), self.c);
        let n = check_excited(&x, &y, c)?;
        let expected = self.workspace_len([n, h, w], parallel.threads())?;
        if size_of_val(memory) < expected {
            return Err(Error::Workspace { expected, got: size_of_val(memory) });
        }
        let (factors, memory) = split::<f32>(memory, n * c);
        let (vectors, memory) = split::<T>(memory, n * c);
        let (reduced, memory) = split::<T>(memory, n * self.reduced);
        self.path.average(x, ImageMut::nhwc(vectors, n, 1, 1, c)?, parallel)?;
        self.reduce.run_in(vectors, n, reduced, memory, parallel)?;
        self.expand.run_in(reduced, n, vectors, memory, parallel)?;
        factors.iter_mut().zip(vectors).for_each(|(factor, s)| *factor = self.path.factor(*s));

        let (x, y, factors, each) = (x.raw(), y.raw(), &factors[..], h * w);
        run_parts(parallel, n * each, 1, &mut Scratch::of(memory, 0, 1)?, |pixels, _| {
            for n in pixels.start / each..pixels.end.div_ceil(each) {
                let of_image = pixels.start.max(n * each)..pixels.end.min((n + 1) * each);
                let part = Part { x, y, pixels: of_image, factors: &factors[n * c..(n + 1) * c] };
                // SAFETY: pixels of `y` that no other task has; shapes and overlap were checked.
                unsafe { self.path.scale(&part) };
            }
        });
        Ok(())
    }
}

/// `len` elements at the front of `memory`, which is as long as that at least, and the rest.
fn split<T: Element>(memory: &mut [u64], len: usize) -> (&mut [T], &mut [u64]) {
    let words = (len * size_of::<T>()).div_ceil(size_of::<u64>());
    let (front, rest) = memory.split_at_mut(words);
    // SAFETY: as many words as hold them; any bits are an `f32`, an `i8` or a `u8`, and there are no other elements.
    (unsafe { core::slice::from_raw_parts_mut(front.as_mut_ptr().cast(), len) }, rest)
}

/// What there is for each element type.
pub trait ExcitePath<T> {
    /// The kernels of the average and of the scaling.
    fn kernel_names(&self) -> [Vec<&'static str>; 2];

    /// The averages of images.
    fn average(&self, x: Image<'_, T>, y: ImageMut<'_, T>, parallel: &dyn Parallel) -> Result<(), Error>;

    /// The factor that the second product says.
    fn factor(&self, expanded: T) -> f32;

    /// `y = x * factors`.
    ///
    /// # Safety
    /// The pixels exist, nobody else touches those of `y`, which has the shape of `x` and is apart from it; there are
    /// as many factors as channels.
    unsafe fn scale(&self, part: &Part<'_, T>);
}

/// Pixels of one image.
pub struct Part<'a, T> {
    x: Raw<T>,
    y: Raw<T>,
    pixels: Range<usize>,
    factors: &'a [f32],
}

/// Of f32: the second product ends with the sigmoid.
pub struct ExciteF32 {
    pub(super) kernels: &'static Kernels,
    pub(super) average: Pool2d<f32>,
}

impl ExcitePath<f32> for ExciteF32 {
    fn kernel_names(&self) -> [Vec<&'static str>; 2] {
        [self.average.kernel_names().collect(), alloc::vec![self.kernels.elementwise_f32[2].name]]
    }

    fn average(&self, x: Image<'_>, y: ImageMut<'_>, parallel: &dyn Parallel) -> Result<(), Error> {
        self.average.run(x, y, parallel)
    }

    fn factor(&self, expanded: f32) -> f32 {
        expanded
    }

    unsafe fn scale(&self, Part { x, y, pixels, factors }: &Part<'_, f32>) {
        let (min, max) = Activation::None.bounds();
        let args = ElementwiseF32 {
            a: x.pixel(pixels.start),
            a_stride: x.pixel_stride,
            b: factors.as_ptr(),
            b_stride: 0,
            out: y.pixel(pixels.start),
            out_stride: y.pixel_stride,
            rows: pixels.len(),
            len: y.c,
            function: Function::Clamp,
            min,
            max,
        };
        // SAFETY: the contract of `ElementwiseF32`: rows are pixels that exist, `out` is apart from both operands.
        unsafe { self.kernels.elementwise_f32[2].run(&args) }
    }
}

/// Of bytes: the sigmoid is a table.
pub struct ExciteI8<T: Element> {
    kernels: &'static Kernels,
    average: Pool2d<T>,
    product: Product,
    /// By the bits of what the second product says.
    factors: [f32; 256],
}

impl<T: Quantized> ExciteI8<T> {
    pub(super) fn new(kernels: &'static Kernels, q: &SqueezeExciteQuantization<'_>) -> Result<Self, Error> {
        let product = Product::new::<T>(q.x, q.gate, q.y)?;
        let mut factors = [0.0; 256];
        (T::MIN..=T::MAX).for_each(|e| {
            factors[usize::from(e as u8)] = product.factor(quant::sigmoid::<T>(e, q.expanded, q.gate));
        });
        let average = Pool2d::global_average_quantized_on(kernels, q.x, q.average)?;
        Ok(ExciteI8 { kernels, average, product, factors })
    }
}

impl<T: Quantized> ExcitePath<T> for ExciteI8<T> {
    fn kernel_names(&self) -> [Vec<&'static str>; 2] {
        [self.average.kernel_names().collect(), alloc::vec![self.kernels.scale_i8[0].name]]
    }

    fn average(&self, x: Image<'_, T>, y: ImageMut<'_, T>, parallel: &dyn Parallel) -> Result<(), Error> {
        self.average.run(x, y, parallel)
    }

    fn factor(&self, expanded: T) -> f32 {
        self.factors[usize::from(expanded.to_i32() as u8)]
    }

    unsafe fn scale(&self, Part { x, y, pixels, factors }: &Part<'_, T>) {
        let (x, y, product) = (x.bytes(), y.bytes(), &self.product);
        let Output { zero_point, min, max, flip } = product.output();
        let args = ScaleI8 {
            x: x.pixel(pixels.start),
            x_stride: x.pixel_stride,
            zero: product.zero(),
            factors: factors.as_ptr(),
            scale: product.scale,
            out: y.pixel(pixels.start),
            out_stride: y.pixel_stride,
            rows: pixels.len(),
            len: y.c,
            zero_point,
            min,
            max,
            flip,
        };
        // SAFETY: the contract of `ScaleI8`: rows are pixels that exist, `out` is apart from what is read; `Product`
        // bounds the products.
        unsafe { self.kernels.scale_i8[0].run(&args) }
    }
}
