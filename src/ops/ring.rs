//! The tables of pixel pointers that depthwise kernels read, one for each kernel row.

use crate::{geometry::Placed, kernels::DW_ROWS, tensor::Raw};

/// A ring: a row of the image keeps its table while output rows need it.
pub(crate) struct Ring<'a, T> {
    pub placed: &'a Placed,
    pub k: usize,
    pub stride: usize,
    /// Output rows for which tables may be asked at a time.
    pub outputs: usize,
    /// What an entry outside the image points at.
    pub zeros: *const T,
    /// Room for [`Ring::words`].
    pub memory: *mut u64,
}

impl<T> Ring<'_, T> {
    /// Columns of the padded image that a row of outputs sees.
    fn columns(placed: &Placed, stride: usize) -> usize {
        (placed.ow - 1) * stride + placed.window[1]
    }

    /// Words of memory: a table for each row that the kernel reads, and one of zeros.
    pub fn words(placed: &Placed, k: usize, stride: usize, outputs: usize) -> Option<usize> {
        Self::columns(placed, stride).checked_mul(k + (outputs - 1) * stride + 1)
    }

    /// The tables for `outputs` output rows from `row` on, counted over the batch, of one image. Unless they are `fresh`,
    /// those for the row before are there. `pixels(iy)` is an image whose first pixels are those of the image's row `iy`.
    /// Tables that only more outputs would need are of zeros.
    ///
    /// # Safety
    /// The memory has room, and nobody else uses it.
    pub unsafe fn rows(
        &self,
        row: usize,
        outputs: usize,
        fresh: bool,
        mut pixels: impl FnMut(usize) -> Raw<T>,
    ) -> [*const *const T; DW_ROWS] {
        let (placed, k, slots) = (self.placed, self.k, self.k + (self.outputs - 1) * self.stride);
        let columns = Self::columns(placed, self.stride);
        let oy = row % placed.oh;
        let [top, left, ..] = placed.padding;
        let table: *mut *const T = self.memory.cast();
        let zeros = table.wrapping_add(slots * columns);
        if fresh {
            // SAFETY: the last table of the ring.
            unsafe { self.fill_zeros(zeros, columns) };
        }
        let mut rows = [core::ptr::null(); DW_ROWS];
        for (r, table_of_row) in rows.iter_mut().enumerate().take(slots) {
            let needed = r < k + (outputs - 1) * self.stride;
            let Some(iy) = (oy * self.stride + r).checked_sub(top).filter(|&iy| needed && iy < placed.h) else {
                *table_of_row = zeros.cast_const();
                continue;
            };
            let slot = table.wrapping_add(iy % slots * columns);
            *table_of_row = slot.cast_const();
            // Rows that the output row above saw are in the ring.
            if !fresh && oy > 0 && iy + top < (oy - 1) * self.stride + k {
                continue;
            }
            let pixels = pixels(iy);
            let inside = left.min(columns)..(left + placed.w).min(columns);
            // SAFETY: `columns` entries of the slot; entry `left + i` is pixel i of the row.
            unsafe {
                self.fill_zeros(slot, inside.start);
                for (i, at) in inside.clone().enumerate() {
                    *slot.add(at) = pixels.pixel(i);
                }
                self.fill_zeros(slot.add(inside.end), columns - inside.end);
            }
        }
        rows
    }

    unsafe fn fill_zeros(&self, at: *mut *const T, len: usize) {
        for i in 0..len {
            // SAFETY: as promised by the caller, `len` entries.
            unsafe { *at.add(i) = self.zeros }
        }
    }
}
