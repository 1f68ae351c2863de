//! The kernels of each instruction set, as tables of functions with stated contracts.
//!
//! This is the level below the operators: raw pointers, packed weights, no checks. [`crate::Level::kernels`] is the only
//! safe way to a table, and it hands one out only where the CPU has every feature that the table's code uses:
//! possession of a `&Kernels` is the proof. Whoever calls [`crate::Level::kernels_unchecked`] answers for that instead.
//! What remains unsafe is the argument's contract.

mod args_f32;
mod args_i8;

use crate::Level;
pub use args_f32::*;
pub use args_i8::*;

/// The kernels of one level. Those of operators that no feature of the crate asks for are missing.
#[derive(Debug)]
pub struct Kernels {
    /// The instruction set.
    pub level: Level,
    /// f32 values in a register.
    pub lanes: usize,
    /// Whether a multiply-add rounds once. Then results equal `reference` bit for bit.
    pub fma: bool,
    /// `gemm_mr[c - 1]`: the most rows of a tile that is `c` registers wide; its length is the width of a full panel.
    pub gemm_mr: &'static [usize],
    /// Panels that [`Kernels::gemv_f32`] takes side by side.
    pub gemv_panels: usize,
    /// Whether products heed [`GemmF32::ahead`] and [`GemmI8::ahead`].
    pub prefetch: bool,
    /// The most output rows of the depthwise kernels.
    pub dw_rows: usize,
    /// Output pixels of the depthwise kernels, most first, the last is 1.
    pub dw_pixels: &'static [usize],
    /// Floating-point operations in one turn of [`Kernels::probe_fma_f32`].
    pub probe_fma_flops: usize,
    /// For one register of columns the tiles of 1 to `gemm_mr[0]` rows, then for two registers, and so on.
    pub gemm_f32: &'static [Kernel<GemmF32>],
    /// Single rows, `gemv_panels` panels side by side.
    pub gemv_f32: &'static [Kernel<GemmF32>],
    /// For each of [`DW_SHAPES`] the kernels of 1 to `dw_rows` rows, of each of `dw_pixels`.
    pub dwconv_f32: &'static [Kernel<DwConvF32>],
    /// Depthwise with any taps, for each of [`TAPS_PIXELS`].
    pub dwconv_taps_f32: &'static [Kernel<DwConvF32>],
    /// Average, maximum.
    pub pool_f32: &'static [Kernel<PoolF32>],
    /// `act(a + b)`, `act(a)`, `act(a * b)`.
    pub elementwise_f32: &'static [Kernel<ElementwiseF32>],
    /// Transposition of 32-bit elements.
    pub transpose_x32: &'static [Kernel<TransposeX32>],
    /// Interleaving of 32-bit elements, for each of [`INTERLEAVED`].
    pub interleave_x32: &'static [Kernel<InterleaveX32>],
    /// Multiply-adds in registers only: the peak that benches measure against.
    pub probe_fma_f32: &'static [Kernel<Probe>],
    /// How bytes are multiplied.
    pub int8: Int8,
    /// Operations in one turn of [`Kernels::probe_dot_i8`].
    pub probe_dot_ops: usize,
    /// As `gemm_f32`, of bytes.
    pub gemm_i8: &'static [Kernel<GemmI8>],
    /// Products on tile registers, for panels of one register and of two; empty where there are none.
    pub gemm_i8_amx: &'static [Kernel<GemmI8>],
    /// Depthwise kernels of bytes, those of the widest blocks of channels first; the last take any number of channels.
    pub dw_i8: &'static [&'static DwI8],
    /// Sums to bytes.
    pub requantise_i8: &'static [Kernel<RequantiseI8>],
    /// Reals to bytes.
    pub quantise_i8: &'static [Kernel<QuantiseI8>],
    /// Sums, maximum.
    pub pool_i8: &'static [Kernel<PoolI8>],
    /// Bytes times the factors of their channels.
    pub scale_i8: &'static [Kernel<ScaleI8>],
    /// Addition of bytes.
    pub add_i8: &'static [Kernel<AddI8>],
    /// `table[x]`.
    pub lookup_i8: &'static [Kernel<LookupI8>],
    /// Transposition of bytes.
    pub transpose_x8: &'static [Kernel<TransposeX8>],
    /// Interleaving of bytes, for each of [`INTERLEAVED`].
    pub interleave_x8: &'static [Kernel<InterleaveX8>],
    /// Bytes to i16, where bytes are widened for products.
    pub widen_i8: &'static [Kernel<WidenI8>],
    /// Products of bytes in registers only.
    pub probe_dot_i8: &'static [Kernel<Probe>],
    /// Reading only: the bandwidth that benches measure against.
    pub probe_read_f32: &'static [Kernel<Probe>],
}

