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
    /// Sums, maximum.
    pub pool_i8: &'static [Kernel<PoolI8>],
    /// Addition of bytes.
    pub add_i8: &'static [Kernel<AddI8>],
    /// `table[x]`.
    pub lookup_i8: &'static [Kernel<LookupI8>],
    /// Transposition of bytes.
    pub transpose_x8: &'static [Kernel<TransposeX8>],
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

    /// The kernel for `k`x`k` taps at `stride` and the `pixels`-th of `pixels`.
    pub fn dwconv(&self, k: usize, stride: usize, pixels: usize) -> Option<Kernel<DwConvI8>> {
        let shape = DW_SHAPES.iter().position(|&s| s == (k, stride))?;
        (pixels < self.pixels.len()).then(|| self.dwconv_i8[shape * self.pixels.len() + pixels])
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
        // SAFETY: the table's features were detected before it was handed out; the contract is the caller's.
        unsafe { (self.run)(args) }
    }
}

/// Kernel sizes and strides with a depthwise kernel of their own, in the order of [`Kernels::dwconv_f32`].
pub const DW_SHAPES: [(usize, usize); 6] = [(3, 1), (3, 2), (5, 1), (5, 2), (7, 1), (7, 2)];
/// Pixels a step of [`Kernels::dwconv_taps_f32`].
pub const TAPS_PIXELS: [usize; 2] = [4, 1];
/// Rows that a product on tile registers takes at a time.
pub const AMX_ROWS: usize = 32;
/// Bytes of k that a product on tile registers takes at a time.
pub const AMX_K: usize = 64;
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

    /// As [`Kernels::gemm`], of bytes.
    pub fn gemm_i8(&self, mr: usize, cols: usize) -> Option<Kernel<GemmI8>> {
        let max = *self.int8.mr.get(cols.checked_sub(1)?)?;
        let before: usize = self.int8.mr[..cols - 1].iter().sum();
        (1..=max).contains(&mr).then(|| self.gemm_i8[before + mr - 1])
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
            .chain(of(self.gemm_i8))
            .chain(of(self.gemm_i8_amx))
            .chain(self.dw_i8.iter().flat_map(|dw| of(dw.dwconv_i8).chain(of(dw.dwconv_i8_taps))))
            .chain(of(self.requantise_i8))
            .chain(of(self.pool_i8))
            .chain(of(self.add_i8))
            .chain(of(self.transpose_x8))
            .chain(of(self.lookup_i8))
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

/// `C = requantise(bias + A * B)` for `tiles` tiles of MR rows and `panels` panels of B, or the sums.
///
/// # Contract
/// - Each of `tiles * MR` rows at `a + i * a_stride` is valid for reads of `k` bytes, a multiple of the level's unit.
/// - `b + q * panel_len`, for each q below `panels`, is valid for reads of NR biases (i32), NR scales (f32) and k / unit
///   times NR units. No scaled sum leaves i32, or `sums` is not null.
/// - Where `sums` is null, row i of panel q of C begins at `c + i * c_stride + q * panel_columns`, else at `sums +
///   i * sums_stride + q * panel_columns`. Each lane count of columns is valid for writes: at multiples of it, the last
///   at `last`; in kernels one register wide with `columns` below the lane count only the first `columns` values are.
/// - What is written overlaps nothing that is read.
/// - A kernel of `gemm_i8_amx` takes `tiles` rows, at least [`AMX_ROWS`], the last of them perhaps twice, and `k` is a
///   multiple of [`AMX_K`].
#[derive(Debug)]
pub struct GemmI8 {
    /// A, in the form that the level multiplies.
    pub a: *const u8,
    /// Bytes from a row of A to the next.
    pub a_stride: usize,
    /// Bytes of a row.
    pub k: usize,
    /// Tiles of MR rows.
    pub tiles: usize,
    /// Packed B.
    pub b: *const u8,
    /// Bytes from a panel of B to the next.
    pub panel_len: usize,
    /// Panels.
    pub panels: usize,
    /// Columns from a panel of C to the next.
    pub panel_columns: usize,
    /// C.
    pub c: *mut u8,
    /// Values from a row of C to the next.
    pub c_stride: usize,
    /// Null, or where sums go in place of bytes.
    pub sums: *mut i32,
    /// Values from a row of sums to the next.
    pub sums_stride: usize,
    /// Where the last register of a panel's row begins.
    pub last: usize,
    /// Columns that C has.
    pub columns: usize,
    /// The zero point of C, as u8.
    pub zero_point: i16,
    /// Lower bound of the result, as u8.
    pub min: u8,
    /// Upper bound of the result, as u8.
    pub max: u8,
    /// Bits to flip in each result: 0x80 makes it i8.
    pub flip: u8,
}

/// One row of output pixels of a depthwise convolution of bytes.
///
/// # Contract
/// - K x K kernels of `pixels` output pixels: `width >= pixels`; each of the first K of `rows` points at
///   `(width - 1) * S + K` pixel pointers. Kernels for any taps: `rows[0]` points at `width * taps` pixel pointers, output
///   pixel by output pixel; `taps` is a multiple of the values of a unit.
/// - `channels` is a multiple of the block's, or, for a level's narrowest blocks, less than one.
/// - Each pixel pointer plus `offset` is valid for reads of `channels` bytes.
/// - `w` is valid for reads of the packed weights ([`DwI8::block_len`]) of each block. No scaled sum leaves
///   i32, or `sums` is not null.
/// - `out + x * out_stride`, or where `sums` is not null `sums + x * sums_stride`, is for each x below `width` valid for
///   writes of `channels` values and overlaps nothing that is read. Only kernels for any taps leave sums.
#[derive(Debug)]
pub struct DwConvI8 {
    /// Tables of pixel pointers.
    pub rows: [*const *const u8; DW_ROWS],
    /// Taps of a kernel for any taps.
    pub taps: usize,
    /// Output pixels.
    pub width: usize,
    /// Added to each pixel pointer: the first channel.
    pub offset: usize,
    /// Channels.
    pub channels: usize,
    /// Packed weights.
    pub w: *const u8,
    /// Output.
    pub out: *mut u8,
    /// Values from an output pixel to the next.
    pub out_stride: usize,
    /// Null, or where sums go in place of bytes.
    pub sums: *mut i32,
    /// Values from a pixel's sums to the next.
    pub sums_stride: usize,
    /// The zero point of the output, as u8.
    pub zero_point: i16,
    /// Lower bound of the result, as u8.
    pub min: u8,
    /// Upper bound of the result, as u8.
    pub max: u8,
    /// Kernels for any taps: bits to flip in each byte that is read; the others read what the level multiplies.
    pub flip_in: u8,
    /// Bits to flip in each result: 0x80 makes it i8.
    pub flip: u8,
}

/// `out = round(clamp(f32(sum) * scale[c] + (residual - residual_zero) * residual_scale, low, high)) + zero_point`.
///
/// # Contract
/// - Each of `rows` rows of `len` sums, and of the residual where that is not null, is valid for reads, `scales` of `len`
///   values. No operation overflows f32.
/// - Each row of `out` is valid for writes of `len` bytes and overlaps nothing that is read.
#[derive(Debug)]
pub struct RequantiseI8 {
    /// Sums.
    pub sums: *const i32,
    /// Values from a row to the next.
    pub sums_stride: usize,
    /// Scale of each column.
    pub scales: *const f32,
    /// Null, or what is added.
    pub residual: *const u8,
    /// Values from a row to the next.
    pub residual_stride: usize,
    /// Zero point of the residual, as u8.
    pub residual_zero: i32,
    /// Scale of the residual.
    pub residual_scale: f32,
    /// Output.
    pub out: *mut u8,
    /// Values from a row to the next.
    pub out_stride: usize,
    /// Rows.
    pub rows: usize,
    /// Values a row.
    pub len: usize,
    /// Lower bound less the zero point.
    pub low: f32,
    /// Upper bound less the zero point.
    pub high: f32,
    /// The zero point of the output, as u8.
    pub zero_point: i16,
    /// Lower bound of the result, as u8.
    pub min: u8,
    /// Upper bound of the result, as u8.
    pub max: u8,
    /// Bits to flip in each byte read or written: 0x80 where they are i8.
    pub flip: u8,
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
pub struct Transpose<T> {
    /// Source.
    pub src: *const T,
    /// Elements from a source row to the next.
    pub src_stride: usize,
    /// Destination.
    pub dst: *mut T,
    /// Elements from a destination row to the next.
    pub dst_stride: usize,
    /// Rows of the source.
    pub rows: usize,
    /// Columns of the source.
    pub cols: usize,
}

/// [`Transpose`] of any 32 bits.
pub type TransposeX32 = Transpose<f32>;
/// [`Transpose`] of bytes.
pub type TransposeX8 = Transpose<u8>;

/// One output pixel of a pooling of bytes, which are added and compared as u8.
///
/// # Contract
/// - Each of `rows` by `cols` pixels at `input + row * row_stride + col * col_stride` is valid for reads of `channels`
///   bytes.
/// - `sums` for the kernel of sums, which do not overflow i32, `out` for that of maxima is valid for writes of `channels`
///   values and overlaps nothing that is read. The other is not used.
#[derive(Debug)]
pub struct PoolI8 {
    /// The window's first pixel.
    pub input: *const u8,
    /// Rows of the window.
    pub rows: usize,
    /// Columns of the window.
    pub cols: usize,
    /// Bytes from a row to the next.
    pub row_stride: usize,
    /// Bytes from a pixel to the next.
    pub col_stride: usize,
    /// Channels.
    pub channels: usize,
    /// Where sums begin.
    pub start: i32,
    /// Sums.
    pub sums: *mut i32,
    /// Maxima.
    pub out: *mut u8,
    /// Lower bound of a maximum, as u8.
    pub min: u8,
    /// Upper bound of a maximum, as u8.
    pub max: u8,
    /// Bits to flip in each byte read or written: 0x80 where they are i8.
    pub flip: u8,
}

/// `out = clamp(((a * a_multiplier + b * b_multiplier + bias) >> shift) + zero_point)`.
///
/// # Contract
/// - Each of `rows` rows of `len` bytes of `a` and `b` is valid for reads, and of `out` for writes. `out` overlaps no
///   operand.
/// - Multipliers are from 0 to 2^21, `shift` is from 0 to 31, and for all bytes the sum fits i32.
#[derive(Debug)]
pub struct AddI8 {
    /// First operand.
    pub a: *const u8,
    /// Bytes from a row to the next.
    pub a_stride: usize,
    /// Second operand.
    pub b: *const u8,
    /// Bytes from a row to the next.
    pub b_stride: usize,
    /// Result.
    pub out: *mut u8,
    /// Bytes from a row to the next.
    pub out_stride: usize,
    /// Rows.
    pub rows: usize,
    /// Bytes a row.
    pub len: usize,
    /// Of the first operand, as u8.
    pub a_multiplier: i32,
    /// Of the second operand, as u8.
    pub b_multiplier: i32,
    /// Added to the products.
    pub bias: i32,
    /// Bits by which the sum is shifted.
    pub shift: i32,
    /// The zero point of the output, as u8.
    pub zero_point: i16,
    /// Lower bound of the result, as u8.
    pub min: u8,
    /// Upper bound of the result, as u8.
    pub max: u8,
    /// Bits to flip in each byte read or written: 0x80 where they are i8.
    pub flip: u8,
}

/// `out = table[x]`, as u8.
///
/// # Contract
/// - Each of `rows` rows of `len` bytes of `x` is valid for reads, and of `out` for writes. `out` does not overlap `x`, or
///   begins where `x` does with the same stride.
/// - `table` is valid for reads of 256 bytes, which nothing that is written overlaps.
#[derive(Debug)]
pub struct LookupI8 {
    /// The table.
    pub table: *const u8,
    /// Operand.
    pub x: *const u8,
    /// Bytes from a row to the next.
    pub x_stride: usize,
    /// Result.
    pub out: *mut u8,
    /// Bytes from a row to the next.
    pub out_stride: usize,
    /// Rows.
    pub rows: usize,
    /// Bytes a row.
    pub len: usize,
}

/// A measurement.
///
/// # Contract
/// - `data` is valid for reads of `len` values, and of a register and eight more; `out` for writes of a register.
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

/// What [`Level::kernels_unchecked`] gives.
pub(crate) fn unchecked(level: Level) -> Option<&'static Kernels> {
    table(level)
}

/// The emitted text of a level's kernels; empty for a level of another architecture.
pub fn emitted(level: Level) -> &'static str {
    text(level)
}
