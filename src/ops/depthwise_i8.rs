//! Depthwise convolution of bytes: a row of outputs at a time, channels in blocks of one of the widths that the level has.

use super::{bytes::copy_runs, part, ring::Ring, taps::Taps};
use crate::{
    ConvGeometry, Error,
    geometry::Placed,
    kernels::{DW_ROWS, DwConvI8, DwI8, Kernel, Kernels},
    pack::pack_depthwise_i8,
    packed::{Packed, Packing},
    quant::Output,
    tensor::Raw,
};
use core::ops::Range;

/// Packed weights, and what an entry outside the image points at.
pub(crate) struct Depthwise {
    dw: &'static DwI8,
    /// What the channels behind the last whole block take, where narrower ones hold them; else a last block overlaps.
    rest: Option<&'static DwI8>,
    geometry: ConvGeometry,
    pub packed: Packed,
    zeros: Packed,
    flip_in: u8,
    /// Whether kernels for any taps are used even where there is one for the shape: they can leave sums.
    sums: bool,
}

/// Channels in blocks of one width, and the byte at which their weights begin.
struct Part {
    dw: &'static DwI8,
    channels: Range<usize>,
    at: usize,
}

/// Where the output of rows goes.
#[derive(Clone, Copy)]
pub(crate) struct To {
    pub out: *mut u8,
    pub out_stride: usize,
    pub out_row_stride: usize,
    /// Null, or where sums go in place of bytes.
    pub sums: *mut i32,
    pub sums_stride: usize,
    pub output: Output,
}

/// Bytes of the units of a segment of a row: they stay in L1 beside the rows that they are made of.
const SEGMENT: usize = 16 << 10;
/// Bytes of a cache line.
const LINE: usize = 64;

impl Depthwise {
    /// Without weights. `flip_in` is what differs between the input's bytes and what the level multiplies, `sums` whether
    /// sums may be asked for.
    pub fn unpacked(kernels: &'static Kernels, geometry: ConvGeometry, flip_in: u8, sums: bool) -> Result<Self, Error> {
        // The narrowest block that holds all channels, or else the widest: two narrow ones take longer than a wide one.
        let enough = kernels.dw_i8.iter().rev().find(|dw| dw.channels() >= geometry.cin);
        let dw = *enough.unwrap_or(&kernels.dw_i8[0]);
        let [packed, zeros] = [(); 2].map(|_| Packed::default());
        let mut this = Depthwise { dw, rest: None, geometry, packed, zeros, flip_in, sums };
        let rest = geometry.cin % dw.channels();
        // Kernels that go pixel by pixel, rather than block by block, would read the image twice: 1.04 times as long.
        if rest > 0 && this.outputs() > 1 {
            let narrower = |narrow: &&&DwI8| {
                // The products are counted once for all blocks.
                narrow.int8.values() == dw.int8.values() && (rest..dw.channels()).contains(&narrow.channels())
            };
            this.rest = kernels.dw_i8.iter().rev().find(narrower).copied();
        }
        Packing::check(geometry.cin.div_ceil(dw.channels()), this.block_len(dw), 1)?;
        Ok(this)
    }

    /// The channels that each kind of blocks takes.
    fn parts(&self) -> impl Iterator<Item = Part> {
        let (cin, channels) = (self.geometry.cin, self.dw.channels());
        let whole = if self.rest.is_some() { cin / channels * channels } else { cin };
        let at = whole.div_ceil(channels) * self.block_len(self.dw);
        let rest = self.rest.map(|dw| Part { dw, channels: cin - dw.channels()..cin, at });
        [Part { dw: self.dw, channels: 0..whole, at: 0 }].into_iter().chain(rest)
    }

    /// Packed bytes.
    pub fn packed_len(&self) -> usize {
        self.parts().map(|Part { dw, channels, .. }| channels.len().div_ceil(dw.channels()) * self.block_len(dw)).sum()
    }

    /// `zero` is the input's zero point; `head(channel)` are bias and scale, `weight(tap, channel)` is a weight.
    pub fn pack(&mut self, zero: u8, head: impl Fn(usize) -> (i32, f32), weight: impl Fn(usize, usize) -> i8) {
        let (geometry, shape, g) = (&self.geometry, self.shape(), self.dw.int8.values());
        let (taps, [kh, kw]) = (geometry.taps(), geometry.window.kernel);
        let (products, units) = (self.products(), kh.div_ceil(g));
        let mut packed = Packing::new(self.packed_len());
        let blocks = self.parts().flat_map(|Part { dw, channels, at }| {
            let (block, len) = (dw.channels(), self.block_len(dw));
            (0..channels.len().div_ceil(block)).map(move |i| {
                (dw, channels.start + (i * block).min(channels.len().saturating_sub(block)), at + i * len)
            })
        });
        for (dw, start, at) in blocks {
            let weight = |product: usize, row: usize, channel: usize| {
                let tap = if let Some((_, stride)) = shape {
                    // The units of an output row below the first begin as many rows above its window.
                    let (output, product) = (product / (units * kw), product % (units * kw));
                    let ky = (product / kw * g + row).checked_sub(output * stride);
                    ky.filter(|&ky| ky < kh).map(|ky| ky * kw + product % kw)
                } else {
                    Some(product * g + row).filter(|&tap| tap < taps)
                };
                tap.map_or(0, |tap| weight(tap, start + channel))
            };
            let head = |channel| head(start + channel);
            pack_depthwise_i8(dw, &mut packed, at, geometry.cin - start, products, head, weight);
        }
        self.packed = packed.done();
        // The kernels for any taps flip as they read.
        let zero = if shape.is_some() { zero ^ self.flip_in } else { zero };
        self.zeros = Packing::filled(self.pitch(), zero).done();
    }