/// How a level multiplies bytes. Activations are brought into this form before a product reads them.
#[derive(Clone, Copy, Debug)]
pub struct Int8 {
    /// i32 values in a register.
    pub lanes: usize,
    /// Bytes of a value: 2 where values are widened to i16.
    pub element: usize,
    /// Bytes of each operand that one i32 lane of a product adds up: `unit / element` values.
    pub unit: usize,
    /// Rows of A in a register: 2 where a product is one of small matrices.
    pub rows: usize,
    /// Whether activations are i8 rather than u8.
    pub signed: bool,
    /// `mr[c - 1]`: the most rows of a tile that is `c` registers of columns wide; its length is the width of a panel.
    pub mr: &'static [usize],
}

impl Int8 {
    /// Values of k in a unit.
    pub fn values(&self) -> usize {
        self.unit / self.element
    }

    /// Columns of a full panel.
    pub fn nr(&self) -> usize {
        self.mr.len() * self.lanes
    }
}

/// Depthwise kernels of bytes that take one size of blocks of channels.
#[derive(Debug)]
pub struct DwI8 {
    /// How bytes are multiplied.
    pub int8: Int8,
    /// i32 registers of a block of channels.
    pub registers: usize,
    /// Output pixels of a step, most first, the last is 1.
    pub pixels: &'static [usize],
    /// For each of [`DW_SHAPES`] the kernels of each of `pixels`.
    pub dwconv_i8: &'static [Kernel<DwConvI8>],
    /// Depthwise with any taps.
    pub dwconv_i8_taps: &'static [Kernel<DwConvI8>],
}

impl DwI8 {
    /// Channels of a block.
    pub fn channels(&self) -> usize {
        self.registers * self.int8.lanes
    }

    /// The channel of a block that is in a lane of a register.
    pub fn channel(&self, register: usize, lane: usize) -> usize {
        lane / 4 * 4 * self.registers + 4 * register + lane % 4
    }

    /// Bytes of the packed weights of a block: biases, scales, and for each of `products` the weights of its rows.
    pub fn block_len(&self, products: usize) -> usize {
        self.channels() * (8 + products * self.int8.unit)
    }

    /// Output rows that the kernels for `k`x`k` taps at `stride` compute at a time: two where units of four rows suffice for
    /// both as well as for one.
    pub fn outputs(&self, k: usize, stride: usize) -> usize {
        let units = |rows: usize| rows.div_ceil(self.int8.values());
        if self.int8.values() == 4 && units(k + stride) == units(k) { 2 } else { 1 }
    }

    /// Bytes of the units of a column of `k` rows.
    pub fn column_len(&self, k: usize) -> usize {
        k.div_ceil(self.int8.values()) * self.channels() * self.int8.unit
    }

    /// The kernel for `k`x`k` taps at `stride` and the `pixels`-th of `pixels`.
    pub fn dwconv(&self, k: usize, stride: usize, pixels: usize) -> Option<Kernel<DwConvI8>> {
        let shape = DW_SHAPES.iter().position(|&s| s == (k, stride))?;
        (pixels < self.pixels.len()).then(|| self.dwconv_i8.get(shape * self.pixels.len() + pixels).copied())?
    }
}

/// One function of a table.
#[derive(Debug)]
pub struct Kernel<A> {
    /// `<family>_<shape>_<level>`.
    pub name: &'static str,
    /// Vector registers that its inner loop needs.
    pub registers: usize,
    run: unsafe fn(&A),
}

impl<A> Clone for Kernel<A> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<A> Copy for Kernel<A> {}

impl<A> Kernel<A> {
    /// Runs the kernel.
    ///
    /// # Safety
    /// `args` keeps the contract that its type states.
    #[inline]
    pub unsafe fn run(&self, args: &A) {
        // SAFETY: the table's features were detected before it was handed out, or whoever took it unchecked answers for
        // them; the contract is the caller's.
        unsafe { (self.run)(args) }
    }
}

/// Kernel sizes and strides with a depthwise kernel of their own, in the order of [`Kernels::dwconv_f32`].
pub const DW_SHAPES: [(usize, usize); 6] = [(3, 1), (3, 2), (5, 1), (5, 2), (7, 1), (7, 2)];
/// Pixels a step of [`Kernels::dwconv_taps_f32`].
pub const TAPS_PIXELS: [usize; 2] = [4, 1];
/// Groups of channels that kernels interleave, in the order of [`Kernels::interleave_x32`].
pub const INTERLEAVED: [usize; 4] = [2, 3, 4, 8];
/// The fewest rows of A of a product on tile registers.
pub const AMX_ROWS: usize = 8;
/// The most bytes of k that a product on tile registers takes at a time.
pub const AMX_K: usize = 64;
/// The most rows that a depthwise kernel reads.
pub const DW_ROWS: usize = 9;

