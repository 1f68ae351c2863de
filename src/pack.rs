//! Packing: what the kernels of a level read, from weights in any layout.

use crate::{
    kernels::{DwI8, Int8, Kernels},
    packed::{Packed, Packing},
    tensor::Raw,
};
use alloc::vec::Vec;
use core::ops::Range;

/// How the columns of one group are cut into panels.
///
/// Full panels are as wide as the level's widest tile. What is left takes one panel of as few registers as hold it,
/// the last of which ends with the last column: it overlaps the one before it rather than being masked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panels {
    /// Columns.
    pub n: usize,
    /// Columns of a full panel.
    pub nr: usize,
    pub lanes: usize,
    /// Packed size of a column: f32 values, or bytes.
    column: usize,
    /// Full panels.
    pub full: usize,
    /// Registers of the last panel; 0 where the full panels hold all columns.
    pub tail: usize,
    /// Rows of A that take longer to multiply than B does to come from a cache that cores share.
    hiding: usize,
}

/// [`Panels::hiding`] of vectors: half of a 7x7 image.
const HIDING: usize = 24;

/// What tasks of a product split: rows of A, or units of columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pieces {
    pub count: usize,
    pub columns: bool,
}

impl Panels {
    /// Columns of the bias and `k` values.
    pub fn f32(kernels: &Kernels, n: usize, k: usize) -> Self {
        Self::new(kernels.lanes, kernels.nr(), n, 1 + k)
    }

    /// Columns of bias, scale and `k` bytes.
    pub fn i8(int8: &Int8, n: usize, k: usize) -> Self {
        Self::new(int8.lanes, int8.nr(), n, 8 + k)
    }

    /// The same for tiles, which wait for B however many the rows.
    pub fn of_tiles(int8: &Int8, n: usize, k: usize) -> Self {
        Panels { hiding: usize::MAX, ..Self::i8(int8, n, k) }
    }

    fn new(lanes: usize, nr: usize, n: usize, column: usize) -> Self {
        Panels { n, nr, lanes, column, full: n / nr, tail: (n % nr).div_ceil(lanes), hiding: HIDING }
    }

    /// Registers of a full panel.
    pub fn registers(&self) -> usize {
        self.nr / self.lanes
    }

    /// Size of a panel `registers` wide.
    pub fn panel_len(&self, registers: usize) -> usize {
        self.column * registers * self.lanes
    }

    /// Size of all panels.
    pub fn len(&self) -> usize {
        self.full * self.panel_len(self.registers()) + self.panel_len(self.tail)
    }

    /// First column of the last panel.
    pub fn tail_start(&self) -> usize {
        if self.tail == 1 { self.n.saturating_sub(self.lanes) } else { self.full * self.nr }
    }

    /// Where in a row of the last panel its last register begins.
    pub fn tail_last(&self) -> usize {
        self.n.saturating_sub(self.lanes) - self.tail_start()
    }

    /// Units in which the columns of `groups` can be split among tasks: the last full panel and the rest are one, as they
    /// may overlap.
    pub fn units(&self, groups: usize) -> usize {
        if groups == 1 { self.full.max(1) } else { 1 }
    }

    /// The columns of `units`, of all `groups`.
    pub fn columns(&self, groups: usize, units: &Range<usize>) -> Range<usize> {
        let end = if units.end == self.units(groups) { groups * self.n } else { units.end * self.nr };
        units.start * self.nr..end
    }

