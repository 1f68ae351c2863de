//! Average and maximum pooling.

use super::{Scratch, check_pool, check_pool_window, run_parts};
use crate::{
    Activation, Element, Error, Image, ImageMut, Level, Parallel, QuantParams, Quantized, Requantization, Window,
    Workspace,
    geometry::Placed,
    kernels::{self, Kernels, RequantiseI8},
    quant::{Average, Output},
    tensor::Raw,
};

/// Pooling over a sliding window.
///
/// Average: `y = (0 + x + x + ..) / d` over the pixels of the window inside the image, row by row; `d` counts those, or
/// all of the window where padding counts. Maximum: NaN where one of the pixels is.
///
/// On bytes, `i8` or `u8`, with `s` the exact sum of the bytes of the window inside the image and `n` their number, each
/// as the engine that is named computes it, bit for bit:
///
/// ```text
/// maximum          y = the greatest byte                                             ONNX Runtime, TensorFlow Lite
/// average          y = sign(s) * floor((|s| + floor(n / 2)) / n)                     TensorFlow Lite's own kernel
/// global average   scale = x_scale / (y_scale * n)                                   ONNX Runtime
///                  y = clamp(round_half_even((s - n * x_zero_point) * scale) + y_zero_point)     steps rounded to f32
/// ```
/// The first two keep scale and zero point. A sum is of at most 2^23 pixels; one of none, where dilation steps over a small
/// image, is 0.
#[derive(Clone, Debug)]
pub struct Pool2d<T: Element = f32> {
    kernels: &'static Kernels,
    pool: T::Pool,
    /// `None`: the whole image.
    window: Option<Window>,
}

/// What to do with a window of f32.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PoolF32 {
    Average { count_include_padding: bool },
    Max,
}

/// What to do with a window of bytes.
#[derive(Clone, Copy, Debug)]
pub struct PoolI8 {
    max: bool,
    /// Of a maximum: no more than the bounds.
    average: Average,
}

impl Pool2d<f32> {
    /// Average, for the best level of this CPU.
    ///
    /// # Errors
    /// Sizes of zero or that overflow, padding as large as the kernel; [`Error::Isa`].
    pub fn average(window: Window, count_include_padding: bool) -> Result<Self, Error> {
        Self::average_on(Level::selected()?, window, count_include_padding)
    }

    /// Average, for a level of the caller's choice.
    ///
    /// # Errors
    /// As [`Pool2d::average`].
    pub fn average_on(kernels: &'static Kernels, window: Window, count_include_padding: bool) -> Result<Self, Error> {
        Self::new(kernels, PoolF32::Average { count_include_padding }, Some(window))
    }

    /// Maximum, for the best level of this CPU.
    ///
    /// # Errors
    /// As [`Pool2d::average`].
    pub fn max(window: Window) -> Result<Self, Error> {
        Self::max_on(Level::selected()?, window)
    }

    /// Maximum, for a level of the caller's choice.
    ///
    /// # Errors
    /// As [`Pool2d::average`].
    pub fn max_on(kernels: &'static Kernels, window: Window) -> Result<Self, Error> {
        Self::new(kernels, PoolF32::Max, Some(window))
    }

    /// The average of the whole image, for the best level of this CPU.
    ///
    /// # Errors
    /// [`Error::Isa`].
    pub fn global_average() -> Result<Self, Error> {
        Ok(Self::global_average_on(Level::selected()?))
    }

    /// The average of the whole image, for a level of the caller's choice.
    pub fn global_average_on(kernels: &'static Kernels) -> Self {
        Pool2d { kernels, pool: PoolF32::Average { count_include_padding: false }, window: None }
    }

