//! Rows of A for products of bytes: the taps of each output pixel side by side, in the form that the level multiplies.

use super::bytes::copy_runs;
use crate::{
    ConvGeometry,
    geometry::Placed,
    kernels::{Int8, Kernels, WidenI8},
    tensor::Raw,
};
use core::ops::Range;

/// How the rows of A are put together from an image.
pub(crate) struct Gather<'a> {
    pub geometry: &'a ConvGeometry,
    pub placed: &'a Placed,
    pub x: &'a Raw<u8>,
    pub kernels: &'static Kernels,
    /// What a tap outside the image reads.
    pub zero: u8,
    /// Bits to flip in each byte.
    pub flip: u8,
    /// Bytes of a row of A.
    pub k: usize,
}

/// Rows of A.
#[derive(Clone, Copy)]
pub(crate) struct Rows {
    pub a: *const u8,
    /// Bytes from a row to the next.
    pub stride: usize,
    /// Bytes from a group's first row to that of the next group.
    pub group: usize,
}

/// Bytes that a whole unit may read behind the rows.
const BEHIND: usize = 64;
/// Bytes that are copied at a time.
const CHUNK: usize = 16;

impl Gather<'_> {
    /// Bytes of memory for the rows of `pixels`: as they are multiplied, and where those are wider, as they are read.
    pub fn len(groups: usize, k: usize, int8: &Int8, pixels: usize) -> usize {
        let read = if int8.element > 1 { k / int8.element } else { 0 };
        groups * pixels * (k + read) + BEHIND
    }

    /// Values of a row.
    fn values(&self) -> usize {
        self.k / self.kernels.int8.element
    }

    /// The rows of the output pixels `pixels`, for all groups: where they lie in the image if they can be read there,
    /// else in `memory`.
    ///
    /// Rows of pixels that adjoin are copied, or converted, as they lie: what a whole unit reads of the next row meets
    /// weights of zero, and what it reads behind the last is in the memory, unlike what is behind an image.
    ///
    /// # Safety
    /// `memory` has room for [`Gather::len`] bytes; the image is the one that `placed` was made for.
    pub unsafe fn rows(&self, pixels: &Range<usize>, memory: *mut u8) -> Rows {
        let (x, values, cin, element) = (self.x, self.values(), self.geometry.group_cin(), self.kernels.int8.element);
        let rows = |a, stride, group| Rows { a, stride: stride * element, group: group * element };
        let pointwise = self.geometry.is_pixelwise(self.placed);
        let of_image = x.pixel(pixels.start).cast_const();
        if pointwise && cin == values && self.flip == 0 && element == 1 {
            return rows(of_image, x.pixel_stride, cin);
        }
        let (group, all) = (pixels.len() * values, self.geometry.groups * pixels.len() * values);
        // SAFETY: there is room for all rows, and for them in the level's form before that, if it is another one; no row
        // of the image's pixels begins later than in rows of whole units.
        unsafe {
            if pointwise && x.pixel_stride == self.geometry.cin {
                self.convert(of_image, memory, pixels.len() * x.pixel_stride);
                return rows(memory, x.pixel_stride, cin);
            }
            if element == 1 {
                self.fill(pixels, memory, self.flip);
            } else {
                let read = memory.add(all * element);
                self.fill(pixels, read, 0);
                self.convert(read, memory, all);
            }
        }
        rows(memory, values, group)
    }

    /// The bytes of the rows, bits of `flip` flipped.
    unsafe fn fill(&self, pixels: &Range<usize>, to: *mut u8, flip: u8) {
        let m = pixels.len();
        for group in 0..self.geometry.groups {
            let mut pixel = pixels.start;
            while pixel < pixels.end {
                let (row, ox) = (pixel / self.placed.ow, pixel % self.placed.ow);
                let columns = ox..(ox + pixels.end - pixel).min(self.placed.ow);
                let to = to.wrapping_add((group * m + pixel - pixels.start) * self.values());
                pixel += columns.len();
                // SAFETY: the part of the room that is for these pixels.
                unsafe { self.fill_row(group, [row / self.placed.oh, row % self.placed.oh], columns, to, flip) };
            }
        }
    }

    /// The outputs `columns` of row `oy` of image `n`, one kernel row after the other.
    unsafe fn fill_row(&self, group: usize, [n, oy]: [usize; 2], columns: Range<usize>, to: *mut u8, flip: u8) {
        let (g, window, placed) = (self.geometry, &self.geometry.window, self.placed);
        let ([kh, kw], cin) = (window.kernel, g.group_cin());
        // Taps of a kernel row adjoin, where they are inside the image.
        let merged = self.x.pixel_stride == cin && window.dilation[1] == 1;
        let inside = placed.inside(window.stride[1], 0, placed.window[1] - 1);
        let (run, chunks) = (kw * cin, (kw * cin).next_multiple_of(CHUNK));
        for ky in 0..kh {
            let iy = (oy * window.stride[0] + ky * window.dilation[0]).wrapping_sub(placed.padding[0]);
            let at = |ox: usize| to.wrapping_add((ox - columns.start) * self.values() + ky * run);
            let image_row = n * placed.h + if iy < placed.h { iy } else { 0 };
            let row = self.x.row(image_row).wrapping_add(group * cin);
            // What whole chunks write behind a run is for the next one of the pixel, which comes later.
            let whole = ky + 1 < kh && chunks <= 2 * run && self.x.holds(image_row, chunks);
            // A pixel of that row; it is read only where it exists.
            let pixel = |ix: usize| row.wrapping_add(ix.wrapping_mul(self.x.pixel_stride)).cast_const();
            let start = |ox: usize| (ox * window.stride[1]).wrapping_sub(placed.padding[1]);
            let mut ox = columns.start;
            while ox < columns.end {
                let runs = inside.end.min(columns.end);
                // SAFETY: `run` bytes of the rows, or `chunks`; pixels inside the image.
                unsafe {
                    if iy < placed.h && merged && inside.contains(&ox) {
                        // Where it overflows there is no second output.
                        let step = window.stride[1].wrapping_mul(self.x.pixel_stride);
                        let (from, to) = ((pixel(start(ox)), step), (at(ox), self.values()));
                        copy_runs(from, to, if whole { chunks } else { run }, runs - ox, flip);
                        ox = runs;
                        continue;
                    }
                    for kx in 0..kw {
                        let (ix, at) = (start(ox).wrapping_add(kx * window.dilation[1]), at(ox).add(kx * cin));
                        if iy < placed.h && ix < placed.w {
                            copy_runs((pixel(ix), 0), (at, 0), cin, 1, flip);
                        } else {
                            at.write_bytes(self.zero ^ flip, cin);
                        }
                    }
                }
                ox += 1;
            }
        }
    }

    /// Brings bytes into the level's form, which may be their own.
    unsafe fn convert(&self, from: *const u8, to: *mut u8, len: usize) {
        let flip = self.flip;
        // SAFETY: as promised by the caller: the contract of `WidenI8`, or `len` bytes of each.
        unsafe {
            if self.kernels.int8.element == 2 {
                self.kernels.widen_i8[0].run(&WidenI8 { input: from, out: to.cast(), len, flip });
            } else if flip != 0 {
                copy_runs((from, 0), (to, 0), len, 1, flip);
            } else {
                to.copy_from_nonoverlapping(from, len);
            }
        }
    }
}
