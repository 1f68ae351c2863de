//! The kernels of each instruction set, as tables of functions with stated contracts.
//!
//! This is the level below the operators: raw pointers, packed weights, no checks. [`crate::Level::kernels`] is the only
//! way to a table, and it hands one out only where the CPU has every feature that the table's code uses: possession of a
//! `&Kernels` is the proof. What remains unsafe is the argument's contract.

use crate::Level;

/// The kernels of one level.
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
    /// Output pixels of the depthwise kernels, most first, the last is 1.
    pub dw_pixels: &'static [usize],
    /// Floating-point operations in one turn of [`Kernels::probe_fma_f32`].
    pub probe_fma_flops: usize,
    /// For one register of columns the tiles of 1 to `gemm_mr[0]` rows, then for two registers, and so on.
    pub gemm_f32: &'static [Kernel<GemmF32>],
    /// Single rows, `gemv_panels` panels side by side.
    pub gemv_f32: &'static [Kernel<GemmF32>],
    /// For each of [`DW_SHAPES`] the kernels of each of `dw_pixels`.
    pub dwconv_f32: &'static [Kernel<DwConvF32>],
    /// Depthwise with any taps, for each of [`TAPS_PIXELS`].
    pub dwconv_taps_f32: &'static [Kernel<DwConvF32>],
    /// Average, maximum.
    pub pool_f32: &'static [Kernel<PoolF32>],
    /// `act(a + b)`, `act(a)`.
    pub elementwise_f32: &'static [Kernel<ElementwiseF32>],
    /// Transposition of 32-bit elements.
    pub transpose_x32: &'static [Kernel<TransposeX32>],
    /// Multiply-adds in registers only: the peak that benches measure against.
    pub probe_fma_f32: &'static [Kernel<Probe>],
    /// Reading only: the bandwidth that benches measure against.
    pub probe_read_f32: &'static [Kernel<Probe>],
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
        // SAFETY: the table's features were detected before it was handed out; the contract is the caller's.
        unsafe { (self.run)(args) }
    }
}

/// Kernel sizes and strides with a depthwise kernel of their own, in the order of [`Kernels::dwconv_f32`].
pub const DW_SHAPES: [(usize, usize); 6] = [(3, 1), (3, 2), (5, 1), (5, 2), (7, 1), (7, 2)];
/// Pixels a step of [`Kernels::dwconv_taps_f32`].
pub const TAPS_PIXELS: [usize; 2] = [4, 1];
/// The most rows of a depthwise kernel.
pub const DW_ROWS: usize = 7;

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

    /// The depthwise kernel for `k`x`k` taps at `stride` and the `pixels`-th of `dw_pixels`.
    pub fn dwconv(&self, k: usize, stride: usize, pixels: usize) -> Option<Kernel<DwConvF32>> {
        let shape = DW_SHAPES.iter().position(|&s| s == (k, stride))?;
        (pixels < self.dw_pixels.len()).then(|| self.dwconv_f32[shape * self.dw_pixels.len() + pixels])
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
    }
}

/// `C = clamp(bias + A * B)` for `tiles` tiles of MR rows and `panels` panels of B.
///
/// # Contract
/// - `rows` points at `tiles * MR * taps` pointers, row by row; each pointer plus `offset` is valid for reads of `run`
///   values.
/// - `b + q * panel_len`, for each q below `panels`, is valid for reads of `NR * (1 + taps * run)` values.
/// - Row i of panel q of C begins at `c + i * c_stride + q * panel_columns`. Each of its registers is valid for writes:
///   at multiples of the lane count, the last of them at `last`; in kernels one register wide with `columns` below the
///   lane count only the first `columns` values are.
/// - What is written overlaps nothing that is read.
/// - A `gemv` kernel has MR = 1, panels of full width, and `panels` a multiple of the panels that it takes at a time.
#[derive(Debug)]
pub struct GemmF32 {
    /// Row pointers of A.
    pub rows: *const *const f32,
    /// Added to each row pointer: the group's first channel.
    pub offset: usize,
    /// Runs a row.
    pub taps: usize,
    /// Values a run.
    pub run: usize,
    /// Tiles of MR rows.
    pub tiles: usize,
    /// Packed B.
    pub b: *const f32,
    /// Values from a panel of B to the next.
    pub panel_len: usize,
    /// Panels.
    pub panels: usize,
    /// Values from a panel of C to the next.
    pub panel_columns: usize,
    /// C.
    pub c: *mut f32,
    /// Values from a row of C to the next.
    pub c_stride: usize,
    /// Where the last register of a panel's row begins.
    pub last: usize,
    /// Columns that C has.
    pub columns: usize,
    /// Lower bound of the result.
    pub min: f32,
    /// Upper bound of the result.
    pub max: f32,
}

