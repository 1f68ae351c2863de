//! Packing: what the kernels of a level read, from weights in any layout.

use crate::kernels::Kernels;
use alloc::vec::Vec;

/// One cache line, so that packed rows begin on lines.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// Packed weights: zeros where nothing was written.
pub(crate) struct Packed {
    lines: Vec<Line>,
}

impl Packed {
    pub fn new(len: usize) -> Self {
        Packed { lines: alloc::vec![Line([0.0; 16]); len.div_ceil(16)] }
    }

    pub fn as_ptr(&self) -> *const f32 {
        self.lines.as_ptr().cast()
    }

    fn set(&mut self, at: usize, value: f32) {
        self.lines[at / 16].0[at % 16] = value;
    }
}

/// How the columns of one group are cut into panels.
///
/// Full panels are as wide as the level's widest tile. What is left takes one panel of as few registers as hold it,
/// the last of which ends with the last column: it overlaps the one before it rather than being masked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panels {
    /// Columns.
    pub n: usize,
    /// Rows of B.
    pub k: usize,
    /// Columns of a full panel.
    pub nr: usize,
    lanes: usize,
    /// Full panels.
    pub full: usize,
    /// Registers of the last panel; 0 where the full panels hold all columns.
    pub tail: usize,
}

impl Panels {
    pub fn new(kernels: &Kernels, n: usize, k: usize) -> Self {
        let (nr, lanes) = (kernels.nr(), kernels.lanes);
        Panels { n, k, nr, lanes, full: n / nr, tail: (n % nr).div_ceil(lanes) }
    }

    /// Values of a panel `registers` wide: the bias row and k rows.
    pub fn panel_len(&self, registers: usize) -> usize {
        (self.k + 1) * registers * self.lanes
    }

    /// Values of all panels.
    pub fn len(&self) -> usize {
        self.full * self.panel_len(self.nr / self.lanes) + self.panel_len(self.tail)
    }

    /// First column of the last panel.
    pub fn tail_start(&self) -> usize {
        if self.tail == 1 { self.n.saturating_sub(self.lanes) } else { self.full * self.nr }
    }

    /// Where in a row of the last panel its last register begins.
    pub fn tail_last(&self) -> usize {
        self.n.saturating_sub(self.lanes) - self.tail_start()
    }

    /// Packs one group at `at`: `value(0, column)` is the bias, `value(1 + k, column)` a weight.
    pub fn pack(&self, into: &mut Packed, at: usize, value: impl Fn(usize, usize) -> f32) {
        let registers = self.nr / self.lanes;
        for panel in 0..self.full {
            let at = at + panel * self.panel_len(registers);
            self.pack_panel(into, at, registers, |j| panel * self.nr + j * self.lanes, &value);
        }
        let at = at + self.full * self.panel_len(registers);
        let starts = |j: usize| self.tail_start() + if j + 1 == self.tail { self.tail_last() } else { j * self.lanes };
        self.pack_panel(into, at, self.tail, starts, &value);
    }

    fn pack_panel(
        &self,
        into: &mut Packed,
        mut at: usize,
        registers: usize,
        start: impl Fn(usize) -> usize,
        value: &impl Fn(usize, usize) -> f32,
    ) {
        for row in 0..=self.k {
            for j in 0..registers {
                let columns = start(j)..(start(j) + self.lanes).min(self.n);
                for (lane, column) in columns.enumerate() {
                    into.set(at + lane, value(row, column));
                }
                at += self.lanes;
            }
        }
    }
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
    let blocks = channels.div_ceil(lanes);
    let mut packed = Packed::new(blocks * lanes * (taps + 1));
    for block in 0..blocks {
        let start = (block * lanes).min(channels.saturating_sub(lanes));
        for row in 0..=taps {
            for lane in 0..lanes.min(channels) {
                packed.set((block * (taps + 1) + row) * lanes + lane, value(row, start + lane));
            }
        }
    }
    packed
}
