//! What kernels of bytes are called with.

use super::DW_ROWS;

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
/// - A kernel of `gemm_i8_amx` takes `tiles` rows, at least [`super::AMX_ROWS`], some of them perhaps twice, and `k` is
///   what [`super::amx_k`] makes of it, not 0.
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
    /// Whether to prefetch as many bytes as a panel has from behind each, whatever lies there; see
    /// [`super::Kernels::prefetch`].
    pub ahead: bool,
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

/// A row of output pixels of a depthwise convolution of bytes, or as many as [`super::DwI8::outputs`], one below the other.
///
/// # Contract
/// - K x K kernels of `pixels` output pixels: `width >= pixels`; `outputs` is at least 1 and at most what a kernel computes
///   at a time; each of the first K of `rows`, and of S more where that is two, points at `(width - 1) * S + K` pixel
///   pointers. Where it is two, `units` is valid for writes of [`super::DwI8::column_len`] bytes for each of those
///   columns, and nobody else touches them.
/// - Kernels for any taps: `rows[0]` points at `width * taps` pixel pointers, output pixel by output pixel; `taps` is a
///   multiple of the values of a unit; `outputs` is 1.
/// - Each pixel pointer plus `offset` is valid for reads of `channels` bytes; but kernels of a shape read a whole block
///   where there are fewer.
/// - `w` is valid for reads of the packed weights ([`super::DwI8::block_len`]) of each block of channels, the last of
///   which ends with the last channel, unless there are fewer than a block. No scaled sum leaves
///   i32, or `sums` is not null.
/// - `out + row * out_row_stride + x * out_stride`, or where `sums` is not null `sums + x * sums_stride`, is for each row
///   below `outputs` and each x below `width` valid for writes of `channels` values and overlaps nothing that is read.
///   Only kernels for any taps leave sums.
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
    /// Output rows.
    pub outputs: usize,
    /// Values from an output row to the next.
    pub out_row_stride: usize,
    /// Memory for units.
    pub units: *mut u8,
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

/// `out = round(clamp(f32(sum) * scale[c] + (residual - residual_zero) * residual_scale)) + zero_point`; the bounds of
/// the clamp are `min` and `max` less the zero point.
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
    /// The zero point of the output, as u8.
    pub zero_point: i16,
    /// Lower bound of the result, as u8.
    pub min: u8,
    /// Upper bound of the result, as u8.
    pub max: u8,
    /// Bits to flip in each byte read or written: 0x80 where they are i8.
    pub flip: u8,
}

/// `out = round(clamp(x / scale)) + zero_point`, to the nearest whole number, the even one of two; NaN becomes the zero
/// point. The bounds of the clamp are `min` and `max` less the zero point.
///
/// # Contract
/// - Each of `rows` rows of `len` values of `x` is valid for reads; `scale` is positive and finite.
/// - Each row of `out` is valid for writes of `len` bytes and overlaps nothing that is read.
#[derive(Debug)]
pub struct QuantiseI8 {
    /// Operand.
    pub x: *const f32,
    /// Values from a row to the next.
    pub x_stride: usize,
    /// Output.
    pub out: *mut u8,
    /// Bytes from a row to the next.
    pub out_stride: usize,
    /// Rows.
    pub rows: usize,
    /// Values a row.
    pub len: usize,
    /// What one step of a byte stands for.
    pub scale: f32,
    /// The zero point of the output, as u8.
    pub zero_point: i16,
    /// Lower bound of the result, as u8.
    pub min: u8,
    /// Upper bound of the result, as u8.
    pub max: u8,
    /// Bits to flip in each result: 0x80 makes it i8.
    pub flip: u8,
}

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

/// `out = clamp(round(f32(x - zero) * factors[c] * scale) + zero_point)`.
///
/// # Contract
/// - Each of `rows` rows of `len` bytes of `x` is valid for reads, `factors` of `len` values. No product leaves
///   i32.
/// - Each row of `out` is valid for writes of `len` bytes and overlaps nothing that is read.
#[derive(Debug)]
pub struct ScaleI8 {
    /// Operand.
    pub x: *const u8,
    /// Bytes from a row to the next.
    pub x_stride: usize,
    /// Its zero point, as u8.
    pub zero: i32,
    /// Factor of each column.
    pub factors: *const f32,
    /// Factor of all.
    pub scale: f32,
    /// Output.
    pub out: *mut u8,
    /// Bytes from a row to the next.
    pub out_stride: usize,
    /// Rows.
    pub rows: usize,
    /// Bytes a row.
    pub len: usize,
    /// The zero point of the output, as u8.
    pub zero_point: i16,
    /// Lower bound of the result, as u8.
    pub min: u8,
    /// Upper bound of the result, as u8.
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

/// `out[i] = input[i]`, widened as the level multiplies: signed or not.
///
/// # Contract
/// - `input` is valid for reads of `len` bytes, `out` for writes of `len` values, and they do not overlap.
#[derive(Debug)]
pub struct WidenI8 {
    /// Bytes.
    pub input: *const u8,
    /// Values.
    pub out: *mut i16,
    /// How many.
    pub len: usize,
    /// Bits to flip in each byte that is read.
    pub flip: u8,
}
