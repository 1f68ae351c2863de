//! Depthwise convolution of bytes: a row of outputs at a time, channels in blocks of the widths that the level has.

use super::{bytes::copy_runs, ring::Ring, taps::Taps};
use crate::{
    ConvGeometry,
    geometry::Placed,
    kernels::{DW_ROWS, DwConvI8, DwI8, Kernels},
    pack::pack_depthwise_i8,
    packed::{Packed, Packing},
    quant::Output,
    tensor::Raw,
};
use alloc::vec::Vec;
use core::ops::Range;

/// Packed weights, and what an entry outside the image points at.
pub(crate) struct Depthwise {
    dw_i8: &'static [&'static DwI8],
    geometry: ConvGeometry,
    /// Channels by the kernels that take them.
    pieces: Vec<Piece>,
    pub packed: Packed,
    zeros: Packed,
    flip_in: u8,
    /// Whether kernels for any taps are used even where there is one for the shape: they can leave sums.
    sums: bool,
}

/// Channels that one kernel takes.
struct Piece {
    dw: &'static DwI8,
    channels: Range<usize>,
    /// Where its weights begin.
    at: usize,
}

/// Where the output of a row goes.
#[derive(Clone, Copy)]
pub(crate) struct To {
    pub out: *mut u8,
    pub out_stride: usize,
    /// Null, or where sums go in place of bytes.
    pub sums: *mut i32,
    pub sums_stride: usize,
    pub output: Output,
}

impl Depthwise {
    /// `zero` is the input's zero point, `flip_in` what differs between its bytes and what the level multiplies, `sums`
    /// whether sums may be asked for.
    pub fn new(
        kernels: &'static Kernels,
        geometry: ConvGeometry,
        zero: u8,
        flip_in: u8,
        sums: bool,
        head: impl Fn(usize) -> (i32, f32),
        weight: impl Fn(usize, usize) -> i8,
    ) -> Self {
        let (taps, [kh, kw]) = (geometry.taps(), geometry.window.kernel);
        let own = !sums && shape(kernels, &geometry).is_some();
        let products = |dw: &DwI8| products(kernels.dw_i8, &geometry, own, dw);
        let mut pieces = Vec::new();
        let (mut first, mut bytes) = (0, 0);
        for (i, &dw) in kernels.dw_i8.iter().enumerate() {
            let (block, narrowest) = (dw.channels(), i + 1 == kernels.dw_i8.len());
            while first < geometry.cin {
                let rest = geometry.cin - first;
                let channels = match (rest >= block, narrowest) {
                    (true, _) => first..first + rest / block * block,
                    (false, false) => break,
                    // The last block overlaps the one before it, if there is one.
                    _ if geometry.cin >= block => geometry.cin - block..geometry.cin,
                    _ => 0..geometry.cin,
                };
                let blocks = channels.len().div_ceil(block);
                first = channels.end;
                pieces.push(Piece { dw, channels, at: bytes });
                bytes += blocks * dw.block_len(products(dw));
            }
        }
        // The kernels for any taps flip as they read.
        let zeros = Packing::filled(pitch(kernels.dw_i8, geometry.cin), if own { zero ^ flip_in } else { zero }).done();
        let mut packed = Packing::new(bytes);
        for Piece { dw, channels, at } in &pieces {
            let (g, block, products) = (dw.int8.values(), dw.channels(), products(dw));
            for (i, start) in channels.clone().step_by(block).enumerate() {
                let weight = |product: usize, row: usize, channel: usize| {
                    let tap = if own {
                        let ky = product / kw * g + row;
                        (ky < kh).then_some(ky * kw + product % kw)
                    } else {
                        Some(product * g + row).filter(|&tap| tap < taps)
                    };
                    tap.map_or(0, |tap| weight(tap, start + channel))
                };
                let at = at + i * dw.block_len(products);
                let left = channels.end - start;
                pack_depthwise_i8(dw, &mut packed, at, left, products, |channel| head(start + channel), weight);
            }
        }
        Depthwise { dw_i8: kernels.dw_i8, geometry, pieces, packed: packed.done(), zeros, flip_in, sums }
    }

    /// From now on the input is what the level multiplies, `zero` its zero point.
    pub fn read_unflipped(&mut self, zero: u8) {
        self.zeros = Packing::filled(self.pitch(), zero).done();
        self.flip_in = 0;
    }

    /// Products of a block of channels.
    fn products(&self, dw: &DwI8) -> usize {
        products(self.dw_i8, &self.geometry, self.shape().is_some(), dw)
    }

    /// Channels that are taken together: blocks of an image are multiples of them. `None` where rows are copied first.
    pub fn channels_unit(&self) -> Option<usize> {
        self.dw_i8.first().filter(|_| !self.copies()).map(|dw| dw.channels())
    }

    fn padded_taps(&self) -> usize {
        padded_taps(self.dw_i8, self.geometry.taps())
    }

    /// Words of memory that a task needs.
    pub fn words(&self, placed: &Placed) -> Option<usize> {
        match self.shape() {
            Some((k, stride)) => {
                let copies = if self.copies() { placed.w.checked_mul(k * self.pitch())? } else { 0 };
                Ring::<u8>::words(placed, k, stride)?.checked_add(copies.div_ceil(size_of::<u64>()))
            }
            None => placed.ow.checked_mul(self.padded_taps()),
        }
    }

    /// Bytes from a copied pixel to the next: at least a block, which kernels of a shape read whole.
    fn pitch(&self) -> usize {
        pitch(self.dw_i8, self.geometry.cin)
    }

    /// Whether rows are copied: flipped, or less than a block.
    fn copies(&self) -> bool {
        self.flip_in != 0 || self.pitch() > self.geometry.cin
    }

