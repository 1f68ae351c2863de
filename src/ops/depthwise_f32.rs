//! Depthwise convolution: tables of pixel pointers, a row of outputs at a time.

use super::{elementwise::Finish, ring::Ring, taps::Taps};
use crate::{
    ConvGeometry, Error,
    geometry::Placed,
    kernels::{DW_ROWS, DwConvF32, Kernels, TAPS_PIXELS},
    pack::{depthwise_blocks, pack_depthwise},
    packed::{Packed, Packing},
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
    pub packed: Packed,
    zeros: Packed,
}

impl Depthwise {
    /// Without weights.
    pub fn unpacked(kernels: &'static Kernels, geometry: ConvGeometry) -> Result<Self, Error> {
        let (blocks, len) = depthwise_blocks(kernels, geometry.cin, geometry.taps());
        Packing::check(blocks, len, size_of::<f32>())?;
        Ok(Depthwise { kernels, geometry, packed: Packed::default(), zeros: Packed::default() })
    }

    /// Packed values.
    #[cfg(test)]
    pub fn packed_len(&self) -> usize {
        let (blocks, len) = depthwise_blocks(self.kernels, self.geometry.cin, self.geometry.taps());
        blocks * len
    }

    /// `value(0, channel)` is the bias, `value(1 + tap, channel)` a weight.
    pub fn pack(&mut self, value: impl Fn(usize, usize) -> f32) {
        self.packed = pack_depthwise(self.kernels, self.geometry.cin, self.geometry.taps(), value);
        self.zeros = Packing::f32(self.geometry.cin).done();
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

    /// Channels that are taken together: blocks of an image are multiples of them.
    pub fn channels_unit(&self) -> usize {
        self.kernels.lanes
    }

    /// Words of memory that a task needs: a table for each kernel row and one of zeros, and the copied rows; or the taps
    /// of a row of outputs.
    pub fn words(&self, placed: &Placed) -> Option<usize> {
        let Some((k, stride)) = self.shape() else { return placed.ow.checked_mul(self.geometry.taps()) };
        // Any view may turn out to alias.
        let copied = if self.chunk(0) == CHUNK { placed.w.checked_mul(k * CHUNK / 2)? } else { 0 };
        Ring::<f32>::words(placed, k, stride, 1)?.checked_add(copied)
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

    /// Computes the output rows `rows`, counted over the batch. Unless it is `fresh`, the row before them was the last one
    /// computed in this memory.
    ///
    /// # Safety
    /// The images are those that `placed` was made for, apart from one another; nobody else touches these rows of `y`;
    /// `memory` has the [`Depthwise::words`].
    #[allow(clippy::too_many_arguments)]
    pub unsafe fn run(
        &self,
        x: &Raw<f32>,
        y: &Raw<f32>,
        placed: &Placed,
        rows: Range<usize>,
        fresh: bool,
        finish: &Finish,
        memory: *mut u64,
    ) {
        let (min, max) = finish.kernel_bounds();
        let chunk = self.chunk(x.pixel_stride);
        let taps = self.geometry.taps();
        // SAFETY: as promised by the caller.
        let zeros = unsafe { x.outside(self.zeros.as_ptr(), fresh) };
        for first in (0..x.c).step_by(chunk) {
            let x = if chunk == x.c { x } else { &x.part(first..first + chunk) };
            for row in rows.clone() {
                let fresh = row == rows.start && (fresh || chunk < self.geometry.cin);
                // SAFETY: the memory has room.
                let tables = unsafe {
                    match self.shape() {
                        Some(shape) => self.rows(x, placed, row, fresh, shape, zeros, memory),
                        None => self.taps(x, placed, row, zeros, memory.cast()),
                    }
                };
                for block in 0..x.blocks.count {
                    let channels = x.block_channels(block);
                    let args = DwConvF32 {
                        rows: tables,
                        taps,
                        width: placed.ow,
                        offset: block * x.blocks.stride,
                        channels: channels.len(),
                        w: self.packed.as_ptr::<f32>().wrapping_add((first + channels.start) * (taps + 1)),
                        out: y.pixel(row * placed.ow).wrapping_add(first + channels.start),
                        out_stride: y.pixel_stride,
                        min,
                        max,
                    };
                    // SAFETY: pointers lead to pixels of the image, copies of them, or zeros.
                    unsafe { self.run_kernels(args) };
                }
                // SAFETY: these channels of the row were written.
                unsafe { finish.run(y, row * placed.ow..(row + 1) * placed.ow, first..first + chunk) };
            }
        }
    }

    /// The tables of a row for a kernel of its own.
    #[allow(clippy::too_many_arguments)]
    unsafe fn rows(
        &self,
        x: &Raw<f32>,
        placed: &Placed,
        row: usize,
        fresh: bool,
        (k, stride): (usize, usize),
        zeros: *const f32,
        memory: *mut u64,
    ) -> [*const *const f32; DW_ROWS] {
        let ring = Ring { placed, k, stride, outputs: 1, zeros, memory };
        let tables = Ring::<f32>::words(placed, k, stride, 1).unwrap_or(0);
        let copies: *mut f32 = memory.wrapping_add(tables).cast();
        let n = row / placed.oh;
        let pixels = |iy: usize| {
            let pixels = Raw { ptr: x.row(n * placed.h + iy), ..*x };
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
        unsafe { ring.rows(row, 1, fresh, pixels) }
    }

    /// The table of a row for the kernel for any taps.
    unsafe fn taps(
        &self,
        x: &Raw<f32>,
        placed: &Placed,
        row: usize,
        zeros: *const f32,
        table: *mut *const f32,
    ) -> [*const *const f32; DW_ROWS] {
        let (n, oy) = (row / placed.oh, row % placed.oh);
        let pitch = self.geometry.taps();
        let lookup = Taps { geometry: &self.geometry, placed, x, zeros, merged: false, pitch };
        // SAFETY: `taps` entries for each output; nothing is merged, so nothing copied.
        unsafe { lookup.fill([n, oy], 0..placed.ow, table, &mut core::ptr::null_mut()) };
        let mut rows = [core::ptr::null(); DW_ROWS];
        rows[0] = table.cast_const();
        rows
    }

    /// One row.
    ///
    /// # Safety
    /// `args` keeps the contract of `DwConvF32`, but for which widths a kernel takes.
    unsafe fn run_kernels(&self, args: DwConvF32) {
        let kernel = self.shape().and_then(|(k, stride)| self.kernels.dwconv(k, stride, self.pixels(args.width)));
        if let Some(kernel) = kernel {
            // SAFETY: the contract of `DwConvF32`: `pixels` chose no more than the width.
            return unsafe { kernel.run(&args) };
        }
        let most = args.width / TAPS_PIXELS[0] * TAPS_PIXELS[0];
        for (i, range) in [0..most, most..args.width].into_iter().enumerate() {
            let mut rows = args.rows;
            rows[0] = rows[0].wrapping_add(range.start * args.taps);
            let out = args.out.wrapping_add(range.start * args.out_stride);
            // SAFETY: the contract of `DwConvF32`: a multiple of the kernel's pixels.
            unsafe { self.kernels.dwconv_taps_f32[i].run(&DwConvF32 { rows, out, width: range.len(), ..args }) };
        }
    }
}