    /// The kernels that `run` uses.
    pub fn kernel_names(&self) -> impl Iterator<Item = &'static str> {
        core::iter::once(self.kernels.pool_f32[usize::from(self.pool == PoolF32::Max)].name)
    }

    /// Pools `x` into `y`.
    ///
    /// # Errors
    /// Images whose shapes do not fit, or that share memory. Nothing is written then.
    pub fn run(&self, x: Image<'_>, y: ImageMut<'_>, parallel: &dyn Parallel) -> Result<(), Error> {
        let [_, h, w, _] = x.shape();
        let window = self.window(h, w);
        let placed = check_pool(&window, &x, &y)?;
        let (x, y) = (x.raw(), y.raw());
        let kernel = self.kernels.pool_f32[usize::from(self.pool == PoolF32::Max)];
        let [row_stride, col_stride] = tap_strides(&window, &x);
        let mut nothing = Workspace::default();
        run_parts(parallel, y.n * y.h, 1, &mut Scratch::new(&mut nothing, 0, 1)?, |rows, _| {
            for at in rows.flat_map(|row| clipped(&window, &placed, &x, &y, row)) {
                let divisor = match self.pool {
                    PoolF32::Average { count_include_padding: true } => window.kernel[0] * window.kernel[1],
                    _ => at.rows * at.cols,
                };
                let args = kernels::PoolF32 {
                    input: at.input,
                    rows: at.rows,
                    cols: at.cols,
                    row_stride,
                    col_stride,
                    channels: y.c,
                    divisor: divisor as f32,
                    out: at.out,
                };
                // SAFETY: the contract of `PoolF32`: a window clipped to the image, an output pixel of this task.
                unsafe { kernel.run(&args) };
            }
        });
        Ok(())
    }
}

/// Channels whose sums are kept on the stack.
const CHUNK: usize = 256;

struct Chunk {
    sums: [i32; CHUNK],
    /// What each is multiplied by: all the same.
    factors: [f32; CHUNK],
}

impl<T: Quantized> Pool2d<T> {
    /// Maximum of bytes, for the best level of this CPU.
    ///
    /// # Errors
    /// As [`Pool2d::average`].
    pub fn quantized_max(window: Window) -> Result<Self, Error> {
        Self::quantized_max_on(Level::selected()?, window)
    }

    /// Maximum of bytes, for a level of the caller's choice.
    ///
    /// # Errors
    /// As [`Pool2d::average`].
    pub fn quantized_max_on(kernels: &'static Kernels, window: Window) -> Result<Self, Error> {
        Self::new(kernels, PoolI8 { max: true, average: Average::new::<T>(None)? }, Some(window))
    }

    /// Average of bytes, for the best level of this CPU. Halves are rounded away from the byte 0.
    ///
    /// # Errors
    /// As [`Pool2d::average`].
    pub fn quantized_average(window: Window) -> Result<Self, Error> {
        Self::quantized_average_on(Level::selected()?, window)
    }

    /// Average of bytes, for a level of the caller's choice.
    ///
    /// # Errors
    /// As [`Pool2d::average`].
    pub fn quantized_average_on(kernels: &'static Kernels, window: Window) -> Result<Self, Error> {
        Self::new(kernels, PoolI8 { max: false, average: Average::new::<T>(None)? }, Some(window))
    }

    /// The same average with all pixels of the window counted, those outside the image as bytes of zero: `zero_point`. Of
    /// a maximum and of a global average nothing changes.
    ///
    /// # Errors
    /// A zero point out of range.
    pub fn counting_padding(mut self, zero_point: i32) -> Result<Self, Error> {
        QuantParams::new(1.0, zero_point).validate::<T>("x")?;
        self.pool.average.padding = (!self.pool.max && self.window.is_some()).then_some(zero_point);
        Ok(self)
    }

    /// The average of the whole image of bytes, for the best level of this CPU.
    ///
    /// # Errors
    /// Scales that are not positive and finite, or whose ratio overflows; zero points out of range; [`Error::Isa`].
    pub fn global_average_quantized(x: QuantParams, y: QuantParams) -> Result<Self, Error> {
        Self::global_average_quantized_on(Level::selected()?, x, y)
    }