    fn shape(&self) -> Option<(usize, usize)> {
        let window = &self.geometry.window;
        shape_of(self.dw_i8.first()?, window.kernel, window.stride, window.dilation).filter(|_| !self.sums)
    }

    pub fn kernel_names(&self, width: usize) -> Vec<&'static str> {
        let name = |piece: &Piece| match self.shape().and_then(|(k, s)| piece.dw.dwconv(k, s, pixels(piece.dw, width)))
        {
            Some(kernel) => kernel.name,
            None => piece.dw.dwconv_i8_taps[0].name,
        };
        self.pieces.iter().map(name).collect()
    }

    /// Computes output row `row`, counted over the batch; see `Ring::rows`.
    ///
    /// # Safety
    /// The image is the one that `placed` was made for, nobody else touches this row of the output, and `memory` has the
    /// [`Depthwise::words`].
    pub unsafe fn run_row(&self, x: &Raw<u8>, placed: &Placed, row: usize, fresh: bool, to: &To, memory: *mut u64) {
        // SAFETY: as promised by the caller.
        let zeros = unsafe { x.outside(self.zeros.as_ptr::<u8>(), fresh) };
        let n = row / placed.oh;
        let taps = self.padded_taps();
        let shape = self.shape();
        // SAFETY: the memory has room, as promised by the caller.
        let rows = unsafe {
            match shape {
                Some((k, stride)) => {
                    let ring = Ring { placed, k, stride, zeros, memory };
                    let copies = memory.wrapping_add(Ring::<u8>::words(placed, k, stride).unwrap_or(0)).cast::<u8>();
                    ring.rows(row, fresh, |iy| {
                        let pixels = Raw { ptr: x.row(n * placed.h + iy), ..*x };
                        if !self.copies() {
                            return pixels;
                        }
                        let ptr = copies.wrapping_add(iy % k * placed.w * self.pitch());
                        let copy = Raw { ptr, pixel_stride: self.pitch(), ..pixels };
                        // The pixels of the row, and the copy's room for them.
                        copy_runs((pixels.ptr, x.pixel_stride), (ptr, self.pitch()), x.c, placed.w, self.flip_in);
                        copy
                    })
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
                    rows
                }
            }
        };
        let Output { zero_point, min, max, flip } = to.output;
        for Piece { dw, channels, at } in &self.pieces {
            let kernel = shape.and_then(|(k, stride)| dw.dwconv(k, stride, pixels(dw, placed.ow)));
            for block in 0..x.blocks.count {
                // The part of the piece in the block of the image: whole blocks of the kernel.
                let inside = x.block_channels(block);
                let (first, end) = (channels.start.max(inside.start), channels.end.min(inside.end));
                if first >= end {
                    continue;
                }
                let skipped = (first - channels.start) / dw.channels() * dw.block_len(self.products(dw));
                let args = DwConvI8 {
                    rows,
                    taps,
                    width: placed.ow,
                    offset: block * x.blocks.stride + first - inside.start,
                    channels: end - first,
                    w: self.packed.as_ptr::<u8>().wrapping_add(at + skipped),
                    out: to.out.wrapping_add(first),
                    out_stride: to.out_stride,
                    sums: if to.sums.is_null() { to.sums } else { to.sums.wrapping_add(first) },
                    sums_stride: to.sums_stride,
                    zero_point,
                    min,
                    max,
                    flip_in: self.flip_in,
                    flip,
                };
                // SAFETY: the contract of `DwConvI8`: `pixels` chose no more than the width, and parts are whole blocks.
                unsafe { kernel.unwrap_or(dw.dwconv_i8_taps[0]).run(&args) }
            }
        }
    }
}

/// `channels`, but at least the narrowest block.
fn pitch(dw_i8: &[&DwI8], channels: usize) -> usize {
    channels.max(dw_i8.last().map_or(1, |dw| dw.channels()))
}

/// Products of a block of channels: for kernels of their own G rows of a column, or else any G taps.
fn products(dw_i8: &[&DwI8], geometry: &ConvGeometry, own: bool, dw: &DwI8) -> usize {
    let ([kh, kw], g) = (geometry.window.kernel, dw.int8.values());
    if own { kh.div_ceil(g) * kw } else { padded_taps(dw_i8, geometry.taps()) / g }
}

/// Taps of a pixel, padded to whole products of all kernels.
fn padded_taps(dw_i8: &[&DwI8], taps: usize) -> usize {
    taps.next_multiple_of(dw_i8.iter().map(|dw| dw.int8.values()).max().unwrap_or(1))
}

/// Which of the pixel counts takes the fewest steps for a row of `width` outputs; a step costs its pixels and one more.
fn pixels(dw: &DwI8, width: usize) -> usize {
    let cost = |&i: &usize| {
        let pixels = dw.pixels[i];
        if pixels > width { usize::MAX } else { width.div_ceil(pixels) * (pixels + 1) }
    };
    (0..dw.pixels.len()).min_by_key(cost).unwrap_or(0)
}

/// Kernel size and stride with a kernel of their own.
fn shape(kernels: &Kernels, geometry: &ConvGeometry) -> Option<(usize, usize)> {
    let window = &geometry.window;
    shape_of(kernels.dw_i8.first()?, window.kernel, window.stride, window.dilation)
}

fn shape_of(dw: &DwI8, kernel: [usize; 2], stride: [usize; 2], dilation: [usize; 2]) -> Option<(usize, usize)> {
    let square = kernel[0] == kernel[1] && stride[0] == stride[1] && dilation == [1, 1];
    (square && dw.dwconv(kernel[0], stride[0], 0).is_some()).then_some((kernel[0], stride[0]))
}
