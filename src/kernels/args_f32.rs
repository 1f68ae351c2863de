//! What kernels in f32, and those that only move or measure, are called with.

use super::DW_ROWS;

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
    /// Whether to prefetch as many bytes as a panel has from behind each, whatever lies there; see
    /// [`super::Kernels::prefetch`].
    pub ahead: bool,
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
    /// Upper bound of the result; not -0.
    pub max: f32,
}

impl GemmF32 {
    /// Run `tap` of row `i`.
    ///
    /// # Safety
    /// `rows` is the table of a tile with more than `i` rows, and `tap` is below `taps`.
    #[inline(always)]
    pub(super) unsafe fn row(&self, rows: *const *const f32, i: usize, tap: usize) -> *const f32 {
        // SAFETY: within the table, and the run lies within its buffer, by the contract of `GemmF32`.
        unsafe { (*rows.add(i * self.taps + tap)).add(self.offset) }
    }
}

/// Rows of output pixels of a depthwise convolution, one below the other, as many as a kernel computes.
///
/// # Contract
/// - K x K kernels of `pixels` output pixels: `width >= pixels`; each of the first K of `rows`, and of S more for each
///   output row but the first, points at `(width - 1) * S + K` pixel pointers. Kernels for any taps compute one row:
///   `width` is a multiple of `pixels`, and `rows[0]` points at `width * taps` pixel pointers, output pixel by output
///   pixel.
/// - Each pixel pointer plus `offset` is valid for reads of `channels` values.
/// - `w` is valid for reads of the packed weights: for each block of channels, bias and taps, a register each.
/// - `out + q * out_row_stride + x * out_stride`, for each output row q and each x below `width`, is valid for writes of
///   `channels` values and overlaps nothing that is read.
#[derive(Debug)]
pub struct DwConvF32 {
    /// Tables of pixel pointers.
    pub rows: [*const *const f32; DW_ROWS],
    /// Taps of a kernel for any taps.
    pub taps: usize,
    /// Output pixels.
    pub width: usize,
    /// Added to each pixel pointer: where the channels lie.
    pub offset: usize,
    /// Channels.
    pub channels: usize,
    /// Packed weights.
    pub w: *const f32,
    /// Output.
    pub out: *mut f32,
    /// Values from an output pixel to the next.
    pub out_stride: usize,
    /// Values from an output row to the next.
    pub out_row_stride: usize,
    /// Lower bound of the result.
    pub min: f32,
    /// Upper bound of the result; not -0.
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

/// What an elementwise kernel applies to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// The clamp to the bounds.
    Clamp,
    /// `x * (min(max(x + 3, 0), 6) * (1 / 6))`.
    HardSwish,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
}

/// Values of one or two operands: `act(a + b)`, `act(a)` or `act(a * b)`. With a stride of zero all rows have one `b`.
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
    /// The activation.
    pub function: Function,
    /// Lower bound of a clamp.
    pub min: f32,
    /// Upper bound of a clamp; not -0.
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

/// `y[j * G + i] = x[i * each + j]` in each pixel, `G` the number of groups of the kernel.
///
/// # Contract
/// - `each` is 1 or more. Each of `pixels` pixels of `G * each` elements of `x` is valid for reads, and of `y` for writes,
///   and they do not overlap.
#[derive(Debug)]
pub struct Interleave<T> {
    /// Source.
    pub x: *const T,
    /// Elements from a source pixel to the next.
    pub x_stride: usize,
    /// Destination.
    pub y: *mut T,
    /// Elements from a destination pixel to the next.
    pub y_stride: usize,
    /// Pixels.
    pub pixels: usize,
    /// Elements of a group.
    pub each: usize,
}

/// [`Interleave`] of any 32 bits.
pub type InterleaveX32 = Interleave<f32>;
/// [`Interleave`] of bytes.
pub type InterleaveX8 = Interleave<u8>;

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
