//! Rows of 16 bytes, as on every level: what permutations move.

use super::Bytes;
use core::arch::aarch64::*;
use seq_macro::seq;

/// 16 bytes.
pub type Row = Bytes;
pub use super::{load_bytes as load_row16, load_bytes_n as load_row16_n};
pub use super::{store_bytes as store_row16, store_bytes_n as store_row16_n};

#[inline]
#[target_feature(enable = "neon")]
pub fn no_row16() -> Row {
    vdupq_n_u8(0)
}

/// Byte by byte.
#[inline]
#[target_feature(enable = "neon")]
pub fn zip2_x8(a: Row, b: Row) -> [Row; 2] {
    [vzip1q_u8(a, b), vzip2q_u8(a, b)]
}

#[inline]
#[target_feature(enable = "neon")]
pub fn zip2_x32(a: Row, b: Row) -> [Row; 2] {
    let (a, b) = (vreinterpretq_u32_u8(a), vreinterpretq_u32_u8(b));
    [vreinterpretq_u8_u32(vzip1q_u32(a, b)), vreinterpretq_u8_u32(vzip2q_u32(a, b))]
}

#[inline]
#[target_feature(enable = "neon")]
pub fn zip3_x8(a: Row, b: Row, c: Row) -> [Row; 3] {
    pick(&seq!(P in 0..48 { [#(16 * (P % 3) + P / 3,)*] }), [a, b, c])
}

#[inline]
#[target_feature(enable = "neon")]
pub fn zip3_x32(a: Row, b: Row, c: Row) -> [Row; 3] {
    pick(&seq!(P in 0..48 { [#(16 * (P / 4 % 3) + P / 12 * 4 + P % 4,)*] }), [a, b, c])
}

/// Each byte that one of 48 indices says.
#[inline]
#[target_feature(enable = "neon")]
fn pick(indices: &[u8; 48], [a, b, c]: [Row; 3]) -> [Row; 3] {
    let at = |first: usize| {
        // SAFETY: 16 of 48 indices.
        let indices = unsafe { vld1q_u8(indices.as_ptr().add(first)) };
        vqtbl3q_u8(uint8x16x3_t(a, b, c), indices)
    };
    [at(0), at(16), at(32)]
}