    /// From now on the input is what the level multiplies, `zero` its zero point.
    pub fn read_unflipped(&mut self, zero: u8) {
        self.zeros = Packing::filled(self.pitch(), zero).done();
        self.flip_in = 0;
    }

    /// Products of a block of channels: for kernels of a shape of each G rows of a column, for each output row that they
    /// compute at a time, or else of any G taps.
    fn products(&self) -> usize {
        let ([kh, kw], g) = (self.geometry.window.kernel, self.dw.int8.values());
        if self.shape().is_some() { self.outputs() * kh.div_ceil(g) * kw } else { self.padded_taps() / g }
    }

    /// Output rows that are computed at a time.
    pub fn outputs(&self) -> usize {
        self.shape().map_or(1, |(k, stride)| self.dw.outputs(k, stride))
    }

    /// Bytes of the weights of a block.
    fn block_len(&self, dw: &DwI8) -> usize {
        dw.block_len(self.products())
    }

    /// Channels that are taken together: blocks of an image are multiples of them. `None` where rows are copied first.
    pub fn channels_unit(&self) -> Option<usize> {
        (!self.copies()).then(|| self.dw.channels())
    }

    /// Taps of a pixel, padded to whole products.
    fn padded_taps(&self) -> usize {
        self.geometry.taps().next_multiple_of(self.dw.int8.values())
    }

    /// Words of memory that a task needs: tables, units on lines, copies.
    pub fn words(&self, placed: &Placed) -> Option<usize> {
        let Some((k, stride)) = self.shape() else { return placed.ow.checked_mul(self.padded_taps()) };
        let copies = if self.copies() { placed.w.checked_mul(self.rows() * self.pitch())? } else { 0 };
        let tables = Ring::<u8>::words(placed, k, stride, self.outputs())?;
        tables.checked_add(self.units_words(placed)?)?.checked_add(copies.div_ceil(size_of::<u64>()))
    }

    /// Words of the units of a segment.
    fn units_words(&self, placed: &Placed) -> Option<usize> {
        let (Some((k, stride)), 2..) = (self.shape(), self.outputs()) else { return Some(0) };
        let columns = (placed.ow.div_ceil(self.segments(placed.ow)) - 1) * stride + k;
        Some((columns.checked_mul(self.dw.column_len(k))?.checked_add(LINE)?).div_ceil(size_of::<u64>()))
    }

    /// Rows that kernels of a shape read.
    fn rows(&self) -> usize {
        self.shape().map_or(0, |(k, stride)| k + (self.outputs() - 1) * stride)
    }

    /// Bytes from a copied pixel to the next: at least a block, which kernels of a shape read whole.
    fn pitch(&self) -> usize {
        self.geometry.cin.max(self.dw.channels())
    }

    /// Whether rows may have to be copied: flipped, or less than a block.
    fn copies(&self) -> bool {
        self.flip_in != 0 || self.pitch() > self.geometry.cin
    }

    /// Segments of a row of `width` outputs.
    fn segments(&self, width: usize) -> usize {
        match self.shape() {
            Some((k, stride)) if self.outputs() > 1 => {
                width.saturating_mul(stride * self.dw.column_len(k)).div_ceil(SEGMENT).min(width)
            }
            _ => 1,
        }
    }

    /// Kernel size and stride with a kernel of their own, unless it is to leave sums.
    fn shape(&self) -> Option<(usize, usize)> {
        let window = &self.geometry.window;
        let square = window.kernel[0] == window.kernel[1] && window.stride[0] == window.stride[1];
        let shape = (window.kernel[0], window.stride[0]);
        let own = square && window.dilation == [1, 1] && self.dw.dwconv(shape.0, shape.1, 0).is_some();
        (own && !self.sums).then_some(shape)
    }

    /// The kernel for rows of `width` outputs: that of the pixel count that takes the fewest steps, where a step costs its
    /// pixels and one more.
    fn kernel(&self, dw: &DwI8, width: usize) -> Kernel<DwConvI8> {
        let cost = |&i: &usize| {
            let pixels = dw.pixels[i];
            if pixels > width { usize::MAX } else { width.div_ceil(pixels) * (pixels + 1) }
        };
        let pixels = (0..dw.pixels.len()).min_by_key(cost).unwrap_or(0);
        let own = self.shape().and_then(|(k, stride)| dw.dwconv(k, stride, pixels));
        own.unwrap_or(dw.dwconv_i8_taps[0])
    }