    /// The average of the whole image of bytes, for a level of the caller's choice.
    ///
    /// # Errors
    /// As [`Pool2d::global_average_quantized`].
    pub fn global_average_quantized_on(
        kernels: &'static Kernels,
        x: QuantParams,
        y: QuantParams,
    ) -> Result<Self, Error> {
        Self::new(kernels, PoolI8 { max: false, average: Average::new::<T>(Some((x, y)))? }, None)
    }

    /// The same with an activation on the output, which is of `y`: a clamp of bytes, whose bounds `mode` rounds.
    ///
    /// # Errors
    /// As [`crate::Add::quantized`] of `y` and the activation; a `y` other than that of a global average.
    pub fn with_activation(
        mut self,
        y: QuantParams,
        activation: Activation,
        mode: Requantization,
    ) -> Result<Self, Error> {
        y.validate::<T>("y")?;
        if self.pool.average.y().is_some_and(|own| own != y) {
            return Err(Error::OutputQuantization);
        }
        (self.pool.average.min, self.pool.average.max) = y.bounds::<T>(activation, mode)?;
        Ok(self)
    }

    /// The kernels that `run` uses.
    pub fn kernel_names(&self) -> impl Iterator<Item = &'static str> {
        let requantise = (!self.pool.max).then_some(self.kernels.requantise_i8[0].name);
        core::iter::once(self.kernels.pool_i8[usize::from(self.pool.max)].name).chain(requantise)
    }

    /// Pools `x` into `y`.
    ///
    /// # Errors
    /// As for f32, and a sum of more than 2^23 pixels. Nothing is written then.
    pub fn run(&self, x: Image<'_, T>, y: ImageMut<'_, T>, parallel: &dyn Parallel) -> Result<(), Error> {
        let PoolI8 { max, average } = &self.pool;
        let [_, h, w, _] = x.shape();
        let window = self.window(h, w);
        let placed = check_pool(&window, &x, &y)?;
        let most = average.most(&window, h, w);
        if !max {
            average.check(most)?;
        }
        let (x, y) = (x.raw().bytes(), y.raw().bytes());
        let output = average.output();
        let [row_stride, col_stride] = tap_strides(&window, &x);
        let mut nothing = Workspace::default();
        run_parts(parallel, y.n * y.h, 1, &mut Scratch::new(&mut nothing, 0, 1)?, |rows, _| {
            let mut chunk = Chunk { sums: [0; CHUNK], factors: [0.0; CHUNK] };
            for at in rows.flat_map(|row| clipped(&window, &placed, &x, &y, row)) {
                let inside = (at.rows * at.cols) as i32;
                let (padding, pixels) = average.outside(inside, most as i32);
                let args = |c: usize, len: usize, sums: *mut i32| kernels::PoolI8 {
                    input: at.input.wrapping_add(c),
                    rows: at.rows,
                    cols: at.cols,
                    row_stride,
                    col_stride,
                    channels: len,
                    // Of a maximum there may be more pixels than add up.
                    start: if *max { 0 } else { padding - inside * (average.zero_points().0 - T::MIN) },
                    sums,
                    out: at.out,
                    min: output.min,
                    max: output.max,
                    flip: output.flip,
                };
                if *max {
                    // SAFETY: the contract of `PoolI8`: a window clipped to the image, an output pixel of this task.
                    unsafe { self.kernels.pool_i8[1].run(&args(0, y.c, core::ptr::null_mut())) };
                    continue;
                }
                for c in (0..y.c).step_by(CHUNK) {
                    let len = CHUNK.min(y.c - c);
                    // SAFETY: as above, for some of the channels; `check` bounds the sums.
                    unsafe {
                        self.kernels.pool_i8[0].run(&args(c, len, chunk.sums.as_mut_ptr()));
                        self.to_bytes(&mut chunk, len, pixels, at.out.add(c));
                    }
                }
            }
        });
        Ok(())
    }

    /// Bytes of `len` sums of `pixels`, from which the zero point was taken.
    ///
    /// # Safety
    /// `out` is valid for writes of as many bytes.
    unsafe fn to_bytes(&self, chunk: &mut Chunk, len: usize, pixels: i32, out: *mut u8) {
        let average = &self.pool.average;
        let Some(factor) = average.factor(pixels as usize) else {
            for (i, &sum) in chunk.sums[..len].iter().enumerate() {
                // SAFETY: as promised by the caller. An average without a factor has no zero point either.
                unsafe { *out.add(i) = average.one(sum, pixels) as u8 };
            }
            return;
        };
        if chunk.factors[0] != factor {
            chunk.factors.fill(factor);
        }
        let Output { zero_point, min, max, flip } = average.output();
        let args = RequantiseI8 {
            sums: chunk.sums.as_ptr(),
            sums_stride: 0,
            scales: chunk.factors.as_ptr(),
            residual: core::ptr::null(),
            residual_stride: 0,
            residual_zero: 0,
            residual_scale: 0.0,
            out,
            out_stride: 0,
            rows: 1,
            len,
            zero_point,
            min,
            max,
            flip,
        };
        // SAFETY: the contract of `RequantiseI8`: one row of at most `CHUNK` values; factors are below 2^64.
        unsafe { self.kernels.requantise_i8[0].run(&args) };
    }
}

