//! Rows of 16 bytes, as on every level: what permutations move.

use super::Bytes;
use wide::{bytemuck::cast, i16x8, u8x16, u16x8, u32x4};

/// 16 bytes.
pub type Row = Bytes;
pub use super::{load_bytes as load_row16, load_bytes_n as load_row16_n};
pub use super::{store_bytes as store_row16, store_bytes_n as store_row16_n};

#[inline(always)]
pub fn no_row16() -> Row {
    Row::splat(0)
}

/// Byte by byte.
#[inline(always)]
pub fn zip2_x8(a: Row, b: Row) -> [Row; 2] {
    [Row::unpack_low(a, b), Row::unpack_high(a, b)]
}

/// Not as arrays: LLVM makes several times as many instructions of some of those that follow one another.
#[inline(always)]
pub fn zip2_x32(a: Row, b: Row) -> [Row; 2] {
    let [a, b]: [u32x4; 2] = cast([a, b]);
    cast([a.unpack_lo(b), a.unpack_hi(b)])
}

/// Of all 48 bytes those at even places, then the others: what was at `i` is at `24 * i`, modulo 47. Four times that is
/// `3 * i`, and that is where it is wanted. Baseline x86-64 has no permutation of bytes by indices.
#[inline(always)]
pub fn zip3_x8(a: Row, b: Row, c: Row) -> [Row; 3] {
    unzip(unzip(unzip(unzip([a, b, c]))))
}

#[inline(always)]
fn unzip([a, b, c]: [Row; 3]) -> [Row; 3] {
    let even = |row: Row| cast::<_, i16x8>(row) & i16x8::splat(0xff);
    let odd = |row: Row| cast::<_, i16x8>(cast::<_, u16x8>(row) >> 8);
    let narrow = u8x16::narrow_i16x8;
    [narrow(even(a), even(b)), narrow(even(c), odd(a)), narrow(odd(b), odd(c))]
}

#[inline(always)]
pub fn zip3_x32(a: Row, b: Row, c: Row) -> [Row; 3] {
    let [a, b, c]: [[u32; 4]; 3] = cast([a, b, c]);
    cast([[a[0], b[0], c[0], a[1]], [b[1], c[1], a[2], b[2]], [c[2], a[3], b[3], c[3]]])
}