    /// The blocks of an image, and the units of each; of an image in one block, the `units` asked for.
    pub fn in_blocks<'a, T>(
        &self,
        y: &'a Raw<T>,
        units: &Range<usize>,
    ) -> impl Iterator<Item = (Raw<T>, Range<usize>)> + use<'a, T> {
        let (nr, count, units) = (self.nr, y.blocks.count, units.clone());
        (0..count).map(move |block| {
            let Range { start, end } = y.block_channels(block);
            let first = if block == 0 { units.start } else { start / nr };
            let last = if block + 1 == count { units.end } else { end / nr };
            (y.in_block(block), first..last)
        })
    }

    /// What so many `threads` split. Where they split the rows of A, what one computes is mostly in its cache when it goes
    /// on with that, but each reads all of B, which [`Panels::hiding`] rows hide. With fewer they split the columns, where B
    /// is the larger operand. More threads never make fewer tasks.
    pub fn pieces(&self, groups: usize, rows: usize, threads: usize) -> Pieces {
        let (units, hidden) = (self.units(groups), rows / self.hiding);
        let columns = self.n > rows && hidden < threads && units > 1 && units >= hidden;
        Pieces { count: if columns { units } else { rows }, columns }
    }

    /// Every panel: where it begins, and the first column of each of its registers.
    fn each(&self, mut f: impl FnMut(usize, &[usize])) {
        let registers = self.registers();
        let mut starts = Vec::new();
        for panel in 0..self.full + usize::from(self.tail > 0) {
            starts.clear();
            if panel < self.full {
                starts.extend((0..registers).map(|j| panel * self.nr + j * self.lanes));
            } else {
                let last = |j: usize| if j + 1 == self.tail { self.tail_last() } else { j * self.lanes };
                starts.extend((0..self.tail).map(|j| self.tail_start() + last(j)));
            }
            f(panel * self.panel_len(registers), &starts);
        }
    }

    /// The columns of the register that begins with column `start`, each with its lane.
    fn lanes(&self, start: usize) -> impl Iterator<Item = (usize, usize)> {
        (start..(start + self.lanes).min(self.n)).enumerate()
    }

    /// Packs one group at `at`: `value(0, column)` is the bias, `value(1 + k, column)` a weight.
    pub fn pack_f32(&self, into: &mut Packing, at: usize, value: impl Fn(usize, usize) -> f32) {
        self.each(|panel, starts| {
            for (row, (j, &start)) in (0..self.column).flat_map(|row| starts.iter().enumerate().map(move |s| (row, s)))
            {
                let at = at + panel + (row * starts.len() + j) * self.lanes;
                self.lanes(start).for_each(|(lane, column)| into.put_f32(at + lane, value(row, column)));
            }
        });
    }

    /// Packs one group of `k` values a column at the byte `at`: `head(column)` are bias and scale.
    pub fn pack_i8(
        &self,
        int8: &Int8,
        into: &mut Packing,
        at: usize,
        k: usize,
        head: impl Fn(usize) -> (i32, f32),
        weight: impl Fn(usize, usize) -> i8,
    ) {
        self.each(|panel, starts| {
            let at = at + panel;
            let width = starts.len() * self.lanes;
            for (j, &start) in starts.iter().enumerate() {
                for (lane, column) in self.lanes(start) {
                    let lane = j * self.lanes + lane;
                    let (bias, scale) = head(column);
                    into.put(at + 4 * lane, bias.to_ne_bytes());
                    into.put(at + 4 * (width + lane), scale.to_ne_bytes());
                    for k in 0..k {
                        let unit = k / int8.values() * width + lane;
                        let byte = unit * int8.unit + k % int8.values() * int8.element;
                        into.put_i8(at + 8 * width + byte, int8.element, weight(k, column));
                    }
                }
            }
        });
    }
}

/// Blocks of packed depthwise weights, and the values of each.
pub(crate) fn depthwise_blocks(kernels: &Kernels, channels: usize, taps: usize) -> (usize, usize) {
    (channels.div_ceil(kernels.lanes), kernels.lanes * (taps + 1))
}

/// Packs depthwise weights: for each block of one register of channels the bias, then each tap. The last block ends with
/// the last channel. `value(0, channel)` is the bias, `value(1 + tap, channel)` a weight.
pub(crate) fn pack_depthwise(
    kernels: &Kernels,
    channels: usize,
    taps: usize,
    value: impl Fn(usize, usize) -> f32,
) -> Packed {
    let lanes = kernels.lanes;
    let (blocks, len) = depthwise_blocks(kernels, channels, taps);
    let mut packed = Packing::f32(blocks * len);
    for block in 0..blocks {
        let start = (block * lanes).min(channels.saturating_sub(lanes));
        for row in 0..=taps {
            for lane in 0..lanes.min(channels) {
                packed.put_f32((block * (taps + 1) + row) * lanes + lane, value(row, start + lane));
            }
        }
    }
    packed.done()
}

/// Packs one block of depthwise weights at the byte `at`: `head(channel)` are bias and scale, `weight(product, i, channel)`
/// the weight of row i of a product; channels from `channels` on are left zero.
pub(crate) fn pack_depthwise_i8(
    dw: &DwI8,
    into: &mut Packing,
    at: usize,
    channels: usize,
    products: usize,
    head: impl Fn(usize) -> (i32, f32),
    weight: impl Fn(usize, usize, usize) -> i8,
) {
    let (int8, block) = (&dw.int8, dw.channels());
    for (register, lane) in (0..dw.registers).flat_map(|r| (0..int8.lanes).map(move |lane| (r, lane))) {
        let channel = dw.channel(register, lane);
        if channel >= channels {
            continue;
        }
        let lane = register * int8.lanes + lane;
        let (bias, scale) = head(channel);
        into.put(at + 4 * lane, bias.to_ne_bytes());
        into.put(at + 4 * (block + lane), scale.to_ne_bytes());
        for (product, i) in (0..products).flat_map(|product| (0..int8.values()).map(move |i| (product, i))) {
            let byte = (product * block + lane) * int8.unit + i * int8.element;
            into.put_i8(at + 8 * block + byte, int8.element, weight(product, i, channel));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::parts;

    #[test]
    fn more_threads_make_as_many_tasks_or_more() {
        for (n, rows) in (1..40).flat_map(|n| (1..40).map(move |rows| (16 * n, 7 * rows))) {
            let panels = Panels::new(16, 32, n, 1);
            for panels in [panels, Panels { hiding: usize::MAX, ..panels }] {
                let tasks = |threads| parts(threads, panels.pieces(1, rows, threads).count);
                let counts: Vec<_> = (1..70).map(tasks).chain([tasks(usize::MAX)]).collect();
                assert!(counts.is_sorted(), "{n} columns, {rows} rows: {counts:?}");
            }
        }
        let panels = Panels::new(16, 32, 160, 1);
        let columns = |rows, threads| panels.pieces(1, rows, threads).columns;
        assert_eq!([columns(49, 2), columns(49, 3), columns(196, 9)], [false, true, false]);
    }
}
