//! The product of bytes behind pointwise, standard and grouped convolution and fully connected layers.

use super::gather::Rows;
use crate::{
    Error,
    kernels::{self, AMX_ROWS, Kernels},
    pack::Panels,
    packed::{Packed, Packing},
    quant::Output,
};
use core::ops::Range;

/// Packed B for each group, and how to multiply by it.
pub(crate) struct Gemm {
    pub kernels: &'static Kernels,
    pub panels: Panels,
    pub groups: usize,
    /// Bytes of a row of A: whole units.
    pub k: usize,
    /// Whether products on tile registers are the better choice.
    tiles: bool,
    pub packed: Packed,
}

/// Rows of A, and the part of C that they make.
#[derive(Clone, Copy)]
pub(crate) struct Block {
    pub a: Rows,
    pub m: usize,
    /// The first row of C.
    pub c: *mut u8,
    pub c_stride: usize,
    /// Null, or the first row of sums, of the columns of all groups.
    pub sums: *mut i32,
    pub sums_stride: usize,
    pub output: Output,
}

/// Bytes of A that a block of rows may take: it stays in cache while all panels of B pass.
const BLOCK: usize = 48 << 10;
/// As `BLOCK`, where tiles multiply: L2 is fast enough for them, and a panel of B stays in L1.
const BLOCK_OF_TILES: usize = 256 << 10;
/// The most rows of a block.
const MAX_ROWS: usize = 512;

/// Whether tile registers are the better choice: not where few columns leave most of a tile empty, nor for sums so short
/// that vectors are done with them while tiles are stored. `codegen/README.md` has the measurements.
fn prefer_tiles(n: usize, k: usize) -> bool {
    n >= 16 && k >= 24
}

impl Gemm {
    /// Without weights; `k` values a row.
    pub fn unpacked(kernels: &'static Kernels, groups: usize, n: usize, k: usize) -> Result<Self, Error> {
        let int8 = &kernels.int8;
        let mut bytes = k.div_ceil(int8.values()) * int8.unit;
        let tiles = !kernels.gemm_i8_amx.is_empty() && prefer_tiles(n, k);
        if tiles {
            bytes = kernels::amx_k(bytes);
        }
        let panels = if tiles { Panels::of_tiles(int8, n, bytes) } else { Panels::i8(int8, n, bytes) };
        Packing::check(groups, panels.len(), 1)?;
        Ok(Gemm { kernels, panels, groups, k: bytes, tiles, packed: Packed::default() })
    }

    /// Packed bytes.
    pub fn packed_len(&self) -> usize {
        self.groups * self.panels.len()
    }

    /// `k` values a row; `head(group, column)` are bias and scale, `weight(group, k, column)` is a weight.
    pub fn pack(
        &mut self,
        k: usize,
        head: impl Fn(usize, usize) -> (i32, f32),
        weight: impl Fn(usize, usize, usize) -> i8,
    ) {
        let panels = &self.panels;
        let mut packed = Packing::new(self.packed_len());
        for group in 0..self.groups {
            let at = group * panels.len();
            let weight = |k: usize, column: usize| weight(group, k, column);
            panels.pack_i8(&self.kernels.int8, &mut packed, at, k, |column| head(group, column), weight);
        }
        self.packed = packed.done();
    }

    /// Rows of A to prepare at a time.
    pub fn block_rows(&self) -> usize {
        let tile = *self.kernels.int8.mr.last().unwrap_or(&1);
        let rows = if self.tiles { BLOCK_OF_TILES } else { BLOCK } / (self.k * self.groups);
        (rows / tile * tile).clamp(tile, MAX_ROWS / tile * tile)
    }

    /// Fewest units of a chunk: panels, for which all of A is prepared anew, or rows of A.
    pub fn grain(&self, columns: bool) -> usize {
        if columns { 4 } else { 2 * self.kernels.int8.mr.last().unwrap_or(&1) }
    }

