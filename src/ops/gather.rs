//! Rows of A for products of bytes: the taps of each output pixel side by side, in the form that the level multiplies.

use crate::{ConvGeometry, geometry::Placed, kernels::Int8, tensor::Raw};
use core::ops::Range;

/// How the rows of A are put together from an image.
pub(crate) struct Gather<'a> {
    pub geometry: &'a ConvGeometry,
    pub placed: &'a Placed,
    pub x: &'a Raw<u8>,
    pub int8: &'a Int8,
    /// What a tap outside the image reads.
    pub zero: u8,
    /// Bits to flip in each byte.
    pub flip: u8,
    /// Bytes of a row.
    pub k: usize,
}

impl Gather<'_> {
    /// Whether the rows lie in the image as the level wants them.
    pub fn is_direct(&self) -> bool {
        let (g, window) = (self.geometry, &self.geometry.window);
        let pointwise = window.kernel == [1, 1] && window.stride == [1, 1] && self.placed.padding == [0; 4];
        pointwise && self.flip == 0 && self.int8.element == 1 && g.group_cin() == self.k
    }

    /// Writes the rows of the output pixels `pixels`, for one group after the other, to `to`.
    ///
    /// # Safety
    /// `to` has room for `groups * pixels * k` bytes; the image is the one that `placed` was made for.
    pub unsafe fn fill(&self, pixels: &Range<usize>, to: *mut u8) {
        let m = pixels.len();
        for group in 0..self.geometry.groups {
            let mut pixel = pixels.start;
            while pixel < pixels.end {
                let (row, ox) = (pixel / self.placed.ow, pixel % self.placed.ow);
                let columns = ox..(ox + pixels.end - pixel).min(self.placed.ow);
                let to = to.wrapping_add((group * m + pixel - pixels.start) * self.k);
                let len = columns.len();
                // SAFETY: the part of the room that is for these pixels.
                unsafe { self.fill_row(group, [row / self.placed.oh, row % self.placed.oh], columns, to) };
                pixel += len;
            }
        }
    }

    /// The outputs `columns` of row `oy` of image `n`.
    unsafe fn fill_row(&self, group: usize, [n, oy]: [usize; 2], columns: Range<usize>, to: *mut u8) {
        let (g, window, placed) = (self.geometry, &self.geometry.window, self.placed);
        let ([kh, kw], cin) = (window.kernel, g.group_cin());
        let len = kh * kw * cin;
        // Widened values are written over their bytes, which lie in the second half of the row.
        let first = self.k - self.k / self.int8.element;
        // Taps of a kernel row adjoin.
        let merged = self.x.pixel_stride == cin && window.dilation[1] == 1;
        let inside = placed.inside(window.stride[1], 0, placed.window[1] - 1);
        for (i, ox) in columns.enumerate() {
            let row = to.wrapping_add(i * self.k);
            let mut at = row.wrapping_add(first);
            for ky in 0..kh {
                let iy = (oy * window.stride[0] + ky * window.dilation[0]).wrapping_sub(placed.padding[0]);
                let start = (ox * window.stride[1]).wrapping_sub(placed.padding[1]);
                let pixel = |ix: usize| {
                    let index = ((n * placed.h).wrapping_add(iy) * placed.w).wrapping_add(ix);
                    self.x.pixel(index).wrapping_add(group * cin).cast_const()
                };
                // SAFETY: `len` bytes of the row in all; pixels inside the image.
                unsafe {
                    if iy >= placed.h {
                        at.write_bytes(self.zero, kw * cin);
                    } else if merged && inside.contains(&ox) {
                        copy(pixel(start), at, kw * cin);
                    } else {
                        for kx in 0..kw {
                            let (ix, at) = (start.wrapping_add(kx * window.dilation[1]), at.add(kx * cin));
                            if ix < placed.w { copy(pixel(ix), at, cin) } else { at.write_bytes(self.zero, cin) }
                        }
                    }
                    at = at.add(kw * cin);
                }
            }
            // SAFETY: `len` bytes from `first` on, as just written.
            unsafe { self.convert(row, first, len) };
        }
    }

    /// Brings the bytes that begin at `first` into the level's form.
    unsafe fn convert(&self, row: *mut u8, first: usize, len: usize) {
        const CHUNK: usize = 16;
        let flip = self.flip;
        if self.int8.element == 1 {
            if flip != 0 {
                // SAFETY: as promised by the caller.
                unsafe { core::slice::from_raw_parts_mut(row.add(first), len) }.iter_mut().for_each(|b| *b ^= flip);
            }
            return;
        }
        let widen = |byte: u8| if self.int8.signed { i16::from((byte ^ flip) as i8) } else { i16::from(byte ^ flip) };
        let mut i = 0;
        // What is written ends before what is still to be read: the second half begins after the first.
        while i < len {
            let n = CHUNK.min(len - i);
            // SAFETY: bytes i to i + n of the second half, and the same values of the row; a value takes two bytes.
            unsafe {
                if n == CHUNK {
                    let bytes = row.add(first + i).cast::<[u8; CHUNK]>().read_unaligned();
                    row.add(2 * i).cast::<[i16; CHUNK]>().write_unaligned(bytes.map(widen));
                } else {
                    for i in i..len {
                        let byte = row.add(first + i).read();
                        row.add(2 * i).cast::<i16>().write_unaligned(widen(byte));
                    }
                }
            }
            i += n;
        }
    }
}

/// Copies `len` bytes: short runs in two parts that may overlap, since a call costs more than they do.
#[inline(always)]
unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: `len` bytes each, by the caller's promise.
    unsafe {
        match len {
            8..=16 => {
                let (head, tail) =
                    (from.cast::<u64>().read_unaligned(), from.add(len - 8).cast::<u64>().read_unaligned());
                to.cast::<u64>().write_unaligned(head);
                to.add(len - 8).cast::<u64>().write_unaligned(tail);
            }
            4..8 => {
                let (head, tail) =
                    (from.cast::<u32>().read_unaligned(), from.add(len - 4).cast::<u32>().read_unaligned());
                to.cast::<u32>().write_unaligned(head);
                to.add(len - 4).cast::<u32>().write_unaligned(tail);
            }
            0..4 => (0..len).for_each(|i| *to.add(i) = *from.add(i)),
            _ => to.copy_from_nonoverlapping(from, len),
        }
    }
}
