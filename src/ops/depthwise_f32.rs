//! Depthwise convolution: tables of pixel pointers, a row or two of outputs at a time.

use super::{elementwise::Finish, ring::Ring, taps::Taps};
use crate::{
    ConvGeometry, Error,
    geometry::Placed,
    kernels::{DW_ROWS, DwConvF32, Kernel, Kernels, TAPS_PIXELS},
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
        (square && window.dilation == [1, 1] && self.kernels.dwconv(shape.0, shape.1, 1, 0).is_some()).then_some(shape)
    }

    /// The most output rows that are computed at a time.
    pub fn outputs(&self) -> usize {
        self.shape().map_or(1, |_| self.kernels.dw_rows)
    }

    /// The most rows that kernels of a shape read.
    fn input_rows(&self, (k, stride): (usize, usize)) -> usize {
        k + (self.outputs() - 1) * stride
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

    /// Words of memory that a task needs: a table for each row that is read and one of zeros, and the copied rows; or the
    /// taps of a row of outputs.
    pub fn words(&self, placed: &Placed) -> Option<usize> {
        let Some(shape) = self.shape() else { return placed.ow.checked_mul(self.geometry.taps()) };
        // Any view may turn out to alias.
        let copied =
            if self.chunk(0) == CHUNK { placed.w.checked_mul(self.input_rows(shape) * CHUNK / 2)? } else { 0 };
        Ring::<f32>::words(placed, shape.0, shape.1, self.outputs())?.checked_add(copied)
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

    /// The kernel of a shape for `outputs` rows.
    fn kernel(&self, outputs: usize, width: usize) -> Option<Kernel<DwConvF32>> {
        self.shape().and_then(|(k, stride)| self.kernels.dwconv(k, stride, outputs, self.pixels(width)))
    }

    pub fn kernel_name(&self, width: usize) -> &'static str {
        match self.kernel(self.outputs(), width) {
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
            let mut row = rows.start;
            while row < rows.end {
                let outputs = self.outputs().min(rows.end - row).min(placed.oh - row % placed.oh);
                let pixels = row * placed.ow..(row + outputs) * placed.ow;
                let fresh = row == rows.start && (fresh || chunk < self.geometry.cin);
                // SAFETY: the memory has room.
                let tables = unsafe {
                    match self.shape() {
                        Some(shape) => self.rows(x, placed, row, outputs, fresh, shape, zeros, memory),
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
                        out: y.pixel(pixels.start).wrapping_add(first + channels.start),
                        out_stride: y.pixel_stride,
                        out_row_stride: y.pixel_stride * placed.ow,
                        min,
                        max,
                    };
                    // SAFETY: pointers lead to pixels of the image, copies of them, or zeros.
                    unsafe { self.run_kernels(args, outputs) };
                }
                // SAFETY: these channels of the rows were written.
                unsafe { finish.run(y, pixels, first..first + chunk) };
                row += outputs;
            }
        }
    }

    /// The tables of `outputs` rows for a kernel of its own.
    #[allow(clippy::too_many_arguments)]
    unsafe fn rows(
        &self,
        x: &Raw<f32>,
        placed: &Placed,
        row: usize,
        outputs: usize,
        fresh: bool,
        shape: (usize, usize),
        zeros: *const f32,
        memory: *mut u64,
    ) -> [*const *const f32; DW_ROWS] {
        let (k, stride) = shape;
        let ring = Ring { placed, k, stride, outputs: self.outputs(), zeros, memory };
        let tables = Ring::<f32>::words(placed, k, stride, self.outputs()).unwrap_or(0);
        let copies: *mut f32 = memory.wrapping_add(tables).cast();
        let n = row / placed.oh;
        let pixels = |iy: usize| {
            let pixels = Raw { ptr: x.row(n * placed.h + iy), ..*x };
            if x.c == self.geometry.cin {
                return pixels;
            }
            let ptr = copies.wrapping_add(iy % self.input_rows(shape) * placed.w * x.c);
            let copy = Raw { ptr, pixel_stride: x.c, ..pixels };
            for i in 0..placed.w {
                // SAFETY: `x.c` channels of a pixel of the row, and the copy's room for them.
                unsafe { copy.pixel(i).copy_from_nonoverlapping(pixels.pixel(i), x.c) };
            }
            copy
        };
        // SAFETY: the memory has room for the tables.
        unsafe { ring.rows(row, outputs, fresh, pixels) }
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

    /// As many rows.
    ///
    /// # Safety
    /// `args` keeps the contract of `DwConvF32`, but for which widths a kernel takes.
    unsafe fn run_kernels(&self, args: DwConvF32, outputs: usize) {
        if let Some(kernel) = self.kernel(outputs, args.width) {
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
