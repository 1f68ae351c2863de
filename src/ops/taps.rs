//! Tables of row pointers: where the kernels find the taps of each output pixel.

use crate::{ConvGeometry, geometry::Placed, tensor::Raw};
use core::ops::Range;

/// How the taps of an output pixel lie in an image.
pub(crate) struct Taps<'a, T> {
    pub geometry: &'a ConvGeometry,
    pub placed: &'a Placed,
    pub x: &'a Raw<T>,
    /// What a tap outside the image points at: zeros for all channels of a kernel row.
    pub zeros: *const T,
    /// A kernel row is one run of pixels that adjoin, rather than a run for each tap.
    pub merged: bool,
    /// Pointers from an output pixel to the next.
    pub pitch: usize,
}

impl<T> Taps<'_, T> {
    /// Pointers for each output pixel.
    pub fn per_pixel(&self) -> usize {
        let [kh, kw] = self.geometry.window.kernel;
        if self.merged { kh } else { kh * kw }
    }

    /// Writes the pointers of the outputs `columns` of row `oy` of image `n`, pixel by pixel, to `to`. A merged run that
    /// leaves the image to a side is put together in `copies`, which moves on.
    ///
    /// # Safety
    /// `to` has room for the pointers, `copies` for the runs; the image is the one that `placed` was made for.
    pub unsafe fn fill(&self, [n, oy]: [usize; 2], columns: Range<usize>, to: *mut *const T, copies: &mut *mut T) {
        let window = &self.geometry.window;
        let ([kh, kw], left) = (window.kernel, self.placed.padding[1]);
        let taps = self.per_pixel();
        // Values up to a column of the padded image. It may overflow: pointers to pixels inside come out right.
        let values = |columns: usize| columns.wrapping_mul(self.x.pixel_stride);
        let step = values(window.stride[1]);
        for ky in 0..kh {
            let iy = (oy * window.stride[0] + ky * window.dilation[0]).wrapping_sub(self.placed.padding[0]);
            let row = (iy < self.placed.h).then(|| self.x.row(n * self.placed.h + iy));
            for tap in 0..taps / kh {
                let first = tap * window.dilation[1];
                let last = if self.merged { kw - 1 } else { first };
                let inside = self.placed.inside(window.stride[1], first, last);
                // The pixel that output 0 sees; outside the image it is not followed.
                let base = row.map(|row| row.wrapping_add(values(first)).wrapping_sub(values(left)));
                for (i, ox) in columns.clone().enumerate() {
                    let at = match (base, row) {
                        (Some(base), _) if inside.contains(&ox) => {
                            base.wrapping_add(ox.wrapping_mul(step)).cast_const()
                        }
                        // SAFETY: room for a run.
                        (_, Some(row)) if self.merged => unsafe { self.copy(row, ox, copies) },
                        _ => self.zeros,
                    };
                    // SAFETY: an entry of pixel i.
                    unsafe { *to.add(i * self.pitch + ky * (taps / kh) + tap) = at };
                }
            }
        }
    }

    /// The run of a kernel row for output `ox` that leaves the image to a side.
    ///
    /// # Safety
    /// `row` is a row of the image, and `copies` has room for a run.
    unsafe fn copy(&self, row: *const T, ox: usize, copies: &mut *mut T) -> *const T {
        let window = &self.geometry.window;
        let (kw, channels) = (window.kernel[1], self.x.c);
        let (start, left) = (ox * window.stride[1], self.placed.padding[1]);
        // Taps inside the image.
        let first = left.saturating_sub(start).min(kw);
        let last = (self.placed.w + left).saturating_sub(start).min(kw);
        let copy = *copies;
        // SAFETY: one run of `copies`; the pixels from `first` to `last` exist and adjoin.
        unsafe {
            copy.write_bytes(0, kw * channels);
            if first < last {
                let pixels = row.add((start + first - left) * channels);
                copy.add(first * channels).copy_from_nonoverlapping(pixels, (last - first) * channels);
            }
        }
        *copies = copy.wrapping_add(kw * channels);
        copy
    }
}
