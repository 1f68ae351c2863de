//! Average and maximum pooling.

use super::{Scratch, check_pool, check_pool_window, run_parts};
use crate::{
    Error, Image, ImageMut, Level, Parallel, Window, Workspace,
    kernels::{Kernels, PoolF32},
};
use core::marker::PhantomData;

/// Pooling over a sliding window.
///
/// Average: `y = (0 + x + x + ..) / d` over the pixels of the window inside the image, row by row; `d` counts those, or
/// all of the window where padding counts. Maximum: NaN where one of the pixels is.
#[derive(Clone, Debug)]
pub struct Pool2d<T = f32> {
    kernels: &'static Kernels,
    kind: Kind,
    /// `None`: the whole image.
    window: Option<Window>,
    element: PhantomData<T>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Average { count_include_padding: bool },
    Max,
}

impl Pool2d<f32> {
    /// Average, for the best level of this CPU.
    ///
    /// # Errors
    /// Sizes of zero, padding as large as the kernel; [`Error::Isa`].
    pub fn average(window: Window, count_include_padding: bool) -> Result<Self, Error> {
        Self::average_on(Level::selected()?, window, count_include_padding)
    }

    /// Average, for a level of the caller's choice.
    ///
    /// # Errors
    /// As [`Pool2d::average`].
    pub fn average_on(kernels: &'static Kernels, window: Window, count_include_padding: bool) -> Result<Self, Error> {
        Self::new(kernels, Kind::Average { count_include_padding }, Some(window))
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
        Self::new(kernels, Kind::Max, Some(window))
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
        let kind = Kind::Average { count_include_padding: false };
        Pool2d { kernels, kind, window: None, element: PhantomData }
    }

    fn new(kernels: &'static Kernels, kind: Kind, window: Option<Window>) -> Result<Self, Error> {
        window.as_ref().map_or(Ok(()), check_pool_window)?;
        Ok(Pool2d { kernels, kind, window, element: PhantomData })
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

    /// The kernels that `run` uses.
    pub fn kernel_names(&self) -> impl Iterator<Item = &'static str> {
        core::iter::once(self.kernels.pool_f32[usize::from(self.kind == Kind::Max)].name)
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
        let kernel = self.kernels.pool_f32[usize::from(self.kind == Kind::Max)];
        // Along one axis: the first pixel inside the image, and how many taps are.
        let clip = |at: usize, i: usize, size: usize| {
            let (step, before) = (window.dilation[i], placed.padding[i]);
            let start = at * window.stride[i];
            let skipped = before.saturating_sub(start).div_ceil(step);
            let taps = (size + before).saturating_sub(start).div_ceil(step).min(window.kernel[i]);
            ((start + skipped * step).wrapping_sub(before), taps.saturating_sub(skipped))
        };
        let mut nothing = Workspace::default();
        run_parts(parallel, y.n * y.h, &mut Scratch::new(&mut nothing, 0, 1)?, |rows, _| {
            for row in rows {
                let (first_row, rows) = clip(row % y.h, 0, h);
                for ox in 0..y.w {
                    let (first_col, cols) = clip(ox, 1, w);
                    let divisor = match self.kind {
                        Kind::Average { count_include_padding: true } => window.kernel[0] * window.kernel[1],
                        _ => rows * cols,
                    };
                    let args = PoolF32 {
                        input: x.pixel((row / y.h * h).wrapping_add(first_row).wrapping_mul(w).wrapping_add(first_col)),
                        rows,
                        cols,
                        row_stride: window.dilation[0] * w * x.pixel_stride,
                        col_stride: window.dilation[1] * x.pixel_stride,
                        channels: y.c,
                        divisor: divisor as f32,
                        out: y.pixel(row * y.w + ox),
                    };
                    // SAFETY: the contract of `PoolF32`: a window clipped to the image, an output pixel of this task.
                    unsafe { kernel.run(&args) };
                }
            }
        });
        Ok(())
    }
}