/// `k` bytes, and as few more as make steps of at most [`AMX_K`] equal and of whole units.
pub fn amx_k(k: usize) -> usize {
    k.next_multiple_of(4 * k.div_ceil(AMX_K).max(1))
}

impl Kernels {
    /// Columns of a full panel.
    pub fn nr(&self) -> usize {
        self.gemm_mr.len() * self.lanes
    }

    /// The GEMM kernel for tiles of `mr` rows by `cols` registers; `None` where there is no such tile.
    pub fn gemm(&self, mr: usize, cols: usize) -> Option<Kernel<GemmF32>> {
        let max = *self.gemm_mr.get(cols.checked_sub(1)?)?;
        let before: usize = self.gemm_mr[..cols - 1].iter().sum();
        (1..=max).contains(&mr).then(|| self.gemm_f32[before + mr - 1])
    }

    /// As [`Kernels::gemm`], of bytes; `None` without the feature `int8`, too.
    pub fn gemm_i8(&self, mr: usize, cols: usize) -> Option<Kernel<GemmI8>> {
        let max = *self.int8.mr.get(cols.checked_sub(1)?)?;
        let before: usize = self.int8.mr[..cols - 1].iter().sum();
        (1..=max).contains(&mr).then(|| self.gemm_i8.get(before + mr - 1).copied())?
    }

    /// The depthwise kernel for `k`x`k` taps at `stride`, `rows` output rows and the `pixels`-th of `dw_pixels`.
    pub fn dwconv(&self, k: usize, stride: usize, rows: usize, pixels: usize) -> Option<Kernel<DwConvF32>> {
        let shape = DW_SHAPES.iter().position(|&s| s == (k, stride))?;
        let known = (1..=self.dw_rows).contains(&rows) && pixels < self.dw_pixels.len();
        known.then(|| self.dwconv_f32[(shape * self.dw_rows + rows - 1) * self.dw_pixels.len() + pixels])
    }

    /// Name and registers of every kernel, probes left out.
    pub fn list(&self) -> impl Iterator<Item = (&'static str, usize)> {
        fn of<A>(kernels: &'static [Kernel<A>]) -> impl Iterator<Item = (&'static str, usize)> {
            kernels.iter().map(|k| (k.name, k.registers))
        }
        of(self.gemm_f32)
            .chain(of(self.gemv_f32))
            .chain(of(self.dwconv_f32))
            .chain(of(self.dwconv_taps_f32))
            .chain(of(self.pool_f32))
            .chain(of(self.elementwise_f32))
            .chain(of(self.transpose_x32))
            .chain(of(self.interleave_x32))
            .chain(of(self.gemm_i8))
            .chain(of(self.gemm_i8_amx))
            .chain(self.dw_i8.iter().flat_map(|dw| of(dw.dwconv_i8).chain(of(dw.dwconv_i8_taps))))
            .chain(of(self.requantise_i8))
            .chain(of(self.quantise_i8))
            .chain(of(self.widen_i8))
            .chain(of(self.pool_i8))
            .chain(of(self.scale_i8))
            .chain(of(self.add_i8))
            .chain(of(self.transpose_x8))
            .chain(of(self.interleave_x8))
            .chain(of(self.lookup_i8))
    }
}

/// The emitted kernels. Each `unsafe` block in them steps within what the argument's contract grants.
#[allow(clippy::all, clippy::undocumented_unsafe_blocks, unused_variables)]
mod generated {
    use super::*;

    /// The registers of a depthwise block, lanes as interleaving left them, to channels in order.
    ///
    /// # Safety
    /// `to` is valid for writes of `channels` values.
    #[cold]
    #[inline(never)]
    unsafe fn scatter<const REGISTERS: usize>(held: &[i32], to: *mut i32, channels: usize) {
        for c in 0..channels {
            let (group, register, lane) = (c / (4 * REGISTERS), c / 4 % REGISTERS, c % 4);
            unsafe { *to.add(c) = held[register * (held.len() / REGISTERS) + group * 4 + lane] };
        }
    }

    include!(concat!(env!("OUT_DIR"), "/kernels.rs"));
}

/// A run-time test of a CPU feature; without `std`, what the compiler was told.
#[allow(unused_macros)]
macro_rules! has {
    ($feature:tt) => {{
        #[cfg(all(feature = "std", target_arch = "x86_64"))]
        let has = std::arch::is_x86_feature_detected!($feature);
        #[cfg(all(feature = "std", target_arch = "aarch64"))]
        let has = std::arch::is_aarch64_feature_detected!($feature);
        #[cfg(not(feature = "std"))]
        let has = cfg!(target_feature = $feature);
        has
    }};
}

include!(concat!(env!("OUT_DIR"), "/tables.rs"));

/// The gate of [`Level::kernels`].
pub(crate) fn detect(level: Level) -> Option<&'static Kernels> {
    table(level).filter(|_| cpu_has(level))
}