    /// Multiplies `block` by the columns of `units`, for every group.
    ///
    /// # Safety
    /// Each row of A is valid for reads of `k` bytes for each group, each row of C, or of the sums, for writes of the
    /// columns of all groups, and they do not overlap.
    pub unsafe fn run(&self, block: &Block, units: Range<usize>) {
        let p = &self.panels;
        let last = units.end == p.units(self.groups);
        let panels = units.start..if last { p.full } else { units.end };
        for group in 0..self.groups {
            let b = self.packed.as_ptr::<u8>().wrapping_add(group * p.len());
            let column = group * p.n + panels.start * p.nr;
            let Output { zero_point, min, max, flip } = block.output;
            let args = kernels::GemmI8 {
                a: block.a.a.wrapping_add(group * block.a.group),
                a_stride: block.a.stride,
                k: self.k,
                tiles: 0,
                b: b.wrapping_add(panels.start * p.panel_len(p.registers())),
                panel_len: p.panel_len(p.registers()),
                ahead: false,
                panels: panels.len(),
                panel_columns: p.nr,
                c: block.c.wrapping_add(column),
                c_stride: block.c_stride,
                sums: if block.sums.is_null() { block.sums } else { block.sums.wrapping_add(column) },
                sums_stride: block.sums_stride,
                last: p.nr - p.lanes,
                columns: p.nr,
                zero_point,
                min,
                max,
                flip,
            };
            // SAFETY: the contract of `GemmI8`, panels by `Panels`, rows as promised by the caller.
            unsafe {
                self.run_panels(p.registers(), block.m, &args);
                if p.tail > 0 && last {
                    let column = group * p.n + p.tail_start();
                    let tail = kernels::GemmI8 {
                        b: b.wrapping_add(p.full * p.panel_len(p.registers())),
                        panel_len: p.panel_len(p.tail),
                        panels: 1,
                        c: block.c.wrapping_add(column),
                        sums: if block.sums.is_null() { block.sums } else { block.sums.wrapping_add(column) },
                        last: p.tail_last(),
                        columns: p.n,
                        ..args
                    };
                    self.run_panels(p.tail, block.m, &tail);
                }
            }
        }
    }

    /// The same panels for `m` rows.
    ///
    /// # Safety
    /// `args`, with `tiles * mr` being `m`, keeps the contract of `GemmI8`.
    unsafe fn run_panels(&self, registers: usize, m: usize, args: &kernels::GemmI8) {
        if self.tiles && m >= AMX_ROWS && args.panels > 0 {
            let ahead = self.packed.is_fetched_ahead(self.kernels.prefetch, m);
            // SAFETY: the contract of `GemmI8`: `k` was made a multiple of a step's.
            return unsafe {
                self.kernels.gemm_i8_amx[registers - 1].run(&kernels::GemmI8 { tiles: m, ahead, ..*args })
            };
        }
        let end = args.b.wrapping_add(args.panels * args.panel_len).addr() - self.packed.as_ptr::<u8>().addr();
        let prefetch = self.kernels.prefetch;
        for call in self.packed.calls(prefetch, args.panels, end, m, self.kernels.int8.mr[registers - 1]) {
            let (first, panels) = (call.panels.start, call.panels.len());
            let to = |stride: usize| call.row * stride + first * args.panel_columns;
            if let Some(kernel) = self.kernels.gemm_i8(call.mr, registers) {
                let a = args.a.wrapping_add(call.row * args.a_stride);
                let b = args.b.wrapping_add(first * args.panel_len);
                let c = args.c.wrapping_add(to(args.c_stride));
                let sums = if args.sums.is_null() { args.sums } else { args.sums.wrapping_add(to(args.sums_stride)) };
                let (tiles, ahead) = (call.tiles, call.ahead);
                // SAFETY: these rows of the block, by these panels.
                unsafe { kernel.run(&kernels::GemmI8 { a, b, c, sums, tiles, panels, ahead, ..*args }) };
            }
        }
    }

    /// The kernels for blocks of `m` rows.
    pub fn kernel_names(&self, m: usize) -> impl Iterator<Item = &'static str> {
        let p = &self.panels;
        let registers = [(p.registers(), p.full), (p.tail, p.tail)];
        registers.into_iter().filter(|&(_, panels)| panels > 0).filter_map(move |(registers, _)| {
            if self.tiles && m >= AMX_ROWS {
                return Some(self.kernels.gemm_i8_amx[registers - 1].name);
            }
            let max = self.kernels.int8.mr[registers - 1];
            Some(self.kernels.gemm_i8(m.div_ceil(m.div_ceil(max)), registers)?.name)
        })
    }
}
