//! The product behind pointwise, standard and grouped convolution and fully connected layers.

use crate::{
    Error,
    kernels::{GemmF32, Kernels},
    pack::Panels,
    packed::{Packed, Packing},
};
use core::ops::Range;

/// Packed B for each group, and how to multiply by it.
pub(crate) struct Gemm {
    pub kernels: &'static Kernels,
    pub panels: Panels,
    k: usize,
    groups: usize,
    pub packed: Packed,
}

/// Rows of A, and the part of C that they make.
#[derive(Clone, Copy)]
pub(crate) struct Block {
    /// `taps` pointers for each row.
    pub rows: *const *const f32,
    pub m: usize,
    pub taps: usize,
    /// Values a pointer leads to, for each group.
    pub run: usize,
    /// The first row of C.
    pub c: *mut f32,
    pub c_stride: usize,
    pub min: f32,
    pub max: f32,
}

/// Bytes of A that a block of rows may take: it stays in cache while all panels of B pass.
const BLOCK: usize = 96 << 10;
/// The same where B is large and dear to read: then few blocks matter more.
const BLOCK_OF_LARGE_B: usize = 512 << 10;
/// Bytes of B from which it counts as large.
const LARGE_B: usize = 256 << 10;
/// The most rows of a block.
const MAX_ROWS: usize = 512;

impl Gemm {
    /// Without weights.
    pub fn unpacked(kernels: &'static Kernels, groups: usize, n: usize, k: usize) -> Result<Self, Error> {
        let panels = Panels::f32(kernels, n, k);
        Packing::check(groups, panels.len(), size_of::<f32>())?;
        Ok(Gemm { kernels, panels, k, groups, packed: Packed::default() })
    }

    /// Packed values.
    pub fn packed_len(&self) -> usize {
        self.groups * self.panels.len()
    }

    /// `value(group, 0, column)` is the bias, `value(group, 1 + k, column)` the weight.
    pub fn pack(&mut self, value: impl Fn(usize, usize, usize) -> f32) {
        let panels = &self.panels;
        let mut packed = Packing::f32(self.packed_len());
        for group in 0..self.groups {
            panels.pack_f32(&mut packed, group * panels.len(), |row, column| value(group, row, column));
        }
        self.packed = packed.done();
    }

    /// Rows of A to prepare at a time.
    pub fn block_rows(&self) -> usize {
        let bytes = size_of::<f32>() * self.k;
        let large = bytes * self.panels.n >= LARGE_B;
        let rows = if large { BLOCK_OF_LARGE_B } else { BLOCK } / (bytes * self.groups);
        let tile = *self.kernels.gemm_mr.last().unwrap_or(&1);
        (rows / tile * tile).clamp(tile, MAX_ROWS / tile * tile)
    }

    /// Fewest units of a chunk: panels, or rows of A.
    pub fn grain(&self, columns: bool) -> usize {
        if columns { 2 } else { 2 * self.kernels.gemm_mr.last().unwrap_or(&1) }
    }

    /// Multiplies `block` by the columns of `units`, for every group.
    ///
    /// # Safety
    /// Each pointer of `block.rows` is valid for reads of `groups * run` values, each row of C for writes of
    /// `groups * n`, and they do not overlap. `taps * run` is k.
    pub unsafe fn run(&self, block: &Block, units: Range<usize>) {
        let p = &self.panels;
        let registers = p.registers();
        let last = units.end == p.units(self.groups);
        let panels = units.start..if last { p.full } else { units.end };
        for group in 0..self.groups {
            let b = self.packed.as_ptr::<f32>().wrapping_add(group * p.len());
            let args = GemmF32 {
                rows: block.rows,
                offset: group * block.run,
                taps: block.taps,
                run: block.run,
                tiles: 0,
                b: b.wrapping_add(panels.start * p.panel_len(registers)),
                panel_len: p.panel_len(registers),
                ahead: false,
                panels: panels.len(),
                panel_columns: p.nr,
                c: block.c.wrapping_add(group * p.n + panels.start * p.nr),
                c_stride: block.c_stride,
                last: p.nr - self.kernels.lanes,
                columns: p.nr,
                min: block.min,
                max: block.max,
            };
            // SAFETY: the contract of `GemmF32`, panels by `Panels`, rows as promised by the caller.
            unsafe {
                self.run_panels(registers, block.m, &args);
                if p.tail > 0 && last {
                    self.run_panels(
                        p.tail,
                        block.m,
                        &GemmF32 {
                            b: b.wrapping_add(p.full * p.panel_len(registers)),
                            panel_len: p.panel_len(p.tail),
                            panels: 1,
                            c: block.c.wrapping_add(group * p.n + p.tail_start()),
                            last: p.tail_last(),
                            columns: p.n,
                            ..args
                        },
                    );
                }
            }
        }
    }

    /// The same panels for `m` rows.
    ///
    /// # Safety
    /// `args`, with `tiles * mr` being `m`, keeps the contract of `GemmF32`.
    unsafe fn run_panels(&self, registers: usize, m: usize, args: &GemmF32) {
        if m == 1 && args.panels >= self.kernels.gemv_panels {
            let side_by_side = args.panels / self.kernels.gemv_panels * self.kernels.gemv_panels;
            // SAFETY: a multiple of the panels that a gemv kernel takes at a time, all full.
            unsafe { self.kernels.gemv_f32[0].run(&GemmF32 { tiles: 1, panels: side_by_side, ..*args }) };
            let rest = GemmF32 {
                b: args.b.wrapping_add(side_by_side * args.panel_len),
                c: args.c.wrapping_add(side_by_side * args.panel_columns),
                panels: args.panels - side_by_side,
                ..*args
            };
            // SAFETY: the panels after those.
            return unsafe { self.run_panels(registers, m, &rest) };
        }
        let end = args.b.wrapping_add(args.panels * args.panel_len).addr() - self.packed.as_ptr::<f32>().addr();
        let prefetch = self.kernels.prefetch;
        for call in self.packed.calls(prefetch, args.panels, end, m, self.kernels.gemm_mr[registers - 1]) {
            let (first, panels) = (call.panels.start, call.panels.len());
            if let Some(kernel) = self.kernels.gemm(call.mr, registers) {
                let rows = args.rows.wrapping_add(call.row * args.taps);
                let b = args.b.wrapping_add(first * args.panel_len);
                let c = args.c.wrapping_add(call.row * args.c_stride + first * args.panel_columns);
                // SAFETY: these rows of the block, by these panels.
                unsafe { kernel.run(&GemmF32 { rows, b, c, tiles: call.tiles, panels, ahead: call.ahead, ..*args }) };
            }
        }
    }

    /// The kernels for blocks of `m` rows.
    pub fn kernel_names(&self, m: usize) -> impl Iterator<Item = &'static str> {
        let registers = [(self.panels.nr / self.kernels.lanes, self.panels.full), (self.panels.tail, self.panels.tail)];
        registers.into_iter().filter(|&(_, panels)| panels > 0).filter_map(move |(registers, panels)| {
            if m == 1 && panels >= self.kernels.gemv_panels {
                return Some(self.kernels.gemv_f32[0].name);
            }
            let max = self.kernels.gemm_mr[registers - 1];
            let kernel = self.kernels.gemm(m.div_ceil(m.div_ceil(max)), registers)?;
            Some(kernel.name)
        })
    }
}
