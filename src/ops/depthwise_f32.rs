//! Depthwise convolution: tables of pixel pointers, a row of outputs at a time.

use super::{elementwise::Finish, ring::Ring, taps::Taps};
use crate::{
    ConvGeometry,
    geometry::Placed,
    kernels::{DW_ROWS, DwConvF32, Kernels, TAPS_PIXELS},
    pack::{Packed, pack_depthwise},
    tensor::Raw,
};
use core::ops::Range;

/// Where pixels lie a multiple of this many values apart, they fall into so few sets of the L1 cache that the pixels
/// under a window evict one another. Rows are then copied, `CHUNK` channels at a time, to where they adjoin.
const ALIASING: usize = 512;
const CHUNK: usize = 64;

/// Packed weights, and what an entry outside the image points at.
pub(crate) struct Depthwise {
    pub kernels: &'static Kernels,
    geometry: ConvGeometry,
    packed: Packed,
    zeros: Packed,
}

impl Depthwise {
    /// `value(0, channel)` is the bias, `value(1 + tap, channel)` a weight.
    pub fn new(kernels: &'static Kernels, geometry: ConvGeometry, value: impl Fn(usize, usize) -> f32) -> Self {
        let packed = pack_depthwise(kernels, geometry.cin, geometry.taps(), value);
        Depthwise { kernels, geometry, packed, zeros: Packed::f32(geometry.cin) }
    }

    /// Kernel size and stride with a kernel of their own.
    fn shape(&self) -> Option<(usize, usize)> {
        let window = &self.geometry.window;
        let square = window.kernel[0] == window.kernel[1] && window.stride[0] == window.stride[1];
        let shape = (window.kernel[0], window.stride[0]);
        (square && window.dilation == [1, 1] && self.kernels.dwconv(shape.0, shape.1, 0).is_some()).then_some(shape)
    }

    /// Channels to take at a time of images whose pixels are `pixel_stride` apart.
    fn chunk(&self, pixel_stride: usize) -> usize {
        let aliases = pixel_stride.is_multiple_of(ALIASING) && self.geometry.cin.is_multiple_of(CHUNK);
        if aliases && self.shape().is_some() { CHUNK } else { self.geometry.cin }
    }

    /// Words of memory that a task needs: a table for each kernel row and one of zeros, and the copied rows; or the taps
    /// of a row of outputs.
    pub fn words(&self, placed: &Placed) -> Option<usize> {
        let Some((k, stride)) = self.shape() else { return placed.ow.checked_mul(self.geometry.taps()) };
        // Any view may turn out to alias.
        let copied = if self.chunk(0) == CHUNK { placed.w.checked_mul(k * CHUNK / 2)? } else { 0 };
        Ring::<f32>::words(placed, k, stride)?.checked_add(copied)
    }

    /// Which of the level's pixel counts takes the fewest steps for a row of `width` outputs, where the last step may
    /// overlap the one before it; a step costs its pixels and one more.
    fn pixels(&self, width: usize) -> usize {
        let cost = |&i: &usize| {
            let pixels = self.kernels.dw_pixels[i];
            if pixels > width { usize::MAX } else { width.div_ceil(pixels) * (pixels + 1) }
        };
        (0..self.kernels.dw_pixels.len()).min_by_key(cost).unwrap_or(0)
    }