impl GemmF32 {
    /// Run `tap` of row `i`.
    ///
    /// # Safety
    /// `rows` is the table of a tile with more than `i` rows, and `tap` is below `taps`.
    #[inline(always)]
    unsafe fn row(&self, rows: *const *const f32, i: usize, tap: usize) -> *const f32 {
        // SAFETY: within the table, and the run lies within its buffer, by the contract of `GemmF32`.
        unsafe { (*rows.add(i * self.taps + tap)).add(self.offset) }
    }
}

/// One row of output pixels of a depthwise convolution.
///
/// # Contract
/// - K x K kernels of `pixels` output pixels: `width >= pixels`; each of the first K of `rows` points at
///   `(width - 1) * S + K` pixel pointers. Kernels for any taps: `width` is a multiple of `pixels`, and `rows[0]` points
///   at `width * taps` pixel pointers, output pixel by output pixel.
/// - Each pixel pointer is valid for reads of `channels` values.
/// - `w` is valid for reads of the packed weights: for each block of channels, bias and taps, a register each.
/// - `out + x * out_stride`, for each x below `width`, is valid for writes of `channels` values and overlaps nothing
///   that is read.
#[derive(Debug)]
pub struct DwConvF32 {
    /// Tables of pixel pointers.
    pub rows: [*const *const f32; DW_ROWS],
    /// Taps of a kernel for any taps.
    pub taps: usize,
    /// Output pixels.
    pub width: usize,
    /// Channels.
    pub channels: usize,
    /// Packed weights.
    pub w: *const f32,
    /// Output.
    pub out: *mut f32,
    /// Values from an output pixel to the next.
    pub out_stride: usize,
    /// Lower bound of the result.
    pub min: f32,
    /// Upper bound of the result.
    pub max: f32,
}

/// One output pixel of a pooling.
///
/// # Contract
/// - Each of `rows` by `cols` pixels at `input + row * row_stride + col * col_stride` is valid for reads of `channels`
///   values.
/// - `out` is valid for writes of `channels` values and overlaps nothing that is read.
#[derive(Debug)]
pub struct PoolF32 {
    /// The window's first pixel.
    pub input: *const f32,
    /// Rows of the window.
    pub rows: usize,
    /// Columns of the window.
    pub cols: usize,
    /// Values from a row to the next.
    pub row_stride: usize,
    /// Values from a pixel to the next.
    pub col_stride: usize,
    /// Channels.
    pub channels: usize,
    /// What an average divides by.
    pub divisor: f32,
    /// Output.
    pub out: *mut f32,
}

/// Values of one or two operands.
///
/// # Contract
/// - Each of `rows` rows of `len` values of `a`, and of `b` for kernels of two operands, is valid for reads, and of
///   `out` for writes. `out` overlaps no operand, or begins where `a` does with the same stride.
#[derive(Debug)]
pub struct ElementwiseF32 {
    /// First operand.
    pub a: *const f32,
    /// Values from a row to the next.
    pub a_stride: usize,
    /// Second operand; unused by kernels of one.
    pub b: *const f32,
    /// Values from a row to the next.
    pub b_stride: usize,
    /// Result.
    pub out: *mut f32,
    /// Values from a row to the next.
    pub out_stride: usize,
    /// Rows.
    pub rows: usize,
    /// Values a row.
    pub len: usize,
    /// Hard-swish in place of the clamp.
    pub hard_swish: bool,
    /// Lower bound of the result.
    pub min: f32,
    /// Upper bound of the result.
    pub max: f32,
}

/// `dst[c][r] = src[r][c]`.
///
/// # Contract
/// - Each of `rows` rows of `cols` elements of `src` is valid for reads, each of `cols` rows of `rows` elements of `dst`
///   for writes, and they do not overlap.
#[derive(Debug)]
pub struct TransposeX32 {
    /// Source.
    pub src: *const f32,
    /// Elements from a source row to the next.
    pub src_stride: usize,
    /// Destination.
    pub dst: *mut f32,
    /// Elements from a destination row to the next.
    pub dst_stride: usize,
    /// Rows of the source.
    pub rows: usize,
    /// Columns of the source.
    pub cols: usize,
}

/// A measurement.
///
/// # Contract
/// - `data` is valid for reads of `len` values and of a register, `out` for writes of a register.
#[derive(Debug)]
pub struct Probe {
    /// What is read.
    pub data: *const f32,
    /// Values to read each turn.
    pub len: usize,
    /// Turns.
    pub turns: usize,
    /// A result, so that the work is not dropped.
    pub out: *mut f32,
}

/// The emitted kernels. Each `unsafe` block in them steps within what the argument's contract grants.
#[allow(clippy::all, clippy::undocumented_unsafe_blocks, unused_variables)]
mod generated {
    use super::{DwConvF32, ElementwiseF32, GemmF32, PoolF32, Probe, TransposeX32};
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

/// The emitted text of a level's kernels; empty for a level of another architecture.
pub fn emitted(level: Level) -> &'static str {
    text(level)
}