impl<T: Element> Pool2d<T> {
    fn new(kernels: &'static Kernels, pool: T::Pool, window: Option<Window>) -> Result<Self, Error> {
        window.as_ref().map_or(Ok(()), check_pool_window)?;
        Ok(Pool2d { kernels, pool, window })
    }

    fn window(&self, h: usize, w: usize) -> Window {
        self.window.unwrap_or(Window::new([h, w]))
    }

    /// Height and width of the output.
    ///
    /// # Errors
    /// An image that, padded, is smaller than the window.
    pub fn output_size(&self, h: usize, w: usize) -> Result<[usize; 2], Error> {
        self.window(h, w).output_size(h, w)
    }
}

/// Values from a tap to the one below it and to the one beside it. Where one overflows there is no such tap.
fn tap_strides<T>(window: &Window, x: &Raw<T>) -> [usize; 2] {
    let [down, right] = window.dilation;
    [down.wrapping_mul(x.w).wrapping_mul(x.pixel_stride), right.wrapping_mul(x.pixel_stride)]
}

/// The part of a window that lies inside the image, and its output pixel.
struct Clipped<T> {
    input: *const T,
    rows: usize,
    cols: usize,
    out: *mut T,
}

/// The windows of an output row, counted over the batch.
fn clipped<T>(
    window: &Window,
    placed: &Placed,
    x: &Raw<T>,
    y: &Raw<T>,
    row: usize,
) -> impl Iterator<Item = Clipped<T>> {
    // Along one axis: the first pixel inside the image, and how many taps are.
    let clip = |at: usize, i: usize, size: usize| {
        let (step, before) = (window.dilation[i], placed.padding[i]);
        let start = at * window.stride[i];
        let skipped = before.saturating_sub(start).div_ceil(step);
        let taps = (size + before).saturating_sub(start).div_ceil(step).min(window.kernel[i]);
        ((start + skipped * step).wrapping_sub(before), taps.saturating_sub(skipped))
    };
    let (first_row, rows) = clip(row % y.h, 0, x.h);
    let first = (row / y.h * x.h).wrapping_add(first_row).wrapping_mul(x.w);
    (0..y.w).map(move |ox| {
        let (first_col, cols) = clip(ox, 1, x.w);
        Clipped { input: x.pixel(first.wrapping_add(first_col)), rows, cols, out: y.pixel(row * y.w + ox) }
    })
}