    pub fn kernel_name(&self, width: usize) -> &'static str {
        match self.shape().and_then(|(k, s)| self.kernels.dwconv(k, s, self.pixels(width))) {
            Some(kernel) => kernel.name,
            None => self.kernels.dwconv_taps_f32[usize::from(width < TAPS_PIXELS[0])].name,
        }
    }

    /// Computes the output rows `rows`, counted over the batch.
    ///
    /// # Safety
    /// The images are those that `placed` was made for, apart from one another; nobody else touches these rows of `y`;
    /// `memory` has the [`Depthwise::words`].
    pub unsafe fn run(
        &self,
        x: &Raw<f32>,
        y: &Raw<f32>,
        placed: &Placed,
        rows: Range<usize>,
        finish: &Finish,
        memory: *mut u64,
    ) {
        let (min, max) = finish.kernel_bounds();
        let chunk = self.chunk(x.pixel_stride);
        for first in (0..x.c).step_by(chunk) {
            let part = Raw { ptr: x.ptr.wrapping_add(first), c: chunk, ..*x };
            let mut args = DwConvF32 {
                rows: [core::ptr::null(); DW_ROWS],
                taps: self.geometry.taps(),
                width: placed.ow,
                channels: chunk,
                w: self.packed.as_ptr::<f32>().wrapping_add(first * (self.geometry.taps() + 1)),
                out: core::ptr::null_mut(),
                out_stride: y.pixel_stride,
                min,
                max,
            };
            for row in rows.clone() {
                args.out = y.pixel(row * placed.ow).wrapping_add(first);
                // SAFETY: the memory has room; pointers lead to pixels of the image, copies of them, or zeros.
                unsafe {
                    match self.shape() {
                        Some(shape) => self.run_row(&part, placed, row, row == rows.start, shape, &mut args, memory),
                        None => self.run_row_by_taps(&part, placed, row, &mut args, memory.cast()),
                    }
                    finish.run(y, row * placed.ow..(row + 1) * placed.ow, first..first + chunk);
                }
            }
        }
    }

    /// One row by a kernel of its own.
    #[allow(clippy::too_many_arguments)]
    unsafe fn run_row(
        &self,
        x: &Raw<f32>,
        placed: &Placed,
        row: usize,
        fresh: bool,
        (k, stride): (usize, usize),
        args: &mut DwConvF32,
        memory: *mut u64,
    ) {
        let ring = Ring { placed, k, stride, zeros: self.zeros.as_ptr(), memory };
        let tables = Ring::<f32>::words(placed, k, stride).unwrap_or(0);
        let copies: *mut f32 = memory.wrapping_add(tables).cast();
        let n = row / placed.oh;
        let pixels = |iy: usize| {
            let pixels = Raw { ptr: x.pixel((n * placed.h + iy) * placed.w), ..*x };
            if x.c == self.geometry.cin {
                return pixels;
            }
            let copy = Raw { ptr: copies.wrapping_add(iy % k * placed.w * x.c), pixel_stride: x.c, ..pixels };
            for i in 0..placed.w {
                // SAFETY: `x.c` channels of a pixel of the row, and the copy's room for them.
                unsafe { copy.pixel(i).copy_from_nonoverlapping(pixels.pixel(i), x.c) };
            }
            copy
        };
        // SAFETY: the memory has room for the tables.
        args.rows = unsafe { ring.rows(row, fresh, pixels) };
        if let Some(kernel) = self.kernels.dwconv(k, stride, self.pixels(placed.ow)) {
            // SAFETY: the contract of `DwConvF32`: `pixels` chose no more than the width.
            unsafe { kernel.run(args) }
        }
    }

    /// One row by the kernel for any taps.
    unsafe fn run_row_by_taps(
        &self,
        x: &Raw<f32>,
        placed: &Placed,
        row: usize,
        args: &mut DwConvF32,
        table: *mut *const f32,
    ) {
        let taps = self.geometry.taps();
        let (n, oy) = (row / placed.oh, row % placed.oh);
        let zeros = self.zeros.as_ptr();
        let lookup = Taps { geometry: &self.geometry, placed, x, zeros, merged: false, pitch: taps };
        // SAFETY: `taps` entries for each output; nothing is merged, so nothing copied.
        unsafe { lookup.fill([n, oy], 0..placed.ow, table, &mut core::ptr::null_mut()) };
        let (width, out) = (args.width, args.out);
        let most = width / TAPS_PIXELS[0] * TAPS_PIXELS[0];
        for (i, range) in [0..most, most..width].into_iter().enumerate() {
            if range.is_empty() {
                continue;
            }
            args.rows[0] = table.wrapping_add(range.start * taps);
            args.out = out.wrapping_add(range.start * args.out_stride);
            args.width = range.len();
            // SAFETY: the contract of `DwConvF32`: a multiple of the kernel's pixels.
            unsafe { self.kernels.dwconv_taps_f32[i].run(args) };
        }
        args.width = width;
    }
}