    /// The kernel of whole blocks for rows of `width` outputs, or rather their segments.
    pub fn kernel_name(&self, width: usize) -> &'static str {
        self.kernel(self.dw, width.div_ceil(self.segments(width))).name
    }

    /// Computes `outputs` output rows from `row` on, counted over the batch, of one image; see `Ring::rows`.
    ///
    /// # Safety
    /// The image is the one that `placed` was made for, nobody else touches these rows of the output, there are no more of
    /// them than [`Depthwise::outputs`], and `memory` has the [`Depthwise::words`].
    #[allow(clippy::too_many_arguments)]
    pub unsafe fn run_rows(
        &self,
        x: &Raw<u8>,
        placed: &Placed,
        row: usize,
        outputs: usize,
        fresh: bool,
        to: &To,
        memory: *mut u64,
    ) {
        // SAFETY: as promised by the caller.
        let zeros = unsafe { x.outside(self.zeros.as_ptr::<u8>(), fresh) };
        let n = row / placed.oh;
        let shape = self.shape();
        let taps = self.padded_taps();
        // SAFETY: the memory has room, as promised by the caller.
        let (rows, units) = unsafe {
            match shape {
                Some((k, stride)) => {
                    let ring = Ring { placed, k, stride, outputs: self.outputs(), zeros, memory };
                    let tables = Ring::<u8>::words(placed, k, stride, self.outputs()).unwrap_or(0);
                    let units = memory.wrapping_add(tables);
                    let copies = units.wrapping_add(self.units_words(placed).unwrap_or(0)).cast::<u8>();
                    let units: *mut u8 = units.cast();
                    let tables = ring.rows(row, outputs, fresh, |iy| {
                        let row = n * placed.h + iy;
                        let pixels = Raw { ptr: x.row(row), ..*x };
                        if self.flip_in == 0 && x.holds(row, self.dw.channels()) {
                            return pixels;
                        }
                        let ptr = copies.wrapping_add(iy % self.rows() * placed.w * self.pitch());
                        let copy = Raw { ptr, pixel_stride: self.pitch(), ..pixels };
                        // The pixels of the row, and the copy's room for them.
                        copy_runs((pixels.ptr, x.pixel_stride), (ptr, self.pitch()), x.c, placed.w, self.flip_in);
                        copy
                    });
                    (tables, units.wrapping_add(units.align_offset(LINE)))
                }
                None => {
                    let table: *mut *const u8 = memory.cast();
                    if fresh {
                        // Also what no tap fills.
                        (0..placed.ow * taps).for_each(|i| *table.add(i) = zeros);
                    }
                    let lookup = Taps { geometry: &self.geometry, placed, x, zeros, merged: false, pitch: taps };
                    lookup.fill([n, row % placed.oh], 0..placed.ow, table, &mut core::ptr::null_mut());
                    let mut rows = [core::ptr::null(); DW_ROWS];
                    rows[0] = table.cast_const();
                    (rows, core::ptr::null_mut())
                }
            }
        };
        let Output { zero_point, min, max, flip } = to.output;
        let segments = self.segments(placed.ow);
        let blocks = (0..x.blocks.count).flat_map(|block| (0..segments).map(move |segment| (block, segment)));
        for ((block, segment), of) in blocks.flat_map(|block| self.parts().map(move |part| (block, part))) {
            let within = x.block_channels(block);
            let channels = within.start.max(of.channels.start)..within.end.min(of.channels.end);
            if channels.is_empty() {
                continue;
            }
            let first = channels.start;
            let columns = part(placed.ow, segments, segment);
            let to_sums = columns.start * to.sums_stride + first;
            let before = (first - of.channels.start) / of.dw.channels() * self.block_len(of.dw);
            let args = DwConvI8 {
                rows: rows.map(|table| table.wrapping_add(columns.start * shape.map_or(taps, |(_, stride)| stride))),
                taps,
                width: columns.len(),
                offset: block * x.blocks.stride + first - within.start,
                channels: channels.len(),
                w: self.packed.as_ptr::<u8>().wrapping_add(of.at + before),
                out: to.out.wrapping_add(columns.start * to.out_stride + first),
                out_stride: to.out_stride,
                outputs,
                out_row_stride: to.out_row_stride,
                units,
                sums: if to.sums.is_null() { to.sums } else { to.sums.wrapping_add(to_sums) },
                sums_stride: to.sums_stride,
                zero_point,
                min,
                max,
                flip_in: self.flip_in,
                flip,
            };
            // SAFETY: the contract of `DwConvI8`: `kernel` chooses no more pixels than the width.
            unsafe { self.kernel(of.dw, columns.len()).run(&args) }
        }
    }
}
